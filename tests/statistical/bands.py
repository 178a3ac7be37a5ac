"""Acceptance bands, each derived from the number of simulations at one false-alarm rate.

A correct program leaves a band once in ten thousand runs. Where several numbers are compared at
once, `per_test` shares that rate among them (Bonferroni).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

#: Chance that a correct program fails an experiment.
FALSE_ALARM = 1e-4


def per_test(n_test: int, false_alarm: float = FALSE_ALARM) -> float:
    """Return the false-alarm rate of each of several comparisons."""
    return false_alarm / n_test


def binomial_band(n: int, p: float, false_alarm: float = FALSE_ALARM) -> tuple[float, float]:
    """Return the central band of the fraction of n trials that succeed with probability p."""
    law = stats.binom(n, p)
    return law.ppf(0.5 * false_alarm) / n, law.isf(0.5 * false_alarm) / n


def least_fraction(n: int, p: float, false_alarm: float = FALSE_ALARM) -> float:
    """Return the fraction of n trials below which a success rate of p or more is not credible."""
    return stats.binom.ppf(false_alarm, n, p) / n


def normal_limit(false_alarm: float = FALSE_ALARM) -> float:
    """Return the two-sided limit of a standard normal variate."""
    return float(stats.norm.isf(0.5 * false_alarm))


def mean_band(n: int, sd: float = 1.0, false_alarm: float = FALSE_ALARM) -> float:
    """Return the half-width of the band of a mean of n variates."""
    return normal_limit(false_alarm) * sd / np.sqrt(n)


def sd_band(n: int, false_alarm: float = FALSE_ALARM) -> tuple[float, float]:
    """Return the band of sqrt(mean(z^2)) of n standard normal z."""
    law = stats.chi2(n)
    low, high = law.ppf(0.5 * false_alarm), law.isf(0.5 * false_alarm)
    return float(np.sqrt(low / n)), float(np.sqrt(high / n))


def rank_p_value(rank: np.ndarray, n_rank: int, n_bin: int) -> float:
    """Return the p-value of ranks 0 .. n_rank - 1 being uniform, by chi-squared over bins."""
    if n_rank % n_bin:
        raise ValueError(f"n_rank must be a multiple of n_bin, found {n_rank} and {n_bin}")
    count = np.bincount(np.asarray(rank) * n_bin // n_rank, minlength=n_bin)
    return float(stats.chisquare(count).pvalue)


def mean_p_value(draws: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Return the p-value of independent draws (n, d) having this mean (Hotelling, known sd)."""
    off = draws.mean(axis=0) - mean
    statistic = len(draws) * off @ np.linalg.solve(covariance, off)
    return float(stats.chi2.sf(statistic, mean.size))


def covariance_p_value(draws: np.ndarray, covariance: np.ndarray) -> float:
    """Return the p-value of independent normal draws (n, d) having this covariance.

    Likelihood-ratio test with Bartlett's factor (Anderson 2003, section 10.8), which is two-sided.
    """
    n, d = draws.shape
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, draws.T)
    sample = np.atleast_2d(np.cov(white))
    _, log_det = np.linalg.slogdet(sample)
    statistic = (n - 1) * (np.trace(sample) - log_det - d)
    statistic *= 1.0 - (2 * d + 1 - 2 / (d + 1)) / (6 * (n - 1))
    freedom = d * (d + 1) // 2
    upper, lower = stats.chi2.sf(statistic, freedom), stats.chi2.cdf(statistic, freedom)
    return float(min(1.0, 2.0 * min(upper, lower)))


def welch_p_values(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return p-values of two sets of independent replicates (n, ...) having one mean."""
    return stats.ttest_ind(first, second, axis=0, equal_var=False).pvalue
