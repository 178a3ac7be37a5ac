"""The sky's columns over the pixels of a patch: a level, and the slopes of a plane."""

from __future__ import annotations

import numpy as np

__all__ = ["list_sky_columns"]


def list_sky_columns(row, col, n_row, n_col, n_sky: int) -> np.ndarray:
    """Return the first ``n_sky`` of 1, x - xc, y - yc about the centre of a patch.

    Parameters
    ----------
    row, col : (p,) arrays
        Pixels, from the patch's first row and column.
    n_row, n_col : int or (p,) arrays
        Shape of the patch, or of each pixel's own.
    n_sky : int
        0, 1 or 3.

    Returns
    -------
    (n_sky, p) array
    """
    level = np.ones(np.shape(row))
    return np.stack([level, col - 0.5 * (n_col - 1), row - 0.5 * (n_row - 1)])[:n_sky]
