"""Ranks of the truth are uniform, and coverage is what it claims, when truth is from the prior."""

from __future__ import annotations

import pytest
from bands import binomial_band, per_test
from calibration import calibrate

N_GROUP = 400
#: The interval of 68 ranks about the median.
LEVEL = 0.68
CASES = [
    ("single", False, True, 401),
    ("single", True, False, 402),
    ("faint single", True, True, 403),
    ("pair at 1.0 FWHM", False, False, 404),
    ("pair at 1.0 FWHM", True, True, 405),
    ("pair at 0.7 FWHM", False, True, 406),
    ("pair at 0.7 FWHM", True, False, 407),
]


@pytest.mark.parametrize(("design", "sigma_free", "sky_free", "seed"), CASES)
def test_ranks_of_the_truth_are_uniform(design, sigma_free, sky_free, seed):
    outcome = calibrate(design, N_GROUP, seed, sigma_free=sigma_free, sky_free=sky_free)
    p_values = outcome.p_values()
    low, high = binomial_band(N_GROUP, LEVEL, per_test(len(p_values)))
    for name, p_value in p_values.items():
        assert p_value > per_test(len(p_values)), name
        assert low <= outcome.coverage(name, LEVEL) <= high, name
