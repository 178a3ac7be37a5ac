"""Random values from priors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bayesphot.priors.distributions import (
    HalfNormal,
    LogNormal,
    LogUniform,
    Normal,
    PowerLaw,
    Prior,
    TruncatedNormal,
    Uniform,
    log_ratio,
)

__all__ = ["can_draw", "draw_prior"]


def can_draw(prior: Any) -> bool:
    """Return whether values can be drawn from a prior: proper, or a frozen scipy distribution."""
    if isinstance(prior, Prior):
        return prior.is_proper
    return callable(getattr(prior, "rvs", None)) and not isinstance(prior, type)


def draw_prior(prior: Any, random: np.random.Generator, shape) -> np.ndarray:
    """Draw independent values from a proper prior.

    Parameters
    ----------
    prior : Prior or frozen scipy distribution
        What `can_draw` accepts.
    random : Generator
        Where the randomness comes from.
    shape : int or tuple of int
        Shape of the values.

    Returns
    -------
    ndarray of float64
        In the parameter's unit.

    Raises
    ------
    ValueError
        If the prior is not proper, or no distribution.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.priors import PowerLaw, draw_prior
    >>> flux = draw_prior(PowerLaw(-2.0, 100.0, 1000.0), np.random.default_rng(1), 500)
    >>> bool(flux.min() >= 100.0 and flux.max() <= 1000.0)
    True
    """
    if not can_draw(prior):
        raise ValueError(f"values can only be drawn from a proper distribution, found {prior!r}")
    if not isinstance(prior, Prior):
        return np.asarray(prior.rvs(size=shape, random_state=random), dtype=np.float64)
    if isinstance(prior, Normal):
        return random.normal(prior.mean, prior.sd, shape)
    if isinstance(prior, HalfNormal):
        return np.abs(random.normal(0.0, prior.sd, shape))
    if isinstance(prior, LogNormal):
        return prior.median * np.exp(prior.width * random.standard_normal(shape))
    if isinstance(prior, TruncatedNormal):
        return _draw_truncated(prior, random, shape)
    share = random.random(shape)
    if isinstance(prior, Uniform):
        return prior.low + share * (prior.high - prior.low)
    if isinstance(prior, LogUniform):
        return prior.low * np.exp(share * log_ratio(prior.low, prior.high))
    if isinstance(prior, PowerLaw):
        return _invert_power_law(prior, share)
    raise ValueError(f"no way to draw from {prior!r}")


def _draw_truncated(prior: TruncatedNormal, random, shape) -> np.ndarray:
    """Return values of a normal between two bounds."""
    from scipy.stats import truncnorm

    low, high = ((end - prior.mean) / prior.sd for end in (prior.low, prior.high))
    law = truncnorm(low, high, loc=prior.mean, scale=prior.sd)
    return np.asarray(law.rvs(size=shape, random_state=random), dtype=np.float64)


def _invert_power_law(prior: PowerLaw, share: np.ndarray) -> np.ndarray:
    """Return the values below which these shares of a power law lie."""
    power = prior.index + 1.0
    spread = log_ratio(prior.low, prior.high)
    if power == 0.0:
        return prior.low * np.exp(share * spread)
    # value = end * (1 - part (1 - exp(-|p| spread)))^(1/p), from where value**p is largest.
    end, part = (prior.high, 1.0 - share) if power > 0.0 else (prior.low, share)
    with np.errstate(divide="ignore"):
        rise = np.log1p(part * math.expm1(-abs(power) * spread)) / power
    return np.clip(end * np.exp(rise), prior.low, prior.high)
