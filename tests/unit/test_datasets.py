"""Simulated images: the tutorial's scenes to the last digit, and scenes with known noise."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling.models import Gaussian2D, custom_model
from astropy.table import QTable, Table
from scipy.spatial import KDTree
from scipy.stats import kstest

from bayesphot.datasets import (
    draw_positions,
    make_bright_pair,
    make_four_stars,
    make_gaussian_sources,
    make_noise_image,
    simulate_scene,
)

STARS = {"x_0": [10.0, 20.3], "y_0": [12.0, 15.8], "flux": [500.0, 800.0]}


@custom_model
def PeakModel(x, y, flux=1.0, x_0=0.0, y_0=0.0, width=1.5):
    """Point-sampled Gaussian with the parameter names of a PSF."""
    r2 = (x - x_0) ** 2 + (y - y_0) ** 2
    return flux / (2 * np.pi * width**2) * np.exp(-r2 / (2 * width**2))


# The tutorial's scenes


def test_the_bright_pair_is_the_published_image() -> None:
    image = make_bright_pair().image
    assert image.sum() == pytest.approx(17207.062991628, rel=1e-9)
    assert image[17, 18] == pytest.approx(404.72032015, rel=1e-9)


def test_the_four_stars_are_the_published_image() -> None:
    image = make_four_stars().image
    assert image.sum() == pytest.approx(9207.062986861, rel=1e-9)
    assert image[15, 12] == pytest.approx(35.706162066, rel=1e-9)


def test_the_published_images_come_out_of_their_parts() -> None:
    sources = Table(
        {"flux": [10000, 1000], "x_mean": [18, 13], "y_mean": [17, 19], "x_stddev": [2, 2]}
    )
    sources["y_stddev"] = sources["x_stddev"]
    sources["theta"] = [0, 0]
    image = make_gaussian_sources((32, 32), sources)
    image = image + np.random.RandomState(1).poisson(6.0, (32, 32))
    image = image + np.random.RandomState(1).normal(0.0, 2.0, (32, 32))
    np.testing.assert_allclose(make_bright_pair().image, image, rtol=1e-13)


def test_the_tutorial_scenes_know_their_truth_and_noise() -> None:
    scene = make_four_stars()
    assert scene.truth.colnames == ["id", "x_0", "y_0", "flux"]
    assert scene.truth["flux"].tolist() == [700.0, 800.0, 700.0, 800.0]
    assert scene.truth.meta == {"background": 6.0, "sigma": 2.0}
    np.testing.assert_array_equal(scene.error, np.full((32, 32), np.sqrt(10.0)))


def test_reruns_have_new_noise_and_a_generator_gives_independent_parts() -> None:
    scenes = [make_bright_pair(np.random.default_rng(seed)) for seed in range(200)]
    assert not np.array_equal(scenes[0].image, scenes[1].image)
    residual = np.array([scene.image for scene in scenes]) - 6.0
    residual -= make_gaussian_sources(
        (32, 32),
        {"flux": [1e4, 1e3], "x_mean": [18, 13], "y_mean": [17, 19]}
        | {"x_stddev": [2, 2], "y_stddev": [2, 2]},
    )
    pulls = residual / scenes[0].error
    # 204800 pulls: the mean scatters by 1/sqrt(n), the variance by sqrt((2 + k)/n) with the
    # excess kurtosis k = 6 / 10^2 of Poisson(6) plus a normal of variance 4; 4 of each.
    assert abs(pulls.mean()) < 4.0 / np.sqrt(pulls.size)
    assert abs(pulls.var() - 1.0) < 4.0 * np.sqrt(2.1 / pulls.size)


# make_gaussian_sources


def test_gaussians_are_sampled_at_pixel_centres_as_astropy_does() -> None:
    table = QTable(
        {"amplitude": [3.0, 5.0], "x_mean": [10.2, 15.0], "y_mean": [8.0, 3.3]}
        | {"x_stddev": [2.0, 1.0], "y_stddev": [1.0, 3.0], "theta": [0.4, -1.0]}
    )
    y, x = np.indices((20, 25))
    expected = sum(Gaussian2D(*row)(x, y) for row in zip(*table.columns.values(), strict=True))
    np.testing.assert_allclose(make_gaussian_sources((20, 25), table), expected, rtol=1e-12)
    table["theta"] = np.rad2deg(table["theta"]) * u.deg
    np.testing.assert_allclose(make_gaussian_sources((20, 25), table), expected, rtol=1e-12)


def test_flux_is_the_volume_and_carries_its_unit() -> None:
    table = {"flux": [250.0] * u.adu, "x_mean": [30], "y_mean": [30], "x_stddev": [2.0]}
    table["y_stddev"] = [3.0]
    image = make_gaussian_sources((61, 61), table)
    # A Gaussian sampled at sigma >= 2 sums to its integral within exp(-2 pi^2 sigma^2) = 5e-35;
    # beyond 10 sigma nothing is left.
    assert image.sum().to_value(u.adu) == pytest.approx(250.0, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_mean": None}, "no column x_mean; the columns are"),
        ({"flux": None}, "no column amplitude"),
        ({"x_stddev": [0.0]}, r"x_stddev must be positive, found 0\.0"),
        ({"y_mean": [np.nan]}, "y_mean must be finite, found nan in row 0"),
    ],
)
def test_wrong_gaussians_are_named(change, message: str) -> None:
    table = {"flux": [1.0], "x_mean": [1.0], "y_mean": [1.0], "x_stddev": [1.0], "y_stddev": [1.0]}
    table = {name: value for name, value in (table | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        make_gaussian_sources((5, 5), table)


# make_noise_image


def test_noise_is_that_of_the_legacy_generator() -> None:
    np.testing.assert_array_equal(
        make_noise_image((4, 5), "poisson", mean=6.0, random_state=3),
        np.random.RandomState(3).poisson(6.0, (4, 5)),
    )
    np.testing.assert_array_equal(
        make_noise_image((4, 5), mean=1.0, stddev=2.0, random_state=np.random.RandomState(3)),
        np.random.RandomState(3).normal(1.0, 2.0, (4, 5)),
    )
    np.testing.assert_array_equal(
        make_noise_image((4, 5), mean=1.0, stddev=2.0, random_state=np.random.default_rng(3)),
        np.random.default_rng(3).normal(1.0, 2.0, (4, 5)),
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"type": "uniform", "mean": 1.0}, ValueError, "type must be .* found 'uniform'"),
        ({"type": "poisson"}, TypeError, "mean must be a number, found None"),
        ({"type": "poisson", "mean": -1.0}, ValueError, "mean must be finite and >= 0"),
        ({"type": "poisson", "mean": 1.0, "stddev": 1.0}, ValueError, "stddev has no meaning"),
        ({"mean": 1.0}, TypeError, "stddev must be a number, found None"),
        ({"mean": 1.0, "stddev": -1.0}, ValueError, "stddev must be finite and >= 0"),
        ({"mean": 1.0, "stddev": 1.0, "random_state": "x"}, TypeError, "random_state must be"),
    ],
)
def test_wrong_noise_is_named(arguments, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make_noise_image((3, 3), **arguments)


@pytest.mark.parametrize("shape", [5, (5,), (5, 0), (5, 2.5), (2, 3, 4), (5, True)])
def test_wrong_shapes_are_named(shape) -> None:
    with pytest.raises(ValueError, match="shape must be"):
        make_noise_image(shape, mean=0.0, stddev=1.0)
    with pytest.raises(ValueError, match="shape must be"):
        draw_positions(3, shape)


# draw_positions


def test_positions_keep_their_distance_and_the_border() -> None:
    x, y = draw_positions(500, (200, 300), min_separation=6.0, border=10.0, seed=1)
    assert x.shape == y.shape == (500,)
    assert min(x.min(), y.min()) >= 10.0
    assert x.max() <= 289.0
    assert y.max() <= 189.0
    nearest = KDTree(np.column_stack((x, y))).query(np.column_stack((x, y)), k=2)[0][:, 1]
    assert 6.0 <= nearest.min() < 6.5


def test_positions_fill_the_image_evenly() -> None:
    for separation in (0.0, 2.0):
        x, y = draw_positions(2000, (200, 300), min_separation=separation, seed=2)
        # The 1e-4 level of the Kolmogorov-Smirnov test; keeping apart makes it more even still.
        assert kstest(x / 299.0, "uniform").pvalue > 1e-4
        assert kstest(y / 199.0, "uniform").pvalue > 1e-4


def test_batches_give_what_one_by_one_placing_gives() -> None:
    x, y = draw_positions(150, (60, 60), min_separation=3.0, seed=5)
    kept: list[np.ndarray] = []
    for candidate in np.random.default_rng(5).uniform([0, 0], [59, 59], (1000, 2)):
        if all(np.hypot(*(candidate - other)) >= 3.0 for other in kept):
            kept.append(candidate)
    np.testing.assert_array_equal(np.column_stack((x, y)), kept[:150])


def test_a_density_that_cannot_be_is_refused_at_once() -> None:
    start = process_time()
    with pytest.raises(ValueError, match=r"min_separation is too large: 1000 sources 10\.0 px"):
        draw_positions(1000, (200, 200), min_separation=10.0)
    assert process_time() - start < 0.1
    with pytest.raises(ValueError, match=r"only \d+ of 700 sources could be placed 8\.0 px apart"):
        draw_positions(700, (200, 200), min_separation=8.0, seed=1)


def test_many_positions_are_drawn_quickly() -> None:
    start = process_time()
    draw_positions(20000, (2048, 2048), min_separation=8.0, seed=1)
    assert process_time() - start < 2.0  # 0.05 s measured


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_sources": -1}, ValueError, "n_sources must not be negative, found -1"),
        ({"n_sources": 2.0}, TypeError, r"n_sources must be an integer, found 2\.0"),
        ({"min_separation": -1.0}, ValueError, "min_separation must be finite and >= 0"),
        ({"border": 11.0}, ValueError, r"border must leave part of the image \(20, 20\)"),
    ],
)
def test_wrong_positions_are_named(arguments, error, message: str) -> None:
    with pytest.raises(error, match=message):
        draw_positions(**{"n_sources": 2, "shape": (20, 20), **arguments})


# simulate_scene


def test_a_scene_is_sources_on_background() -> None:
    scene = simulate_scene((30, 40), sources=STARS, sigma=1.2, background=7.0)
    assert (scene.image - 7.0).sum() == pytest.approx(1300.0, rel=1e-12)
    np.testing.assert_array_equal(scene.error, np.zeros((30, 40)))
    for column in ("x_0", "y_0", "flux"):
        assert scene.truth[column].tolist() == STARS[column]
    assert scene.truth["id"].tolist() == [1, 2]
    assert scene.truth.meta == {"background": 7.0, "noise": 0.0, "sigma": 1.2}


def test_gaussians_are_integrated_over_the_pixels() -> None:
    star = {"x_0": [4.3], "y_0": [4.6], "flux": [100.0]}
    image = simulate_scene((9, 9), sources=star, sigma=0.8).image
    fine = 101
    at = (np.arange(9 * fine) + 0.5) / fine - 0.5
    density = 100.0 * np.exp(-((at[:, None] - 4.6) ** 2 + (at - 4.3) ** 2) / (2 * 0.64))
    density /= 2 * np.pi * 0.64
    expected = density.reshape(9, fine, 9, fine).mean(axis=(1, 3))
    # Midpoint rule: h^2/24 times the curvature, 1/0.64 in each of two directions, at most.
    np.testing.assert_allclose(image, expected, atol=2 * expected.max() / 24 / fine**2 / 0.64)


def test_sources_at_and_beyond_the_edge_leave_what_falls_inside() -> None:
    edge = {"x_0": [-0.5, -100.0], "y_0": [10.0, 10.0], "flux": [100.0, 1e6]}
    image = simulate_scene((21, 21), sources=edge, sigma=1.0).image
    assert image.sum() == pytest.approx(50.0, rel=1e-12)


def test_any_model_with_x_0_y_0_and_flux_serves_as_psf() -> None:
    model = PeakModel(width=2.0)
    scene = simulate_scene((30, 40), sources=STARS, psf_model=model)
    y, x = np.indices((30, 40))
    expected = sum(
        PeakModel(flux=flux, x_0=x_0, y_0=y_0, width=2.0)(x, y)
        for x_0, y_0, flux in zip(*STARS.values(), strict=True)
    )
    np.testing.assert_allclose(scene.image, expected, rtol=1e-13)
    assert (model.x_0.value, model.flux.value) == (0.0, 1.0)


def test_the_error_is_the_scatter_of_the_pixels() -> None:
    """Photon, read and constant noise over 1500 reruns of a small image.

    The variance of each pixel scatters by sqrt((2 + excess kurtosis)/1500) = 3.7 %, the pulls of
    all 64 pixels together by 0.5 %: 4.5 of the first (64 pixels), 4 of the second.
    """
    star = {"x_0": [3.0], "y_0": [4.0], "flux": [400.0]}
    random = np.random.default_rng(8)
    settings = {"sigma": 1.5, "background": 20.0, "noise": 2.0, "gain": 2.0, "read_noise": 6.0}
    scenes = [simulate_scene((8, 8), sources=star, seed=random, **settings) for _ in range(1500)]
    mean = simulate_scene((8, 8), sources=star, sigma=1.5, background=20.0).image
    np.testing.assert_allclose(scenes[0].error ** 2, 4.0 + 9.0 + mean / 2.0, rtol=1e-12)
    pulls = (np.array([scene.image for scene in scenes]) - mean) / scenes[0].error
    assert abs(pulls.mean()) < 4.0 / np.sqrt(pulls.size)
    assert np.all(np.abs(pulls.var(axis=0) - 1.0) < 4.5 * np.sqrt(2.1 / 1500))
    assert abs(pulls.var() - 1.0) < 4.0 * np.sqrt(2.1 / pulls.size)


def test_background_and_noise_may_be_images() -> None:
    y, x = np.indices((30, 40))
    scene = simulate_scene((30, 40), sources=STARS, sigma=1.2, background=1.0 * x, noise=1.0 * y)
    np.testing.assert_array_equal(scene.error, y)
    flat = simulate_scene((30, 40), sources=STARS, sigma=1.2)
    np.testing.assert_allclose(scene.image[0], (flat.image + x)[0], rtol=1e-13)


def test_random_scenes_follow_their_seed() -> None:
    settings = {"n_sources": 20, "sigma": 1.5, "noise": 3.0, "min_separation": 4.0, "border": 5.0}
    first, same = (simulate_scene((64, 64), seed=3, **settings) for _ in range(2))
    other = simulate_scene((64, 64), seed=4, **settings)
    np.testing.assert_array_equal(first.image, same.image)
    assert np.all(first.truth == same.truth)
    assert not np.array_equal(first.truth["x_0"], other.truth["x_0"])


@pytest.mark.parametrize("power_law", [None, 0.0, 1.0, 2.0, 2.5])
def test_fluxes_follow_their_distribution(power_law: float | None) -> None:
    flux = simulate_scene(
        (8, 8), n_sources=3000, sigma=0.5, flux_range=(100.0, 10000.0), power_law=power_law, seed=6
    ).truth["flux"]

    def share_below(value):
        if power_law == 1.0:
            return np.log(value / 100.0) / np.log(100.0)
        index = 1.0 - (power_law or 0.0)
        return (value**index - 100.0**index) / (10000.0**index - 100.0**index)

    assert kstest(flux, share_below).pvalue > 1e-4


def test_ids_of_the_sources_are_kept() -> None:
    sources = Table({"id": [7, 3], **STARS})
    assert simulate_scene((30, 40), sources=sources, sigma=1.2).truth["id"].tolist() == [7, 3]


def test_no_sources_is_a_scene_too() -> None:
    scene = simulate_scene((8, 9), n_sources=0, sigma=1.0, background=3.0)
    np.testing.assert_array_equal(scene.image, np.full((8, 9), 3.0))
    assert len(scene.truth) == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sources": None}, ValueError, "exactly one of n_sources and sources"),
        ({"n_sources": 3}, ValueError, "exactly one of n_sources and sources"),
        ({"sigma": None}, ValueError, "exactly one of psf_model and sigma"),
        ({"psf_model": PeakModel()}, ValueError, "exactly one of psf_model and sigma"),
        ({"sigma": 0.0}, ValueError, "sigma must be positive and finite"),
        ({"sigma": "2"}, TypeError, "sigma must be a number, found '2'"),
        ({"sigma": None, "psf_model": 3}, TypeError, "psf_model must be an astropy model"),
        ({"sigma": None, "psf_model": Gaussian2D()}, ValueError, "psf_model has no parameter x_0"),
        ({"read_noise": 5.0}, ValueError, "read_noise is in electrons and needs gain"),
        ({"gain": 1.0, "read_noise": -1.0}, ValueError, "read_noise must be finite and >= 0"),
        ({"gain": 0.0}, ValueError, "gain must be positive and finite"),
        ({"noise": -1.0}, ValueError, r"noise must not be negative, found -1\.0"),
        ({"noise": np.ones(3)}, ValueError, r"noise must be a number or of shape \(30, 40\)"),
        ({"background": np.inf}, ValueError, "background must be finite"),
        ({"background": "dark"}, TypeError, "background must be real numbers, found 'dark'"),
        ({"background": -5.0, "gain": 1.0}, ValueError, r"mean >= 0: .* at \(y, x\) = \(0, 0\)"),
        ({"border": 3.0}, ValueError, "border cannot be combined with sources"),
        ({"power_law": 2.0}, ValueError, "power_law cannot be combined with sources"),
        ({"sources": {"x_0": [1.0], "y_0": [1.0]}}, ValueError, "no column flux"),
        ({"sources": {**STARS, "flux": [1, 2] * u.adu}}, ValueError, "flux must not have a unit"),
        ({"sources": [1, 2]}, TypeError, "must be a table or a mapping of columns"),
        ({"sources": {**STARS, "flux": [1.0]}}, ValueError, "must be equally long"),
    ],
)
def test_wrong_scenes_are_named(change, error, message: str) -> None:
    with pytest.raises(error, match=message):
        simulate_scene((30, 40), **{"sources": STARS, "sigma": 1.2, **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"flux_range": (5.0, 1.0)}, ValueError, "flux_range must be finite and ascending"),
        ({"flux_range": 5.0}, TypeError, r"flux_range must be two numbers, found 5\.0"),
        ({"flux_range": (0.0, 1.0), "power_law": 2.0}, ValueError, "positive for a power law"),
        ({"min_separation": 40.0, "n_sources": 30}, ValueError, "min_separation is too large"),
    ],
)
def test_wrong_random_scenes_are_named(change, error, message: str) -> None:
    with pytest.raises(error, match=message):
        simulate_scene((30, 40), **{"n_sources": 3, "sigma": 1.2, **change})
