"""Images of sources of which some changed are those of all sources, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.kernels.structs import FLUX, SHAPE, X, Y
from bayesphot.psf import describe_psf
from bayesphot.render import render_changes, render_sources

SHAPE_YX = (90, 110)
SEED = 3


def make_image_psf():
    """Return an oversampled image of a Moffat."""
    y, x = np.indices((121, 121)) - 60.0
    return bp.ImagePSF((1.0 + (x**2 + y**2) / 64.0) ** -3.0, oversampling=4)


PSFS = {
    "gaussian": bp.IntegratedGaussianPRF(sigma=1.3),
    "elliptical": bp.GaussianPRF(x_fwhm=2.0, y_fwhm=4.0, theta=30.0),
    "moffat": bp.MoffatPRF(alpha=2.0, beta=2.5),
    "airy": bp.AiryDiskPRF(radius=3.0),
    "image": make_image_psf(),
}


@pytest.fixture(params=PSFS)
def psf(request):
    return describe_psf(PSFS[request.param]).with_floor(0.3)


@pytest.fixture
def sources(psf):
    """Return 120 sources (n, C), some off the image, and some of no or negative flux."""
    rng = np.random.default_rng(SEED)
    state = np.empty((120, psf.n_column))
    state[:, X] = rng.uniform(-9.0, SHAPE_YX[1] + 9.0, 120)
    state[:, Y] = rng.uniform(-9.0, SHAPE_YX[0] + 9.0, 120)
    state[:, FLUX] = 10.0 ** rng.uniform(0.0, 5.0, 120)
    state[:3, FLUX] = 0.0, -500.0, -5e4
    state[:, SHAPE:] = psf.columns_start
    return state


@pytest.mark.parametrize("n_changed", [0, 1, 5, 60])
def test_image_of_changes_is_that_of_all_sources(psf, sources, n_changed):
    rng = np.random.default_rng(SEED + n_changed)
    changed = rng.choice(120, n_changed, replace=False)
    after = sources.copy()
    after[changed, X] += rng.normal(0.0, 3.0, n_changed)
    after[changed, Y] += rng.choice([0.0, 0.5], n_changed)
    after[changed, FLUX] *= rng.uniform(0.1, 30.0, n_changed)
    if psf.n_column > SHAPE:
        after[changed, SHAPE] += rng.normal(0.0, 0.3, n_changed)
    model = render_sources(SHAPE_YX, sources, psf)
    found = render_changes(model, sources, after, psf)
    np.testing.assert_array_equal(found, render_sources(SHAPE_YX, after, psf))
    assert (found != model).any() == (n_changed > 0)


def test_nothing_is_rendered_beyond_its_limit(psf, sources):
    y, x = np.indices((201, 201)) - 100.0
    for state in sources[::5]:
        state = state.copy()
        state[[X, Y]] = 100.3, 99.8
        light = render_sources((201, 201), state[None], psf)
        limit = np.ceil(psf.find_limit(state[None])[0]) + 1.0
        assert not light[(np.abs(x) > limit) | (np.abs(y) > limit)].any()
