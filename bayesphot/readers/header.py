"""Numbers and units of FITS headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "SATURATION_KEYWORDS",
    "CCDNumbers",
    "ReadError",
    "header_value",
    "read_ccd",
    "read_unit",
]


class ReadError(ValueError):
    """A file or a header that cannot be used; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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


#: Keywords of electrons per ADU, of the read noise and of the exposure time in seconds.
GAIN_KEYWORDS = ("GAIN", "EGAIN")
READ_NOISE_KEYWORDS = ("RDNOISE", "READNOIS")
EXPOSURE_KEYWORDS = ("EXPTIME", "EXPOSURE", "TEXPTIME")

#: Keywords of the level from which on a pixel is saturated, in the image's unit.
SATURATION_KEYWORDS = ("SATURATE", "SATLEVEL")


@dataclass(frozen=True)
class CCDNumbers:
    """
    Gain and read noise of an image in its own unit, and where they come from.

    Attributes
    ----------
    gain : float
        Electrons per unit of the image.
    read_noise : float
        Electrons.
    origin : str
        One line that says which numbers and keywords were used.
    """

    gain: float
    read_noise: float
    origin: str


def read_ccd(header, unit=None, *, gain=None, read_noise=None) -> CCDNumbers:
    """
    Return what a header says of the photon and read noise of an image.

    Parameters
    ----------
    header : mapping
        FITS header, or a dictionary with upper-case keywords (which has no comments: the read
        noise is then in electrons).
    unit : `~astropy.units.Unit`, optional
        Unit of the image: ADU, DN, counts, electrons or photons, or one of them per time. None:
        ADU.
    gain : float or str, optional
        Electrons per unit of the image, as they are; or the keyword of the electrons per ADU.
        None or "header": GAIN or EGAIN. In an image in electrons it is 1, and of an image per
        time it is multiplied by EXPTIME (or EXPOSURE, TEXPTIME).
    read_noise : float or str, optional
        Electrons; or the keyword, converted by the gain where its comment says ADU or DN. None or
        "header": RDNOISE or READNOIS.

    Raises
    ------
    ReadError
        If a keyword is missing or no number, or the unit is none that electrons can be had from.

    Examples
    --------
    >>> from astropy import units as u
    >>> from bayesphot.readers import read_ccd
    >>> read_ccd({"GAIN": 2.0, "RDNOISE": 5.0, "EXPTIME": 30.0}, u.adu / u.s).gain
    60.0
    """
    from astropy import units as u

    header = {} if header is None else header
    if not isinstance(header, Mapping) and not hasattr(header, "comments"):
        raise TypeError(
            f"header must be a FITS header or a mapping (the meta of NDData), found {type(header)}"
        )
    try:
        unit = None if unit is None else u.Unit(unit)
    except (TypeError, ValueError):
        raise ReadError(f"unit must be one of astropy, such as 'adu', found {unit!r}") from None
    detector: float | None
    if gain is None or _is_keyword(gain):
        (electrons, origin), detector = _scale_gain(header, unit, gain)
    else:
        electrons = detector = float(gain)
        origin = f"{electrons:g} electrons per {_show(unit)}"
    noise, keyword = _read_keyword(header, "read noise", READ_NOISE_KEYWORDS, read_noise)
    comment = str(header.comments[keyword]) if keyword and hasattr(header, "comments") else ""
    if re.search(r"\b(adu|dn)\b", comment, re.IGNORECASE):
        if detector is None:
            detector, _ = _read_keyword(header, "gain", GAIN_KEYWORDS, gain)
        noise *= detector
        keyword += " in ADU"
    origin += f", read noise {noise:g} electrons" + (f" ({keyword})" if keyword else "")
    return CCDNumbers(electrons, noise, origin)


def _is_keyword(value) -> bool:
    """Whether an argument is to be looked up in the header."""
    if value is None:
        return True
    try:
        float(value)
    except (TypeError, ValueError):
        return True
    return False


def _show(unit) -> str:
    """The unit as text."""
    return "unit of the image" if unit is None else unit.to_string() or "unit of the image"


def _read_keyword(header, what: str, names, value) -> tuple[float, str]:
    """The number that the value is or names, and the keyword it came from, "" if from none."""
    asked = None if value is None or value == "header" else value
    number = header_value(header, names, asked)
    if number is None:
        raise ReadError(f"the header has no {' or '.join(names)}: give the {what} as a number")
    keywords = names if asked is None else (str(asked).upper(),)
    found = "" if not _is_keyword(asked) else next(key for key in keywords if key in header)
    return number, found


def _scale_gain(header, unit, gain) -> tuple[tuple[float, str], float | None]:
    """Electrons per unit of the image and how they came about; the gain per ADU where it is."""
    from astropy import units as u

    scale, base, is_rate = _split_unit(unit)
    factors, texts = [scale], [] if scale == 1.0 else [f"{scale:g}"]
    detector = None
    if base not in (u.electron, u.ph):
        detector, keyword = _read_keyword(header, "gain", GAIN_KEYWORDS, gain)
        factors.append(detector)
        texts.append(f"{keyword} {detector:g}")
    if is_rate:
        seconds, keyword = _read_keyword(header, "exposure time", EXPOSURE_KEYWORDS, None)
        if not seconds > 0.0:
            raise ReadError(
                f"the image is in {unit} and {keyword} must be positive, found {seconds:g}"
            )
        factors.append(seconds)
        texts.append(f"{keyword} {seconds:g} s")
    total = 1.0
    for factor in factors:
        total *= factor
    how = f" ({' x '.join(texts)})" if texts else ""
    return (total, f"{total:g} electrons per {_show(unit)}{how}"), detector


def _split_unit(unit) -> tuple[float, Any, bool]:
    """A unit as scale, what is counted, and whether it is per second."""
    from astropy import units as u

    if unit is None or unit == u.dimensionless_unscaled:
        return 1.0, u.adu, False
    for base in (u.electron, u.ph, u.adu, u.DN, u.ct):
        for target, is_rate in ((base, False), (base / u.s, True)):
            # A value per pixel is a value of the pixel.
            for pixel in (u.dimensionless_unscaled, u.pix):
                if (unit * pixel).is_equivalent(target):
                    return (unit * pixel).to(target), base, is_rate
    raise ReadError(
        f"the image is in {unit} and the header's gain is per ADU: give the electrons per {unit} "
        "as a number"
    )


#: Spellings of BUNIT, in lower case and without spaces, that astropy reads in another way or not.
_COUNTS = {
    "electrons": "electron",
    "electron": "electron",
    "e-": "electron",
    "e": "electron",
    "counts": "ct",
    "count": "ct",
    "ct": "ct",
    "cts": "ct",
    "dn": "DN",
    "adu": "adu",
    "photons": "ph",
    "nanomaggies": "nmgy",
    "nanomaggy": "nmgy",
    "maggies": "mgy",
}
_SECONDS = ("/s", "/sec", "/second", "s-1", "s^-1", "s**-1", ".s-1", "*s-1", "persecond")


def read_unit(text: str):
    """
    Return the unit of a text such as BUNIT; None if it is empty or not understood.

    Spellings that headers have and astropy has not (ELECTRONS/S, COUNTS, DN/S, where S is no
    siemens, MJY/SR, nanomaggies) are known.

    Examples
    --------
    >>> from bayesphot.readers.header import read_unit
    >>> read_unit("ELECTRONS/S").to_string()
    'electron / s'
    """
    from astropy import units as u

    text = " ".join(str(text).split())
    if not text:
        return None
    squeezed = text.lower().replace(" ", "")
    for ending in ("", *_SECONDS):
        if squeezed.endswith(ending) and squeezed.removesuffix(ending) in _COUNTS:
            unit = u.Unit(_COUNTS[squeezed.removesuffix(ending)])
            return unit / u.s if ending else unit
    shouted = re.sub(r"(?<![a-z])jy(?![a-z])", "Jy", text.lower())
    shouted = re.sub(r"(?<![a-z])mjy(?![a-z])", "MJy", shouted)
    for spelling in (text, text.lower(), shouted):
        unit = u.Unit(spelling, parse_strict="silent")
        if not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None
