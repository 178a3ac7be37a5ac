"""One group out of a batch, and its scratch."""

import numpy as np

from .cache import borrowing, part
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


@part
def unpack_group(batch, g):
    """Return group g of a batch with its residual data formed and its sky columns weighted.

    Sky columns are 1, and for a plane (x - xc), (y - yc) about the patch centre, in pixels.
    """
    a = batch.source_start[g]
    n = batch.source_start[g + 1] - a
    n_sky = batch.sky_prior.shape[1]
    window = batch.window[a : a + n]
    first = batch.pixel_start[g]
    end = batch.pixel_start[g + 1]
    planes = np.empty((n, SKY_PLANE + max(n_sky, 1), largest_window(window)))
    sky = np.zeros((n_sky, 3 + n_sky))
    chi2 = _fill_planes(
        batch.data[first:end],
        batch.weight[first:end],
        batch.neighbours[first:end],
        batch.rows[g],
        window,
        planes,
        sky,
    )
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
    pairs = np.empty((n * (n - 1) // 2, 2), np.int64)
    n_pair = _list_pairs(prior, pairs)
    return Group(
        batch.psf_kind,
        batch.flux_free,
        n,
        n_sky,
        n_shape,
        chi2,
        planes,
        window,
        free,
        prior,
        sky,
        pairs[:n_pair],
    )


@borrowing
def largest_window(window):
    """Return the number of pixels of the largest window, at least 1."""
    size = 1
    for k in range(window.shape[0]):
        size = max(size, (window[k, 1] - window[k, 0]) * (window[k, 3] - window[k, 2]))
    return size


@borrowing
def _fill_planes(data, weight, neighbours, rows, window, planes, sky):
    """Fill the weighted planes and the sky's own sums; return sum w d^2."""
    n_sky = sky.shape[0]
    n_col = rows[1]
    middle_x = 0.5 * (rows[1] - 1)
    middle_y = 0.5 * (rows[0] - 1)
    chi2 = 0.0
    sum_w = 0.0
    sum_d = 0.0
    for p in range(data.size):
        d = data[p] - neighbours[p]
        chi2 += weight[p] * d * d
        sum_d += weight[p] * d
        sum_w += weight[p]
    if n_sky > 0:
        sky[0, SKY_RHS] = sum_d
        sky[0, SKY_GRAM] = sum_w
    if n_sky == 3:
        for j in range(rows[0]):
            y = j - middle_y
            for i in range(n_col):
                p = j * n_col + i
                x = i - middle_x
                d = data[p] - neighbours[p]
                sky[1, SKY_RHS] += weight[p] * d * x
                sky[2, SKY_RHS] += weight[p] * d * y
                sky[1, SKY_GRAM] += weight[p] * x
                sky[2, SKY_GRAM] += weight[p] * y
                sky[1, SKY_GRAM + 1] += weight[p] * x * x
                sky[2, SKY_GRAM + 1] += weight[p] * x * y
                sky[2, SKY_GRAM + 2] += weight[p] * y * y
    for k in range(window.shape[0]):
        first = window[k, 2]
        width = window[k, 3] - first
        for j in range(window[k, 1] - window[k, 0]):
            p = (window[k, 0] + j) * n_col + first
            w = weight[p : p + width]
            d = data[p : p + width]
            m = neighbours[p : p + width]
            row = planes[k, :, j * width : (j + 1) * width]
            for i in range(width):
                row[WEIGHT, i] = w[i]
                row[WEIGHTED, i] = w[i] * (d[i] - m[i])
            if n_sky == 3:
                for i in range(width):
                    row[SKY_PLANE + 1, i] = w[i] * (first + i - middle_x)
                    row[SKY_PLANE + 2, i] = w[i] * (window[k, 0] + j - middle_y)
    return chi2


@borrowing
def _list_pairs(prior, pairs):
    """Fill the pairs whose discs meet (they keep the order of their centres); return how many."""
    n = prior.shape[0]
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
    return m


@part
def allocate_work(batch, g, group):
    """Return scratch for a group, its state set to the batch's, in patch pixels."""
    n = group.n_source
    n_linear = n + group.n_sky
    longest = max(batch.rows[g, 0], batch.rows[g, 1])
    a = batch.source_start[g]
    state = batch.state[a : a + n].copy()
    for k in range(n):
        state[k, 0] -= batch.rows[g, 3]
        state[k, 1] -= batch.rows[g, 2]
    return Work(
        state,
        np.empty((6, longest)),
        np.empty((n + 1, group.planes.shape[2])),
        np.zeros((n_linear, n_linear)),
        np.empty((n_linear, n_linear)),
        np.empty((3, n_linear)),
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
def log_normal_priors(state, prior, n_shape):
    """Return the sum of -(p - m)^2 precision / 2 over positions and shapes."""
    s = 0.0
    for k in range(state.shape[0]):
        dx = state[k, 0] - prior[k, CENTER_X]
        dy = state[k, 1] - prior[k, CENTER_Y]
        s -= 0.5 * (dx * dx * prior[k, PRECISION_X] + dy * dy * prior[k, PRECISION_Y])
    for k in range(n_shape):
        d = state[k, LOG_SHAPE] - prior[k, SHAPE_MEAN]
        s -= 0.5 * d * d * prior[k, SHAPE_PRECISION]
    return s


@borrowing
def log_prior(state, prior, pairs, n_shape):
    """Return the log prior of positions and shapes, -inf outside its support.

    Discs and orders are constant inside; the rest is `log_normal_priors`.
    """
    for k in range(state.shape[0]):
        dx = state[k, 0] - prior[k, CENTER_X]
        dy = state[k, 1] - prior[k, CENTER_Y]
        # A hair of slack, so that an optimum clipped onto the rim still counts as inside.
        if not dx * dx + dy * dy <= prior[k, RADIUS] * prior[k, RADIUS] * (1.0 + 1e-12):
            return -np.inf
    for m in range(pairs.shape[0]):
        k = pairs[m, 0]
        l = pairs[m, 1]
        ox = prior[k, CENTER_X] - prior[l, CENTER_X]
        oy = prior[k, CENTER_Y] - prior[l, CENTER_Y]
        if (state[k, 0] - state[l, 0]) * ox + (state[k, 1] - state[l, 1]) * oy < 0.0:
            return -np.inf
    return log_normal_priors(state, prior, n_shape)


@part
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
