"""Noise with outliers: Student t, and a normal of which a share is wider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesphot.checks import check_number
from bayesphot.kernels.structs import CONTAMINATED_NOISE, STUDENT_NOISE
from bayesphot.noise.model import NoiseModel, check_within

__all__ = ["ContaminatedGaussian", "StudentTNoise"]

#: Degrees of freedom from which Student t noise is normal.
MOST_DOF = 1e9


@dataclass(frozen=True, repr=False)
class StudentTNoise(NoiseModel):
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
        check_within("dof", check_number("dof", self.dof, above=0.0), 1.0 / MOST_DOF, MOST_DOF)
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
class ContaminatedGaussian(NoiseModel):
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
        check_within("width", check_number("width", self.width, above=1.0))
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
