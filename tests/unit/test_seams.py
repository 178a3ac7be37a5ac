"""Room for what is to come: nuisances, a neighbours' state, draws that leave their batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_scene import INTERPRETED, make_scene, sample

from bayesphot import fitting
from bayesphot.layout import Layout
from bayesphot.sampling import BatchDraws, Budget, pick_draws

pytestmark = pytest.mark.skipif(INTERPRETED, reason="thousands of draws")


def add_nuisances(scene):
    """Return the scene with two known images of unknown amplitude, and those images."""
    rng = np.random.default_rng(17)
    y, x = np.indices(scene.pixels.data.shape)
    images = np.stack([np.sin(0.5 * x) * np.cos(0.4 * y), rng.normal(0.0, 1.0, x.shape)])
    return replace(scene, pixels=replace(scene.pixels, nuisance=images)), images


def solve_directly(data, g, images, sd):
    """Return mean and covariance of (fluxes, sky, nuisances) at known positions, in plain numpy."""
    from oracle import integrate_axis

    batch = data.batch
    n_row, n_col, r0, c0 = batch.rows[g]
    part = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    y, x = (v.ravel() for v in np.mgrid[r0 : r0 + n_row, c0 : c0 + n_col])
    members = slice(batch.source_start[g], batch.source_start[g + 1])
    columns = []
    for x0, y0, _, log_sigma in batch.state[members]:
        sigma = np.exp(log_sigma)
        columns.append(integrate_axis(x, x0, sigma) * integrate_axis(y, y0, sigma))
    columns.append(np.ones(x.size))
    columns += [image[y, x] for image in images]
    design = np.stack(columns, axis=1)
    precision = np.zeros(design.shape[1])
    precision[-3] = batch.shared_prior[g, 0, 1]
    precision[-2:] = 1.0 / np.asarray(sd) ** 2
    weight = batch.weight[part]
    normal = design.T @ (weight[:, None] * design) + np.diag(precision)
    residual = batch.data[part] - batch.neighbours[part]
    covariance = np.linalg.inv(normal)
    return covariance @ (design.T @ (weight * residual)), covariance


def test_nuisances_are_linear_parameters_with_normal_priors() -> None:
    """Fitted and sampled with the fluxes, as the exact normal posterior at known positions."""
    sd = (0.7, 2.0)
    scene = make_scene(21, (2, 1), free_x=False, free_y=False, nuisance_sd=sd)
    scene, images = add_nuisances(scene)
    data = scene.batch()
    fit = fitting.fit_groups(data)
    chains = sample(data, [5, 6], n_draw=4000)
    for g, size in enumerate((2, 1)):
        mean, covariance = solve_directly(data, g, images, sd)
        found = np.concatenate([fit.source[scene.members(g), 2], fit.shared[g]])
        np.testing.assert_allclose(found, mean, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(fit.covariance_of(g), covariance, rtol=1e-5)
        draws = np.concatenate([chains.source[2, scene.members(g)], chains.shared[:, g]])
        # Independent draws, 16000: five standard errors.
        error = np.sqrt(np.diag(covariance) / draws.shape[1])
        np.testing.assert_array_less(np.abs(draws.mean(axis=1) - mean), 5.0 * error)
        scatter = draws.std(axis=1) / np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(scatter, 1.0, atol=5.0 / np.sqrt(2 * draws.shape[1]))
        assert mean.size == size + 3


def test_the_layout_knows_the_nuisances_places() -> None:
    layout = Layout(2, n_sky=1, n_nuisance=2)
    assert layout.linear[-2:] == (("nuisance", 0, 0), ("nuisance", 1, 0))
    np.testing.assert_array_equal(layout.places("nuisance"), [3, 4])
    np.testing.assert_array_equal(layout.places("flux"), [0, 1])
    np.testing.assert_array_equal(layout.nonlinear_first, [5, 6, 7, 8, 0, 1, 2, 3, 4])


def test_an_engine_can_be_conditioned_on_a_state_of_the_neighbours() -> None:
    """Light ascribed to a neighbour is not the group's."""
    scene = make_scene(22, (1,), background="none")
    data = scene.batch()
    extra = np.zeros_like(data.batch.neighbours)
    share = 0.25 * (data.batch.data - data.batch.neighbours)
    extra[:] = data.batch.neighbours + share
    given = data.condition(extra)
    plain, conditioned = (sample(d, [3], n_draw=1000).source[2, 0] for d in (data, given))
    assert conditioned.mean() == pytest.approx(0.75 * plain.mean(), rel=0.02)
    np.testing.assert_array_equal(data.batch.neighbours + share, given.batch.neighbours)


def test_trimmed_draws_are_some_of_all_and_summaries_stay() -> None:
    budget = Budget(chains=4, draws=10)
    rng = np.random.default_rng(2)
    draws = BatchDraws(
        source=rng.normal(size=(3, 2, 40)),
        shape=rng.normal(size=(0, 40)),
        shared=rng.normal(size=(1, 2, 40)),
        source_summary=rng.normal(size=(2, 4, 7)),
        shared_summary=rng.normal(size=(1, 2, 7)),
        stats=rng.normal(size=(2, 7)),
    )
    kept = draws.trim(budget, 4)
    pick = pick_draws(budget, 4)
    np.testing.assert_array_equal(pick[:5], [0, 3, 6, 9, 10])
    np.testing.assert_array_equal(kept.source, draws.source[..., pick])
    np.testing.assert_array_equal(kept.shared, draws.shared[..., pick])
    np.testing.assert_array_equal(kept.source_summary, draws.source_summary)
    assert draws.trim(budget, 0).source.shape == (3, 2, 0)
