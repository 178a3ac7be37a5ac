"""Levenberg-Marquardt with the linear parameters eliminated (variable projection).

Golub & Pereyra 1973; the step is Kaufman's (1975): the joint Gauss-Newton step taken at the
linear parameters' conditional optimum, where their score vanishes.
"""

import math

import numpy as np

from .cache import borrowing, compiled
from .density import solve_linear
from .gram import N_COLUMN, allocate_columns, fill_columns, fill_fisher, fill_gram
from .group import gather_theta, log_prior, scatter_theta
from .linalg import factor_cholesky_into, solve_cholesky_into
from .structs import CENTER_X, CENTER_Y, CONVERGED, DEGENERATE, FLUX, ITERATION_LIMIT, MEAN, RADIUS


@borrowing
def read_linear(group, work, flux, sky):
    """Copy the solved linear parameters; known fluxes stay as they are."""
    n = group.n_source
    first = 0
    if group.flux_free == 1:
        for k in range(n):
            flux[k] = work.vector[MEAN, k]
        first = n
    else:
        for k in range(n):
            flux[k] = work.state[k, FLUX]
    for e in range(group.n_sky):
        sky[e] = work.vector[MEAN, first + e]


@borrowing
def clip_to_disc(group, theta, trial, step, scale):
    """Set trial = theta + scale * step, positions pulled back radially onto their discs."""
    n = group.n_source
    for a in range(group.free.size):
        trial[a] = theta[a] + scale * step[a]
        if group.free[a] >= 2 * n:
            # A shape may change by a factor e at most in one step.
            trial[a] = min(max(trial[a], theta[a] - 1.0), theta[a] + 1.0)
    for a in range(group.free.size):
        t = group.free[a]
        if t >= 2 * n:
            continue
        k = t // 2
        r = group.prior[k, RADIUS]
        paired = a + 1 < group.free.size and group.free[a + 1] == t + 1 and t % 2 == 0
        if paired:
            dx = trial[a] - group.prior[k, CENTER_X]
            dy = trial[a + 1] - group.prior[k, CENTER_Y]
            d = math.sqrt(dx * dx + dy * dy)
            if d > r:
                trial[a] = group.prior[k, CENTER_X] + dx * r / d
                trial[a + 1] = group.prior[k, CENTER_Y] + dy * r / d
        elif not (t % 2 == 1 and a > 0 and group.free[a - 1] == t - 1):
            d = trial[a] - group.prior[k, CENTER_X + t % 2]
            if abs(d) > r:
                trial[a] = group.prior[k, CENTER_X + t % 2] + math.copysign(r, d)


@compiled
def fit_group(group, work, max_iterations, tolerance, fisher, flux, sky, chi2):
    """Fit one group from the scratch's start; return (status, iterations).

    On return ``fisher`` is the joint matrix at the optimum, ``chi2[0]`` the data's chi-squared,
    and the scratch holds the optimum. ``tolerance`` is the largest remaining step in units of
    the parameters' formal errors.
    """
    n = group.n_source
    n_sky = group.n_sky
    n_free = group.free.size
    n_linear = n_sky + (n if group.flux_free == 1 else 0)
    size = n_linear + n_free
    n_all = N_COLUMN * n + n_sky
    columns = allocate_columns(group.window)
    gram = np.zeros((n_all, n_all))
    products = np.empty(n_all)
    score = np.empty(size)
    damped = np.empty((size, size))
    factor = np.empty((size, size))
    step = np.empty(size)
    theta = np.empty(n_free)
    trial = np.empty(n_free)
    n_used = np.int64(3)
    for a in range(n_free):
        if group.free[a] >= 2 * n:
            n_used = 4
    gather_theta(group.free, work.state, theta)
    best, _ = solve_linear(group, work)
    if best == -np.inf:
        return DEGENERATE, 0
    read_linear(group, work, flux, sky)
    damping = 1e-4
    status = ITERATION_LIMIT
    iterations = 0
    finished = n_free == 0
    if finished:
        status = CONVERGED
    prior = log_prior_or_zero(group, work)
    while True:
        fill_columns(group.window, work.state, columns)
        fill_gram(
            group.planes, group.window, group.sky, columns, n_used, gram, products
        )
        fill_fisher(group, work.state, flux, sky, gram, products, fisher, score)
        if finished or iterations >= max_iterations:
            break
        iterations += 1
        moved = False
        for _attempt in range(12):
            for p in range(size):
                for q in range(p + 1):
                    damped[p, q] = fisher[p, q]
                if p >= n_linear:
                    damped[p, p] = fisher[p, p] * (1.0 + damping) + 1e-300
            if not factor_cholesky_into(damped, size, factor):
                damping = max(10.0 * damping, 1e-3)
                continue
            solve_cholesky_into(factor, size, score, step)
            clip_to_disc(group, theta, trial, step[n_linear:], np.float64(1.0))
            scatter_theta(trial, group.free, work.state)
            value, _ = solve_linear(group, work)
            value_prior = log_prior_or_zero(group, work)
            if value + value_prior >= best + prior - 1e-13 * abs(best):
                moved = True
                break
            damping *= 8.0
        if not moved:
            # No damping finds a better place: the optimum to rounding.
            scatter_theta(theta, group.free, work.state)
            solve_linear(group, work)
            finished = True
            status = CONVERGED
            continue
        largest = 0.0
        for a in range(n_free):
            d = abs(trial[a] - theta[a]) * math.sqrt(fisher[n_linear + a, n_linear + a])
            largest = max(largest, d)
            theta[a] = trial[a]
        gain = value + value_prior - best - prior
        best = value
        prior = value_prior
        read_linear(group, work, flux, sky)
        damping = max(0.1 * damping, 1e-9)
        if largest < tolerance or (gain < 1e-3 * tolerance * tolerance and largest < 0.1):
            finished = True
            status = CONVERGED
    chi2[0] = _sum_chi2(group, flux, sky, gram, products)
    return status, iterations


@borrowing
def log_prior_or_zero(group, work):
    """Return the log prior; 0 where only an order or a rim is broken (the fit may cross them)."""
    s = log_prior(work.state, group.prior, group.pairs, group.n_shape)
    return 0.0 if s == -np.inf else s


@borrowing
def _sum_chi2(group, flux, sky, gram, products):
    """Return sum w (d - model)^2 from the Gram matrix."""
    n = group.n_source
    n_sky = group.n_sky
    s = group.chi2_data
    n_linear = n + n_sky
    for p in range(n_linear):
        i = N_COLUMN * p if p < n else N_COLUMN * n + p - n
        v = flux[p] if p < n else sky[p - n]
        s -= 2.0 * v * products[i]
        for q in range(n_linear):
            j = N_COLUMN * q if q < n else N_COLUMN * n + q - n
            u = flux[q] if q < n else sky[q - n]
            s += v * u * gram[i, j]
    return max(s, 0.0)


@compiled
def invert_fisher_into(fisher, n, covariance):
    """Fill the inverse of a Fisher matrix; return False, and infinities, where it is singular.

    The matrix is scaled to a unit diagonal first. A pivot below 1e-11 means that a direction is
    not determined: such a fit has no finite covariance.
    """
    scale = np.empty(n)
    scaled = np.empty((n, n))
    factor = np.empty((n, n))
    good = True
    for i in range(n):
        if not fisher[i, i] > 0.0:
            good = False
            scale[i] = 1.0
        else:
            scale[i] = 1.0 / math.sqrt(fisher[i, i])
    if good:
        for i in range(n):
            for j in range(i + 1):
                scaled[i, j] = fisher[i, j] * scale[i] * scale[j]
        good = factor_cholesky_into(scaled, n, factor)
    if good:
        for i in range(n):
            if factor[i, i] * factor[i, i] < 1e-11:
                good = False
    column = np.empty(n)
    for c in range(n):
        for i in range(n):
            column[i] = 0.0
        if good:
            column[c] = 1.0
            solve_cholesky_into(factor, n, column, column)
        for i in range(n):
            if good:
                covariance[i, c] = column[i] * scale[i] * scale[c]
            else:
                covariance[i, c] = np.inf
    return good


@compiled
def conditional_flux_variance(group, fisher, k):
    """Return the variance of flux k with its mates' positions and fluxes held fixed.

    Own position and shape, shared shape and sky stay free (inf where not determined).
    """
    n = group.n_source
    n_sky = group.n_sky
    n_linear = n + n_sky
    keep = np.empty(n_linear + group.free.size, np.int64)
    keep[0] = k
    m = np.int64(1)
    for e in range(n_sky):
        keep[m] = n + e
        m += 1
    for a in range(group.free.size):
        t = group.free[a]
        own = t >= 3 * n or t == 2 * n + k or (t < 2 * n and t // 2 == k)
        if own:
            keep[m] = n_linear + a
            m += 1
    part = np.empty((m, m))
    inverse = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            part[i, j] = fisher[keep[i], keep[j]]
    if not invert_fisher_into(part, m, inverse):
        return np.inf
    return inverse[0, 0]
