"""Sky level and scatter of an image, from the statistics of its good pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

from .pixels import clip_pixels, clip_rows, find_error_factor, mad_std, read_pixels


@dataclass(frozen=True)
class SkyLevel:
    """A constant sky level and the standard error of that level, both in the unit of the data."""

    level: float
    error: float


@dataclass(frozen=True, eq=False)
class SkyMap:
    """The sky under an image: ``level`` and ``error`` are floats or float64 arrays (ny, nx).

    ``error`` is the standard error of the level (not the scatter of the pixels): 0 where the level
    is given, infinite where no pixel says anything about it.
    """

    level: float | np.ndarray
    error: float | np.ndarray


@dataclass(frozen=True)
class _ClippedStatistic:
    """Settings of the sigma clipping, shared by all estimators of this file."""

    sigma: float = 3.0
    maxiters: int | None = 10

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, Real) or isinstance(self.sigma, bool):
            raise TypeError(f"sigma must be a number, found {self.sigma!r}")
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, found {self.sigma!r}")
        if self.maxiters is None:
            return
        if not isinstance(self.maxiters, Integral) or isinstance(self.maxiters, bool):
            raise TypeError(f"maxiters must be an integer or None, found {self.maxiters!r}")
        if self.maxiters < 0:
            raise ValueError(f"maxiters must not be negative, found {self.maxiters!r}")

    def _clip(self, data, mask):
        """Return the good pixels that survive the clipping (1-D) and the unit of the data."""
        values, bad, unit = read_pixels(data, mask)
        return clip_pixels(values[~bad], self.sigma, self.maxiters), unit


class SkyEstimator(_ClippedStatistic, ABC):
    """Sky level ``a * median + b * mean`` of the clipped pixels; subclasses set (a, b)."""

    @property
    @abstractmethod
    def _weights(self) -> tuple[float, float]:
        """The factors (a, b) of median and mean."""

    def __call__(self, data, mask=None):
        """Return the sky level; see `estimate` for the arguments."""
        return self.estimate(data, mask).level

    def estimate(self, data, mask=None) -> SkyLevel:
        r"""Return the sky level of an image and the standard error of that level.

        For the standard deviation s of the n pixels that the clipping leaves, the error of
        ``a * median + b * mean`` would without clipping be

        .. math:: s \sqrt{(a^2 \pi/2 + b^2 + 2 a b) / n} ,

        for independent Gaussian noise and large n: the mean has variance :math:`s^2/n`, the
        median :math:`(\pi/2) s^2/n`, and their covariance is that of the mean with itself,
        :math:`s^2/n`, because median − mean is ancillary and so independent of the mean (Basu's
        theorem). The clipping makes s smaller and the estimators less efficient. Its effect is
        computed from the influence functions of the clipped median and mean (see
        `find_error_factor`): 1 % for MMM and 4 % for the mean at 3 sigma, a factor of 2 for the
        mean at 2 sigma.

        Parameters
        ----------
        data : array_like or Quantity
            The image, any shape. Non-finite values are left out.
        mask : array_like of bool, optional
            True = bad, same shape as ``data``.

        Returns
        -------
        SkyLevel
            In the unit of ``data`` (Quantities for a Quantity). Without good pixels the level is
            NaN and the error infinite; with one good pixel the error is infinite.

        Raises
        ------
        ValueError
            If ``mask`` and ``data`` differ in shape.

        Examples
        --------
        >>> import numpy as np
        >>> from bayesphot import MMMBackground
        >>> image = np.random.default_rng(1).normal(100.0, 5.0, (100, 100))
        >>> sky = MMMBackground().estimate(image)
        >>> abs(sky.level - 100.0) < 4 * sky.error
        True
        """
        pixels, unit = self._clip(data, mask)
        level = self._weigh(pixels, *self._weights)
        if unit is None:
            return level
        return SkyLevel(level.level * unit, level.error * unit)

    def estimate_with_mean(self, data, mask=None) -> tuple[SkyLevel, SkyLevel]:
        """Return this level and that of the mean of the same clipped pixels, without units."""
        pixels, _ = self._clip(data, mask)
        return self._weigh(pixels, *self._weights), self._weigh(pixels, 0.0, 1.0)

    def estimate_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return level, its error and the mean of the clipped pixels of each row.

        Each row by itself is what `estimate` takes, all rows together much faster.

        Parameters
        ----------
        rows : (n, k) array
            Good pixels, in any order; infinite where a row has fewer. Sorted in place.

        Returns
        -------
        level, error, mean : (n,) arrays
            NaN, infinite and NaN for a row without pixels.
        """
        low, high, median, mean, std = clip_rows(rows, self.sigma, self.maxiters)
        count = high - low
        a, b = self._weights
        factor = find_error_factor(a, b, self.sigma, self.maxiters)
        error = np.where(count > 1, std * factor / np.sqrt(np.maximum(count, 1)), np.inf)
        return a * median + b * mean, error, mean

    def _weigh(self, pixels: np.ndarray, a: float, b: float) -> SkyLevel:
        """Return ``a * median + b * mean`` of clipped pixels and its standard error."""
        level, error = np.nan, np.inf
        if pixels.size > 0:
            level = float(a * np.median(pixels) + b * np.mean(pixels))
        if pixels.size > 1:
            factor = find_error_factor(a, b, self.sigma, self.maxiters)
            error = float(np.std(pixels) * factor / np.sqrt(pixels.size))
        return SkyLevel(level, error)


@dataclass(frozen=True)
class MeanBackground(SkyEstimator):
    """Sky level: the mean after sigma clipping.

    Parameters
    ----------
    sigma : float, optional
        Pixels further than this many standard deviations from the median are clipped.
    maxiters : int or None, optional
        Rounds of clipping; None clips until nothing changes, 0 not at all.

    Raises
    ------
    ValueError
        If ``sigma`` is not positive or ``maxiters`` negative.

    Examples
    --------
    >>> from bayesphot import MeanBackground
    >>> MeanBackground()([1.0, 2.0, 3.0, 4.0])
    2.5
    """

    @property
    def _weights(self) -> tuple[float, float]:
        return 0.0, 1.0


@dataclass(frozen=True)
class MedianBackground(SkyEstimator):
    """Sky level: the median after sigma clipping.

    Parameters
    ----------
    sigma, maxiters : float, int or None
        The clipping, as in `MeanBackground`.

    Examples
    --------
    >>> from bayesphot import MedianBackground
    >>> MedianBackground()([1.0, 2.0, 3.0])
    2.0
    """

    @property
    def _weights(self) -> tuple[float, float]:
        return 1.0, 0.0


@dataclass(frozen=True)
class ModeEstimatorBackground(SkyEstimator):
    """Sky level: ``median_factor * median - mean_factor * mean`` after sigma clipping.

    Parameters
    ----------
    sigma, maxiters : float, int or None
        The clipping, as in `MeanBackground`.
    median_factor, mean_factor : float, keyword only
        Weights of median and mean.

    Examples
    --------
    >>> from bayesphot.background import ModeEstimatorBackground
    >>> ModeEstimatorBackground(median_factor=2.5, mean_factor=1.5)([1.0, 2.0, 3.0, 4.0])
    2.5
    """

    median_factor: float = field(default=3.0, kw_only=True)
    mean_factor: float = field(default=2.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("median_factor", "mean_factor"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not np.isfinite(float(value)):
                raise ValueError(f"{name} must be a finite number, found {value!r}")

    @property
    def _weights(self) -> tuple[float, float]:
        return float(self.median_factor), -float(self.mean_factor)


@dataclass(frozen=True)
class MMMBackground(SkyEstimator):
    """Sky level: 3 median − 2 mean after sigma clipping, the mode of a slightly skewed sky.

    The estimator of DAOPHOT's MMM (Stetson 1987, PASP 99, 191) in its usual short form.

    Parameters
    ----------
    sigma, maxiters : float, int or None
        The clipping, as in `MeanBackground`.

    Examples
    --------
    >>> from bayesphot import MMMBackground
    >>> MMMBackground()([1.0, 2.0, 3.0, 4.0])
    2.5
    """

    @property
    def _weights(self) -> tuple[float, float]:
        return 3.0, -2.0


@dataclass(frozen=True)
class StdBackgroundRMS(_ClippedStatistic):
    """Scatter of the sky pixels: the standard deviation after sigma clipping.

    Parameters
    ----------
    sigma, maxiters : float, int or None
        The clipping, as in `MeanBackground`.

    Examples
    --------
    >>> from bayesphot import StdBackgroundRMS
    >>> StdBackgroundRMS()([1.0, 3.0])
    1.0
    """

    def __call__(self, data, mask=None):
        """Return the scatter in the unit of ``data``; NaN without good pixels."""
        pixels, unit = self._clip(data, mask)
        scatter = float(np.std(pixels)) if pixels.size else np.nan
        return scatter if unit is None else scatter * unit


@dataclass(frozen=True)
class MADStdBackgroundRMS(_ClippedStatistic):
    """Scatter of the sky pixels: 1.4826 median absolute deviations after sigma clipping.

    Parameters
    ----------
    sigma, maxiters : float, int or None
        The clipping, as in `MeanBackground`.

    Examples
    --------
    >>> from bayesphot import MADStdBackgroundRMS
    >>> round(MADStdBackgroundRMS()([1.0, 2.0, 3.0]), 4)
    1.4826
    """

    def __call__(self, data, mask=None):
        """Return the scatter in the unit of ``data``; NaN without good pixels."""
        pixels, unit = self._clip(data, mask)
        scatter = mad_std(pixels) if pixels.size else np.nan
        return scatter if unit is None else scatter * unit
