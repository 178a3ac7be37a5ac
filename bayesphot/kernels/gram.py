"""Derivative columns of a group, their weighted Gram matrix, the joint Fisher matrix.

Each source has four columns over its window: value, d/dx, d/dy, d/dln(shape) of its unit
profile. The shared columns follow. Everything the least squares, the gradient and the covariance
need is read off the Gram matrix C^T W C and the products C^T W d.
"""

import numpy as np

from .cache import borrowing, part
from .density import dot_common
from .group import largest_window
from .psf import N_COLUMN, fill_unit_columns
from .structs import (
    CENTER_X,
    FLUX_MEAN,
    FLUX_PRECISION,
    LOG_SHAPE,
    PRECISION_X,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    SHARED_GRAM,
    SHARED_MEAN,
    SHARED_PLANE,
    SHARED_PRECISION,
    SHARED_RHS,
    WEIGHT,
    WEIGHTED,
)


@part
def allocate_columns(window):
    """Return room for the columns of sources with the given windows."""
    return np.empty((window.shape[0], N_COLUMN, largest_window(window)))


@borrowing
def count_columns(group):
    """Return how many columns of a source are needed: 4 where a shape is free, else 3."""
    for a in range(group.free.size):
        if group.free[a] >= 2 * group.n_source:
            return 4
    return 3


@borrowing
def fill_columns(group, work, n_used, columns):
    """Fill ``columns`` (n, 4, size) of each source over its window, row after row."""
    for k in range(group.n_source):
        fill_unit_columns(
            group.psf_kind, work.state[k], group.window[k], work.lines, n_used, columns[k]
        )


@borrowing
def fill_gram(group, columns, n_used, scaled, gram, products):
    """Fill the Gram matrix (full, symmetric) and products of columns with the weighted data.

    Column c < n_used of source k has index 4 k + c, shared column e has index 4 n + e.
    """
    n = group.n_source
    n_shared = group.n_shared
    window = group.window
    for k in range(n):
        size = (window[k, 1] - window[k, 0]) * (window[k, 3] - window[k, 2])
        weight = group.planes[k, WEIGHT]
        weighted = group.planes[k, WEIGHTED]
        for c in range(n_used):
            row = N_COLUMN * k + c
            column = columns[k, c]
            s = 0.0
            for p in range(size):
                s += weighted[p] * column[p]
                scaled[p] = weight[p] * column[p]
            products[row] = s
            for e in range(n_shared):
                plane = group.planes[k, SHARED_PLANE + e]
                s = 0.0
                for p in range(size):
                    s += plane[p] * column[p]
                gram[row, N_COLUMN * n + e] = s
                gram[N_COLUMN * n + e, row] = s
            for d in range(c + 1):
                other = columns[k, d]
                s = 0.0
                for p in range(size):
                    s += scaled[p] * other[p]
                gram[row, N_COLUMN * k + d] = s
                gram[N_COLUMN * k + d, row] = s
            for l in range(k):
                for d in range(n_used):
                    s = dot_common(window, k, l, scaled, columns[l, d])
                    gram[row, N_COLUMN * l + d] = s
                    gram[N_COLUMN * l + d, row] = s
    for e in range(n_shared):
        products[N_COLUMN * n + e] = group.shared[e, SHARED_RHS]
        for f in range(e + 1):
            gram[N_COLUMN * n + e, N_COLUMN * n + f] = group.shared[e, SHARED_GRAM + f]
            gram[N_COLUMN * n + f, N_COLUMN * n + e] = group.shared[e, SHARED_GRAM + f]


@borrowing
def project_residual(gram, products, linear, n, i):
    """Return column i times the weighted residuals: C_i^T W (d - model of ``linear``)."""
    s = products[i]
    for k in range(n):
        s -= gram[i, N_COLUMN * k] * linear[k]
    for e in range(linear.size - n):
        s -= gram[i, N_COLUMN * n + e] * linear[n + e]
    return s


@borrowing
def _locate_column(group, p, u, linear):
    """Return (column, coefficient) of term u of the model's derivative to joint parameter p."""
    n = group.n_source
    n_flux = n if group.flux_free == 1 else 0
    if p < n_flux:
        return N_COLUMN * p, 1.0
    if p < n_flux + group.n_shared:
        return N_COLUMN * n + p - n_flux, 1.0
    t = group.free[p - n_flux - group.n_shared]
    if t < 2 * n:
        return N_COLUMN * (t >> 1) + 1 + (t & 1), linear[t >> 1]
    if t < 3 * n:
        return N_COLUMN * (t - 2 * n) + 3, linear[t - 2 * n]
    return N_COLUMN * u + 3, linear[u]


@borrowing
def fill_fisher(group, state, linear, gram, products, fisher, score):
    """Fill the joint Fisher matrix and score, priors included, at the given linear values.

    Order: free linear parameters (fluxes, then shared), then the free nonlinear ones. The model of
    nonlinear parameter a has derivative sum_k f_k column(k, a), so
    F_ab = D_a^T W D_b + prior precision,  score_a = D_a^T W (d - model) + prior term.
    ``linear`` holds all fluxes, then the shared columns'.
    """
    n = group.n_source
    n_linear = group.n_shared + (n if group.flux_free == 1 else 0)
    size = n_linear + group.free.size
    for p in range(size):
        # Only a shape shared by all sources is a sum of several columns.
        shared = p >= n_linear and group.free[p - n_linear] == 3 * n
        score[p] = 0.0
        for q in range(p + 1):
            fisher[p, q] = 0.0
        for u in range(n if shared else 1):
            i, f = _locate_column(group, p, u, linear)
            score[p] += f * project_residual(gram, products, linear, n, i)
            for q in range(p + 1):
                for v in range(n if shared and q == p else 1):
                    j, h = _locate_column(group, q, v, linear)
                    fisher[p, q] += f * h * gram[i, j]
        for q in range(p):
            fisher[q, p] = fisher[p, q]
    _add_priors(group, state, linear, fisher, score)


@borrowing
def _add_priors(group, state, linear, fisher, score):
    """Add precision and score of the normal priors."""
    n = group.n_source
    prior = group.prior
    p = 0
    if group.flux_free == 1:
        for k in range(n):
            precision = prior[k, FLUX_PRECISION]
            fisher[p, p] += precision
            score[p] -= precision * (linear[k] - prior[k, FLUX_MEAN])
            p += 1
    for e in range(group.n_shared):
        precision = group.shared[e, SHARED_PRECISION]
        fisher[p, p] += precision
        score[p] -= precision * (linear[n + e] - group.shared[e, SHARED_MEAN])
        p += 1
    for a in range(group.free.size):
        t = group.free[a]
        if t < 2 * n:
            k = t // 2
            precision = prior[k, PRECISION_X + t % 2]
            deviation = state[k, t % 2] - prior[k, CENTER_X + t % 2]
        else:
            k = t - 2 * n if t < 3 * n else 0
            precision = prior[k, SHAPE_PRECISION]
            deviation = state[k, LOG_SHAPE] - prior[k, SHAPE_MEAN]
        fisher[p, p] += precision
        score[p] -= precision * deviation
        p += 1
