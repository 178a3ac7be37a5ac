"""FITS files: opened, their extensions found, their planes read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bayesphot.readers.header import ReadError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "find_hdu",
    "is_plane",
    "name_extension",
    "open_file",
    "read_plane",
    "shorten_problem",
    "split_path",
]


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


def open_file(file: Path):
    """Open FITS file; memory mapping would leave the data of the closed file hanging."""
    from astropy.io import fits

    try:
        hdus = fits.open(file, memmap=False)
        len(hdus)  # reads all headers: a broken one shows here
    except FileNotFoundError:
        raise ReadError(f"{file}: no such file") from None
    except Exception as problem:
        # Broken files raise whatever the parser stumbled upon.
        raise ReadError(f"{file}: cannot be read as FITS: {shorten_problem(problem)}") from None
    return hdus


def shorten_problem(problem: Exception) -> str:
    """What astropy says of a file, without its advice: arguments that nobody here can give."""
    return str(problem).split(" If this is really a FITS file")[0].rstrip(".")


def find_hdu(hdus, wanted, file: Path):
    """The wanted extension, or the first with a 2-D image."""
    listing = ", ".join(name_extension(hdus, hdu) for hdu in hdus)
    if wanted is not None:
        try:
            return hdus[wanted]
        except (KeyError, IndexError):
            name = ",".join(map(str, wanted)) if isinstance(wanted, tuple) else wanted
            raise ReadError(f"{file}: no extension {name}; there are {listing}") from None
    for hdu in hdus:
        if is_plane(hdu):
            return hdu
    raise ReadError(f"{file}: no 2-D image in any extension; there are {listing}")


def name_extension(hdus, hdu) -> str:
    """Number and name of an extension."""
    return f"{hdus.index(hdu)} {hdu.name}".strip()


def is_plane(hdu) -> bool:
    """Whether the extension is an image of two axes, but for leading axes of length 1."""
    shape = hdu.shape if hdu.is_image else ()
    return len(shape) >= 2 and set(shape[:-2]) <= {1} and 0 not in shape


def read_plane(hdu, file: Path) -> np.ndarray:
    """Pixels of an extension in native byte order."""
    if not is_plane(hdu):
        found = f"an image of shape {hdu.shape}" if hdu.is_image else "a table"
        raise ReadError(f"{file}: extension {hdu.name} must be a 2-D image, found {found}")
    try:
        data = hdu.data
        data = data.reshape(data.shape[-2:])
    except Exception as problem:
        # Truncated and damaged data raise whatever astropy or zlib stumbled upon.
        raise ReadError(f"{file}: pixels of {hdu.name} cannot be read: {problem}") from None
    return data.astype(data.dtype.newbyteorder("="))
