"""Saturated cores: found where an image is cut off, and nowhere else."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

import bayesphot as bp
from bayesphot.image import prepare_image
from bayesphot.saturation import find_plateau, mask_plateau


def make_star(peak: float = 5000.0, sigma: float = 1.6, x: float = 20.3, y: float = 17.8):
    """Return an image (40, 44) of a star without noise."""
    row, col = np.indices((40, 44))
    return peak * np.exp(-0.5 * ((col - x) ** 2 + (row - y) ** 2) / sigma**2)


def add_noise(image, seed: int = 1):
    """Return the image on a sky of 100 with noise of 5."""
    return image + 100.0 + np.random.default_rng(seed).normal(0.0, 5.0, image.shape)


def test_cut_off_core_is_masked_once_said_and_has_its_place(caplog):
    image = np.minimum(add_noise(make_star()), 1500.0)
    prepared = prepare_image(image, error=5.0)
    with caplog.at_level(logging.INFO, logger="bayesphot"):
        masked, plateau = mask_plateau(prepared)
    assert len(caplog.records) == 1
    assert plateau.level == 1500.0
    assert plateau.n_pixel == np.sum(image == 1500.0)
    np.testing.assert_array_equal(~masked.good, binary_dilation(image == 1500.0))
    np.testing.assert_allclose(masked.cores[:, :2], [[20.3, 17.8]], atol=0.4)
    assert prepared.good.all()


def test_smaller_cores_at_the_same_level_are_masked_too():
    image = add_noise(make_star()) + make_star(1700.0, x=8.2, y=30.1)
    masked, _ = mask_plateau(prepare_image(np.minimum(image, 1500.0)))
    assert len(masked.cores) == 2
    assert masked.cores[np.argmin(masked.cores[:, 0]), 0] == pytest.approx(8.2, abs=0.6)


@pytest.mark.parametrize(
    "image",
    [
        make_star(),
        make_star(x=20.0, y=18.0),
        # Four equal pixels, and two: a star without noise between pixels.
        make_star(x=20.5, y=17.5),
        make_star(x=20.5, y=18.0),
        add_noise(make_star()),
        np.round(add_noise(make_star(30.0))).astype(int),
        np.random.default_rng(2).poisson(0.3, (40, 44)),
        np.random.default_rng(2).poisson(6.0, (40, 44)),
        np.zeros((40, 44)),
        np.full((40, 44), 7.0),
        np.minimum(np.random.default_rng(2).normal(0.0, 1.0, (40, 44)), 1.5),
    ],
)
def test_images_without_saturation_are_left_alone(image):
    prepared = prepare_image(image)
    assert find_plateau(prepared) is None
    assert mask_plateau(prepared)[0] is prepared


def test_image_of_bad_pixels_has_no_plateau():
    assert find_plateau(prepare_image(np.ones((5, 5)), mask=np.ones((5, 5), dtype=bool))) is None


def test_a_saturated_star_is_measured_from_its_wings_and_the_meta_says_so():
    image = np.minimum(add_noise(make_star(20_000.0)), 3000.0)
    phot = bp.IterativelySubtractedPSFPhotometry(
        # The star is point-sampled, and its wings are all there is: the width counts.
        psf_model=bp.IntegratedGaussianPRF(sigma=np.sqrt(1.6**2 - 1.0 / 12.0)),
        fitshape=13,
        finder=bp.DAOStarFinder(nsigma=5.0, fwhm=3.8),
        bkg_estimator=bp.MMMBackground(),
        sampler=False,
    )
    result = phot(image, error=5.0)
    assert result.meta["saturation"] == {
        "level": 3000.0,
        "n_pixel": int(np.sum(image == 3000.0)),
    }
    assert len(result) == 1
    assert result["flux_fit"][0] == pytest.approx(20_000.0 * 2.0 * np.pi * 1.6**2, rel=0.15)
    assert result["x_fit"][0] == pytest.approx(20.3, abs=0.1)
    assert "saturation" not in phot(add_noise(make_star()), error=5.0).meta


def test_a_map_of_few_counts_is_not_saturated():
    rng = np.random.default_rng(3)
    image = np.minimum(rng.poisson(0.02 + make_star(60.0 / 16.0)), 1)
    assert np.sum(image) > 20
    assert find_plateau(prepare_image(image)) is None


def test_a_plateau_within_the_noise_is_none():
    image = np.minimum(make_star(100.0), 60.0)
    assert find_plateau(prepare_image(image)) is not None
    assert find_plateau(prepare_image(image, error=5.0)) is None
