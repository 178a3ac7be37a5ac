"""How a pixel scatters about the light that is expected on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from bayesphot.checks import check_number, refuse_class
from bayesphot.kernels.structs import (
    CCD_NOISE,
    CONTAMINATED_NOISE,
    INFLATED,
    NORMAL_NOISE,
    POISSON_NOISE,
    SCALED_NOISE,
    STUDENT_NOISE,
)

__all__ = [
    "LOG_SCALES",
    "NOISE_MODELS",
    "CCDNoise",
    "ContaminatedGaussian",
    "NormalNoise",
    "PixelNoise",
    "PoissonNoise",
    "StudentTNoise",
]

#: Logarithms of a factor on the noise between which it is looked for.
LOG_SCALES = (-12.0, 12.0)
#: Widths of a log-normal about its median that hold all of it but 6e-5.
_REACH = 4.0


#: What a gain, a read noise or a width may be: their squares are numbers, too.
_LARGEST = 1e30
#: Degrees of freedom from which Student t noise is normal.
MOST_DOF = 1e9


def _check_within(name: str, number: float, low: float = 0.0, high: float = _LARGEST) -> None:
    """Raise ValueError for a number out of bounds."""
    if not low <= number <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, found {number!r}")


@dataclass(frozen=True, kw_only=True)
class _Noise(ABC):
    """What a noise model knows of a pixel; images are in data units.

    The least squares works with a normal of ``variance()``, renewed with the model of the scene.
    The sampling proposes from the normal that has the likelihood's slope and curvature
    (``expand()``), and corrects by the exact likelihood of ``kind``, with ``numbers()`` and what is
    ``known()`` of each pixel: `bayesphot.kernels.noise.split_pixel_likelihood`.
    """

    inflation: Any = None
    correlation: float = 1.0

    kind: ClassVar[int]
    #: Refits with a variance renewed from the model until it has settled.
    renewals: ClassVar[int] = 0
    #: Whether the scale of a pixel is the ``error`` of the call.
    takes_error: ClassVar[bool] = False
    #: Whether single pixels may lie anywhere: ``known`` is then 1 / scale^2.
    has_outliers: ClassVar[bool] = False

    def __repr__(self) -> str:
        """Show the arguments, the two factors only where they do something."""
        given = [(item, getattr(self, item.name)) for item in fields(self)]
        own = [f"{item.name}={value!r}" for item, value in given if not item.kw_only]
        own += [
            f"{item.name}={value!r}"
            for item, value in given
            if item.kw_only and value != item.default
        ]
        shown = ", ".join(own)
        return f"{type(self).__name__}({shown})"

    @property
    def light_variance(self) -> float:
        """Variance that one unit of light adds to that of a pixel; 0 where that is not known."""
        return 0.0

    def numbers(self) -> np.ndarray:
        """Return the (4,) numbers of the kind."""
        return np.zeros(4)

    @abstractmethod
    def known(self, sky: np.ndarray, scale2: np.ndarray) -> np.ndarray:
        """Return (ny, nx) what the likelihood needs of each pixel.

        ``sky`` is the reference that was taken out of the data, ``scale2`` the squared scale, or
        what is added to a variance that the model itself knows.
        """

    @abstractmethod
    def variance(self, residual: np.ndarray, mean: np.ndarray, scale2) -> np.ndarray:
        """Return the variance of the normal that stands for the model near its optimum.

        ``residual`` is data less model, ``mean`` the model with its sky; ``scale2`` as above.
        """

    def log_norm(self, data: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the log likelihood's part that depends on each pixel's data alone.

        ``data`` are less the reference sky, ``known`` as by ``known()``.
        """
        return 0.5 * np.log(known / (2.0 * np.pi))

    @abstractmethod
    def expand(self, residual: np.ndarray, mean: np.ndarray, known: np.ndarray, scale=1.0):
        """Return slope and minus curvature of the log likelihood by the mean, and its floor.

        ``mean`` is less the reference sky, ``scale`` a factor on the noise; curvatures are not let
        below the floor.
        """

    def pull(self, residual, mean, known, scale) -> np.ndarray:
        """Return 1 plus the slope of each pixel's log likelihood by the log of the scale."""
        slope, _, _ = self.expand(residual, mean, known, scale)
        return residual * slope

    def __post_init__(self) -> None:
        check_number("correlation", self.correlation, least=1.0)
        prior = self.inflation
        if prior is None:
            return
        refuse_class("inflation", prior)
        if not (hasattr(prior, "whole") and hasattr(prior, "support")):
            raise TypeError(
                "inflation must be a distribution such as LogNormal(1, 0.3), or None, "
                f"found {prior!r}"
            )
        if not (prior.is_proper and prior.support()[0] >= 0.0):
            raise ValueError(
                "inflation must be a proper distribution of positive numbers such as "
                f"LogNormal(1, 0.3), found {prior!r}"
            )
        least, most = np.exp(LOG_SCALES)
        low, high = _find_extent(prior)
        if low >= most or high <= least:
            raise ValueError(
                f"inflation must be a distribution of factors between {least:.2g} and {most:.2g}, "
                f"where they are looked for, found {prior!r}"
            )


def _find_extent(prior: Any) -> tuple[float, float]:
    """Return between which values a distribution lies: its support, or nearly all of it."""
    if not hasattr(prior, "median"):
        return prior.support()
    reach = np.exp(_REACH * prior.width)
    return prior.median / reach, prior.median * reach


@dataclass(frozen=True, repr=False)
class NormalNoise(_Noise):
    """Normal noise of the ``error`` of the call, or of the noise estimated from the image.

    The noise of a call that names none, with two factors beside it.

    Parameters
    ----------
    inflation : Prior, optional
        Prior of a factor on the noise of all pixels, one for each group, which is sampled: a proper
        distribution of positive numbers such as ``LogNormal(1, 0.3)``.
    correlation : float
        By how much the noise of a sum over the PSF is larger than that of as many independent
        pixels, at least 1: noise that resampling has correlated. Multiplies the noise of every
        pixel.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    ValueError
        If it is out of its range.

    Examples
    --------
    >>> from bayesphot import LogNormal, NormalNoise
    >>> NormalNoise(inflation=LogNormal(1.0, 0.3))
    NormalNoise(inflation=LogNormal(median=1.0, width=0.3))
    """

    kind: ClassVar[int] = NORMAL_NOISE
    takes_error: ClassVar[bool] = True

    def known(self, sky, scale2):
        return 1.0 / scale2

    def variance(self, residual, mean, scale2):
        return scale2

    def expand(self, residual, mean, known, scale=1.0):
        weight = known / scale**2
        return residual * weight, weight, weight


@dataclass(frozen=True, repr=False)
class CCDNoise(_Noise):
    """Photon and read noise of a CCD, with the variance taken from the model of the scene.

    The variance of a pixel with expected value m (sources and sky, in data units) is
    ``(read_noise / gain)**2 + max(m + sky, 0) / gain``, and at least that of a tenth of an
    electron. Taking m from the fitted model instead of the data avoids the bias of data-based
    weights (Humphrey, Liu & Buote 2009).

    Parameters
    ----------
    gain : float
        Electrons per data unit, positive: of an image per second the CCD's gain times the exposure
        time, of one in electrons per second the exposure time. `from_header` works it out.
    read_noise : float
        Read noise in electrons, not negative.
    sky : float
        Sky level, in data units, that was subtracted from the image before.
    inflation, correlation
        Two factors on the noise of all pixels, as for `NormalNoise`.

    Raises
    ------
    TypeError
        If a value has the wrong type.
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
    renewals: ClassVar[int] = 2

    def __post_init__(self):
        _check_within("gain", check_number("gain", self.gain, above=0.0), 1.0 / _LARGEST)
        _check_within("read_noise", check_number("read_noise", self.read_noise, least=0.0))
        check_number("sky", self.sky)
        super().__post_init__()

    @classmethod
    def from_header(
        cls, header, unit=None, *, gain=None, read_noise=None, **settings: Any
    ) -> CCDNoise:
        """Return the noise that the header of an image says: GAIN, RDNOISE and EXPTIME.

        Parameters
        ----------
        header : mapping
            FITS header, such as ``meta`` of what `bayesphot.read_image` returns. Without comments,
            as a dictionary, it has its read noise in electrons; a comment may say ADU.
        unit : `~astropy.units.Unit`, optional
            Unit of the image: ADU (None too), DN, counts, electrons, or one of them per time, where
            the gain is multiplied by EXPTIME.
        gain : float or str, optional
            Electrons per unit of the image, as they are, or the keyword; None: GAIN or EGAIN.
        read_noise : float or str, optional
            Electrons, or the keyword; None: RDNOISE or READNOIS.
        **settings
            ``sky``, ``inflation``, ``correlation``.

        Raises
        ------
        ValueError
            If a keyword is missing or no number, or the unit (MJy/sr, nanomaggies) is none that
            the gain leads to.

        Examples
        --------
        >>> from astropy import units as u
        >>> from bayesphot import CCDNoise
        >>> CCDNoise.from_header({"GAIN": 2.0, "RDNOISE": 5.0, "EXPTIME": 30.0}, u.adu / u.s)
        CCDNoise(gain=60.0, read_noise=5.0, sky=0.0)
        """
        from bayesphot.readers import read_ccd

        numbers = read_ccd(header, unit, gain=gain, read_noise=read_noise)
        return cls(numbers.gain, numbers.read_noise, **settings)

    @property
    def light_variance(self) -> float:
        return self.correlation**2 / self.gain

    def numbers(self) -> np.ndarray:
        # A pixel with neither read noise nor expected light would have no variance at all.
        floor = 0.1 / self.gain**2
        numbers = np.array([(self.read_noise / self.gain) ** 2, 1.0 / self.gain, floor, 0.0])
        return numbers * self.correlation**2

    def known(self, sky, scale2):
        # As much more light as would bring the added variance.
        return sky + self.sky + scale2 * self.gain / self.correlation**2

    def log_norm(self, data, known):
        return np.full(np.shape(data), -0.5 * np.log(2.0 * np.pi))

    def variance(self, residual, mean, scale2):
        return self._variance_of(mean + self.known(0.0, scale2))

    def expand(self, residual, mean, known, scale=1.0):
        _, b, floor, _ = self.numbers()
        v = self._variance_of(mean + known)
        # Without light, and at the floor, the variance does not move with the mean.
        b = np.where((mean + known > 0.0) & (v > floor), b, 0.0) * scale**2
        v = v * scale**2
        slope = residual / v + 0.5 * b * (residual**2 / v**2 - 1.0 / v)
        curvature = 1.0 / v + 2.0 * residual * b / v**2
        curvature = curvature + b**2 * (residual**2 / v**3 - 0.5 / v**2)
        return slope, curvature, 0.1 / v

    def pull(self, residual, mean, known, scale):
        return residual**2 / (self._variance_of(mean + known) * scale**2)

    def _variance_of(self, light) -> np.ndarray:
        """Return the variance of pixels of a given expected light, the whole sky included."""
        a, b, floor, _ = self.numbers()
        return np.maximum(a + np.maximum(light, 0.0) * b, floor)


@dataclass(frozen=True, repr=False)
class PoissonNoise(_Noise):
    """Counts: each pixel is a Poisson variate about the whole expected light, sky included.

    The image is in counts (photons or electrons), nothing subtracted.

    Raises
    ------
    ValueError
        For an `inflation` or a `correlation`: counts scatter as they must.

    Examples
    --------
    >>> from bayesphot import PoissonNoise
    >>> PoissonNoise()
    PoissonNoise()
    """

    kind: ClassVar[int] = POISSON_NOISE
    renewals: ClassVar[int] = 2

    def __post_init__(self):
        for name, idle in (("inflation", None), ("correlation", 1.0)):
            if getattr(self, name) != idle:
                raise ValueError(
                    f"{name} must be {idle} for PoissonNoise, whose counts scatter as they must, "
                    f"found {getattr(self, name)!r}"
                )

    @property
    def light_variance(self) -> float:
        return 1.0

    def known(self, sky, scale2):
        return np.array(sky)

    def log_norm(self, data, known):
        from scipy.special import gammaln

        return -gammaln(np.maximum(data + known, 0.0) + 1.0)

    def variance(self, residual, mean, scale2):
        # A pixel without expected counts still carries information: that of half a count.
        return np.maximum(mean, 0.5)

    def expand(self, residual, mean, known, scale=1.0):
        expected = np.maximum(mean + known, 0.1)
        counts = np.maximum(mean + residual + known, 0.0)
        return counts / expected - 1.0, counts / expected**2, 0.1 / expected


@dataclass(frozen=True, repr=False)
class StudentTNoise(_Noise):
    """Student t noise: outliers as a part of the noise (Lange, Little & Taylor 1989).

    Its scale is the ``error`` of the call, or the noise estimated from the image.

    Parameters
    ----------
    dof : float
        Degrees of freedom, between 1e-9 and 1e9 (where it is normal); 3 to 5 for stray outliers.
    inflation, correlation
        Two factors on the noise of all pixels, as for `NormalNoise`.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    ValueError
        If it is out of its range.

    Examples
    --------
    >>> from bayesphot import StudentTNoise
    >>> StudentTNoise(dof=4.0)
    StudentTNoise(dof=4.0)
    """

    dof: float
    kind: ClassVar[int] = STUDENT_NOISE
    has_outliers: ClassVar[bool] = True
    #: Each reweighting shrinks the error by a factor.
    renewals: ClassVar[int] = 5
    takes_error: ClassVar[bool] = True

    def __post_init__(self):
        # Beyond, the rounding of a logarithm next to 1 is worth more than the difference.
        _check_within("dof", check_number("dof", self.dof, above=0.0), 1.0 / MOST_DOF, MOST_DOF)
        super().__post_init__()

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

    def expand(self, residual, mean, known, scale=1.0):
        n = self.dof
        known = known / scale**2
        z2 = residual**2 * known
        slope = (n + 1.0) * residual * known / (n + z2)
        return slope, (n + 1.0) * known * (n - z2) / (n + z2) ** 2, 0.01 * known


@dataclass(frozen=True, repr=False)
class ContaminatedGaussian(_Noise):
    """Normal noise of which a share is wider: cosmic rays, hot pixels (Tukey 1960).

    Its scale is the ``error`` of the call, or the noise estimated from the image.

    Parameters
    ----------
    fraction : float
        Share of bad pixels, between 0 and 1.
    width : float
        Their scatter in units of the good pixels', above 1.
    inflation, correlation
        Two factors on the noise of all pixels, as for `NormalNoise`.

    Raises
    ------
    TypeError
        If a value has the wrong type.
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
    has_outliers: ClassVar[bool] = True
    renewals: ClassVar[int] = 5
    takes_error: ClassVar[bool] = True

    def __post_init__(self):
        if not 0.0 < check_number("fraction", self.fraction) < 1.0:
            raise ValueError(f"fraction must lie between 0 and 1, found {self.fraction!r}")
        _check_within("width", check_number("width", self.width, above=1.0))
        super().__post_init__()

    def numbers(self) -> np.ndarray:
        return np.array([self.fraction, self.width, 0.0, 0.0])

    def known(self, sky, scale2):
        return 1.0 / scale2

    def variance(self, residual, mean, scale2):
        wide = self._wide_share(residual**2 / scale2)
        return scale2 / (1.0 - wide * (1.0 - self.width**-2))

    def expand(self, residual, mean, known, scale=1.0):
        known = known / scale**2
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
NOISE_MODELS = (CCDNoise, PoissonNoise, StudentTNoise, ContaminatedGaussian, NormalNoise)


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
        if self.model is None:
            return NORMAL_NOISE
        if self.is_inflated and self.model.kind == NORMAL_NOISE:
            return SCALED_NOISE
        return self.model.kind

    @property
    def has_outliers(self) -> bool:
        """Whether weights depend on what a model takes for outliers."""
        return self.model is not None and self.model.has_outliers

    def scale_weights(self, weight: np.ndarray) -> np.ndarray:
        """Return the weights (ny, nx) of good pixels before any of them is taken for an outlier."""
        if not self.has_outliers or self.known is None:
            return weight
        return np.where(weight > 0.0, self.known, 0.0)

    @property
    def is_inflated(self) -> bool:
        """Whether the scale of the noise is sampled."""
        return self.model is not None and self.model.inflation is not None

    @property
    def light_variance(self) -> float:
        """Variance that one unit of light adds to that of a pixel; 0 where that is not known."""
        return 0.0 if self.model is None else self.model.light_variance

    @property
    def correlation(self) -> float:
        """Factor on the noise of the pixels."""
        return 1.0 if self.model is None else self.model.correlation

    @property
    def numbers(self) -> np.ndarray:
        """The (4,) numbers of the kind."""
        if self.model is None:
            return np.zeros(4)
        numbers = self.model.numbers()
        numbers[INFLATED] = float(self.is_inflated)
        return numbers

    def expand(
        self, data: np.ndarray, mean: np.ndarray, scale: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return pseudo-data and weights whose normal has the likelihood's slope and curvature.

        About the expected values m the log likelihood of a pixel is
        g (v - m) - w (v - m)^2 / 2 + ..., with g its slope and w minus its curvature: a normal
        of weight w about m + g / w.

        Parameters
        ----------
        data, mean : (ny, nx) arrays
            Data and expected values, both less the reference sky.
        scale : (ny, nx) array or float
            Factor on the noise.

        Raises
        ------
        ValueError
            For normal noise, which is its own expansion.
        """
        if self.model is None or self.known is None:
            raise ValueError("normal noise needs no expansion")
        slope, curvature, floor = self.model.expand(data - mean, mean, self.known, scale)
        weight = np.maximum(curvature, floor)
        return mean + slope / weight, weight
