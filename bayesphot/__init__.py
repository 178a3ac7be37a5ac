"""Probabilistic PSF photometry: joint posteriors for blended stars.

The public names are imported when they are first used, so that ``import bayesphot`` and
``bayesphot --help`` cost next to nothing.

Examples
--------
>>> import bayesphot as bp
>>> round(bp.IntegratedGaussianPRF(sigma=2.0).fwhm, 2)
4.71
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import (
        AnnulusBackground as AnnulusBackground,
    )
    from .background import (
        MADStdBackgroundRMS as MADStdBackgroundRMS,
    )
    from .background import (
        MeanBackground as MeanBackground,
    )
    from .background import (
        MedianBackground as MedianBackground,
    )
    from .background import (
        MeshBackground as MeshBackground,
    )
    from .background import (
        MMMBackground as MMMBackground,
    )
    from .background import (
        StdBackgroundRMS as StdBackgroundRMS,
    )
    from .calibration import (
        CalibrationResult as CalibrationResult,
    )
    from .calibration import (
        calibrate as calibrate,
    )
    from .companions import (
        CompanionMap as CompanionMap,
    )
    from .companions import (
        CompanionPrior as CompanionPrior,
    )
    from .companions import (
        Confirmation as Confirmation,
    )
    from .companions import (
        PairPosterior as PairPosterior,
    )
    from .companions import (
        companion_map as companion_map,
    )
    from .config import (
        BasicPSFPhotometry as BasicPSFPhotometry,
    )
    from .config import (
        DAOPhotPSFPhotometry as DAOPhotPSFPhotometry,
    )
    from .config import (
        EmceeSampler as EmceeSampler,
    )
    from .config import (
        IterativelySubtractedPSFPhotometry as IterativelySubtractedPSFPhotometry,
    )
    from .config import (
        Sampler as Sampler,
    )
    from .datasets import (
        make_gaussian_sources as make_gaussian_sources,
    )
    from .datasets import (
        make_noise_image as make_noise_image,
    )
    from .datasets import (
        simulate_scene as simulate_scene,
    )
    from .detection import (
        DAOStarFinder as DAOStarFinder,
    )
    from .detection import (
        IRAFStarFinder as IRAFStarFinder,
    )
    from .effective_psf import (
        PSFBuild as PSFBuild,
    )
    from .effective_psf import (
        build_psf as build_psf,
    )
    from .flags import (
        Flag as Flag,
    )
    from .flags import (
        decode_flags as decode_flags,
    )
    from .grouping import (
        DAOGroup as DAOGroup,
    )
    from .grouping import (
        DBSCANGroup as DBSCANGroup,
    )
    from .growth import (
        CurveOfGrowth as CurveOfGrowth,
    )
    from .growth import (
        aperture_correction as aperture_correction,
    )
    from .interrupted import (
        InterruptedRun as InterruptedRun,
    )
    from .noise import (
        CCDNoise as CCDNoise,
    )
    from .noise import (
        ContaminatedGaussian as ContaminatedGaussian,
    )
    from .noise import (
        NormalNoise as NormalNoise,
    )
    from .noise import (
        PoissonNoise as PoissonNoise,
    )
    from .noise import (
        StudentTNoise as StudentTNoise,
    )
    from .priors import (
        Disc as Disc,
    )
    from .priors import (
        HalfNormal as HalfNormal,
    )
    from .priors import (
        LogNormal as LogNormal,
    )
    from .priors import (
        LogUniform as LogUniform,
    )
    from .priors import (
        Normal as Normal,
    )
    from .priors import (
        PowerLaw as PowerLaw,
    )
    from .priors import (
        ScenePrior as ScenePrior,
    )
    from .priors import (
        TruncatedNormal as TruncatedNormal,
    )
    from .priors import (
        Uniform as Uniform,
    )
    from .psf import (
        AiryDiskPRF as AiryDiskPRF,
    )
    from .psf import (
        DiscretePRF as DiscretePRF,
    )
    from .psf import (
        GaussianPRF as GaussianPRF,
    )
    from .psf import (
        GriddedPSF as GriddedPSF,
    )
    from .psf import (
        ImagePSF as ImagePSF,
    )
    from .psf import (
        IntegratedGaussianPRF as IntegratedGaussianPRF,
    )
    from .psf import (
        MoffatPRF as MoffatPRF,
    )
    from .psf import (
        PolynomialPSF as PolynomialPSF,
    )
    from .psf import (
        PSFError as PSFError,
    )
    from .psf import (
        combine_psfs as combine_psfs,
    )
    from .psf import (
        read_psf as read_psf,
    )
    from .psf import (
        read_psf_error as read_psf_error,
    )
    from .readers import (
        mask_bits as mask_bits,
    )
    from .readers import (
        read_image as read_image,
    )
    from .result import (
        PhotometryResult as PhotometryResult,
    )
    from .sky_positions import (
        place_catalog as place_catalog,
    )
    from .warm import (
        warmup as warmup,
    )

__version__ = "0.1.0.dev0"

_MODULES = {
    "background": (
        "MMMBackground",
        "MedianBackground",
        "MeanBackground",
        "MeshBackground",
        "AnnulusBackground",
        "MADStdBackgroundRMS",
        "StdBackgroundRMS",
    ),
    "calibration": ("calibrate", "CalibrationResult"),
    "companions": (
        "CompanionMap",
        "CompanionPrior",
        "Confirmation",
        "PairPosterior",
        "companion_map",
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
    "effective_psf": ("PSFBuild", "build_psf"),
    "flags": ("Flag", "decode_flags"),
    "grouping": ("DAOGroup", "DBSCANGroup"),
    "growth": ("CurveOfGrowth", "aperture_correction"),
    "interrupted": ("InterruptedRun",),
    "noise": (
        "CCDNoise",
        "ContaminatedGaussian",
        "NormalNoise",
        "PoissonNoise",
        "StudentTNoise",
    ),
    "priors": (
        "Uniform",
        "Normal",
        "LogNormal",
        "LogUniform",
        "PowerLaw",
        "HalfNormal",
        "TruncatedNormal",
        "Disc",
        "ScenePrior",
    ),
    "psf": (
        "AiryDiskPRF",
        "DiscretePRF",
        "GaussianPRF",
        "GriddedPSF",
        "ImagePSF",
        "IntegratedGaussianPRF",
        "MoffatPRF",
        "PSFError",
        "PolynomialPSF",
        "combine_psfs",
        "read_psf",
        "read_psf_error",
    ),
    "readers": ("mask_bits", "read_image"),
    "result": ("PhotometryResult",),
    "sky_positions": ("place_catalog",),
    "warm": ("warmup",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME, "__version__"]


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
