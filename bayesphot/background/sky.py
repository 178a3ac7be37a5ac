"""The sky under an image and its noise, from whatever the user gave as estimator."""

from __future__ import annotations

import inspect

import numpy as np

from bayesphot.checks import shorten

from .estimators import MADStdBackgroundRMS, SkyEstimator, SkyLevel, SkyMap
from .foreign import ForeignMap, is_foreign_map, read_estimator
from .maps import MapEstimator
from .pixels import find_median_error, read_floats, read_pixels


def estimate_sky(estimator, data, mask=None, *, unit=None) -> SkyMap:
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
        `SkyLevel` or a `SkyMap` sets its own error. photutils' ``Background2D`` and
        ``sep.Background``, made of the image beforehand, as a class or as a `functools.partial` of
        that: see `bayesphot.background.foreign`.

        A callable with a ``mask`` argument is called as ``estimator(data, mask=mask)``. Any
        other is called with the data alone: as a masked array if pixels are bad, with the
        median of the good pixels beneath the mask, so that a function that ignores masks is
        not misled by the values there. It gets a copy of the data.
    data : array_like or Quantity, shape (ny, nx)
        The image. Non-finite pixels count as bad.
    mask : array_like of bool, shape (ny, nx), optional
        True = bad.
    unit : Unit, optional
        Unit of plain data, to which a level with a unit is brought.

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
    values, bad, own_unit = read_pixels(data, mask)
    unit = unit if own_unit is None else own_unit
    estimator = read_estimator(estimator)
    if estimator is None:
        return SkyMap(0.0, 0.0)
    if not callable(estimator):
        return SkyMap(_read_number(estimator, unit), 0.0)
    _refuse_class(estimator)
    if bad.all():
        return SkyMap(0.0, np.inf)
    answer: SkyLevel | SkyMap
    if isinstance(estimator, SkyEstimator | MapEstimator):
        answer = estimator.estimate(values, bad)
    else:
        answer = _call_foreign(estimator, values, bad)
        if is_foreign_map(answer):
            answer = ForeignMap(answer).estimate(values, bad)
    if isinstance(answer, SkyLevel | SkyMap):
        level = _read_level(answer.level, bad, unit, estimator)
        return SkyMap(level, _read_error(answer.error, bad.shape, unit, estimator))
    level = _read_level(answer, bad, unit, estimator)
    return SkyMap(level, find_median_error((values - level)[~bad]))


def estimate_mean_sky(
    estimator, data: np.ndarray, mask: np.ndarray, *, unit=None
) -> tuple[SkyLevel | SkyMap, float]:
    """Return the sky, and the squared distance of a mode from the mean that noise leaves over.

    The sky of a fit is the mean of its pixels. That of skewed noise lies off its mode: a Poisson
    sky of 6 with read noise 2 by 0.28, once the error of the mode of 850 pixels. For normal
    noise var(level - mean) = var(level) - var(mean), since the mean is efficient.
    """
    if not isinstance(estimator, SkyEstimator):
        return estimate_sky(estimator, data, mask, unit=unit), 0.0
    level, mean = estimator.estimate_with_mean(data, mask)
    expected = max(0.0, float(level.error**2 - mean.error**2))
    return level, max(0.0, float(level.level - mean.level) ** 2 - expected)


def follows_tilt(estimator) -> bool:
    """Return whether an estimator's own level follows a sky that is tilted."""
    return isinstance(read_estimator(estimator), MapEstimator)


def map_noise(estimator, data: np.ndarray, bad: np.ndarray) -> float | np.ndarray:
    """Return the positive noise of the pixels: one number, or a map where the estimator has one.

    A noiseless image still needs a scale; nothing depends on which.

    Parameters
    ----------
    estimator : None, number or callable
        The user's background estimator.
    data : (ny, nx) array
        An image from which sources and sky are subtracted.
    bad : (ny, nx) bool array
        Pixels that do not count; not all.
    """
    estimator = read_estimator(estimator)
    noise = estimator.estimate_rms(data, bad) if isinstance(estimator, MapEstimator) else 0.0
    if np.all(noise > 0.0):
        return noise
    level = estimate_noise(data, bad)
    level = level if level > 0.0 else max(float(np.abs(data).max()), 1.0) * 1e-6
    return np.where(noise > 0.0, noise, level) if np.ndim(noise) else level


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
    values, bad, unit = read_pixels(data, mask)
    if bad.all():
        return np.nan
    noise = _strip_unit(_call_foreign(estimator, values, bad), unit, "the noise")
    if np.ndim(noise) > 0:
        raise ValueError(
            f"the noise from {shorten(estimator)} must be one number, found shape {np.shape(noise)}"
        )
    noise = float(read_floats(noise, f"the noise from {shorten(estimator)}"))
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(
            f"the noise from {shorten(estimator)} must be finite and >= 0, found {noise}"
        )
    return noise


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
            "background estimator must be None, a number, or a callable data -> scalar or array "
            "(lambda data: sky), "
            f"found {shorten(estimator)}"
        )
    if not np.isfinite(level):
        raise ValueError(f"the background must be finite, found {estimator!r}")
    return float(level)


def _read_level(answer, bad: np.ndarray, unit, estimator) -> float | np.ndarray:
    """Return the level an estimator answered as a float or a finite float64 array."""
    name = f"the sky level from {shorten(estimator)}"
    answer = _strip_unit(answer, unit, name)
    undefined: np.ndarray | bool = False
    if isinstance(answer, np.ma.MaskedArray):
        answer, undefined = answer.data, np.ma.getmaskarray(answer)
    level = np.where(undefined, np.nan, read_floats(answer, name))
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


def _read_error(answer, shape, unit, estimator) -> float | np.ndarray:
    """Return the error, one or a map, that a callable gave along with its level."""
    error = np.asarray(_strip_unit(answer, unit, "the sky error"), dtype=float)
    if error.ndim and error.shape != shape:
        raise ValueError(
            f"the sky error from {shorten(estimator)} must be one number or of shape {shape}, "
            f"found shape {error.shape}"
        )
    if not np.all(error >= 0):
        raise ValueError(
            f"the sky error from {shorten(estimator)} must be >= 0, found "
            f"{error[~(error >= 0)].flat[0]}"
        )
    return error if error.ndim else float(error)


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
