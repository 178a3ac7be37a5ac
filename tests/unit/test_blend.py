"""The PSF at a source's place, blended and cut: the same light as that of the whole PSF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_psf_kinds import make_grid, make_polynomial

import bayesphot as bp
from bayesphot.kernels.structs import DEGREE, N_SHAPE_PRIOR, RADIUS, SHAPE_MEAN
from bayesphot.patch import Pixels, SourceState, cut_batch
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources
from bayesphot.settings import ModelSettings
from bayesphot.target import Target

SIDE, NOISE, RADII = 60, 2.0, 1.5


def varying_psf(kind, *, free=False):
    """Return a PSF that varies strongly over 60 pixels."""
    if kind == "grid":
        images, places = make_grid()
        model = bp.GriddedPSF(images, places, oversampling=2)
    else:
        model = bp.PolynomialPSF(make_polynomial(), middle=(30, 30), scale=(30, 30), oversampling=2)
    model.width.fixed = not free
    return describe_psf(model)


def make_target(psf, radius=RADII, seed=1):
    """Return a pair at its truth in noise, its target, its places."""
    value = np.array([[25.3, 31.8, 900.0, 0.0], [28.1, 33.2, 500.0, 0.0]])
    image = np.random.default_rng(seed).normal(0.0, NOISE, (SIDE, SIDE))
    image += render_sources((SIDE, SIDE), value, psf)
    blank = np.zeros((SIDE, SIDE))
    pixels = Pixels(image, np.full((SIDE, SIDE), NOISE**-2), blank, 1.0)
    prior = np.zeros((2, SHAPE_MEAN + N_SHAPE_PRIOR))
    prior[:, :2], prior[:, RADIUS] = value[:, :2], radius
    prior[:, SHAPE_MEAN + 1] = 25.0
    shape = "group" if psf.free_shapes else "fixed"
    settings = ModelSettings(psf, fit_shape=(11, 11), background="none", shape=shape)
    model = render_sources((SIDE, SIDE), value, psf)
    data = cut_batch(
        pixels, model, SourceState(value, prior), np.arange(2), np.array([0, 2]), settings,
        sampling=True,
    )  # fmt: skip
    return Target(data, 0, settings.layout(2, sampling=True)), image


def profile_log_likelihood(psf, image, target, theta):
    """Return the log density by whole images, each source with the PSF of its start."""
    state = np.array([[25.3, 31.8, 1.0, 0.0], [28.1, 33.2, 1.0, 0.0]])
    corner = target.data.batch.rows[0, [3, 2]]
    n_row, n_col, row, column = target.data.batch.rows[0]
    units = []
    for k in range(2):
        start = state[k].copy()
        moved = theta[2 * k : 2 * k + 2] + corner
        frozen = replace(psf, numbers=freeze(psf, start[:2]))
        source = np.array([[*moved, 1.0, theta[4] if theta.size > 4 else 0.0]])
        unit = render_sources((SIDE, SIDE), source, frozen)
        units.append(unit[row : row + n_row, column : column + n_col].ravel())
    design = np.array(units).T
    weight = target.data.batch.weight
    used = weight > 0
    design, data = design[used], image[row : row + n_row, column : column + n_col].ravel()[used]
    matrix = design.T @ design / NOISE**2
    rhs = design.T @ data / NOISE**2
    value = 0.5 * rhs @ np.linalg.solve(matrix, rhs) - 0.5 * np.linalg.slogdet(matrix)[1]
    if theta.size > 4:
        value -= 0.5 * 25.0 * theta[4] ** 2
    return value


def freeze(psf, place):
    """Return the numbers of the PSF at one place, from its images summed in plain numpy."""
    x, y = place
    if psf.numbers[DEGREE] > 0:
        u, v = (x - 30) / 30, (y - 30) / 30
        image = np.tensordot([1, u, v, u**2, u * v, v**2], make_polynomial(), 1)
    else:
        images, places = make_grid()
        shares = [
            max(1 - abs(x - px) / 40.0, 0.0) * max(1 - abs(y - py) / 25.0, 0.0) for px, py in places
        ]
        image = np.tensordot(shares, images, 1)
    return describe_psf(bp.ImagePSF(image, oversampling=2)).numbers


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("radius", [RADII, np.inf])
@pytest.mark.parametrize("kind", ["grid", "polynomial"])
def test_the_density_is_that_of_the_psf_at_the_place_of_the_start(kind, radius, free) -> None:
    """Wherever in its disc a source moves: what was cut away is never asked for."""
    psf = varying_psf(kind, free=free)
    target, image = make_target(psf, radius)
    rng = np.random.default_rng(3)
    thetas = []
    for _ in range(12):
        theta = target.start()
        angle, far = rng.uniform(0, 6.3, 2), RADII * np.sqrt(rng.uniform(0, 1, 2))
        theta[:4] += np.column_stack([far * np.cos(angle), far * np.sin(angle)]).ravel()
        # The order of the pair is part of the prior.
        if theta[2] < theta[0]:
            continue
        if free:
            theta[4] += rng.normal(0.0, 0.1)
        thetas.append(theta)
    found = target.log_density(np.array(thetas))
    expected = [profile_log_likelihood(psf, image, target, theta) for theta in thetas]
    assert np.isfinite(found).all()
    difference = found - expected
    np.testing.assert_allclose(difference, difference[0], atol=1e-6 * np.ptp(expected) + 1e-7)
