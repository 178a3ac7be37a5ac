"""Shape parameters and the columns of the state that the chains walk in.

Lengths s enter as ln(s); a power beta > 1 as ln(beta - 1); an angle in degrees as itself in
radians.
"""

import math

from .cache import borrowing
from .structs import ELLIPTICAL, MOFFAT

_DEGREES = 180.0 / math.pi


@borrowing
def is_angle(kind, j):
    """Return whether shape j of a kind is an angle."""
    return kind == ELLIPTICAL and j == 2


@borrowing
def find_least(kind, j):
    """Return the limit that shape j of a kind, no angle, stays above."""
    return 1.0 if kind == MOFFAT and j == 1 else 0.0


@borrowing
def read_shape(kind, j, column):
    """Return shape j from its column of the state."""
    if is_angle(kind, j):
        return column * _DEGREES
    return find_least(kind, j) + math.exp(column)


@borrowing
def write_shape(kind, j, value):
    """Return the state's column of shape j."""
    if is_angle(kind, j):
        return value / _DEGREES
    return math.log(value - find_least(kind, j))


@borrowing
def log_stretch(kind, j, column):
    """Return ln|d shape / d column|."""
    if is_angle(kind, j):
        return math.log(_DEGREES)
    return column
