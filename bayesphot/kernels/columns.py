"""Columns of single sources over a whole patch: values and derivatives, as images."""

import numpy as np

from .cache import compiled
from .psf import N_COLUMN, fill_unit, fill_unit_columns


@compiled
def fill_unit_images(kind, state, out):
    """Fill images of unit sources (m, 4), x and y in patch pixels, over a patch.

    ``out`` (m, c, rows, columns): with c = 1 the value, with c = 4 also d/dx, d/dy and
    d/dln(shape).
    """
    n_row = out.shape[2]
    n_col = out.shape[3]
    window = np.array([0, n_row, 0, n_col])
    lines = np.empty((6, max(n_row, n_col)))
    for k in range(state.shape[0]):
        image = out[k].reshape((out.shape[1], n_row * n_col))
        if out.shape[1] == N_COLUMN:
            fill_unit_columns(kind, state[k], window, lines, N_COLUMN, image)
        else:
            fill_unit(kind, state[k], window, lines, image[0])
