"""The tilt of a sky: found where there is one, zero where there is none."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.background import measure_tilt


def make_sky(shape=(100, 120), slope=(0.3, -0.2), noise: float = 5.0, seed: int = 1):
    """Return a plane and the same with noise."""
    row, col = np.indices(shape)
    plane = slope[0] * (col - 0.5 * (shape[1] - 1)) + slope[1] * (row - 0.5 * (shape[0] - 1))
    return plane, plane + 50.0 + np.random.default_rng(seed).normal(0.0, noise, shape)


def test_plane_is_found_among_stars():
    plane, image = make_sky()
    stars = bp.simulate_scene(
        image.shape, n_sources=30, sigma=1.5, flux_range=(500, 50_000), noise=0.001, seed=3
    )
    tilt = measure_tilt(image + stars.image, np.zeros(image.shape, dtype=bool))
    np.testing.assert_allclose(tilt, plane, atol=2.0)


def test_bad_pixels_do_not_count():
    plane, image = make_sky()
    bad = np.zeros(image.shape, dtype=bool)
    bad[:40, :50] = True
    image[bad] = 1e6
    np.testing.assert_allclose(measure_tilt(image, bad), plane, atol=2.0)


@pytest.mark.parametrize("seed", range(20))
def test_flat_sky_has_no_tilt_at_all(seed):
    _, image = make_sky(slope=(0.0, 0.0), seed=seed)
    assert not measure_tilt(image, np.zeros(image.shape, dtype=bool)).any()


@pytest.mark.parametrize("shape", [(40, 200), (3, 3), (47, 47)])
def test_images_too_small_for_tiles_have_none(shape):
    _, image = make_sky(shape, slope=(5.0, 5.0))
    assert not measure_tilt(image, np.zeros(shape, dtype=bool)).any()


def test_all_bad_or_constant_images_have_none():
    shape = (100, 100)
    assert not measure_tilt(np.zeros(shape), np.ones(shape, dtype=bool)).any()
    assert not measure_tilt(np.full(shape, 3.0), np.zeros(shape, dtype=bool)).any()


def test_background_image_of_a_result_follows_the_tilt_unless_the_level_is_given():
    plane, image = make_sky()
    stars = bp.simulate_scene(
        image.shape, n_sources=5, sigma=1.5, flux_range=(3000, 5000), noise=0.001, border=10, seed=3
    )
    settings = {
        "psf_model": bp.IntegratedGaussianPRF(sigma=1.5),
        "fitshape": 11,
        "sampler": False,
    }
    phot = bp.BasicPSFPhotometry(bkg_estimator=bp.MMMBackground(), **settings)
    result = phot(image + stars.image, error=5.0, positions=stars.truth)
    np.testing.assert_allclose(result.background_image, plane + 50.0, atol=2.0)
    known = bp.BasicPSFPhotometry(bkg_estimator=50.0, fit_background=False, **settings)
    result = known(image + stars.image, error=5.0, positions=stars.truth)
    assert np.ptp(result.background_image) == 0.0


@pytest.mark.parametrize("from_data", [False, True])
def test_a_map_of_a_tilted_sky_is_taken_as_it_is(from_data):
    plane, image = make_sky()
    level = plane + 50.0

    def give_map(data):
        return level + (0.1 * np.median(data) if from_data else 0.0)

    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
        fitshape=9,
        bkg_estimator=give_map,
        fit_background=False,
        sampler=False,
    )
    result = phot(image, error=5.0, positions={"x_0": [50.0], "y_0": [40.0]})
    # The median of the data, without a tilt or with it, is 50 to the noise of 12 000 pixels: 0.06.
    expected = level + (5.0 if from_data else 0.0)
    np.testing.assert_allclose(result.background_image, expected, atol=0.1)


def test_bad_columns_at_equal_steps_do_not_hide_a_tilt():
    plane, image = make_sky(shape=(240, 240))
    bad = np.zeros(image.shape, dtype=bool)
    bad[:, ::2] = True
    np.testing.assert_allclose(measure_tilt(image, bad), plane, atol=2.0)
