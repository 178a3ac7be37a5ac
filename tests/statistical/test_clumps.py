"""Hard blends pass the gates as often as they should, and those that do are right."""

from __future__ import annotations

import numpy as np
import pytest
from bands import least_fraction, per_test
from clumps import compare_passing, sample_clumps


@pytest.mark.parametrize(
    ("design", "n_group", "asked", "seed"),
    [
        ("pair at 0.7", 60, 1.0, 701),
        ("five at 1.0", 16, 1.0, 702),
        ("pair at 0.5", 30, 0.9, 703),
        pytest.param("triple at 0.7", 20, 0.9, 704, marks=pytest.mark.slow),
    ],
)
def test_clumps_pass(design, n_group, asked, seed) -> None:
    clumps = sample_clumps(design, n_group, seed)
    assert clumps.passes.mean() >= least_fraction(n_group, asked)
    assert np.any(clumps.engine != "independence")


@pytest.mark.parametrize(("design", "seed"), [("pair at 0.5", 711), ("triple at 0.7", 712)])
def test_clumps_that_pass_agree_with_long_tempered_runs(design, seed) -> None:
    clumps = sample_clumps(design, 6, seed)
    outcome = compare_passing(clumps, 4, seed=seed, swarms=12, particles=4000)
    assert outcome.trusted.any()
    assert outcome.p_value.min() > per_test(outcome.p_value.size)
