"""Which prior each parameter takes: of a run, and of single sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesphot.checks import refuse_class
from bayesphot.priors.distributions import (
    DISTRIBUTIONS,
    Disc,
    Normal,
    Prior,
    TruncatedNormal,
    Uniform,
)
from bayesphot.priors.scene_prior import ScenePrior

__all__ = ["SHAPE_WIDTH", "PriorSet", "check_prior_columns", "normalise_priors"]

#: Default half-width, in ln(sigma), of the log-normal prior of a free PSF width: a width read
#: off a few stars is seldom wrong by more than a fifth.
SHAPE_WIDTH = 0.2
#: Standard deviations from a start at which a normal prior excludes it.
FARTHEST = 30.0
_KINDS = ", ".join(kind.__name__ for kind in DISTRIBUTIONS)


@dataclass(frozen=True)
class PriorSet:
    """What the sampler is told of each parameter; None stands for the default.

    Positions: a disc of ``radius`` pixels (None: 1 FWHM alone, 0.5 FWHM where discs of 1 FWHM
    meet) times ``x`` and ``y``, distributions of the offset from the start; flux: flat; shapes, by
    their number: log-normal about their starts; background: as ``fit_background`` says.
    ``functions`` are log densities in Python, which only emcee can take, by parameter or number of
    a shape. ``scene`` is the prior of all sources, whose
    ``flux_pdf`` then is ``flux``.
    """

    radius: float | None = None
    x: Prior | None = None
    y: Prior | None = None
    flux: Prior | None = None
    shapes: Mapping[int, Prior] = field(default_factory=dict)
    background: Prior | None = None
    functions: tuple[tuple[str | int, Callable], ...] = ()
    scene: ScenePrior | None = None

    @property
    def has_flux(self) -> bool:
        """Whether the flux has a prior other than the flat one."""
        if any(name == "flux" for name, _ in self.functions):
            return True
        given = self.flux
        return given is not None and bool(given.normal()[1] > 0.0 or given.density().any())


def normalise_priors(
    priors: Mapping | ScenePrior | None,
    shape_names: tuple[str, ...],
    shape_start: Sequence[float] = (),
) -> PriorSet:
    """Return the prior set of a mapping from parameter names to distributions.

    Parameters
    ----------
    priors : mapping, ScenePrior or None
        A `ScenePrior` alone stands for ``{"scene": it}``. Keys ``"position"`` (`Disc`); ``"x"``,
        ``"y"`` (of the offset from the start); ``"flux"``; a shape's name; ``"background"`` (the
        total level: `Normal`, `Uniform` or `TruncatedNormal`); ``"scene"`` (`ScenePrior`: odds of
        sources, and the prior of their fluxes in place of ``"flux"``). Values: `Uniform`,
        `Normal`, `LogNormal`, `LogUniform`, `PowerLaw`, `HalfNormal`, `TruncatedNormal`, a frozen
        scipy distribution, or a callable from an array of values to their log densities; the
        last two make emcee the engine.
    shape_names : tuple of str
        The PSF's shape parameters.
    shape_start : sequence of float
        Where the shapes start: their priors must not exclude that.

    Raises
    ------
    ValueError
        For an unknown parameter, a distribution the parameter cannot take, one that excludes
        the start, or one that is improper where the data may not hold the parameter; for a
        prior of the flux beside that of the scene.
    TypeError
        If ``priors`` is not a mapping, or ``priors["scene"]`` no `ScenePrior`.
    """
    if priors is None:
        return PriorSet()
    if isinstance(priors, ScenePrior):
        priors = {"scene": priors}
    refuse_class("priors", priors)
    if not isinstance(priors, Mapping):
        raise TypeError(f"priors must map parameter names to distributions, found {priors!r}")
    names = ("x", "y", "flux", *shape_names, "background")
    chosen: dict[str, Any] = {}
    functions: list[tuple[str | int, Callable]] = []
    shapes: dict[int, Prior] = {}
    for name, prior in priors.items():
        if name == "position":
            if not isinstance(prior, Disc):
                raise ValueError(f"priors['position'] must be Disc, found {prior!r}")
            chosen["radius"] = prior.radius
            continue
        if name == "scene":
            chosen |= _read_scene(prior, priors)
            continue
        if name not in names:
            raise ValueError(
                f"priors: no parameter {name!r}; there are {sorted((*names, 'position', 'scene'))}"
            )
        j = shape_names.index(name) if name in shape_names else None
        key = name if j is None else "shape"
        start = None if j is None or not len(shape_start) else float(shape_start[j])
        function = _read_function(name, prior)
        if function is not None:
            _check_function(name, key, function, start)
            functions.append((name if j is None else j, function))
            continue
        _check_prior(name, key, prior, start)
        if j is None:
            chosen[name] = prior
        else:
            shapes[j] = prior
    return PriorSet(**chosen, shapes=shapes, functions=tuple(functions))


def _read_scene(scene, priors: Mapping) -> dict[str, Any]:
    """Return what the prior of the scene sets."""
    refuse_class("priors['scene']", scene)
    if not isinstance(scene, ScenePrior):
        raise TypeError(f"priors['scene'] must be a ScenePrior, found {scene!r}")
    if "flux" in priors:
        raise ValueError(
            "priors['flux'] and the flux_pdf of priors['scene'] are one thing: give one of them, "
            f"found {priors['flux']!r} and {scene.flux_pdf!r}"
        )
    return {"scene": scene, "flux": scene.flux_pdf}


def _read_function(name: str, prior) -> Callable | None:
    """Return the log density of a frozen scipy distribution or a callable, None for neither."""
    if isinstance(prior, (Prior, Disc)):
        return None
    function = getattr(prior, "logpdf", prior)
    if isinstance(prior, type) or not callable(function):
        raise ValueError(
            f"priors[{name!r}] must be one of {_KINDS}, a frozen scipy distribution or a "
            f"callable, found {prior!r}"
        )
    if name == "background":
        raise ValueError("priors['background'] cannot be a function")
    return function


def _check_function(name: str, key: str, function: Callable, shape_start: float | None) -> None:
    """Raise ValueError for a log density that fails, or excludes a start that is known."""
    start = {"x": 0.0, "y": 0.0, "shape": shape_start}.get(key)
    values = np.full(2, 1.0 if start is None else start)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(function(values.copy()), dtype=float)
    except Exception as problem:
        raise ValueError(
            f"priors[{name!r}] must return log densities of an array of values, and of {values} "
            f"raises {type(problem).__name__}: {problem}"
        ) from problem
    if found.shape != values.shape:
        raise ValueError(
            f"priors[{name!r}] must return one log density for each value, and of {values} returns "
            f"{found!r}"
        )
    if start is not None and not np.isfinite(found).all():
        raise ValueError(
            f"priors[{name!r}] excludes the start {start:g}, where its log density is {found[0]}"
        )


def _check_prior(name: str, key: str, prior, shape_start: float | None) -> None:
    """Raise ValueError where a parameter cannot take a distribution."""
    # Those that can be moved: offsets and levels refer to a start or a reference.
    movable = (Normal, Uniform, TruncatedNormal)
    if key in ("x", "y", "background") and not isinstance(prior, movable):
        kinds = " or ".join(kind.__name__ for kind in movable)
        raise ValueError(f"priors[{name!r}] must be {kinds}, found {prior!r}")
    if isinstance(prior, Disc):
        raise ValueError(f"priors[{name!r}] must be {_KINDS}, found {prior!r}")
    low, high = prior.support()
    if key in ("x", "y") and not low <= 0.0 <= high:
        raise ValueError(
            f"priors[{name!r}] is of the offset from the start and excludes the start, "
            f"found {prior!r}"
        )
    if isinstance(prior, Normal) and key in ("x", "y", "shape"):
        start = 0.0 if key != "shape" else shape_start
        away = 0.0 if start is None else abs(start - prior.mean) / prior.sd
        if away > FARTHEST:
            raise ValueError(
                f"priors[{name!r}] excludes the start, which is {away:.3g} sd away, found {prior!r}"
            )
    if key == "shape":
        if not prior.is_proper:
            raise ValueError(
                f"priors[{name!r}] must be proper: the data of a faint source do not hold the "
                f"shape, found {prior!r}"
            )
        if high <= 0.0 and name != "theta":
            raise ValueError(f"priors[{name!r}] must allow positive values, found {prior!r}")
        if shape_start is not None and not low <= shape_start <= high:
            raise ValueError(
                f"priors[{name!r}] excludes the start, {shape_start:g}, found {prior!r}"
            )


def check_prior_columns(
    columns: Mapping[str, np.ndarray], shape_limits: Mapping[str, float]
) -> None:
    """Check the prior columns of positions: normal, NaN where a source has none.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        ``<parameter>_prior_mean`` and ``<parameter>_prior_sd`` of ``x``, ``y``, ``flux`` and a
        shape; the mean of a coordinate may be left out: it is the start.
    shape_limits : mapping of str to float
        The PSF's shape parameters, and what each stays above.

    Raises
    ------
    ValueError
        For a column that is unknown, lacks its fellow, or has a value out of range.
    """
    names = ("x", "y", "flux", *shape_limits)
    known = [f"{name}_prior_{what}" for name in names for what in ("mean", "sd")]
    limits = {f"{name}_prior_mean": limit for name, limit in shape_limits.items()}
    for name, column in columns.items():
        if name not in known:
            raise ValueError(f"no prior column {name!r}; there are {', '.join(known)}")
        limit = 0.0 if name.endswith("_sd") else limits.get(name, -np.inf)
        wrong = np.flatnonzero(np.isinf(column) | (column <= limit))
        if wrong.size:
            kind = {0.0: "positive", -np.inf: "finite"}.get(limit, f"greater than {limit:g}")
            raise ValueError(
                f"{name} must be {kind}, or NaN for no prior, "
                f"found {column[wrong[0]]} in row {wrong[0]}"
            )
    for name in names:
        mean, sd = f"{name}_prior_mean", f"{name}_prior_sd"
        if mean in columns and sd not in columns:
            raise ValueError(f"{mean} needs {sd} beside it")
        if sd not in columns or name in ("x", "y"):
            continue
        if mean not in columns:
            raise ValueError(f"{sd} needs {mean} beside it")
        alone = np.flatnonzero(np.isnan(columns[mean]) != np.isnan(columns[sd]))
        if alone.size:
            raise ValueError(f"{mean} and {sd} must be NaN together, found one in row {alone[0]}")
