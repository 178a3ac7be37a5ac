"""Sky estimators against photutils', and photutils' objects in the place of ours."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.stats import SigmaClip
from peer_scenes import SCENES
from scipy import stats

import bayesphot as bp
from bayesphot import background
from bayesphot.background import estimate_noise, estimate_sky, map_noise
from bayesphot.calibration.setup import read_setup
from bayesphot.datasets import make_bright_pair, simulate_scene

theirs = pytest.importorskip("photutils.background", reason="photutils is the referee")

NAMES = (
    "MMMBackground",
    "MedianBackground",
    "MeanBackground",
    "ModeEstimatorBackground",
    "MADStdBackgroundRMS",
    "StdBackgroundRMS",
)


def make_crowd() -> np.ndarray:
    """Return a field whose stars make the clipping work for its living."""
    return simulate_scene(
        (128, 128), n_sources=60, sigma=2.0, background=50.0, noise=4.0, seed=5
    ).image


@pytest.mark.parametrize("image", [make_bright_pair().image, make_crowd()], ids=["pair", "crowd"])
@pytest.mark.parametrize(("sigma", "maxiters"), [(3.0, 10), (3.0, 5), (2.0, 10), (3.0, None)])
@pytest.mark.parametrize("name", NAMES)
def test_estimators_equal_photutils(name: str, sigma: float, maxiters, image) -> None:
    ours = getattr(background, name)(sigma=sigma, maxiters=maxiters)
    referee = getattr(theirs, name)(sigma_clip=SigmaClip(sigma=sigma, maxiters=maxiters))
    # The same numbers but for the order of summation.
    assert ours(image) == pytest.approx(referee(image), rel=1e-10)
    mask = image > 60.0
    hidden = np.ma.MaskedArray(image, mask)
    assert ours(image, mask) == pytest.approx(referee(hidden), rel=1e-10)


def test_default_settings_equal_photutils() -> None:
    image = make_crowd()
    for name in NAMES:
        assert getattr(background, name)()(image) == pytest.approx(
            getattr(theirs, name)()(image), rel=1e-10
        )


def test_sky_of_the_second_scene_is_the_published_one() -> None:
    """The tutorial's time clipped 5 times, later versions 10 times (three decimals known)."""
    image = make_bright_pair().image
    assert background.MMMBackground(maxiters=5)(image) == pytest.approx(5.893, abs=5e-4)
    assert background.MMMBackground(maxiters=10)(image) == pytest.approx(5.973, abs=5e-4)


def test_photutils_objects_plug_in_as_estimators() -> None:
    image = make_crowd()
    mask = image > 100.0
    hidden = np.ma.MaskedArray(image, mask)
    level, scatter = theirs.MMMBackground(), theirs.MADStdBackgroundRMS()
    assert estimate_sky(level, image, mask).level == pytest.approx(level(hidden), rel=1e-10)
    assert estimate_noise(image, mask, scatter) == pytest.approx(scatter(hidden), rel=1e-10)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_estimators_equal_photutils_on_scenes(scene) -> None:
    # photutils takes clipped means of single precision in single: it is given doubles.
    hidden = np.ma.MaskedArray(scene.image.astype(float), scene.bad)
    hidden.data[scene.bad] = 0.0
    scatter = theirs.StdBackgroundRMS()(hidden)
    for name in NAMES:
        ours = getattr(background, name)()(scene.image, scene.mask)
        # Sums of 1e4 numbers in another order: 1e-13. A mode may be near zero.
        atol = 1e-10 * scatter
        assert ours == pytest.approx(getattr(theirs, name)()(hidden), rel=1e-10, abs=atol), name


def read_recipe(start: str, **names):
    """Return the estimator that the page on photometry shows, with its names bound."""
    page = Path(__file__).parents[2].joinpath("docs", "psf_photometry.md").read_text()
    (line,) = re.findall(rf"`({re.escape(start)}.*?\))`", page)
    return eval(line, names)


def import_sep():
    return pytest.importorskip("sep", reason="sep's map of the sky is the subject")


def plug_photutils():
    start = "functools.partial(Background2D"
    return read_recipe(start, functools=functools, Background2D=theirs.Background2D)


def plug_sep():
    return read_recipe("functools.partial(sep.Background", functools=functools, sep=import_sep())


def read_photutils(made):
    return made.background, made.background_rms


def read_sep(made):
    return made.back(), made.rms()


MAPS = {"photutils": (plug_photutils, read_photutils), "sep": (plug_sep, read_sep)}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("name", MAPS)
def test_maps_of_others_plug_in_on_scenes(name: str, scene) -> None:
    plug, read = MAPS[name]
    estimator = plug()
    benign = np.where(scene.bad, np.median(scene.image[~scene.bad]), scene.image)
    made = estimator(benign.astype(float), mask=scene.bad)
    level, rms = read(made)
    # A spline of sep's goes below zero once, between tiles of stars and sky.
    rms = np.maximum(rms, 0.1 * np.median(rms))
    # What makes a map, a function that returns one, and the map itself.
    for given in (estimator, lambda data, mask: estimator(data, mask=mask), made):
        sky = estimate_sky(given, scene.image, scene.mask)
        np.testing.assert_array_equal(sky.level, level)
        assert np.all(np.isfinite(sky.error))
    # The error is that of the median of a tile, more where some of it is bad.
    sky = estimate_sky(estimator, scene.image, scene.mask)
    least = rms * np.sqrt(np.pi / 2 / np.prod(np.minimum(64, level.shape)))
    assert np.all(sky.error >= least * (1 - 1e-9))
    if not scene.bad.any():
        np.testing.assert_allclose(sky.error, least, rtol=1e-9)
    if np.all(rms > 0):
        np.testing.assert_array_equal(map_noise(estimator, benign.astype(float), scene.bad), rms)


def make_medians(image):
    """Return photutils' map of the medians of tiles, without a filter."""
    return theirs.Background2D(
        image, 32, filter_size=1, bkg_estimator=theirs.MedianBackground(), sigma_clip=None
    )


def test_the_error_of_a_map_is_what_its_tiles_scatter_by() -> None:
    image = np.random.default_rng(11).normal(50.0, 3.0, (512, 512))
    sky = estimate_sky(make_medians(image), image)
    # The middles of 256 tiles, where no other tile counts.
    pulls = ((sky.level - 50.0) / sky.error)[16::32, 16::32]
    # Beside the error of the errors, of 1024 pixels each: 2 %.
    low, high = np.sqrt(stats.chi2.interval(1 - 1e-4, pulls.size) / np.float64(pulls.size))
    assert 0.98 * low < np.sqrt(np.mean(pulls**2)) < 1.02 * high


@pytest.mark.parametrize("name", MAPS)
def test_a_map_of_another_image_is_refused(name: str) -> None:
    made = MAPS[name][0]()(make_crowd())
    with pytest.raises(ValueError, match=r"of the image's shape \(100, 90\), found \(128, 128\)"):
        estimate_sky(made, np.zeros((100, 90)))


def test_a_map_with_a_unit_is_that_of_an_image_with_one() -> None:
    image = make_crowd()
    plain = estimate_sky(make_medians(image), image)
    found = estimate_sky(make_medians(image * u.adu), image * u.adu)
    np.testing.assert_array_equal(found.level, plain.level)
    np.testing.assert_allclose(found.error, plain.error, rtol=1e-12)
    with pytest.raises(ValueError, match="unit adu, but the data have no unit"):
        estimate_sky(make_medians(image * u.adu), image)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=2.0),
        fitshape=11,
        bkg_estimator=make_medians(image * u.adu),
        sampler=False,
    )
    result = phot(image * u.adu, positions={"x_0": [60.0], "y_0": [60.0]})
    np.testing.assert_array_equal(result.background_image[:30, :30].value, plain.level[:30, :30])


def test_a_class_that_needs_more_than_an_image_shows_how() -> None:
    recipe = (
        r"'box_size': write functools.partial\(Background2D, box_size=64, exclude_percentile=95\)"
    )
    with pytest.raises(TypeError, match=recipe):
        bp.BasicPSFPhotometry(
            psf_model=bp.IntegratedGaussianPRF(), fitshape=5, bkg_estimator=theirs.Background2D
        )


@pytest.mark.parametrize("name", MAPS)
def test_a_run_with_a_map_of_others_measures_the_stars(name: str) -> None:
    """The sky is tilted, and measured outside the fit boxes in the end."""
    shape = (256, 256)
    tilt = np.broadcast_to(50.0 + 0.02 * np.arange(256), shape)
    scene = simulate_scene(
        shape, n_sources=100, sigma=2.0, background=tilt, noise=4.0, border=32, seed=5
    )

    def measure(estimator, error=scene.error):
        phot = bp.BasicPSFPhotometry(
            psf_model=bp.IntegratedGaussianPRF(sigma=2.0),
            fitshape=11,
            group_maker=bp.DAOGroup(7.0),
            bkg_estimator=estimator,
            fit_background=False,
            sampler=False,
        )
        return phot(scene.image, error=error, positions=scene.truth)

    plug, read = MAPS[name]
    known, found = measure(lambda data: tilt), measure(plug())
    off = (found["flux_fit"] - known["flux_fit"]) / known["flux_fit_err"]
    # A star's light is that of 50 pixels, its error 7 sigma of one: an error of the sky weighs 1.8
    # times. A tile's is 0.1, and beside the border, where maps are flat, half a tile's slope, 0.64.
    assert np.abs(off).max() < 1.8 * (0.64 + 4 * 0.1)
    # Made beforehand, and the noise its rms: too large by what of the stars is left in its tiles.
    made = plug()(scene.image)
    before = measure(made, error=None)
    level, rms = read(made)
    np.testing.assert_array_equal(before.background_image, level)
    assert before.meta["noise"].startswith(f"estimated: {np.median(rms):.6g} per pixel")
    off = (before["flux_fit"] - known["flux_fit"]) / known["flux_fit_err"]
    assert np.abs(off).max() < 1.8 * (0.64 + 4 * 0.1 + np.abs(level - tilt).max() / 4.0)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_level_of_one_tile_equals_photutils(scene) -> None:
    side = max(scene.image.shape)
    referee = theirs.Background2D(
        scene.plain,
        side,
        mask=scene.bad,
        filter_size=1,
        bkg_estimator=theirs.MMMBackground(),
        exclude_percentile=85.0,
    )
    ours = bp.MeshBackground(side)(scene.image, scene.mask)
    atol = 1e-6 * theirs.StdBackgroundRMS()(np.ma.MaskedArray(scene.plain, scene.bad))
    np.testing.assert_allclose(ours, referee.background, rtol=1e-6, atol=atol)


def test_the_mesh_and_photutils_agree_between_tiles() -> None:
    """Interpolation, filter and border differ on purpose; inside, both are right to a tile's error.

    photutils is flat from the middle of the border tiles on, ours goes on as the last two do.
    """
    y, x = np.indices((320, 320))
    truth = 100.0 + 0.05 * x - 0.02 * y
    image = np.random.default_rng(3).normal(truth, 2.0)
    referee = theirs.Background2D(image, 40, bkg_estimator=theirs.MMMBackground()).background
    ours = bp.MeshBackground(40).estimate(image)
    inside = np.s_[60:-60, 60:-60]
    # Sigma of 3 median - 2 mean is 2.5 that of the mean. The largest of 64 lies within 4 of it; the
    # median filter only lowers it, and planes go through both interpolations.
    tile = 2.5 * 2.0 / 40
    assert np.abs(ours.level - referee)[inside].max() < 4 * np.sqrt(2) * tile
    # Going on doubles a tile's error at the rim; half a tile's slope is 1 there.
    border = np.s_[40:-40, 0]
    assert np.std((ours.level - truth)[border]) < 2 * tile
    assert abs(np.mean((ours.level - truth)[border])) < 2 * tile
    assert np.mean((referee - truth)[border]) > 1.0 - 2 * tile


def test_the_level_alone_of_a_map_plugs_in() -> None:
    image = make_crowd()
    sky = estimate_sky(lambda data: theirs.Background2D(data, 32).background, image)
    assert sky.level.shape == image.shape
    assert abs(np.median(sky.level) - 50.0) < 4.0  # within one sigma of the pixel noise


def test_a_calibration_of_a_known_sky_takes_a_map_for_none() -> None:
    """Skies that are not fitted are simulated at a level: that of a map is not one number."""
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=2.0),
        fitshape=11,
        bkg_estimator=make_medians(make_crowd()),
        fit_background=False,
    )
    given = {"flux": bp.Normal(2000.0, 100.0), "error": 4.0}
    setup = read_setup(phot, background=None, truth=None, true_error=None, **given)
    assert setup.sky == 0.0
