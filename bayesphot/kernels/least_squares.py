"""Levenberg-Marquardt with the linear parameters eliminated (variable projection).

Golub & Pereyra 1973; the step is Kaufman's (1975): the joint Gauss-Newton step taken at the
linear parameters' conditional optimum, where their score vanishes.
"""

import math

import numpy as np

from .cache import borrowing
from .density import solve_linear
from .gram import (
    count_columns,
    fill_columns,
    fill_fisher,
    fill_gram,
    project_residual,
)
from .group import find_owner, gather_theta, log_normal_priors, scatter_theta
from .linalg import factor_cholesky_into, invert_cholesky_into, solve_cholesky_into
from .structs import (
    CENTER_X,
    CENTER_Y,
    CONVERGED,
    DEGENERATE,
    FLUX,
    ITERATION_LIMIT,
    MEAN,
    RADIUS,
    VALUE,
)


@borrowing
def read_linear(group, work, linear):
    """Copy the solved linear parameters to (fluxes, shared); known fluxes stay as they are."""
    n = group.n_source
    mean = work.vector[MEAN]
    first = 0
    if group.flux_free == 1:
        for k in range(n):
            linear[k] = mean[k]
        first = n
    else:
        for k in range(n):
            linear[k] = work.state[k, FLUX]
    for e in range(group.n_shared):
        linear[n + e] = mean[first + e]


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


@borrowing
def fit_group(group, work, max_iterations, tolerance, columns, gram, products, square, row):
    """Fit one group from the scratch's start; return (status, iterations, chi-squared).

    On return ``square[0]`` is the joint Fisher matrix at the optimum, ``work.vector[VALUE]``
    the fluxes and the shared values, and ``work.state`` the optimum. ``tolerance`` is the largest
    remaining step in units of the parameters' formal errors. Scratch: ``gram`` and ``products``
    of the ``columns``, three matrices and five vectors of the joint parameters.
    """
    n = group.n_source
    n_free = group.free.size
    n_linear = group.n_shared + (n if group.flux_free == 1 else 0)
    size = n_linear + n_free
    fisher = square[0]
    damped = square[1]
    factor = square[2]
    score = row[0]
    step = row[1]
    theta = row[2, :n_free]
    trial = row[3, :n_free]
    linear = work.vector[VALUE]
    n_used = count_columns(group)
    gather_theta(group.free, work.state, theta)
    # A shared shape takes the first source's start.
    scatter_theta(theta, group.free, work.state)
    best, _ = solve_linear(group, work)
    if best == -np.inf:
        return DEGENERATE, 0, 0.0
    read_linear(group, work, linear)
    prior = log_normal_priors(work.state, group.prior, group.n_shape)
    damping = 1e-4
    status = ITERATION_LIMIT
    iterations = 0
    finished = n_free == 0
    if finished:
        status = CONVERGED
    while True:
        fill_columns(group, work, n_used, columns)
        fill_gram(group, columns, n_used, work.unit[n], gram, products)
        fill_fisher(group, work.state, linear, gram, products, fisher, score)
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
            clip_to_disc(group, theta, trial, step[n_linear:], 1.0)
            scatter_theta(trial, group.free, work.state)
            value, _ = solve_linear(group, work)
            value_prior = log_normal_priors(work.state, group.prior, group.n_shape)
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
        read_linear(group, work, linear)
        damping = max(0.1 * damping, 1e-9)
        if largest < tolerance or (gain < 1e-3 * tolerance * tolerance and largest < 0.1):
            finished = True
            status = CONVERGED
    return status, iterations, _sum_chi2(group, linear, gram, products)


@borrowing
def _sum_chi2(group, linear, gram, products):
    """Return sum w (d - model)^2 = sum w d^2 - sum_i v_i (C_i^T W d + C_i^T W (d - model))."""
    n = group.n_source
    n_column = group.n_column
    s = group.chi2_data
    for p in range(linear.size):
        i = n_column * p if p < n else n_column * n + p - n
        left = project_residual(gram, products, linear, n, n_column, i)
        s -= linear[p] * (products[i] + left)
    return max(s, 0.0)


@borrowing
def invert_fisher_into(fisher, n, scale, scaled, factor, covariance):
    """Fill the inverse of a Fisher matrix; return False, and infinities, where it is singular.

    The matrix is scaled to a unit diagonal first. A pivot below 1e-11 means that a direction is
    not determined: such a fit has no finite covariance.
    """
    good = True
    for i in range(n):
        good = good and fisher[i, i] > 0.0
        scale[i] = 1.0 / math.sqrt(fisher[i, i]) if good else 1.0
    if good:
        for i in range(n):
            for j in range(i + 1):
                scaled[i, j] = fisher[i, j] * scale[i] * scale[j]
        good = factor_cholesky_into(scaled, n, factor)
    for i in range(n):
        good = good and factor[i, i] * factor[i, i] >= 1e-11
    if good:
        invert_cholesky_into(factor, n, scaled)
    for i in range(n):
        for j in range(n):
            covariance[i, j] = scaled[i, j] * scale[i] * scale[j] if good else np.inf
    return good


@borrowing
def conditional_flux_variance(group, fisher, k, scale, part, scaled, factor):
    """Return the variance of flux k with its mates' positions and fluxes held fixed.

    Own position and shape, shared shape and columns stay free (inf where not determined): the
    inverse's first entry after dropping the mates' rows and columns.
    """
    n = group.n_source
    n_linear = n + group.n_shared
    m = np.int64(0)
    for p in range(n_linear + group.free.size):
        if not _is_own(group, p, k):
            continue
        l = 0
        for q in range(p + 1):
            if _is_own(group, q, k):
                part[m, l] = fisher[p, q]
                l += 1
        m += 1
    if not invert_fisher_into(part, m, scale, scaled, factor, part):
        return np.inf
    return part[0, 0]


@borrowing
def _is_own(group, p, k):
    """Return whether joint parameter p is not a mate's of source k."""
    n = group.n_source
    if p < n:
        return p == k
    if p < n + group.n_shared:
        return True
    t = group.free[p - n - group.n_shared]
    if t < 2 * n:
        return t // 2 == k
    owner = find_owner(t, n, group.n_column)
    return owner < 0 or owner == k
