"""Independence Metropolis-Hastings on the collapsed posterior (Tierney 1994).

Proposals are multivariate Student t around one or two centres, for a single source mixed with a
uniform draw in its disc. The state is (positions and shapes, linear parameters): the linear ones
are drawn from their conditional normal at every step, repeats included, so that only their
floors (a truncation) enter the acceptance. Where noise or priors are not normal they are proposed
from it, and the ratio of the exact density to the normal one enters too.
"""

import math

import numpy as np

from .cache import borrowing
from .density import log_density
from .group import find_owner, find_shape
from .linalg import factor_cholesky_into, solve_lower_into, solve_upper_into
from .noise import is_exact, log_exact_over_normal
from .random import draw_gamma, draw_normal, draw_uniform
from .structs import (
    CENTER_X,
    CENTER_Y,
    FLUX,
    FLUX_FLOOR,
    MEAN,
    N_SHAPE_PRIOR,
    PRECISION_X,
    RADIUS,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    VALUE,
)

#: Share of proposals drawn uniformly in the disc of a single faint source.
_DISC_SHARE = 0.1
#: Faint: the position's error is more than this share of the disc's radius (SNR below about 12).
#: A brighter one has no second mode in its disc, and every such proposal would be wasted.
_FAINT = 0.05
#: Standard deviations within which the other naming of a pair is looked for, and the least share
#: of the proposals that look for it.
_IN_REACH = 8.0
_LEAST_SHARE = 0.03


@borrowing
def log_student(theta, center, factor, log_norm, dof):
    """Return the log density of a Student t with precision factor L L^T."""
    n = center.size
    q = 0.0
    for i in range(n):
        v = 0.0
        for j in range(i, n):
            v += factor[j, i] * (theta[j] - center[j])
        q += v * v
    return log_norm - 0.5 * (dof + n) * math.log(1.0 + q / dof)


@borrowing
def student_norm(diagonal, dof):
    """Return the log normalisation of a Student t with the diagonal of its precision factor."""
    n = diagonal.size
    s = math.lgamma(0.5 * (dof + n)) - math.lgamma(0.5 * dof) - 0.5 * n * math.log(dof * math.pi)
    for i in range(n):
        s += math.log(diagonal[i])
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


@borrowing
def copy_linear(linear, work, n_flux, values):
    """Fill (fluxes, shared) from the free linear parameters; known fluxes stay as they are."""
    n = work.state.shape[0]
    for k in range(n):
        values[k] = linear[k] if n_flux > 0 else work.state[k, FLUX]
    for e in range(values.size - n):
        values[n + e] = linear[n_flux + e]


@borrowing
def sample_group(
    group,
    work,
    n_center,
    shares,
    centers,
    factors,
    dof,
    n_chain,
    n_draw,
    thin,
    n_burn,
    stream,
    row,
    norms,
    kept_factor,
    out,
    log_weight,
):
    """Run the chains; return the share of accepted proposals, -1 where none could start.

    Parameters
    ----------
    shares, centers, factors : (m), (m, D), (m, D, D)
        Student t components, the first ``n_center`` of them: weight in the mixture, centre and
        Cholesky factor of the precision.
    out : (D + L, n_chain * n_draw)
        Draws: free nonlinear parameters, then free linear ones.
    log_weight : (n_chain * n_draw * thin)
        Log importance weights of the proposals, NaN where not used.
    n_burn : int
        Steps before the first kept one, at least 1 in each chain.
    row, norms, kept_factor : (8, D + L), (m + 1), (L, L)
        Scratch.
    """
    n_free = group.free.size
    n_flux = group.n_source if group.flux_free == 1 else 0
    n_linear = group.n_shared + n_flux
    prior = group.prior
    mean = work.vector[MEAN]
    theta = row[0, :n_free]
    state = row[1, :n_free]
    normal = row[2, :n_free]
    offset = row[3, :n_free]
    noise = row[4, :n_linear]
    linear = row[5, :n_linear]
    kept = row[6, :n_linear]
    kept_mean = row[7, :n_linear]
    values = work.vector[VALUE]
    exact = is_exact(group)
    for c in range(n_center):
        for i in range(n_free):
            normal[i] = factors[c, i, i]
        norms[c] = math.log(shares[c]) + student_norm(normal, dof)
    # Only where both coordinates of one lone source are free is the disc worth a share.
    disc = group.n_source == 1 and n_center == 1 and n_free >= 2 and group.free[1] == 1
    disc = disc and prior[0, RADIUS] < np.inf
    if disc:
        least = min(factors[0, 0, 0], math.hypot(factors[0, 1, 0], factors[0, 1, 1]))
        disc = least * _FAINT * prior[0, RADIUS] < 1.0
    disc_density = 0.0
    if disc:
        disc_density = 1.0 / (math.pi * prior[0, RADIUS] * prior[0, RADIUS])
        if n_free > 2:
            norms[n_center] = student_norm(normal[2:], dof)
    accepted = 0
    used = 0
    column = 0
    for _chain in range(n_chain):
        current = -np.inf
        # Steps until the next kept one.
        wait = n_burn + thin
        end = column + n_draw
        misses = 0
        while column < end:
            component = choose_component(shares, n_center, stream)
            scale = math.sqrt(0.5 * dof / draw_gamma(stream, 0.5 * dof))
            for i in range(n_free):
                normal[i] = draw_normal(stream) * scale
            solve_upper_into(factors[component], n_free, normal, offset)
            for i in range(n_free):
                theta[i] = centers[component, i] + offset[i]
            if disc and draw_uniform(stream) < _DISC_SHARE:
                r = prior[0, RADIUS] * math.sqrt(draw_uniform(stream))
                angle = 2.0 * math.pi * draw_uniform(stream)
                theta[0] = prior[0, CENTER_X] + r * math.cos(angle)
                theta[1] = prior[0, CENTER_Y] + r * math.sin(angle)
            weight = log_density(theta, group, work)
            inside = False
            if weight > -np.inf:
                weight -= log_proposal(theta, n_center, centers, factors, norms, dof, disc_density)
                inside = _draw_linear(stream, prior, n_flux, work.factor, mean, noise, linear)
                if inside and not exact:
                    copy_linear(linear, work, n_flux, values)
                    weight += log_exact_over_normal(group, work, values)
                    inside = weight > -np.inf
                if not inside:
                    weight = -np.inf
            burnt = wait <= thin
            if burnt:
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
                if burnt:
                    accepted += 1
                for i in range(n_free):
                    state[i] = theta[i]
                for i in range(n_linear):
                    kept[i] = linear[i]
                    kept_mean[i] = mean[i]
                    for j in range(i + 1):
                        kept_factor[i, j] = work.factor[i, j]
            elif exact and _draw_linear(
                stream, prior, n_flux, kept_factor, kept_mean, noise, linear
            ):
                for i in range(n_linear):
                    kept[i] = linear[i]
            wait -= 1
            if wait == 0:
                for i in range(n_free):
                    out[i, column] = state[i]
                for i in range(n_linear):
                    out[n_free + i, column] = kept[i]
                column += 1
                wait = thin
    for i in range(used, log_weight.size):
        log_weight[i] = np.nan
    return accepted / max(used, 1)


@borrowing
def choose_component(shares, n_center, stream):
    """Return one of the components, by their shares."""
    if n_center == 1:
        return 0
    u = draw_uniform(stream)
    c = 0
    while c < n_center - 1 and u >= shares[c]:
        u -= shares[c]
        c += 1
    return c


@borrowing
def log_proposal(theta, n_center, centers, factors, norms, dof, disc_density):
    """Return the log density of the proposal mixture at theta.

    ``norms`` are the logs of the components' normalisations times their shares.
    In the disc component (where its density is not 0) shapes keep their Student t draw: the
    product of the disc and of the t marginal of the coordinates after the first two, whose
    precision has the factor L[2:, 2:] and whose norm is the last of ``norms``.
    """
    top = log_student(theta, centers[0], factors[0], norms[0], dof)
    if n_center > 1:
        s = 1.0
        for c in range(1, n_center):
            other = log_student(theta, centers[c], factors[c], norms[c], dof)
            if other > top:
                s = s * math.exp(top - other) + 1.0
                top = other
            else:
                s += math.exp(other - top)
        top += math.log(s)
    if disc_density > 0.0:
        uniform = disc_density
        if theta.size > 2:
            rest = factors[0, 2:, 2:]
            uniform *= math.exp(log_student(theta[2:], centers[0, 2:], rest, norms[n_center], dof))
        top = math.log((1.0 - _DISC_SHARE) * math.exp(top) + _DISC_SHARE * uniform)
    return top


@borrowing
def spread_proposal(group, narrow, center, factor):
    """Fill a proposal component as wide as the priors of positions and shapes.

    Its precisions are those of the discs (4 / r^2) or of the normal priors, or where there is
    neither, of the narrow component.
    """
    n = group.n_source
    for a in range(center.size):
        t = group.free[a]
        if t < 2 * n:
            k = t >> 1
            center[a] = group.prior[k, CENTER_X + (t & 1)]
            precision = group.prior[k, PRECISION_X + (t & 1)]
            precision += 4.0 / (group.prior[k, RADIUS] * group.prior[k, RADIUS])
        else:
            k = max(find_owner(t, n, group.n_column), 0)
            j = find_shape(t, n, group.n_column)
            center[a] = group.prior[k, SHAPE_MEAN + N_SHAPE_PRIOR * j]
            precision = group.prior[k, SHAPE_PRECISION + N_SHAPE_PRIOR * j]
        for b in range(a):
            factor[a, b] = 0.0
        factor[a, a] = math.sqrt(precision) if precision > 0.0 else abs(narrow[a, a])


@borrowing
def average_weights(log_weight):
    """Return the log of the mean of importance weights, and its standard error; NaN are left out.

    The weights being p / q with q normalised, that is the normalisation of p.
    """
    top = -np.inf
    n = 0
    for i in range(log_weight.size):
        if not math.isnan(log_weight[i]):
            n += 1
            top = max(top, log_weight[i])
    total = 0.0
    square = 0.0
    for i in range(log_weight.size):
        # Of -inf and NaN both: nothing to add.
        if log_weight[i] > -np.inf:
            w = math.exp(log_weight[i] - top)
            total += w
            square += w * w
    if not total > 0.0:
        return np.nan, np.nan
    mean = total / n
    return top + math.log(mean), math.sqrt(max(square / n - mean * mean, 0.0) / n) / mean


@borrowing
def swap_code(t, n, n_column, k, l):
    """Return the code of nonlinear parameter t with sources k and l exchanged."""
    if t < 2 * n:
        j = t >> 1
        if j == k:
            return 2 * l + (t & 1)
        if j == l:
            return 2 * k + (t & 1)
        return t
    owner = find_owner(t, n, n_column)
    if owner == k:
        return t + l - k
    if owner == l:
        return t + k - l
    return t


@borrowing
def find_code(free, t):
    """Return the place of a code among the free nonlinear parameters, -1 where it is not."""
    for a in range(free.size):
        if free[a] == t:
            return a
    return -1


@borrowing
def mirror_proposal(group, narrow, row, center, hessian, factor):
    """Fill a component about the other naming of a pair; return its share, 0 where there is none.

    ``narrow`` is the component about the mode: (center, Cholesky factor of the precision). Where
    the axis d of a pair stands nearly at right angles to that of its prior centres, s, both
    namings of its stars are in their order, d.s >= 0: the posterior has two pieces. The pair
    with the least z = (d.s) / sd(d.s) is named anew if that is below ``_IN_REACH``; of the share
    exp(-z^2 / 8) / 2, wider than the piece is likely to be heavy, for posteriors are not normal.
    """
    n = group.n_source
    mode, lower = narrow
    n_free = mode.size
    slope = row[0, :n_free]
    half = row[1, :n_free]
    best = _IN_REACH
    chosen = -1
    for m in range(group.pairs.shape[0]):
        k = group.pairs[m, 0]
        l = group.pairs[m, 1]
        product = 0.0
        found = 0
        for a in range(n_free):
            t = group.free[a]
            slope[a] = 0.0
            if t < 2 * n and (t >> 1 == k or t >> 1 == l):
                s = group.prior[k, CENTER_X + (t & 1)] - group.prior[l, CENTER_X + (t & 1)]
                slope[a] = s if t >> 1 == k else -s
                product += slope[a] * mode[a]
                found += 1
        if found < 4:
            continue
        solve_lower_into(lower, n_free, slope, half)
        variance = 0.0
        for a in range(n_free):
            variance += half[a] * half[a]
        if product < best * math.sqrt(variance):
            best = product / math.sqrt(variance)
            chosen = m
    if chosen < 0:
        return 0.0
    k = group.pairs[chosen, 0]
    l = group.pairs[chosen, 1]
    for a in range(n_free):
        i = find_code(group.free, swap_code(group.free[a], n, group.n_column, k, l))
        center[a] = mode[i]
        for b in range(a + 1):
            j = find_code(group.free, swap_code(group.free[b], n, group.n_column, k, l))
            s = 0.0
            for c in range(min(i, j) + 1):
                s += lower[i, c] * lower[j, c]
            hessian[a, b] = s
    if not factor_cholesky_into(hessian, n_free, factor):
        return 0.0
    return max(_LEAST_SHARE, 0.5 * math.exp(-0.125 * max(best, 0.0) ** 2))
