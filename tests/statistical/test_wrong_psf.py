"""A PSF of the wrong width: the known bias, and intervals that hold once the model knows of it."""

from __future__ import annotations

import numpy as np
import pytest
from bands import binomial_band, mean_band, per_test
from wrong_psf import measure_wrong_psf

import bayesphot as bp

N_STAR = 800


def test_a_psf_one_percent_too_wide_biases_flux_by_as_much() -> None:
    """By 0.95 %, where the noise of a star is a thousandth."""
    outcome = measure_wrong_psf(1000, N_STAR, 351, too_wide=0.01, drawn=False, psf_error=None)
    band = mean_band(N_STAR, outcome.off.std())
    assert outcome.off.mean() == pytest.approx(0.0095, abs=band + 2e-4)


@pytest.mark.parametrize(
    ("snr", "width", "seed"), [(100, 0.01, 352), (1000, 0.01, 353), (1000, 0.03, 354)]
)
def test_intervals_hold_where_the_modes_are_marginalised(snr, width, seed) -> None:
    outcome = measure_wrong_psf(
        snr, N_STAR, seed, too_wide=width, drawn=True, psf_error=bp.PSFError(width=width)
    )
    alarm = per_test(6)
    for level, inside in ((0.6827, outcome.inside68), (0.95, outcome.inside95)):
        low, high = binomial_band(N_STAR, level, alarm)
        assert low <= inside.mean() <= high


def test_intervals_fail_where_they_are_not() -> None:
    outcome = measure_wrong_psf(1000, N_STAR, 355, too_wide=0.01, drawn=False, psf_error=None)
    assert np.mean(outcome.inside95) < 0.01
