"""Tempered sequential Monte Carlo on a group (Del Moral, Doucet & Jasra 2006).

A swarm of particles is led from the start density q (Student t about the mode, and about its
mirror image where a pair has one, mixed with one as wide as the priors; cut to the support) to
the posterior through q^(1-b) p^b, b from 0 to 1 in steps that keep half the effective size. A
particle is (positions and shapes theta, scores u of the linear parameters): fluxes and sky are
f = mu(theta) + L^-T u, with mu and M = L L^T those of the collapsed density, so that a move of a
position takes the fluxes along. In (theta, f) the target is

    q(theta)^(1-b) [p(theta) r(theta, f)]^b N(f; mu, M^-1),

r being the exact density over the normal one, 0 below a floor. The mean incremental weights give
the normalisation: the evidence, but for constants.
"""

import math

import numpy as np

from .cache import borrowing, compiled
from .density import log_density
from .gram import allocate_columns
from .group import allocate_work, gather_theta, unpack_group
from .independence import (
    choose_component,
    copy_linear,
    log_proposal,
    mirror_proposal,
    spread_proposal,
    student_norm,
)
from .laplace import fill_laplace
from .linalg import log_determinant, solve_upper_into
from .moves import (
    add_difference,
    exchange_flux,
    half_square,
    move_star,
    renew_scores,
    walk_along,
)
from .noise import is_exact, log_exact_over_normal
from .random import draw_gamma, draw_normal, draw_uniform, seed_stream_into
from .structs import FLUX_FLOOR, MEAN, VALUE
from .swarm import (
    N_NUMBER,
    RATIO,
    SCALE,
    START,
    TARGET,
    choose_step,
    copy_particle,
    fill_spread,
    fill_weights,
    resample,
)

#: What `temper_group` tells of a run.
LOG_Z = 0
EVALUATIONS = 1
STAGES = 2
ACCEPTANCE = 3
N_TEMPERED = 4

#: Stages after which a swarm that has not reached the posterior is given up.
_MOST_STAGES = 100
#: Trials, for each particle, to place the first swarm inside the support.
_MOST_TRIALS = 5000
#: Particles whose trials may be used up before one is placed: a swarm that hardly finds its support
#: is given up soon.
_HEAD_START = 10
#: Shares of the moves: the whole vector along the swarm's covariance; along the difference of two
#: particles; one star alone; the rest exchanges flux within a pair.
_WALK = 0.3
_DIFFERENCE = 0.25
_STAR = 0.25


@borrowing
def _assess(group, work, theta, score, linear, by_score, numbers):
    """Fill what a particle must know of itself; return whether it is inside the support.

    Either ``linear`` is filled from ``score``, or the score from it.
    """
    numbers[RATIO] = -np.inf
    numbers[TARGET] = log_density(theta, group, work)
    if numbers[TARGET] == -np.inf:
        return False
    n_linear = linear.size
    n_flux = group.n_source if group.flux_free == 1 else 0
    mean = work.vector[MEAN]
    numbers[SCALE] = log_determinant(work.factor, n_linear)
    if by_score:
        solve_upper_into(work.factor, n_linear, score, linear)
        for i in range(n_linear):
            linear[i] += mean[i]
    else:
        for i in range(n_linear):
            s = 0.0
            for j in range(i, n_linear):
                s += work.factor[j, i] * (linear[j] - mean[j])
            score[i] = s
    for k in range(n_flux):
        if linear[k] < group.prior[k, FLUX_FLOOR]:
            return False
    numbers[RATIO] = 0.0
    if not is_exact(group):
        values = work.vector[VALUE]
        copy_linear(linear, work, n_flux, values)
        numbers[RATIO] = log_exact_over_normal(group, work, values)
    return numbers[RATIO] > -np.inf


@borrowing
def _open_swarm(group, work, swarm, proposal, norms, dof, row, stream):
    """Draw the first particles inside the support; return the log share of trials inside.

    NaN where hardly any trial is. ``proposal`` is (shares, centers, factors).
    """
    shares, centers, factors = proposal
    n_particle, n_free = swarm.theta.shape
    n_linear = swarm.score.shape[1]
    normal = row[0, :n_free]
    trials = 0
    for n in range(n_particle):
        while True:
            trials += 1
            if trials > _MOST_TRIALS * (n + _HEAD_START):
                return np.nan
            c = choose_component(shares, centers.shape[0], stream)
            widen = math.sqrt(0.5 * dof / draw_gamma(stream, 0.5 * dof))
            for i in range(n_free):
                normal[i] = draw_normal(stream) * widen
            theta = swarm.theta[n]
            solve_upper_into(factors[c], n_free, normal, theta)
            for i in range(n_free):
                theta[i] += centers[c, i]
            for i in range(n_linear):
                swarm.score[n, i] = draw_normal(stream)
            if _assess(group, work, theta, swarm.score[n], swarm.linear[n], True, swarm.numbers[n]):
                break
        swarm.numbers[n, START] = log_proposal(
            theta, centers.shape[0], centers, factors, norms, dof, 0.0
        )
    return math.log(n_particle / trials)


@borrowing
def _sweep(
    group, work, swarm, spare, proposal, norms, dof, b, spread, factor, scale, names, row, stream
):
    """Move every particle once; return (accepted, walked, accepted of those walked).

    With ``names`` set, the names of stars are all that moves.
    """
    _, centers, factors = proposal
    n_particle, n_free = swarm.theta.shape
    n_linear = swarm.score.shape[1]
    trial = row[0, :n_free]
    normal = row[1, :n_free]
    trial_score = row[2, :n_linear]
    trial_linear = row[3, :n_linear]
    numbers = row[4, :N_NUMBER]
    exact = is_exact(group)
    may_exchange = group.flux_free == 1 and group.pairs.shape[0] > 0
    for n in range(n_particle):
        copy_particle(swarm, n, spare, n)
    accepted = 0
    walked = 0
    good = 0
    for n in range(n_particle):
        theta = swarm.theta[n]
        score = swarm.score[n]
        kind = draw_uniform(stream)
        hastings = 0.0
        walks = False
        exchanges = may_exchange and (names or kind > _WALK + _DIFFERENCE + _STAR)
        if exchanges:
            hastings = exchange_flux(
                group, theta, swarm.linear[n], trial, trial_linear, names, stream
            )
            if hastings == -np.inf:
                continue
        else:
            starred = False
            joint = False
            if _WALK + _DIFFERENCE < kind <= _WALK + _DIFFERENCE + _STAR:
                starred = move_star(group, theta, spread, trial, stream)
            if _WALK < kind <= _WALK + _DIFFERENCE:
                # Where fluxes have a likelihood of their own it need not be where u is small.
                joint = not exact and draw_uniform(stream) < 0.5
                add_difference(n, spare, joint, trial, trial_score, stream)
            elif not starred:
                walks = True
                walked += 1
                walk_along(theta, factor, scale, normal, trial, stream)
            if joint:
                hastings = half_square(score) - half_square(trial_score)
            elif draw_uniform(stream) < 0.5:
                renew_scores(score, trial_score, exact, stream)
            else:
                for i in range(n_linear):
                    trial_score[i] = score[i]
        if not _assess(group, work, trial, trial_score, trial_linear, not exchanges, numbers):
            continue
        numbers[START] = log_proposal(trial, centers.shape[0], centers, factors, norms, dof, 0.0)
        old = swarm.numbers[n]
        gain = b * (numbers[TARGET] + numbers[RATIO] - old[TARGET] - old[RATIO])
        gain += (1.0 - b) * (numbers[START] - old[START]) + hastings
        if exchanges:
            gain += numbers[SCALE] - old[SCALE] - half_square(trial_score) + half_square(score)
        if gain >= 0.0 or math.log(draw_uniform(stream)) < gain:
            accepted += 1
            good += walks
            for i in range(n_free):
                theta[i] = trial[i]
            for i in range(n_linear):
                score[i] = trial_score[i]
                swarm.linear[n, i] = trial_linear[i]
            for i in range(N_NUMBER):
                old[i] = numbers[i]
    return accepted, walked, good


@borrowing
def _refresh(group, work, swarm, row, stream):
    """Draw the linear parameters of all particles from their conditional normal.

    Returns how many densities were evaluated.
    """
    n_particle = swarm.theta.shape[0]
    score = row[2, : swarm.score.shape[1]]
    linear = row[3, : swarm.score.shape[1]]
    numbers = row[4, :N_NUMBER]
    count = 0
    for n in range(n_particle):
        # Below a floor: drawn again, a few times; what stays is a state of the chain as well.
        for _attempt in range(10):
            count += 1
            for i in range(score.size):
                score[i] = draw_normal(stream)
            if _assess(group, work, swarm.theta[n], score, linear, True, numbers):
                for i in range(score.size):
                    swarm.linear[n, i] = linear[i]
                break
    return count


@compiled
def temper_group(batch, g, seed, guess, dof, widen, n_move, n_final, swarm, spare, numbers):
    """Lead a swarm to the posterior of group g; its particles are the draws.

    Parameters
    ----------
    guess : (D)
        Approximate precisions of the nonlinear parameters.
    n_move, n_final : int
        Sweeps after each stage, and after the last.
    swarm, spare : Swarm
        Filled with the particles: nonlinear parameters in patch coordinates; scratch.
    numbers : (4)
        Filled: log normalisation, evaluations, stages, smallest share of moves accepted. The
        first is NaN where the swarm could not start or did not arrive.
    """
    numbers[LOG_Z] = np.nan
    group = unpack_group(batch, g)
    work = allocate_work(batch, g, group)
    n = group.n_source
    n_particle, n_free = swarm.theta.shape
    n_linear = swarm.score.shape[1]
    row = np.empty((6, n_free + n_linear + N_NUMBER))
    stream = np.empty(4, np.uint64)
    seed_stream_into(seed, stream)
    centers = np.empty((3, n_free))
    factors = np.zeros((3, n_free, n_free))
    spread = np.zeros((n_free, n_free))
    n_all = group.n_column * n + group.n_shared
    gather_theta(group.free, work.state, centers[0])
    numbers[EVALUATIONS] = 0
    numbers[STAGES] = 0
    numbers[ACCEPTANCE] = 1.0
    if n_free > 0:
        count = fill_laplace(
            group,
            work,
            centers[0],
            guess,
            np.int64(3),
            allocate_columns(group),
            np.zeros((n_all, n_all)),
            np.empty(n_all),
            row,
            spread,
            factors[0],
        )
        if count < 0:
            return
        numbers[EVALUATIONS] = count
    for i in range(n_free):
        for j in range(i + 1):
            factors[0, i, j] /= widen
    spread_proposal(group, factors[0], centers[1], factors[1])
    mirrored = mirror_proposal(group, (centers[0], factors[0]), row, centers[2], spread, factors[2])
    n_center = np.int64(3 if mirrored > 0.0 else 2)
    shares = np.array([0.5 * (1.0 - mirrored), 0.5, 0.5 * mirrored])
    proposal = (shares, centers[:n_center], factors[:n_center])
    norms = np.empty(n_center)
    diagonal = np.empty(n_free)
    for c in range(n_center):
        for i in range(n_free):
            diagonal[i] = factors[c, i, i]
        norms[c] = math.log(shares[c]) + student_norm(diagonal, dof)
    log_z = _open_swarm(group, work, swarm, proposal, norms, dof, row, stream)
    if math.isnan(log_z):
        return
    numbers[EVALUATIONS] += n_particle / math.exp(log_z)
    # The start density is cut to the support: its own normalisation is the share inside.
    weight = np.empty(n_particle)
    factor = np.zeros((n_free, n_free))
    scale = 2.38 / math.sqrt(max(n_free, 1))
    b = 0.0
    for _stage in range(_MOST_STAGES):
        step = choose_step(swarm.numbers, 1.0 - b, weight)
        mean, _ = fill_weights(swarm.numbers, step, weight)
        log_z += mean
        b = min(b + step, 1.0)
        numbers[STAGES] += 1
        resample(swarm, spare, weight, stream)
        if not fill_spread(swarm.theta, row, spread, factor):
            return
        n_sweep = n_move
        n_names = 0
        if b >= 1.0:
            n_sweep = n_final
            n_names = group.pairs.shape[0] if group.flux_free == 1 else 0
        for move in range(n_sweep + n_names):
            names = move >= n_sweep
            accepted, walked, good = _sweep(
                group,
                work,
                swarm,
                spare,
                proposal,
                norms,
                dof,
                b,
                spread,
                factor,
                scale,
                names,
                row,
                stream,
            )
            numbers[EVALUATIONS] += n_particle
            if names:
                continue
            numbers[ACCEPTANCE] = min(numbers[ACCEPTANCE], accepted / n_particle)
            if good < 0.15 * walked:
                scale *= 0.7
            elif good > 0.4 * walked:
                scale *= 1.3
        if b >= 1.0:
            break
    if b < 1.0:
        return
    if is_exact(group):
        numbers[EVALUATIONS] += _refresh(group, work, swarm, row, stream)
    numbers[LOG_Z] = log_z
