"""What objects and results say of a run."""

from __future__ import annotations

import platform
import re
from dataclasses import fields
from importlib.metadata import version
from typing import Any

import numpy as np

from bayesphot.accept import ALPHA, FAINTEST
from bayesphot.loop import LoopResult
from bayesphot.settings import ModelSettings

#: Packages whose versions a result records.
_DEPENDENCIES = ("numpy", "scipy", "astropy", "numba", "emcee", "arviz")
#: The address in the default text of an object, which differs from run to run.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe_run(
    phot: Any, looped: LoopResult, settings: ModelSettings, seed: int, seconds: dict[str, float]
) -> dict:
    """Return the meta of a result.

    Parameters
    ----------
    phot : BasicPSFPhotometry
        The configuration.
    looped : LoopResult
        Where its loop ended.
    settings : ModelSettings
        The run's model.
    seed : int
        Seed of the sampling.
    seconds : dict of str to float
        Wall seconds of each part.
    """
    from bayesphot import __version__

    arguments = {
        item.name: _ADDRESS.sub("", repr(getattr(phot, item.name)))
        for item in fields(phot)
        if item.init and item.name != "psf_model"
    }
    arguments["psf_model"] = show_model(phot._model)
    return {
        "class": type(phot).__name__,
        "arguments": arguments,
        "ci_prob": phot.ci_prob,
        "seed": seed,
        "noise": looped.noise_origin,
        "rounds": looped.n_round,
        "seconds": seconds,
        "versions": {
            "bayesphot": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _DEPENDENCIES},
        },
        "psf": {
            "fwhm": float(settings.psf.fwhm),
            "sigma": float(settings.psf.sigma),
            "enclosed_fraction": float(settings.psf.enclosed_fraction),
        },
        "priors": describe_priors(phot.priors, looped.catalog.priors, settings),
    }


def show_model(model) -> str:
    """Return a one-line text of a PSF model: its parameters, free and tied ones marked."""
    values = []
    for name in model.param_names:
        kind = "tied" if model.tied[name] else "free"
        free = "" if model.fixed[name] else f", {kind}"
        values.append(f"{name}={np.asarray(getattr(model, name).value).item():g}{free}")
    return f"{type(model).__name__}({'; '.join(values)})"


def describe_priors(priors, columns, settings: ModelSettings) -> str:
    """Return a text of the priors in force: given, of single sources, by default."""
    parts = [f"{name} ~ {_ADDRESS.sub('', repr(prior))}" for name, prior in (priors or {}).items()]
    if columns:
        parts.append(f"single sources: {', '.join(sorted(columns))}")
    default = "; ".join(_list_defaults(settings))
    parts.append(("else " if parts else "") + default)
    if settings.priors.scene is None:
        parts.append(
            f"detections stay at even odds, flux as f^-2 from {FAINTEST:g} errors on, so many that "
            f"noise brings less than {ALPHA:g} in an image"
        )
    return "; ".join(parts)


def _list_defaults(settings: ModelSettings) -> list[str]:
    """Return texts of the default priors that nothing given for all sources replaces."""
    given = settings.priors
    functions = {name for name, _ in given.functions}
    texts = []
    if given.radius is None:
        texts.append("position uniform in a disc about its start (1 FWHM alone, 0.5 FWHM blended)")
    if given.flux is None and "flux" not in functions:
        texts.append("flux flat, at least -5 times its error where discs of group mates meet")
    for j in settings.psf.free_shapes:
        if j not in given.shapes and j not in functions:
            texts.append(f"{settings.psf.shape_names[j]} {settings.psf.describe_default(j)}")
    if settings.shapes is not None:
        columns = settings.shapes.columns
        for name, scale in zip(columns.names, columns.scale, strict=True):
            kind = "log-normal" if np.isnan(scale) else "normal"
            texts.append(f"{name} {kind} about its start")
    texts.append(f"sky {settings.background}")
    return texts
