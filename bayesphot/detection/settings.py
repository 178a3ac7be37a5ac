"""Checks of what a finder is configured with."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from astropy import units as u


def check_settings(finder: Any) -> None:
    """
    Check the settings of a finder.

    Parameters
    ----------
    finder : DAOStarFinder or IRAFStarFinder

    Raises
    ------
    ValueError
        If fwhm is missing, both or neither of threshold and nsigma are given, or a value is
        out of its range.
    TypeError
        If a value is not a number.
    """
    if (finder.threshold is None) == (finder.nsigma is None):
        raise ValueError(
            "exactly one of threshold (data units) and nsigma (units of the noise) must be "
            f"given, found threshold={finder.threshold!r} and nsigma={finder.nsigma!r}"
        )
    if finder.fwhm is None:
        raise ValueError("fwhm (of a star, in pixels) must be given")
    for name in ("fwhm", "sigma_radius", "ratio", "nsigma", "minsep_fwhm"):
        value = getattr(finder, name, None)
        if value is not None and not _read_number(value, name) > 0:
            raise ValueError(f"{name} must be positive, found {value}")
    if getattr(finder, "ratio", 1.0) > 1:
        raise ValueError(f"ratio must be at most 1, found {finder.ratio}")
    _read_number(getattr(finder, "theta", 0.0), "theta")
    separation = getattr(finder, "min_separation", None)
    if separation is not None and _read_number(separation, "min_separation") < 0:
        raise ValueError(f"min_separation must be >= 0, found {separation}")
    _check_level(finder.threshold, "threshold", lowest=0.0)
    _check_level(finder.peakmax, "peakmax")
    _check_limits(finder)
    _check_brightest(finder.brightest)


def is_inside(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """True strictly between the limits; False for NaN."""
    return (value > low) & (value < high)


def _read_number(value: Any, name: str) -> float:
    """A finite real number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, found {value!r}")
    if not np.isfinite(float(value)):
        raise ValueError(f"{name} must be finite, found {value}")
    return float(value)


def _check_level(value: Any, name: str, *, lowest: float = -np.inf) -> None:
    """A scalar, with a unit or without, not below ``lowest``."""
    if value is None:
        return
    plain = value
    if isinstance(value, u.Quantity):
        if not value.isscalar:
            raise TypeError(f"{name} must be a scalar, found shape {value.shape}")
        plain = value.value.item()
    if _read_number(plain, name) < lowest:
        raise ValueError(f"{name} must be >= {lowest:g}, found {value}")


def _check_limits(finder: Any) -> None:
    """The lower limits must be below the upper ones; infinite limits are allowed."""
    for name in ("sharp", "round"):
        low, high = getattr(finder, f"{name}lo"), getattr(finder, f"{name}hi")
        for value, end in ((low, "lo"), (high, "hi")):
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name}{end} must be a number, found {value!r}")
        if not low < high:
            raise ValueError(
                f"{name}lo must be below {name}hi, found {name}lo={low} and {name}hi={high}"
            )


def _check_brightest(brightest: Any) -> None:
    """A positive integer or None."""
    if brightest is None:
        return
    if isinstance(brightest, bool) or not isinstance(brightest, Integral):
        raise TypeError(f"brightest must be an integer, found {brightest!r}")
    if brightest < 1:
        raise ValueError(f"brightest must be at least 1, found {brightest}")
