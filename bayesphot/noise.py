"""How a pixel scatters about the light that is expected on it."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field

import numpy as np

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
    "ccd_variance",
    "describe_noise",
    "expand_noise",
    "normal_variance",
    "takes_error",
]


@dataclass(frozen=True)
class CCDNoise:
    """Photon and read noise of a CCD, with the variance taken from the model of the scene.

    The variance of a pixel with expected value m (sources and sky, in data units) is
    ``(read_noise / gain)**2 + max(m + sky, 0) / gain``. Taking m from the fitted model instead
    of the data avoids the bias of data-based weights (Humphrey, Liu & Buote 2009).

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

    def __post_init__(self):
        for name in ("gain", "read_noise", "sky"):
            _check_number(name, getattr(self, name))
        if not (self.gain > 0.0 and math.isfinite(self.gain)):
            raise ValueError(f"gain must be positive and finite, found {self.gain!r}")
        if not (self.read_noise >= 0.0 and math.isfinite(self.read_noise)):
            raise ValueError(f"read_noise must be finite and >= 0, found {self.read_noise!r}")
        if not math.isfinite(self.sky):
            raise ValueError(f"sky must be finite, found {self.sky!r}")


@dataclass(frozen=True)
class PoissonNoise:
    """Counts: each pixel is a Poisson variate about the whole expected light, sky included.

    The image is in counts (photons or electrons), nothing subtracted.

    Examples
    --------
    >>> from bayesphot import PoissonNoise
    >>> PoissonNoise()
    PoissonNoise()
    """


@dataclass(frozen=True)
class StudentTNoise:
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

    def __post_init__(self):
        _check_number("dof", self.dof)
        if not (self.dof > 0.0 and math.isfinite(self.dof)):
            raise ValueError(f"dof must be positive and finite, found {self.dof!r}")


@dataclass(frozen=True)
class ContaminatedGaussian:
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

    def __post_init__(self):
        _check_number("fraction", self.fraction)
        _check_number("width", self.width)
        if not 0.0 < self.fraction < 1.0:
            raise ValueError(f"fraction must lie between 0 and 1, found {self.fraction!r}")
        if not (self.width > 1.0 and math.isfinite(self.width)):
            raise ValueError(f"width must be finite and above 1, found {self.width!r}")


#: What may be given as noise.
NOISE_MODELS = (CCDNoise, PoissonNoise, StudentTNoise, ContaminatedGaussian)


@dataclass(frozen=True, eq=False)
class PixelNoise:
    """The noise of an image as the kernels take it.

    Parameters
    ----------
    kind : int
        Noise kind of `bayesphot.kernels.structs`.
    numbers : (4,) array
        The kind's numbers.
    known : (ny, nx) array or None
        Level taken out of the data before, or precision of each pixel; None for normal noise.
    data, weight : (ny, nx) arrays or None
        The data and the fit's weights, where those of the normal approximation are others.
    """

    kind: int = NORMAL_NOISE
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(4))
    known: np.ndarray | None = None
    data: np.ndarray | None = None
    weight: np.ndarray | None = None


def takes_error(noise) -> bool:
    """Return whether a noise model has its scale from the error of the call."""
    return isinstance(noise, (StudentTNoise, ContaminatedGaussian))


def describe_noise(noise, sky: np.ndarray, variance: np.ndarray) -> PixelNoise:
    """Return what the kernels need to know of a noise model.

    Parameters
    ----------
    noise : noise model or None
        None: normal noise.
    sky : (ny, nx) array
        Reference sky that was taken out of the data.
    variance : (ny, nx) array
        Squared scale of each pixel, for models that take an error.
    """
    values = np.zeros(4)
    if noise is None:
        return PixelNoise()
    if isinstance(noise, CCDNoise):
        values[:3] = (noise.read_noise / noise.gain) ** 2, 1.0 / noise.gain, _ccd_floor(noise)
        return PixelNoise(CCD_NOISE, values, sky + noise.sky)
    if isinstance(noise, PoissonNoise):
        return PixelNoise(POISSON_NOISE, values, np.array(sky))
    known = 1.0 / variance
    if isinstance(noise, StudentTNoise):
        values[0] = noise.dof
        return PixelNoise(STUDENT_NOISE, values, known)
    values[:2] = noise.fraction, noise.width
    return PixelNoise(CONTAMINATED_NOISE, values, known)


def normal_variance(noise, residual: np.ndarray, mean: np.ndarray, variance) -> np.ndarray:
    """Return the variance of the normal noise that stands for a model near its optimum.

    For counts it is their expectation. For outliers it is the reciprocal of the weights of
    iterative reweighting, scaled to the Fisher information: for Student t of n degrees of
    freedom ``w = (n + 1)/(n + 3) (n + 1)/(n + z^2) / scale^2`` with z the residual over scale.

    Parameters
    ----------
    noise : noise model
        Not None.
    residual, mean : (ny, nx) arrays
        Data less model, and the model with its sky, in data units.
    variance : (ny, nx) array
        Squared scale of each pixel, for models that take an error.
    """
    if isinstance(noise, CCDNoise):
        return ccd_variance(noise, mean)
    if isinstance(noise, PoissonNoise):
        # A pixel without expected counts still carries information: that of half a count.
        return np.maximum(mean, 0.5)
    z2 = residual**2 / variance
    if isinstance(noise, StudentTNoise):
        n = noise.dof
        return variance * (n + z2) / (n + 1.0) * (n + 3.0) / (n + 1.0)
    core = (1.0 - noise.fraction) * np.exp(-0.5 * z2)
    tail = noise.fraction / noise.width * np.exp(-0.5 * z2 / noise.width**2)
    share = core / np.maximum(core + tail, 1e-300)
    return variance / (share + (1.0 - share) / noise.width**2)


def expand_noise(noise: PixelNoise, data: np.ndarray, mean: np.ndarray):
    """Return pseudo-data and weights whose normal has the likelihood's slope and curvature.

    About the expected values m the log likelihood of a pixel is g (v - m) - w (v - m)^2 / 2 + ...
    with g its slope and w minus its curvature: a normal of weight w about m + g / w. Curvatures
    are held above a hundredth of the largest a pixel of this kind can have.

    Parameters
    ----------
    noise : PixelNoise
        A kind other than normal.
    data, mean : (ny, nx) arrays
        Data and expected values, both less the reference sky.
    """
    known = np.asarray(noise.known)
    r = data - mean
    if noise.kind == CCD_NOISE:
        a, b, floor = noise.numbers[:3]
        bright = mean + known > 0.0
        v = np.maximum(a + np.maximum(mean + known, 0.0) * b, floor)
        b = np.where(bright & (v > floor), b, 0.0)
        slope = r / v + 0.5 * b * (r**2 / v**2 - 1.0 / v)
        weight = 1.0 / v + 2.0 * r * b / v**2 + b**2 * (r**2 / v**3 - 0.5 / v**2)
        least = 0.1 / v
    elif noise.kind == POISSON_NOISE:
        expected = np.maximum(mean + known, 0.1)
        counts = np.maximum(data + known, 0.0)
        slope = counts / expected - 1.0
        weight = counts / expected**2
        least = 0.1 / expected
    elif noise.kind == STUDENT_NOISE:
        n = noise.numbers[0]
        z2 = r**2 * known
        slope = (n + 1.0) * r * known / (n + z2)
        weight = (n + 1.0) * known * (n - z2) / (n + z2) ** 2
        least = 0.01 * known
    else:
        fraction, width = noise.numbers[:2]
        z2 = r**2 * known
        odds = (
            fraction
            / width
            / (1.0 - fraction)
            * np.exp(np.minimum(0.5 * z2 * (1.0 - 1.0 / width**2), 700.0))
        )
        tail = odds / (1.0 + odds)
        narrow = 1.0 - 1.0 / width**2
        mean_weight = known * (1.0 - tail * narrow)
        slope = r * mean_weight
        weight = mean_weight - known * z2 * narrow**2 * tail * (1.0 - tail)
        least = 0.5 * known / width**2
    weight = np.maximum(weight, least)
    return mean + slope / weight, weight


def ccd_variance(noise: CCDNoise, expected: np.ndarray) -> np.ndarray:
    """Return the variance of pixels with the given expected values, data units squared.

    A pixel with neither read noise nor expected light would have no variance at all; its
    variance is that of a tenth of an electron.
    """
    light = np.maximum(expected + noise.sky, 0.0) / noise.gain
    return np.maximum((noise.read_noise / noise.gain) ** 2 + light, _ccd_floor(noise))


def _ccd_floor(noise: CCDNoise) -> float:
    """Return the variance of a tenth of an electron, data units squared."""
    return 0.1 / noise.gain**2


def _check_number(name: str, value) -> None:
    """Raise TypeError unless a value is a real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, found {value!r}")
