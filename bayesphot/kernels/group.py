"""One group out of a batch, and its scratch."""

import numpy as np

from .blend import blend_psfs
from .cache import borrowing, part
from .priors import log_prior_density
from .sampled import N_LINE, find_line
from .shapes import log_stretch, read_shape
from .structs import (
    CENTER_X,
    CENTER_Y,
    DATA,
    FLAT,
    FLUX_DENSITY,
    KNOWN,
    N_DENSITY,
    N_SHAPE_PRIOR,
    NEIGHBOURS,
    NORMAL_NOISE,
    PIXEL_WEIGHT,
    PRECISION_X,
    PRECISION_Y,
    RADIUS,
    SHAPE,
    SHAPE_DENSITY,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    SHARED_GRAM,
    SHARED_MEAN,
    SHARED_PLANE,
    SHARED_PRECISION,
    SHARED_RHS,
    TRUE_DATA,
    WEIGHT,
    WEIGHTED,
    X_DENSITY,
    Y_DENSITY,
    Group,
    PSFData,
    Work,
)


@part
def unpack_group(batch, g):
    """Return group g of a batch with its residual data formed and its shared columns weighted.

    The sky's columns are 1, and for a plane (x - xc), (y - yc) about the patch centre, in pixels;
    the nuisances follow.
    """
    a = batch.source_start[g]
    n = batch.source_start[g + 1] - a
    n_shared = batch.shared_prior.shape[1]
    window = batch.window[a : a + n]
    first = batch.pixel_start[g]
    end = batch.pixel_start[g + 1]
    columns = np.empty((n_shared, end - first))
    _fill_shared_columns(batch.rows[g], batch.nuisance[:, first:end], columns)
    planes = np.empty((n, SHARED_PLANE + n_shared, largest_window(window)))
    shared = np.zeros((n_shared, 3 + n_shared))
    data = batch.data[first:end]
    weight = batch.weight[first:end]
    neighbours = batch.neighbours[first:end]
    chi2 = _fill_planes(data, weight, neighbours, columns, batch.rows[g, 1], window, planes, shared)
    density = np.empty((n_shared, N_DENSITY))
    n_density = 0
    for e in range(n_shared):
        for i in range(N_DENSITY):
            density[e, i] = batch.shared_prior[g, e, 2 + i]
        shared[e, SHARED_MEAN] = batch.shared_prior[g, e, 0]
        shared[e, SHARED_PRECISION] = batch.shared_prior[g, e, 1]
        n_density += density[e, 0] != FLAT
    prior = batch.prior[a : a + n].copy()
    for k in range(n):
        prior[k, CENTER_X] -= batch.rows[g, 3]
        prior[k, CENTER_Y] -= batch.rows[g, 2]
        for place in (X_DENSITY, Y_DENSITY, FLUX_DENSITY):
            n_density += prior[k, place] != FLAT
        for j in range(batch.state.shape[1] - SHAPE):
            n_density += prior[k, SHAPE_DENSITY + N_SHAPE_PRIOR * j] != FLAT
    free = batch.free[batch.free_start[g] : batch.free_start[g + 1]]
    n_column = batch.state.shape[1]
    n_shape = 0
    for i in range(free.size):
        if free[i] >= 2 * n:
            n_shape = 1 if find_owner(free[i], n, n_column) < 0 else n
    pairs = np.empty((n * (n - 1) // 2, 2), np.int64)
    n_pair = _list_pairs(prior, pairs)
    psf = PSFData(batch.psf.kind, batch.rows[g, 2], batch.rows[g, 3], batch.psf.numbers)
    state = batch.state[a : a + n].copy()
    for k in range(n):
        state[k, 0] -= batch.rows[g, 3]
        state[k, 1] -= batch.rows[g, 2]
    noise_kind = batch.noise_kind[g]
    pixels = np.empty((5, 0 if noise_kind == NORMAL_NOISE else data.size))
    if noise_kind != NORMAL_NOISE:
        for p in range(data.size):
            pixels[DATA, p] = data[p]
            pixels[PIXEL_WEIGHT, p] = weight[p]
            pixels[NEIGHBOURS, p] = neighbours[p]
            pixels[KNOWN, p] = batch.known[0, first + p]
            pixels[TRUE_DATA, p] = batch.known[1, first + p]
    return Group(
        psf,
        blend_psfs(psf, state, window, prior, n_shape > 0),
        noise_kind,
        batch.flux_free,
        n,
        n_column,
        n_shared,
        n_shape,
        n_density,
        batch.rows[g, 1],
        chi2,
        planes,
        window,
        free,
        prior,
        shared,
        density,
        columns,
        pixels,
        batch.noise,
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
def _fill_shared_columns(rows, nuisance, columns):
    """Fill the shared columns of a patch: the sky's, then the nuisances."""
    n_row = rows[0]
    n_col = rows[1]
    n_sky = columns.shape[0] - nuisance.shape[0]
    middle_x = 0.5 * (n_col - 1)
    middle_y = 0.5 * (n_row - 1)
    size = columns.shape[1]
    if n_sky > 0:
        for p in range(size):
            columns[0, p] = 1.0
    if n_sky == 3:
        for j in range(n_row):
            for i in range(n_col):
                columns[1, j * n_col + i] = i - middle_x
                columns[2, j * n_col + i] = j - middle_y
    for e in range(nuisance.shape[0]):
        for p in range(size):
            columns[n_sky + e, p] = nuisance[e, p]


@borrowing
def _fill_planes(data, weight, neighbours, columns, n_col, window, planes, shared):
    """Fill the weighted planes and the shared columns' own sums; return sum w d^2."""
    n_shared = shared.shape[0]
    chi2 = 0.0
    for p in range(data.size):
        d = data[p] - neighbours[p]
        chi2 += weight[p] * d * d
    for e in range(n_shared):
        mine = columns[e]
        s = 0.0
        for p in range(data.size):
            s += weight[p] * (data[p] - neighbours[p]) * mine[p]
        shared[e, SHARED_RHS] = s
        for f in range(e + 1):
            other = columns[f]
            s = 0.0
            for p in range(data.size):
                s += weight[p] * mine[p] * other[p]
            shared[e, SHARED_GRAM + f] = s
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
            for e in range(n_shared):
                c = columns[e, p : p + width]
                for i in range(width):
                    row[SHARED_PLANE + e, i] = w[i] * c[i]
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
    n_linear = n + group.n_shared
    longest = find_line(batch.psf, max(batch.rows[g, 0], batch.rows[g, 1]))
    a = batch.source_start[g]
    state = batch.state[a : a + n].copy()
    for k in range(n):
        state[k, 0] -= batch.rows[g, 3]
        state[k, 1] -= batch.rows[g, 2]
    return Work(
        state,
        np.empty((N_LINE, longest)),
        np.empty((n + 1, group.planes.shape[2])),
        np.zeros((n_linear, n_linear)),
        np.empty((n_linear, n_linear)),
        np.empty(group.pixels.shape[1]),
        np.empty((3, n_linear)),
    )


@borrowing
def find_owner(t, n, n_column):
    """Return the source whose shape has code t >= 2 n, -1 where all n share it."""
    return np.int64(-1) if t >= (n_column - 1) * n else (t - 2 * n) % n


@borrowing
def find_shape(t, n, n_column):
    """Return which of the shapes has code t >= 2 n."""
    shared = (n_column - 1) * n
    return t - shared if t >= shared else (t - 2 * n) // n


@borrowing
def scatter_theta(theta, free, state):
    """Set positions and shapes of a state from the free nonlinear parameters."""
    n, n_column = state.shape
    for a in range(free.size):
        t = free[a]
        if t < 2 * n:
            state[t >> 1, t & 1] = theta[a]
            continue
        owner = find_owner(t, n, n_column)
        column = SHAPE + find_shape(t, n, n_column)
        if owner >= 0:
            state[owner, column] = theta[a]
        else:
            for k in range(n):
                state[k, column] = theta[a]


@borrowing
def gather_theta(free, state, theta):
    """Fill theta from the positions and shapes of a state."""
    n, n_column = state.shape
    for a in range(free.size):
        t = free[a]
        if t < 2 * n:
            theta[a] = state[t >> 1, t & 1]
        else:
            owner = max(find_owner(t, n, n_column), 0)
            theta[a] = state[owner, SHAPE + find_shape(t, n, n_column)]


@borrowing
def log_normal_priors(state, prior, n_shape):
    """Return the sum of -(p - m)^2 precision / 2 over positions and shapes."""
    s = 0.0
    for k in range(state.shape[0]):
        dx = state[k, 0] - prior[k, CENTER_X]
        dy = state[k, 1] - prior[k, CENTER_Y]
        s -= 0.5 * (dx * dx * prior[k, PRECISION_X] + dy * dy * prior[k, PRECISION_Y])
    for k in range(n_shape):
        for j in range(state.shape[1] - SHAPE):
            d = state[k, SHAPE + j] - prior[k, SHAPE_MEAN + N_SHAPE_PRIOR * j]
            s -= 0.5 * d * pull_shape(state[k], prior[k], j)
    return s


@borrowing
def pull_shape(source, prior, j):
    """Return precision times deviation, summed over all shapes, of shape j of a source."""
    n_shape = source.size - SHAPE
    cross = SHAPE_MEAN + N_SHAPE_PRIOR * n_shape
    s = 0.0
    for i in range(n_shape):
        if i == j:
            precision = prior[SHAPE_PRECISION + N_SHAPE_PRIOR * j]
        else:
            high = max(i, j)
            precision = prior[cross + high * (high - 1) // 2 + min(i, j)]
        s += precision * (source[SHAPE + i] - prior[SHAPE_MEAN + N_SHAPE_PRIOR * i])
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


@borrowing
def log_nonlinear_prior(group, state):
    """Return the log prior of positions and shapes, other densities than normal ones included."""
    s = log_prior(state, group.prior, group.pairs, group.n_shape)
    if group.n_density == 0 or s == -np.inf:
        return s
    for k in range(group.n_source):
        prior = group.prior[k]
        dx = state[k, 0] - prior[CENTER_X]
        dy = state[k, 1] - prior[CENTER_Y]
        s += log_prior_density(prior[X_DENSITY:], dx)
        s += log_prior_density(prior[Y_DENSITY:], dy)
    for k in range(group.n_shape):
        for j in range(group.n_column - SHAPE):
            density = group.prior[k, SHAPE_DENSITY + N_SHAPE_PRIOR * j :]
            if density[0] != FLAT:
                # The density of the shape itself; the chains walk in the state's column.
                column = state[k, SHAPE + j]
                s += log_prior_density(density, read_shape(group.psf.kind, j, column))
                s += log_stretch(group.psf.kind, j, column)
    return s


@part
def replace_free(group, free, n_shape):
    """Return the group with other free nonlinear parameters."""
    return Group(
        group.psf,
        group.tables,
        group.noise_kind,
        group.flux_free,
        group.n_source,
        group.n_column,
        group.n_shared,
        n_shape,
        group.n_density,
        group.width,
        group.chi2_data,
        group.planes,
        group.window,
        free,
        group.prior,
        group.shared,
        group.shared_density,
        group.columns,
        group.pixels,
        group.noise,
        group.pairs,
    )
