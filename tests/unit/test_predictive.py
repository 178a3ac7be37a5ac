"""Posterior-predictive p-values: discrepancies against plain numpy, replicas against simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from kernel_scene import INTERPRETED, make_scene
from numpy.testing import assert_allclose
from scipy import stats

from bayesphot.kernels.discrepancy import EXPECTED, OBSERVED, SPREAD, fill_discrepancies
from bayesphot.kernels.structs import CCD_NOISE, CONTAMINATED_NOISE, POISSON_NOISE, STUDENT_NOISE
from bayesphot.noise import (
    CCDNoise,
    ContaminatedGaussian,
    PixelNoise,
    PoissonNoise,
    StudentTNoise,
)
from bayesphot.sampling import BatchDraws, predict_p_values
from bayesphot.sampling.predictive import find_moments

NONE = np.zeros(2)
SKY = 40.0
NOISES = {
    "ccd": CCDNoise(gain=2.0, read_noise=6.0),
    "poisson": PoissonNoise(),
    "student": StudentTNoise(dof=3.0),
    "contaminated": ContaminatedGaussian(fraction=0.05, width=8.0),
}


def draw_states(scene, data, n_draw, rng):
    """Return draws of (x, y, flux), shape and shared columns about the scene's state."""
    batch = data.batch
    n_source, n_shared = batch.state.shape[0], batch.shared_prior.shape[1]
    source = np.repeat(batch.state[:, :3].T[:, :, None], n_draw, axis=2)
    source[:2] += rng.normal(0.0, 0.2, (2, n_source, n_draw))
    if scene.settings.free_flux:
        source[2] *= rng.uniform(0.8, 1.2, source[2].shape)
    shape = np.empty((0, n_source, n_draw))
    if scene.settings.shape != "fixed":
        shape = np.exp(batch.state[:, 3:] + rng.normal(0.0, 0.05, (n_source, n_draw)))[None]
    return source, shape, rng.normal(0.0, 0.5, (n_shared, scene.n_group, n_draw))


def model_of(scene, group, draws, g, m):
    """Return the model on a group's pixels, neighbours left out, by the oracle's profiles."""
    source, shape, shared = draws
    model = group.sky @ shared[:, g, m] if group.sky.shape[1] else np.zeros(group.x.size)
    for k in range(*scene.members(g).indices(10**6)):
        log_shape = scene.sources.value[k, 3] if shape.shape[0] == 0 else np.log(shape[0, k, m])
        model = model + oracle.render_source(group.x, group.y, [*source[:, k, m], log_shape])
    return model


MODELS = {
    "known sky": {"background": "none"},
    "plane": {"background": "plane"},
    "known fluxes": {"free_flux": False},
    "own shapes": {"shape": "source", "background": "plane"},
    "shared shape, bad pixels": {"shape": "group", "masked": 0.2},
}


@pytest.mark.parametrize("name", MODELS)
def test_chi_squared_is_that_of_plain_numpy(name) -> None:
    scene = make_scene(31, (2, 1), **MODELS[name])
    data = scene.batch()
    draws = draw_states(scene, data, 5, np.random.default_rng(1))
    pick = np.array([0, 3])
    out = np.empty((3, 2, 2))
    fill_discrepancies(data.batch, *draws, pick, NONE, 1.0, out)
    for g in range(2):
        group = scene.oracle_group(g)
        for i, m in enumerate(pick):
            r = group.data - model_of(scene, group, draws, g, m)
            assert_allclose(out[OBSERVED, g, i], np.sum(group.weight * r**2), rtol=1e-6)
        assert_allclose(out[EXPECTED, g], group.x.size)
        assert_allclose(out[SPREAD, g], 2 * group.x.size)


def noisy_batch(noise, rng):
    """Return a scene of one group, its batch with this noise, and the scale of its pixels."""
    scene = make_scene(32, (2,), background="flat")
    pixels = scene.pixels
    sky = np.full(pixels.data.shape, SKY)
    scale2 = 9.0 * rng.uniform(0.8, 1.2, sky.shape)
    # Data and weights of the sampling are others: the discrepancy must not look at them.
    spoilt = replace(
        pixels,
        data=pixels.data + 50.0,
        noise=PixelNoise(
            noise,
            # A CCD knows its variance: nothing is added to it.
            noise.known(sky, scale2 if noise.takes_error else 0.0),
            pixels.data,
            pixels.weight,
        ),
    )
    return scene, replace(scene, pixels=spoilt).batch(), scale2


def compare_pixels(noise, data, model, scale2):
    """Return the discrepancy of each pixel, written down by scipy."""
    if isinstance(noise, CCDNoise):
        variance = (noise.read_noise / noise.gain) ** 2 + np.maximum(model + SKY, 0) / noise.gain
        return (data - model) ** 2 / variance
    if isinstance(noise, PoissonNoise):
        return (data - model) ** 2 / (model + SKY)
    z = (data - model) / np.sqrt(scale2)
    if isinstance(noise, StudentTNoise):
        return -2.0 * (stats.t.logpdf(z, noise.dof) - stats.t.logpdf(0.0, noise.dof))
    density = (1 - noise.fraction) * stats.norm.pdf(z)
    density = density + noise.fraction / noise.width * stats.norm.pdf(z / noise.width)
    return -2.0 * np.log(density * np.sqrt(2.0 * np.pi))


@pytest.mark.parametrize("name", NOISES)
def test_discrepancies_of_other_noise_are_those_of_scipy(name) -> None:
    noise = NOISES[name]
    scene, data, scale2 = noisy_batch(noise, np.random.default_rng(2))
    draws = draw_states(scene, data, 3, np.random.default_rng(3))
    out = np.empty((3, 1, 1))
    moments = np.array(find_moments(noise.kind, noise.numbers()))
    fill_discrepancies(data.batch, *draws, np.array([1]), moments, 1.0, out)
    group = scene.oracle_group(0)
    model = model_of(scene, group, draws, 0, 1)
    place = group.y.astype(int), group.x.astype(int)
    d = compare_pixels(noise, group.data, model, scale2[place])
    assert_allclose(out[OBSERVED], d.sum(), rtol=1e-6)


REPLICAS = 400 if INTERPRETED else 4000


@pytest.mark.parametrize("name", NOISES)
def test_mean_and_variance_are_those_of_replicated_data(name) -> None:
    """Data drawn from a state scatter in D as the kernel says."""
    noise, rng = NOISES[name], np.random.default_rng(4)
    scene, data, scale2 = noisy_batch(noise, rng)
    draws = draw_states(scene, data, 1, rng)
    out = np.empty((3, 1, 1))
    moments = np.array(find_moments(noise.kind, noise.numbers()))
    fill_discrepancies(data.batch, *draws, np.array([0]), moments, 1.0, out)
    group = scene.oracle_group(0)
    model = model_of(scene, group, draws, 0, 0)
    scale2 = scale2[group.y.astype(int), group.x.astype(int)]
    size = (REPLICAS, model.size)
    if noise.kind == CCD_NOISE:
        variance = (noise.read_noise / noise.gain) ** 2 + (model + SKY) / noise.gain
        data = model + np.sqrt(variance) * rng.normal(size=size)
    elif noise.kind == POISSON_NOISE:
        data = rng.poisson(model + SKY, size) - SKY
    elif noise.kind == STUDENT_NOISE:
        data = model + np.sqrt(scale2) * rng.standard_t(noise.dof, size)
    else:
        assert noise.kind == CONTAMINATED_NOISE
        wide = np.where(rng.random(size) < noise.fraction, noise.width, 1.0)
        data = model + np.sqrt(scale2) * wide * rng.normal(size=size)
    total = compare_pixels(noise, data, model, scale2).sum(axis=1)
    # Five standard errors; that of a variance of nearly normal sums is sqrt(2 / n).
    error = np.sqrt(out[SPREAD, 0, 0] / REPLICAS)
    assert abs(total.mean() - out[EXPECTED, 0, 0]) < 5.0 * error
    assert_allclose(total.var(), out[SPREAD, 0, 0], rtol=5.0 * np.sqrt(2.2 / REPLICAS))


def test_p_values_are_means_over_draws_and_nan_without() -> None:
    scene = make_scene(33, (1, 2))
    data = scene.batch()
    source, shape, shared = draw_states(scene, data, 40, np.random.default_rng(5))
    source[:, scene.members(1)] = np.nan
    draws = BatchDraws(source, shape, shared, *[np.empty((2, 7))] * 3)
    p = predict_p_values(data, draws, PixelNoise())
    group = scene.oracle_group(0)
    chi2 = [
        np.sum(group.weight * (group.data - model_of(scene, group, draws_of(draws), 0, m)) ** 2)
        for m in range(40)
    ]
    assert_allclose(p[0], stats.chi2.sf(chi2, group.x.size).mean(), rtol=1e-4, atol=1e-12)
    assert np.isnan(p[1])


def draws_of(draws):
    return draws.source, draws.shape, draws.shared
