"""The circular Gaussian integrated over pixels, as an astropy model."""

from __future__ import annotations

import numpy as np
from astropy.modeling import Fittable2DModel, Parameter
from astropy.stats import gaussian_sigma_to_fwhm

__all__ = ["IntegratedGaussianPRF"]

#: Half width of the bounding box: 2e-7 of the flux of each axis falls outside 5.2 sigma.
_BOX_SIGMAS = 5.2


class IntegratedGaussianPRF(Fittable2DModel):
    r"""
    Circular Gaussian integrated over square pixels.

    The value at pixel :math:`(x, y)` is the part of the flux that falls on it,

    .. math::

        \frac{F}{4}
        \left[\mathrm{erf}\frac{x - x_0 + \frac12}{\sqrt2\,\sigma}
            - \mathrm{erf}\frac{x - x_0 - \frac12}{\sqrt2\,\sigma}\right]
        \left[\mathrm{erf}\frac{y - y_0 + \frac12}{\sqrt2\,\sigma}
            - \mathrm{erf}\frac{y - y_0 - \frac12}{\sqrt2\,\sigma}\right].

    Parameters
    ----------
    flux : float or `~astropy.units.Quantity`
        Total flux; its unit is the unit of the values.
    x_0, y_0 : float
        Centre in pixels, 0-based, pixel centres on integers.
    sigma : float
        Standard deviation of the Gaussian in pixels, before the integration; fixed unless freed
        by ``model.sigma.fixed = False``. The model is NaN where sigma is not positive.
    **kwargs
        As for any astropy model: ``fixed``, ``bounds``, ``tied``, ``name``.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import IntegratedGaussianPRF
    >>> psf = IntegratedGaussianPRF(flux=100, x_0=25, y_0=25, sigma=2.0)
    >>> y, x = np.mgrid[:51, :51]
    >>> print(round(psf(x, y).sum(), 6))
    100.0
    >>> psf.fixed["sigma"]
    True
    """

    flux = Parameter(default=1.0, description="Total flux")
    x_0 = Parameter(default=0.0, description="Centre along x, pixels")
    y_0 = Parameter(default=0.0, description="Centre along y, pixels")
    sigma = Parameter(default=1.0, fixed=True, description="Standard deviation, pixels")

    @property
    def fwhm(self) -> float:
        """Full width at half maximum of the Gaussian in pixels."""
        return float(self.sigma.value * gaussian_sigma_to_fwhm)

    @property
    def enclosed_fraction(self) -> float:
        """Share of the flux that the model holds: 1, for its flux is that on the whole plane."""
        return 1.0

    @property
    def bounding_box(self):
        """Limits ((y low, y high), (x low, x high)) that hold all but 4e-7 of the flux."""
        half = _BOX_SIGMAS * self.sigma.value + 0.5
        x_0, y_0 = self.x_0.value, self.y_0.value
        return ((y_0 - half, y_0 + half), (x_0 - half, x_0 + half))

    @staticmethod
    def evaluate(x, y, flux, x_0, y_0, sigma):
        """Flux on each pixel."""
        return flux / 4 * _integrate_profile(x, x_0, sigma) * _integrate_profile(y, y_0, sigma)

    @staticmethod
    def fit_deriv(x, y, flux, x_0, y_0, sigma):
        """Derivatives by flux, x_0, y_0 and sigma, in this order."""
        profile_x = _integrate_profile(x, x_0, sigma)
        profile_y = _integrate_profile(y, y_0, sigma)
        slope_x, widening_x = _differentiate_profile(x, x_0, sigma)
        slope_y, widening_y = _differentiate_profile(y, y_0, sigma)
        return [
            profile_x * profile_y / 4,
            flux / 4 * slope_x * profile_y,
            flux / 4 * profile_x * slope_y,
            flux / 4 * (widening_x * profile_y + profile_x * widening_y),
        ]

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        """Only the flux has a unit: that of the values."""
        return {"flux": outputs_unit[self.outputs[0]]}


def _scale_edges(pixel, center, sigma):
    """Left and right edge of the pixel in units of sqrt(2) sigma, and that unit."""
    unit = np.sqrt(2.0) * np.where(np.asarray(sigma) > 0, sigma, np.nan)
    return (pixel - center - 0.5) / unit, (pixel - center + 0.5) / unit, unit


def _integrate_profile(pixel, center, sigma):
    """Twice the part of a 1-D Gaussian that falls on the pixel: erf(right) - erf(left)."""
    from scipy.special import erf

    left, right, _ = _scale_edges(pixel, center, sigma)
    return erf(right) - erf(left)


def _differentiate_profile(pixel, center, sigma):
    """
    Derivatives of `_integrate_profile` by centre and by sigma.

    With a = (pixel - center +- 1/2) / (sqrt(2) sigma) and erf'(a) = 2 exp(-a^2) / sqrt(pi),
    da/dcenter = -1 / (sqrt(2) sigma) and da/dsigma = -a / sigma.
    """
    left, right, unit = _scale_edges(pixel, center, sigma)
    bell_left, bell_right = np.exp(-(left**2)), np.exp(-(right**2))
    slope = -2 / np.sqrt(np.pi) / unit * (bell_right - bell_left)
    widening = -np.sqrt(8 / np.pi) / unit * (right * bell_right - left * bell_left)
    return slope, widening
