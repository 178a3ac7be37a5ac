"""Acceptance bands, each derived from the number of simulations at one false-alarm rate.

A correct program leaves a band once in ten thousand runs. Where several numbers are compared at
once, `per_test` shares that rate among them (Bonferroni).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "FALSE_ALARM",
    "binomial_band",
    "ecdf_limit",
    "normal_limit",
    "rank_p_value",
    "sd_band",
    "per_test",
]

#: Chance that a correct program fails a comparison, or a table of them.
FALSE_ALARM = 1e-4


def per_test(n_test: int, false_alarm: float = FALSE_ALARM) -> float:
    """Return the false-alarm rate of each of several comparisons."""
    return false_alarm / max(n_test, 1)


def binomial_band(n: int, p: float, false_alarm: float = FALSE_ALARM) -> tuple[float, float]:
    """Return the central band of the fraction of n trials that succeed with probability p."""
    from scipy.stats import binom

    low, high = binom.ppf(0.5 * false_alarm, n, p), binom.isf(0.5 * false_alarm, n, p)
    return float(low / n), float(high / n)


def normal_limit(false_alarm: float = FALSE_ALARM) -> float:
    """Return the two-sided limit of a standard normal variate."""
    from scipy.special import ndtri

    return float(-ndtri(0.5 * false_alarm))


def sd_band(n: float, false_alarm: float = FALSE_ALARM) -> tuple[float, float]:
    """Return the band of sqrt(mean(z^2)) of n independent standard normal z.

    Where z is not normal, or not independent, n is 2 / var(mean(z^2)) (Satterthwaite 1946).
    """
    from scipy.stats import chi2

    low, high = chi2.ppf(0.5 * false_alarm, n), chi2.isf(0.5 * false_alarm, n)
    return float(np.sqrt(low / n)), float(np.sqrt(high / n))


def ecdf_limit(n: int, false_alarm: float = FALSE_ALARM) -> float:
    """Return how far the distribution of n uniform values may lie off anywhere (Massart 1990)."""
    return float(np.sqrt(np.log(2.0 / false_alarm) / (2.0 * n)))


def rank_p_value(rank: np.ndarray, n_rank: int, n_bin: int) -> float:
    """Return the p-value of ranks 0 .. n_rank - 1 being uniform, by chi-squared over bins."""
    from scipy.stats import chisquare

    if n_rank % n_bin:
        raise ValueError(f"n_rank must be a multiple of n_bin, found {n_rank} and {n_bin}")
    count = np.bincount(np.asarray(rank) * n_bin // n_rank, minlength=n_bin)
    return float(chisquare(count).pvalue)
