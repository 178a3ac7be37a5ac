"""Errors of blended stars are true: pulls of unit width, intervals that hold what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from blends import LAYOUTS, run_blends

N_GROUP = 300
SEEDS = {"single": 101, "pair at 4 px": 102, "pair at 2 px": 103, "triple, side 4 px": 104}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blend_errors_are_true_for_starts_from_the_prior(layout):
    outcome = run_blends(layout, N_GROUP, SEEDS[layout])
    assert np.all(np.isfinite(outcome.pull)), "every group must have a posterior"
    for name, (value, (low, high)) in outcome.summarise().items():
        assert low <= value <= high, f"{name}: {value:.3f} not within {low:.3f} .. {high:.3f}"


@pytest.mark.parametrize("layout", ["pair at 4 px", "pair at 2 px", "triple, side 4 px"])
def test_blend_errors_are_true_for_the_finder_s_starts(layout):
    outcome = run_blends(layout, N_GROUP, SEEDS[layout], starts="finder")
    assert len(outcome.pull) >= 0.97 * N_GROUP, "finder and acceptance saw other stars"
    for name, (value, (low, high)) in outcome.summarise().items():
        assert low <= value <= high, f"{name}: {value:.3f} not within {low:.3f} .. {high:.3f}"
