"""Derivative columns of a group, their weighted Gram matrix, the joint Fisher matrix.

Each source has four columns over its window: value, d/dx, d/dy, d/dln(shape) of its unit
profile. The sky columns follow. Everything the least squares, the gradient and the covariance
need is read off the Gram matrix C^T W C and the products C^T W d.
"""

import math

import numpy as np

from .cache import borrowing, compiled
from .gaussian import profile_gradient_into
from .structs import (
    CENTER_X,
    FLUX_MEAN,
    FLUX_PRECISION,
    LOG_SHAPE,
    PRECISION_X,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    SKY_GRAM,
    SKY_MEAN,
    SKY_PLANE,
    SKY_PRECISION,
    SKY_RHS,
    WEIGHT,
    WEIGHTED,
)

#: Columns a source: value, d/dx, d/dy, d/dln(shape).
N_COLUMN = 4


@compiled
def fill_columns(window, state, columns):
    """Fill ``columns`` (n, 4, rows, cols), each source in the upper left corner of its plane."""
    fx = np.empty((3, columns.shape[3]))
    fy = np.empty((3, columns.shape[2]))
    for k in range(state.shape[0]):
        r0 = window[k, 0]
        c0 = window[k, 2]
        height = window[k, 1] - r0
        width = window[k, 3] - c0
        sigma = math.exp(state[k, LOG_SHAPE])
        profile_gradient_into(state[k, 0], sigma, c0, width, fx[0], fx[1], fx[2])
        profile_gradient_into(state[k, 1], sigma, r0, height, fy[0], fy[1], fy[2])
        for j in range(height):
            for i in range(width):
                columns[k, 0, j, i] = fy[0, j] * fx[0, i]
                columns[k, 1, j, i] = fy[0, j] * fx[1, i]
                columns[k, 2, j, i] = fy[1, j] * fx[0, i]
                columns[k, 3, j, i] = fy[0, j] * fx[2, i] + fy[2, j] * fx[0, i]


@compiled
def allocate_columns(window):
    """Return room for the columns of sources with the given windows."""
    height = 1
    width = 1
    for k in range(window.shape[0]):
        height = max(height, window[k, 1] - window[k, 0])
        width = max(width, window[k, 3] - window[k, 2])
    return np.empty((window.shape[0], N_COLUMN, height, width))


@compiled
def fill_gram(planes, window, sky, columns, n_used, gram, products):
    """Fill the Gram matrix (full, symmetric) and products of columns with the weighted data.

    Column c < n_used of source k has index 4 k + c, sky column e has index 4 n + e.
    """
    n = window.shape[0]
    n_sky = sky.shape[0]
    height = columns.shape[2]
    width = columns.shape[3]
    scaled = np.empty((height, width))
    for k in range(n):
        r0 = window[k, 0]
        r1 = window[k, 1]
        c0 = window[k, 2]
        c1 = window[k, 3]
        weight = planes[WEIGHT, r0:r1, c0:c1]
        weighted = planes[WEIGHTED, r0:r1, c0:c1]
        for c in range(n_used):
            row = N_COLUMN * k + c
            column = columns[k, c]
            s = 0.0
            for j in range(weight.shape[0]):
                for i in range(weight.shape[1]):
                    s += weighted[j, i] * column[j, i]
                    scaled[j, i] = weight[j, i] * column[j, i]
            products[row] = s
            for e in range(n_sky):
                plane = planes[SKY_PLANE + e, r0:r1, c0:c1]
                s = 0.0
                for j in range(plane.shape[0]):
                    for i in range(plane.shape[1]):
                        s += plane[j, i] * column[j, i]
                gram[row, N_COLUMN * n + e] = s
                gram[N_COLUMN * n + e, row] = s
            for l in range(k + 1):
                q0 = max(r0, window[l, 0])
                q1 = min(r1, window[l, 1])
                p0 = max(c0, window[l, 2])
                p1 = min(c1, window[l, 3])
                top = c + 1 if l == k else n_used
                for d in range(top):
                    s = 0.0
                    if q1 > q0 and p1 > p0:
                        mine = scaled[q0 - r0 : q1 - r0, p0 - c0 : p1 - c0]
                        o = window[l, 0]
                        u = window[l, 2]
                        other = columns[l, d, q0 - o : q1 - o, p0 - u : p1 - u]
                        for j in range(mine.shape[0]):
                            for i in range(mine.shape[1]):
                                s += mine[j, i] * other[j, i]
                    gram[row, N_COLUMN * l + d] = s
                    gram[N_COLUMN * l + d, row] = s
    for e in range(n_sky):
        products[N_COLUMN * n + e] = sky[e, SKY_RHS]
        for f in range(e + 1):
            gram[N_COLUMN * n + e, N_COLUMN * n + f] = sky[e, SKY_GRAM + f]
            gram[N_COLUMN * n + f, N_COLUMN * n + e] = sky[e, SKY_GRAM + f]


@compiled
def fill_fisher(group, state, flux, sky, gram, products, fisher, score):
    """Fill the joint Fisher matrix and score, priors included, at the given linear values.

    Order: free linear parameters (fluxes, then sky), then the free nonlinear ones. The model of
    nonlinear parameter a has derivative sum_k f_k column(k, a), so
    F_ab = D_a^T W D_b + prior precision,  score_a = D_a^T W (d - model) + prior term.
    """
    n = group.n_source
    n_sky = group.n_sky
    n_all = N_COLUMN * n + n_sky
    n_linear = n_sky + (n if group.flux_free == 1 else 0)
    size = n_linear + group.free.size
    residual = np.empty(n_all)
    for i in range(n_all):
        s = products[i]
        for k in range(n):
            s -= gram[i, N_COLUMN * k] * flux[k]
        for e in range(n_sky):
            s -= gram[i, N_COLUMN * n + e] * sky[e]
        residual[i] = s
    # Sparse rows: parameter p is a sum of at most n columns with coefficients.
    column = np.empty((size, n + 1), np.int64)
    coefficient = np.empty((size, n + 1))
    length = np.ones(size, np.int64)
    n_flux = n_linear - n_sky
    for p in range(n_flux):
        column[p, 0] = N_COLUMN * p
        coefficient[p, 0] = 1.0
    for e in range(n_sky):
        column[n_flux + e, 0] = N_COLUMN * n + e
        coefficient[n_flux + e, 0] = 1.0
    for a in range(group.free.size):
        p = n_linear + a
        t = group.free[a]
        if t < 2 * n:
            column[p, 0] = N_COLUMN * (t // 2) + 1 + t % 2
            coefficient[p, 0] = flux[t // 2]
        elif t < 3 * n:
            column[p, 0] = N_COLUMN * (t - 2 * n) + 3
            coefficient[p, 0] = flux[t - 2 * n]
        else:
            length[p] = n
            for k in range(n):
                column[p, k] = N_COLUMN * k + 3
                coefficient[p, k] = flux[k]
    for p in range(size):
        s = 0.0
        for u in range(length[p]):
            s += coefficient[p, u] * residual[column[p, u]]
        score[p] = s
        for q in range(p + 1):
            s = 0.0
            for u in range(length[p]):
                for v in range(length[q]):
                    s += coefficient[p, u] * coefficient[q, v] * gram[column[p, u], column[q, v]]
            fisher[p, q] = s
            fisher[q, p] = s
    _add_priors(group, state, flux, sky, fisher, score)


@borrowing
def _add_priors(group, state, flux, sky, fisher, score):
    """Add precision and score of the normal priors."""
    n = group.n_source
    prior = group.prior
    p = 0
    if group.flux_free == 1:
        for k in range(n):
            precision = prior[k, FLUX_PRECISION]
            fisher[p, p] += precision
            score[p] -= precision * (flux[k] - prior[k, FLUX_MEAN])
            p += 1
    for e in range(group.n_sky):
        precision = group.sky[e, SKY_PRECISION]
        fisher[p, p] += precision
        score[p] -= precision * (sky[e] - group.sky[e, SKY_MEAN])
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
