"""Sky level and pixel noise of an image, from the statistics of its good pixels.

Each sky estimator says how well it knows the level as well as the level itself: the fit uses that
error as the width of the prior on the background.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

__all__ = [
    "MADStdBackgroundRMS",
    "MMMBackground",
    "MeanBackground",
    "MedianBackground",
    "ModeEstimatorBackground",
    "SkyLevel",
    "SkyMap",
    "StdBackgroundRMS",
    "estimate_noise",
    "estimate_sky",
]

#: 1 / inverse normal cdf(3/4): the standard deviation of a Gaussian per median absolute deviation.
_STD_PER_MAD = 1.482602218505602
#: Variance of the median over the variance of the mean, many Gaussian numbers.
_MEDIAN_VARIANCE = np.pi / 2


@dataclass(frozen=True)
class SkyLevel:
    """A constant sky level and the standard error of that level, both in the unit of the data."""

    level: float
    error: float


@dataclass(frozen=True, eq=False)
class SkyMap:
    """The sky under an image: ``level`` is a float or a float64 array (ny, nx), ``error`` a float.

    ``error`` is the standard error of the level (not the scatter of the pixels): 0 where the level
    is given, infinite where no pixel says anything about it.
    """

    level: float | np.ndarray
    error: float


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
        values, bad, unit = _read_pixels(data, mask)
        return _clip_pixels(values[~bad], self.sigma, self.maxiters), unit


class _SkyEstimator(_ClippedStatistic, ABC):
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

        With s the standard deviation of the n pixels left by the clipping, the error of
        ``a * median + b * mean`` is

        .. math:: s \sqrt{(a^2 \pi/2 + b^2 + 2 a b) / n} .

        It holds for independent Gaussian noise and large n: the mean has variance :math:`s^2/n`,
        the median :math:`(\pi/2) s^2/n`, and their covariance is that of the mean with itself,
        :math:`s^2/n`, because median − mean is ancillary and so independent of the mean (Basu's
        theorem). What the clipping does to s and to the two estimators is neglected: at 3 sigma
        the quoted error is within 4 % of the true one.

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
        a, b = self._weights
        level, error = np.nan, np.inf
        if pixels.size > 0:
            level = float(a * np.median(pixels) + b * np.mean(pixels))
        if pixels.size > 1:
            variance = (a * a * _MEDIAN_VARIANCE + b * b + 2.0 * a * b) / pixels.size
            error = float(np.std(pixels) * np.sqrt(variance))
        if unit is None:
            return SkyLevel(level, error)
        return SkyLevel(level * unit, error * unit)


@dataclass(frozen=True)
class MeanBackground(_SkyEstimator):
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
class MedianBackground(_SkyEstimator):
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
class ModeEstimatorBackground(_SkyEstimator):
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
class MMMBackground(_SkyEstimator):
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
        scatter = _mad_std(pixels) if pixels.size else np.nan
        return scatter if unit is None else scatter * unit


def estimate_sky(estimator, data, mask=None) -> SkyMap:
    """Return the sky under an image from whatever the user gave as background estimator.

    Parameters
    ----------
    estimator : None, number, estimator of this package, or callable
        None: level 0, error 0. A number: that level, known exactly (error 0). An estimator of
        this package: its level and error. Any other callable (photutils' objects, a function
        ``data -> scalar or array (ny, nx)``): its level, and as error that of a median,
        ``sqrt(pi/2) * s / sqrt(n)`` with ``s`` the MAD scatter and ``n`` the number of the good
        pixels left after subtracting the level and clipping at 3 sigma; for a map this is a
        lower limit, since nothing is known of the map's freedom. A callable that returns a
        `SkyLevel` or a `SkyMap` sets its own error.

        A callable with a ``mask`` argument is called as ``estimator(data, mask=mask)``. Any
        other is called with the data alone: as a masked array if pixels are bad, with the
        median of the good pixels beneath the mask, so that a function that ignores masks is
        not misled by the values there. It gets a copy of the data.
    data : array_like or Quantity, shape (ny, nx)
        The image. Non-finite pixels count as bad.
    mask : array_like of bool, shape (ny, nx), optional
        True = bad.

    Returns
    -------
    SkyMap
        Plain floats in the unit of ``data``. On bad pixels a non-finite level is replaced by
        the median of the level elsewhere. Without any good pixel an estimator is not asked:
        level 0, error infinite.

    Raises
    ------
    TypeError
        If ``estimator`` is none of the above, or returns something that is not numbers.
    ValueError
        If the level is not finite, or neither a scalar nor of shape (ny, nx), or its unit is
        not that of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.background import estimate_sky
    >>> estimate_sky(lambda data: np.median(data), np.full((5, 5), 3.0))
    SkyMap(level=3.0, error=0.0)
    """
    values, bad, unit = _read_pixels(data, mask)
    if estimator is None:
        return SkyMap(0.0, 0.0)
    if not callable(estimator):
        return SkyMap(_read_number(estimator, unit), 0.0)
    _refuse_class(estimator)
    if bad.all():
        return SkyMap(0.0, np.inf)
    if isinstance(estimator, _SkyEstimator):
        answer = estimator.estimate(values, bad)
    else:
        answer = _call_foreign(estimator, values, bad)
    if isinstance(answer, SkyLevel | SkyMap):
        level = _read_level(answer.level, bad, unit, estimator)
        return SkyMap(level, _read_error(answer.error, unit, estimator))
    level = _read_level(answer, bad, unit, estimator)
    return SkyMap(level, _median_error((values - level)[~bad]))


def estimate_noise(data, mask=None, estimator=None) -> float:
    """Return the 1-sigma pixel noise of an image, from the scatter of its good pixels.

    Parameters
    ----------
    data : array_like or Quantity, shape (ny, nx)
        The image. Non-finite pixels count as bad.
    mask : array_like of bool, shape (ny, nx), optional
        True = bad.
    estimator : callable, optional
        ``data -> scalar``; default `MADStdBackgroundRMS`. Called as in `estimate_sky`.

    Returns
    -------
    float
        In the unit of ``data``; 0 for a constant image, NaN without any good pixel.

    Raises
    ------
    TypeError
        If ``estimator`` is not callable or returns something that is not a number.
    ValueError
        If it returns a negative or non-finite number, or more than one.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.background import estimate_noise
    >>> image = np.random.default_rng(1).normal(100.0, 5.0, (100, 100))
    >>> abs(estimate_noise(image) / 5.0 - 1.0) < 0.05
    True
    """
    estimator = MADStdBackgroundRMS() if estimator is None else estimator
    if not callable(estimator):
        raise TypeError(f"noise estimator must be callable, found {estimator!r}")
    _refuse_class(estimator)
    values, bad, unit = _read_pixels(data, mask)
    if bad.all():
        return np.nan
    noise = _strip_unit(_call_foreign(estimator, values, bad), unit, "the noise")
    if np.ndim(noise) > 0:
        raise ValueError(
            f"the noise from {estimator!r} must be one number, found shape {np.shape(noise)}"
        )
    noise = float(_read_floats(noise, f"the noise from {estimator!r}"))
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"the noise from {estimator!r} must be finite and >= 0, found {noise}")
    return noise


def _read_pixels(data, mask):
    """Return (float64 values, bad pixels, unit or None) of an image of any spelling."""
    unit = getattr(data, "unit", None)
    values = np.ma.getdata(data.value if unit is not None else data)
    values = _read_floats(values, "data")
    bad = ~np.isfinite(values)
    if isinstance(data, np.ma.MaskedArray):
        bad |= np.ma.getmaskarray(data)
    if mask is not None:
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != values.shape:
            raise ValueError(f"mask has shape {mask.shape}, but data has shape {values.shape}")
        bad |= mask
    return values, bad, unit


def _read_floats(values, name) -> np.ndarray:
    """Return the values as float64, or say what they are instead."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers, found {values!r}")
    return array.astype(np.float64)


def _clip_pixels(pixels: np.ndarray, sigma: float, maxiters: int | None) -> np.ndarray:
    """Return the pixels (1-D, finite) that astropy's sigma clipping leaves."""
    from astropy.stats import SigmaClip

    if pixels.size == 0 or maxiters == 0:
        return pixels
    return SigmaClip(sigma=sigma, maxiters=maxiters)(pixels, masked=False)


def _mad_std(pixels: np.ndarray) -> float:
    """Return 1.4826 median absolute deviations."""
    return float(_STD_PER_MAD * np.median(np.abs(pixels - np.median(pixels))))


def _median_error(pixels: np.ndarray) -> float:
    """Return the standard error of the median, scatter and number taken after clipping."""
    pixels = _clip_pixels(pixels, 3.0, 10)
    if pixels.size < 2:
        return np.inf
    return float(_mad_std(pixels) * np.sqrt(_MEDIAN_VARIANCE / pixels.size))


def _refuse_class(estimator) -> None:
    """Catch the class given where an instance is meant: calling it would seem to work."""
    if isinstance(estimator, type):
        name = estimator.__name__
        raise TypeError(f"estimator must be an instance, found the class {name}: write {name}()")


def _call_foreign(estimator, values: np.ndarray, bad: np.ndarray):
    """Call ``estimator`` with a copy of the data and the bad pixels as it can take them."""
    benign = np.where(bad, np.median(values[~bad]), values)
    if _takes_mask(estimator):
        return estimator(benign, mask=bad.copy())
    if bad.any():
        return estimator(np.ma.MaskedArray(benign, mask=bad))
    return estimator(benign)


def _takes_mask(estimator) -> bool:
    """Tell whether a callable has an argument called mask."""
    try:
        return "mask" in inspect.signature(estimator).parameters
    except (TypeError, ValueError):  # some compiled callables show no signature
        return False


def _read_number(estimator, unit) -> float:
    """Return a level that the user gave as a number."""
    level = _strip_unit(estimator, unit, "the background")
    if np.ndim(level) > 0 or np.asarray(level).dtype.kind not in "iuf":
        raise TypeError(
            "background estimator must be None, a number, or a callable data -> scalar or array, "
            f"found {estimator!r}"
        )
    if not np.isfinite(level):
        raise ValueError(f"the background must be finite, found {estimator!r}")
    return float(level)


def _read_level(answer, bad: np.ndarray, unit, estimator) -> float | np.ndarray:
    """Return the level an estimator answered as a float or a finite float64 array."""
    name = f"the sky level from {estimator!r}"
    answer = _strip_unit(answer, unit, name)
    undefined = np.ma.getmaskarray(answer) if isinstance(answer, np.ma.MaskedArray) else False
    level = np.where(undefined, np.nan, _read_floats(np.ma.getdata(answer), name))
    if level.ndim == 0:
        if not np.isfinite(level):
            raise ValueError(f"{name} must be finite, found {float(level)}")
        return float(level)
    if level.shape != bad.shape:
        raise ValueError(f"{name} must be a scalar or of shape {bad.shape}, found {level.shape}")
    wrong = ~np.isfinite(level)
    if np.any(wrong & ~bad):
        y, x = (int(i) for i in np.argwhere(wrong & ~bad)[0])
        raise ValueError(f"{name} must be finite, found {level[y, x]} at (y, x) = ({y}, {x})")
    if wrong.any():
        level[wrong] = np.median(level[~wrong])
    return level


def _read_error(answer, unit, estimator) -> float:
    """Return the error that a callable gave along with its level."""
    error = float(_strip_unit(answer, unit, "the sky error"))
    if not error >= 0:
        raise ValueError(f"the sky error from {estimator!r} must be >= 0, found {error}")
    return error


def _strip_unit(value, unit, name):
    """Return a Quantity's value in the unit of the data, anything else as it is."""
    if not hasattr(value, "unit"):
        return value
    from astropy.units import UnitConversionError, dimensionless_unscaled

    try:
        return value.to_value(dimensionless_unscaled if unit is None else unit)
    except UnitConversionError:
        of_data = "no unit" if unit is None else f"unit {unit}"
        raise ValueError(f"{name} has unit {value.unit}, but the data have {of_data}") from None
