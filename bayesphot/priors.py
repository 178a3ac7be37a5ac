"""Prior distributions, and which of them each parameter takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    "Disc",
    "HalfNormal",
    "LogNormal",
    "LogUniform",
    "Normal",
    "PowerLaw",
    "PriorSet",
    "TruncatedNormal",
    "Uniform",
    "normalise_priors",
]

#: The distributions that the compiled engines take.
_KINDS = (
    "Uniform",
    "Normal",
    "LogNormal",
    "LogUniform",
    "PowerLaw",
    "HalfNormal",
    "TruncatedNormal",
)

#: Default half-width, in ln(sigma), of the log-normal prior of a free PSF width: a width read
#: off a few stars is seldom wrong by more than a fifth.
SHAPE_WIDTH = 0.2


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
        _require_positive("radius", self.radius)


class _Prior:
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


def _row(kind: int, norm: float, *numbers: float) -> np.ndarray:
    """Return the numbers of a density."""
    row = np.zeros(N_DENSITY)
    row[:2] = kind, norm
    row[2 : 2 + len(numbers)] = numbers
    return row


@dataclass(frozen=True)
class Uniform(_Prior):
    """Uniform between two bounds, which may be infinite.

    Parameters
    ----------
    low, high : float
        Bounds in the parameter's unit; offsets from the start for positions.

    Raises
    ------
    ValueError
        If ``low`` is not below ``high``.
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low={self.low!r}, high={self.high!r}")

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
class Normal(_Prior):
    """Normal distribution; for positions its mean is an offset from the start.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation in the parameter's unit; ``sd`` positive.

    Raises
    ------
    ValueError
        If ``sd`` is not positive or ``mean`` not finite.
    """

    mean: float
    sd: float

    def __post_init__(self):
        _require_positive("sd", self.sd)
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, found {self.mean!r}")

    def normal(self) -> tuple[float, float]:
        return self.mean, 1.0 / self.sd**2

    def whole(self) -> np.ndarray:
        norm = -math.log(self.sd) - 0.5 * math.log(2.0 * math.pi)
        return _row(NORMAL, norm, self.mean, self.sd)


@dataclass(frozen=True)
class LogNormal(_Prior):
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
        If either is not positive.
    """

    median: float
    width: float

    def __post_init__(self):
        _require_positive("median", self.median)
        _require_positive("width", self.width)

    def support(self) -> tuple[float, float]:
        return 0.0, math.inf

    def density(self) -> np.ndarray:
        norm = -math.log(self.width) - 0.5 * math.log(2.0 * math.pi)
        return _row(LOG_NORMAL, norm, self.median, self.width)


@dataclass(frozen=True)
class LogUniform(_Prior):
    """Uniform in the logarithm between two positive bounds (Jeffreys' prior of a scale).

    Parameters
    ----------
    low, high : float
        Bounds in the parameter's unit, positive and finite.

    Raises
    ------
    ValueError
        If the bounds are not positive, finite and in order.
    """

    low: float
    high: float

    def __post_init__(self):
        _require_positive("low", self.low)
        _require_positive("high", self.high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low={self.low!r}, high={self.high!r}")

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def density(self) -> np.ndarray:
        norm = -math.log(math.log(self.high / self.low))
        return _row(LOG_UNIFORM, norm, self.low, self.high)


@dataclass(frozen=True)
class PowerLaw(_Prior):
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
        If the bounds are out of order or the density does not integrate to one.
    """

    index: float
    low: float
    high: float = math.inf

    def __post_init__(self):
        if not math.isfinite(self.index):
            raise ValueError(f"index must be finite, found {self.index!r}")
        _require_positive("low", self.low)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low={self.low!r}, high={self.high!r}")
        if math.isinf(self.high) and self.index >= -1.0:
            raise ValueError(
                f"PowerLaw of index {self.index!r} needs a finite high: it has no integral"
            )

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def density(self) -> np.ndarray:
        power = self.index + 1.0
        if power == 0.0:
            total = math.log(self.high / self.low)
        else:
            end = 0.0 if math.isinf(self.high) else self.high**power
            total = (end - self.low**power) / power
        return _row(POWER_LAW, -math.log(total), self.index, self.low, self.high)


@dataclass(frozen=True)
class HalfNormal(_Prior):
    """Normal about zero, positive values only.

    Parameters
    ----------
    sd : float
        Standard deviation of the whole normal, positive.

    Raises
    ------
    ValueError
        If ``sd`` is not positive.
    """

    sd: float

    def __post_init__(self):
        _require_positive("sd", self.sd)

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
class TruncatedNormal(_Prior):
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
    """

    mean: float
    sd: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self):
        _require_positive("sd", self.sd)
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, found {self.mean!r}")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, found low={self.low!r}, high={self.high!r}")
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


@dataclass(frozen=True)
class PriorSet:
    """What the sampler is told of each parameter; None stands for the default.

    Positions: a disc of ``radius`` pixels (None: 1 FWHM alone, 0.5 FWHM where discs of 1 FWHM
    meet) times ``x`` and ``y``, distributions of the offset from the start; flux: flat; shape:
    log-normal about its start; background: as ``fit_background`` says. ``functions`` are log
    densities in Python, which only emcee can take.
    """

    radius: float | None = None
    x: _Prior | None = None
    y: _Prior | None = None
    flux: _Prior | None = None
    shape: _Prior | None = None
    background: _Prior | None = None
    functions: tuple[tuple[str, Callable], ...] = ()

    @property
    def has_flux(self) -> bool:
        """Whether the flux has a prior other than the flat one."""
        if any(name == "flux" for name, _ in self.functions):
            return True
        given = self.flux
        return given is not None and bool(given.normal()[1] > 0.0 or given.density().any())


def normalise_priors(priors: Mapping | None, shape_names: tuple[str, ...]) -> PriorSet:
    """Return the prior set of a mapping from parameter names to distributions.

    Parameters
    ----------
    priors : mapping or None
        Keys ``"position"`` (`Disc`); ``"x"``, ``"y"`` (of the offset from the start);
        ``"flux"``; a shape's name; ``"background"`` (the total level: `Normal`, `Uniform` or
        `TruncatedNormal`). Values: `Uniform`, `Normal`, `LogNormal`, `LogUniform`, `PowerLaw`,
        `HalfNormal`, `TruncatedNormal`, a frozen scipy distribution, or a callable from an
        array of values to their log densities; the last two make emcee the engine.
    shape_names : tuple of str
        The PSF's shape parameters.

    Raises
    ------
    ValueError
        For an unknown parameter, a distribution the parameter cannot take, one that excludes
        the start, or one that is improper where the data may not hold the parameter.
    TypeError
        If ``priors`` is not a mapping.
    """
    if priors is None:
        return PriorSet()
    if not isinstance(priors, Mapping):
        raise TypeError(f"priors must map parameter names to distributions, found {priors!r}")
    names = ("x", "y", "flux", *shape_names, "background")
    chosen: dict[str, Any] = {}
    functions = []
    for name, prior in priors.items():
        if name == "position":
            if not isinstance(prior, Disc):
                raise ValueError(f"priors['position'] must be Disc, found {prior!r}")
            chosen["radius"] = prior.radius
            continue
        if name not in names:
            raise ValueError(
                f"priors: no parameter {name!r}; there are {sorted((*names, 'position'))}"
            )
        key = "shape" if name in shape_names else name
        function = _read_function(name, prior)
        if function is not None:
            functions.append((key, function))
        else:
            _check_prior(name, key, prior)
            chosen[key] = prior
    return PriorSet(**chosen, functions=tuple(functions))


def _read_function(name: str, prior) -> Callable | None:
    """Return the log density of a frozen scipy distribution or a callable, None for neither."""
    if isinstance(prior, (_Prior, Disc)):
        return None
    for attribute in ("logpdf", None):
        function = getattr(prior, attribute, None) if attribute else prior
        if callable(function) and not isinstance(prior, type):
            if name == "background":
                raise ValueError("priors['background'] cannot be a function")
            return function
    raise ValueError(
        f"priors[{name!r}] must be one of {', '.join(_KINDS)}, a frozen scipy distribution or a "
        f"callable, found {prior!r}"
    )


def _check_prior(name: str, key: str, prior) -> None:
    """Raise ValueError where a parameter cannot take a distribution."""
    allowed = {
        "background": (Normal, Uniform, TruncatedNormal),
        "x": (Normal, Uniform, TruncatedNormal),
    }
    allowed["y"] = allowed["x"]
    if key in allowed and not isinstance(prior, allowed[key]) or isinstance(prior, Disc):
        kinds = " or ".join(kind.__name__ for kind in allowed.get(key, ())) or ", ".join(_KINDS)
        raise ValueError(f"priors[{name!r}] must be {kinds}, found {prior!r}")
    low, high = prior.support()
    if key in ("x", "y") and not low <= 0.0 <= high:
        raise ValueError(
            f"priors[{name!r}] is of the offset from the start and excludes the start, "
            f"found {prior!r}"
        )
    if key == "shape":
        if not prior.is_proper:
            raise ValueError(
                f"priors[{name!r}] must be proper: the data of a faint source do not hold the "
                f"shape, found {prior!r}"
            )
        if high <= 0.0:
            raise ValueError(f"priors[{name!r}] must allow positive values, found {prior!r}")


def _require_positive(name: str, value: float) -> None:
    """Raise ValueError unless a value is positive and finite."""
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, found {value!r}")
