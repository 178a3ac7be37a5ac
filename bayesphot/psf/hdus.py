"""All extensions of a PSF file, read into memory; numbers of a header, whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from bayesphot.readers import ReadError, shorten_problem

__all__ = ["make_card", "read_hdus"]


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


def make_card(key: str, value: float, comment: str) -> Any:
    """Return a card of a header that holds all digits of a number.

    astropy cuts numbers to 20 characters, one digit in half of the cases; the standard allows any
    length (FITS 4.0, section 4.2.4).
    """
    from astropy.io import fits

    return fits.Card.fromstring(f"{key:8}= {repr(float(value)).upper():>20} / {comment}")
