"""Close pairs: intervals hold the truth as often as they say, and one star is not a pair."""

from __future__ import annotations

import pytest
from bands import FALSE_ALARM, binomial_band, per_test
from pairs import count_split_stars, measure_pairs
from scipy import stats

N_PAIR, N_STAR = 400, 100


def test_intervals_of_pairs_hold_the_truth_as_often_as_they_say():
    outcome = measure_pairs(N_PAIR, 4101)
    low, high = binomial_band(N_PAIR, 0.6827, per_test(3))
    coverage = {name: inside.mean() for name, inside in outcome.inside.items()}
    assert all(low <= share <= high for share in coverage.values()), coverage
    # From 0.6 FWHM and SNR 20 on, each star by 3 sigma: a pair called unresolved would have
    # intervals that hold the truth by their width.
    assert outcome.resolved.mean() > 0.95


@pytest.mark.slow
def test_single_stars_fitted_as_two_are_not_called_pairs():
    # Separation zero outside 3 sigma is one case in 370; one in 100 is what is allowed here.
    assert count_split_stars(N_STAR, 4102) <= stats.binom.isf(FALSE_ALARM, N_STAR, 0.01)
