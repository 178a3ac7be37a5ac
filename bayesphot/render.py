"""Images of sources, with all their fitted parameters and their wings."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.patches import render_into

__all__ = ["render_sources"]


def render_sources(shape: tuple[int, int], state: np.ndarray, psf_kind: int) -> np.ndarray:
    """Return the image of sources.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    state : (n, 4) array
        x, y, flux, ln(shape) of each source; rows that are not finite are left out. Sources are
        added in the order given.
    psf_kind : int
        Kind of the PSF.
    """
    image = np.zeros(shape)
    state = np.ascontiguousarray(state, dtype=np.float64)
    render_into(image, state[np.isfinite(state).all(axis=1)], np.int64(psf_kind))
    return image
