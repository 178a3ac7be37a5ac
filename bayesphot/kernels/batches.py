"""Least squares and sampling of many groups, one after another."""

import math

import numpy as np

from .cache import borrowing, compiled
from .diagnostics import (
    ESS_BULK,
    ESS_TAIL,
    HIGH,
    LOW,
    MEDIAN,
    N_SUMMARY,
    R_HAT,
    SD,
    allocate_scratch,
    pareto_k,
    summarise_with,
)
from .gram import (
    allocate_columns,
    count_columns,
    fill_columns,
    fill_fisher,
    fill_gram,
)
from .group import (
    allocate_work,
    find_owner,
    find_shape,
    gather_theta,
    replace_free,
    unpack_group,
)
from .independence import (
    average_weights,
    mirror_proposal,
    sample_group,
    spread_proposal,
)
from .laplace import fill_laplace
from .least_squares import conditional_flux_variance, fit_group, invert_fisher_into
from .linalg import factor_cholesky_into, fill_moments, invert_cholesky_into, solve_lower_into
from .random import seed_stream_into
from .shapes import read_shape
from .structs import (
    DEGENERATE,
    FLUX,
    GAUSSIAN,
    INFLATED,
    N_SHAPE_PRIOR,
    SHAPE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    VALUE,
)

#: Rows of the fit's and the sampler's per-group numbers.
FIT_STATUS = 0
FIT_ITERATIONS = 1
FIT_CHI2 = 2
N_FIT = 3

ACCEPTANCE = 0
PARETO_K = 1
WORST_R_HAT = 2
WORST_BULK = 3
WORST_TAIL = 4
THIN = 5
EVALUATIONS = 6
LOG_Z = 7
LOG_Z_ERROR = 8
N_SAMPLING = 9


@compiled
def fit_batch(
    batch,
    max_iterations,
    tolerance,
    source_fit,
    group_fit,
    covariance_start,
    covariance,
    conditional,
    shared_fit,
):
    """Fit all groups of a batch.

    Fills ``source_fit`` (S, C) x, y, flux, shapes; ``shared_fit`` (G, E); ``group_fit`` (G, 3)
    status, iterations, chi2; ``covariance`` (flat, from ``covariance_start``) of the joint (linear,
    nonlinear) parameters; ``conditional`` (S) the flux variance with the mates fixed.
    """
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        n = group.n_source
        a = batch.source_start[g]
        n_all = group.n_column * n + group.n_shared
        size = group.n_shared + group.free.size + (n if batch.flux_free == 1 else 0)
        gram = np.zeros((n_all, n_all))
        products = np.empty(n_all)
        square = np.zeros((4, size, size))
        row = np.empty((4, size))
        fisher = square[0]
        # A fit that fails at once leaves its start.
        for k in range(n):
            work.vector[VALUE, k] = work.state[k, FLUX]
        for e in range(group.n_shared):
            work.vector[VALUE, n + e] = 0.0
        status, iterations, chi2 = fit_group(
            group,
            work,
            max_iterations,
            tolerance,
            allocate_columns(group),
            gram,
            products,
            square,
            row,
        )
        inverse = covariance[covariance_start[g] : covariance_start[g + 1]].reshape((size, size))
        if not invert_fisher_into(fisher, size, row[0], square[1], square[2], inverse):
            status = DEGENERATE
        group_fit[g, FIT_STATUS] = status
        group_fit[g, FIT_ITERATIONS] = iterations
        group_fit[g, FIT_CHI2] = chi2
        for k in range(n):
            source_fit[a + k, 0] = work.state[k, 0] + batch.rows[g, 3]
            source_fit[a + k, 1] = work.state[k, 1] + batch.rows[g, 2]
            source_fit[a + k, 2] = work.vector[VALUE, k]
            for c in range(SHAPE, group.n_column):
                source_fit[a + k, c] = work.state[k, c]
            conditional[a + k] = np.nan
            if batch.flux_free == 1:
                conditional[a + k] = conditional_flux_variance(
                    group, fisher, k, row[0], square[1], square[2], square[3]
                )
        for e in range(group.n_shared):
            shared_fit[g, e] = work.vector[VALUE, n + e]


@compiled
def score_shapes(batch, shapes, source_fit, shared_fit, scores, information):
    """Fill scores and marginal information of shapes common to all sources of each group.

    Everything else free in the group is projected out: I = F_ss - F_so F_oo^-1 F_os.
    ``shapes`` (m) are the free ones; ``scores`` (G, m), ``information`` (G, m, m).
    """
    n_shape = shapes.size
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        n = group.n_source
        free = np.empty(group.free.size + n_shape, np.int64)
        m = 0
        for i in range(group.free.size):
            if group.free[i] < 2 * n:
                free[m] = group.free[i]
                m += 1
        for j in range(n_shape):
            free[m + j] = (group.n_column - 1) * n + shapes[j]
        shaped = replace_free(group, free[: m + n_shape], np.int64(1))
        n_all = group.n_column * n + group.n_shared
        size = group.n_shared + (n if group.flux_free == 1 else 0) + m + n_shape
        a = batch.source_start[g]
        _score_shapes(
            shaped,
            work,
            batch.rows[g],
            source_fit[a : a + n],
            shared_fit[g],
            allocate_columns(group),
            np.zeros((n_all, n_all)),
            np.empty(n_all),
            np.zeros((2, size, size)),
            np.empty((2, size)),
            shapes,
            scores[g],
            information[g],
        )


@borrowing
def _score_shapes(
    group,
    work,
    rows,
    source,
    sky,
    columns,
    gram,
    products,
    square,
    row,
    shapes,
    scores,
    information,
):
    """Fill scores and information of the common shapes, the last parameters, at the fit."""
    linear = work.vector[VALUE]
    for k in range(group.n_source):
        work.state[k, 0] = source[k, 0] - rows[3]
        work.state[k, 1] = source[k, 1] - rows[2]
        for c in range(SHAPE, group.n_column):
            work.state[k, c] = source[k, c]
        linear[k] = source[k, 2]
    for e in range(group.n_shared):
        linear[group.n_source + e] = sky[e]
    fisher = square[0]
    factor = square[1]
    score = row[0]
    forward = row[1]
    n_used = count_columns(group)
    fill_columns(group, work, n_used, columns)
    fill_gram(group, columns, n_used, work.unit[group.n_source], gram, products)
    fill_fisher(group, work.state, linear, gram, products, fisher, score)
    size = score.size
    first = size - shapes.size
    for i in range(shapes.size):
        # The prior of the shape is the image's, added once by the caller.
        place = N_SHAPE_PRIOR * shapes[i]
        precision = group.prior[0, SHAPE_PRECISION + place]
        off = work.state[0, SHAPE + shapes[i]] - group.prior[0, SHAPE_MEAN + place]
        fisher[first + i, first + i] -= precision
        score[first + i] += precision * off
    good = factor_cholesky_into(fisher, size, factor)
    # The last block L of the factor gives the information left after projection, L L^T; the score
    # of the others is zero at the fit, but for its tolerance: project it too.
    solve_lower_into(factor, size, score, forward)
    for i in range(shapes.size):
        scores[i] = 0.0
        for j in range(i + 1):
            if good:
                scores[i] += factor[first + i, first + j] * forward[first + j]
            s = 0.0
            for l in range(j + 1):
                s += factor[first + i, first + l] * factor[first + j, first + l]
            information[i, j] = s if good else 0.0
            information[j, i] = information[i, j]


@compiled
def sample_batch(
    batch,
    seeds,
    n_chain,
    n_draw,
    max_thin,
    n_burn,
    dof,
    widen,
    min_ess,
    max_r_hat,
    tail,
    scores,
    guess_start,
    guess,
    kept,
):
    """Sample all groups of a batch by independence Metropolis-Hastings, longer where short.

    ``guess`` (flat) holds approximate precisions of each group's nonlinear parameters.
    Fills ``kept``; a group that could not start has an acceptance of -1 and no draws.
    """
    total = n_chain * n_draw
    scratch = allocate_scratch(total * max_thin)
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        n_free = group.free.size
        n = group.n_source
        n_all = group.n_column * n + group.n_shared
        size = n_free + group.n_shared + (n if batch.flux_free == 1 else 0)
        row = np.empty((8, size))
        theta = np.empty(n_free)
        gather_theta(group.free, work.state, theta)
        hessian = np.zeros((n_free, n_free))
        factor = np.zeros((n_free, n_free))
        shares = np.ones(3)
        centers = np.empty((3, n_free))
        factors = np.zeros((3, n_free, n_free))
        out = np.empty((size, total))
        summary = np.empty((size, N_SUMMARY))
        stream = np.empty(4, np.uint64)
        stats = kept.stats[g]
        stats[ACCEPTANCE] = -1.0
        first = guess_start[g]
        count = 0
        if n_free > 0:
            count = fill_laplace(
                group,
                work,
                theta,
                guess[first : first + n_free],
                np.int64(3),
                allocate_columns(group),
                np.zeros((n_all, n_all)),
                np.empty(n_all),
                row,
                hessian,
                factor,
            )
        if count < 0:
            continue
        for i in range(n_free):
            centers[0, i] = theta[i]
            for j in range(i + 1):
                factors[0, i, j] = factor[i, j] / widen
        seed_stream_into(seeds[g], stream)
        # Components about the mode, and about its mirror image.
        narrow = (centers[0], factors[0])
        mirrored = mirror_proposal(group, narrow, row, centers[1], hessian, factors[1])
        n_mode = np.int64(2 if mirrored > 0.0 else 1)
        n_center = n_mode
        _share_out(mirrored, n_mode, n_center, shares)
        thin = np.int64(1)
        while True:
            weights = scratch.reals[5, : total * thin]
            acceptance = sample_group(
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
                np.empty(4),
                np.zeros((size, size)),
                out,
                weights,
            )
            count += total * thin + n_chain * n_burn
            stats[ACCEPTANCE] = acceptance
            stats[THIN] = thin
            stats[EVALUATIONS] = count
            if acceptance < 0.0:
                # No proposal about the mode is inside the prior: look all over the discs as well.
                if n_center > n_mode:
                    break
                spread_proposal(group, factors[0], centers[n_mode], factors[n_mode])
                n_center = n_mode + 1
                _share_out(mirrored, n_mode, n_center, shares)
                continue
            stats[LOG_Z], stats[LOG_Z_ERROR] = average_weights(weights)
            stats[PARETO_K] = pareto_k(weights) if n_free > 0 else np.nan
            for p in range(size):
                summarise_with(out[p], n_chain, n_draw, tail, scores, scratch, summary[p])
            _find_worst(summary, stats)
            limit = min(1.0 - 1.0 / math.log10(total * thin), 0.7)
            good = (
                stats[WORST_R_HAT] <= max_r_hat
                and min(stats[WORST_BULK], stats[WORST_TAIL]) >= min_ess
                and (n_free == 0 or stats[PARETO_K] < limit)
            )
            if good or thin >= max_thin:
                break
            n_center = n_mode
            if _adapt(out, widen, hessian, factor, centers[n_mode], factors[n_mode]):
                n_center = n_mode + 1
            _share_out(mirrored, n_mode, n_center, shares)
            thin = min(4 * thin, max_thin)
        if stats[ACCEPTANCE] >= 0.0:
            _store(batch, g, group, out, summary, kept)


@borrowing
def _share_out(mirrored, n_mode, n_center, shares):
    """Fill the shares of the components: of the mode, its mirror image, and a further one."""
    left = n_mode / n_center
    shares[0] = (1.0 - mirrored) * left
    shares[1] = mirrored * left
    if n_center > n_mode:
        shares[n_mode] = 1.0 - left


@borrowing
def _find_worst(summary, stats):
    """Fill the worst R-hat, bulk and tail ESS over the parameters."""
    stats[WORST_R_HAT] = 1.0
    stats[WORST_BULK] = np.inf
    stats[WORST_TAIL] = np.inf
    for p in range(summary.shape[0]):
        # A parameter that never moved compares false everywhere: it is the worst.
        if not summary[p, R_HAT] <= stats[WORST_R_HAT]:
            stats[WORST_R_HAT] = summary[p, R_HAT]
            if math.isnan(summary[p, R_HAT]):
                stats[WORST_R_HAT] = np.inf
        if not summary[p, ESS_BULK] >= stats[WORST_BULK]:
            stats[WORST_BULK] = summary[p, ESS_BULK]
        if not summary[p, ESS_TAIL] >= stats[WORST_TAIL]:
            stats[WORST_TAIL] = summary[p, ESS_TAIL]
    if math.isnan(stats[WORST_BULK]):
        stats[WORST_BULK] = 0.0
    if math.isnan(stats[WORST_TAIL]):
        stats[WORST_TAIL] = 0.0


@borrowing
def _adapt(out, widen, covariance, lower, center, factor):
    """Fit a further proposal component to the pilot's draws; return whether there is one.

    The pilot's draws only shape the proposal; none of them is kept. ``covariance`` and
    ``lower`` are scratch.
    """
    n_free = center.size
    fill_moments(out[:n_free].T, center, covariance)
    if not factor_cholesky_into(covariance, n_free, lower):
        return False
    invert_cholesky_into(lower, n_free, covariance)
    if not factor_cholesky_into(covariance, n_free, factor):
        return False
    for i in range(n_free):
        for j in range(i + 1):
            factor[i, j] /= widen
    return True


@borrowing
def _store(batch, g, group, out, summary, kept):
    """Copy a group's draws and summaries to their sources' places, in image coordinates."""
    a = batch.source_start[g]
    n = group.n_source
    n_free = group.free.size
    n_flux = n if batch.flux_free == 1 else 0
    for i in range(n_free):
        t = group.free[i]
        if t < 2 * n:
            k = a + (t >> 1)
            c = t & 1
            _copy_row(
                out[i],
                summary[i],
                np.float64(batch.rows[g, 3 - c]),
                kept.source[c, k],
                kept.source_summary[k, c],
            )
            continue
        owner = find_owner(t, n, group.n_column)
        j = find_shape(t, n, group.n_column)
        for k in range(n):
            if owner < 0 or owner == k:
                to_summary = kept.source_summary[a + k, SHAPE + j]
                _copy_shape(out[i], summary[i], group.psf.kind, j, kept.shape[j, a + k], to_summary)
    for k in range(n_flux):
        _copy_row(
            out[n_free + k],
            summary[n_free + k],
            0.0,
            kept.source[2, a + k],
            kept.source_summary[a + k, 2],
        )
    for e in range(group.n_shared):
        i = n_free + n_flux + e
        if group.noise[INFLATED] > 0.0 and e == group.n_shared - 1:
            # A scale is the exponential of its column, as a width is.
            _copy_shape(
                out[i],
                summary[i],
                np.int64(GAUSSIAN),
                np.int64(0),
                kept.shared[e, g],
                kept.shared_summary[e, g],
            )
        else:
            _copy_row(out[i], summary[i], 0.0, kept.shared[e, g], kept.shared_summary[e, g])


@borrowing
def _copy_row(draws, summary, origin, to_draws, to_summary):
    """Copy draws and their summary, moved by an origin."""
    for s in range(draws.size):
        to_draws[s] = draws[s] + origin
    for m in range(N_SUMMARY):
        to_summary[m] = summary[m]
    to_summary[MEDIAN] += origin
    to_summary[LOW] += origin
    to_summary[HIGH] += origin


@borrowing
def _copy_shape(draws, summary, kind, j, to_draws, to_summary):
    """Copy draws of shape j of a kind from those of its column, and the summary likewise."""
    mean = 0.0
    for s in range(draws.size):
        to_draws[s] = read_shape(kind, j, draws[s])
        mean += to_draws[s]
    mean /= draws.size
    variance = 0.0
    for s in range(draws.size):
        variance += (to_draws[s] - mean) ** 2
    for m in range(N_SUMMARY):
        to_summary[m] = summary[m]
    to_summary[MEDIAN] = read_shape(kind, j, summary[MEDIAN])
    to_summary[SD] = math.sqrt(variance / max(draws.size - 1, 1))
    to_summary[LOW] = read_shape(kind, j, summary[LOW])
    to_summary[HIGH] = read_shape(kind, j, summary[HIGH])
