"""A PSF that varies over the detector, at the places of a group's sources.

While a group is fitted or sampled each source keeps the PSF of the place where that begins: over
the disc of a position it changes by less than anybody knows it. Blending its images once, the part
that the source's window can see, makes a PSF of many images as fast as one of one.
"""

import numpy as np

from .cache import borrowing, part
from .sampled import count_images, find_share, find_table
from .structs import (
    CENTER_X,
    DEGREE,
    N_CELL,
    N_PLACE,
    ORIGIN,
    OVERSAMPLING,
    PSF_TABLE,
    RADIUS,
    SAMPLED,
    SHAPE,
    X,
    Y,
)

#: Pixels beyond its disc in which a source keeps its image.
_MARGIN = 1.0


@borrowing
def _varies(psf):
    """Return whether a PSF is another at other places."""
    if psf.kind != SAMPLED:
        return False
    numbers = psf.numbers
    return numbers[DEGREE] > 0.0 or numbers[N_PLACE] * numbers[N_PLACE + 1] > 1.0


@borrowing
def _crop(numbers, axis, first, end, center, reach):
    """Return the first and end cell that pixels first .. end - 1 of a source can ask for."""
    step = numbers[OVERSAMPLING + axis]
    origin = numbers[ORIGIN + axis]
    n_cell = np.int64(numbers[N_CELL + axis])
    if not reach < np.inf:
        return np.int64(0), n_cell
    low = np.int64(np.floor(first - center - reach + (origin - 1.0) / step))
    high = np.int64(np.floor(end - 1 - center + reach + (origin + 2.0) / step)) + 1
    low = min(max(low, 0), n_cell)
    return low, min(max(high, low), n_cell)


@part
def blend_psfs(psf, state, window, prior, is_stretched):
    """Return the numbers (n, size) of each source's PSF, or (1, size) of one for all.

    ``state`` and ``prior`` have positions in patch pixels. A PSF whose width is free keeps its
    whole image: the window sees more of a narrower one.
    """
    numbers = psf.numbers
    if not _varies(psf):
        return numbers.reshape((1, numbers.size))
    n = state.shape[0]
    n_phase = np.int64(numbers[OVERSAMPLING]) * np.int64(numbers[OVERSAMPLING + 1])
    cells = np.empty((n, 4), np.int64)
    size = 0
    for k in range(n):
        reach = np.inf
        if not is_stretched and state[k, SHAPE] == 0.0:
            reach = prior[k, RADIUS] + _MARGIN
            # Where a fit starts beside its disc.
            for axis in range(2):
                reach = max(reach, abs(state[k, axis] - prior[k, CENTER_X + axis]) + _MARGIN)
        low, high = _crop(numbers, 0, window[k, 0], window[k, 1], prior[k, CENTER_X + 1], reach)
        cells[k, 0] = low
        cells[k, 1] = high
        low, high = _crop(numbers, 1, window[k, 2], window[k, 3], prior[k, CENTER_X], reach)
        cells[k, 2] = low
        cells[k, 3] = high
        size = max(size, n_phase * (cells[k, 1] - cells[k, 0]) * (cells[k, 3] - cells[k, 2]))
    out = np.zeros((n, PSF_TABLE + 2 + size))
    for k in range(n):
        _blend_into(psf, state[k], cells[k], n_phase, out[k])
    return out


@borrowing
def _blend_into(psf, source, cells, n_phase, out):
    """Fill the numbers of the PSF at a source's place, cells of its images cut."""
    numbers = psf.numbers
    n_row = cells[1] - cells[0]
    n_col = cells[3] - cells[2]
    for i in range(PSF_TABLE):
        out[i] = numbers[i]
    out[DEGREE] = 0.0
    for axis in range(2):
        out[N_PLACE + axis] = 1.0
        out[N_CELL + axis] = cells[2 * axis + 1] - cells[2 * axis]
        out[ORIGIN + axis] -= cells[2 * axis] * numbers[OVERSAMPLING + axis]
    start, n_image, n_cells = find_table(numbers)
    width = np.int64(numbers[N_CELL + 1])
    for i in range(count_images(numbers)):
        g, share, _, _ = find_share(numbers, i, psf.column + source[X], psf.row + source[Y])
        if share == 0.0:
            continue
        for phase in range(n_phase):
            for r in range(n_row):
                first = start + g * n_image + phase * n_cells + (cells[0] + r) * width + cells[2]
                row = numbers[first : first + n_col]
                there = PSF_TABLE + 2 + (phase * n_row + r) * n_col
                to = out[there : there + n_col]
                for c in range(n_col):
                    to[c] += share * row[c]
