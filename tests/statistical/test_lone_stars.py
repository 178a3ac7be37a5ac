"""Isolated stars: flux bias of optimum and posterior mean, scatter at the Cramer-Rao limit."""

from __future__ import annotations

import numpy as np
import pytest
from bands import binomial_band, mean_band, per_test, sd_band
from lone_stars import measure_lone_stars

N_STAR = 1200


@pytest.mark.parametrize(("snr", "seed"), [(5, 301), (10, 302)])
def test_posterior_mean_is_unbiased_where_the_optimum_is_not(snr, seed):
    """Portillo, Speagle & Finkbeiner 2020: the optimum is 1/SNR^2 too bright, free to move."""
    outcome = measure_lone_stars(snr, N_STAR, seed)
    alarm = per_test(3)
    assert abs(outcome.mean.mean()) < mean_band(N_STAR, outcome.mean.std(), alarm)
    band = mean_band(N_STAR, outcome.fit.std(), alarm)
    # The next order of the bias is a few times 1/SNR^4.
    assert -band < outcome.fit.mean() - snr**-2 < band + 4 * snr**-4
    low, high = binomial_band(N_STAR, 0.6827, alarm)
    assert low <= outcome.inside68.mean() <= high


@pytest.mark.parametrize(("snr", "seed"), [(10, 311), (30, 312), (100, 313), (300, 314)])
def test_scatter_of_the_optimum_is_at_the_cramer_rao_limit(snr, seed):
    outcome = measure_lone_stars(snr, N_STAR, seed, sample=False)
    low, high = sd_band(N_STAR)
    # The bias of 1/SNR^2 and the limit's own next order stay under 1/SNR^2 of the variance each.
    assert low <= np.sqrt(np.mean(outcome.over_limit**2)) <= high * (1 + snr**-2)
