"""PSFs by kind number: the one place where kernels ask what a source looks like.

A kind fills a source of unit flux over a window, row after row, and its derivatives by x, y and
ln(shape). An unknown kind gives no light.
"""

import math

import numpy as np

from .cache import borrowing
from .gaussian import profile_gradient_into, profile_into
from .structs import GAUSSIAN, LOG_SHAPE, X, Y

#: Half-width in sigma out to which a Gaussian is rendered: its table ends there.
REACH = 8.0
#: Columns a source: value, d/dx, d/dy, d/dln(shape).
N_COLUMN = 4


@borrowing
def find_reach(kind, log_shape):
    """Return how far a source is rendered, in pixels."""
    if kind == GAUSSIAN:
        return REACH * math.exp(log_shape)
    return 0.0


@borrowing
def fill_unit(kind, source, window, lines, unit):
    """Fill a source of unit flux over its window (first row, end row, first column, end column)."""
    width = window[3] - window[2]
    height = window[1] - window[0]
    if kind == GAUSSIAN:
        sigma = math.exp(source[LOG_SHAPE])
        across = lines[0]
        down = lines[1]
        profile_into(source[X], sigma, window[2], width, across)
        profile_into(source[Y], sigma, window[0], height, down)
        # Unsigned indices have no meaning from the end, whose test costs half the time here.
        count = np.uint64(width)
        first = np.uint64(0)
        for j in range(height):
            f = down[j]
            for i in range(count):
                unit[first + i] = f * across[i]
            first += count
    else:
        for p in range(height * width):
            unit[p] = 0.0


@borrowing
def fill_unit_columns(kind, source, window, lines, n_used, columns):
    """Fill value and derivatives (4, size) of a unit source; the last only if ``n_used`` is 4."""
    first = window[2]
    width = window[3] - first
    height = window[1] - window[0]
    if kind == GAUSSIAN:
        sigma = math.exp(source[LOG_SHAPE])
        profile_gradient_into(source[X], sigma, first, width, lines[0], lines[1], lines[2])
        profile_gradient_into(source[Y], sigma, window[0], height, lines[3], lines[4], lines[5])
        for j in range(height):
            row = columns[:, j * width : (j + 1) * width]
            f = lines[3, j]
            by_center = lines[4, j]
            by_shape = lines[5, j]
            for i in range(width):
                row[0, i] = f * lines[0, i]
                row[1, i] = f * lines[1, i]
                row[2, i] = by_center * lines[0, i]
            if n_used == N_COLUMN:
                for i in range(width):
                    row[3, i] = f * lines[2, i] + by_shape * lines[0, i]
    else:
        for c in range(n_used):
            for p in range(height * width):
                columns[c, p] = 0.0
