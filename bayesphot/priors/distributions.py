"""Distributions of one parameter, and the disc of a position."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bayesphot.checks import check_bound, check_number
from bayesphot.kernels.structs import (
    HALF_NORMAL,
    LOG_NORMAL,
    LOG_UNIFORM,
    N_DENSITY,
    NORMAL,
    POWER_LAW,
    TRUNCATED_NORMAL,
    UNIFORM,
)

__all__ = [
    "DISTRIBUTIONS",
    "Disc",
    "HalfNormal",
    "LogNormal",
    "LogUniform",
    "Normal",
    "PowerLaw",
    "Prior",
    "TruncatedNormal",
    "Uniform",
]


@dataclass(frozen=True)
class Disc:
    """Uniform in a disc about the start position.

    Parameters
    ----------
    radius : float
        Radius in pixels, positive.

    Raises
    ------
    ValueError
        If the radius is not positive.

    Examples
    --------
    >>> from bayesphot import Disc
    >>> Disc(1.5)
    Disc(radius=1.5)
    """

    radius: float

    def __post_init__(self):
        check_number("radius", self.radius, above=0.0)


#: Numbers of a distribution that are not in its parameter's unit.
_DIMENSIONLESS = ("index", "width")


class Prior:
    """What every distribution of one parameter knows.

    It is the kernel exp(-z^2/2) of the normal of ``normal()`` (mean, precision; precision 0:
    flat), which the linear algebra takes in, times ``density()``, by its numbers for
    `bayesphot.kernels.priors.log_prior_density`; all zero where there is nothing more.
    """

    @property
    def is_proper(self) -> bool:
        """Whether it integrates to one."""
        return True

    def support(self) -> tuple[float, float]:
        """Return the ends of the support."""
        return -math.inf, math.inf

    def scaled(self, factor: float) -> Prior:
        """Return the prior of the parameter times a positive factor."""
        own: Any = self
        names = [item.name for item in fields(own) if item.name not in _DIMENSIONLESS]
        return replace(own, **{name: factor * getattr(self, name) for name in names})

    def normal(self) -> tuple[float, float]:
        """Return mean and precision of the normal part."""
        return 0.0, 0.0

    def density(self) -> np.ndarray:
        """Return the numbers of what is not normal: the density over the normal's kernel."""
        return np.zeros(N_DENSITY)

    def whole(self) -> np.ndarray:
        """Return the numbers of the whole density."""
        return self.density()

    def shift(self, reference: np.ndarray) -> np.ndarray:
        """Return ``density()`` of the parameter less each of some references, (n, 6)."""
        if np.any(self.density()):
            raise ValueError(f"the background cannot take {self!r}")
        return np.zeros((np.size(reference), N_DENSITY))


#: Standard deviations between which a precision, 1 / sd^2, is a number.
LEAST_SD, MOST_SD = 1e-150, 1e150
#: Standard deviations of a logarithm: below, ln(value) has no digits left to tell the density;
#: above, the tails leave the floating-point numbers.
LEAST_WIDTH, MOST_WIDTH = 1e-12, 50.0


def _check_sd(name: str, value: float, least: float = LEAST_SD, most: float = MOST_SD) -> None:
    """Raise unless a standard deviation is one that can be computed with."""
    if not least <= check_number(name, value, above=0.0) <= most:
        raise ValueError(f"{name} must lie between {least:g} and {most:g}, found {value!r}")


def _check_mean(value: float) -> None:
    """Raise unless a mean is one that can be squared."""
    if not abs(check_number("mean", value)) <= MOST_SD:
        raise ValueError(f"mean must lie between {-MOST_SD:g} and {MOST_SD:g}, found {value!r}")


def _check_order(low: float, high: float) -> None:
    """Raise TypeError or ValueError unless two bounds are numbers in order."""
    if not check_bound("low", low) < check_bound("high", high):
        raise ValueError(f"low must be below high, found low={low!r}, high={high!r}")


def log_ratio(low: float, high: float) -> float:
    """Return ln(high / low) of positive bounds in order, however far or near they are."""
    rise = (high - low) / low
    return math.log1p(rise) if rise < 1.0 else math.log(high) - math.log(low)


def _row(kind: int, norm: float, *numbers: float) -> np.ndarray:
    """Return the numbers of a density."""
    row = np.zeros(N_DENSITY)
    row[:2] = kind, norm
    row[2 : 2 + len(numbers)] = numbers
    return row


@dataclass(frozen=True)
class Uniform(Prior):
    """Uniform between two bounds, which may be infinite.

    Parameters
    ----------
    low, high : float
        Bounds in the parameter's unit; offsets from the start for positions.

    Raises
    ------
    TypeError
        If a bound is not a number.
    ValueError
        If ``low`` is not below ``high``.

    Examples
    --------
    >>> from bayesphot import Uniform
    >>> Uniform(-0.5, 0.5).support()
    (-0.5, 0.5)
    >>> Uniform().is_proper
    False
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self):
        _check_order(self.low, self.high)

    @property
    def is_proper(self) -> bool:
        return math.isfinite(self.high - self.low)

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def density(self) -> np.ndarray:
        if math.isinf(self.low) and math.isinf(self.high):
            return np.zeros(N_DENSITY)
        norm = -math.log(self.high - self.low) if self.is_proper else 0.0
        return _row(UNIFORM, norm, self.low, self.high)

    def shift(self, reference: np.ndarray) -> np.ndarray:
        rows = np.tile(self.density(), (np.size(reference), 1))
        rows[:, 2:4] -= np.ravel(reference)[:, None]
        return rows


@dataclass(frozen=True)
class Normal(Prior):
    """Normal distribution; for positions its mean is an offset from the start.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation in the parameter's unit; ``sd`` positive.

    Raises
    ------
    ValueError
        If ``sd`` is not positive, ``mean`` not finite, or either beyond 1e150 (``sd``: or below
        1e-150).

    Examples
    --------
    The sky known from elsewhere, to 0.5:

    >>> import bayesphot as bp
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=2.0), fitshape=11,
    ...     priors={"background": bp.Normal(20.0, 0.5)})
    >>> phot.priors["background"]
    Normal(mean=20.0, sd=0.5)
    """

    mean: float
    sd: float

    def __post_init__(self):
        _check_sd("sd", self.sd)
        _check_mean(self.mean)

    def normal(self) -> tuple[float, float]:
        return self.mean, 1.0 / self.sd**2

    def whole(self) -> np.ndarray:
        norm = -math.log(self.sd) - 0.5 * math.log(2.0 * math.pi)
        return _row(NORMAL, norm, self.mean, self.sd)


@dataclass(frozen=True)
class LogNormal(Prior):
    """Log-normal distribution.

    Parameters
    ----------
    median : float
        Median in the parameter's unit, positive.
    width : float
        Standard deviation of the natural logarithm, positive.

    Raises
    ------
    ValueError
        If either is not positive, or ``width`` not between 1e-12 and 50.

    Examples
    --------
    A width of the PSF that is known to 5 %:

    >>> import bayesphot as bp
    >>> psf_model = bp.IntegratedGaussianPRF(sigma=2.0)
    >>> psf_model.sigma.fixed = False
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=psf_model, fitshape=11, priors={"sigma": bp.LogNormal(2.0, 0.05)})
    >>> phot.priors["sigma"]
    LogNormal(median=2.0, width=0.05)
    """

    median: float
    width: float

    def __post_init__(self):
        check_number("median", self.median, above=0.0)
        _check_sd("width", self.width, LEAST_WIDTH, MOST_WIDTH)

    def support(self) -> tuple[float, float]:
        return 0.0, math.inf

    def density(self) -> np.ndarray:
        norm = -math.log(self.width) - 0.5 * math.log(2.0 * math.pi)
        return _row(LOG_NORMAL, norm, self.median, self.width)


@dataclass(frozen=True)
class LogUniform(Prior):
    """Uniform in the logarithm between two positive bounds (Jeffreys' prior of a scale).

    Parameters
    ----------
    low, high : float
        Bounds in the parameter's unit, positive and finite.

    Raises
    ------
    ValueError
        If the bounds are not positive, finite and in order.

    Examples
    --------
    >>> from bayesphot import LogUniform, NormalNoise
    >>> NormalNoise(inflation=LogUniform(0.5, 2.0)).inflation.support()
    (0.5, 2.0)
    """

    low: float
    high: float

    def __post_init__(self):
        check_number("low", self.low, above=0.0)
        check_number("high", self.high, above=0.0)
        _check_order(self.low, self.high)

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def density(self) -> np.ndarray:
        norm = -math.log(log_ratio(self.low, self.high))
        return _row(LOG_UNIFORM, norm, self.low, self.high)


@dataclass(frozen=True)
class PowerLaw(Prior):
    """Density proportional to ``value**index`` between two bounds: star counts.

    Parameters
    ----------
    index : float
        Exponent of the density, e.g. -2.
    low, high : float
        Bounds in the parameter's unit; ``low`` positive, ``high`` infinite where the index is
        below -1.

    Raises
    ------
    ValueError
        If the bounds are out of order, the density does not integrate to one, or the index is too
        large to compute it.

    Examples
    --------
    Ten times as many stars for each factor of ten that they are fainter:

    >>> import bayesphot as bp
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=2.0), fitshape=11,
    ...     priors={"flux": bp.PowerLaw(-2.0, low=50.0)})
    >>> phot.priors["flux"]
    PowerLaw(index=-2.0, low=50.0, high=inf)
    """

    index: float
    low: float
    high: float = math.inf

    def __post_init__(self):
        check_number("index", self.index)
        check_number("low", self.low, above=0.0)
        _check_order(self.low, self.high)
        if math.isinf(self.high) and self.index >= -1.0:
            raise ValueError(
                f"PowerLaw of index {self.index!r} needs a finite high: it has no integral"
            )
        if not math.isfinite(self._norm()):
            raise ValueError(
                "index must leave a density that can be computed between the bounds, "
                f"found {self!r}"
            )

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def density(self) -> np.ndarray:
        return _row(POWER_LAW, self._norm(), self.index, self.low, self.high)

    def _norm(self) -> float:
        """Return minus the log of the integral of ``value**index``.

        With p = index + 1 and e the end where value**p is largest, the integral is
        e^p (1 - exp(-|p| ln(high / low))) / |p|.
        """
        power = self.index + 1.0
        ratio = log_ratio(self.low, self.high)
        if power == 0.0:
            return -math.log(ratio)
        end = self.high if power > 0.0 else self.low
        share = -math.expm1(-abs(power) * ratio)
        return math.log(abs(power)) - power * math.log(end) - math.log(share)


@dataclass(frozen=True)
class HalfNormal(Prior):
    """Normal about zero, positive values only.

    Parameters
    ----------
    sd : float
        Standard deviation of the whole normal, positive.

    Raises
    ------
    ValueError
        If ``sd`` is not positive, or not between 1e-150 and 1e150.

    Examples
    --------
    >>> from bayesphot import HalfNormal
    >>> HalfNormal(1000.0).support()
    (0.0, inf)
    """

    sd: float

    def __post_init__(self):
        _check_sd("sd", self.sd)

    def support(self) -> tuple[float, float]:
        return 0.0, math.inf

    def normal(self) -> tuple[float, float]:
        return 0.0, 1.0 / self.sd**2

    def density(self) -> np.ndarray:
        return _row(UNIFORM, self._norm(), 0.0, math.inf)

    def whole(self) -> np.ndarray:
        return _row(HALF_NORMAL, self._norm(), self.sd)

    def _norm(self) -> float:
        """Return the log of the density at zero."""
        return 0.5 * math.log(2.0 / math.pi) - math.log(self.sd)


@dataclass(frozen=True)
class TruncatedNormal(Prior):
    """Normal distribution cut at two bounds, one of which may be infinite.

    Parameters
    ----------
    mean, sd : float
        Of the normal before it is cut; ``sd`` positive.
    low, high : float
        Bounds in the parameter's unit.

    Raises
    ------
    ValueError
        If ``sd`` is not positive, the bounds are out of order, or nothing lies between them.

    Examples
    --------
    >>> from bayesphot import TruncatedNormal
    >>> TruncatedNormal(mean=500.0, sd=300.0).support()
    (0.0, inf)
    """

    mean: float
    sd: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self):
        _check_sd("sd", self.sd)
        _check_mean(self.mean)
        _check_order(self.low, self.high)
        if not self._mass() > 0.0:
            raise ValueError(f"nothing of the normal lies between the bounds of {self!r}")

    def _mass(self) -> float:
        """Return the share of the normal between the bounds."""
        low, high = ((v - self.mean) / self.sd / math.sqrt(2.0) for v in (self.low, self.high))
        # On the side where both tails are small numbers.
        return 0.5 * (
            math.erfc(low) - math.erfc(high) if low > 0.0 else math.erfc(-high) - math.erfc(-low)
        )

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def normal(self) -> tuple[float, float]:
        return self.mean, 1.0 / self.sd**2

    def density(self) -> np.ndarray:
        return _row(UNIFORM, self._norm(), self.low, self.high)

    def whole(self) -> np.ndarray:
        return _row(TRUNCATED_NORMAL, self._norm(), self.mean, self.sd, self.low, self.high)

    def _norm(self) -> float:
        """Return the log of the density at the mean, were it inside."""
        return -math.log(self._mass()) - math.log(self.sd) - 0.5 * math.log(2.0 * math.pi)

    def shift(self, reference: np.ndarray) -> np.ndarray:
        rows = np.tile(self.density(), (np.size(reference), 1))
        rows[:, 2:4] -= np.ravel(reference)[:, None]
        return rows


#: The distributions that the compiled engines take.
DISTRIBUTIONS = (Uniform, Normal, LogNormal, LogUniform, PowerLaw, HalfNormal, TruncatedNormal)
