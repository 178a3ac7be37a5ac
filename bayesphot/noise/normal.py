"""Normal noise of a known scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bayesphot.kernels.structs import NORMAL_NOISE
from bayesphot.noise.model import NoiseModel

__all__ = ["NormalNoise"]


@dataclass(frozen=True, repr=False)
class NormalNoise(NoiseModel):
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
