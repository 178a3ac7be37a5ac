"""Gradient of the collapsed density and the normal approximation at its mode.

With mu the conditional mean of the linear parameters, M their precision and B_a the products of
nonlinear column a with the linear columns,
    d log p / d theta_a = f_k (D_a^T W (d - model(mu))) - tr(M^-1 dM/dtheta_a) / 2,
    tr(M^-1 dM/dtheta_a) / 2 = sum_k sum_i (M^-1)_ki B_(k,a),i.
"""

import math

import numpy as np

from .cache import borrowing
from .density import solve_linear
from .gram import count_columns, fill_columns, fill_gram, project_residual
from .group import (
    find_owner,
    find_shape,
    log_nonlinear_prior,
    pull_shape,
    scatter_theta,
)
from .least_squares import clip_to_disc, read_linear
from .linalg import factor_cholesky_into, invert_cholesky_into, solve_cholesky_into
from .structs import (
    CENTER_X,
    N_SHAPE_PRIOR,
    PRECISION_X,
    RADIUS,
    SHAPE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    VALUE,
)


@borrowing
def log_density_gradient(theta, group, work, columns, gram, products, gradient):
    """Return the collapsed log density and fill its gradient (rims and orders left out)."""
    n = group.n_source
    scatter_theta(theta, group.free, work.state)
    q, logdet = solve_linear(group, work)
    if q == -np.inf:
        return -np.inf
    n_linear = group.n_shared + (n if group.flux_free == 1 else 0)
    linear = work.vector[VALUE]
    read_linear(group, work, linear)
    # The normal matrix is not needed any more: its room takes the inverse.
    inverse = work.system
    invert_cholesky_into(work.factor, n_linear, inverse)
    n_used = count_columns(group)
    fill_columns(group, work, n_used, columns)
    fill_gram(group, columns, n_used, work.unit[n], gram, products)
    prior = 0.0
    for a in range(group.free.size):
        t = group.free[a]
        # A shape shared by all sources sums their parts; a parameter of its own has one.
        first = 0
        last = n
        if t < 2 * n:
            first = t >> 1
            last = first + 1
            c = 1 + (t & 1)
            d = work.state[first, t & 1] - group.prior[first, CENTER_X + (t & 1)]
            pull = d * group.prior[first, PRECISION_X + (t & 1)]
        else:
            owner = find_owner(t, n, group.n_column)
            if owner >= 0:
                first = owner
                last = first + 1
            j = find_shape(t, n, group.n_column)
            c = SHAPE + j
            d = work.state[first, c] - group.prior[first, SHAPE_MEAN + N_SHAPE_PRIOR * j]
            pull = pull_shape(work.state[first], group.prior[first], j)
        s = 0.0
        for k in range(first, last):
            i = group.n_column * k + c
            s += _score_column(group, k, i, linear, gram, products, inverse)
        gradient[a] = s - pull
        prior -= 0.5 * pull * d
    return q - logdet + prior


@borrowing
def _score_column(group, k, i, linear, gram, products, inverse):
    """Return the part of the gradient that source k's column i brings."""
    n = group.n_source
    n_column = group.n_column
    s = linear[k] * project_residual(gram, products, linear, n, n_column, i)
    if group.flux_free == 1:
        for l in range(n):
            s -= inverse[k, l] * gram[i, n_column * l]
        for e in range(group.n_shared):
            s -= inverse[k, n + e] * gram[i, n_column * n + e]
    return s


@borrowing
def fill_laplace(
    group, work, theta, guess, newton_steps, columns, gram, products, row, hessian, factor
):
    """Move theta to the mode of the collapsed density; fill minus its Hessian and its factor.

    ``guess`` holds approximate precisions of theta (from the Fisher matrix), which set the
    steps of the central differences. A tenth of the disc's own precision keeps directions the
    data do not hold from running away. ``row`` is scratch: six vectors like theta. Returns the
    number of evaluations, -1 where there is no mode.
    """
    n = group.n_source
    n_free = theta.size
    gradient = row[0, :n_free]
    plus = row[1, :n_free]
    minus = row[2, :n_free]
    step = row[3, :n_free]
    trial = row[4, :n_free]
    floor = row[5, :n_free]
    for a in range(n_free):
        t = group.free[a]
        floor[a] = 0.0
        if t >= 2 * n:
            j = find_shape(t, n, group.n_column)
            floor[a] = group.prior[0, SHAPE_PRECISION + N_SHAPE_PRIOR * j]
        elif group.prior[t // 2, RADIUS] < np.inf:
            floor[a] = 4.0 / (group.prior[t // 2, RADIUS] * group.prior[t // 2, RADIUS])
    value = log_density_gradient(theta, group, work, columns, gram, products, gradient)
    if value == -np.inf:
        return -1
    count = 1
    for iteration in range(newton_steps + 1):
        for a in range(n_free):
            h = 0.05 / math.sqrt(max(guess[a], floor[a]) + 1e-300)
            h = min(max(h, 1e-4), 0.05)
            saved = theta[a]
            theta[a] = saved + h
            log_density_gradient(theta, group, work, columns, gram, products, plus)
            theta[a] = saved - h
            log_density_gradient(theta, group, work, columns, gram, products, minus)
            theta[a] = saved
            for b in range(n_free):
                hessian[b, a] = -(plus[b] - minus[b]) / (2.0 * h)
        count += 2 * n_free
        for a in range(n_free):
            for b in range(a):
                mid = 0.5 * (hessian[a, b] + hessian[b, a])
                hessian[a, b] = mid
                hessian[b, a] = mid
            hessian[a, a] += 0.5 * floor[a] if group.free[a] < 2 * n else 0.0
        if not _make_positive(hessian, guess, floor, n_free, factor):
            return -1
        if iteration == newton_steps:
            break
        solve_cholesky_into(factor, n_free, gradient, step)
        decrement = 0.0
        for a in range(n_free):
            decrement += step[a] * gradient[a]
        if decrement < 1e-2:
            break
        # The longest of a few shortened steps that raises the density; none: stay.
        higher = value
        scale = 1.0
        for _attempt in range(6):
            clip_to_disc(group, theta, trial, step, scale)
            scatter_theta(trial, group.free, work.state)
            scale *= 0.4
            if log_nonlinear_prior(group, work.state) == -np.inf:
                continue
            count += 1
            higher = log_density_gradient(trial, group, work, columns, gram, products, gradient)
            if higher > value:
                break
        if not higher > value:
            break
        value = higher
        for a in range(n_free):
            theta[a] = trial[a]
    return count


@borrowing
def _make_positive(hessian, guess, floor, n, factor):
    """Add to the diagonal until the matrix is positive definite; leave its Cholesky factor."""
    share = 0.05
    for _attempt in range(40):
        if factor_cholesky_into(hessian, n, factor):
            return True
        for a in range(n):
            hessian[a, a] += share * (guess[a] + floor[a]) + 1e-9
        share *= 1.6
    return False
