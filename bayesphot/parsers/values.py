"""What the values of options may be; what they may not is said by argparse."""

from __future__ import annotations

import argparse

__all__ = [
    "read_count",
    "read_count_or_none",
    "read_least_one",
    "read_not_negative",
    "read_number",
    "read_odd",
    "read_positive",
    "read_psf_error",
    "read_seed",
]


def read_number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number, found {text!r}")
    return value


def read_positive(text: str) -> float:
    """A number above 0."""
    value = read_number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be positive, found {text}")
    return value


def read_psf_error(text: str) -> float | str:
    """Return a width, or the name of a file."""
    try:
        float(text)
    except ValueError:
        return text
    return read_positive(text)


def read_least_one(text: str) -> float:
    """A number from 1 on."""
    value = read_number(text)
    if value < 1.0:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def read_not_negative(text: str) -> float:
    """A number from 0 on."""
    value = read_number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, found {text}")
    return value


def read_seed(text: str) -> int:
    """An integer from 0 to 2**64 - 1."""
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2**64 - 1, found {text!r}")
    return int(text)


def read_count(text: str) -> int:
    """An integer above 0."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer above 0, found {text!r}")
    return value


def read_count_or_none(text: str) -> int | None:
    """An integer above 0, or None of "none"."""
    return None if text == "none" else read_count(text)


def read_odd(text: str) -> int:
    """An odd integer above 0."""
    value = read_count(text)
    if value % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be odd, found {text}")
    return value
