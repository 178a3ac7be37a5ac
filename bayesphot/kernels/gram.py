"""Derivative columns of a group, their weighted Gram matrix, the joint Fisher matrix.

Each source has C columns over its window: value, d/dx, d/dy of its unit profile and derivatives
by the shapes' columns of the state. The shared columns follow. Everything the least squares, the
gradient and the covariance need is read off the Gram matrix C^T W C and the products C^T W d.
"""

import numpy as np

from .cache import borrowing, part
from .density import dot_common
from .group import find_owner, find_shape
from .psf import fill_unit_columns
from .structs import (
    CENTER_X,
    FLUX_MEAN,
    FLUX_PRECISION,
    N_SHAPE_PRIOR,
    PRECISION_X,
    SHAPE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    SHARED_GRAM,
    SHARED_MEAN,
    SHARED_PLANE,
    SHARED_PRECISION,
    SHARED_RHS,
    WEIGHT,
    WEIGHTED,
    PSFData,
)


@part
def allocate_columns(group):
    """Return room for the columns of all sources of a group."""
    return np.empty((group.n_source, group.n_column, group.planes.shape[2]))


@borrowing
def count_columns(group):
    """Return how many columns of a source are needed: 3, and those up to its last free shape."""
    n_used = np.int64(SHAPE)
    for a in range(group.free.size):
        if group.free[a] >= 2 * group.n_source:
            j = find_shape(group.free[a], group.n_source, group.n_column)
            n_used = max(n_used, SHAPE + j + 1)
    return n_used


@borrowing
def fill_columns(group, work, n_used, columns):
    """Fill ``columns`` (n, C, size) of each source over its window, row after row."""
    for k in range(group.n_source):
        numbers = group.tables[min(k, group.tables.shape[0] - 1)]
        psf = PSFData(group.psf.kind, group.psf.row, group.psf.column, numbers)
        fill_unit_columns(psf, work.state[k], group.window[k], work.lines, n_used, columns[k])


@borrowing
def fill_gram(group, columns, n_used, scaled, gram, products):
    """Fill the Gram matrix (full, symmetric) and products of columns with the weighted data.

    Column c < n_used of source k has index C k + c, shared column e has index C n + e.
    """
    n = group.n_source
    n_column = group.n_column
    n_shared = group.n_shared
    window = group.window
    for k in range(n):
        size = (window[k, 1] - window[k, 0]) * (window[k, 3] - window[k, 2])
        weight = group.planes[k, WEIGHT]
        weighted = group.planes[k, WEIGHTED]
        for c in range(n_used):
            row = n_column * k + c
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
                gram[row, n_column * n + e] = s
                gram[n_column * n + e, row] = s
            for d in range(c + 1):
                other = columns[k, d]
                s = 0.0
                for p in range(size):
                    s += scaled[p] * other[p]
                gram[row, n_column * k + d] = s
                gram[n_column * k + d, row] = s
            for l in range(k):
                for d in range(n_used):
                    s = dot_common(window, k, l, scaled, columns[l, d])
                    gram[row, n_column * l + d] = s
                    gram[n_column * l + d, row] = s
    for e in range(n_shared):
        products[n_column * n + e] = group.shared[e, SHARED_RHS]
        for f in range(e + 1):
            gram[n_column * n + e, n_column * n + f] = group.shared[e, SHARED_GRAM + f]
            gram[n_column * n + f, n_column * n + e] = group.shared[e, SHARED_GRAM + f]


@borrowing
def project_residual(gram, products, linear, n, n_column, i):
    """Return column i times the weighted residuals: C_i^T W (d - model of ``linear``)."""
    s = products[i]
    for k in range(n):
        s -= gram[i, n_column * k] * linear[k]
    for e in range(linear.size - n):
        s -= gram[i, n_column * n + e] * linear[n + e]
    return s


@borrowing
def _locate_column(group, p, u, linear):
    """Return (column, coefficient) of term u of the model's derivative to joint parameter p."""
    n = group.n_source
    n_column = group.n_column
    n_flux = n if group.flux_free == 1 else 0
    if p < n_flux:
        return n_column * p, 1.0
    if p < n_flux + group.n_shared:
        return n_column * n + p - n_flux, 1.0
    t = group.free[p - n_flux - group.n_shared]
    if t < 2 * n:
        return n_column * (t >> 1) + 1 + (t & 1), linear[t >> 1]
    owner = find_owner(t, n, n_column)
    k = u if owner < 0 else owner
    return n_column * k + SHAPE + find_shape(t, n, n_column), linear[k]


@borrowing
def _count_terms(group, a):
    """Return how many columns add to the derivative by nonlinear parameter a (< 0: linear)."""
    if a < 0 or group.free[a] < (group.n_column - 1) * group.n_source:
        return np.int64(1)
    return group.n_source


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
        several = _count_terms(group, p - n_linear)
        score[p] = 0.0
        for q in range(p + 1):
            fisher[p, q] = 0.0
        for u in range(several):
            i, f = _locate_column(group, p, u, linear)
            score[p] += f * project_residual(gram, products, linear, n, group.n_column, i)
            for q in range(p + 1):
                for v in range(_count_terms(group, q - n_linear)):
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
            k = max(find_owner(t, n, group.n_column), 0)
            j = find_shape(t, n, group.n_column)
            precision = prior[k, SHAPE_PRECISION + N_SHAPE_PRIOR * j]
            deviation = state[k, SHAPE + j] - prior[k, SHAPE_MEAN + N_SHAPE_PRIOR * j]
        fisher[p, p] += precision
        score[p] -= precision * deviation
        p += 1
