"""Shape parameters and the columns of the state in which fits and chains walk.

The twin, for arrays, of ``kernels/shapes.py``, whose parts Python cannot call; a test holds the two
together.
"""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np

from bayesphot.kernels.structs import AIRY, ELLIPTICAL, GAUSSIAN, MOFFAT, SAMPLED

__all__ = ["LENGTHS", "find_least", "find_slope", "is_angle", "read_column", "write_column"]

#: Shapes of each kind that are lengths, or factors on lengths: those that scale with the PSF.
LENGTHS = {GAUSSIAN: (0,), ELLIPTICAL: (0, 1), MOFFAT: (0,), AIRY: (0,), SAMPLED: (0,)}


def is_angle(kind: SupportsIndex, j: int) -> bool:
    """Return whether shape j of a kind is an angle, in degrees; its column is in radians."""
    return kind == ELLIPTICAL and j == 2


def find_least(kind: SupportsIndex, j: int) -> float:
    """Return the limit that shape j of a kind, no angle, stays above."""
    return 1.0 if kind == MOFFAT and j == 1 else 0.0


def read_column(kind: SupportsIndex, j: int, column):
    """Return values of shape j from their columns of the state."""
    if is_angle(kind, j):
        return np.rad2deg(column)
    return find_least(kind, j) + np.exp(column)


def write_column(kind: SupportsIndex, j: int, value):
    """Return columns of the state from values of shape j."""
    if is_angle(kind, j):
        return np.deg2rad(value)
    return np.log(np.asarray(value) - find_least(kind, j))


def find_slope(kind: SupportsIndex, j: int, column):
    """Return d shape / d column."""
    if is_angle(kind, j):
        return np.full(np.shape(column), np.rad2deg(1.0))
    return np.exp(column)
