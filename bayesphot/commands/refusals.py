"""Bad use and unreadable input: one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["UsageError", "refuse_argument", "refuse_bad_use"]


class UsageError(Exception):
    """Bad use or unreadable input: one line, exit code 2, no traceback."""


@contextmanager
def refuse_bad_use(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of the given kinds, which name the argument and the value, into one line."""
    try:
        yield
    except kinds as problem:
        raise UsageError(str(problem)) from problem


@contextmanager
def refuse_argument(option: str) -> Iterator[None]:
    """Turn a ValueError into one line that names an option."""
    try:
        yield
    except ValueError as problem:
        raise UsageError(f"argument {option}: {problem}") from problem
