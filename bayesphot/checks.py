"""Checks of single numbers at the public border."""

from __future__ import annotations

import math
import operator
from typing import Any

__all__ = ["check_bound", "check_integer", "check_number", "refuse_class"]


def check_integer(name: str, value: Any, *, least: int) -> int:
    """Return an integer that is at least ``least``.

    Raises
    ------
    TypeError
        If the value is not an integer (a bool is none).
    ValueError
        If it is less.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, found {value!r}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, found {number}")
    return number


def shorten(value: Any, most: int = 60) -> str:
    """Return the text of an object in one line, its end left out where it is long.

    Examples
    --------
    >>> from bayesphot.checks import shorten
    >>> shorten(list(range(100)), 20)
    '[0, 1, 2, 3, 4, 5...'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def refuse_class(name: str, value: Any) -> None:
    """Raise TypeError for a class where an object is meant."""
    if isinstance(value, type):
        raise TypeError(
            f"{name} must be an object, found the class {value.__name__}: write "
            f"{value.__name__}(...)"
        )


def _read_number(name: str, value: Any) -> float:
    """Return one real number; raise TypeError for anything else."""
    # float() would take True, "1", an array of one number, and the real part of a complex number.
    is_array = getattr(value, "ndim", 0) > 0
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    if isinstance(value, (bool, str, bytes)) or is_array or kind not in "iuf":
        raise TypeError(f"{name} must be a number, found {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, found {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be a number below 1.8e308, found {value!r}") from None


def check_bound(name: str, value: Any) -> float:
    """Return a bound: a real number, which may be infinite.

    Raises
    ------
    TypeError
        If the value is not one real number (a bool or a text is none).
    ValueError
        If it is NaN.
    """
    number = _read_number(name, value)
    if math.isnan(number):
        raise ValueError(f"{name} must be a number or infinite, found {value!r}")
    return number


def check_number(
    name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf
) -> float:
    """Return a finite number, at least ``least`` and greater than ``above``.

    Raises
    ------
    TypeError
        If the value is not one real number (a bool or a text is none).
    ValueError
        If it is not finite or out of range.
    """
    number = _read_number(name, value)
    if above == 0.0:
        wanted, inside = "positive and finite", number > 0.0
    elif above > -math.inf:
        wanted, inside = f"finite and above {above:g}", number > above
    elif least > -math.inf:
        wanted, inside = f"finite and >= {least:g}", number >= least
    else:
        wanted, inside = "finite", True
    if not (inside and math.isfinite(number)):
        raise ValueError(f"{name} must be {wanted}, found {value!r}")
    return number
