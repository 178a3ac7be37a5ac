"""What a finder is given, checked and brought to plain float arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u


@dataclass(frozen=True)
class Frame:
    """An image ready for searching: float64 data with zeros on the bad pixels, and its unit."""

    data: np.ndarray
    good: np.ndarray
    unit: u.UnitBase | None


def read_frame(data: Any, mask: Any = None) -> Frame:
    """
    Check an image and its mask and copy them into a `Frame`.

    Parameters
    ----------
    data : array-like, Quantity or masked array (ny, nx)
        Any real number type, byte order and memory layout; non-finite pixels count as masked.
    mask : array-like of bool (ny, nx), optional
        True where the pixel is bad.

    Returns
    -------
    Frame

    Raises
    ------
    TypeError
        If the data are not real numbers.
    ValueError
        If the data are not two-dimensional or the mask has another shape.

    Examples
    --------
    >>> from bayesphot.detection.frame import read_frame
    >>> int(read_frame([[1, 2], [3, float("nan")]]).good.sum())
    3
    """
    unit = data.unit if isinstance(data, u.Quantity) else None
    raw = np.ma.getdata(data.value if unit is not None else data)
    raw = np.asarray(raw)
    if raw.dtype.kind not in "biuf":
        raise TypeError(f"data must be real numbers, found dtype {raw.dtype}")
    if raw.ndim != 2:
        raise ValueError(f"data must be a 2-D image, found shape {raw.shape}")
    values = np.array(raw, dtype=np.float64, order="C")
    good = np.isfinite(values)
    if np.ma.getmask(data) is not np.ma.nomask:
        good &= ~np.ma.getmaskarray(data)
    if mask is not None:
        good &= ~_read_mask(mask, values.shape)
    values[~good] = 0.0
    return Frame(values, good, unit)


def _read_mask(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    """The mask as booleans, checked against the shape of the data."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu":
        raise TypeError(f"mask must be boolean, found dtype {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"mask must have the shape of data {shape}, found {mask.shape}")
    return mask.astype(bool)


def strip_unit(value: Any, name: str, unit: u.UnitBase | None) -> Any:
    """``value`` as plain numbers in the unit of the data; numbers are taken to be in it."""
    if not isinstance(value, u.Quantity):
        return value
    if unit is None:
        raise ValueError(f"{name} has the unit {value.unit} but data has none")
    try:
        return value.to_value(unit)
    except u.UnitConversionError:
        raise ValueError(
            f"{name} must be in the unit of data, {unit}, found {value.unit}"
        ) from None


def read_noise(noise: Any, frame: Frame) -> tuple[float | np.ndarray, np.ndarray]:
    """
    Check a noise level or map.

    Parameters
    ----------
    noise : float, ndarray (ny, nx) or Quantity, optional
        Standard deviation of the pixels. None: `estimate_noise`.
    frame : Frame

    Returns
    -------
    noise : float or ndarray (ny, nx)
        In the unit of the frame, zero on bad pixels.
    good : ndarray of bool (ny, nx)
        The frame's good pixels without those of non-finite noise.

    Raises
    ------
    ValueError
        If the shape differs from the data's or a good pixel has a negative noise.

    Examples
    --------
    >>> from bayesphot.detection.frame import read_frame, read_noise
    >>> read_noise(2.0, read_frame([[1.0, 2.0]]))[0]
    2.0
    """
    if noise is None:
        return estimate_noise(frame), frame.good
    values = np.asarray(strip_unit(noise, "noise", frame.unit), dtype=np.float64)
    if values.ndim == 0:
        if not values >= 0 or np.isinf(values):
            raise ValueError(f"noise must be finite and >= 0, found {float(values)}")
        return float(values), frame.good
    if values.shape != frame.data.shape:
        raise ValueError(
            f"noise must be a number or have the shape of data {frame.data.shape}, "
            f"found {values.shape}"
        )
    good = frame.good & np.isfinite(values)
    negative = np.argwhere(good & (values < 0))
    if negative.size:
        where = tuple(int(index) for index in negative[0])
        raise ValueError(f"noise must be >= 0, found {values[where]} at (y, x) = {where}")
    return np.where(good, values, 0.0), good


def estimate_noise(frame: Frame) -> float:
    """
    Robust standard deviation: 1.4826 MAD of the good pixels within 3 sigma of the median.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    float
        In the unit of the frame; 0 when no pixel is good.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.detection.frame import estimate_noise, read_frame
    >>> noise = np.random.default_rng(1).normal(0.0, 2.0, (100, 100))
    >>> abs(estimate_noise(read_frame(noise)) - 2.0) < 0.1
    True
    """
    from astropy.stats import mad_std, sigma_clip

    pixels = frame.data[frame.good]
    if pixels.size == 0:
        return 0.0
    # Along an axis astropy clips in compiled code, and marks by NaN.
    clipped = sigma_clip(pixels, sigma=3.0, maxiters=10, axis=0, masked=False)
    return float(mad_std(clipped[np.isfinite(clipped)]))
