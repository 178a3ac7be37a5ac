"""Densities of many parameter vectors of one group: what ensemble samplers call."""

import numpy as np

from .cache import compiled
from .density import fill_linear_system, log_density
from .group import allocate_work, log_prior, scatter_theta, unpack_group
from .structs import (
    FLUX,
    FLUX_FLOOR,
    FLUX_MEAN,
    FLUX_PRECISION,
    RHS,
    SKY_MEAN,
    SKY_PRECISION,
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
    """
    group = unpack_group(batch, g)
    work = allocate_work(batch, g, group)
    n_free = group.free.size
    n = group.n_source
    n_linear = n + group.n_sky
    value = np.empty(n_linear)
    for m in range(vectors.shape[0]):
        out[m] = -np.inf
        scatter_theta(vectors[m, :n_free], group.free, work.state)
        s = log_prior(work.state, group.prior, group.pairs, group.n_shape)
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
        for e in range(group.n_sky):
            value[n + e] = vectors[m, first + e]
            d = value[n + e] - group.sky[e, SKY_MEAN]
            s -= 0.5 * d * d * group.sky[e, SKY_PRECISION]
        fill_linear_system(group, work)
        for i in range(n_linear):
            s += value[i] * (work.vector[RHS, i] - 0.5 * value[i] * work.system[i, i])
            for j in range(i):
                s -= value[i] * value[j] * work.system[i, j]
        out[m] = s
