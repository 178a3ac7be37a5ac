"""A catalogue's flags as advice."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
from astropy.table import QTable

from bayesphot.diagnosis import ADVICE, describe_run
from bayesphot.flags import Flag
from bayesphot.result import PhotometryResult


def make_table(flags, reduced=1.0) -> QTable:
    n = len(flags)
    table = QTable()
    table["id"] = np.arange(1, n + 1)
    table["x_0"] = np.arange(n) + 10.25
    table["y_0"] = np.arange(n) + 20.0
    table["flags"] = np.array([int(f) for f in flags])
    table["r_hat"] = np.full(n, 1.003)
    table["ess_bulk"] = np.full(n, 812.4)
    table["reduced_chi2"] = np.full(n, reduced)
    table["group_id"] = np.arange(1, n + 1)
    table["ppp"] = np.full(n, 0.4)
    return table


def test_every_flag_has_advice() -> None:
    assert set(ADVICE) == set(Flag)


def test_a_clean_run_is_one_line() -> None:
    assert describe_run(make_table([0, 0])) == (
        "2 sources, none with a flag; largest R-hat 1.0030, least bulk ESS 812"
    )


def test_flags_are_counted_placed_and_advised_on_gravest_first() -> None:
    flags = [0, Flag.TRUNCATED, Flag.HIGH_R_HAT | Flag.TRUNCATED, *[Flag.TRUNCATED] * 5]
    lines = describe_run(make_table(flags)).splitlines()
    assert lines[0] == "8 sources, 7 with a flag"
    assert lines[1].startswith("HIGH_R_HAT: 1 (12.5%); chains disagree")
    assert lines[2].strip() == "id 3 at (12.2, 22.0)"
    assert lines[3].startswith("TRUNCATED: 7 (87.5%); ")
    assert lines[4].endswith("id 6 at (15.2, 25.0) and 2 more")
    assert len(lines) == 5


def test_wrong_noise_is_told_by_its_factor() -> None:
    assert "too small by a factor of about 2.00" in describe_run(make_table([0], 4.0))
    assert "too large by a factor of about 2.00" in describe_run(make_table([0], 0.25))
    assert "factor" not in describe_run(make_table([0], np.nan))


def test_groups_that_their_model_does_not_describe_are_named() -> None:
    table = make_table([0] * 50)
    table["ppp"][7] = 1e-9
    table["ppp"][9] = np.nan
    line, where = describe_run(table).splitlines()[-2:]
    assert line.startswith("ppp below 0.001: 1 (2.0%), where chance has 0.049 of 49 groups; ")
    assert where.strip() == "id 8 at (17.2, 27.0)"


def test_an_empty_catalogue_is_described_too() -> None:
    assert describe_run(make_table([])) == "0 sources, none with a flag"


def test_a_result_prints_its_diagnosis() -> None:
    table = make_table([0, Flag.POOR_FIT])
    out = io.StringIO()
    PhotometryResult.diagnose(SimpleNamespace(table=table), file=out)
    assert out.getvalue() == describe_run(table) + "\n"
