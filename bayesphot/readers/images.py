"""An image of a FITS file with all that lies beside it: coordinates, unit, errors, mask."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astropy.utils.exceptions import AstropyUserWarning

from bayesphot.readers.files import find_hdu, name_extension, open_file, read_plane, split_path
from bayesphot.readers.header import read_unit
from bayesphot.readers.planes import Planes, read_planes
from bayesphot.readers.quality import mask_bits, read_quality

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FitsImage", "read_fits_image", "read_fits_mask", "read_fits_plane", "read_image"]


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
        BUNIT, if it is understood.
    extension : str
        Which extension was read, number and name.
    planes : Planes
        Errors and mask that were read with it.
    warnings : tuple of str
        What may be wrong with any of it, one line each.
    """

    data: np.ndarray
    header: Any
    wcs: Any
    unit: Any
    extension: str
    planes: Planes = field(default_factory=Planes)
    warnings: tuple[str, ...] = ()

    def to_nddata(self):
        """Return the image as `~astropy.nddata.NDData`, which the photometry takes as it is."""
        from astropy.nddata import NDData

        return NDData(
            self.data,
            uncertainty=self.planes.uncertainty,
            mask=self.planes.mask,
            unit=self.unit,
            wcs=self.wcs,
            meta=self.header,
        )


def read_image(
    path,
    *,
    ext: int | str | None = None,
    error: bool = True,
    mask: bool = True,
    dq_bits=None,
    dq_ignore=0,
):
    """
    Read an image of a FITS file with its errors, mask, unit, coordinates and header.

    Errors are those of an extension of the same version named ERR, ERROR, UNCERT (its UTYPE says of
    which kind), SIGMA, VAR, VARIANCE, IVAR or INVVAR, the first that there is; the mask is that of
    the bits in DQ and MASK.

    Parameters
    ----------
    path : str or path
        FITS file, also gzipped; ``file.fits[SCI]``, ``file.fits[1]`` and ``file.fits[SCI,2]``
        name an extension.
    ext : int or str, optional
        Extension, by number or name; wins over one in the path. By default the first with a
        2-D image.
    error, mask : bool
        Whether to read errors, and a mask, from other extensions.
    dq_bits, dq_ignore : int, str or list of int, optional
        Quality bits that make a pixel bad, or that do not: see `bayesphot.mask_bits`. By default
        any bit does.

    Returns
    -------
    `~astropy.nddata.NDData`
        With ``uncertainty``, ``mask``, ``unit`` (of BUNIT), ``wcs`` (celestial) and ``meta`` (the
        header, and the primary header's keywords), None where the file has none.

    Raises
    ------
    ReadError
        A ValueError: if the file or a plane cannot be used; one line.
    TypeError, ValueError
        If bits are none.

    Warns
    -----
    `~astropy.utils.exceptions.AstropyUserWarning`
        If an error plane has no positive number (it is left out), quality bits mask more than 30 %
        of the pixels, or the header's coordinates cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import bayesphot as bp
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> quality = fits.ImageHDU(np.array([[0, 4, 2, 0]]), name="DQ")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = fits.HDUList([fits.PrimaryHDU(np.ones((1, 4))), quality])
    ...     file.writeto(f"{folder}/a.fits")
    ...     image = bp.read_image(f"{folder}/a.fits", dq_ignore=2)
    >>> image.mask
    array([[False,  True, False, False]])
    """
    wanted = {"error": error, "mask": mask, "dq_bits": dq_bits, "dq_ignore": dq_ignore}
    image = read_fits_image(path, ext=ext, **wanted)
    for text in image.warnings:
        warnings.warn(text, AstropyUserWarning, stacklevel=2)
    return image.to_nddata()


def read_fits_image(
    path,
    *,
    ext: int | str | None = None,
    error: bool = False,
    mask: bool = False,
    dq_bits=None,
    dq_ignore=0,
) -> FitsImage:
    """
    Read an image with its header and coordinates, and what lies beside it.

    Parameters
    ----------
    path, ext, error, mask, dq_bits, dq_ignore
        As for `read_image`.

    Returns
    -------
    FitsImage
        Data, header, coordinates, unit and planes.

    Raises
    ------
    ReadError
        If the file is missing or not readable, lacks the extension, has no 2-D image there, or a
        plane beside it cannot be used.

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
    bits = {"dq_bits": dq_bits, "dq_ignore": dq_ignore}
    mask_bits([0], **bits)  # wrong bits are no fault of the file
    file, wanted = split_path(path, ext)
    # astropy says its say about odd files in warnings; what matters here ends in a ReadError.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_file(file) as hdus:
            hdu = find_hdu(hdus, wanted, file)
            data = read_plane(hdu, file)
            header = hdu.header.copy()
            header.extend(hdus[0].header, unique=True, update=False, strip=True)
            unread = _drop_unreadable(header)
            wcs, problems = _read_wcs(hdu, hdus)
            said = str(header.get("BUNIT", "")).strip()
            unit = read_unit(said)
            if said and unit is None:
                problems += (f"BUNIT {said!r} is not understood: the image has no unit",)
            beside = read_planes(hdus, hdu, file, error=error, mask=mask, **bits)
            return FitsImage(
                data,
                header,
                wcs,
                unit,
                name_extension(hdus, hdu),
                beside,
                unread + problems + beside.warnings,
            )


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


def read_fits_mask(path, ext: int | str | None = None, *, dq_bits=None, dq_ignore=0) -> np.ndarray:
    """
    Read a mask from a FITS file: True where the plane is not 0 (any quality bit, or NaN).

    Parameters and errors are those of `read_fits_image`; where bits are chosen, the plane must hold
    integers.

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
    plane = read_fits_plane(path, ext)
    if dq_bits is None and dq_ignore == 0:
        return plane != 0
    return read_quality(plane, str(path), dq_bits, dq_ignore)


def _drop_unreadable(header) -> tuple[str, ...]:
    """Take cards without a value that can be read out of a header; say which."""
    from astropy.io.fits import VerifyError

    names = []
    for card in header.cards:
        try:
            card.value  # noqa: B018
        except VerifyError:
            names.append(card.keyword)
    for name in names:
        header.remove(name, remove_all=True, ignore_missing=True)
    return tuple(f"the header's {name} cannot be read and is left out" for name in names)


def _read_wcs(hdu, hdus) -> tuple[Any, tuple[str, ...]]:
    """Celestial coordinates of the header, None if it has none; what is wrong with them."""
    from astropy.wcs import WCS

    try:
        wcs = WCS(hdu.header, fobj=hdus).celestial
        return (wcs if wcs.has_celestial else None), ()
    except Exception as problem:
        # wcslib rejects bad headers with a family of errors; photometry does without.
        why = str(problem).strip().splitlines()[-1:] or [type(problem).__name__]
        return None, (f"the header's WCS cannot be used ({why[0]}): positions are in pixels only",)
