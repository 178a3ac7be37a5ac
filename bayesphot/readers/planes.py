"""What lies beside an image in its FITS file: a plane of errors, planes of quality or a mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayesphot.readers.files import is_plane, name_extension, read_plane
from bayesphot.readers.header import ReadError, read_unit
from bayesphot.readers.quality import describe_bits, describe_share, read_quality

__all__ = ["Planes", "read_planes"]

#: Names of extensions with errors, first found first used, and what they hold: STScI (ERR),
#: astropy's CCDData (UNCERT, whose UTYPE says more), SDSS and others (ERROR, IVAR, INVVAR), LSST
#: (VARIANCE).
ERRORS = {
    "ERR": "std",
    "ERROR": "std",
    "UNCERT": "std",
    "SIGMA": "std",
    "VAR": "var",
    "VARIANCE": "var",
    "IVAR": "ivar",
    "INVVAR": "ivar",
}
#: Extensions with quality bits, or with 1 where a pixel is bad; all of them count.
QUALITY = ("DQ", "MASK")
_SAID = {"std": "standard deviations", "var": "variances", "ivar": "inverse variances"}
#: Share of masked pixels from which the bits seem to say more than "bad".
TOO_MANY = 0.3


@dataclass(frozen=True, eq=False)
class Planes:
    """
    Errors and mask of an image.

    Attributes
    ----------
    uncertainty : `astropy.nddata.NDUncertainty` or None
        Standard deviation, variance or inverse variance.
    mask : ndarray of bool (ny, nx) or None
        True where a pixel is bad.
    notes : tuple of str
        What was taken from where, one line each.
    warnings : tuple of str
        What may be wrong with it, one line each.
    """

    uncertainty: Any = None
    mask: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_planes(
    hdus, science, file: Path, *, error: bool = True, mask: bool = True, dq_bits=None, dq_ignore=0
) -> Planes:
    """
    Read errors and quality that have the version (EXTVER) of an image's extension.

    Parameters
    ----------
    hdus, science : HDUList, HDU
        An open file, and the extension of the image.
    file : Path
        For messages.
    error, mask : bool
        Which of the two are wanted.
    dq_bits, dq_ignore : int, str or list of int, optional
        As for `bayesphot.mask_bits`.

    Raises
    ------
    ReadError
        If a plane has another shape than the image, or no bits.
    """
    notes: list[str] = []
    problems: list[str] = []
    uncertainty = _read_errors(hdus, science, file, notes, problems) if error else None
    _refuse_tables(hdus, science, file, QUALITY if mask else ())
    excluded = None
    for name in QUALITY if mask else ():
        hdu = _find_plane(hdus, science, name)
        if hdu is None:
            continue
        label = name_extension(hdus, hdu)
        where = f"{file}: extension {label}"
        plane = _read_shaped(hdu, science.shape[-2:], where, "mask=False, --mask none")
        bad = read_quality(plane, where, dq_bits, dq_ignore)
        excluded = bad if excluded is None else excluded | bad
        bits = describe_bits(plane, bad)
        share = f"{describe_share(float(bad.mean()))} of the pixels"
        notes.append(f"mask: {label}, {share}" + (f", by bits {bits}" if bits else ""))
        if bad.mean() > TOO_MANY:
            problems.append(
                f"{where} masks {share}, most by bits {bits}: choose with dq_bits or dq_ignore "
                "(--dq-bits, --dq-ignore) which of them make a pixel bad"
            )
    return Planes(uncertainty, excluded, tuple(notes), tuple(problems))


def _read_errors(hdus, science, file: Path, notes: list[str], problems: list[str]):
    """The uncertainty in the first extension with one; what is to be said goes into the lists."""
    for name, named in ERRORS.items():
        hdu = _find_plane(hdus, science, name)
        if hdu is None:
            continue
        label = name_extension(hdus, hdu)
        kind = _read_kind(hdu.header, named)
        where = f"{file}: extension {label}"
        values = _read_shaped(hdu, science.shape[-2:], where, "error=False, --error none")
        if not np.any(values > 0) and not np.any(values < 0):
            problems.append(f"{where} has no positive number and is not used")
            continue
        notes.append(f"error: {_SAID[kind]} of {label}")
        return _make_uncertainty(values, kind, _read_units(hdu, science, kind, where))
    return None


def _refuse_tables(hdus, science, file: Path, names) -> None:
    """Raise ReadError for a table where a plane of quality should be."""
    for hdu in hdus:
        if hdu.name in names and hdu.ver == science.ver and not hdu.is_image:
            raise ReadError(
                f"{file}: extension {name_extension(hdus, hdu)} must be an image, found a table; "
                "mask=False, --mask none leaves it out"
            )


def _find_plane(hdus, science, name: str):
    """The extension of a name and the image's version; None where there is none, or no data."""
    for hdu in hdus:
        if hdu is not science and hdu.name == name and hdu.ver == science.ver:
            # Extensions without data stand for a constant that means nothing is known.
            return hdu if hdu.is_image and hdu.shape else None
    return None


def _read_shaped(hdu, shape, where: str, way_out: str) -> np.ndarray:
    """Pixels of an extension that must have the shape of the image."""
    if not is_plane(hdu) or hdu.shape[-2:] != shape:
        raise ReadError(
            f"{where} must have the shape of the image {shape}, found {hdu.shape}; "
            f"{way_out} leaves it out"
        )
    return read_plane(hdu, Path(where))


def _read_kind(header, kind: str) -> str:
    """The kind of uncertainty that UTYPE says, else that of the extension's name."""
    said = str(header.get("UTYPE", "")).lower()
    if "inverse" in said or "ivar" in said:
        return "ivar"
    if "var" in said:
        return "var"
    return "std" if said else kind


def _read_units(hdu, science, kind: str, where: str):
    """The unit of errors; None where it or the image's is not known."""
    unit = read_unit(hdu.header.get("BUNIT", ""))
    image = read_unit(science.header.get("BUNIT", ""))
    if unit is None or image is None:
        return None
    if not unit.is_equivalent(image ** {"std": 1, "var": 2, "ivar": -2}[kind]):
        # Some give errors of all kinds the unit of the image.
        if unit.is_equivalent(image):
            return None
        raise ReadError(f"{where} is in {unit} and the image in {image}: they do not go together")
    return unit


def _make_uncertainty(values: np.ndarray, kind: str, unit):
    """An uncertainty of astropy of the kind."""
    from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

    kinds = {"std": StdDevUncertainty, "var": VarianceUncertainty, "ivar": InverseVariance}
    return kinds[kind](values, unit=unit)
