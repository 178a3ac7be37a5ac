"""Integrals of a prior times a normal likelihood: what a flux's evidence is made of."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from bayesphot.kernels.structs import (
    HALF_NORMAL,
    LOG_NORMAL,
    LOG_UNIFORM,
    NORMAL,
    POWER_LAW,
    TRUNCATED_NORMAL,
    UNIFORM,
)
from bayesphot.priors.distributions import (
    HalfNormal,
    LogNormal,
    LogUniform,
    Normal,
    PowerLaw,
    Prior,
    TruncatedNormal,
)

__all__ = [
    "gauss_legendre",
    "log_expectation",
    "log_integral",
    "log_mass",
    "log_mean_density",
    "log_within",
]

#: Gauss-Legendre nodes between two breakpoints, and breakpoints spread evenly in the logarithm.
NODES = 16
STEPS = 17
#: Breakpoints in standard deviations of the normal, and of a log-normal's logarithm.
NORMAL_STEPS = np.array([-9.0, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 9.0])
LOG_STEPS = np.array([-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0])
#: From its mode a product of two peaks has fallen to nothing in so many standard deviations.
FALL = 14.0
#: Where the exponent of the normal has fallen by this much, nothing is left.
NOTHING = 45.0
#: Breakpoints from the upper end down, in lengths over which a normal that peaks beyond it grows
#: by e.
END_STEPS = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, NOTHING])
#: Halvings that find a mode; and logarithms that have an exponential.
HALVINGS = 60
MOST_LOG = 700.0
#: Breakpoints about a mode, in its standard deviations.
MODE_STEPS = np.concatenate([[-FALL], NORMAL_STEPS, [FALL]])
_LOG_2PI = math.log(2.0 * math.pi)
#: Distributions by the kinds of densities, and how many of a density's numbers they take.
_KINDS = {
    NORMAL: (Normal, 2),
    LOG_NORMAL: (LogNormal, 2),
    LOG_UNIFORM: (LogUniform, 2),
    POWER_LAW: (PowerLaw, 3),
    HALF_NORMAL: (HalfNormal, 1),
    TRUNCATED_NORMAL: (TruncatedNormal, 4),
}


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
    return prior.density()[1] + log_mass((low - mean) / sd, (high - mean) / sd)


def log_mean_density(density: np.ndarray, mean: float, variance: float) -> float:
    """Return ln of the mean under a normal of a density given by its numbers, norm included.

    Parameters
    ----------
    density : (6,) array
        Numbers of `bayesphot.kernels.priors.log_prior_density`.
    mean, variance : float
        Of the normal, which has nothing of the density in it.
    """
    kind, norm, numbers = int(density[0]), float(density[1]), [float(v) for v in density[2:]]
    sd = math.sqrt(variance)
    if kind == UNIFORM:
        # Its own norm: that of the normal which these may be the bounds of is in it.
        return norm + float(log_mass((numbers[0] - mean) / sd, (numbers[1] - mean) / sd))
    make, count = _KINDS[kind]
    prior = make(*numbers[:count])
    log_z = float(log_integral(prior, mean / variance, 1.0 / variance))
    return log_z - 0.5 * (mean**2 / variance + _LOG_2PI + math.log(variance))


@cache
def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (n,) of Gauss and Legendre on [-1, 1]; not to be changed."""
    return np.polynomial.legendre.leggauss(n)


def log_mass(low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Return ln of the standard normal's mass between two bounds, in either tail."""
    from scipy.special import log_ndtr

    low, high = np.asarray(low), np.asarray(high)
    # In the lower tail both numbers are small ones, and none is 1 less something.
    upper = low > 0.0
    first, last = np.where(upper, -high, low), np.where(upper, -low, high)
    top = log_ndtr(last)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top + np.log1p(-np.exp(log_ndtr(first) - top))


def _integrate_logarithm(prior, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return ln of the mean of a density of positive values under normals, (m,)."""
    break_up = _break_peak if isinstance(prior, LogNormal) else _break_bounds
    edge = break_up(prior, mean, sd)
    # Nearly half of them are empty, cut off at an end of the support.
    row, segment = np.nonzero(np.diff(edge, axis=1) > 0.0)
    node, weight = gauss_legendre(NODES)
    low, high = edge[row, segment], edge[row, segment + 1]
    half = 0.5 * (high - low)
    u = 0.5 * (high + low)[:, None] + half[:, None] * node
    # f = exp(u): df = f du. The square of the largest is infinite, and its term nothing.
    with np.errstate(over="ignore"):
        z = (np.exp(u) - mean[row, None]) / sd[row, None]
        term = _log_density(prior, u) + u - 0.5 * z * z
    # As scipy's logsumexp, which takes twice as long.
    first = np.searchsorted(row, np.arange(mean.size))
    top = np.maximum.reduceat(term, first).max(axis=1)
    top = np.where(np.isfinite(top), top, 0.0)
    np.exp(term - top[row, None], out=term)
    with np.errstate(divide="ignore"):
        total = top + np.log(np.add.reduceat((term @ weight) * half, first))
    return total - 0.5 * _LOG_2PI - np.log(sd)


def _break_bounds(prior, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return ln of breakpoints (m, n) between which prior and normal are smooth, in order."""
    low, high = prior.support()
    # From its value at the low end, or at its peak, the normal falls by NOTHING until here.
    from_low = np.maximum(low - mean, 0.0)
    top = mean + np.sqrt(from_low**2 + 2.0 * NOTHING * sd**2)
    top = np.maximum(np.minimum(high, top), low * (1.0 + 1e-9))
    even = np.geomspace(np.full(mean.size, low), top, STEPS, axis=1)
    peak = mean[:, None] + sd[:, None] * NORMAL_STEPS
    # Where it peaks beyond the end it grows as exp((mean - top) f / sd^2) towards it.
    length = sd**2 / np.maximum(mean - top, sd)
    end = top[:, None] - length[:, None] * END_STEPS
    edge = np.concatenate([even, peak, end], axis=1)
    return np.log(np.sort(np.clip(edge, low, top[:, None]), axis=1))


def _break_peak(prior: LogNormal, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return ln of breakpoints (m, n) about both modes of a log-normal times normals, in order."""
    center, width = math.log(prior.median), prior.width
    near, far, far_sd = _find_modes(center, width, mean, sd)
    first = np.minimum(center - 9.0 * width, far - FALL * far_sd)
    last = np.minimum(np.maximum(near + 9.0 * width, far + FALL * far_sd), MOST_LOG)
    even = np.linspace(first, last, STEPS, axis=1)
    peak = np.log(np.maximum(mean[:, None] + sd[:, None] * NORMAL_STEPS, 1e-300))
    about_near = near[:, None] + width * LOG_STEPS
    about_far = far[:, None] + far_sd[:, None] * MODE_STEPS
    edge = np.concatenate([even, peak, about_near, about_far], axis=1)
    return np.sort(np.clip(edge, first[:, None], last[:, None]), axis=1)


def _find_modes(center: float, width: float, mean: np.ndarray, sd: np.ndarray):
    """Return the two modes in u = ln(f) of a log-normal times normals, and the sd of the second.

    With m, w of the log-normal in u, a mode has (u - m) / w^2 = h(u) = e^u (mean - e^u) / sd^2.
    Where e^u > mean / 2, h falls, and there is one at most: the normal's, found by halving. Where
    e^u is less, h grows, and u = m + w^2 h(u) repeated from m on climbs to the log-normal's.
    """

    def pull(u):
        value = np.exp(u)
        return value * (mean - value) / sd**2

    valley = np.log(np.maximum(0.5 * mean, 1e-300))
    near = np.full(mean.size, center)
    for _step in range(HALVINGS):
        near = np.maximum(center, np.minimum(center + width**2 * pull(near), valley))
    positive = mean > 0.0
    least = center + width**2 * np.minimum(pull(np.full(mean.size, center)), 0.0)
    low = np.where(positive, np.maximum(least, valley), least)
    high = np.maximum(center, np.log(np.maximum(mean, 1e-300)))
    for _step in range(HALVINGS):
        middle = 0.5 * (low + high)
        rises = pull(middle) > (middle - center) / width**2
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    far = 0.5 * (low + high)
    value = np.exp(far)
    curvature = 1.0 / width**2 + value * np.maximum(2.0 * value - mean, 0.0) / sd**2
    return near, far, 1.0 / np.sqrt(curvature)


def _log_density(prior, u: np.ndarray) -> np.ndarray:
    """Return the log density at exp(u), inside the support."""
    _, norm, *numbers = prior.density()
    if isinstance(prior, LogNormal):
        return norm - 0.5 * ((u - math.log(numbers[0])) / numbers[1]) ** 2 - u
    return norm + (numbers[0] if isinstance(prior, PowerLaw) else -1.0) * u


def log_within(prior: Prior, value) -> np.ndarray:
    """Return the log density of values inside the support, but for a constant."""
    value = np.asarray(value, dtype=float)
    if isinstance(prior, (LogNormal, LogUniform, PowerLaw)):
        return _log_density(prior, np.log(value))
    mean, precision = prior.normal()
    return -0.5 * precision * (value - mean) ** 2
