"""Acceptance bands of the experiments: the package's own, and a few that only tests need.

A correct program leaves a band once in ten thousand runs. Where several numbers are compared at
once, `per_test` shares that rate among them (Bonferroni).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from bayesphot.calibration.bands import (
    FALSE_ALARM,
    binomial_band,
    normal_limit,
    per_test,
    sd_band,
)

__all__ = [
    "FALSE_ALARM",
    "binomial_band",
    "covariance_p_value",
    "least_fraction",
    "mean_band",
    "mean_p_value",
    "per_test",
    "sd_band",
    "welch_p_values",
]


def least_fraction(n: int, p: float, false_alarm: float = FALSE_ALARM) -> float:
    """Return the fraction of n trials below which a success rate of p or more is not credible."""
    return stats.binom.ppf(false_alarm, n, p) / n


def mean_band(n: int, sd: float = 1.0, false_alarm: float = FALSE_ALARM) -> float:
    """Return the half-width of the band of a mean of n variates."""
    return normal_limit(false_alarm) * sd / np.sqrt(n)


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
