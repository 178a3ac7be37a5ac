"""A local sky of annuli: what it follows, what it says of its error, what it cannot be."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.background import follows_tilt, map_noise
from bayesphot.background.pixels import clip_pixels, mad_std, mad_std_rows

SIDE = 320
INNER, OUTER = 12, 20
NOISE = 5.0
#: Annuli side by side in the image, and those whose middles are an outer radius from the border:
#: so many deviates its pulls are, about.
N_WHOLE = SIDE**2 / (np.pi * (OUTER**2 - INNER**2))
N_INSIDE = (SIDE - 2 * OUTER) ** 2 / (np.pi * (OUTER**2 - INNER**2))
N_IMAGES = 6


def make_rows(n=60, k=301):
    """Return rows of pixels, skewed, some of them not full."""
    rng = np.random.default_rng(3)
    rows = 1000.0 + rng.standard_t(3, (n, k)) + 5.0 * rng.exponential(1.0, (n, k))
    rows[0, :200] = np.inf
    rows[1, 1:] = np.inf
    rows[2] = np.inf
    rows[3, :] = 7.0
    return rows


@pytest.mark.parametrize(
    "statistic",
    [
        bp.MMMBackground(),
        bp.MeanBackground(2.0, None),
        bp.MedianBackground(2.5, 1),
        bp.MMMBackground(maxiters=0),
    ],
)
def test_rows_have_the_level_and_error_that_each_has_alone(statistic) -> None:
    rows = make_rows()
    level, error, mean = statistic.estimate_rows(rows.copy())
    for i, row in enumerate(rows):
        alone, middle = statistic.estimate_with_mean(row, ~np.isfinite(row))
        # Sums are taken in another order: rounding of numbers of 1000.
        np.testing.assert_allclose(level[i], alone.level, atol=1e-10)
        np.testing.assert_allclose(error[i], alone.error, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mean[i], middle.level, atol=1e-10)


def test_rows_have_the_scatter_that_each_has_alone() -> None:
    rows = make_rows()
    alone = [mad_std(clip_pixels(row[np.isfinite(row)], 3.0, 10)) for row in np.delete(rows, 2, 0)]
    together = mad_std_rows(rows, 3.0, 10)
    np.testing.assert_allclose(np.delete(together, 2), alone, atol=1e-10)
    assert np.isnan(together[2])


@pytest.mark.parametrize("statistic", [bp.MMMBackground(), bp.MedianBackground()])
def test_a_plane_is_followed_to_the_border(statistic) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    plane = 50.0 + 0.2 * x - 0.1 * y
    level = bp.AnnulusBackground(INNER, OUTER, statistic)(plane)
    np.testing.assert_allclose(level, plane, atol=1e-6)


def measure_pulls(truth_of, *, n_stars=0):
    """Return rms pulls over whole images and an outer radius from their borders.

    Stars are of a known model, subtracted, their photons in the noise and their boxes left out, as
    when the loop measures the sky again.
    """
    y, x = np.mgrid[:SIDE, :SIDE]
    pulls = []
    for k in range(N_IMAGES):
        rng = np.random.default_rng(k)
        truth, model = truth_of(k), np.zeros((SIDE, SIDE))
        mask = np.zeros(truth.shape, dtype=bool)
        for b, a in rng.uniform(0, SIDE - 1, (n_stars, 2)):
            row, col = (int(max(round(c) - 5, 0)) for c in (b, a))
            mask[row : row + 11, col : col + 11] = True
            near = (slice(max(row - 10, 0), row + 21), slice(max(col - 10, 0), col + 21))
            model[near] += bp.IntegratedGaussianPRF.evaluate(x[near], y[near], 3000.0, a, b, 1.5)
        image = truth + model + rng.normal(0.0, np.sqrt(NOISE**2 + model))
        sky = bp.AnnulusBackground(INNER, OUTER).estimate(image - model, mask)
        pulls.append((sky.level - truth) / sky.error)
    inside = np.array(pulls)[:, OUTER:-OUTER, OUTER:-OUTER]
    return np.sqrt(np.mean(np.square(pulls))), np.sqrt(np.mean(inside**2))


def make_flat(_k):
    """Return a flat sky."""
    return np.full((SIDE, SIDE), 30.0)


def make_tilted(_k):
    """Return a tilted sky."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return 100.0 + 0.3 * x - 0.2 * y


def make_wave(radii):
    """Return skies of waves along x, so many outer radii long, of six phases."""

    def make(k):
        wave = np.sin(2 * np.pi * (np.arange(SIDE) / (OUTER * radii) + k / N_IMAGES))
        return np.tile(4.0 * NOISE * wave, (SIDE, 1))

    return make


@pytest.mark.parametrize(
    ("truth_of", "n_stars", "whole", "inside"),
    [
        (make_flat, 0, 0.93, 0.92),
        (make_tilted, 150, 0.93, 0.92),
        (make_wave(7.5), 0, 1.15, 0.79),
        (make_wave(10.0), 150, 1.01, 0.86),
        (make_wave(20.0), 150, 0.95, 0.91),
    ],
)
def test_pulls_are_those_the_pages_quote(truth_of, n_stars, whole, inside) -> None:
    found_whole, found_inside = measure_pulls(truth_of, n_stars=n_stars)
    # Four standard errors 1 / sqrt(2 n) of an rms.
    assert found_whole == pytest.approx(whole, rel=4 / np.sqrt(2 * N_IMAGES * N_WHOLE))
    assert found_inside == pytest.approx(inside, rel=4 / np.sqrt(2 * N_IMAGES * N_INSIDE))
    assert found_inside < 1.0


def test_levels_at_nodes_are_those_of_the_pixels_between_the_radii() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(20.0, 3.0, (70, 90))
    bad = rng.random(values.shape) < 0.1
    bad[:, 60:] = True
    estimator = bp.AnnulusBackground(6.5, 11.0)
    nodes = [np.array([0, 30, 69]), np.array([3, 45, 89])]
    level, error, mean = estimator._measure(values, bad, nodes)
    row, col = np.indices(values.shape)
    for i, y in enumerate(nodes[0]):
        for j, x in enumerate(nodes[1][:2]):
            distance = np.hypot(row - y, col - x)
            ring = (distance >= 6.5) & (distance <= 11.0)
            found = bp.MMMBackground().estimate_with_mean(values, bad | ~ring)
            np.testing.assert_allclose(level[i, j], found[0].level, rtol=1e-12)
            np.testing.assert_allclose(error[i, j], found[0].error, rtol=1e-12)
            np.testing.assert_allclose(mean[i, j], found[1].level, rtol=1e-12)
    assert np.isnan(level[:, 2]).all()


def test_bad_pixels_do_not_enter_and_holes_have_the_level_about_them() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(0.0, 1.0, (200, 200))
    mask = rng.random(image.shape) < 0.05
    mask[60:140, 60:140] = True
    estimator = bp.AnnulusBackground(INNER, OUTER)
    clean = estimator.estimate(image)
    sky = estimator.estimate(np.where(mask, 1e6, image), mask)
    # An annulus is known to 0.09 and in a hole that of another place stands for it: five times
    # the error of their difference.
    assert np.abs(sky.level - clean.level).max() < 5 * 0.09 * np.sqrt(2)
    assert np.median(sky.error[80:120, 80:120]) >= 0.95 * np.median(clean.error)
    nan = estimator.estimate(np.where(mask, np.nan, image))
    np.testing.assert_array_equal(nan.level, sky.level)
    np.testing.assert_array_equal(nan.error, sky.error)


def test_the_mean_of_skewed_noise_is_within_the_error() -> None:
    """A mode lies off the mean, which fits find: by more here than an annulus is known to."""
    rng = np.random.default_rng(1)
    sky = bp.AnnulusBackground(INNER, OUTER).estimate(rng.gamma(4.0, 0.5, (200, 200)))
    normal = bp.AnnulusBackground(INNER, OUTER).estimate(rng.normal(2.0, 1.0, (200, 200)))
    off = sky.level - 2.0
    assert abs(np.mean(off)) > 3.0 * np.median(normal.error)
    # The error holds offset and noise: 40 annuli side by side, four times 1 / sqrt(80).
    assert np.sqrt(np.mean((off / sky.error) ** 2)) < 1.0 + 4 / np.sqrt(80)


def test_the_scatter_follows_the_image() -> None:
    y, x = np.mgrid[:200, :200]
    true = 2.0 + x / 200
    rms = bp.AnnulusBackground(INNER, OUTER).estimate_rms(
        np.random.default_rng(6).normal(0.0, true)
    )
    # 200 pixels of a corner: their robust scatter is known to 6 %; four times that.
    assert np.abs(rms / true - 1.0).max() < 0.24
    assert np.abs(rms / true - 1.0)[20:-20, 20:-20].max() < 0.15


def test_the_loop_knows_that_it_follows_a_tilt_and_has_a_map_of_noise() -> None:
    image, bad = np.random.default_rng(7).normal(0.0, 1.0, (60, 90)), np.zeros((60, 90), dtype=bool)
    estimator = bp.AnnulusBackground(6, 10)
    assert follows_tilt(estimator)
    np.testing.assert_array_equal(map_noise(estimator, image, bad), estimator.estimate_rms(image))


def test_no_good_pixel() -> None:
    estimator = bp.AnnulusBackground(INNER, OUTER)
    sky = estimator.estimate(np.full((50, 50), np.nan))
    assert (sky.level, sky.error) == (0.0, np.inf)
    assert np.isnan(estimator.estimate_rms(np.full((50, 50), np.nan))).all()


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ((0.5, 20), ValueError, "inner_radius must be finite and >= 1, found 0.5"),
        (("12", 20), TypeError, "inner_radius must be a number, found '12'"),
        ((12, np.inf), ValueError, "outer_radius must be finite"),
        ((12, 12), ValueError, "outer_radius must be greater than inner_radius, found 12 and 12"),
        ((2, 3), ValueError, "hold at least 40 pixels between them, found 20"),
        ((12, 501), ValueError, "outer_radius must be at most 500 pixels, found 501"),
        ((12, 20, np.median), TypeError, "statistic must be one of this package's"),
    ],
)
def test_wrong_settings_are_refused(settings, kind, text) -> None:
    with pytest.raises(kind, match=text):
        bp.AnnulusBackground(*settings)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((3, 40, 40), "data must be 2-D"),
        ((8, 9), r"inner_radius=12 and outer_radius=20 are too large for .* shape \(8, 9\)"),
    ],
)
def test_wrong_images_are_refused(shape, text) -> None:
    with pytest.raises(ValueError, match=text):
        bp.AnnulusBackground(INNER, OUTER).estimate(np.zeros(shape))


class Scene:
    """Three hundred stars on a sky of waves and a tilt, and how their fluxes are measured."""

    side, n_stars, box = 600, 300, 11

    def __init__(self):
        y, x = np.mgrid[: self.side, : self.side]
        sky = 100.0 + 0.02 * x + 20.0 * np.sin(2 * np.pi * (x + 0.5 * y) / 240.0)
        self.data = bp.simulate_scene(
            sky.shape, n_sources=self.n_stars, sigma=1.5, flux_range=(1e3, 2e4),
            background=sky, noise=NOISE, min_separation=14.0, border=10, seed=11,
        )  # fmt: skip

    def measure(self, estimator, fit_background="prior"):
        """Return the result of stars that are known to be there."""
        phot = bp.BasicPSFPhotometry(
            psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
            fitshape=self.box,
            bkg_estimator=estimator,
            fit_background=fit_background,
            sampler=bp.Sampler(draws=250, min_ess=100),
            seed=1,
        )
        return phot(self.data.image, error=self.data.error, positions=self.data.truth)

    @cached_property
    def local(self):
        """The result with annuli."""
        return self.measure(bp.AnnulusBackground(INNER, OUTER))

    def find_pulls(self, result):
        """Return error of the flux over its own."""
        return np.asarray((result["flux_median"] - self.data.truth["flux"]) / result["flux_err"])

    def find_boxes(self):
        """Return the pixels of the fit boxes, and the middle of each."""
        x, y = (np.floor(self.data.truth[name] + 0.5).astype(int) for name in ("x_0", "y_0"))
        inside = np.zeros((self.side, self.side), dtype=bool)
        for row, col in zip(y, x, strict=True):
            inside[max(row - 5, 0) : row + 6, max(col - 5, 0) : col + 6] = True
        return inside, (y, x)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_pulls_of_fluxes_on_a_wavy_sky_are_standard_with_annuli_and_not_without(scene) -> None:
    local = scene.find_pulls(scene.local)
    # Four standard errors of mean and rms of 300 standard deviates.
    assert abs(np.mean(local)) < 4 / np.sqrt(scene.n_stars)
    assert abs(np.std(local) - 1.0) < 4 / np.sqrt(2 * scene.n_stars)
    # The waves' rms is 14 and the prior of one level about 1 wide.
    assert np.std(scene.find_pulls(scene.measure(bp.MMMBackground()))) > 1.5


def test_level_and_error_of_annuli_are_the_prior_of_a_groups_sky(scene) -> None:
    """Precisions add, of the box's own pixels (a flat prior) and of the annulus about it."""
    estimator = bp.AnnulusBackground(INNER, OUTER)
    both, alone = scene.local, scene.measure(estimator, "flat")
    inside, middles = scene.find_boxes()
    stars = both.model_image - both.background_image
    prior = estimator.estimate(scene.data.image - stars, inside)
    level, error = prior.level[middles], prior.error[middles]
    own = 1.0 / np.asarray(alone["background_err"]) ** 2
    precision = own + 1.0 / error**2
    mean = (own * alone["background_median"] + level / error**2) / precision
    # From 500 effective draws or more a sd is known to 3.2 % and a median to 0.056 sd; here are two
    # of each, so that means over 300 stars are known to 0.0026 and 0.0046: four times that.
    ratio = both["background_err"] * np.sqrt(precision)
    assert min(both["ess_bulk"].min(), alone["ess_bulk"].min()) > 500
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.0105)
    off = (both["background_median"] - mean) * np.sqrt(precision)
    assert abs(np.mean(off)) < 0.0185
    assert np.std(off) < 0.056 * np.sqrt(2) * (1.0 + 4 / np.sqrt(2 * scene.n_stars))
    # The annulus says as much as the box: without it nothing of this would hold.
    assert np.median(own * error**2) == pytest.approx(1.0, abs=0.5)
