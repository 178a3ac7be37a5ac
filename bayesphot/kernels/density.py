"""The collapsed log density: linear parameters integrated out exactly.

With Phi the columns (unit sources, sky), W the weights and S0 the prior covariance,
    M = Phi^T W Phi + S0^-1,  mu = M^-1 (Phi^T W d + S0^-1 mu0),
    log p(d | x, y, a) = mu^T M mu / 2 - log|M| / 2 + const.
"""

import math

import numpy as np

from .cache import borrowing
from .gaussian import profile_into
from .group import log_prior, scatter_theta
from .linalg import factor_cholesky_into, log_determinant, solve_cholesky_into
from .structs import (
    FLUX,
    FLUX_MEAN,
    FLUX_PRECISION,
    LOG_SHAPE,
    MEAN,
    RHS,
    SKY_GRAM,
    SKY_MEAN,
    SKY_PLANE,
    SKY_PRECISION,
    SKY_RHS,
    WEIGHT,
    WEIGHTED,
)


@borrowing
def fill_linear_system(n_sky, planes, window, sky, state, profile, system, rhs):
    """Fill the lower normal matrix and right-hand side of the linear parameters, no priors."""
    n = state.shape[0]
    for k in range(n):
        r0 = window[k, 0]
        r1 = window[k, 1]
        c0 = window[k, 2]
        c1 = window[k, 3]
        sigma = math.exp(state[k, LOG_SHAPE])
        across = profile[0, k, : c1 - c0]
        down = profile[1, k, : r1 - r0]
        profile_into(state[k, 0], sigma, c0, across.size, across)
        profile_into(state[k, 1], sigma, r0, down.size, down)
        weight = planes[WEIGHT, r0:r1, c0:c1]
        weighted = planes[WEIGHTED, r0:r1, c0:c1]
        ff = 0.0
        fd = 0.0
        if n_sky > 0:
            # The first sky column rides along: one pass over the window instead of two.
            plane = planes[SKY_PLANE, r0:r1, c0:c1]
            fs = 0.0
            for j in range(down.size):
                s2 = 0.0
                sd = 0.0
                ss = 0.0
                for i in range(across.size):
                    f = across[i]
                    s2 += weight[j, i] * f * f
                    sd += weighted[j, i] * f
                    ss += plane[j, i] * f
                ff += down[j] * down[j] * s2
                fd += down[j] * sd
                fs += down[j] * ss
            system[n, k] = fs
        else:
            for j in range(down.size):
                s2 = 0.0
                sd = 0.0
                for i in range(across.size):
                    f = across[i]
                    s2 += weight[j, i] * f * f
                    sd += weighted[j, i] * f
                ff += down[j] * down[j] * s2
                fd += down[j] * sd
        system[k, k] = ff
        rhs[k] = fd
        for e in range(1, n_sky):
            plane = planes[SKY_PLANE + e, r0:r1, c0:c1]
            s = 0.0
            for j in range(down.size):
                t = 0.0
                for i in range(across.size):
                    t += plane[j, i] * across[i]
                s += t * down[j]
            system[n + e, k] = s
        for l in range(k):
            system[k, l] = _overlap(planes, window, profile, k, l)
    for e in range(n_sky):
        rhs[n + e] = sky[e, SKY_RHS]
        for f in range(e + 1):
            system[n + e, n + f] = sky[e, SKY_GRAM + f]


@borrowing
def _overlap(planes, window, profile, k, l):
    """Return the weighted product of two unit sources over the pixels both windows hold."""
    q0 = max(window[k, 0], window[l, 0])
    q1 = min(window[k, 1], window[l, 1])
    p0 = max(window[k, 2], window[l, 2])
    p1 = min(window[k, 3], window[l, 3])
    if q1 <= q0 or p1 <= p0:
        return 0.0
    width = p1 - p0
    ck = p0 - window[k, 2]
    cl = p0 - window[l, 2]
    rk = q0 - window[k, 0]
    rl = q0 - window[l, 0]
    ak = profile[0, k, ck : ck + width]
    al = profile[0, l, cl : cl + width]
    dk = profile[1, k, rk : rk + q1 - q0]
    dl = profile[1, l, rl : rl + q1 - q0]
    product = profile[0, profile.shape[1] - 1]
    for i in range(width):
        product[i] = ak[i] * al[i]
    weight = planes[WEIGHT, q0:q1, p0:p1]
    s = 0.0
    for j in range(weight.shape[0]):
        t = 0.0
        for i in range(weight.shape[1]):
            t += weight[j, i] * product[i]
        s += t * dk[j] * dl[j]
    return s


@borrowing
def _reduce_fixed_fluxes(n_sky, state, system, rhs):
    """Take known fluxes out of the system; return their part of the log density.

    Afterwards the first E rows of system and rhs are those of the sky alone.
    """
    n = state.shape[0]
    s = 0.0
    for k in range(n):
        s += state[k, FLUX] * (rhs[k] - 0.5 * state[k, FLUX] * system[k, k])
        for l in range(k):
            s -= state[k, FLUX] * state[l, FLUX] * system[k, l]
    for e in range(n_sky):
        r = rhs[n + e]
        for k in range(n):
            r -= system[n + e, k] * state[k, FLUX]
        rhs[e] = r
    for e in range(n_sky):
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
    fill_linear_system(
        group.n_sky, group.planes, group.window, group.sky, work.state, work.profile, system, rhs
    )
    for e in range(group.n_sky):
        precision = group.sky[e, SKY_PRECISION]
        system[n + e, n + e] += precision
        rhs[n + e] += precision * group.sky[e, SKY_MEAN]
    n_linear = n + group.n_sky
    q = 0.0
    if group.flux_free == 1:
        for k in range(n):
            precision = group.prior[k, FLUX_PRECISION]
            system[k, k] += precision
            rhs[k] += precision * group.prior[k, FLUX_MEAN]
    else:
        q = _reduce_fixed_fluxes(group.n_sky, work.state, system, rhs)
        n_linear = group.n_sky
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
    prior = log_prior(work.state, group.prior, group.pairs, group.n_shape)
    if prior == -np.inf:
        return -np.inf
    q, logdet = solve_linear(group, work)
    if q == -np.inf:
        return -np.inf
    return q - logdet + prior
