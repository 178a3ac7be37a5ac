"""Prior distributions, and which of them each parameter takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Disc", "LogNormal", "Normal", "PriorSet", "Uniform", "normalise_priors"]

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


@dataclass(frozen=True)
class Uniform:
    """Uniform between two bounds, which may be infinite.

    Parameters
    ----------
    low, high : float
        Bounds in the parameter's unit.

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


@dataclass(frozen=True)
class Normal:
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


@dataclass(frozen=True)
class LogNormal:
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


@dataclass(frozen=True)
class PriorSet:
    """What the sampler is told of each parameter; None stands for the default.

    Positions: a disc of ``radius`` pixels (None: 1 FWHM alone, 0.5 FWHM where discs of 1 FWHM
    meet) times normals of ``position_sd``; flux: flat or ``flux``; shape: log-normal;
    background: as ``fit_background`` says, or ``background``.
    """

    radius: float | None = None
    position_sd: tuple[float, float] = (math.inf, math.inf)
    flux: Normal | None = None
    shape: LogNormal | None = None
    background: Normal | None = None


def normalise_priors(priors: Mapping | None, shape_names: tuple[str, ...]) -> PriorSet:
    """Return the prior set of a mapping from parameter names to distributions.

    Parameters
    ----------
    priors : mapping or None
        Keys ``"position"`` (`Disc`), ``"x"``, ``"y"`` (`Normal` offsets with mean 0),
        ``"flux"`` (`Normal`, or `Uniform` without bounds), a shape's name (`LogNormal`) and
        ``"background"`` (`Normal`, the total level).
    shape_names : tuple of str
        The PSF's shape parameters.

    Raises
    ------
    ValueError
        For an unknown parameter or a distribution the parameter cannot take.
    TypeError
        If ``priors`` is not a mapping.
    """
    if priors is None:
        return PriorSet()
    if not isinstance(priors, Mapping):
        raise TypeError(f"priors must map parameter names to distributions, found {priors!r}")
    taken: dict[str, tuple[type, ...]] = {
        "position": (Disc,),
        "x": (Normal,),
        "y": (Normal,),
        "flux": (Normal, Uniform),
        "background": (Normal,),
        **dict.fromkeys(shape_names, (LogNormal,)),
    }
    for name, prior in priors.items():
        if name not in taken:
            raise ValueError(f"priors: no parameter {name!r}; there are {sorted(taken)}")
        if not isinstance(prior, taken[name]):
            kinds = " or ".join(kind.__name__ for kind in taken[name])
            raise ValueError(f"priors[{name!r}] must be {kinds}, found {prior!r}")
    return PriorSet(
        radius=priors["position"].radius if "position" in priors else None,
        position_sd=(_offset_sd(priors, "x"), _offset_sd(priors, "y")),
        flux=_flux_prior(priors.get("flux")),
        shape=next((priors[name] for name in shape_names if name in priors), None),
        background=priors.get("background"),
    )


def _offset_sd(priors: Mapping, name: str) -> float:
    """Return the standard deviation of a position's offset, inf where none is given."""
    if name not in priors:
        return math.inf
    if priors[name].mean != 0.0:
        raise ValueError(
            f"priors[{name!r}] is an offset from the start and must have mean 0, "
            f"found {priors[name]!r}: move the start instead"
        )
    return priors[name].sd


def _flux_prior(prior) -> Normal | None:
    """Return a normal prior of the flux, None for a flat one."""
    if isinstance(prior, Uniform):
        if math.isfinite(prior.low) or math.isfinite(prior.high):
            raise ValueError(f"priors['flux'] takes Uniform without bounds only, found {prior!r}")
        return None
    return prior


def _require_positive(name: str, value: float) -> None:
    """Raise ValueError unless a value is positive and finite."""
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, found {value!r}")
