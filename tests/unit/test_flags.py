"""Bits of the flags column and their names."""

from __future__ import annotations

import numpy as np
import pytest

from bayesphot.flags import UNMEASURED, Flag, decode_flags


def test_every_flag_is_one_bit_of_its_own() -> None:
    values = [int(flag) for flag in Flag]
    assert values == [1 << bit for bit in range(len(values))]


def test_stored_values_do_not_change_their_meaning() -> None:
    # Files keep the numbers: a bit may be added, never moved.
    names = [
        "NO_POSITION",
        "OFF_IMAGE",
        "ALL_MASKED",
        "TOO_FEW_PIXELS",
        "DUPLICATE",
        "TRUNCATED",
        "NOT_CONVERGED",
        "DEGENERATE",
        "AT_BOUND",
        "HIGH_R_HAT",
        "LOW_ESS",
        "HIGH_PARETO_K",
        "FROZEN_NEIGHBOURS",
        "POOR_FIT",
        "NOT_SAMPLED",
        "INTERRUPTED",
        "OFF_PSF_GRID",
        "SATURATED",
        "COSMIC_RAY",
    ]
    assert [flag.name for flag in Flag][: len(names)] == names


def test_flags_decode_to_their_names_lowest_bit_first() -> None:
    assert decode_flags(0) == []
    assert decode_flags(Flag.DUPLICATE | Flag.OFF_IMAGE) == ["OFF_IMAGE", "DUPLICATE"]
    assert decode_flags(np.int64(6)) == ["OFF_IMAGE", "ALL_MASKED"]
    everything = sum(int(flag) for flag in Flag)
    assert decode_flags(everything) == [flag.name for flag in Flag]


@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_several_values_decode_to_a_list_each(form) -> None:
    assert decode_flags(form([0, 1, 3])) == [[], ["NO_POSITION"], ["NO_POSITION", "OFF_IMAGE"]]
    assert decode_flags(form([])) == []


@pytest.mark.parametrize("value", [-1, 1 << 40, [1, -2]])
def test_bits_without_a_meaning_are_refused(value) -> None:
    with pytest.raises(ValueError, match="flags must be a sum of Flag bits, found"):
        decode_flags(value)


def test_unmeasured_rows_are_those_that_no_fit_was_tried_for() -> None:
    assert set(decode_flags(UNMEASURED)) == {
        "NO_POSITION",
        "OFF_IMAGE",
        "ALL_MASKED",
        "TOO_FEW_PIXELS",
        "DUPLICATE",
    }
