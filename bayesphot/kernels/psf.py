"""PSFs by kind number: the one place where kernels ask what a source looks like.

A kind fills a source of unit flux over a window, row after row, and its derivatives by x, y and
the columns of its shapes. An unknown kind gives no light.
"""

import math

import numpy as np

from .analytic import fill_analytic
from .cache import borrowing
from .gaussian import profile_gradient_into, profile_into
from .sampled import fill_sampled
from .structs import (
    AIRY,
    ELLIPTICAL,
    ENVELOPE,
    FLUX,
    GAUSSIAN,
    MOFFAT,
    N_RING,
    PSF_FLOOR,
    PSF_REACH,
    PSF_WIDTH,
    SAMPLED,
    SHAPE,
    X,
    Y,
)

#: Half-width in sigma out to which a Gaussian is rendered: its table ends there.
REACH = 8.0


@borrowing
def find_reach(psf, source):
    """Return how far a source is rendered, in pixels: to its end, or where it is below the floor.

    The envelope of a width other than that of the table is the table's, stretched.
    """
    if psf.kind == GAUSSIAN:
        return REACH * math.exp(source[SHAPE])
    numbers = psf.numbers
    width = math.exp(source[SHAPE])
    if psf.kind == ELLIPTICAL:
        width = max(width, math.exp(source[SHAPE + 1]))
    scale = width / numbers[PSF_WIDTH]
    flux = abs(source[FLUX])
    ring = N_RING
    while ring > 1 and flux * numbers[ENVELOPE + ring - 1] < numbers[PSF_FLOOR] * scale * scale:
        ring -= 1
    return scale * numbers[PSF_REACH] * ring / N_RING


@borrowing
def _fill_other(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives (C, size) of a unit source of a kind that is no Gaussian."""
    if psf.kind == SAMPLED:
        fill_sampled(psf, source, window, lines, n_used, columns)
    elif psf.kind in (ELLIPTICAL, MOFFAT, AIRY):
        fill_analytic(psf, source, window, lines, n_used, columns)
    else:
        for c in range(n_used):
            for p in range((window[1] - window[0]) * (window[3] - window[2])):
                columns[c, p] = 0.0


@borrowing
def fill_unit(psf, source, window, lines, unit):
    """Fill a source of unit flux over its window (first row, end row, first column, end column)."""
    width = window[3] - window[2]
    height = window[1] - window[0]
    if psf.kind != GAUSSIAN:
        _fill_other(psf, source, window, lines, 1, unit.reshape((1, unit.size)))
        return
    sigma = math.exp(source[SHAPE])
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


@borrowing
def fill_unit_columns(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives (C, size) of a unit source, ``n_used`` of them."""
    first = window[2]
    width = window[3] - first
    height = window[1] - window[0]
    if psf.kind != GAUSSIAN:
        _fill_other(psf, source, window, lines, n_used, columns)
        return
    sigma = math.exp(source[SHAPE])
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
        if n_used > SHAPE:
            for i in range(width):
                row[3, i] = f * lines[2, i] + by_shape * lines[0, i]
