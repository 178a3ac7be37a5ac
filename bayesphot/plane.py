"""The shared columns over the pixels of a patch: of the sky, and of the nuisances."""

from __future__ import annotations

import numpy as np

__all__ = ["list_shared_columns", "list_sky_columns"]


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


def list_shared_columns(batch, g: int) -> np.ndarray:
    """Return the shared columns (E, p) of group g over its patch: sky, then nuisances."""
    here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    n_row, n_col = (int(n) for n in batch.rows[g, :2])
    row, col = np.indices((n_row, n_col)).reshape(2, -1)
    n_sky = batch.shared_prior.shape[1] - len(batch.nuisance)
    sky = list_sky_columns(row, col, n_row, n_col, n_sky)
    return np.concatenate([sky, batch.nuisance[:, here].reshape(-1, n_row * n_col)])
