"""The compiled least squares against scipy's over the same pixels, and their covariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from kernel_scene import INTERPRETED, make_scene

from bayesphot import fitting
from bayesphot.kernels import batches, structs

SEEDS = range(1 if INTERPRETED else 4)

MODELS = {
    "known sky": {"background": "none"},
    "sky with a prior": {"background": "prior"},
    "flat sky": {"background": "flat"},
    "plane": {"background": "plane"},
    "shared shape": {"shape": "group"},
    "own shapes": {"shape": "source", "background": "prior"},
    "fluxes with priors": {
        "prior": {structs.FLUX_MEAN: 900.0, structs.FLUX_PRECISION: 1e-4},
    },
    "positions with priors": {
        "prior": {structs.PRECISION_X: 400.0, structs.PRECISION_Y: 900.0},
    },
    "known fluxes": {"free_flux": False, "shape": "group"},
    "known positions": {"free_x": False, "free_y": False},
    "rows alone": {"free_x": False, "background": "plane"},
    "bad pixels": {"masked": 0.2, "shape": "group"},
    "oblong boxes": {"fit_shape": (7, 13), "masked": 0.05},
}


def fit_closely(data):
    """Fit a batch to 1e-10 of the formal errors instead of the stages' 1e-4."""
    start = np.concatenate([[0], np.cumsum(fitting.joint_sizes(data) ** 2)])
    n_source, n_group = data.batch.state.shape[0], data.batch.rows.shape[0]
    fit = fitting.GroupFit(
        source=np.full((n_source, 4), np.nan),
        shared=np.full((n_group, data.batch.shared_prior.shape[1]), np.nan),
        group=np.full((n_group, batches.N_FIT), np.nan),
        covariance_start=start,
        covariance=np.full(int(start[-1]), np.nan),
        conditional=np.full(n_source, np.nan),
    )
    batches.fit_batch(
        data.batch,
        200,
        1e-10,
        fit.source,
        fit.group,
        fit.covariance_start,
        fit.covariance,
        fit.conditional,
        fit.shared,
    )
    return fit


def read_joint(scene, group, fit, g):
    """Return the joint vector of a fit in the oracle's order."""
    source = fit.source[scene.members(g)]
    column = {"x": 0, "y": 1, "shape": 3}
    theta = [source[k or 0, column[name]] for name, k, *_ in group.free]
    fluxes = source[:, 2] if group.free_flux else []
    return np.concatenate([fluxes, fit.shared[g], theta])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", MODELS)
def test_optimum_equals_scipys_on_the_same_pixels(model, seed) -> None:
    sizes = np.random.default_rng(seed).integers(1, 4, 2)
    scene = make_scene(seed, sizes, **MODELS[model])
    fit = fit_closely(scene.batch(sampling=False))
    for g in range(scene.n_group):
        group = scene.oracle_group(g, sampling=False)
        expected = oracle.fit_group(group)
        mine = read_joint(scene, group, fit, g)
        # 1e-6 of a flux, of a pixel, of ln(shape) and of the noise; a pixel counted twice or a
        # stale weight moves the optimum by 1e-2 of its error.
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-6)
        chi2 = oracle.sum_chi2(group, expected)
        assert fit.group[g, batches.FIT_CHI2] == pytest.approx(chi2, rel=1e-6)
        assert fit.group[g, batches.FIT_STATUS] == structs.CONVERGED


@pytest.mark.parametrize("model", ["flat sky", "plane", "shared shape", "positions with priors"])
def test_the_stages_tolerance_leaves_a_thousandth_of_the_errors(model) -> None:
    scene = make_scene(31, (1, 2, 3), **MODELS[model])
    data = scene.batch(sampling=False)
    loose, close = fitting.fit_groups(data), fit_closely(data)
    for g in range(scene.n_group):
        group = scene.oracle_group(g, sampling=False)
        error = np.sqrt(np.diag(close.covariance_of(g)))
        step = read_joint(scene, group, loose, g) - read_joint(scene, group, close, g)
        assert np.abs(step / error).max() < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", MODELS)
def test_covariance_equals_the_inverse_fisher_matrix(model, seed) -> None:
    sizes = np.random.default_rng(seed).integers(1, 4, 2)
    scene = make_scene(seed, sizes, **MODELS[model])
    fit = fit_closely(scene.batch(sampling=False))
    for g in range(scene.n_group):
        group = scene.oracle_group(g, sampling=False)
        fisher = oracle.build_fisher(group, read_joint(scene, group, fit, g))
        expected = np.linalg.inv(fisher)
        error = np.sqrt(np.diag(expected))
        # In units of the errors; profiles good to 1e-9 count by the matrix's condition.
        np.testing.assert_allclose(
            fit.covariance_of(g) / np.outer(error, error),
            expected / np.outer(error, error),
            rtol=0,
            atol=1e-6,
        )


@pytest.mark.parametrize("model", [m for m in MODELS if m != "known fluxes"])
def test_conditional_flux_variance_holds_the_mates_still(model) -> None:
    scene = make_scene(41, (1, 3), **MODELS[model])
    fit = fit_closely(scene.batch(sampling=False))
    for g in range(scene.n_group):
        group = scene.oracle_group(g, sampling=False)
        fisher = oracle.build_fisher(group, read_joint(scene, group, fit, g))
        conditional = fit.conditional[scene.members(g)]
        expected = [oracle.invert_conditional(group, fisher, k) for k in range(group.n_source)]
        np.testing.assert_allclose(conditional, expected, rtol=1e-6)
        marginal = np.diag(fit.covariance_of(g))[: group.n_source]
        assert np.all(conditional <= marginal * (1 + 1e-9))
    # Nobody to hold still: the same number.
    assert fit.conditional[0] == pytest.approx(fit.covariance_of(0)[0, 0], rel=1e-9)


def test_known_fluxes_have_no_conditional_variance() -> None:
    scene = make_scene(41, (2,), free_flux=False)
    fit = fitting.fit_groups(scene.batch(sampling=False))
    assert np.all(np.isnan(fit.conditional))
    np.testing.assert_array_equal(fit.source[:, 2], scene.sources.value[:, 2])


def test_pixels_shared_by_boxes_count_once() -> None:
    # Two boxes upon the same pixels: the error is that of one box, not 1/sqrt(2) of it.
    scene = make_scene(51, (2,), spread=2.0, separation=1.5, fit_shape=(15, 15))
    data = scene.batch(sampling=False)
    group = scene.oracle_group(0, sampling=False)
    assert data.n_pixel[0] < 0.75 * data.n_box_pixel.sum()
    fit = fit_closely(data)
    fisher = oracle.build_fisher(group, read_joint(scene, group, fit, 0))
    np.testing.assert_allclose(
        np.sqrt(np.diag(fit.covariance_of(0))),
        np.sqrt(np.diag(np.linalg.inv(fisher))),
        rtol=1e-5,
    )


def test_positions_stay_on_their_disc() -> None:
    scene = make_scene(61, (1,), radius=0.05, start_error=0.3)
    fit = fitting.fit_groups(scene.batch(sampling=False))
    away = np.hypot(*(fit.source[0, :2] - scene.sources.center[0]))
    assert away == pytest.approx(0.05, rel=1e-6)
    assert np.all(np.isfinite(fit.source))


def score_width(data, fit):
    """Return scores and information of the one shape of a Gaussian."""
    scores, information = fitting.score_shapes(data, fit, np.array([0]))
    return scores[:, 0], information[:, 0, 0]


def blind(scene, good):
    """Return the scene with all pixels bad but where ``good``."""
    pixels = replace(scene.pixels, weight=np.where(good, scene.pixels.weight, 0.0))
    return replace(scene, pixels=pixels)


def assert_degenerate(fit) -> None:
    """The fit confesses: the status says so and no covariance is finite."""
    assert fit.group[0, batches.FIT_STATUS] == structs.DEGENERATE
    assert np.all(np.isinf(fit.covariance_of(0)))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("background", ["none", "flat", "plane"])
def test_no_good_pixel_is_degenerate(size, background) -> None:
    scene = make_scene(71, (size,), background=background)
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = fitting.fit_groups(blind(scene, False).batch(sampling=False, everywhere=False))
    assert_degenerate(fit)
    assert np.all(np.isinf(fit.conditional))


@pytest.mark.parametrize("n_pixel", [1, 2, 3])
def test_fewer_pixels_than_parameters_are_degenerate(n_pixel) -> None:
    scene = make_scene(72, (1,))
    x, y = np.rint(scene.sources.center[0]).astype(int)
    good = np.zeros(scene.pixels.data.shape, bool)
    good[y, x : x + n_pixel] = True
    assert_degenerate(fitting.fit_groups(blind(scene, good).batch(sampling=False)))


def test_a_source_seen_in_one_column_is_uncertain_not_certain() -> None:
    # Its place across the column cannot be known: flux and x trade for each other.
    scene = make_scene(73, (1,), background="none")
    x = int(np.rint(scene.sources.center[0, 0]))
    good = np.zeros(scene.pixels.data.shape, bool)
    good[:, x] = True
    fit = fitting.fit_groups(blind(scene, good).batch(sampling=False))
    assert_degenerate(fit)
    assert np.isinf(fit.conditional[0])


def test_a_member_without_pixels_makes_its_group_degenerate() -> None:
    scene = make_scene(74, (2,), spread=20.0, separation=15.0, background="none")
    x, y = scene.sources.center[1]
    row, col = np.mgrid[: scene.pixels.data.shape[0], : scene.pixels.data.shape[1]]
    good = np.hypot(col - x, row - y) > 13.0
    fit = fitting.fit_groups(blind(scene, good).batch(sampling=False, everywhere=False))
    assert_degenerate(fit)
    assert np.isinf(fit.conditional[1])


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-7])
def test_coincident_sources_are_degenerate(gap) -> None:
    scene = make_scene(75, (2,))
    value = scene.sources.value.copy()
    value[1] = value[0]
    value[1, 0] += gap
    prior = scene.sources.prior.copy()
    prior[:, :2] = value[:, :2]
    still = replace(scene.settings, free_x=False, free_y=False)
    scene = replace(scene, sources=replace(scene.sources, value=value, prior=prior), settings=still)
    fit = fitting.fit_groups(scene.batch(sampling=False))
    assert_degenerate(fit)
    # With the other held still each is known as well as a lone star, or the fit says nothing.
    group = scene.oracle_group(0, sampling=False)
    lone = oracle.invert_conditional(group, oracle.build_fisher(group, np.ones(3)), 0)
    assert np.all(np.isinf(fit.conditional) | (fit.conditional > lone * (1 - 1e-6)))


def test_a_source_of_no_flux_has_no_certain_position() -> None:
    # The position's columns vanish with the flux: an error of zero would be a lie.
    scene = make_scene(76, (1,), flux=(1e-9, 2e-9))
    scene = replace(scene, pixels=replace(scene.pixels, data=np.zeros(scene.pixels.data.shape)))
    fit = fitting.fit_groups(scene.batch(sampling=False))
    error = np.sqrt(np.diag(fit.covariance_of(0)))
    assert np.all(np.isinf(error)) or np.all(error[2:] > 1e3)


def profile_over_shape(group, log_sigma):
    """Return minus half the least chi-squared at a common ln(shape), all else free."""
    state = group.state.copy()
    state[:, 3] = log_sigma
    fixed = replace(group, state=state)
    joint = oracle.fit_group(fixed)
    return -0.5 * np.sum(oracle.residuals(fixed, joint) ** 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("background", ["none", "prior", "flat", "plane"])
def test_shape_score_is_the_slope_of_the_profile_likelihood(seed, background) -> None:
    scene = make_scene(80 + seed, (1, 2), shape="image", background=background)
    data = scene.batch(sampling=False)
    score, information = score_width(data, fit_closely(data))
    h = 1e-3
    for g in range(scene.n_group):
        group = scene.oracle_group(g, sampling=False)
        log_sigma = group.state[0, 3]
        down, up = (profile_over_shape(group, log_sigma + s * h) for s in (-1, 1))
        # Truncation: h^2 p'''/6, with p''' a few times the information.
        assert score[g] == pytest.approx((up - down) / (2 * h), abs=1e-5 * information[g])
        fisher = oracle.build_fisher(*_with_free_shape(group))
        others = np.arange(len(fisher) - 1)
        expected = fisher[-1, -1] - fisher[-1, others] @ np.linalg.solve(
            fisher[np.ix_(others, others)], fisher[others, -1]
        )
        assert information[g] == pytest.approx(expected, rel=1e-5)


def _with_free_shape(group):
    """Return the group at its optimum with a shape without prior added last, and its joint."""
    joint = np.append(oracle.fit_group(group), group.state[0, 3])
    prior = group.prior.copy()
    prior[:, oracle.SHAPE_PRECISION] = 0.0
    return replace(group, free=(*group.free, ("shape", None, 0)), prior=prior), joint


def test_information_is_the_curvature_of_a_noiseless_profile_likelihood() -> None:
    # Without noise the Gauss-Newton information is the true curvature at the truth.
    scene = make_scene(90, (2,), shape="image", start_error=0.0)
    value = scene.sources.value
    noiseless = replace(scene.pixels, data=oracle.render_image(scene.pixels.data.shape, value))
    scene = replace(scene, pixels=noiseless)
    data = scene.batch(sampling=False)
    score, information = score_width(data, fit_closely(data))
    group, h = scene.oracle_group(0, sampling=False), 2e-3
    down, middle, up = (profile_over_shape(group, group.state[0, 3] + s * h) for s in (-1, 0, 1))
    assert abs(score[0]) < 1e-4 * information[0]
    assert information[0] == pytest.approx(-(up - 2 * middle + down) / h**2, rel=1e-3)


def test_a_group_whose_shape_is_unknowable_has_no_information() -> None:
    scene = blind(make_scene(91, (1,), shape="image"), False)
    with np.errstate(divide="ignore", invalid="ignore"):
        data = scene.batch(sampling=False, everywhere=False)
        score, information = score_width(data, fitting.fit_groups(data))
    assert (score[0], information[0]) == (0.0, 0.0)
