"""Cutting patches out of an image and rendering sources into one."""

import math

import numpy as np

from .cache import compiled
from .psf import fill_unit, find_reach
from .sampled import N_LINE, find_line
from .structs import FLUX, PSFData, X, Y


@compiled
def render_into(image, state, psf):
    """Add sources (n, C) x, y, flux, shapes to an image, each out to its PSF's reach."""
    n_row, n_col = image.shape
    widest = 0.0
    for k in range(state.shape[0]):
        widest = max(widest, find_reach(psf, state[k]))
    room = 2 * int(math.ceil(widest)) + 3
    across = min(room, n_col)
    down = min(room, n_row)
    lines = np.empty((N_LINE, find_line(psf, max(across, down))))
    unit = np.empty(max(across * down, 1))
    window = np.empty(4, np.int64)
    for k in range(state.shape[0]):
        half = int(math.ceil(find_reach(psf, state[k])))
        iy = int(math.floor(state[k, Y] + 0.5))
        ix = int(math.floor(state[k, X] + 0.5))
        r0 = max(0, iy - half)
        r1 = min(n_row, iy + half + 1)
        c0 = max(0, ix - half)
        c1 = min(n_col, ix + half + 1)
        if r1 <= r0 or c1 <= c0:
            continue
        window[0] = r0
        window[1] = r1
        window[2] = c0
        window[3] = c1
        fill_unit(psf, state[k], window, lines, unit)
        view = image[r0:r1, c0:c1]
        width = view.shape[1]
        for j in range(view.shape[0]):
            row = unit[j * width : (j + 1) * width]
            for i in range(width):
                view[j, i] += state[k, FLUX] * row[i]


@compiled
def cut_patches_into(
    image,
    weight,
    model,
    box,
    box_start,
    source_start,
    own,
    pixel_start,
    rows,
    data,
    weights,
    neighbours,
    n_pixel,
    n_box_pixel,
    psf,
):
    """Fill the flat pixel arrays of a batch of patches.

    ``box`` (B, 4) holds the fit boxes (first row, end row, first column, end column), those of
    group g from ``box_start[g]``; each good pixel of their union enters once. ``own`` (S, C) is
    x, y, flux, shapes of the group's sources as they stand in ``model``, whose other sources
    are the neighbours. ``n_box_pixel`` (B) counts the good pixels of each box.
    """
    for g in range(rows.shape[0]):
        n_row = rows[g, 0]
        n_col = rows[g, 1]
        first_row = rows[g, 2]
        first_col = rows[g, 3]
        p = pixel_start[g]
        size = n_row * n_col
        d = data[p : p + size].reshape((n_row, n_col))
        w = weights[p : p + size].reshape((n_row, n_col))
        m = neighbours[p : p + size].reshape((n_row, n_col))
        for j in range(n_row):
            for i in range(n_col):
                d[j, i] = image[first_row + j, first_col + i]
                m[j, i] = model[first_row + j, first_col + i]
                w[j, i] = 0.0
        a = source_start[g]
        b = source_start[g + 1]
        for k in range(a, b):
            own[k, 0] -= first_col
            own[k, 1] -= first_row
            own[k, 2] = -own[k, 2]
        here = PSFData(psf.kind, psf.row + first_row, psf.column + first_col, psf.numbers)
        render_into(m, own[a:b], here)
        count = 0
        for k in range(box_start[g], box_start[g + 1]):
            good = 0
            for j in range(box[k, 0], box[k, 1]):
                for i in range(box[k, 2], box[k, 3]):
                    v = weight[j, i]
                    if v > 0.0:
                        good += 1
                        if w[j - first_row, i - first_col] == 0.0:
                            w[j - first_row, i - first_col] = v
                            count += 1
            n_box_pixel[k] = good
        n_pixel[g] = count
