"""A sky of tiles: what it follows, what it says of its error, what it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.background import (
    MeshBackground,
    SkyMap,
    estimate_noise,
    estimate_sky,
    map_noise,
)

SIDE = 320


def wavy_sky(amplitude=20.0):
    """Return a tilted sky with a wave 300 pixels long."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return 100.0 + 0.05 * x - 0.03 * y + amplitude * np.sin(2 * np.pi * (x + 0.5 * y) / 300.0)


@pytest.mark.parametrize("statistic", [bp.MMMBackground(), bp.MedianBackground()])
def test_a_plane_is_followed_to_the_border(statistic) -> None:
    """Splines of planes are planes, and the filter leaves planes as they are."""
    y, x = np.mgrid[:SIDE, :SIDE]
    plane = 50.0 + 0.2 * x - 0.1 * y
    sky = MeshBackground(40, statistic=statistic).estimate(plane)
    np.testing.assert_allclose(sky.level, plane, atol=1e-9)


def test_a_wave_is_followed_within_the_error_that_is_quoted() -> None:
    truth = wavy_sky()
    noise = np.random.default_rng(2).normal(0.0, 5.0, truth.shape)
    sky = MeshBackground(40).estimate(truth + noise)
    off = sky.level - truth
    # A tile of 1600 pixels is known to 5 / 40 times MMM's 2.4; the wave adds as much again.
    assert np.sqrt(np.mean(off**2)) < 0.8
    assert 0.5 < np.std(off / sky.error) < 1.3
    constant = bp.MMMBackground().estimate(truth + noise)
    assert np.std(truth - constant.level) > 5.0 * np.std(off)


@pytest.mark.parametrize(
    ("tiles", "whole", "inside"),
    [(6.25, 1.74, 0.79), (7.5, 1.25, 0.67), (10.0, 1.07, 0.74), (15.0, 1.02, 0.87)],
)
def test_pulls_on_waves_are_those_the_pages_quote(tiles, whole, inside) -> None:
    """Waves along an axis, four times as high as the noise, of eight phases.

    A tile and more from the border the error is enough; at the border it is not, where waves are
    short.
    """
    box, noise = 40, 5.0
    pulls = []
    for k in range(8):
        wave = np.sin(2 * np.pi * (np.arange(SIDE) / (box * tiles) + k / 8))
        truth = np.tile(20.0 * wave, (SIDE, 1))
        image = truth + np.random.default_rng(k).normal(0.0, noise, truth.shape)
        sky = MeshBackground(box).estimate(image)
        pulls.append((sky.level - truth) / sky.error)
    pull = np.array(pulls)
    inner = pull[:, box:-box, box:-box]
    # 8 x 64 tiles, and 8 x 36: four standard errors 1 / sqrt(2 n) of their rms.
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(whole, rel=4 / np.sqrt(2 * 8 * 64))
    assert np.sqrt(np.mean(inner**2)) == pytest.approx(inside, rel=4 / np.sqrt(2 * 8 * 36))
    assert np.sqrt(np.mean(inner**2)) < 1.0


def test_the_error_of_a_flat_sky_is_that_of_its_tiles() -> None:
    """No structure: a tile is known to sigma / sqrt(n) times MMM's factor."""
    draws = []
    for seed in range(40):
        image = np.random.default_rng(seed).normal(10.0, 3.0, (200, 200))
        sky = MeshBackground(25).estimate(image)
        draws.append((sky.level[100, 100] - 10.0, sky.error[100, 100]))
    off, error = np.array(draws).T
    # 40 deviates: their sd is within 1.5 of the quoted one but once in 10 000 times.
    assert 1 / 1.5 < np.std(off) / np.mean(error) < 1.5


def test_stars_and_bad_pixels_do_not_enter() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(0.0, 1.0, (SIDE, SIDE))
    clean = MeshBackground(40).estimate(image)
    mask = rng.random(image.shape) < 0.05
    mask[80:160, 80:160] = True
    dirty = np.where(mask, 1e6, image)
    sky = MeshBackground(40).estimate(dirty, mask)
    # Masked tiles have the level of their neighbours.
    assert np.abs(sky.level - clean.level).max() < 0.3
    nan = np.where(mask, np.nan, image)
    np.testing.assert_array_equal(MeshBackground(40).estimate(nan).level, sky.level)


def test_a_tile_with_a_bright_galaxy_takes_the_level_of_its_neighbours() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    sky = wavy_sky(5.0) + np.random.default_rng(9).normal(0.0, 2.0, (SIDE, SIDE))
    galaxy = 500.0 * np.exp(-0.5 * ((x - 140) ** 2 + (y - 180) ** 2) / 12.0**2)
    off = MeshBackground(40).estimate(sky + galaxy).level - MeshBackground(40).estimate(sky).level
    assert np.abs(off).max() < 5.0


def test_the_scatter_follows_the_image() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    true = 2.0 + x / SIDE
    image = np.random.default_rng(6).normal(0.0, true)
    rms = MeshBackground(40).estimate_rms(image)
    assert np.abs(rms / true - 1.0).max() < 0.12


def test_images_smaller_than_a_tile_have_one_level() -> None:
    image = np.random.default_rng(7).normal(30.0, 1.0, (20, 31))
    sky = MeshBackground(64).estimate(image)
    assert np.ptp(sky.level) == 0.0
    assert abs(sky.level[0, 0] - 30.0) < 5 * sky.error[0, 0]


def test_a_map_of_noise_is_the_meshs_own_and_never_zero() -> None:
    image = np.random.default_rng(7).normal(0.0, 1.0, (60, 90))
    mesh, bad = MeshBackground(30), np.zeros((60, 90), dtype=bool)
    np.testing.assert_array_equal(map_noise(mesh, image, bad), mesh.estimate_rms(image))
    assert map_noise(None, image, bad) == estimate_noise(image)
    half = np.where(np.arange(90) < 60, 0.0, image)
    assert np.all(map_noise(mesh, half, bad) > 0.0)
    assert map_noise(None, np.zeros((60, 90)), bad) > 0.0


def test_no_good_pixel() -> None:
    sky = MeshBackground().estimate(np.full((50, 50), np.nan))
    assert (sky.level, sky.error) == (0.0, np.inf)
    assert np.isnan(MeshBackground().estimate_rms(np.full((50, 50), np.nan))).all()


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"box_size": 4}, ValueError, "box_size must be"),
        ({"box_size": 20.5}, TypeError, "box_size must be an integer"),
        ({"filter_size": 2}, ValueError, "filter_size must be odd, found 2"),
        ({"statistic": np.median}, TypeError, "statistic must be one of this package's"),
    ],
)
def test_wrong_settings_are_refused(settings, kind, text) -> None:
    with pytest.raises(kind, match=text):
        MeshBackground(**settings)


def test_a_cube_is_refused() -> None:
    with pytest.raises(ValueError, match="data must be 2-D"):
        MeshBackground().estimate(np.zeros((3, 3, 3)))


def test_a_users_map_of_errors_is_read_and_checked() -> None:
    data = np.ones((8, 9))
    sky = estimate_sky(lambda d: SkyMap(d * 2.0, d * 0.1), data)
    np.testing.assert_array_equal(sky.error, data * 0.1)
    with pytest.raises(ValueError, match=r"one number or of shape \(8, 9\), found shape \(2,\)"):
        estimate_sky(lambda d: SkyMap(d, np.ones(2)), data)
    with pytest.raises(ValueError, match=r"must be >= 0, found -0\.1"):
        estimate_sky(lambda d: SkyMap(d, d * -0.1), data)


def test_photometry_on_a_wavy_sky_is_unbiased_with_the_mesh_and_not_without() -> None:
    """Fluxes of 100 stars: pulls of mean 0 and sd 1 within 4 standard errors with the mesh."""
    rng = np.random.default_rng(8)
    places = np.stack(np.meshgrid(np.arange(16, SIDE, 32), np.arange(16, SIDE, 32)), -1)
    places = places.reshape(-1, 2) + rng.uniform(-2, 2, (100, 2))
    flux = 2000.0
    y, x = np.mgrid[:SIDE, :SIDE]
    image = wavy_sky() + rng.normal(0.0, 4.0, (SIDE, SIDE))
    for a, b in places:
        image += bp.IntegratedGaussianPRF.evaluate(x, y, flux, a, b, 1.5)

    def pulls(estimator):
        phot = bp.BasicPSFPhotometry(
            psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
            fitshape=9,
            bkg_estimator=estimator,
            sampler=bp.Sampler(draws=250, min_ess=100),
            seed=1,
        )
        result = phot(image, positions={"x_0": places[:, 0], "y_0": places[:, 1]})
        return (result["flux_median"] - flux) / result["flux_err"]

    meshed = pulls(MeshBackground(32))
    assert abs(np.mean(meshed)) < 0.4
    assert 0.7 < np.std(meshed) < 1.3
    assert np.std(pulls(bp.MMMBackground())) > 2.0
