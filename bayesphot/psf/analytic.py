"""Gauss, Moffat and Airy profiles integrated over pixels, as astropy models."""

from __future__ import annotations

import math

import numpy as np
from astropy.modeling import Fittable2DModel, Parameter
from astropy.stats import gaussian_fwhm_to_sigma

from bayesphot.kernels.structs import (
    AIRY,
    ELLIPTICAL,
    ENVELOPE,
    MOFFAT,
    N_NODE,
    N_RING,
    PSF_REACH,
    PSF_TABLE,
    PSF_WIDTH,
    PSFData,
)
from bayesphot.psf.describe import PLACE, read_fixed, read_length, read_number
from bayesphot.psf.model import PSFConfig
from bayesphot.psf.transforms import write_column

__all__ = ["AiryDiskPRF", "GaussianPRF", "MoffatPRF"]

#: Share of the peak below which a profile is not followed, and how far it is at most, in widths.
FAINTEST = 1e-6
FARTHEST = 25.0
#: FWHM of an Airy disk in radii of its first dark ring.
_AIRY_FWHM = 0.843669
#: Least sigma of the core, in pixels, for which so many nodes a side are exact to 1e-6 of the peak.
_NODES = ((2.0, 3), (1.0, 4), (0.6, 5), (0.35, 7), (0.0, 11))


class _IntegratedPRF(Fittable2DModel):
    """What the profiles share: evaluation by the kernels, and what the fits need of them."""

    #: Kind in the kernels.
    kind = -1
    flux = Parameter(default=1.0, description="Total flux")
    x_0 = Parameter(default=0.0, description="Centre along x, pixels")
    y_0 = Parameter(default=0.0, description="Centre along y, pixels")

    @property
    def enclosed_fraction(self) -> float:
        """Share of the flux that the model holds: 1, for its flux is that on the whole plane."""
        return 1.0

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Names of the shape parameters."""
        return tuple(self.param_names[len(PLACE) :])

    def evaluate(self, x, y, *parameters):
        """Flux on each pixel; NaN where a shape is out of its range."""
        flux, x_0, y_0, *shape = (np.asarray(value, dtype=float) for value in parameters)
        everything = np.broadcast_arrays(x, y, flux, x_0, y_0, *shape)
        columns = self._fill(everything, 1)
        return columns[0].reshape(everything[0].shape) * flux

    def _fill(self, arrays, n_column: int) -> np.ndarray:
        """Return value and derivatives by x_0, y_0 and shapes at unit flux, (n_column, m)."""
        from bayesphot.kernels.columns import fill_places

        x, y, _, *rest = (np.asarray(array, dtype=float).ravel() for array in arrays)
        out = np.full((n_column, x.size), np.nan)
        sets, which = np.unique(np.stack(rest), axis=1, return_inverse=True)
        for i, (x_0, y_0, *shape) in enumerate(sets.T):
            try:
                numbers = self._count(shape)
            except ValueError:
                continue
            here = np.flatnonzero(which.ravel() == i)
            columns = [write_column(self.kind, j, value) for j, value in enumerate(shape)]
            source = np.array([x_0, y_0, 1.0, *columns])
            part = np.empty((n_column, here.size))
            zero = np.int64(0)
            psf = PSFData(np.int64(self.kind), zero, zero, numbers)
            fill_places(psf, source, x[here], y[here], part)
            out[:, here] = part
        return out

    def _count(self, shape) -> np.ndarray:
        """Return the numbers of the kernels for some shapes; ValueError out of their range."""
        self._check(*shape)
        core, width = self._find_core(*shape), self._find_width(*shape)
        n = next(n for least, n in _NODES if core >= least)
        node, weight = np.polynomial.legendre.leggauss(n)
        head = np.zeros(PSF_TABLE)
        head[N_NODE] = n
        head[PSF_WIDTH] = width
        radius = np.linspace(0.0, FARTHEST * width, 4096)
        light = self._profile(radius, *shape)
        envelope = np.maximum.accumulate(light[::-1])[::-1]
        n_bright = int(np.count_nonzero(envelope > FAINTEST * light[0]))
        reach = radius[min(n_bright, radius.size - 1)]
        head[PSF_REACH] = reach + 1.0
        # The pixel that holds a ring reaches half a diagonal inside it.
        ring = np.maximum(np.arange(N_RING) / N_RING * head[PSF_REACH] - 0.71, 0.0)
        head[ENVELOPE : ENVELOPE + N_RING] = np.interp(ring, radius, envelope)
        return np.concatenate([head, 0.5 * node, 0.5 * weight])

    def describe(self) -> PSFConfig:
        """Return what the fits need of the model."""
        shape = [self._read(name) for name in self.shape_names]
        self._check(*shape)
        fixed = read_fixed(self, self.param_names)
        numbers = self._count(shape)
        config = PSFConfig(
            kind=self.kind,
            shape_names=self.shape_names,
            shape_start=np.array(shape),
            fixed=fixed,
            sigma=1.0,
            fwhm=self._find_fwhm(*shape),
            numbers=numbers,
            core=self._find_core(*shape),
        )
        return config.measured()

    def _read(self, name: str) -> float:
        """Return a shape parameter."""
        return read_length(self, name)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum before the integration, pixels."""
        return self._find_fwhm(*(float(getattr(self, name).value) for name in self.shape_names))

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        """Only the flux has a unit: that of the values."""
        return {"flux": outputs_unit[self.outputs[0]]}


def _check_positive(name: str, value: float, above: float = 0.0) -> None:
    """Raise ValueError for a shape out of its range."""
    if not above < value < math.inf:
        must = "positive and finite" if above == 0.0 else f"greater than {above:g}"
        raise ValueError(f"psf_model.{name} must be {must}, found {value}")


class GaussianPRF(_IntegratedPRF):
    r"""
    Elliptical Gaussian integrated over square pixels.

    Before the integration, with (u, v) the offset from the centre turned by :math:`-\theta`,

    .. math::

        \frac{F}{2\pi a b} \exp\left(-\frac{u^2}{2a^2} - \frac{v^2}{2b^2}\right),
        \quad a, b = \mathrm{FWHM} / \sqrt{8 \ln 2}.

    Parameters
    ----------
    flux : float or `~astropy.units.Quantity`
        Total flux.
    x_0, y_0 : float
        Centre in pixels, 0-based, pixel centres on integers.
    x_fwhm, y_fwhm : float
        Full widths at half maximum along the axes of the ellipse, pixels; fixed unless freed.
    theta : float
        Angle of the first axis from the x axis towards y, degrees; fixed unless freed.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import GaussianPRF
    >>> y, x = np.mgrid[:31, :31]
    >>> psf = GaussianPRF(flux=100, x_0=15, y_0=15, x_fwhm=4.0, y_fwhm=3.0, theta=30.0)
    >>> print(round(psf(x, y).sum(), 4))
    100.0
    """

    kind = ELLIPTICAL
    x_fwhm = Parameter(default=2.0, fixed=True, description="FWHM of the first axis, pixels")
    y_fwhm = Parameter(default=2.0, fixed=True, description="FWHM of the second axis, pixels")
    theta = Parameter(default=0.0, fixed=True, description="Angle of the first axis, degrees")

    def _read(self, name: str) -> float:
        return read_number(self, name, ("", "deg")) if name == "theta" else read_length(self, name)

    @staticmethod
    def _check(x_fwhm, y_fwhm, theta) -> None:
        _check_positive("x_fwhm", x_fwhm)
        _check_positive("y_fwhm", y_fwhm)

    @staticmethod
    def _find_core(x_fwhm, y_fwhm, theta) -> float:
        return min(x_fwhm, y_fwhm) * gaussian_fwhm_to_sigma

    @staticmethod
    def _find_width(x_fwhm, y_fwhm, theta) -> float:
        return max(x_fwhm, y_fwhm)

    @staticmethod
    def _find_fwhm(x_fwhm, y_fwhm, theta) -> float:
        return math.sqrt(x_fwhm * y_fwhm)

    @staticmethod
    def _profile(radius, x_fwhm, y_fwhm, theta) -> np.ndarray:
        a, b = (fwhm * gaussian_fwhm_to_sigma for fwhm in (x_fwhm, y_fwhm))
        return np.exp(-0.5 * (radius / max(a, b)) ** 2) / (2.0 * np.pi * a * b)


class MoffatPRF(_IntegratedPRF):
    r"""
    Moffat's (1969) profile integrated over square pixels.

    Before the integration,

    .. math::

        F \frac{\beta - 1}{\pi\alpha^2} \left(1 + \frac{r^2}{\alpha^2}\right)^{-\beta}.

    Parameters
    ----------
    flux : float or `~astropy.units.Quantity`
        Total flux.
    x_0, y_0 : float
        Centre in pixels, 0-based, pixel centres on integers.
    alpha : float
        Core radius, pixels; fixed unless freed.
    beta : float
        Power, greater than 1; fixed unless freed.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import MoffatPRF
    >>> y, x = np.mgrid[:201, :201]
    >>> psf = MoffatPRF(flux=100, x_0=100, y_0=100, alpha=3.0, beta=4.0)
    >>> print(round(psf(x, y).sum(), 3))
    100.0
    """

    kind = MOFFAT
    alpha = Parameter(default=2.0, fixed=True, description="Core radius, pixels")
    beta = Parameter(default=2.5, fixed=True, description="Power")

    def _read(self, name: str) -> float:
        return read_length(self, name, 1.0 if name == "beta" else 0.0)

    @staticmethod
    def _check(alpha, beta) -> None:
        _check_positive("alpha", alpha)
        _check_positive("beta", beta, 1.0)

    @staticmethod
    def _find_core(alpha, beta) -> float:
        return alpha / math.sqrt(2.0 * beta)

    @staticmethod
    def _find_width(alpha, beta) -> float:
        return alpha

    @staticmethod
    def _find_fwhm(alpha, beta) -> float:
        return 2.0 * alpha * math.sqrt(2.0 ** (1.0 / beta) - 1.0)

    @staticmethod
    def _profile(radius, alpha, beta) -> np.ndarray:
        return (beta - 1.0) / (np.pi * alpha**2) * (1.0 + (radius / alpha) ** 2) ** -beta


class AiryDiskPRF(_IntegratedPRF):
    r"""
    Diffraction disk of a circular aperture, integrated over square pixels.

    Before the integration, with :math:`z = 3.8317\, r / R`,

    .. math::

        F \frac{3.8317^2}{4\pi R^2} \left(\frac{2 J_1(z)}{z}\right)^2.

    Parameters
    ----------
    flux : float or `~astropy.units.Quantity`
        Total flux.
    x_0, y_0 : float
        Centre in pixels, 0-based, pixel centres on integers.
    radius : float
        Radius of the first dark ring, pixels; fixed unless freed.

    Examples
    --------
    >>> from bayesphot import AiryDiskPRF
    >>> print(round(AiryDiskPRF(radius=5.0)(0.0, 0.0), 5))
    0.04561
    """

    kind = AIRY
    radius = Parameter(default=3.0, fixed=True, description="Radius of the first dark ring, pixels")

    @staticmethod
    def _check(radius) -> None:
        _check_positive("radius", radius)

    @staticmethod
    def _find_core(radius) -> float:
        return _AIRY_FWHM * radius * gaussian_fwhm_to_sigma

    @staticmethod
    def _find_width(radius) -> float:
        return radius

    @staticmethod
    def _find_fwhm(radius) -> float:
        return _AIRY_FWHM * radius

    @staticmethod
    def _profile(distance, radius) -> np.ndarray:
        from scipy.special import j1

        q = 1.2196698912665045 / radius
        z = np.maximum(np.pi * q * distance, 1e-9)
        return 0.25 * np.pi * q**2 * (2.0 * j1(z) / z) ** 2
