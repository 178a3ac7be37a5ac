"""How a pixel scatters about the light that is expected on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesphot.checks import check_number
from bayesphot.kernels.structs import (
    CCD_NOISE,
    CONTAMINATED_NOISE,
    NORMAL_NOISE,
    POISSON_NOISE,
    STUDENT_NOISE,
)

__all__ = [
    "NOISE_MODELS",
    "CCDNoise",
    "ContaminatedGaussian",
    "PixelNoise",
    "PoissonNoise",
    "StudentTNoise",
]


class _Noise:
    """What a noise model knows of a pixel; images are in data units.

    The least squares works with a normal of ``variance()``, renewed with the model of the scene.
    The sampling proposes from the normal that has the likelihood's slope and curvature
    (``expand()``), and corrects by the exact likelihood of ``kind``, with ``numbers()`` and what is
    ``known()`` of each pixel: `bayesphot.kernels.noise.log_pixel_likelihood`.
    """

    kind: ClassVar[int]
    #: Whether the scale of a pixel is the ``error`` of the call.
    takes_error: ClassVar[bool] = False

    def numbers(self) -> np.ndarray:
        """Return the (4,) numbers of the kind."""
        return np.zeros(4)

    def known(self, sky: np.ndarray, scale2: np.ndarray) -> np.ndarray:
        """Return (ny, nx) what the likelihood needs of each pixel.

        ``sky`` is the reference that was taken out of the data, ``scale2`` the squared scale.
        """
        raise NotImplementedError

    def variance(self, residual: np.ndarray, mean: np.ndarray, scale2) -> np.ndarray:
        """Return the variance of the normal that stands for the model near its optimum.

        ``residual`` is data less model, ``mean`` the model with its sky.
        """
        raise NotImplementedError

    def log_norm(self, data: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the log likelihood's part that depends on each pixel's data alone.

        ``data`` are less the reference sky, ``known`` as by ``known()``.
        """
        return np.full(np.shape(data), -0.5 * np.log(2.0 * np.pi))

    def expand(self, residual: np.ndarray, mean: np.ndarray, known: np.ndarray):
        """Return slope and minus curvature of the log likelihood by the mean, and its floor.

        ``mean`` is less the reference sky; curvatures are not let below the floor.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class CCDNoise(_Noise):
    """Photon and read noise of a CCD, with the variance taken from the model of the scene.

    The variance of a pixel with expected value m (sources and sky, in data units) is
    ``(read_noise / gain)**2 + max(m + sky, 0) / gain``, and at least that of a tenth of an
    electron. Taking m from the fitted model instead of the data avoids the bias of data-based
    weights (Humphrey, Liu & Buote 2009).

    Parameters
    ----------
    gain : float
        Electrons per data unit, positive.
    read_noise : float
        Read noise in electrons, not negative.
    sky : float
        Sky level, in data units, that was subtracted from the image before.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> from bayesphot import CCDNoise
    >>> CCDNoise(gain=2.0, read_noise=5.0)
    CCDNoise(gain=2.0, read_noise=5.0, sky=0.0)
    """

    gain: float
    read_noise: float
    sky: float = 0.0

    kind: ClassVar[int] = CCD_NOISE

    def __post_init__(self):
        check_number("gain", self.gain, above=0.0)
        check_number("read_noise", self.read_noise, least=0.0)
        check_number("sky", self.sky)

    def numbers(self) -> np.ndarray:
        # A pixel with neither read noise nor expected light would have no variance at all.
        floor = 0.1 / self.gain**2
        return np.array([(self.read_noise / self.gain) ** 2, 1.0 / self.gain, floor, 0.0])

    def known(self, sky, scale2):
        return sky + self.sky

    def variance(self, residual, mean, scale2):
        return self._variance_of(mean + self.sky)

    def expand(self, residual, mean, known):
        _, b, floor, _ = self.numbers()
        v = self._variance_of(mean + known)
        # Without light, and at the floor, the variance does not move with the mean.
        b = np.where((mean + known > 0.0) & (v > floor), b, 0.0)
        slope = residual / v + 0.5 * b * (residual**2 / v**2 - 1.0 / v)
        curvature = 1.0 / v + 2.0 * residual * b / v**2
        curvature = curvature + b**2 * (residual**2 / v**3 - 0.5 / v**2)
        return slope, curvature, 0.1 / v

    def _variance_of(self, light) -> np.ndarray:
        """Return the variance of pixels of a given expected light, the whole sky included."""
        a, b, floor, _ = self.numbers()
        return np.maximum(a + np.maximum(light, 0.0) * b, floor)


@dataclass(frozen=True)
class PoissonNoise(_Noise):
    """Counts: each pixel is a Poisson variate about the whole expected light, sky included.

    The image is in counts (photons or electrons), nothing subtracted.

    Examples
    --------
    >>> from bayesphot import PoissonNoise
    >>> PoissonNoise()
    PoissonNoise()
    """

    kind: ClassVar[int] = POISSON_NOISE

    def known(self, sky, scale2):
        return np.array(sky)

    def log_norm(self, data, known):
        from scipy.special import gammaln

        return -gammaln(np.maximum(data + known, 0.0) + 1.0)

    def variance(self, residual, mean, scale2):
        # A pixel without expected counts still carries information: that of half a count.
        return np.maximum(mean, 0.5)

    def expand(self, residual, mean, known):
        expected = np.maximum(mean + known, 0.1)
        counts = np.maximum(mean + residual + known, 0.0)
        return counts / expected - 1.0, counts / expected**2, 0.1 / expected


@dataclass(frozen=True)
class StudentTNoise(_Noise):
    """Student t noise: outliers as a part of the noise (Lange, Little & Taylor 1989).

    Its scale is the ``error`` of the call, or the noise estimated from the image.

    Parameters
    ----------
    dof : float
        Degrees of freedom, positive; 3 to 5 for stray outliers.

    Raises
    ------
    TypeError
        If ``dof`` is not a number.
    ValueError
        If it is not positive and finite.

    Examples
    --------
    >>> from bayesphot import StudentTNoise
    >>> StudentTNoise(dof=4.0)
    StudentTNoise(dof=4.0)
    """

    dof: float

    kind: ClassVar[int] = STUDENT_NOISE
    takes_error: ClassVar[bool] = True

    def __post_init__(self):
        check_number("dof", self.dof, above=0.0)

    def numbers(self) -> np.ndarray:
        return np.array([self.dof, 0.0, 0.0, 0.0])

    def known(self, sky, scale2):
        return 1.0 / scale2

    def log_norm(self, data, known):
        from scipy.special import gammaln

        n = self.dof
        constant = gammaln(0.5 * (n + 1.0)) - gammaln(0.5 * n) - 0.5 * np.log(n * np.pi)
        return constant + 0.5 * np.log(known)

    def variance(self, residual, mean, scale2):
        # Iterative reweighting, w = (n + 1)/(n + z^2), scaled to the Fisher information.
        n = self.dof
        return scale2 * (n + residual**2 / scale2) / (n + 1.0) * (n + 3.0) / (n + 1.0)

    def expand(self, residual, mean, known):
        n = self.dof
        z2 = residual**2 * known
        slope = (n + 1.0) * residual * known / (n + z2)
        return slope, (n + 1.0) * known * (n - z2) / (n + z2) ** 2, 0.01 * known


@dataclass(frozen=True)
class ContaminatedGaussian(_Noise):
    """Normal noise of which a share is wider: cosmic rays, hot pixels (Tukey 1960).

    Its scale is the ``error`` of the call, or the noise estimated from the image.

    Parameters
    ----------
    fraction : float
        Share of bad pixels, between 0 and 1.
    width : float
        Their scatter in units of the good pixels', above 1.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> from bayesphot import ContaminatedGaussian
    >>> ContaminatedGaussian(fraction=0.01, width=30.0)
    ContaminatedGaussian(fraction=0.01, width=30.0)
    """

    fraction: float
    width: float

    kind: ClassVar[int] = CONTAMINATED_NOISE
    takes_error: ClassVar[bool] = True

    def __post_init__(self):
        if not 0.0 < check_number("fraction", self.fraction) < 1.0:
            raise ValueError(f"fraction must lie between 0 and 1, found {self.fraction!r}")
        check_number("width", self.width, above=1.0)

    def numbers(self) -> np.ndarray:
        return np.array([self.fraction, self.width, 0.0, 0.0])

    def known(self, sky, scale2):
        return 1.0 / scale2

    def log_norm(self, data, known):
        return 0.5 * np.log(known / (2.0 * np.pi))

    def variance(self, residual, mean, scale2):
        wide = self._wide_share(residual**2 / scale2)
        return scale2 / (1.0 - wide * (1.0 - self.width**-2))

    def expand(self, residual, mean, known):
        z2 = residual**2 * known
        wide = self._wide_share(z2)
        drop = 1.0 - self.width**-2
        weight = known * (1.0 - wide * drop)
        curvature = weight - known * z2 * drop**2 * wide * (1.0 - wide)
        return residual * weight, curvature, 0.5 * known / self.width**2

    def _wide_share(self, z2) -> np.ndarray:
        """Return the probability that a pixel of squared deviation z^2 is one of the wide ones."""
        from scipy.special import expit

        log_odds = np.log(self.fraction / self.width) - np.log1p(-self.fraction)
        return expit(log_odds + 0.5 * z2 * (1.0 - self.width**-2))


#: What may be given as noise.
NOISE_MODELS = (CCDNoise, PoissonNoise, StudentTNoise, ContaminatedGaussian)


@dataclass(frozen=True, eq=False)
class PixelNoise:
    """The noise of an image beyond its weights.

    Parameters
    ----------
    model : noise model or None
        None: normal noise, of which the weights say all.
    known : (ny, nx) array or None
        What the model's likelihood needs of each pixel.
    data, weight : (ny, nx) arrays or None
        The data and the fit's weights, where those of the normal approximation are others.
    """

    model: _Noise | None = None
    known: np.ndarray | None = None
    data: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def kind(self) -> int:
        """Noise kind of `bayesphot.kernels.structs`."""
        return NORMAL_NOISE if self.model is None else self.model.kind

    @property
    def numbers(self) -> np.ndarray:
        """The (4,) numbers of the kind."""
        return np.zeros(4) if self.model is None else self.model.numbers()

    def expand(self, data: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pseudo-data and weights whose normal has the likelihood's slope and curvature.

        About the expected values m the log likelihood of a pixel is
        g (v - m) - w (v - m)^2 / 2 + ..., with g its slope and w minus its curvature: a normal
        of weight w about m + g / w.

        Parameters
        ----------
        data, mean : (ny, nx) arrays
            Data and expected values, both less the reference sky.

        Raises
        ------
        ValueError
            For normal noise, which is its own expansion.
        """
        if self.model is None or self.known is None:
            raise ValueError("normal noise needs no expansion")
        slope, curvature, floor = self.model.expand(data - mean, mean, self.known)
        weight = np.maximum(curvature, floor)
        return mean + slope / weight, weight
