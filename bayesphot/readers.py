"""FITS files for the command line: images, planes of errors and masks, numbers of the header."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FitsImage",
    "ReadError",
    "header_value",
    "read_fits_image",
    "read_fits_mask",
    "read_fits_plane",
    "split_path",
]


class ReadError(ValueError):
    """A file or a header that cannot be used; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True, eq=False)
class FitsImage:
    """
    One 2-D image of a FITS file.

    Attributes
    ----------
    data : ndarray (ny, nx)
        Pixel values, native-endian.
    header : `astropy.io.fits.Header`
        Header of the extension, with the primary header's keywords where the extension has none.
    wcs : `astropy.wcs.WCS` or None
        Celestial coordinates, if the header has any that can be read.
    unit : `astropy.units.UnitBase` or None
        BUNIT, if astropy knows it.
    extension : str
        Which extension was read, number and name.
    """

    data: np.ndarray
    header: Any
    wcs: Any
    unit: Any
    extension: str

    def to_nddata(self):
        """Return the image as `~astropy.nddata.NDData`, which the photometry takes as it is."""
        from astropy.nddata import NDData

        return NDData(self.data, unit=self.unit, wcs=self.wcs, meta=dict(self.header))


def read_fits_image(path, *, ext: int | str | None = None) -> FitsImage:
    """
    Read an image with its header and coordinates.

    Parameters
    ----------
    path : str or path
        FITS file, also gzipped; ``file.fits[SCI]``, ``file.fits[1]`` and ``file.fits[SCI,2]``
        name an extension.
    ext : int or str, optional
        Extension, by number or name; wins over one in the path. By default the first with a
        2-D image.

    Returns
    -------
    FitsImage
        Data, header, coordinates and unit.

    Raises
    ------
    ReadError
        If the file is missing or not readable, lacks the extension or has no 2-D image there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from bayesphot.readers import read_fits_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f"{folder}/a.fits", np.array([[1.0, 2.0]]))
    ...     read_fits_image(f"{folder}/a.fits").data.shape
    (1, 2)
    """
    file, wanted = split_path(path, ext)
    # astropy says its say about odd files in warnings; what matters here ends in a ReadError.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open_file(file) as hdus:
            hdu = _find_hdu(hdus, wanted, file)
            data = _read_plane(hdu, file)
            header = hdu.header.copy()
            header.extend(hdus[0].header, unique=True, update=False, strip=True)
            extension = _name_extension(hdus, hdu)
            return FitsImage(data, header, _read_wcs(hdu, hdus), _read_unit(header), extension)


def read_fits_plane(path, ext: int | str | None = None) -> np.ndarray:
    """
    Read a 2-D array from a FITS file: an error map, or a mask.

    Parameters and errors are those of `read_fits_image`; the type of the numbers is the file's.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from bayesphot.readers import read_fits_plane
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.ImageHDU(np.array([[3, 4]]), name="ERR").writeto(f"{folder}/a.fits")
    ...     read_fits_plane(f"{folder}/a.fits[ERR]")
    array([[3, 4]])
    """
    return read_fits_image(path, ext=ext).data


def read_fits_mask(path, ext: int | str | None = None) -> np.ndarray:
    """
    Read a mask from a FITS file: True where the plane is not 0 (any quality bit, or NaN).

    Parameters and errors are those of `read_fits_image`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from bayesphot.readers import read_fits_mask
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f"{folder}/a.fits", np.array([[0, 4]]))
    ...     read_fits_mask(f"{folder}/a.fits")
    array([[False,  True]])
    """
    return read_fits_plane(path, ext) != 0


def header_value(header, names: Iterable[str], override: float | str | None = None) -> float | None:
    """
    Return a number the user gave, or else the first of several keywords that the header has.

    Parameters
    ----------
    header : mapping
        FITS header, or a dictionary with upper-case keywords.
    names : iterable of str
        Keywords to try in order.
    override : float or str, optional
        A number, or the keyword to take it from.

    Returns
    -------
    float or None
        None if nothing was given and the header has none of the keywords.

    Raises
    ------
    ReadError
        If the value is not a finite number, or the keyword given by `override` is missing.

    Examples
    --------
    >>> from bayesphot.readers import header_value
    >>> header_value({"GAIN": 9.0}, ("EGAIN", "GAIN"))
    9.0
    >>> header_value({"GAIN": 9.0}, ("EGAIN", "GAIN"), "2.5")
    2.5
    """
    header = header or {}
    if override is not None:
        try:
            return _read_finite(override, "the given value")
        except ReadError:
            if not isinstance(override, str) or override.upper() not in header:
                raise ReadError(
                    f"{override!r} is neither a finite number nor a keyword of the header"
                ) from None
        names = (override,)
    for name in names:
        keyword = name.upper()
        if keyword in header:
            return _read_finite(header[keyword], f"{keyword} in the header")
    return None


def _read_finite(value, what: str) -> float:
    """Finite float; FITS logicals are no numbers."""
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ReadError(f"{what} must be a finite number, found {value!r}")
    return number


def split_path(path, ext) -> tuple[Path, int | str | tuple[str, int] | None]:
    """File and extension; a file whose name really ends in brackets is taken at its word."""
    file = Path(path)
    if not file.exists():
        match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", str(path))
        if match:
            file = Path(match[1])
            ext = match[2] if ext is None else ext
    if not isinstance(ext, str):
        return file, ext
    name, _, version = ext.partition(",")
    if name.strip().isdigit():
        return file, int(name)
    if version.strip().isdigit():
        return file, (name.strip(), int(version))
    return file, ext.strip()


def _open_file(file: Path):
    """Open FITS file; memory mapping would leave the data of the closed file hanging."""
    from astropy.io import fits

    try:
        hdus = fits.open(file, memmap=False)
        len(hdus)  # reads all headers: a broken one shows here
    except FileNotFoundError:
        raise ReadError(f"{file}: no such file") from None
    except Exception as problem:
        # Broken files raise whatever the parser stumbled upon.
        raise ReadError(f"{file}: cannot be read as FITS: {problem}") from None
    return hdus


def _find_hdu(hdus, wanted, file: Path):
    """The wanted extension, or the first with a 2-D image."""
    listing = ", ".join(_name_extension(hdus, hdu) for hdu in hdus)
    if wanted is not None:
        try:
            return hdus[wanted]
        except (KeyError, IndexError):
            name = ",".join(map(str, wanted)) if isinstance(wanted, tuple) else wanted
            raise ReadError(f"{file}: no extension {name}; there are {listing}") from None
    for hdu in hdus:
        if _is_plane(hdu):
            return hdu
    raise ReadError(f"{file}: no 2-D image in any extension; there are {listing}")


def _name_extension(hdus, hdu) -> str:
    """Number and name of an extension."""
    return f"{hdus.index(hdu)} {hdu.name}".strip()


def _is_plane(hdu) -> bool:
    """Whether the extension is an image of two axes, but for leading axes of length 1."""
    shape = hdu.shape if hdu.is_image else ()
    return len(shape) >= 2 and set(shape[:-2]) <= {1} and 0 not in shape


def _read_plane(hdu, file: Path) -> np.ndarray:
    """Pixels of an extension in native byte order."""
    if not _is_plane(hdu):
        found = f"an image of shape {hdu.shape}" if hdu.is_image else "a table"
        raise ReadError(f"{file}: extension {hdu.name} must be a 2-D image, found {found}")
    try:
        data = hdu.data
        data = data.reshape(data.shape[-2:])
    except Exception as problem:
        # Truncated and damaged data raise whatever astropy or zlib stumbled upon.
        raise ReadError(f"{file}: pixels of {hdu.name} cannot be read: {problem}") from None
    return data.astype(data.dtype.newbyteorder("="))


def _read_wcs(hdu, hdus):
    """Celestial coordinates of the header; None if it has none, or none that make sense."""
    from astropy.wcs import WCS

    try:
        wcs = WCS(hdu.header, fobj=hdus).celestial
    except Exception:
        # wcslib rejects bad headers with a family of errors; photometry does without.
        return None
    return wcs if wcs.has_celestial else None


def _read_unit(header):
    """Unit in BUNIT; None if it is missing or unknown to astropy."""
    from astropy import units as u

    text = str(header.get("BUNIT", "")).strip()
    for spelling in (text, text.lower()):
        unit = u.Unit(spelling, parse_strict="silent")
        if text and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None
