"""Moves of tempered swarms: of single particles and of the differences of two (Ter Braak 2006)."""

import math

import numpy as np

from .cache import borrowing
from .independence import find_code, swap_code
from .random import draw_normal, draw_uniform
from .structs import CENTER_X, CENTER_Y, RADIUS

#: Share of the exchanges that swap the names of the two stars and nothing else.
_NAMES = 0.2


@borrowing
def walk_along(theta, factor, scale, normal, trial, stream):
    """Propose along the swarm's covariance L L^T, a third of the steps a fifth as long."""
    n_free = theta.size
    if draw_uniform(stream) < 0.33:
        scale *= 0.2
    for i in range(n_free):
        normal[i] = draw_normal(stream) * scale
    for i in range(n_free):
        s = theta[i]
        for j in range(i + 1):
            s += factor[i, j] * normal[j]
        trial[i] = s


@borrowing
def add_difference(n, swarm, joint, trial, trial_score, stream):
    """Propose for particle n along the difference of two others (Ter Braak 2006).

    Scores move along, too, if ``joint``.
    """
    n_particle, n_free = swarm.theta.shape
    theta = swarm.theta[n]
    score = swarm.score[n]
    a = n
    b = n
    while a == n:
        a = min(int(draw_uniform(stream) * n_particle), n_particle - 1)
    while b == n or b == a:
        b = min(int(draw_uniform(stream) * n_particle), n_particle - 1)
    n_moved = n_free + score.size if joint else n_free
    # A tenth of the steps are whole differences: from one mode to another.
    gamma = 1.0
    if draw_uniform(stream) < 0.9:
        gamma = 2.38 / math.sqrt(2.0 * n_moved) * math.exp(0.5 * draw_normal(stream))
    for i in range(n_free):
        trial[i] = theta[i] + gamma * (swarm.theta[a, i] - swarm.theta[b, i])
    if joint:
        for i in range(score.size):
            trial_score[i] = score[i] + gamma * (swarm.score[a, i] - swarm.score[b, i])


@borrowing
def move_star(group, theta, spread, trial, stream):
    """Propose for one star given the others: near its place, or anywhere in its disc.

    Returns whether there was one whose position is free.
    """
    n = group.n_source
    k = min(int(draw_uniform(stream) * n), n - 1)
    radius = group.prior[k, RADIUS]
    anywhere = radius < np.inf and draw_uniform(stream) < 0.4
    r = radius * math.sqrt(draw_uniform(stream)) if anywhere else 0.0
    angle = 2.0 * math.pi * draw_uniform(stream)
    scale = math.exp(draw_normal(stream) - 0.7)
    both = False
    for i in range(1, theta.size):
        both = both or (group.free[i] == 2 * k + 1 and group.free[i - 1] == 2 * k)
    found = False
    for i in range(theta.size):
        trial[i] = theta[i]
        t = group.free[i]
        if t < 2 * n and t >> 1 == k:
            found = True
            # Uniform in the disc is symmetric only where both coordinates move.
            if anywhere and both:
                part = math.cos(angle) if t & 1 == 0 else math.sin(angle)
                trial[i] = group.prior[k, (CENTER_Y if t & 1 else CENTER_X)] + r * part
            else:
                trial[i] += scale * math.sqrt(spread[i, i]) * draw_normal(stream)
    return found


@borrowing
def _swap_names(group, theta, linear, trial, trial_linear, k, l):
    """Propose the other naming of two stars, mirrored so that it keeps their order.

    The names change, d -> -d, and with them the sign of d.s, s the axis of the prior centres; so
    the part along s is turned back, d -> -d + 2 (d.s) s / s^2, about the same centroid. The map is
    its own inverse and keeps volumes. Returns whether all four coordinates are free.
    """
    n = group.n_source
    for a in range(theta.size):
        b = find_code(group.free, swap_code(group.free[a], n, group.n_column, k, l))
        trial[a] = theta[b] if b >= 0 else theta[a]
    for i in range(linear.size):
        trial_linear[i] = linear[i]
    trial_linear[k] = linear[l]
    trial_linear[l] = linear[k]
    share = 0.5
    if linear[k] > 0.0 and linear[l] > 0.0:
        share = linear[l] / (linear[k] + linear[l])
    product = 0.0
    square = 0.0
    for axis in range(2):
        i = find_code(group.free, 2 * k + axis)
        j = find_code(group.free, 2 * l + axis)
        if i < 0 or j < 0:
            return False
        s = group.prior[k, CENTER_X + axis] - group.prior[l, CENTER_X + axis]
        product += s * (trial[i] - trial[j])
        square += s * s
    for axis in range(2):
        i = find_code(group.free, 2 * k + axis)
        j = find_code(group.free, 2 * l + axis)
        s = group.prior[k, CENTER_X + axis] - group.prior[l, CENTER_X + axis]
        turn = -2.0 * product / square * s
        trial[i] += (1.0 - share) * turn
        trial[j] -= share * turn
    return True


@borrowing
def exchange_flux(group, theta, linear, trial, trial_linear, names, stream):
    """Propose to exchange flux within a pair at fixed centroid; return the log Hastings factor.

    With ``names`` a fair coin decides between a swap of the names of a pair and nothing.

    With t the first one's share of the flux and d their separation, t (1 - t) d d^T is what an
    unresolved pair fixes beside its flux and centroid: d goes with 1 / sqrt(t (1 - t)). A walk in
    logit t (a third of the time about its mirror image, 1 - t) then has the Hastings factor
    (1 - m / 2) log[t' (1 - t') / t (1 - t)], m the coordinates that are free. -inf: not possible.
    """
    m = min(int(draw_uniform(stream) * group.pairs.shape[0]), group.pairs.shape[0] - 1)
    k = group.pairs[m, 0]
    l = group.pairs[m, 1]
    if names or draw_uniform(stream) < _NAMES:
        if names and draw_uniform(stream) < 0.5:
            return -np.inf
        return 0.0 if _swap_names(group, theta, linear, trial, trial_linear, k, l) else -np.inf
    total = linear[k] + linear[l]
    if not (linear[k] > 0.0 and linear[l] > 0.0):
        return -np.inf
    share = linear[k] / total
    logit = math.log(linear[k] / linear[l])
    if draw_uniform(stream) < 0.33:
        logit = -logit + 0.3 * draw_normal(stream)
    else:
        logit += draw_normal(stream)
    new = 1.0 / (1.0 + math.exp(-logit))
    if not 0.0 < new < 1.0:
        return -np.inf
    log_ratio = math.log(new * (1.0 - new) / (share * (1.0 - share)))
    stretch = math.exp(-0.5 * log_ratio)
    for i in range(theta.size):
        trial[i] = theta[i]
    for i in range(linear.size):
        trial_linear[i] = linear[i]
    trial_linear[k] = new * total
    trial_linear[l] = (1.0 - new) * total
    moved = 0
    for i in range(theta.size):
        t = group.free[i]
        if t >= 2 * group.n_source or t >> 1 != k:
            continue
        for j in range(theta.size):
            if group.free[j] == 2 * l + (t & 1):
                d = theta[i] - theta[j]
                center = theta[j] + share * d
                trial[i] = center + (1.0 - new) * stretch * d
                trial[j] = center - new * stretch * d
                moved += 1
    return (1.0 - 0.5 * moved) * log_ratio


@borrowing
def renew_scores(score, trial, exact, stream):
    """Propose new scores, whose own density is kept: u' = u cos a + v sin a, v normal."""
    size = 1.0
    if not exact:
        # Where fluxes have a likelihood of their own, seldom all of them at once.
        size = math.exp(-2.5 * draw_uniform(stream))
    keep = math.sqrt(max(1.0 - size * size, 0.0))
    for i in range(score.size):
        trial[i] = keep * score[i] + size * draw_normal(stream)


@borrowing
def half_square(score):
    """Return u^T u / 2."""
    s = 0.0
    for i in range(score.size):
        s += 0.5 * score[i] * score[i]
    return s
