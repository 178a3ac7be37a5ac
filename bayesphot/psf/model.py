"""What the package needs to know of a PSF model: kind, shape parameters, what is held fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.stats import gaussian_sigma_to_fwhm

from bayesphot.kernels.structs import GAUSSIAN

__all__ = ["PSFConfig", "describe_psf"]

#: Models that are the circular Gaussian integrated over the pixel, by class name: the parameter
#: that gives the width, and how many of it make one sigma. By name, so that photutils' models
#: are understood without importing photutils.
_GAUSSIANS = {
    "IntegratedGaussianPRF": ("sigma", 1.0),
    "CircularGaussianSigmaPRF": ("sigma", 1.0),
    "CircularGaussianPRF": ("fwhm", 1 / gaussian_sigma_to_fwhm),
}


@dataclass(frozen=True, eq=False)
class PSFConfig:
    """
    A PSF as the kernels take it.

    Attributes
    ----------
    kind : int
        Which profile (`bayesphot.kernels.structs.GAUSSIAN`).
    shape_names : tuple of str
        Names of the shape parameters.
    shape_start : ndarray of float (n_shape,)
        Their values; where a free one starts from.
    fixed : dict of str to bool
        True where ``flux``, ``x_0``, ``y_0`` or a shape parameter is held fixed.
    """

    kind: int
    shape_names: tuple[str, ...]
    shape_start: np.ndarray
    fixed: dict[str, bool]


def describe_psf(model) -> PSFConfig:
    """
    Copy values and flags from a PSF model.

    Parameters
    ----------
    model : `~astropy.modeling.Fittable2DModel`
        `IntegratedGaussianPRF`, or photutils' ``CircularGaussianPRF`` or
        ``CircularGaussianSigmaPRF``. Later changes of the model have no effect.

    Returns
    -------
    PSFConfig
        What the kernels need.

    Raises
    ------
    TypeError
        If the model is none of these.
    ValueError
        If its width is not one positive finite number of pixels, or a parameter is tied.

    Examples
    --------
    >>> from bayesphot import IntegratedGaussianPRF
    >>> from bayesphot.psf import describe_psf
    >>> describe_psf(IntegratedGaussianPRF(sigma=2.0)).fixed
    {'flux': False, 'x_0': False, 'y_0': False, 'sigma': True}
    """
    name = type(model).__name__
    width, scale = _GAUSSIANS.get(name, ("", 1.0))
    expected = ("flux", "x_0", "y_0", width)
    if tuple(getattr(model, "param_names", ())) != expected:
        raise TypeError(f"psf_model must be one of {', '.join(_GAUSSIANS)}, found {name}")
    for parameter in expected:
        if model.tied[parameter]:
            raise ValueError(f"psf_model.{parameter} must not be tied")
    sigma = _read_width(model, width) * scale
    fixed = {parameter: bool(model.fixed[parameter]) for parameter in expected[:3]}
    fixed["sigma"] = bool(model.fixed[width])
    return PSFConfig(GAUSSIAN, ("sigma",), np.array([sigma]), fixed)


def _read_width(model, name: str) -> float:
    """The model's width in pixels, one positive finite number."""
    parameter = getattr(model, name)
    unit = parameter.unit
    if unit is not None and unit.to_string() not in ("", "pix"):
        raise ValueError(f"psf_model.{name} must be in pixels, found unit '{unit}'")
    value = np.asarray(parameter.value, dtype=float)
    if value.size != 1 or not np.isfinite(value).all() or not (value > 0).all():
        found = value.item() if value.size == 1 else f"{value.size} values"
        raise ValueError(f"psf_model.{name} must be positive and finite, found {found}")
    return value.item()
