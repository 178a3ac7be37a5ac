"""The border of the package for images: whatever the user has becomes clean float64 arrays."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["Image", "find_resampling", "prepare_image"]

#: Keywords that resampling leaves: of AstroDrizzle (NDRIZIM; D001PIXF, D001KERN, ...), of
#: calwebb's resample step (S_RESAMP = COMPLETE), of SWarp (RESAMPT1, ...).
_RESAMPLED = re.compile(r"NDRIZIM|D\d{3}(PIXF|KERN|SCAL|OUUN)|RESAMPT\d+|S_RESAMP", re.IGNORECASE)

#: Units of counts of any kind.
COUNTS = (u.electron, u.photon, u.ct, u.adu, u.DN, u.dimensionless_unscaled)
#: Beyond, squares of data and weights are no numbers.
LARGEST = 1e100


@dataclass(frozen=True, eq=False)
class Image:
    """
    An image ready for the stages: arrays are float64 (or bool), C-contiguous, native-endian.

    Attributes
    ----------
    data : ndarray of float (ny, nx)
        Pixel values, 0 on bad pixels.
    good : ndarray of bool (ny, nx)
        True where the pixel counts.
    error : ndarray of float (ny, nx) or None
        Total 1-sigma error of each pixel, 1 on bad pixels; None where none was given.
    unit : `astropy.units.UnitBase` or None
        Unit of data and error.
    wcs : object or None
        World coordinate system, as it came.
    header : dict or None
        Header or metadata, a shallow copy.
    cores : ndarray of float (k, 4) or None
        x, y, radius and level of saturated cores: stars, though their pixels are bad.
    saturated : ndarray of bool (ny, nx) or None
        Pixels that are bad because they, or ones beside them, are saturated.
    """

    data: np.ndarray
    good: np.ndarray
    error: np.ndarray | None = None
    unit: Any = None
    wcs: Any = None
    header: dict | None = None
    cores: np.ndarray | None = None
    saturated: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the arrays, (ny, nx)."""
        return self.data.shape


class _Parts(NamedTuple):
    """An array-like taken apart; ``mask`` is what the array itself masks."""

    values: Any
    unit: Any = None
    mask: Any = None


def prepare_image(image, error=None, mask=None, *, stacklevel: int = 2) -> Image:
    """
    Check and copy an image, its error and its mask.

    Parameters
    ----------
    image : array_like, `~astropy.units.Quantity` or `~astropy.nddata.NDData` (ny, nx)
        Real numbers of any type. From NDData the uncertainty (standard deviation, variance or
        inverse variance), mask, unit, wcs and meta come along; where there is no mask, ``flags`` of
        CCDData are one: not 0 is bad (`bayesphot.mask_bits` chooses bits). What a masked array
        masks is bad.
    error : float, array_like or `~astropy.units.Quantity`, optional
        Total 1-sigma error per pixel, positive, one number or (ny, nx). Without a unit it is in
        the image's. Wins over the image's own uncertainty.
    mask : array_like of bool (or of 0 and 1), optional
        True where the pixel is bad, (ny, nx). Wins over the mask of NDData.
    stacklevel : int
        Whose line the warning names: 2 is the caller's, 3 that of the caller's caller.

    Returns
    -------
    Image
        New arrays; the inputs are never modified.

    Raises
    ------
    TypeError
        If an argument does not hold numbers of the right type.
    ValueError
        If shapes or units do not fit, the image is in magnitudes, a mask holds more than 0 and 1,
        or an error is negative at a pixel that the mask does not exclude.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        Once, if pixels had to be masked because their data are not finite or their error is
        zero or not finite, or either is beyond 1e100 (pixels already in the mask do not count).

    Examples
    --------
    >>> from bayesphot.image import prepare_image
    >>> image = prepare_image([[1, 2], [3, 4]], error=0.5, mask=[[0, 0], [1, 0]])
    >>> image.data
    array([[1., 2.],
           [0., 4.]])
    """
    carried = _unpack_image(image)
    parts = _take_apart(carried.pop("data"))
    data = _read_numbers(parts.values, "image")
    if data.ndim != 2 or data.size == 0:
        raise ValueError(f"image must be 2-D and not empty, found shape {data.shape}")
    carried_unit = carried.pop("unit")
    unit = parts.unit if carried_unit is None else carried_unit
    if isinstance(unit, u.FunctionUnitBase) or unit == u.mag:
        raise ValueError(f"image must be in a linear unit, for light adds up, found '{unit}'")
    carried_mask, uncertainty = carried.pop("mask"), carried.pop("uncertainty")
    quality = carried.pop("flags")
    if carried_mask is None and mask is None:
        carried_mask = _read_quality(quality, data.shape)
    excluded = _read_mask(carried_mask if mask is None else mask, data.shape)
    excluded |= _read_mask(parts.mask, data.shape)
    if error is None:
        sigma, sigma_mask = _read_error(uncertainty, "image.uncertainty", unit, data.shape)
    else:
        sigma, sigma_mask = _read_error(error, "error", unit, data.shape)
    excluded |= sigma_mask
    good = _exclude_unusable(data, sigma, excluded, stacklevel + 1)
    data[~good] = 0.0
    if sigma is not None:
        sigma[~good] = 1.0
    return Image(data, good, sigma, unit, **carried)


def find_resampling(header: Mapping | None) -> str | None:
    """Return a keyword that says that an image was resampled, None if there is none.

    Parameters
    ----------
    header : mapping or None
        Keywords of a FITS header.
    """
    for key, value in (header or {}).items():
        if _RESAMPLED.fullmatch(str(key)):
            if str(key).upper() == "S_RESAMP" and str(value).strip().upper() != "COMPLETE":
                continue
            return str(key)
    return None


def _unpack_image(image) -> dict:
    """Name what comes with the image: data, uncertainty, mask, unit, wcs, header."""
    carried = dict.fromkeys(("data", "uncertainty", "mask", "unit", "wcs", "header", "flags"))
    carried["data"] = image
    if isinstance(image, (np.ndarray, list, tuple)):
        return carried
    # Half a second of imports that plain arrays do not need.
    from astropy.nddata import NDData

    if isinstance(image, NDData):
        carried = {name: getattr(image, name, None) for name in carried if name != "header"}
        carried["header"] = _copy_header(image.meta)
    return carried


def _copy_header(meta: Mapping) -> dict | None:
    """Plain dictionary of a header's keywords; commentary cards have no place in it."""
    header = {key: meta[key] for key in meta if key not in ("COMMENT", "HISTORY", "")}
    return header or None


def _take_apart(value) -> _Parts:
    """Separate the unit and the mask from an array, a Quantity or a masked version of either."""
    if value is None:
        return _Parts(None)
    mask = None
    if isinstance(value, np.ma.MaskedArray):
        value, mask = value.data, np.ma.getmaskarray(value)
    elif hasattr(value, "unmasked") and hasattr(value, "mask"):
        value, mask = value.unmasked, value.mask
    if isinstance(value, u.Quantity):
        return _Parts(value.value, value.unit, mask)
    return _Parts(value, None, mask)


def _read_numbers(value, name: str) -> np.ndarray:
    """Copy real numbers to a float64 array, C-contiguous and native-endian."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"{name} must be an array of real numbers: {problem}") from None
    if array.dtype.kind not in "iuf":
        what = type(value).__name__ if array.ndim == 0 else f"dtype {array.dtype}"
        hint = ": read the file first" if isinstance(value, (str, os.PathLike)) else ""
        raise TypeError(f"{name} must hold real numbers, found {what}{hint}")
    # Values beyond float64 become infinite, and with that bad.
    with np.errstate(all="ignore"):
        return np.array(array, dtype=np.float64, order="C")


def _read_mask(mask, shape: tuple[int, int]) -> np.ndarray:
    """New boolean array, True where bad; None masks nothing."""
    if mask is None or mask is np.ma.nomask:
        return np.zeros(shape, dtype=bool)
    if isinstance(mask, np.ma.MaskedArray):
        mask = mask.filled(True)
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"mask must be a 2-D array of booleans: {problem}") from None
    if array.dtype.kind not in "biu":
        what = type(mask).__name__ if array.ndim == 0 else f"dtype {array.dtype}"
        raise TypeError(f"mask must hold booleans, or 0 and 1, found {what}")
    if array.shape != shape:
        raise ValueError(f"mask must have the shape of the image {shape}, found {array.shape}")
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise ValueError(
            f"mask must hold booleans, or 0 and 1, found {array[y, x]} at (y, x) = ({y}, {x}); "
            "bayesphot.mask_bits makes one of quality bits"
        )
    return array.astype(bool)


def _read_quality(flags, shape: tuple[int, int]) -> np.ndarray | None:
    """The mask that quality bits mean, or a collection of planes of them; None without any."""
    if flags is None:
        return None
    from bayesphot.readers import mask_bits

    excluded = np.zeros(shape, dtype=bool)
    for plane in flags.values() if isinstance(flags, Mapping) else (flags,):
        try:
            bad = mask_bits(plane)
        except TypeError as problem:
            raise TypeError(f"image.flags: {problem}") from None
        if bad.shape != shape:
            raise ValueError(
                f"image.flags must have the shape of the image {shape}, found {bad.shape}"
            )
        excluded |= bad
    return excluded


def _read_error(error, name: str, unit, shape) -> tuple[np.ndarray | None, np.ndarray]:
    """Standard deviations in the image's unit, of the image's shape, and what they mask."""
    unmasked = np.zeros(shape, dtype=bool)
    if error is None:
        return None, unmasked
    kind = getattr(error, "uncertainty_type", "std")
    if kind not in _TO_STD:
        raise ValueError(f"{name} must be of type 'std', 'var' or 'ivar', found {kind!r}")
    if hasattr(error, "uncertainty_type"):
        parts = _take_apart(error.array)._replace(unit=error.unit)
    else:
        parts = _take_apart(error)
    values = _read_numbers(parts.values, name)
    if values.shape not in ((), shape):
        raise ValueError(f"{name} must have the shape of the image {shape}, found {values.shape}")
    to_std, power = _TO_STD[kind]
    values = to_std(values)
    if parts.unit is not None:
        values *= _scale_unit(parts.unit**power, unit, name)
    hidden = unmasked if parts.mask is None else np.broadcast_to(np.asarray(parts.mask), shape)
    return np.array(np.broadcast_to(values, shape), order="C"), hidden


def _invert_variance(values: np.ndarray) -> np.ndarray:
    """Standard deviation from inverse variance: infinite for 0, negative for negative."""
    with np.errstate(divide="ignore"):
        return np.copysign(1 / np.sqrt(np.abs(values)), values + 0.0)


#: How each kind of astropy uncertainty becomes a standard deviation, and the power of its unit.
#: The sign survives, so that a negative variance is reported as what it is.
_TO_STD: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "std": (np.array, 1),
    "var": (lambda values: np.sign(values) * np.sqrt(np.abs(values)), 0.5),
    "ivar": (_invert_variance, -0.5),
}


def _scale_unit(error_unit, unit, name: str) -> float:
    """Factor from the error's unit to the image's."""
    try:
        return error_unit.to(u.dimensionless_unscaled if unit is None else unit)
    except u.UnitConversionError:
        found = "none" if unit is None else f"'{unit}'"
        raise ValueError(
            f"{name} must be in the unit of the image: {name} has '{error_unit}', image {found}"
        ) from None


def _exclude_unusable(data, sigma, excluded, stacklevel: int) -> np.ndarray:
    """Good pixels; complains of negative errors and warns of what had to be masked."""
    no_data = ~np.isfinite(data) & ~excluded
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(data) > LARGEST) & ~no_data & ~excluded
    no_error = np.zeros_like(excluded)
    if sigma is not None:
        negative = (sigma < 0) & ~excluded
        if negative.any():
            y, x = np.argwhere(negative)[0]
            raise ValueError(f"error must be positive, found {sigma[y, x]} at (y, x) = ({y}, {x})")
        no_error = ~(np.isfinite(sigma) & (sigma > 0)) & ~excluded
        beyond |= ((sigma > LARGEST) | (sigma < 1.0 / LARGEST)) & ~no_error & ~excluded
    count = int(np.count_nonzero(no_data | no_error | beyond))
    if count:
        reasons = [
            f"{np.count_nonzero(bad)} with {what}"
            for bad, what in (
                (no_data, "non-finite data"),
                (no_error, "zero or non-finite error"),
                (beyond, f"data or error beyond {LARGEST:g}: choose another unit"),
            )
            if bad.any()
        ]
        warnings.warn(
            f"masked {count} pixel{'' if count == 1 else 's'}: {', '.join(reasons)}",
            AstropyUserWarning,
            stacklevel=stacklevel,
        )
    return ~(excluded | no_data | no_error | beyond)
