"""Integrals of a prior times a normal likelihood: what a flux's evidence is made of."""

from __future__ import annotations

import math

import numpy as np

from bayesphot.priors.distributions import LogNormal, LogUniform, PowerLaw, Prior

__all__ = ["log_expectation", "log_integral"]

#: Gauss-Legendre nodes between two breakpoints, and breakpoints spread evenly in the logarithm.
NODES = 16
STEPS = 17
#: Breakpoints in standard deviations of the normal, and of a log-normal's logarithm.
NORMAL_STEPS = np.array([-9.0, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 9.0])
LOG_STEPS = np.array([-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0])
#: Where the exponent of the normal has fallen by this much, nothing is left.
NOTHING = 45.0
_LOG_2PI = math.log(2.0 * math.pi)


def log_integral(prior: Prior, score, information) -> np.ndarray:
    """Return ln of the integral of p(f) exp(s f - a f^2 / 2) over f.

    It is the Bayes factor of a source of flux f, whose log likelihood relative to no source is
    s f - a f^2 / 2.

    Parameters
    ----------
    prior : Prior
        A proper prior p.
    score, information : array_like
        s and a >= 0. Where a is 0 the data say nothing, and the answer is 0.

    Raises
    ------
    ValueError
        If the prior is not proper.

    Examples
    --------
    >>> from bayesphot.priors import Normal
    >>> from bayesphot.priors.expectation import log_integral
    >>> round(float(log_integral(Normal(0.0, 1.0), 2.0, 1.0)), 4)  # 1 - ln(2) / 2
    0.6534
    """
    score, information = np.broadcast_arrays(
        np.asarray(score, dtype=float), np.asarray(information, dtype=float)
    )
    told = information > 0.0
    a, s = np.where(told, information, 1.0), np.where(told, score, 0.0)
    mean, precision = prior.normal()
    variance = 1.0 / (a + precision)
    center = (s + precision * mean) * variance
    value = log_expectation(prior, center, variance) + 0.5 * (_LOG_2PI + np.log(variance))
    value += 0.5 * center**2 / variance - 0.5 * precision * mean**2
    return np.where(told, value, 0.0)


def log_expectation(prior: Prior, mean, variance) -> np.ndarray:
    """Return ln of the mean of p(f) / n(f) for a normal f, n the normal kernel of the prior.

    The kernel, exp(-(f - m)^2 q / 2) of ``prior.normal()``, is what a fit has taken into its
    normal already; 1 for priors without any. Closed form for normals and flat priors, cut or not,
    else Gauss-Legendre in ln(f).

    Parameters
    ----------
    prior : Prior
        A proper prior.
    mean, variance : array_like
        Of the normal; variance positive.

    Raises
    ------
    ValueError
        If the prior is not proper.
    """
    if not prior.is_proper:
        raise ValueError(f"evidence needs a proper prior of the flux, found {prior!r}")
    mean, variance = np.broadcast_arrays(
        np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    )
    sd = np.sqrt(variance)
    if isinstance(prior, (LogNormal, LogUniform, PowerLaw)):
        flat = _integrate_logarithm(prior, mean.ravel(), sd.ravel())
        return flat.reshape(mean.shape)
    if not prior.density().any():
        return np.full(mean.shape, prior.whole()[1])
    low, high = prior.support()
    return prior.density()[1] + _log_mass((low - mean) / sd, (high - mean) / sd)


def _log_mass(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return ln of the standard normal's mass between two bounds, in either tail."""
    from scipy.special import log_ndtr

    # In the lower tail both numbers are small ones, and none is 1 less something.
    upper = low > 0.0
    first, last = np.where(upper, -high, low), np.where(upper, -low, high)
    top = log_ndtr(last)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top + np.log1p(-np.exp(log_ndtr(first) - top))


def _integrate_logarithm(prior, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return ln of the mean of a density of positive values under normals, (m,)."""
    from scipy.special import logsumexp

    edge = np.log(_break_up(prior, mean, sd))
    node, weight = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * np.diff(edge, axis=1)[..., None]
    u = 0.5 * (edge[:, 1:] + edge[:, :-1])[..., None] + half * node
    value = np.exp(u)
    z = (value - mean[:, None, None]) / sd[:, None, None]
    # f = exp(u): df = f du.
    term = _log_density(prior, u) + u - 0.5 * z * z
    total = logsumexp(term, b=half * weight, axis=(1, 2))
    return total - 0.5 * _LOG_2PI - np.log(sd)


def _break_up(prior, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return breakpoints (m, n) between which prior and normal are smooth, in order."""
    low, high = prior.support()
    steps = np.full(mean.size, np.nan)[:, None]
    if isinstance(prior, LogNormal):
        steps = np.tile(prior.median * np.exp(prior.width * LOG_STEPS), (mean.size, 1))
        low = prior.median * math.exp(-9.0 * prior.width)
        high = prior.median * math.exp(9.0 * prior.width)
    # From its value at the low end, or at its peak, the normal falls by NOTHING until here.
    from_low = np.maximum(low - mean, 0.0)
    top = mean + np.sqrt(from_low**2 + 2.0 * NOTHING * sd**2)
    top = np.maximum(np.minimum(high, top), low * (1.0 + 1e-9))
    if isinstance(prior, LogNormal):
        top = np.maximum(top, min(high, prior.median))
    even = np.geomspace(np.full(mean.size, low), top, STEPS, axis=1)
    peak = mean[:, None] + sd[:, None] * NORMAL_STEPS
    edge = np.concatenate([even, peak, np.where(np.isnan(steps), low, steps)], axis=1)
    return np.sort(np.clip(edge, low, top[:, None]), axis=1)


def _log_density(prior, u: np.ndarray) -> np.ndarray:
    """Return the log density at exp(u), inside the support."""
    _, norm, *numbers = prior.density()
    if isinstance(prior, LogNormal):
        return norm - 0.5 * ((u - math.log(numbers[0])) / numbers[1]) ** 2 - u
    return norm + (numbers[0] if isinstance(prior, PowerLaw) else -1.0) * u
