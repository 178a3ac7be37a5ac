"""Densities of many parameter vectors of one group: what ensemble samplers call."""

import numpy as np

from .cache import compiled
from .density import fill_linear_system, log_density
from .group import allocate_work, log_nonlinear_prior, scatter_theta, unpack_group
from .noise import is_exact, log_exact_over_normal
from .structs import (
    FLUX,
    FLUX_FLOOR,
    FLUX_MEAN,
    FLUX_PRECISION,
    RHS,
    SHARED_MEAN,
    SHARED_PRECISION,
)


@compiled
def fill_log_densities(batch, g, thetas, out):
    """Fill the collapsed log density of group g at each row of nonlinear parameters."""
    group = unpack_group(batch, g)
    work = allocate_work(batch, g, group)
    for m in range(thetas.shape[0]):
        out[m] = log_density(thetas[m], group, work)


@compiled
def fill_joint_densities(batch, g, vectors, out):
    """Fill the joint log density of group g at each row (nonlinear, then linear parameters).

    log p = f^T r - f^T M f / 2 - sum precision (f - mean)^2 / 2 + log prior(nonlinear), with M
    and r the normal matrix and right-hand side of the linear parameters f; -inf below a floor.
    Noise and priors that are not normal enter by their ratio to the normal ones.
    """
    group = unpack_group(batch, g)
    work = allocate_work(batch, g, group)
    n_free = group.free.size
    n = group.n_source
    n_linear = n + group.n_shared
    value = np.empty(n_linear)
    for m in range(vectors.shape[0]):
        out[m] = -np.inf
        scatter_theta(vectors[m, :n_free], group.free, work.state)
        s = log_nonlinear_prior(group, work.state)
        if s == -np.inf:
            continue
        first = n_free
        inside = True
        for k in range(n):
            if group.flux_free == 1:
                value[k] = vectors[m, first]
                first += 1
                d = value[k] - group.prior[k, FLUX_MEAN]
                s -= 0.5 * d * d * group.prior[k, FLUX_PRECISION]
                inside = inside and value[k] >= group.prior[k, FLUX_FLOOR]
            else:
                value[k] = work.state[k, FLUX]
        if not inside:
            continue
        for e in range(group.n_shared):
            value[n + e] = vectors[m, first + e]
            d = value[n + e] - group.shared[e, SHARED_MEAN]
            s -= 0.5 * d * d * group.shared[e, SHARED_PRECISION]
        fill_linear_system(group, work)
        for i in range(n_linear):
            s += value[i] * (work.vector[RHS, i] - 0.5 * value[i] * work.system[i, i])
            for j in range(i):
                s -= value[i] * value[j] * work.system[i, j]
        if not is_exact(group):
            s += log_exact_over_normal(group, work, value)
        out[m] = s
