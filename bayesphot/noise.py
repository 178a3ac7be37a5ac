"""How the variance of a pixel is known."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np

__all__ = ["CCDNoise", "ccd_variance"]


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
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number, found {value!r}")
        if not (self.gain > 0.0 and math.isfinite(self.gain)):
            raise ValueError(f"gain must be positive and finite, found {self.gain!r}")
        if not (self.read_noise >= 0.0 and math.isfinite(self.read_noise)):
            raise ValueError(f"read_noise must be finite and >= 0, found {self.read_noise!r}")
        if not math.isfinite(self.sky):
            raise ValueError(f"sky must be finite, found {self.sky!r}")


def ccd_variance(noise: CCDNoise, expected: np.ndarray) -> np.ndarray:
    """Return the variance of pixels with the given expected values, data units squared.

    A pixel with neither read noise nor expected light would have no variance at all; its
    variance is that of a tenth of an electron.
    """
    light = np.maximum(expected + noise.sky, 0.0) / noise.gain
    floor = 0.1 / noise.gain**2
    return np.maximum((noise.read_noise / noise.gain) ** 2 + light, floor)
