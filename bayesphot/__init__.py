"""Probabilistic PSF photometry: joint posteriors for blended stars.

The public names are imported when they are first used, so that ``import bayesphot`` and
``bayesphot --help`` cost next to nothing.

Examples
--------
>>> import bayesphot as bp
>>> bp.IntegratedGaussianPRF(sigma=2.0).sigma.value
2.0
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import (
        MADStdBackgroundRMS,
        MeanBackground,
        MedianBackground,
        MMMBackground,
        StdBackgroundRMS,
    )
    from .config import (
        BasicPSFPhotometry,
        DAOPhotPSFPhotometry,
        EmceeSampler,
        IterativelySubtractedPSFPhotometry,
        Sampler,
    )
    from .datasets import make_gaussian_sources, make_noise_image, simulate_scene
    from .detection import DAOStarFinder, IRAFStarFinder
    from .flags import Flag, decode_flags
    from .grouping import DAOGroup, DBSCANGroup
    from .noise import CCDNoise, ContaminatedGaussian, PoissonNoise, StudentTNoise
    from .priors import (
        Disc,
        HalfNormal,
        LogNormal,
        LogUniform,
        Normal,
        PowerLaw,
        TruncatedNormal,
        Uniform,
    )
    from .psf import IntegratedGaussianPRF
    from .result import PhotometryResult
    from .warm import warmup

__version__ = "0.1.0.dev0"

_MODULES = {
    "background": (
        "MMMBackground",
        "MedianBackground",
        "MeanBackground",
        "MADStdBackgroundRMS",
        "StdBackgroundRMS",
    ),
    "config": (
        "BasicPSFPhotometry",
        "IterativelySubtractedPSFPhotometry",
        "DAOPhotPSFPhotometry",
        "Sampler",
        "EmceeSampler",
    ),
    "datasets": ("make_gaussian_sources", "make_noise_image", "simulate_scene"),
    "detection": ("DAOStarFinder", "IRAFStarFinder"),
    "flags": ("Flag", "decode_flags"),
    "grouping": ("DAOGroup", "DBSCANGroup"),
    "noise": ("CCDNoise", "ContaminatedGaussian", "PoissonNoise", "StudentTNoise"),
    "priors": (
        "Uniform",
        "Normal",
        "LogNormal",
        "LogUniform",
        "PowerLaw",
        "HalfNormal",
        "TruncatedNormal",
        "Disc",
    ),
    "psf": ("IntegratedGaussianPRF",),
    "result": ("PhotometryResult",),
    "warm": ("warmup",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BasicPSFPhotometry",
    "IterativelySubtractedPSFPhotometry",
    "DAOPhotPSFPhotometry",
    "Sampler",
    "EmceeSampler",
    "IntegratedGaussianPRF",
    "DAOStarFinder",
    "IRAFStarFinder",
    "DAOGroup",
    "DBSCANGroup",
    "MMMBackground",
    "MedianBackground",
    "MeanBackground",
    "MADStdBackgroundRMS",
    "StdBackgroundRMS",
    "CCDNoise",
    "PoissonNoise",
    "StudentTNoise",
    "ContaminatedGaussian",
    "Uniform",
    "Normal",
    "LogNormal",
    "LogUniform",
    "PowerLaw",
    "HalfNormal",
    "TruncatedNormal",
    "Disc",
    "make_gaussian_sources",
    "make_noise_image",
    "simulate_scene",
    "PhotometryResult",
    "Flag",
    "decode_flags",
    "warmup",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
