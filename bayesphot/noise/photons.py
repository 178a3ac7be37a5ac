"""Noise whose variance is that of the light: of a CCD, and of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy import units as u

from bayesphot.checks import check_number
from bayesphot.kernels.structs import CCD_NOISE, POISSON_NOISE
from bayesphot.noise.model import LARGEST, NoiseModel, check_within

__all__ = ["CCDNoise", "PoissonNoise"]


def _strip(name: str, value: Any, units: list[str]) -> Any:
    """Return the number of a Quantity in one of some units, other things as they are."""
    unit = getattr(value, "unit", None)
    if unit is None:
        return value
    for one in units:
        if unit.is_equivalent(one):
            return value.to_value(one)
    raise ValueError(f"{name} must be in {units[0]}, found {value}")


@dataclass(frozen=True, repr=False)
class CCDNoise(NoiseModel):
    """Photon and read noise of a CCD, with the variance taken from the model of the scene.

    The variance of a pixel with expected value m (sources and sky, in data units) is
    ``(read_noise / gain)**2 + max(m + sky, 0) / gain``, and at least that of a tenth of an
    electron. Taking m from the fitted model instead of the data avoids the bias of data-based
    weights (Humphrey, Liu & Buote 2009).

    Parameters
    ----------
    gain : float or Quantity
        Electrons per data unit (electron/adu), positive: of an image per second the CCD's gain
        times the exposure time, of one in electrons per second the exposure time. `from_header`
        works it out.
    read_noise : float or Quantity
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
        counts = (u.adu, u.DN, u.ct)
        units = [(u.electron / one).to_string() for one in (*counts, *(c / u.s for c in counts))]
        object.__setattr__(self, "gain", _strip("gain", self.gain, units))
        object.__setattr__(self, "read_noise", _strip("read_noise", self.read_noise, ["electron"]))
        check_within("gain", check_number("gain", self.gain, above=0.0), 1.0 / LARGEST)
        check_within("read_noise", check_number("read_noise", self.read_noise, least=0.0))
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
class PoissonNoise(NoiseModel):
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
