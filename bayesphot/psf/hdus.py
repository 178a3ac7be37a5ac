"""All extensions of a PSF file, read into memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from bayesphot.readers import ReadError, shorten_problem

__all__ = ["read_hdus"]


def read_hdus(path: Path, *, otherwise: str = "") -> list[tuple[Any, Any, str]]:
    """Return header, data and name of each extension of a FITS file.

    Parameters
    ----------
    path : Path
        The file.
    otherwise : str
        What else the file could have been.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ReadError
        If it is no FITS file, or is cut short.
    """
    from astropy.io import fits
    from astropy.io.fits import VerifyError
    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            # Of cards that break the standard: all there is to say is whether they can be read.
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=False) as handle:
                return [(item.header.copy(), item.data, item.name) for item in handle]
    except FileNotFoundError:
        raise
    except OSError as problem:
        why = shorten_problem(problem)
        kind = f"neither a FITS file nor {otherwise}" if otherwise else "no FITS file"
        raise ReadError(f"{path}: {kind} ({why})") from None
    except (ValueError, TypeError, KeyError, IndexError, MemoryError, VerifyError) as problem:
        raise ReadError(f"{path}: a FITS file cut short or damaged ({problem})") from None
