"""Arguments of the photometry classes: read, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.units import UnitConversionError

from bayesphot.background import read_estimator
from bayesphot.checks import check_integer, check_number, refuse_class
from bayesphot.config.samplers import EmceeSampler, Sampler
from bayesphot.image import COUNTS, Image
from bayesphot.noise import NOISE_MODELS, PoissonNoise
from bayesphot.priors import check_prior_columns
from bayesphot.psf import PSFConfig, PSFError, list_foreign
from bayesphot.readers import SATURATION_KEYWORDS, header_value


def check_estimator(value: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a sky estimator."""
    value = read_estimator(value)
    refuse_class("bkg_estimator", value)
    if value is None or callable(value):
        return
    if isinstance(value, (str, bool)) or np.ndim(value) > 0:
        raise TypeError(
            f"bkg_estimator must be None, a level, or a callable data -> level, found {value!r}"
        )
    check_number("bkg_estimator", getattr(value, "value", value))


def _check_counts(image: Image) -> None:
    """Raise ValueError where an image cannot be counts."""
    if image.unit is not None and image.unit not in COUNTS:
        raise ValueError(
            "image must hold counts where noise is PoissonNoise, found the unit "
            f"'{image.unit}': give CCDNoise(gain=electrons per unit)"
        )
    wrong = np.argwhere(image.good & (image.data < 0.0))
    if wrong.size:
        y, x = wrong[0]
        raise ValueError(
            "image must hold counts, nothing subtracted, where noise is PoissonNoise; "
            f"found {image.data[y, x]} at (y, x) = ({y}, {x})"
        )


def check_noise(noise: Any) -> None:
    """Raise TypeError for what is no noise model."""
    refuse_class("noise", noise)
    if noise is not None and not isinstance(noise, NOISE_MODELS):
        kinds = ", ".join(kind.__name__ for kind in NOISE_MODELS)
        raise TypeError(f"noise must be one of {kinds}, or None, found {noise!r}")


def check_psf_error(error: Any, psf: PSFConfig, noise: Any) -> None:
    """Raise TypeError or ValueError for an error of the PSF that is none, or cannot be had here."""
    refuse_class("psf_error", error)
    if error is None:
        return
    if not isinstance(error, PSFError):
        raise TypeError(f"psf_error must be a PSFError or None, found {error!r}")
    name = next((psf.shape_names[j] for j in psf.free_lengths), "")
    if error.width and name:
        raise ValueError(
            f"psf_error.width is the error of a fixed {name}, found {error.width!r} where "
            f"psf_model.{name} is free: give it as priors={{'{name}': LogNormal(median, width)}}, "
            "or PSFError(width=0, ...)"
        )
    if error.white and isinstance(noise, PoissonNoise):
        raise ValueError(
            "psf_error.white adds variance, which the counts of PoissonNoise cannot take: give "
            f"white=0 or noise=CCDNoise(gain=1, read_noise=0), found white={error.white!r}"
        )


def check_foreign(model: Any, phot: Any) -> None:
    """Raise ValueError for what does not go with free shapes that the kernels do not know."""
    names = list_foreign(model)
    if not names:
        return
    name = names[0]
    free = f"where psf_model.{name} of {type(model).__name__} is free"
    if phot.shape != "image":
        raise ValueError(
            f"shape must be 'image' {free}, found {phot.shape!r}: the shape of a group or a source "
            "can be fitted for this package's own PSF models (GaussianPRF, MoffatPRF, AiryDiskPRF, "
            f"ImagePSF); or set psf_model.{name}.fixed = True"
        )
    if phot.fitter is not None:
        raise ValueError(
            f"fitter must be None {free}, found {phot.fitter!r}: the compiled least squares find it"
        )
    if phot.psf_error is not None:
        raise ValueError(
            f"psf_error must be None {free}, found {phot.psf_error!r}: its modes are those of the "
            f"shapes; or set psf_model.{name}.fixed = True"
        )
    given = phot.priors if isinstance(phot.priors, Mapping) else {}
    for name in (name for name in names if name in given):
        raise ValueError(
            f"priors[{name!r}] cannot be given for {type(model).__name__}, found "
            f"{given[name]!r}: a free {name} has its default prior about the start"
        )


def check_saturation(value: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a saturation level."""
    refuse_class("saturation", value)
    if value is None or (isinstance(value, str) and value == "header"):
        return
    if isinstance(value, (str, bool)) or np.ndim(value) > 0:
        raise TypeError(f"saturation must be a level, 'header' or None, found {value!r}")
    check_number("saturation", getattr(value, "value", value), above=0.0)


def read_saturation(value: Any, image: Image) -> float | None:
    """Return the saturation level in the unit of an image, None where it is not known."""
    if value is None:
        return None
    if isinstance(value, str):
        level = header_value(image.header, SATURATION_KEYWORDS)
        if level is None:
            raise ValueError(
                f"saturation='header' needs {' or '.join(SATURATION_KEYWORDS)} in the image's "
                "header, found none: give the level as a number"
            )
        if not level > 0.0:
            raise ValueError(
                "saturation='header' needs a positive level in the image's header, found "
                f"{level:g}: give the level as a number"
            )
        return level
    if not hasattr(value, "unit"):
        return float(value)
    try:
        return float(value.to_value("" if image.unit is None else image.unit))
    except UnitConversionError:
        found = "none" if image.unit is None else f"'{image.unit}'"
        raise ValueError(
            "saturation must be in the unit of the image: saturation has "
            f"'{value.unit}', image {found}"
        ) from None


def check_image(image: Image, noise: Any) -> None:
    """Raise ValueError where an image and a noise model do not go together."""
    if noise is None:
        return
    if image.error is not None and not noise.takes_error:
        raise ValueError(
            "error and noise both say how large the noise is: give one of them, found an "
            f"error array and {noise!r}"
        )
    if isinstance(noise, PoissonNoise):
        _check_counts(image)


def check_catalog(catalog, psf: PSFConfig, shape: str) -> None:
    """Raise ValueError for positions that lack what a model needs, or say what it cannot use.

    Parameters
    ----------
    catalog : Catalog
        The given positions.
    psf : PSFConfig
        What is fixed.
    shape : {"fixed", "group", "image", "source"}
        Who shares a free shape parameter.
    """
    _check_starts(catalog, psf)
    check_prior_columns(catalog.priors, psf.shape_limits)
    for name in psf.shape_names:
        own = [column for column in catalog.priors if column.startswith(f"{name}_prior_")]
        if own and (shape != "source" or psf.fixed[name]):
            raise ValueError(
                f"{own[0]} is a prior of single sources and needs a free {name} for each of them, "
                "shape='source'"
            )
    unknown = np.flatnonzero(~np.isfinite(catalog.flux) & (catalog.flags == 0))
    if psf.fixed["flux"] and unknown.size:
        raise ValueError(
            "positions must have flux_0 in every row, for psf_model.flux is fixed; "
            f"found none in row {unknown[0]}"
        )


def _check_starts(catalog, psf: PSFConfig) -> None:
    """Raise ValueError for the start of a shape that is not above its limit."""
    for name, limit in psf.shape_limits.items():
        start = catalog.extra.get(f"{name}_0", np.empty(0))
        wrong = np.flatnonzero(start <= limit)
        if wrong.size:
            raise ValueError(
                f"{name}_0 must be greater than {limit:g}, found {start[wrong[0]]} in row "
                f"{wrong[0]}"
            )


def read_fitshape(value: Any) -> tuple[int, int]:
    """Return odd (rows, columns)."""
    if isinstance(value, str) or (np.ndim(value) not in (0, 1)):
        raise TypeError(f"fitshape must be an odd integer or a pair of them, found {value!r}")
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2:
        raise ValueError(f"fitshape must be one or two integers, found {value!r}")
    rows, columns = (check_integer("fitshape", item, least=1) for item in pair)
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(f"fitshape must be odd, found {value!r}")
    return rows, columns


def read_sampler(value: Any):
    """Return a sampler, or False."""
    if value is None:
        return Sampler()
    if value is False or isinstance(value, (Sampler, EmceeSampler)):
        return value
    raise TypeError(f"sampler must be a Sampler, an EmceeSampler, False or None, found {value!r}")
