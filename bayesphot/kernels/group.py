"""One group out of a batch, and its scratch."""

import numpy as np

from .cache import borrowing, compiled
from .structs import (
    CENTER_X,
    CENTER_Y,
    LOG_SHAPE,
    PRECISION_X,
    PRECISION_Y,
    RADIUS,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    SKY_GRAM,
    SKY_MEAN,
    SKY_PLANE,
    SKY_PRECISION,
    SKY_RHS,
    WEIGHT,
    WEIGHTED,
    Group,
    Work,
)


@compiled
def unpack_group(batch, g):
    """Return group g of a batch with its residual data formed and its sky columns weighted.

    Sky columns are 1, and for a plane (x - xc), (y - yc) about the patch centre, in pixels.
    """
    a = batch.source_start[g]
    n = batch.source_start[g + 1] - a
    n_row = batch.rows[g, 0]
    n_col = batch.rows[g, 1]
    n_sky = batch.sky_prior.shape[1]
    planes = np.empty((2 + n_sky, n_row, n_col))
    sky = np.zeros((n_sky, 3 + n_sky))
    chi2 = _fill_planes(batch.data, batch.weight, batch.neighbours, batch.pixel_start[g],
                        planes, sky)
    for e in range(n_sky):
        sky[e, SKY_MEAN] = batch.sky_prior[g, e, 0]
        sky[e, SKY_PRECISION] = batch.sky_prior[g, e, 1]
    prior = batch.prior[a : a + n].copy()
    for k in range(n):
        prior[k, CENTER_X] -= batch.rows[g, 3]
        prior[k, CENTER_Y] -= batch.rows[g, 2]
    free = batch.free[batch.free_start[g] : batch.free_start[g + 1]]
    n_shape = 0
    for i in range(free.size):
        if free[i] >= 2 * n:
            n_shape += 1
    return Group(
        batch.psf_kind,
        batch.flux_free,
        n,
        n_sky,
        n_shape,
        chi2,
        planes,
        batch.window[a : a + n],
        free,
        prior,
        sky,
        _list_pairs(prior),
    )


@compiled
def _fill_planes(data, weight, neighbours, first, planes, sky):
    """Fill the weighted planes and the sky's own sums; return sum w d^2."""
    n_sky = sky.shape[0]
    chi2 = 0.0
    column = np.ones(3)
    for j in range(planes.shape[1]):
        for i in range(planes.shape[2]):
            q = first + j * planes.shape[2] + i
            w = weight[q]
            d = data[q] - neighbours[q]
            planes[WEIGHT, j, i] = w
            planes[WEIGHTED, j, i] = w * d
            chi2 += w * d * d
            column[1] = i - 0.5 * (planes.shape[2] - 1)
            column[2] = j - 0.5 * (planes.shape[1] - 1)
            for e in range(n_sky):
                planes[SKY_PLANE + e, j, i] = w * column[e]
                sky[e, SKY_RHS] += w * d * column[e]
                for f in range(n_sky):
                    sky[e, SKY_GRAM + f] += w * column[e] * column[f]
    return chi2


@compiled
def _list_pairs(prior):
    """Return the pairs whose discs meet: they keep the order of their centres."""
    n = prior.shape[0]
    pairs = np.empty((n * (n - 1) // 2, 2), np.int64)
    m = 0
    for k in range(n):
        for l in range(k):
            dx = prior[k, CENTER_X] - prior[l, CENTER_X]
            dy = prior[k, CENTER_Y] - prior[l, CENTER_Y]
            reach = prior[k, RADIUS] + prior[l, RADIUS]
            if reach < np.inf and dx * dx + dy * dy < reach * reach:
                pairs[m, 0] = k
                pairs[m, 1] = l
                m += 1
    return pairs[:m]


@compiled
def allocate_work(batch, g, group):
    """Return scratch for a group, its state set to the batch's, in patch pixels."""
    n = group.n_source
    n_linear = n + group.n_sky
    longest = max(group.planes.shape[1], group.planes.shape[2])
    a = batch.source_start[g]
    state = batch.state[a : a + n].copy()
    for k in range(n):
        state[k, 0] -= batch.rows[g, 3]
        state[k, 1] -= batch.rows[g, 2]
    return Work(
        state,
        np.empty((2, n + 1, longest)),
        np.zeros((n_linear, n_linear)),
        np.empty((n_linear, n_linear)),
        np.empty((2, n_linear)),
    )


@borrowing
def scatter_theta(theta, free, state):
    """Set positions and shapes of a state from the free nonlinear parameters."""
    n = state.shape[0]
    for a in range(free.size):
        t = free[a]
        if t < 2 * n:
            state[t >> 1, t & 1] = theta[a]
        elif t < 3 * n:
            state[t - 2 * n, LOG_SHAPE] = theta[a]
        else:
            for k in range(n):
                state[k, LOG_SHAPE] = theta[a]


@borrowing
def gather_theta(free, state, theta):
    """Fill theta from the positions and shapes of a state."""
    n = state.shape[0]
    for a in range(free.size):
        t = free[a]
        if t < 2 * n:
            theta[a] = state[t >> 1, t & 1]
        elif t < 3 * n:
            theta[a] = state[t - 2 * n, LOG_SHAPE]
        else:
            theta[a] = state[0, LOG_SHAPE]


@borrowing
def log_prior(state, prior, pairs, n_shape):
    """Return the log prior of positions and shapes, -inf outside its support.

    Discs and orders are constant inside; normal terms are -(p - m)^2 precision / 2.
    """
    s = 0.0
    for k in range(state.shape[0]):
        dx = state[k, 0] - prior[k, CENTER_X]
        dy = state[k, 1] - prior[k, CENTER_Y]
        # A hair of slack, so that an optimum clipped onto the rim still counts as inside.
        if not dx * dx + dy * dy <= prior[k, RADIUS] * prior[k, RADIUS] * (1.0 + 1e-12):
            return -np.inf
        s -= 0.5 * (dx * dx * prior[k, PRECISION_X] + dy * dy * prior[k, PRECISION_Y])
    for k in range(n_shape):
        d = state[k, LOG_SHAPE] - prior[k, SHAPE_MEAN]
        s -= 0.5 * d * d * prior[k, SHAPE_PRECISION]
    for m in range(pairs.shape[0]):
        k = pairs[m, 0]
        l = pairs[m, 1]
        ox = prior[k, CENTER_X] - prior[l, CENTER_X]
        oy = prior[k, CENTER_Y] - prior[l, CENTER_Y]
        if (state[k, 0] - state[l, 0]) * ox + (state[k, 1] - state[l, 1]) * oy < 0.0:
            return -np.inf
    return s


@compiled
def replace_free(group, free, n_shape):
    """Return the group with other free nonlinear parameters."""
    return Group(
        group.psf_kind,
        group.flux_free,
        group.n_source,
        group.n_sky,
        n_shape,
        group.chi2_data,
        group.planes,
        group.window,
        free,
        group.prior,
        group.sky,
        group.pairs,
    )
