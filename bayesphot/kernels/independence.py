"""Independence Metropolis-Hastings on the collapsed posterior (Tierney 1994).

Proposals are multivariate Student t around one or two centres, for a single source mixed with a
uniform draw in its disc. The state is (positions and shapes, linear parameters): the linear ones
are drawn from their exact conditional normal at every step, repeats included, so that only their
floors (a truncation) enter the acceptance.
"""

import math

import numpy as np

from .cache import borrowing, compiled
from .density import log_density
from .linalg import solve_upper_into
from .random import draw_gamma, draw_normal, draw_uniform
from .structs import CENTER_X, CENTER_Y, FLUX_FLOOR, MEAN, RADIUS

#: Share of proposals drawn uniformly in the disc of a single source.
_DISC_SHARE = 0.1


@borrowing
def _log_student(theta, center, factor, log_norm, dof):
    """Return the log density of a Student t with precision factor L L^T."""
    n = center.size
    q = 0.0
    for i in range(n):
        v = 0.0
        for j in range(i, n):
            v += factor[j, i] * (theta[j] - center[j])
        q += v * v
    return log_norm - 0.5 * (dof + n) * math.log1p(q / dof)


@borrowing
def student_norm(factor, n, dof):
    """Return the log normalisation of a Student t with precision factor L L^T."""
    s = math.lgamma(0.5 * (dof + n)) - math.lgamma(0.5 * dof) - 0.5 * n * math.log(dof * math.pi)
    for i in range(n):
        s += math.log(factor[i, i])
    return s


@borrowing
def _draw_linear(stream, prior, n_flux, factor, mean, noise, value):
    """Draw linear parameters from N(mean, (L L^T)^-1); return whether all floors hold."""
    n_linear = value.size
    for i in range(n_linear):
        noise[i] = draw_normal(stream)
    solve_upper_into(factor, n_linear, noise, value)
    for i in range(n_linear):
        value[i] += mean[i]
    for k in range(n_flux):
        if value[k] < prior[k, FLUX_FLOOR]:
            return False
    return True


@compiled
def sample_group(
    group, work, centers, factors, dof, n_chain, n_draw, thin, n_burn, stream, out, log_weight
):
    """Run the chains; return the share of accepted proposals, -1 where none could start.

    Parameters
    ----------
    centers, factors : (m, D), (m, D, D)
        Equally weighted Student t components: centre and Cholesky factor of the precision.
    out : (D + L, n_chain * n_draw)
        Draws: free nonlinear parameters, then free linear ones.
    log_weight : (n_chain * n_draw * thin)
        Log importance weights of the proposals, NaN where not used.
    n_burn : int
        Steps before the first kept one, at least 1 in each chain.
    """
    n_free = group.free.size
    n = group.n_source
    n_sky = group.n_sky
    n_flux = n if group.flux_free == 1 else 0
    n_linear = n_sky + n_flux
    n_center = centers.shape[0]
    theta = np.empty(n_free)
    state = np.empty(n_free)
    normal = np.empty(n_free)
    offset = np.empty(n_free)
    noise = np.empty(n_linear)
    linear = np.empty(n_linear)
    kept = np.empty(n_linear)
    kept_factor = np.zeros((n_linear, n_linear))
    kept_mean = np.zeros(n_linear)
    norms = np.empty(n_center)
    for c in range(n_center):
        norms[c] = student_norm(factors[c], n_free, dof)
    # Only where both coordinates of one lone source are free is the disc worth a share.
    disc = n == 1 and n_free >= 2 and group.free[1] == 1 and group.prior[0, RADIUS] < np.inf
    disc = disc and n_center == 1
    disc_density = 0.0
    if disc:
        disc_density = 1.0 / (math.pi * group.prior[0, RADIUS] * group.prior[0, RADIUS])
    accepted = 0
    used = 0
    for chain in range(n_chain):
        current = -np.inf
        n_step = n_draw * thin
        step = -n_burn
        misses = 0
        while step < n_step:
            component = 0
            if n_center > 1:
                component = min(int(draw_uniform(stream) * n_center), n_center - 1)
            scale = math.sqrt(0.5 * dof / draw_gamma(stream, 0.5 * dof))
            for i in range(n_free):
                normal[i] = draw_normal(stream) * scale
            solve_upper_into(factors[component], n_free, normal, offset)
            for i in range(n_free):
                theta[i] = centers[component, i] + offset[i]
            if disc and draw_uniform(stream) < _DISC_SHARE:
                r = group.prior[0, RADIUS] * math.sqrt(draw_uniform(stream))
                angle = 2.0 * math.pi * draw_uniform(stream)
                theta[0] = group.prior[0, CENTER_X] + r * math.cos(angle)
                theta[1] = group.prior[0, CENTER_Y] + r * math.sin(angle)
            weight = log_density(theta, group, work)
            inside = False
            if weight > -np.inf:
                weight -= _log_proposal(
                    theta, centers, factors, norms, dof, disc, disc_density
                )
                inside = _draw_linear(
                    stream, group.prior, n_flux, work.factor, work.vector[MEAN], noise, linear)
                if not inside:
                    weight = -np.inf
            if step >= 0:
                log_weight[used] = weight
                used += 1
            if current == -np.inf and not inside:
                # Still in the burn-in: no state to stay at.
                misses += 1
                if misses > 1000 * (n_burn + 1):
                    return -1.0
                continue
            if inside and (weight >= current or math.log(draw_uniform(stream)) < weight - current):
                current = weight
                if step >= 0:
                    accepted += 1
                for i in range(n_free):
                    state[i] = theta[i]
                for i in range(n_linear):
                    kept[i] = linear[i]
                    kept_mean[i] = work.vector[MEAN, i]
                    for j in range(i + 1):
                        kept_factor[i, j] = work.factor[i, j]
            elif _draw_linear(
                stream, group.prior, n_flux, kept_factor, kept_mean, noise, linear):
                for i in range(n_linear):
                    kept[i] = linear[i]
            if step >= 0 and step % thin == thin - 1:
                column = chain * n_draw + step // thin
                for i in range(n_free):
                    out[i, column] = state[i]
                for i in range(n_linear):
                    out[n_free + i, column] = kept[i]
            step += 1
    for i in range(used, log_weight.size):
        log_weight[i] = np.nan
    return accepted / max(used, 1)


@borrowing
def _log_proposal(theta, centers, factors, norms, dof, disc, disc_density):
    """Return the log density of the proposal mixture at theta.

    In the disc component a shape keeps its Student t draw: the product of the disc and of the
    t marginal of the last coordinate, whose scale is 1 / L[-1, -1].
    """
    n_center = centers.shape[0]
    n_free = theta.size
    top = _log_student(theta, centers[0], factors[0], norms[0], dof)
    if n_center > 1:
        s = 1.0
        for c in range(1, n_center):
            other = _log_student(theta, centers[c], factors[c], norms[c], dof)
            if other > top:
                s = s * math.exp(top - other) + 1.0
                top = other
            else:
                s += math.exp(other - top)
        top += math.log(s / n_center)
    if disc:
        uniform = disc_density
        if n_free == 3:
            width = factors[0, 2, 2]
            z = (theta[2] - centers[0, 2]) * width
            uniform *= math.exp(
                math.lgamma(0.5 * (dof + 1.0))
                - math.lgamma(0.5 * dof)
                - 0.5 * math.log(dof * math.pi)
                - 0.5 * (dof + 1.0) * math.log1p(z * z / dof)
            ) * width
        top = math.log((1.0 - _DISC_SHARE) * math.exp(top) + _DISC_SHARE * uniform)
    return top
