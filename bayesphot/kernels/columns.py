"""Columns of single sources: values and derivatives over a whole patch, or at any places."""

import math

import numpy as np

from .cache import compiled
from .psf import fill_unit, fill_unit_columns
from .sampled import N_LINE, find_line
from .structs import X, Y


@compiled
def fill_unit_images(psf, state, out):
    """Fill images of unit sources (m, C), x and y in patch pixels, over a patch.

    ``out`` (m, c, rows, columns): with c = 1 the value, with c = C also d/dx, d/dy and the
    derivatives by the shapes' columns.
    """
    n_row = out.shape[2]
    n_col = out.shape[3]
    window = np.array([0, n_row, 0, n_col])
    lines = np.empty((N_LINE, find_line(psf, max(n_row, n_col))))
    for k in range(state.shape[0]):
        image = out[k].reshape((out.shape[1], n_row * n_col))
        if out.shape[1] > 1:
            fill_unit_columns(psf, state[k], window, lines, out.shape[1], image)
        else:
            fill_unit(psf, state[k], window, lines, image[0])


@compiled
def fill_places(psf, source, x, y, out):
    """Fill value and derivatives ``out`` (C, m) of a unit source over a pixel at each place."""
    window = np.empty(4, np.int64)
    lines = np.empty((N_LINE, find_line(psf, 1)))
    pixel = np.empty((out.shape[0], 1))
    moved = source.copy()
    for p in range(x.size):
        # A pixel beside the grid is one on it, of a source moved as far.
        column = np.int64(math.floor(x[p] + 0.5))
        row = np.int64(math.floor(y[p] + 0.5))
        window[0] = row
        window[1] = row + 1
        window[2] = column
        window[3] = column + 1
        moved[X] = source[X] + (column - x[p])
        moved[Y] = source[Y] + (row - y[p])
        fill_unit_columns(psf, moved, window, lines, out.shape[0], pixel)
        for c in range(out.shape[0]):
            out[c, p] = pixel[c, 0]
