"""Least squares and sampling of many groups, one after another."""

import math

import numpy as np

from .cache import borrowing, compiled
from .diagnostics import (
    ESS_BULK,
    ESS_TAIL,
    N_SUMMARY,
    R_HAT,
    pareto_k,
    summarise_into,
)
from .gram import N_COLUMN, allocate_columns, fill_columns, fill_fisher, fill_gram
from .group import allocate_work, gather_theta, replace_free, unpack_group
from .independence import sample_group
from .laplace import fill_laplace
from .least_squares import conditional_flux_variance, fit_group, invert_fisher_into
from .linalg import factor_cholesky_into, invert_cholesky_into, solve_lower_into
from .random import seed_stream_into
from .structs import DEGENERATE, LOG_SHAPE, SHAPE_MEAN, SHAPE_PRECISION

#: Rows of the fit's and the sampler's per-group numbers.
FIT_STATUS = 0
FIT_ITERATIONS = 1
FIT_CHI2 = 2
FIT_SHAPE_SCORE = 3
FIT_SHAPE_INFORMATION = 4
N_FIT = 5

ACCEPTANCE = 0
PARETO_K = 1
WORST_R_HAT = 2
WORST_BULK = 3
WORST_TAIL = 4
THIN = 5
EVALUATIONS = 6
N_SAMPLING = 7


@compiled
def fit_batch(batch, max_iterations, tolerance, source_fit, group_fit, covariance_start,
              covariance, conditional, sky_fit):
    """Fit all groups of a batch.

    Fills ``source_fit`` (S, 4) x, y, flux, ln shape; ``sky_fit`` (G, E); ``group_fit`` (G, 5)
    status, iterations, chi2, score and information of a common ln shape; ``covariance`` (flat,
    from ``covariance_start``) of the joint (linear, nonlinear) parameters; ``conditional`` (S)
    the flux variance with the mates fixed.
    """
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        n = group.n_source
        a = batch.source_start[g]
        n_sky = group.n_sky
        size = n_sky + group.free.size + (n if batch.flux_free == 1 else 0)
        fisher = np.zeros((size, size))
        inverse = np.empty((size, size))
        flux = np.zeros(n)
        sky = np.zeros(n_sky)
        chi2 = np.zeros(1)
        status, iterations = fit_group(
            group, work, max_iterations, tolerance, fisher, flux, sky, chi2
        )
        if not invert_fisher_into(fisher, size, inverse):
            status = DEGENERATE
        group_fit[g, FIT_STATUS] = status
        group_fit[g, FIT_ITERATIONS] = iterations
        group_fit[g, FIT_CHI2] = chi2[0]
        for k in range(n):
            source_fit[a + k, 0] = work.state[k, 0] + batch.rows[g, 3]
            source_fit[a + k, 1] = work.state[k, 1] + batch.rows[g, 2]
            source_fit[a + k, 2] = flux[k]
            source_fit[a + k, 3] = work.state[k, LOG_SHAPE]
            conditional[a + k] = np.nan
            if batch.flux_free == 1:
                conditional[a + k] = conditional_flux_variance(group, fisher, k)
        for e in range(n_sky):
            sky_fit[g, e] = sky[e]
        p = covariance_start[g]
        for i in range(size):
            for j in range(size):
                covariance[p + i * size + j] = inverse[i, j]


@compiled
def score_shapes(batch, source_fit, sky_fit, group_fit):
    """Fill score and marginal information of one ln shape common to all sources of each group.

    Everything else free in the group is projected out: I = F_ss - F_so F_oo^-1 F_os.
    """
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        group_fit[g, FIT_SHAPE_SCORE], group_fit[g, FIT_SHAPE_INFORMATION] = _score_shape(
            batch, g, group, work, source_fit, sky_fit
        )


@compiled
def _score_shape(batch, g, group, work, source_fit, sky_fit):
    """Return (score, information) of the common ln shape of one group at its fit."""
    n = group.n_source
    a = batch.source_start[g]
    n_sky = group.n_sky
    flux = source_fit[a : a + n, 2].copy()
    for k in range(n):
        work.state[k, 0] = source_fit[a + k, 0] - batch.rows[g, 3]
        work.state[k, 1] = source_fit[a + k, 1] - batch.rows[g, 2]
        work.state[k, LOG_SHAPE] = source_fit[a + k, 3]
    free = np.empty(group.free.size + 1, np.int64)
    m = np.int64(0)
    for i in range(group.free.size):
        if group.free[i] < 2 * n:
            free[m] = group.free[i]
            m += 1
    free[m] = 3 * n
    shaped = replace_free(group, free[: m + 1], np.int64(1))
    size = n_sky + (n if group.flux_free == 1 else 0) + m + 1
    fisher = np.zeros((size, size))
    score = np.zeros(size)
    n_all = N_COLUMN * n + n_sky
    gram = np.zeros((n_all, n_all))
    products = np.empty(n_all)
    columns = allocate_columns(shaped.window)
    fill_columns(shaped.window, work.state, columns)
    fill_gram(shaped.planes, shaped.window, shaped.sky, columns, np.int64(N_COLUMN), gram, products)
    fill_fisher(shaped, work.state, flux, sky_fit[g], gram, products, fisher, score)
    last = size - 1
    # The prior of the shape is the image's, added once by the caller.
    fisher[last, last] -= shaped.prior[0, SHAPE_PRECISION]
    score[last] += shaped.prior[0, SHAPE_PRECISION] * (
        work.state[0, LOG_SHAPE] - shaped.prior[0, SHAPE_MEAN]
    )
    factor = np.empty((size, size))
    if not factor_cholesky_into(fisher, size, factor):
        return 0.0, 0.0
    # The last pivot is the information left after projection; the score of the others is zero
    # at the fit, but for its tolerance: project it too.
    forward = np.empty(size)
    solve_lower_into(factor, size, score, forward)
    return forward[last] * factor[last, last], factor[last, last] ** 2


@compiled
def sample_batch(
    batch, seeds, n_chain, n_draw, max_thin, n_burn, dof, widen, min_ess, max_r_hat, tail,
    scores, guess_start, guess, source_draws, shape_draws, sky_draws, source_summary,
    sky_summary, group_stats,
):
    """Sample all groups of a batch by independence Metropolis-Hastings, longer where short.

    ``guess`` (flat) holds approximate precisions of each group's nonlinear parameters.
    Fills ``source_draws`` (3, S, n), ``shape_draws`` (S or 0, n), ``sky_draws`` (E, G, n),
    ``source_summary`` (S, 4, 7), ``sky_summary`` (E, G, 7) and ``group_stats`` (G, 7).
    """
    total = n_chain * n_draw
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        n_free = group.free.size
        n = group.n_source
        n_sky = group.n_sky
        n_linear = n_sky + (n if batch.flux_free == 1 else 0)
        theta = np.empty(n_free)
        gather_theta(group.free, work.state, theta)
        hessian = np.zeros((n_free, n_free))
        factor = np.zeros((n_free, n_free))
        stats = group_stats[g]
        stats[ACCEPTANCE] = -1.0
        first = guess_start[g]
        count = 0
        if n_free > 0:
            count = fill_laplace(
                group, work, theta, guess[first : first + n_free], np.int64(3), hessian
            )
        if count < 0 or not factor_cholesky_into(hessian, n_free, factor):
            continue
        for i in range(n_free):
            for j in range(i + 1):
                factor[i, j] /= widen
        centers = theta.copy().reshape((1, n_free))
        factors = factor.copy().reshape((1, n_free, n_free))
        out = np.empty((n_free + n_linear, total))
        summary = np.empty((n_free + n_linear, N_SUMMARY))
        stream = np.empty(4, np.uint64)
        seed_stream_into(seeds[g], stream)
        thin = np.int64(1)
        while True:
            weights = np.empty(total * thin)
            acceptance = sample_group(
                group, work, centers, factors, dof, n_chain, n_draw, thin, n_burn, stream,
                out, weights,
            )
            count += total * thin + n_chain * n_burn
            stats[ACCEPTANCE] = acceptance
            stats[THIN] = thin
            stats[EVALUATIONS] = count
            if acceptance < 0.0:
                break
            stats[PARETO_K] = pareto_k(weights) if n_free > 0 else np.nan
            for p in range(n_free + n_linear):
                summarise_into(out[p], n_chain, n_draw, tail, scores, summary[p])
            _find_worst(summary, stats)
            limit = min(1.0 - 1.0 / math.log10(total * thin), 0.7)
            good = (
                stats[WORST_R_HAT] <= max_r_hat
                and min(stats[WORST_BULK], stats[WORST_TAIL]) >= min_ess
                and (n_free == 0 or stats[PARETO_K] < limit)
            )
            if good or thin >= max_thin:
                break
            centers, factors = _adapt(out, theta, factor, n_free, widen)
            thin = min(4 * thin, max_thin)
        if stats[ACCEPTANCE] < 0.0:
            continue
        _store(batch, g, group, out, summary, source_draws, shape_draws, sky_draws,
               source_summary, sky_summary)


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


@compiled
def _adapt(out, theta, factor, n_free, widen):
    """Return two proposal components: the Laplace one and one fitted to the pilot's draws.

    The pilot's draws only shape the proposal; none of them is kept.
    """
    n = out.shape[1]
    mean = np.zeros(n_free)
    covariance = np.zeros((n_free, n_free))
    for i in range(n_free):
        s = 0.0
        for t in range(n):
            s += out[i, t]
        mean[i] = s / n
    for i in range(n_free):
        for j in range(i + 1):
            s = 0.0
            for t in range(n):
                s += (out[i, t] - mean[i]) * (out[j, t] - mean[j])
            covariance[i, j] = s / n
            covariance[j, i] = covariance[i, j]
    lower = np.empty((n_free, n_free))
    precision = np.empty((n_free, n_free))
    if factor_cholesky_into(covariance, n_free, lower):
        invert_cholesky_into(lower, n_free, precision)
        if factor_cholesky_into(precision, n_free, lower):
            centers = np.empty((2, n_free))
            factors = np.zeros((2, n_free, n_free))
            for i in range(n_free):
                centers[0, i] = theta[i]
                centers[1, i] = mean[i]
                for j in range(i + 1):
                    factors[0, i, j] = factor[i, j]
                    factors[1, i, j] = lower[i, j] / widen
            return centers, factors
    return theta.copy().reshape((1, n_free)), factor.copy().reshape((1, n_free, n_free))


@borrowing
def _store(batch, g, group, out, summary, source_draws, shape_draws, sky_draws,
           source_summary, sky_summary):
    """Copy a group's draws and summaries to their sources' places, in image coordinates."""
    a = batch.source_start[g]
    n = group.n_source
    n_free = group.free.size
    total = out.shape[1]
    for i in range(n_free):
        t = group.free[i]
        if t < 2 * n:
            k = t // 2
            c = t % 2
            origin = batch.rows[g, 3 - c]
            for s in range(total):
                source_draws[c, a + k, s] = out[i, s] + origin
            for m in range(N_SUMMARY):
                source_summary[a + k, c, m] = summary[i, m]
            _shift(source_summary[a + k, c], origin)
        elif t < 3 * n:
            _store_shape(out[i], summary[i], a + t - 2 * n, shape_draws, source_summary)
        else:
            for k in range(n):
                _store_shape(out[i], summary[i], a + k, shape_draws, source_summary)
    first = n_free
    if batch.flux_free == 1:
        for k in range(n):
            for s in range(total):
                source_draws[2, a + k, s] = out[n_free + k, s]
            for m in range(N_SUMMARY):
                source_summary[a + k, 2, m] = summary[n_free + k, m]
        first += n
    for e in range(group.n_sky):
        for s in range(total):
            sky_draws[e, g, s] = out[first + e, s]
        for m in range(N_SUMMARY):
            sky_summary[e, g, m] = summary[first + e, m]


@borrowing
def _shift(row, origin):
    """Move the location numbers of a summary row."""
    row[0] += origin
    row[2] += origin
    row[3] += origin


@borrowing
def _store_shape(draws, summary, k, shape_draws, source_summary):
    """Store draws of a shape (not its logarithm) and the row of its logarithm's summary."""
    total = draws.size
    mean = 0.0
    for s in range(total):
        shape_draws[k, s] = math.exp(draws[s])
        mean += shape_draws[k, s]
    mean /= total
    variance = 0.0
    for s in range(total):
        variance += (shape_draws[k, s] - mean) ** 2
    for m in range(N_SUMMARY):
        source_summary[k, 3, m] = summary[m]
    source_summary[k, 3, 0] = math.exp(summary[0])
    source_summary[k, 3, 1] = math.sqrt(variance / max(total - 1, 1))
    source_summary[k, 3, 2] = math.exp(summary[2])
    source_summary[k, 3, 3] = math.exp(summary[3])
