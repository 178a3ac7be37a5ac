"""What `companion_map` is given: spellings, units, skies, saturated cores, small PSFs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import NDData, StdDevUncertainty
from astropy.table import Table
from astropy.wcs import WCS
from companion_scene import COLUMN, MODEL, ROW, SIGMA, SKY, simulate

import bayesphot as bp

TARGET = (20.3, 19.8, 12000.0)
NEIGHBOUR = (11.0, 22.0, 9000.0)
COMPANION = (25.0, 24.0, 1500.0)


def make_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (10.0, 20.0), (21.0, 21.0)
    wcs.wcs.cdelt = -0.2 / 3600.0, 0.2 / 3600.0
    return wcs


def search(image, error, target=(20.0, 20.0), psf=MODEL, **more):
    """Search a small region with few places."""
    return bp.companion_map(image, psf, target, error=error, **{"radius": 8.0, "step": 1.0} | more)


@pytest.fixture(scope="module")
def scene():
    return simulate(TARGET, NEIGHBOUR, seed=4)


@pytest.mark.parametrize(
    "target",
    [(20.0 * u.pix, 20.0 * u.pix), [20.0, 20.0] * u.pix, np.array([20, 20]), (20, np.float32(20))],
)
def test_a_target_may_have_the_unit_of_pixels(scene, target):
    found = search(*scene, target=target)
    assert found.log_evidence_ratio == search(*scene).log_evidence_ratio


def test_a_target_on_the_sky_is_that_of_its_pixels(scene):
    image, error = scene
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=make_wcs())
    sky = make_wcs().pixel_to_world(20.0, 20.0)
    for place in (sky, sky.galactic, SkyCoord([sky.ra], [sky.dec])):
        found = search(data, None, target=place)
        # The way to the sky and back.
        assert found.target[:2] == pytest.approx(search(image, error).target[:2], abs=1e-6)


@pytest.mark.parametrize("name", ["x_0", "x_init", "xcentroid", "x_fit", "ra", "sky"])
def test_neighbours_have_the_spellings_of_positions(scene, name):
    image, error = scene
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=make_wcs())
    x, y = [NEIGHBOUR[0], 300.0], [NEIGHBOUR[1], 20.0]
    sky = make_wcs().pixel_to_world(x, y)
    known = {"ra": {"ra": sky.ra.deg, "dec": sky.dec.deg}, "sky": sky}
    neighbours = known.get(name, Table({name: x, name.replace("x", "y"): y}))
    assert search(data, None).p_companion > 0.999
    # It lies on the left of the target: a scene has its sources in order of x.
    found = search(data, None, neighbours=neighbours)
    assert found.p_companion < 0.5
    assert found.target[0] == pytest.approx(TARGET[0], abs=0.1)


def test_a_target_right_of_its_neighbour_is_confirmed():
    image, error = simulate(TARGET, NEIGHBOUR, COMPANION, seed=5)
    neighbours = {"x_0": [NEIGHBOUR[0]], "y_0": [NEIGHBOUR[1]]}
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, neighbours=neighbours)
    confirmed = found.confirm(seed=1)
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.3)
    pair = confirmed.pair()
    apart = np.hypot(COMPANION[0] - TARGET[0], COMPANION[1] - TARGET[1])
    assert abs(float(pair.separation.mean()) - apart) < 4.4 * float(pair.separation.std())


@pytest.mark.parametrize(
    ("change", "problem", "word"),
    [
        ({"target": (200.0, 20.0)}, ValueError, "off the image of 41 x 41"),
        ({"target": (20.0, np.nan)}, ValueError, "target y must be finite"),
        ({"target": (20.0 * u.deg, 20.0 * u.deg)}, ValueError, "in pixels.*SkyCoord"),
        ({"target": (20.0, 1.0 * u.arcsec)}, ValueError, "target y must be in pixels"),
        ({"target": (1.0, 2.0, 3.0)}, TypeError, "target must be a pair"),
        ({"target": SkyCoord(10.0, 20.0, unit="deg")}, ValueError, "target .* no celestial WCS"),
        ({"radius": 3.0 * u.arcsec}, ValueError, "radius must be in pixels"),
        ({"step": 3.0 * u.Jy}, ValueError, "step must be in pixels"),
        ({"neighbours": "stars"}, TypeError, "neighbours: "),
        ({"neighbours": {"x_0": [3.0], "y_fit": [3.0]}}, ValueError, "neighbours: "),
        ({"neighbours": {"ra": [10.0], "dec": [20.0]}}, ValueError, "neighbours: .*no celestial"),
        ({"neighbours": {"x_0": [1.0] * u.deg, "y_0": [1.0] * u.deg}}, ValueError, "neighbours: "),
        ({"neighbours": {"x_0": [20.0], "y_0": [20.0]}}, ValueError, "leave the target out"),
        ({"error": np.ones((41, 41)) * u.Jy}, ValueError, "error .*unit of the image"),
        ({"saturation": 100.0 * u.Jy}, ValueError, "saturation .*unit of the image"),
        ({"mask": np.ones((41, 41), dtype=bool)}, ValueError, "too few good"),
    ],
)
def test_bad_input_is_named(scene, change, problem, word):
    image, error = scene
    with pytest.raises(problem, match=word) as caught:
        search(image, **{"error": error} | change)
    assert "\n" not in str(caught.value)


def test_a_target_off_the_sky_is_named(scene):
    image, error = scene
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=make_wcs())
    with pytest.raises(ValueError, match="target must have a place"):
        search(data, None, target=SkyCoord(190.0, -20.0, unit="deg"))
    with pytest.raises(ValueError, match="one place, found 2"):
        search(data, None, target=SkyCoord([10.0, 11.0], [20.0, 20.0], unit="deg"))


def test_the_flux_of_a_prior_is_a_number():
    with pytest.raises(TypeError, match="must be a number"):
        bp.CompanionPrior(flux=bp.LogUniform(10.0 * u.Jy, 100.0 * u.Jy))


def break_wcs(kind: str):
    wcs = WCS(naxis=2)
    if kind == "singular":
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.cd = np.zeros((2, 2))
    elif kind == "spectral":
        wcs.wcs.ctype = "FREQ", "STOKES"
    elif kind == "without scale":
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.crval, wcs.wcs.crpix = (10.0, 20.0), (20.0, 20.0)
    return wcs


def test_the_wcs_of_the_image_must_have_a_scale(scene):
    image, error = scene
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=break_wcs("without scale"))
    found = search(data, None)
    with pytest.raises(ValueError, match="the image's WCS has no scale"):
        found.pair()
    assert found.pair(pixel_scale=0.1).separation_arcsec is not None


def test_neighbours_that_cannot_be_measured_are_told(scene):
    image, error = scene
    neighbours = {"x_0": [NEIGHBOUR[0], 20.0], "y_0": [NEIGHBOUR[1], -4.0]}
    found = search(image, error, neighbours=neighbours)
    assert "1 of the neighbours cannot be measured" in found.notes[0]
    assert "1 of the neighbours" in found.summary()
    far = search(image, error, neighbours={"x_0": [500.0], "y_0": [20.0]})
    assert not any("neighbours cannot" in note for note in far.notes)
    # It is not in the model then.
    assert "do not fit: reduced chi^2" in far.notes[-1]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"wcs": break_wcs("singular")}, "wcs cannot be used .*singular"),
        ({"wcs": break_wcs("spectral")}, "celestial axes, found 'FREQ', 'STOKES'"),
        ({"wcs": break_wcs("linear")}, "celestial axes, found '', ''"),
        ({"wcs": break_wcs("without scale")}, "no scale: .*a pixel is a degree; give pixel_scale"),
        ({"wcs": "image.fits"}, "wcs cannot be used"),
        ({"pixel_scale": 0.1 * u.m}, "pixel_scale must be in arcsec / pix"),
        ({"pixel_scale": 0.1 * u.Jy}, "pixel_scale must be in arcsec / pix"),
        ({"north": 3.0 * u.pix}, "north must be in deg"),
    ],
)
def test_a_direction_that_cannot_be_used_is_named_in_one_line(scene, given, word):
    with pytest.raises(ValueError, match=word) as caught:
        search(*scene).pair(100, **given)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def saturated():
    image, error = simulate((20.3, 19.8, 60000.0), COMPANION, seed=3)
    image = np.minimum(image, 2000.0)
    return image, bp.companion_map(image, MODEL, (20.0, 20.0), error=error, saturation=2000.0)


def test_a_saturated_target_is_measured_from_its_wings(saturated):
    _, found = saturated
    assert "core is saturated" in found.notes[0]
    assert found.notes[0] in found.summary()
    assert found.notes[0] in found.pair(100).note
    # The wings of SNR 240 from 2.5 sigma on: a few percent.
    assert found.target[2] == pytest.approx(60000.0, rel=0.05)
    best = found.best
    assert abs(best.flux - COMPANION[2]) < 5.0 * best.flux_err


def test_nothing_is_said_of_a_masked_core(saturated):
    image, found = saturated
    row, column = np.rint(found.y).astype(int), np.rint(found.x).astype(int)
    core = image[row, column] >= 2000.0
    assert core.sum() > 50
    assert np.isinf(found.flux_err[core]).all()
    assert np.isinf(found.upper_limit(0.95)[core]).all()
    assert np.isinf(found.contrast()[core]).all()
    assert np.isfinite(found.upper_limit(0.95)[found.separation > 4.0]).all()
    # A cosmic ray's pixel is no core: a companion there is measured by the pixels beside it.
    mask = np.zeros(image.shape, dtype=bool)
    mask[24, 25] = True
    plain = simulate(TARGET, seed=3)
    masked = search(*plain, mask=mask)
    at = np.argmin(np.hypot(masked.x - 25.0, masked.y - 24.0))
    assert np.isfinite(masked.flux_err.flat[at])
    assert masked.notes == ()


def test_a_target_that_is_all_saturated_says_what_helps():
    image, error = simulate((20.3, 19.8, 1e7), seed=3)
    with pytest.raises(ValueError, match="cannot be measured.*larger box="):
        search(np.minimum(image, 200.0), error, radius=2.0, box=7, saturation=200.0)


MOFFAT = bp.MoffatPRF(alpha=2.6, beta=3.0)


def cut_moffat(half: int, oversampling: int = 4) -> bp.ImagePSF:
    """Return the stamp of a star with wings, out to ``half`` pixels."""
    side = np.arange(-half * oversampling, half * oversampling + 1) / oversampling
    image = MOFFAT.evaluate(*np.meshgrid(side, side), 1.0, 0.0, 0.0, 2.6, 3.0)
    return bp.ImagePSF(image, oversampling=oversampling)


@pytest.mark.parametrize("seed", range(4))
def test_wings_beyond_the_stamp_of_a_psf_are_no_companions(seed):
    image = SKY + MOFFAT.evaluate(COLUMN, ROW, 1e5, 20.3, 19.8, 2.6, 3.0)
    error = np.sqrt(image)
    image = image + np.random.default_rng(seed).normal(0.0, error)
    stamp = cut_moffat(7)
    found = bp.companion_map(image, stamp, (20.0, 20.0), error=error)
    assert found.p_companion < 0.5
    assert "stamp ends 7" in found.notes[0]
    # Pixels of the target that no model has, of a star ten times as bright.
    image = SKY + MOFFAT.evaluate(COLUMN, ROW, 1e6, 20.3, 19.8, 2.6, 3.0)
    error = np.sqrt(image)
    image = image + np.random.default_rng(seed).normal(0.0, error)
    beyond = bp.companion_map(image, stamp, (20.0, 20.0), error=error, radius=6.0, box=29)
    assert beyond.log_evidence_ratio > 10.0


def test_a_radius_beyond_the_stamp_of_a_psf_is_refused(scene):
    with pytest.raises(ValueError, match=r"stamp, which ends 7\.125 pixels .*found 9: at most 6"):
        search(*scene, psf=cut_moffat(7), radius=9.0)


def test_a_stamp_whose_edge_is_dark_cuts_nothing(scene):
    side = np.arange(-9.0, 9.5, 0.5)
    data = MODEL.evaluate(*np.meshgrid(side, side), 1.0, 0.0, 0.0, SIGMA)
    found = search(*scene, psf=bp.ImagePSF(data, oversampling=2), radius=12.0, step=2.0)
    assert found.notes == ()


def test_fluxes_have_the_unit_of_the_image(scene, tmp_path):
    from astropy.io import fits

    image, error = scene
    plain = search(image, error)
    # Milli, of numbers that are a thousand times as large: rounding.
    found = search(image * u.mJy, 1e-3 * error * u.Jy)
    assert plain.flux_unit is None
    assert found.flux_unit == u.mJy * u.pix
    for name in ("flux", "flux_err", "target"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-9)
    assert found.best.flux == pytest.approx(plain.best.flux, rel=1e-9)
    assert isinstance(found.contrast(), np.ndarray)
    draws = found.draw(5)
    assert draws["flux"].unit == draws["flux_target"].unit == found.flux_unit
    assert plain.draw(5)["flux"].unit is None
    np.testing.assert_allclose(draws["flux"].value, plain.draw(5)["flux"], rtol=1e-6)
    np.testing.assert_allclose(found.pair(50).flux_ratio, plain.pair(50).flux_ratio, rtol=1e-6)
    assert "mJy pix" in found.summary()
    found.write(tmp_path / "unit")
    plain.write(tmp_path / "none")
    with fits.open(tmp_path / "unit" / "map.fits") as file:
        units = {extension.name: extension.header.get("BUNIT") for extension in file[1:]}
        assert "mJy pix" in file[0].header.comments["F_TARGET"]
    assert units.pop("LOG_BF") is None
    assert {u.Unit(unit) for unit in units.values()} == {found.flux_unit}
    with fits.open(tmp_path / "none" / "map.fits") as file:
        assert not any("BUNIT" in extension.header for extension in file)


def test_a_target_that_is_not_there_has_no_ratios_and_a_note(scene, tmp_path):
    image, error = scene
    found = search(SKY + (SKY - image), error)
    assert "no star is seen at the target" in found.notes[0]
    assert np.isnan(found.best.flux_ratio)
    assert np.isnan(found.contrast()).all()
    curve = found.contrast_curve()
    assert np.isnan(curve["delta_mag"]).all()
    assert "no star is seen" in found.summary()
    found.plot(path=tmp_path / "map.png")
    found.write(tmp_path / "folder")
    with pytest.raises(ValueError, match="target has no flux"):
        found.confirm()
    nulls = found.calibrate_false_positives(20)
    with pytest.raises(ValueError, match="target has no flux"):
        found.recover([4.0], [2.0], 2, false_positives=nulls, rate=0.99)
    # And one that is has neither.
    seen = search(image, error, neighbours={"x_0": [NEIGHBOUR[0]], "y_0": [NEIGHBOUR[1]]})
    assert seen.notes == ()
    assert np.isfinite(seen.best.flux_ratio)
    # A lone star: the error of its flux is that of the sum of its pixels, weighted.
    profile = (MODEL.evaluate(COLUMN, ROW, 1.0, *TARGET[:2], SIGMA) / error) ** 2
    assert seen._search.alone.flux_err == pytest.approx(profile.sum() ** -0.5, rel=0.1)


def test_a_target_far_from_the_place_given_is_followed_and_told():
    """It was left at the end of its disc, and a companion made up for what it could not reach."""
    image, error = simulate((25.5, 20.0, 12000.0), seed=12)
    found = search(image, error)
    assert found.target[:2] == pytest.approx((25.5, 20.0), abs=0.1)
    assert found.p_companion < 0.5
    assert "5.5 pixels from the place given" in found.notes[0]
    assert abs(found.log_evidence_ratio - search(image, error, (25.5, 20.0)).log_evidence_ratio) < 1


def test_a_sky_without_scale_places_no_target(scene):
    image, error = scene
    wcs = make_wcs()
    wcs.wcs.cdelt = 1.0, 1.0
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=wcs)
    with pytest.raises(ValueError, match="WCS has no scale"):
        search(data, None, target=SkyCoord(10.0, 20.0, unit="deg"))


def test_injections_keep_within_the_region_of_a_target_off_its_middle(scene):
    found = search(*simulate(TARGET, seed=17), target=(18.0, 20.0))
    nulls = found.calibrate_false_positives(20)
    with pytest.raises(ValueError, match=r"at most 6\.5\d* pixels from the target"):
        found.recover([7.0], [2.0], 1, false_positives=nulls, rate=0.99)


def test_places_off_the_image_have_no_limits():
    image, error = simulate((1.0, 20.0, 12000.0), seed=13)
    found = search(image, error, (1.0, 20.0))
    off = found.x < -0.5
    assert np.isinf(found.upper_limit()[off]).all()
    assert np.isfinite(found.upper_limit()[~off & (found.separation > 2.0)]).all()
    assert "off the image" in found.notes[0]
    # Limits and numbers of places are those of the half that is on it.
    whole = search(*simulate((20.0, 20.0, 12000.0), seed=13)).contrast_curve()
    curve = found.contrast_curve()
    far = curve["separation"] > 4.0
    np.testing.assert_allclose(curve["delta_mag"][far], whole["delta_mag"][far], atol=0.2)
    assert (curve["n_places"][far] < 0.8 * whole["n_places"][far]).all()


def test_notes_say_what_the_map_does_not_know():
    image, error = simulate(TARGET, seed=14)
    assert "the noise is estimated from the image" in search(image, None).notes[0]
    outliers = search(image, error, noise=bp.StudentTNoise(4.0)).notes
    assert any("takes StudentTNoise as normal noise" in note for note in outliers)
    mask = np.hypot(ROW - TARGET[1], COLUMN - TARGET[0]) < 2.0
    assert "core is masked" in search(image, error, mask=mask).notes[0]
    assert "reduced chi^2" in search(image, 0.3 * error).notes[-1]
    assert "have the same largest value" in search(np.minimum(image, 400.0), error).notes[0]
    wide = bp.IntegratedGaussianPRF(sigma=1.03 * SIGMA)
    bright, noise = simulate((20.3, 19.8, 1e6), seed=15)
    assert any("on the target" in note for note in search(bright, noise, psf=wide).notes)
    second = simulate((20.3, 19.8, 12000.0), (23.3, 21.8, 30000.0), seed=16)
    assert any("the star at the place given is the companion" in n for n in search(*second).notes)


def test_a_result_is_searched_with_its_own_image_and_neighbours():
    image, error = simulate(TARGET, NEIGHBOUR, COMPANION, seed=18)
    image[3, 4] = np.nan
    data = NDData(image, unit=u.Jy, uncertainty=StdDevUncertainty(error), wcs=make_wcs())
    phot = bp.BasicPSFPhotometry(
        psf_model=MODEL, fitshape=9, bkg_estimator=SKY, group_maker=bp.DAOGroup(3.0), sampler=False
    )
    with pytest.warns(UserWarning, match="masked 1 pixel"):
        result = phot(data, positions={"x_0": [11.0, 20.0], "y_0": [22.0, 20.0]})
    found = result.companion_map(2, MODEL, radius=8.0, step=1.0)
    assert (found.best.x, found.best.y) == pytest.approx(COMPANION[:2], abs=0.5)
    assert found.flux_unit.is_equivalent(u.Jy * u.pix) or found.flux_unit == u.Jy
    assert found.notes == ()
    assert found.pair(100).separation_arcsec is not None
    for settings in ({"mask": None}, {"neighbours": None}):
        with pytest.raises(TypeError, match="that of the result"):
            result.companion_map(2, MODEL, **settings)
    with pytest.raises(KeyError):
        result.companion_map(7, MODEL)
