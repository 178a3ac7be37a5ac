"""Positions on the sky: there and back, tables of any kind, errors as priors."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import NDData
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, Sip

import bayesphot as bp
from bayesphot.celestial import (
    clean_sky,
    find_jacobians,
    find_pixel_areas,
    find_pixels,
    find_sky,
    find_usable,
)
from bayesphot.sky_positions import place_positions

#: Degrees per pixel, 0.36 arcsec.
SCALE = 1e-4
CENTERS = {
    "plain": (10.0, 20.0),
    "RA 0": (0.0, -5.0),
    "RA 360": (359.9999, 45.0),
    "pole": (120.0, 90.0),
    "near the south pole": (120.0, -89.999),
}
X, Y = np.array([0.0, 31.5, 63.0, 12.0]), np.array([5.0, 20.0, 60.0, 63.0])


def make_wcs(center=(10.0, 20.0), *, rotation: float = 30.0, distorted: bool = False) -> WCS:
    """Return a tangential projection, rotated, its reference in the middle of 64 x 64 pixels."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = center, [32.5, 32.5]
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    wcs.wcs.cd = SCALE * np.array([[-cos, sin], [sin, cos]])
    if distorted:
        a, b = np.zeros((3, 3)), np.zeros((3, 3))
        a[2, 0], a[1, 1], b[0, 2] = 1e-4, 5e-5, -1e-4
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
        wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.set()
    return wcs


def make_singular() -> WCS:
    wcs = make_wcs()
    wcs.wcs.cd = [[SCALE, SCALE], [SCALE, SCALE]]
    return wcs


def make_cube() -> WCS:
    wcs = WCS(naxis=3)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN", "FREQ"]
    wcs.wcs.crval, wcs.wcs.crpix = [10.0, 20.0, 1e9], [32.5, 32.5, 1.0]
    wcs.wcs.cdelt = [-SCALE, SCALE, 1e6]
    return wcs


@pytest.mark.parametrize("distorted", [False, True], ids=["flat", "SIP"])
@pytest.mark.parametrize("center", CENTERS.values(), ids=CENTERS)
@pytest.mark.parametrize("frame", ["icrs", "galactic", "fk5", "fk4"])
def test_to_the_sky_and_back(center, distorted, frame) -> None:
    wcs = make_wcs(center, distorted=distorted)
    assert find_usable(wcs, (64, 64)) == (wcs, None)
    sky = clean_sky(find_sky(wcs, X, Y).transform_to(frame))
    back = find_pixels(wcs, sky)
    # astropy inverts distortions to 1e-4 pixels.
    np.testing.assert_allclose(back, [X, Y], atol=2e-4 if distorted else 1e-7)


@pytest.mark.parametrize("center", CENTERS.values(), ids=CENTERS)
def test_areas_of_pixels_hold_at_the_poles_and_across_ra_0(center) -> None:
    areas = find_pixel_areas(make_wcs(center), X, Y)
    # Away from the reference the area falls with the cube of the cosine of 0.004 degrees.
    np.testing.assert_allclose(areas, SCALE**2, rtol=1e-7)


def test_areas_follow_the_distortion() -> None:
    areas = find_pixel_areas(make_wcs(distorted=True), X, Y)
    dx, dy = X - 31.5, Y - 31.5
    expected = (1.0 + 2e-4 * dx + 5e-5 * dy) * (1.0 - 2e-4 * dy)
    # The product of the cross terms, 5e-5 * 31 * 0, and the projection itself.
    np.testing.assert_allclose(areas / SCALE**2, expected, rtol=1e-6)


@pytest.mark.parametrize("center", CENTERS.values(), ids=CENTERS)
def test_steps_on_the_sky_become_steps_of_pixels(center) -> None:
    wcs = make_wcs(center, distorted=True)
    sky = clean_sky(find_sky(wcs, X, Y))
    jacobian = find_jacobians(wcs, X, Y, sky)
    for j, angle in enumerate((90.0, 0.0)):
        moved = clean_sky(sky.directional_offset_by(angle * u.deg, 0.1 * SCALE * u.deg))
        step = np.array(find_pixels(wcs, moved)) - [X, Y]
        # 1e-4 pixels of the inversion, on steps of a tenth.
        np.testing.assert_allclose(jacobian[:, :, j].T * 0.1 * SCALE, step, atol=2e-4)


@pytest.mark.parametrize("distorted", [False, True])
def test_places_without_pixels_are_nan(distorted) -> None:
    wcs = make_wcs(distorted=distorted)
    far = SkyCoord([10.0, 190.0, 60.0, np.nan], [20.0, -20.0, 40.0, 20.0], unit="deg")
    x, y = find_pixels(wcs, far)
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan(x[[1, 3]]).all()
    # A third of the sky away a polynomial leads anywhere: no pixel rather than a wrong one.
    assert np.isnan(x[2]) == distorted


def test_odd_lengths_and_masks_of_coordinates() -> None:
    wcs = make_wcs()
    assert find_pixels(wcs, clean_sky(SkyCoord([], [], unit="deg")))[0].shape == (0,)
    assert find_pixels(wcs, clean_sky(SkyCoord(10.0, 20.0, unit="deg")))[0].shape == (1,)
    grid = SkyCoord([[10.0, 10.0]], [[20.0, 20.0]], unit="deg")
    assert find_pixels(wcs, clean_sky(grid))[0].shape == (2,)
    with_distance = SkyCoord([10.0], [20.0], [1.0], unit=("deg", "deg", "pc"))
    assert find_pixels(wcs, clean_sky(with_distance))[0] == pytest.approx(31.5)


def test_a_wcs_is_used_or_the_reason_said() -> None:
    shape = (64, 64)
    assert find_usable(None, shape) == (None, None)
    assert find_usable(WCS(naxis=2), shape) == (None, None)
    wcs, problem = find_usable(make_cube(), shape)
    assert wcs.pixel_n_dim == 2
    assert problem is None
    assert "cannot be inverted" in find_usable(make_singular(), shape)[1]
    zero = WCS(naxis=2)
    zero.wcs.ctype, zero.wcs.cd = ["RA---TAN", "DEC--TAN"], np.zeros((2, 2))
    assert "cannot be used (" in find_usable(zero, shape)[1]
    assert "\n" not in find_usable(zero, shape)[1]
    assert "cannot be used (" in find_usable("no wcs", shape)[1]
    far = make_wcs()
    far.wcs.crpix = [2e6, 2e6]
    # Cosine projection ends 90 degrees from its reference.
    far.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    assert "no sky under" in find_usable(far, shape)[1]


SKY = {"ra": np.array([10.0, 10.001]), "dec": np.array([20.0, 20.001])}
PLACES = find_pixels(make_wcs(), clean_sky(SkyCoord(SKY["ra"], SKY["dec"], unit="deg")))


OTHER = SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg")


def _as_pandas(columns):
    pandas = pytest.importorskip("pandas", reason="data frames are the subject")
    return pandas.DataFrame(columns)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SkyCoord(SKY["ra"], SKY["dec"], unit="deg"),
        lambda: SkyCoord(SKY["ra"], SKY["dec"], unit="deg").galactic,
        lambda: SkyCoord(SKY["ra"], SKY["dec"], unit="deg").galactic.frame,
        lambda: SKY,
        lambda: Table(SKY),
        lambda: Table({"RA_ICRS": SKY["ra"], "DE_ICRS": SKY["dec"]}),
        lambda: QTable({"RA": SKY["ra"] / 15 * u.hourangle, "Dec": SKY["dec"] * 60 * u.arcmin}),
        lambda: QTable({"star": SkyCoord(SKY["ra"], SKY["dec"], unit="deg")}),
        lambda: {"sky": SkyCoord(SKY["ra"], SKY["dec"], unit="deg"), "other": OTHER},
        lambda: Table(SKY).as_array(),
        lambda: _as_pandas(SKY),
    ],
)  # fmt: skip
def test_every_form_of_sky_positions_gives_the_same_pixels(make) -> None:
    placed = place_positions(make(), make_wcs())
    # 1e-9 pixels are a few roundings of degrees.
    np.testing.assert_allclose([placed["x_0"], placed["y_0"]], PLACES, atol=1e-6)


def test_pixels_win_and_what_has_none_is_left_to_the_reader() -> None:
    both = Table(SKY | {"x_0": [1.0, 2.0], "y_0": [3.0, 4.0]})
    assert place_positions(both, None) is both
    nothing = {"a": [1.0]}
    assert place_positions(nothing, None) is nothing


def test_other_columns_travel_along_and_errors_become_priors() -> None:
    table = QTable(SKY | {"id": [7, 8], "flux_0": [5.0, 6.0]})
    table["ra_prior_sd"], table["dec_prior_sd"] = [0.36, np.nan] * u.arcsec, [0.72, 0.36] * u.arcsec
    placed = place_positions(table, make_wcs(rotation=0.0))
    assert list(placed["id"]) == [7, 8]
    assert "ra_prior_sd" not in placed
    # One pixel is 0.36 arcsec; without rotation x is along RA.
    np.testing.assert_allclose(placed["x_prior_sd"], [1.0, np.nan], rtol=1e-4)
    np.testing.assert_allclose(placed["y_prior_sd"][0], 2.0, rtol=1e-4)


def test_a_catalogues_errors_are_turned_and_the_registration_added() -> None:
    catalog = QTable(SKY | {"id": [3, 4]})
    catalog["ra_error"], catalog["dec_error"] = [360.0, np.nan] * u.mas, [0.0, 360.0] * u.mas
    placed = bp.place_catalog(catalog, make_wcs(rotation=30.0), registration=0.5)
    np.testing.assert_allclose(placed["x_0"], PLACES[0], atol=1e-6)
    expected = [np.hypot(np.cos(np.pi / 6), 0.5), 0.5]
    np.testing.assert_allclose(placed["x_prior_sd"], expected, rtol=1e-4)
    angle = bp.place_catalog(catalog, make_wcs(), registration=180 * u.mas)
    np.testing.assert_allclose(angle["x_prior_sd"], expected, rtol=1e-4)
    pixels = bp.place_catalog(catalog, make_wcs(), registration=0.5 * u.pix)
    np.testing.assert_allclose(pixels["x_prior_sd"], expected, rtol=1e-4)
    bare = bp.place_catalog(catalog, make_wcs())
    np.testing.assert_allclose(bare["x_prior_sd"], [np.cos(np.pi / 6), np.nan], rtol=1e-4)
    assert "x_prior_sd" not in bp.place_catalog(catalog, make_wcs(), errors=False).colnames
    assert list(placed["id"]) == [3, 4]


def test_a_catalogue_of_pixels_needs_no_wcs() -> None:
    catalog = {"x_fit": [3.0], "y_fit": [4.0], "x_err": [0.1], "y_err": [0.2]}
    placed = bp.place_catalog(catalog, registration=0.0)
    assert placed["x_0"][0], placed["y_0"][0] == (3.0, 4.0)
    assert placed["x_prior_sd"][0] == 0.1
    assert placed["y_prior_sd"][0] == 0.2


@pytest.mark.parametrize(
    ("catalog", "kind", "said"),
    [
        ({"ra": ["10:00:00"], "dec": ["20:00:00"]}, TypeError, "make a SkyCoord of sexagesimal"),
        ({"ra": [10.0] * u.m, "dec": [20.0]}, ValueError, "ra has the unit 'm', which does not"),
        ({"ra": [10.0], "dec": [95.0]}, ValueError, "dec must lie between -90 and 90 degrees, fou"),
        ({"ra": [10.0], "dec": [20.0, 21.0]}, ValueError, "dec must have 1 rows"),
        ({"ra": [10.0]}, ValueError, "must have columns for x and y"),
        (
            {"ra": [10.0], "dec": [20.0], "ra_err": [1.0], "dec_err": [1.0]},
            ValueError, r"ra_err must have a unit \(mas, arcsec, deg, ...\), found none",
        ),
        (
            {"ra": [10.0], "dec": [20.0], "ra_err": [1.0] * u.mas},
            ValueError, "ra_err needs dec_err beside it",
        ),
        (
            {"ra": [10.0], "dec": [20.0], "ra_err": [1.0] * u.mas, "dec_err": [1.0] * u.m},
            ValueError, "dec_err has the unit 'm'",
        ),
        (
            {"ra": [10.0], "dec": [20.0], "ra_err": [-1.0] * u.mas, "dec_err": [1.0] * u.mas},
            ValueError, "ra_err must be positive, or NaN where it is not known, found -1.0 mas",
        ),
        (
            {"a": SkyCoord([1], [2], unit="deg"), "b": SkyCoord([1], [2], unit="deg")},
            ValueError, r"several columns of coordinates \(a, b\)",
        ),
        ("stars.fits", TypeError, "positions must be a table with named columns"),
    ],
)  # fmt: skip
def test_catalogues_that_cannot_be_placed_are_refused(catalog, kind, said) -> None:
    with pytest.raises(kind, match=said):
        bp.place_catalog(catalog, make_wcs())


@pytest.mark.parametrize(
    ("registration", "kind", "said"),
    [
        (-1.0, ValueError, "registration must be finite and >= 0"),
        (np.nan, ValueError, "registration must be finite"),
        ("1 arcsec", TypeError, "registration must be a number"),
        (1.0 * u.m, ValueError, "registration must be in pixels or an angle, found 1.0 m"),
    ],
)
def test_registrations_that_are_none_are_refused(registration, kind, said) -> None:
    with pytest.raises(kind, match=said):
        bp.place_catalog(SKY, make_wcs(), registration=registration)


def test_a_frame_that_needs_a_time_is_refused() -> None:
    sky = SkyCoord([10.0], [20.0], unit="deg", frame="altaz")
    with pytest.raises(ValueError, match="in the frame altaz do not transform to that of the WCS"):
        bp.place_catalog(sky, make_wcs())


def test_sky_positions_without_a_wcs_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="the image has no celestial WCS: give it as NDData"):
        bp.place_catalog(SKY)
    with pytest.raises(ValueError, match="positions are on the sky and the WCS cannot be inverted"):
        bp.place_catalog(SKY, make_singular())
    phot = _make_photometry()
    with pytest.raises(ValueError, match="the image has no celestial WCS"):
        phot(np.ones((20, 20)), error=1.0, positions=SkyCoord([10.0], [20.0], unit="deg"))


def _make_photometry(**settings):
    psf_model = bp.IntegratedGaussianPRF(sigma=1.5)
    settings = {"fitshape": 9, "sampler": False} | settings
    return bp.BasicPSFPhotometry(psf_model=psf_model, **settings)


@pytest.fixture(scope="module")
def scene():
    return bp.simulate_scene(
        (64, 64), n_sources=6, sigma=1.5, noise=1.0, border=8, min_separation=9, seed=2
    )


@pytest.mark.parametrize("center", CENTERS.values(), ids=CENTERS)
def test_a_run_from_sky_positions_is_that_from_pixels(scene, center) -> None:
    wcs = make_wcs(center, distorted=True)
    image = NDData(scene.image, wcs=wcs)
    sky = find_sky(wcs, scene.truth["x_0"], scene.truth["y_0"])
    result = _make_photometry()(image, error=scene.error, positions=sky)
    same = _make_photometry()(image, error=scene.error, positions=scene.truth)
    # Starts differ by the inversion's 1e-4 pixels, fits by less.
    np.testing.assert_allclose(result["x_fit"], same["x_fit"], atol=1e-4)
    np.testing.assert_allclose(result["flux_fit"], same["flux_fit"], rtol=1e-5)
    assert np.all(sky.separation(result["sky_fit"]).deg < 0.2 * SCALE)
    assert result["pixel_area"].unit == u.arcsec**2


def test_forced_photometry_on_the_sky_stays_where_it_is_told(scene) -> None:
    wcs = make_wcs()
    psf_model = bp.IntegratedGaussianPRF(sigma=1.5)
    psf_model.x_0.fixed = psf_model.y_0.fixed = True
    phot = bp.BasicPSFPhotometry(psf_model=psf_model, fitshape=9, sampler=False)
    sky = find_sky(wcs, scene.truth["x_0"], scene.truth["y_0"])
    result = phot(NDData(scene.image, wcs=wcs), error=scene.error, positions=sky)
    np.testing.assert_array_equal(result["x_fit"], result["x_0"])
    assert np.all(sky.separation(result["sky_fit"]).arcsec < 1e-6)


def test_priors_of_a_catalogue_hold_the_positions(scene) -> None:
    wcs = make_wcs(rotation=0.0)
    catalog = QTable({"sky": find_sky(wcs, scene.truth["x_0"] + 0.5, scene.truth["y_0"])})
    catalog["ra_err"] = catalog["dec_err"] = np.full(6, 0.036) * u.mas
    phot = _make_photometry()
    image = NDData(scene.image, wcs=wcs)
    held = phot(image, error=scene.error, positions=bp.place_catalog(catalog, wcs))
    # 1e-4 pixels against the fit's own 2e-3 or more, squared, of half a pixel.
    np.testing.assert_allclose(held["x_fit"], scene.truth["x_0"] + 0.5, atol=3e-3)
    free = phot(image, error=scene.error, positions=catalog)
    np.testing.assert_allclose(free["x_fit"], scene.truth["x_0"], atol=0.05)


def test_places_off_the_sky_and_off_the_image_are_flagged_rows(scene) -> None:
    wcs = make_wcs(distorted=True)
    sky = SkyCoord([10.0, 190.0, 10.1, np.nan], [20.0, -20.0, 20.0, np.nan], unit="deg")
    result = _make_photometry()(NDData(scene.image, wcs=wcs), error=scene.error, positions=sky)
    names = [bp.decode_flags(flags) for flags in result["flags"]]
    assert "NO_POSITION" not in names[0]
    assert "NO_POSITION" in names[1]
    assert "OFF_IMAGE" in names[2] or "NO_POSITION" in names[2]
    assert "NO_POSITION" in names[3]


def test_a_wcs_that_cannot_be_inverted_warns_and_pixels_are_measured(scene) -> None:
    image = NDData(scene.image, wcs=make_singular())
    with pytest.warns(AstropyUserWarning, match="the image's WCS cannot be inverted.*in pixels on"):
        result = _make_photometry()(image, error=scene.error, positions=scene.truth)
    assert "ra" not in result.colnames
    assert np.isfinite(result["x_fit"]).all()


def test_a_wcs_of_three_axes_gives_its_sky_and_one_without_sky_none(scene) -> None:
    phot = _make_photometry()
    cube = phot(NDData(scene.image, wcs=make_cube()), error=scene.error, positions=scene.truth)
    assert np.isfinite(cube["ra"]).all()
    linear = phot(NDData(scene.image, wcs=WCS(naxis=2)), error=scene.error, positions=scene.truth)
    assert "ra" not in linear.colnames
