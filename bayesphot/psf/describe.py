"""From a PSF model, an astropy one, to what the fits take."""

from __future__ import annotations

import math

import numpy as np
from astropy.stats import gaussian_sigma_to_fwhm

from bayesphot.kernels.structs import GAUSSIAN, PSF_TABLE
from bayesphot.psf.model import PSFConfig

__all__ = ["describe_psf", "is_other"]

#: Models that are the circular Gaussian integrated over the pixel, by class name: the parameter
#: that gives the width, and how many of it make one sigma. By name, so that photutils' models
#: are understood without importing photutils.
_GAUSSIANS = {
    "IntegratedGaussianPRF": ("sigma", 1.0),
    "CircularGaussianSigmaPRF": ("sigma", 1.0),
    "CircularGaussianPRF": ("fwhm", 1 / gaussian_sigma_to_fwhm),
}
#: Parameters of every PSF model.
PLACE = ("flux", "x_0", "y_0")


def describe_psf(model) -> PSFConfig:
    """
    Copy values and flags from a PSF model.

    Parameters
    ----------
    model : `~astropy.modeling.Fittable2DModel`
        One of this package's PSF models, photutils' ``CircularGaussianPRF`` or
        ``CircularGaussianSigmaPRF``, or any other of fixed shape, which is tabulated: see
        `bayesphot.psf.adapter.describe_other`. Later changes of the model have no effect.

    Returns
    -------
    PSFConfig
        What the fits need.

    Raises
    ------
    TypeError
        If it is no model of a source in x and y.
    ValueError
        If a shape parameter is out of its range, a parameter is tied, or the shape of a model that
        is tabulated is free.

    Examples
    --------
    >>> from bayesphot import IntegratedGaussianPRF
    >>> from bayesphot.psf import describe_psf
    >>> describe_psf(IntegratedGaussianPRF(sigma=2.0)).fixed
    {'flux': False, 'x_0': False, 'y_0': False, 'sigma': True}
    """
    if is_other(model):
        from bayesphot.psf.adapter import describe_other

        return describe_other(model)
    _refuse_ties(model, model.param_names)
    if hasattr(model, "describe"):
        return model.describe()
    width, scale = _GAUSSIANS[type(model).__name__]
    sigma = read_length(model, width) * scale
    fixed = read_fixed(model, PLACE)
    fixed["sigma"] = bool(model.fixed[width])
    return PSFConfig(
        kind=GAUSSIAN,
        shape_names=("sigma",),
        shape_start=np.array([sigma]),
        fixed=fixed,
        sigma=sigma,
        fwhm=sigma * 2.0 * math.sqrt(2.0 * math.log(2.0)),
        numbers=np.zeros(PSF_TABLE),
    )


def is_other(model) -> bool:
    """Return whether a model is neither this package's nor a Gaussian: it is tabulated."""
    names = tuple(getattr(model, "param_names", ()))
    if hasattr(model, "describe") and names[:3] == PLACE:
        return False
    width, _ = _GAUSSIANS.get(type(model).__name__, ("", 1.0))
    return names != (*PLACE, width)


def _refuse_ties(model, names) -> None:
    """Raise ValueError for tied parameters."""
    for parameter in names:
        if model.tied[parameter]:
            raise ValueError(f"psf_model.{parameter} must not be tied")


def read_fixed(model, names) -> dict[str, bool]:
    """Return which parameters are held fixed."""
    return {parameter: bool(model.fixed[parameter]) for parameter in names}


def read_number(model, name: str, units: tuple[str, ...] = ("", "pix")) -> float:
    """Return a parameter of the model, one finite number."""
    parameter = getattr(model, name)
    unit = parameter.unit
    if unit is not None and unit.to_string() not in units:
        raise ValueError(f"psf_model.{name} must be in pixels, found unit '{unit}'")
    value = np.asarray(parameter.value, dtype=float)
    if value.size != 1 or not np.isfinite(value).all():
        found = value.item() if value.size == 1 else f"{value.size} values"
        raise ValueError(f"psf_model.{name} must be positive and finite, found {found}")
    return value.item()


def read_length(model, name: str, above: float = 0.0) -> float:
    """Return a length of the model in pixels, one positive finite number."""
    value = read_number(model, name)
    if not value > above:
        must = "positive and finite" if above == 0.0 else f"greater than {above:g}"
        raise ValueError(f"psf_model.{name} must be {must}, found {value}")
    return value
