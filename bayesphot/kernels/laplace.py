"""Gradient of the collapsed density and the normal approximation at its mode.

With mu the conditional mean of the linear parameters, M their precision and B_a the products of
nonlinear column a with the linear columns,
    d log p / d theta_a = f_k (D_a^T W (d - model(mu))) - tr(M^-1 dM/dtheta_a) / 2,
    tr(M^-1 dM/dtheta_a) / 2 = sum_k sum_i (M^-1)_ki B_(k,a),i.
"""

import math

import numpy as np

from .cache import borrowing, compiled
from .density import log_density, solve_linear
from .gram import N_COLUMN, allocate_columns, fill_columns, fill_gram
from .group import log_prior, scatter_theta
from .least_squares import clip_to_disc, read_linear
from .linalg import factor_cholesky_into, invert_cholesky_into, solve_cholesky_into
from .structs import (
    CENTER_X,
    LOG_SHAPE,
    PRECISION_X,
    RADIUS,
    SHAPE_MEAN,
    SHAPE_PRECISION,
)


@compiled
def log_density_gradient(theta, group, work, columns, gram, products, gradient):
    """Return the collapsed log density and fill its gradient (rims and orders left out)."""
    n = group.n_source
    n_sky = group.n_sky
    scatter_theta(theta, group.free, work.state)
    q, logdet = solve_linear(group, work)
    if q == -np.inf:
        return -np.inf
    n_flux = n if group.flux_free == 1 else 0
    n_linear = n_flux + n_sky
    flux = np.empty(n)
    sky = np.empty(n_sky)
    read_linear(group, work, flux, sky)
    inverse = np.empty((n_linear, n_linear))
    invert_cholesky_into(work.factor, n_linear, inverse)
    n_used = np.int64(3)
    for a in range(group.free.size):
        if group.free[a] >= 2 * n:
            n_used = 4
    fill_columns(group.window, work.state, columns)
    fill_gram(group.planes, group.window, group.sky, columns, n_used, gram, products)
    prior = 0.0
    for a in range(group.free.size):
        t = group.free[a]
        s = 0.0
        if t < 2 * n:
            k = t // 2
            s = _column_score(group, k, 1 + t % 2, flux, sky, gram, products, inverse, n_flux)
            d = work.state[k, t % 2] - group.prior[k, CENTER_X + t % 2]
            precision = group.prior[k, PRECISION_X + t % 2]
        elif t < 3 * n:
            k = t - 2 * n
            s = _column_score(group, k, np.int64(3), flux, sky, gram, products, inverse, n_flux)
            d = work.state[k, LOG_SHAPE] - group.prior[k, SHAPE_MEAN]
            precision = group.prior[k, SHAPE_PRECISION]
        else:
            for k in range(n):
                s += _column_score(group, k, np.int64(3), flux, sky, gram, products, inverse, n_flux)
            d = work.state[0, LOG_SHAPE] - group.prior[0, SHAPE_MEAN]
            precision = group.prior[0, SHAPE_PRECISION]
        gradient[a] = s - precision * d
        prior -= 0.5 * precision * d * d
    return q - logdet + prior


@borrowing
def _column_score(group, k, c, flux, sky, gram, products, inverse, n_flux):
    """Return one source's part of the gradient for its column c."""
    n = group.n_source
    row = N_COLUMN * k + c
    s = products[row]
    for l in range(n):
        s -= gram[row, N_COLUMN * l] * flux[l]
    for e in range(group.n_sky):
        s -= gram[row, N_COLUMN * n + e] * sky[e]
    s *= flux[k]
    if n_flux > 0:
        for l in range(n):
            s -= inverse[k, l] * gram[row, N_COLUMN * l]
        for e in range(group.n_sky):
            s -= inverse[k, n + e] * gram[row, N_COLUMN * n + e]
    return s


@compiled
def fill_laplace(group, work, theta, guess, newton_steps, hessian):
    """Move theta to the mode of the collapsed density; fill minus its Hessian there.

    ``guess`` holds approximate precisions of theta (from the Fisher matrix), which set the
    steps of the central differences. A tenth of the disc's own precision keeps directions the
    data do not hold from running away. Returns the number of evaluations.
    """
    n = group.n_source
    n_free = theta.size
    columns = allocate_columns(group.window)
    n_all = N_COLUMN * n + group.n_sky
    gram = np.zeros((n_all, n_all))
    products = np.empty(n_all)
    gradient = np.empty(n_free)
    plus = np.empty(n_free)
    minus = np.empty(n_free)
    factor = np.empty((n_free, n_free))
    step = np.empty(n_free)
    trial = np.empty(n_free)
    floor = np.empty(n_free)
    for a in range(n_free):
        t = group.free[a]
        floor[a] = group.prior[0, SHAPE_PRECISION] if t >= 2 * n else 0.0
        if t < 2 * n and group.prior[t // 2, RADIUS] < np.inf:
            floor[a] = 4.0 / (group.prior[t // 2, RADIUS] * group.prior[t // 2, RADIUS])
    count = 0
    for iteration in range(newton_steps + 1):
        value = log_density_gradient(
            theta, group, work, columns, gram, products, gradient
        )
        if value == -np.inf:
            return -1
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
        count += 1 + 2 * n_free
        for a in range(n_free):
            for b in range(a):
                mid = 0.5 * (hessian[a, b] + hessian[b, a])
                hessian[a, b] = mid
                hessian[b, a] = mid
            hessian[a, a] += 0.5 * floor[a] if group.free[a] < 2 * n else 0.0
        _make_positive(hessian, guess, floor, n_free, factor)
        if iteration == newton_steps:
            break
        solve_cholesky_into(factor, n_free, gradient, step)
        decrement = 0.0
        for a in range(n_free):
            decrement += step[a] * gradient[a]
        if decrement < 1e-2:
            break
        scatter_theta(theta, group.free, work.state)
        if not _climb(group, work, theta, step, value, trial):
            break
        count += 1
    return count


@borrowing
def _make_positive(hessian, guess, floor, n, factor):
    """Add to the diagonal until the matrix is positive definite; leave its Cholesky factor."""
    share = 0.05
    for _attempt in range(40):
        if factor_cholesky_into(hessian, n, factor):
            return
        for a in range(n):
            hessian[a, a] += share * (guess[a] + floor[a]) + 1e-9
        share *= 1.6


@borrowing
def _climb(group, work, theta, step, value, trial):
    """Take the longest of a few shortened steps that raises the density; False if none does."""
    scale = 1.0
    for _attempt in range(6):
        clip_to_disc(group, theta, trial, step, scale)
        scatter_theta(trial, group.free, work.state)
        if log_prior(work.state, group.prior, group.pairs, group.n_shape) > -np.inf:
            if log_density(trial, group, work) > value:
                for a in range(theta.size):
                    theta[a] = trial[a]
                return True
        scale *= 0.4
    return False
