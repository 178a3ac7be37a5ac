"""The compiled sampler against exact normals, grids and importance sampling by the oracle.

Bounds are Monte-Carlo errors times the normal quantile of a false-alarm rate of 1e-4 a test.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import oracle
import pytest
from arviz_numbers import read_monte_carlo_errors
from kernel_scene import INTERPRETED, make_scene, sample
from scipy import stats

from bayesphot import fitting
from bayesphot.kernels import batches, diagnostics, structs

FALSE_ALARM = 1e-4

compiled_only = pytest.mark.skipif(INTERPRETED, reason="too many draws for interpreted kernels")


def z_bound(n_number):
    """Return how many errors one of n numbers may be off."""
    return stats.norm.isf(FALSE_ALARM / (2 * n_number))


def sample_fitted(scene, seeds, **options):
    """Sample from the least-squares optimum, as the stages do."""
    data = scene.batch(sampling=True)
    fit = fitting.fit_groups(data)
    return sample(replace(data, batches=(data.batch._replace(state=fit.source),)), seeds, **options)


def assert_moments(chains, n_chain, mean, sd, *, mean_error=0.0, sd_error=0.0):
    """Means and standard deviations of flat draws (parameter, chain * draw) are those given."""
    mean_error, sd_error = (np.broadcast_to(e, len(chains)) for e in (mean_error, sd_error))
    bound = z_bound(2 * len(chains))
    for i, draws in enumerate(chains):
        of_mean, of_sd = read_monte_carlo_errors(draws.reshape(n_chain, -1))
        assert abs(draws.mean() - mean[i]) < bound * np.hypot(of_mean, mean_error[i]), i
        assert abs(draws.std() - sd[i]) < bound * np.hypot(of_sd, sd_error[i]), i


@compiled_only
@pytest.mark.parametrize("background", ["none", "prior", "flat", "plane"])
@pytest.mark.parametrize("size", [1, 3])
def test_known_positions_give_the_exact_normal_posterior(size, background) -> None:
    scene = make_scene(1, (size,), free_x=False, free_y=False, background=background)
    chains = sample(scene.batch(), [5], n_draw=2500)
    draws = np.concatenate([chains.source[2], chains.shared[:, 0]])
    group = scene.oracle_group(0)
    mean, covariance = oracle.solve_linear(group, np.empty(0))
    n, size = draws.shape[1], len(mean)
    white = np.linalg.solve(np.linalg.cholesky(covariance), draws - mean[:, None])
    # Independent draws: n |mean|^2 is chi-squared, entries of the scatter are normal.
    assert n * np.sum(white.mean(axis=1) ** 2) < stats.chi2.isf(FALSE_ALARM / 3, size)
    scatter = (white @ white.T / n - np.eye(size)) * np.sqrt(n)
    scatter[np.diag_indices(size)] /= np.sqrt(2)
    assert np.abs(scatter).max() < stats.norm.isf(FALSE_ALARM / 3 / (size * (size + 1)))
    for row in white:
        assert stats.kstest(row, "norm").pvalue > FALSE_ALARM / 3 / size
    assert np.all(np.isnan(chains.source[:2]))


@compiled_only
@pytest.mark.parametrize(
    ("seed", "flux", "radius", "background"),
    [
        (2, 400.0, 1.5, "flat"),
        (3, 100.0, 1.5, "prior"),
        (4, 60.0, 1.0, "none"),
        (5, 5.0, 1.0, "flat"),
        (6, 90.0, 0.2, "plane"),
    ],
)
def test_a_lone_source_equals_a_grid_over_its_disc(seed, flux, radius, background) -> None:
    scene = make_scene(seed, (1,), flux=(flux, flux), radius=radius, background=background)
    chains = sample_fitted(scene, [seed], n_draw=2000)
    expected = oracle.integrate_positions(scene.oracle_group(0), 61)
    assert_moments(chains.source[:, 0], 4, expected.mean, expected.sd)
    away = np.hypot(*(chains.source[:2, 0] - scene.sources.center[0][:, None]))
    assert away.max() <= radius * (1 + 1e-9)


@compiled_only
@pytest.mark.parametrize("columns", [{}, {structs.FLUX_MEAN: 60.0, structs.FLUX_PRECISION: 0.01}])
@pytest.mark.parametrize("floor", [-20.0, 0.0, 50.0])
def test_a_floor_of_the_flux_truncates_a_lone_source(floor, columns) -> None:
    scene = make_scene(
        7, (1,), flux=(30.0, 30.0), radius=1.2, prior={structs.FLUX_FLOOR: floor} | columns
    )
    chains = sample_fitted(scene, [8], n_draw=2000)
    assert chains.source[2].min() >= floor
    expected = oracle.integrate_positions(scene.oracle_group(0), 61)
    assert_moments(chains.source[:, 0], 4, expected.mean, expected.sd)


@compiled_only
@pytest.mark.parametrize("floor", [0.0, 20.0])
def test_floors_of_sources_at_known_places_equal_rejection_sampling(floor) -> None:
    scene = make_scene(
        9,
        (3,),
        flux=(5.0, 40.0),
        separation=1.0,
        spread=3.0,
        prior={structs.FLUX_FLOOR: floor},
        free_x=False,
        free_y=False,
    )
    chains = sample(scene.batch(), [10], n_draw=2000)
    draws = np.concatenate([chains.source[2], chains.shared[:, 0]])
    reference = oracle.draw_truncated(
        scene.oracle_group(0), np.empty(0), 20_000, np.random.default_rng(11)
    )
    assert draws[:3].min() >= floor
    n = len(reference)
    offset = reference - reference.mean(axis=0)
    assert_moments(
        draws,
        4,
        reference.mean(axis=0),
        reference.std(axis=0),
        mean_error=reference.std(axis=0) / np.sqrt(n),
        sd_error=(offset**2).std(axis=0) / np.sqrt(n) / (2 * reference.std(axis=0)),
    )
    np.testing.assert_allclose(
        np.corrcoef(draws), np.corrcoef(reference.T), atol=z_bound(6) * 2 / np.sqrt(2000)
    )


@compiled_only
@pytest.mark.parametrize(
    ("seed", "size", "options"),
    [
        (12, 1, {"shape": "group"}),
        (13, 1, {"shape": "source", "background": "prior"}),
        (14, 2, {"separation": 2.5, "spread": 3.0}),
        (15, 2, {"separation": 2.5, "shape": "group", "background": "prior"}),
        (16, 2, {"separation": 3.0, "shape": "source"}),
        (17, 2, {"separation": 2.5, "spread": 3.0, "prior": {structs.FLUX_FLOOR: 380.0}}),
        (18, 1, {"prior": {structs.PRECISION_X: 900.0, structs.PRECISION_Y: 100.0}}),
        (19, 1, {"free_flux": False, "shape": "group"}),
        (20, 1, {"free_x": False, "background": "plane"}),
    ],
)
def test_posterior_equals_importance_sampling_by_the_oracle(seed, size, options) -> None:
    scene = make_scene(seed, (size,), flux=(400.0, 500.0), **options)
    chains = sample_fitted(scene, [seed], n_draw=1500)
    group = scene.oracle_group(0)
    reference = oracle.draw_weighted(group, 4000, np.random.default_rng(seed))
    # The reference must be worth its name: an effective size, and no weight that rules.
    assert 1.0 / np.sum(reference.weight**2) > 500
    rows = list(chains.source[2]) if group.free_flux else []
    rows += list(chains.shared[:, 0])
    for name, k, *_ in group.free:
        if name == "shape":
            rows.append(np.log(chains.shape[0, k or 0]))
        else:
            rows.append(chains.source["xy".index(name), k])
    of_mean, of_sd = reference.errors()
    assert_moments(
        np.array(rows), 4, reference.mean, reference.sd, mean_error=of_mean, sd_error=of_sd
    )
    assert chains.stats[0, batches.PARETO_K] < 0.7


@compiled_only
def test_a_shared_shape_is_one_draw_for_all_members() -> None:
    scene = make_scene(21, (3,), shape="group")
    chains = sample_fitted(scene, [1])
    np.testing.assert_array_equal(chains.shape[0, 0], chains.shape[0, 1])
    np.testing.assert_array_equal(chains.shape[0, 0], chains.shape[0, 2])
    assert chains.shape.min() > 0


@compiled_only
def test_close_sources_keep_their_order_in_every_draw() -> None:
    scene = make_scene(22, (2,), flux=(80.0, 90.0), separation=1.0, spread=1.5, radius=2.0)
    chains = sample_fitted(scene, [2])
    between = np.subtract(*scene.sources.center)
    along = between @ (chains.source[:2, 0] - chains.source[:2, 1])
    assert along.min() >= 0.0
    # Without the constraint some draws would be the other way round.
    assert along.min() < 0.2 * along.max()


QUICK = {"n_draw": 40, "max_thin": 1} if INTERPRETED else {"n_draw": 200, "max_thin": 4}


def assert_same_bits(first, second) -> None:
    for name in ("source", "shape", "shared", "source_summary", "shared_summary", "stats"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("shape", ["fixed", "group"])
def test_the_same_seeds_give_the_same_bits(shape) -> None:
    scene = make_scene(23, (1, 2), shape=shape)
    assert_same_bits(sample(scene.batch(), [3, 4], **QUICK), sample(scene.batch(), [3, 4], **QUICK))


def test_other_seeds_give_other_draws() -> None:
    scene = make_scene(23, (1,))
    first, second = (sample(scene.batch(), [seed], **QUICK).source for seed in (3, 4))
    assert not np.any(first == second)


def test_draws_do_not_depend_on_the_place_in_the_batch() -> None:
    scene = make_scene(24, (1, 2, 1), pitch=12)
    seeds = np.array([5, 6, 7])
    whole = sample(scene.batch(), seeds, **QUICK)
    for groups in ([1], [2, 1], [2, 0, 1]):
        part = sample(scene.batch(groups=groups), seeds[groups], **QUICK)
        member = np.concatenate([np.r_[scene.members(g)] for g in groups])
        np.testing.assert_array_equal(part.source, whole.source[:, member])
        np.testing.assert_array_equal(part.shared, whole.shared[:, groups])
        np.testing.assert_array_equal(part.source_summary, whole.source_summary[member])
        np.testing.assert_array_equal(part.stats, whole.stats[groups])


def test_the_batch_is_not_changed() -> None:
    data = make_scene(25, (2,), shape="group").batch()
    before = copy.deepcopy(data.batch)
    sample(data, [1], **QUICK)
    np.testing.assert_array_equal(before.psf.numbers, data.batch.psf.numbers)
    for old, new in zip(before[1:], data.batch[1:], strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_group_without_pixels_is_left_out_and_others_are_not() -> None:
    scene = make_scene(26, (1, 1), pitch=20, background="none")
    weight = scene.pixels.weight.copy()
    weight[:, 20:] = 0.0
    blind = replace(scene, pixels=replace(scene.pixels, weight=weight))
    chains = sample(blind.batch(), [1, 2], **QUICK)
    assert chains.stats[1, batches.ACCEPTANCE] == -1.0
    assert np.all(np.isnan(chains.source[:, 1]))
    assert np.all(np.isnan(chains.source_summary[1]))
    alone = sample(blind.batch(groups=[0]), [1], **QUICK)
    np.testing.assert_array_equal(chains.source[:, :1], alone.source)
    assert np.all(np.isfinite(alone.source))


def test_coincident_sources_do_not_crash() -> None:
    scene = make_scene(27, (2,), radius=0.5)
    value, prior = scene.sources.value.copy(), scene.sources.prior.copy()
    value[1] = value[0]
    prior[:, :2] = value[:, :2]
    prior[:, structs.FLUX_FLOOR] = -100.0
    scene = replace(scene, sources=replace(scene.sources, value=value, prior=prior))
    chains = sample(scene.batch(), [1], **QUICK)
    assert chains.stats[0, batches.ACCEPTANCE] == -1.0 or np.all(np.isfinite(chains.source))


def test_summaries_are_those_of_the_draws() -> None:
    scene = make_scene(28, (2,), shape="group", background="plane")
    tail = 0.1
    chains = sample(scene.batch(), [9], tail=tail, **QUICK)
    rows = [(chains.source_summary[k, c], chains.source[c, k]) for k in range(2) for c in range(3)]
    rows += [(chains.shared_summary[e, 0], chains.shared[e, 0]) for e in range(3)]
    rows += [(chains.source_summary[k, 3], chains.shape[0, k]) for k in range(2)]
    for summary, draws in rows:
        expected = np.quantile(draws, [0.5, tail, 1 - tail])
        places = [diagnostics.MEDIAN, diagnostics.LOW, diagnostics.HIGH]
        # A shape's quantiles are those of its logarithm: they differ where two draws are
        # interpolated, by the square of their distance.
        np.testing.assert_allclose(summary[places], expected, rtol=1e-4)
        assert summary[diagnostics.SD] == pytest.approx(draws.std(ddof=1), rel=1e-9)
    summaries = np.concatenate(
        [chains.source_summary.reshape(-1, 7), chains.shared_summary.reshape(-1, 7)]
    )
    assert chains.stats[0, batches.WORST_R_HAT] == max(1.0, summaries[:, 4].max())
    assert chains.stats[0, batches.WORST_BULK] == summaries[:, 5].min()
    assert chains.stats[0, batches.WORST_TAIL] == summaries[:, 6].min()


@compiled_only
def test_short_chains_are_run_longer_until_they_suffice_or_may_not() -> None:
    scene = make_scene(29, (3,), separation=1.5, spread=2.5, flux=(100.0, 200.0), radius=1.0)
    wish = {"n_draw": 100, "min_ess": 1e9}
    for max_thin in (1, 4, 10):
        chains = sample_fitted(scene, [1], max_thin=max_thin, **wish)
        assert chains.stats[0, batches.THIN] == max_thin
        assert chains.source.shape[2] == 400
        assert np.all(np.isfinite(chains.source))
        assert chains.stats[0, batches.EVALUATIONS] >= 400 * max_thin
    easy = sample_fitted(scene, [1], max_thin=16, n_draw=100, min_ess=1.0, max_r_hat=2.0)
    assert easy.stats[0, batches.THIN] == 1 or easy.stats[0, batches.PARETO_K] > 0.5


def test_a_lone_bright_source_is_accepted_often() -> None:
    scene = make_scene(30, (1,), flux=(3000.0, 3000.0))
    stats_row = sample(scene.batch(), [1], **QUICK).stats[0]
    assert 0.5 < stats_row[batches.ACCEPTANCE] <= 1.0
    assert stats_row[batches.WORST_R_HAT] < 1.3
