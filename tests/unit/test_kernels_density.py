"""The collapsed density of the kernels against dense linear algebra over the same pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from kernel_scene import INTERPRETED, make_scene, move_to_patch, open_group, open_kernel
from scipy import stats

from bayesphot.kernels import density, gram, laplace, structs
from bayesphot.priors import LogUniform, TruncatedNormal

N_SEED = 2 if INTERPRETED else 6

#: Interpolated profiles (1e-9) cost 1e-6 of a log density here; a pixel lost or counted twice,
#: or a wrong prior term, costs above 1e-2.
TOLERANCE = 2e-5

MODELS = {
    "known sky": {"background": "none"},
    "sky with a prior": {"background": "prior"},
    "flat sky": {"background": "flat"},
    "plane": {"background": "plane"},
    "fluxes with priors": {
        "prior": {structs.FLUX_MEAN: 900.0, structs.FLUX_PRECISION: 1e-4},
    },
    "positions with priors": {
        "prior": {structs.PRECISION_X: 40.0, structs.PRECISION_Y: 90.0},
    },
    "known fluxes": {"free_flux": False},
    "known fluxes and plane": {"free_flux": False, "background": "plane"},
    "known fluxes and sky": {"free_flux": False, "background": "none"},
    "shared shape": {"shape": "group"},
    "own shapes": {"shape": "source", "background": "plane"},
    "shape of the image": {"shape": "image", "background": "prior"},
    "shape alone": {"shape": "group", "free_x": False, "free_y": False},
    "rows alone": {"free_x": False},
    "bad pixels": {"masked": 0.2, "background": "plane", "shape": "group"},
    "oblong boxes": {"fit_shape": (7, 13), "masked": 0.05},
}


def draw_thetas(scene, group, n, rng):
    """Return n parameter vectors inside the support, a few tenths of a pixel about the start."""
    start = oracle.start_theta(group)
    thetas = []
    while len(thetas) < n:
        theta = start + rng.normal(0.0, 0.15, start.size)
        if oracle.log_prior(group, theta) > -np.inf:
            thetas.append(theta)
    return thetas


def evaluate(data, g, theta, free):
    unpacked, work = open_group(data, g)
    return open_kernel(density.log_density)(move_to_patch(data, g, theta, free), unpacked, work)


def evaluate_gradient(data, g, theta, free):
    unpacked, work = open_group(data, g)
    columns = open_kernel(gram.allocate_columns)(unpacked)
    n_all = unpacked.n_column * unpacked.n_source + unpacked.n_shared
    gradient = np.full(len(free), np.nan)
    value = open_kernel(laplace.log_density_gradient)(
        move_to_patch(data, g, theta, free),
        unpacked,
        work,
        columns,
        np.zeros((n_all, n_all)),
        np.empty(n_all),
        gradient,
    )
    return value, gradient


@pytest.mark.parametrize("seed", range(N_SEED))
@pytest.mark.parametrize("model", MODELS)
def test_log_density_equals_the_oracle_up_to_a_constant(model, seed) -> None:
    sizes = np.random.default_rng(seed).integers(1, 5, 2)
    scene = make_scene(seed, sizes, **MODELS[model])
    data = scene.batch()
    rng = np.random.default_rng(100 + seed)
    for g in range(scene.n_group):
        group = scene.oracle_group(g)
        thetas = draw_thetas(scene, group, 5, rng)
        mine = np.array([evaluate(data, g, t, group.free) for t in thetas])
        theirs = np.array([oracle.log_density(group, t) for t in thetas])
        assert np.ptp(theirs) > 0.1
        np.testing.assert_allclose(mine - mine[0], theirs - theirs[0], rtol=1e-9, atol=TOLERANCE)


@pytest.mark.parametrize("model", ["flat sky", "plane", "own shapes", "bad pixels"])
def test_sources_beside_the_group_enter_as_neighbours(model) -> None:
    scene = make_scene(3, (2, 2), pitch=8, **MODELS[model])
    data = scene.batch()
    group = scene.oracle_group(0)
    alone = replace(group, data=group.data + 100.0 * np.exp(-0.1 * group.x))
    thetas = draw_thetas(scene, group, 4, np.random.default_rng(4))
    mine = np.array([evaluate(data, 0, t, group.free) for t in thetas])
    theirs = np.array([oracle.log_density(group, t) for t in thetas])
    wrong = np.array([oracle.log_density(alone, t) for t in thetas])
    np.testing.assert_allclose(mine - mine[0], theirs - theirs[0], atol=TOLERANCE)
    assert np.abs(wrong - wrong[0] - (mine - mine[0])).max() > 1.0


def test_windows_of_the_patch_lose_nothing_that_counts() -> None:
    scene = make_scene(5, (3,), background="plane")
    group = scene.oracle_group(0)
    thetas = draw_thetas(scene, group, 6, np.random.default_rng(6))
    whole = np.array([evaluate(scene.batch(), 0, t, group.free) for t in thetas])
    cut = np.array([evaluate(scene.batch(everywhere=False), 0, t, group.free) for t in thetas])
    # Beyond its window a source is under a tenth of the noise in each pixel.
    np.testing.assert_allclose(cut - cut[0], whole - whole[0], atol=0.05)


def test_outside_a_disc_there_is_no_density() -> None:
    scene = make_scene(7, (1,), radius=0.5)
    group, data = scene.oracle_group(0), scene.batch()
    center = oracle.start_theta(group)
    angle = np.linspace(0.0, 2 * np.pi, 9)[:-1]
    for step in np.stack([np.cos(angle), np.sin(angle)], axis=1):
        assert evaluate(data, 0, center + 0.499 * step, group.free) > -np.inf
        assert evaluate(data, 0, center + 0.501 * step, group.free) == -np.inf
    assert evaluate(data, 0, np.array([np.nan, center[1]]), group.free) == -np.inf


def test_close_sources_keep_the_order_of_their_starts() -> None:
    scene = make_scene(8, (2,), radius=3.0)
    group, data = scene.oracle_group(0), scene.batch()
    theta = oracle.start_theta(group)
    swapped = theta[[2, 3, 0, 1]]
    assert evaluate(data, 0, theta, group.free) > -np.inf
    assert evaluate(data, 0, swapped, group.free) == -np.inf
    assert oracle.log_density(group, swapped) == -np.inf


def test_sources_whose_discs_do_not_meet_have_no_order() -> None:
    scene = make_scene(9, (2,), radius=0.4, separation=2.5)
    group, data = scene.oracle_group(0), scene.batch()
    theta = oracle.start_theta(group)
    open_prior = group.prior.copy()
    open_prior[:, structs.RADIUS] = np.inf
    wide = replace(scene, sources=replace(scene.sources, prior=open_prior))
    assert evaluate(data, 0, theta[[2, 3, 0, 1]], group.free) == -np.inf
    assert evaluate(wide.batch(), 0, theta[[2, 3, 0, 1]], group.free) > -np.inf


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-9, 1e-5, 1e-3])
@pytest.mark.parametrize("shape", ["fixed", "group"])
def test_coincident_sources_survive(gap, shape) -> None:
    scene = make_scene(10, (3,), background="plane", shape=shape)
    group, data = scene.oracle_group(0), scene.batch()
    prior = group.prior.copy()
    prior[:, structs.RADIUS] = np.inf
    data = scene_with_prior(scene, prior).batch()
    theta = oracle.start_theta(group)
    theta[2:4] = theta[:2] + gap
    value = evaluate(data, 0, theta, group.free)
    assert value == -np.inf or np.isfinite(value)
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient = evaluate_gradient(data, 0, theta, group.free)
    assert value == -np.inf or np.all(np.isfinite(gradient))


def test_nearly_coincident_sources_still_have_the_right_density() -> None:
    scene = make_scene(11, (2,), background="flat")
    prior = scene.sources.prior.copy()
    prior[:, structs.RADIUS] = np.inf
    scene = scene_with_prior(scene, prior)
    group, data = scene.oracle_group(0), scene.batch()
    theta = oracle.start_theta(group)
    other = theta.copy()
    other[2:] = other[:2] + [0.02, 0.0]
    mine = evaluate(data, 0, other, group.free) - evaluate(data, 0, theta, group.free)
    theirs = oracle.log_density(group, other) - oracle.log_density(group, theta)
    assert mine == pytest.approx(theirs, abs=TOLERANCE)


def test_a_group_without_good_pixels_has_no_density_or_a_flat_one() -> None:
    scene = make_scene(12, (2,), background="flat", masked=1.0)
    group, data = scene.oracle_group(0), scene.batch()
    assert evaluate(data, 0, oracle.start_theta(group), group.free) == -np.inf


@pytest.mark.parametrize("seed", range(1 if INTERPRETED else 3))
@pytest.mark.parametrize("model", MODELS)
def test_gradient_equals_central_differences_of_the_density(model, seed) -> None:
    size = int(np.random.default_rng(seed).integers(1, 4))
    scene = make_scene(20 + seed, (size,), **MODELS[model])
    data, group = scene.batch(), scene.oracle_group(0)
    theta = draw_thetas(scene, group, 1, np.random.default_rng(seed))[0]
    value, gradient = evaluate_gradient(data, 0, theta, group.free)
    h = 1e-3
    differences = np.empty(theta.size)
    for a in range(theta.size):
        steps = []
        for s in (-2, -1, 1, 2):
            moved = theta.copy()
            moved[a] += s * h
            steps.append(evaluate(data, 0, moved, group.free))
        differences[a] = (steps[0] - 8 * steps[1] + 8 * steps[2] - steps[3]) / (12 * h)
    assert np.abs(gradient).max() > 1.0
    # The objective is good to 1e-6, its difference quotient to 1e-3; truncation is h^4.
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=2e-3)
    reference = evaluate(data, 0, theta, group.free)
    if np.isfinite(value) and group.free_flux:
        assert value == pytest.approx(reference, rel=1e-12)


def scene_with_prior(scene, prior):
    return replace(scene, sources=replace(scene.sources, prior=prior))


@pytest.mark.parametrize("shape", ["group", "source"])
def test_densities_of_offsets_and_shapes_are_added_as_they_are(shape) -> None:
    """Scipy's log densities of the offsets and of the shape, not of its logarithm."""
    offset, width = TruncatedNormal(0.2, 0.5, -2.0, 3.0), LogUniform(0.3, 4.0)
    rows = {structs.X_DENSITY: offset.whole(), structs.SHAPE_DENSITY: width.whole()}
    columns = {first + i: v for first, row in rows.items() for i, v in enumerate(row)}
    plain = make_scene(31, (2,), shape=shape)
    dense = make_scene(31, (2,), shape=shape, prior=columns)
    group = plain.oracle_group(0)
    x = stats.truncnorm((-2.0 - 0.2) / 0.5, (3.0 - 0.2) / 0.5, 0.2, 0.5)
    for theta in draw_thetas(plain, group, 3, np.random.default_rng(31)):
        added = evaluate(dense.batch(), 0, theta, group.free) - evaluate(
            plain.batch(), 0, theta, group.free
        )
        expected = 0.0
        for value, (name, k, *_) in zip(theta, group.free, strict=True):
            if name == "x":
                expected += x.logpdf(value - plain.sources.center[k, 0])
            elif name == "shape":
                # The chains walk in ln(sigma): d sigma = sigma d ln(sigma).
                expected += stats.loguniform(0.3, 4.0).logpdf(np.exp(value)) + value
        # Differences of log densities of some 1e5.
        assert added == pytest.approx(expected, abs=1e-8)
