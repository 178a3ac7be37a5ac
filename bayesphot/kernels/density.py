"""The collapsed log density: linear parameters integrated out exactly.

With Phi the columns (unit sources, shared), W the weights and S0 the prior covariance,
    M = Phi^T W Phi + S0^-1,  mu = M^-1 (Phi^T W d + S0^-1 mu0),
    log p(d | x, y, a) = mu^T M mu / 2 - log|M| / 2 + const.
"""

import numpy as np

from .cache import borrowing
from .group import log_nonlinear_prior, scatter_theta
from .linalg import factor_cholesky_into, log_determinant, solve_cholesky_into
from .psf import fill_unit
from .structs import (
    FLUX,
    FLUX_MEAN,
    FLUX_PRECISION,
    MEAN,
    RHS,
    SHARED_GRAM,
    SHARED_MEAN,
    SHARED_PLANE,
    SHARED_PRECISION,
    SHARED_RHS,
    WEIGHT,
    WEIGHTED,
    PSFData,
)


@borrowing
def dot_common(window, k, l, mine, other):
    """Return the sum of products over the pixels that the windows of k and l share."""
    q0 = max(window[k, 0], window[l, 0])
    p0 = max(window[k, 2], window[l, 2])
    common = min(window[k, 3], window[l, 3]) - p0
    s = 0.0
    if common <= 0:
        return s
    width = window[k, 3] - window[k, 2]
    other_width = window[l, 3] - window[l, 2]
    a = (q0 - window[k, 0]) * width + p0 - window[k, 2]
    b = (q0 - window[l, 0]) * other_width + p0 - window[l, 2]
    for _row in range(min(window[k, 1], window[l, 1]) - q0):
        x = mine[a : a + common]
        y = other[b : b + common]
        for i in range(x.size):
            s += x[i] * y[i]
        a += width
        b += other_width
    return s


@borrowing
def fill_linear_system(group, work):
    """Fill the lower normal matrix and right-hand side of the linear parameters, no priors."""
    n = group.n_source
    n_shared = group.n_shared
    window = group.window
    system = work.system
    rhs = work.vector[RHS]
    for k in range(n):
        size = (window[k, 1] - window[k, 0]) * (window[k, 3] - window[k, 2])
        unit = work.unit[k, :size]
        numbers = group.tables[min(k, group.tables.shape[0] - 1)]
        psf = PSFData(group.psf.kind, group.psf.row, group.psf.column, numbers)
        fill_unit(psf, work.state[k], window[k], work.lines, unit)
        weight = group.planes[k, WEIGHT]
        weighted = group.planes[k, WEIGHTED]
        ff = 0.0
        fd = 0.0
        fs = 0.0
        # The first shared column rides along; without one its sum is not kept.
        first = group.planes[k, SHARED_PLANE if n_shared > 0 else WEIGHT]
        for p in range(size):
            f = unit[p]
            ff += weight[p] * f * f
            fd += weighted[p] * f
            fs += first[p] * f
        system[k, k] = ff
        rhs[k] = fd
        if n_shared > 0:
            system[n, k] = fs
        for e in range(1, n_shared):
            plane = group.planes[k, SHARED_PLANE + e]
            s = 0.0
            for p in range(size):
                s += plane[p] * unit[p]
            system[n + e, k] = s
        if k > 0:
            scaled = work.unit[n]
            for p in range(size):
                scaled[p] = weight[p] * unit[p]
            for l in range(k):
                system[k, l] = dot_common(window, k, l, scaled, work.unit[l])
    for e in range(n_shared):
        rhs[n + e] = group.shared[e, SHARED_RHS]
        for f in range(e + 1):
            system[n + e, n + f] = group.shared[e, SHARED_GRAM + f]


@borrowing
def _reduce_fixed_fluxes(n_shared, state, system, rhs):
    """Take known fluxes out of the system; return their part of the log density.

    Afterwards the first E rows of system and rhs are those of the shared columns alone.
    """
    n = state.shape[0]
    s = 0.0
    for k in range(n):
        s += state[k, FLUX] * (rhs[k] - 0.5 * state[k, FLUX] * system[k, k])
        for l in range(k):
            s -= state[k, FLUX] * state[l, FLUX] * system[k, l]
    for e in range(n_shared):
        r = rhs[n + e]
        for k in range(n):
            r -= system[n + e, k] * state[k, FLUX]
        rhs[e] = r
    for e in range(n_shared):
        for f in range(e + 1):
            system[e, f] = system[n + e, n + f]
    return s


@borrowing
def solve_linear(group, work):
    """Solve for the linear parameters; return (quadratic part, log |L|), -inf where singular.

    The quadratic part is mu^T M mu / 2 (plus the known fluxes' part); ``work.vector[MEAN]`` and
    ``work.factor`` hold mu and L of the free linear parameters.
    """
    n = group.n_source
    system = work.system
    rhs = work.vector[RHS]
    mean = work.vector[MEAN]
    fill_linear_system(group, work)
    for e in range(group.n_shared):
        precision = group.shared[e, SHARED_PRECISION]
        system[n + e, n + e] += precision
        rhs[n + e] += precision * group.shared[e, SHARED_MEAN]
    n_linear = n + group.n_shared
    q = 0.0
    if group.flux_free == 1:
        for k in range(n):
            precision = group.prior[k, FLUX_PRECISION]
            system[k, k] += precision
            rhs[k] += precision * group.prior[k, FLUX_MEAN]
    else:
        q = _reduce_fixed_fluxes(group.n_shared, work.state, system, rhs)
        n_linear = group.n_shared
    if not factor_cholesky_into(system, n_linear, work.factor):
        return -np.inf, 0.0
    solve_cholesky_into(work.factor, n_linear, rhs, mean)
    for i in range(n_linear):
        q += 0.5 * mean[i] * rhs[i]
    return q, log_determinant(work.factor, n_linear)


@borrowing
def log_density(theta, group, work):
    """Return the collapsed log posterior of the nonlinear parameters, without constants."""
    scatter_theta(theta, group.free, work.state)
    prior = log_nonlinear_prior(group, work.state)
    if prior == -np.inf:
        return -np.inf
    q, logdet = solve_linear(group, work)
    if q == -np.inf:
        return -np.inf
    return q - logdet + prior
