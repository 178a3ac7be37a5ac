"""Fluxes become flux densities where the unit leads there, and the reason is said where not."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import NDData
from astropy.table import QTable

import bayesphot as bp
from bayesphot.flux_density import convert_fluxes

FLUX = np.array([100.0, 1.0, np.nan])
AREA = (1.2 * u.arcsec) ** 2
#: An arcsecond squared in sr.
ARCSEC2 = np.deg2rad(1.0 / 3600.0) ** 2


def make_table(unit, *, area: bool = False) -> QTable:
    """Return a catalogue in the unit of an image, of three rows."""
    table = QTable({"id": [1, 2, 3], "x_fit": np.arange(3.0), "y_fit": np.arange(3.0)})
    errors = {"fit": 0.0, "median": 1.0, "lo": -2.0, "hi": 4.0}
    for name, offset in errors.items():
        table[f"flux_{name}"] = FLUX + offset
    table["flux_err"] = np.full(3, 2.5)
    if unit is not None:
        for name in [name for name in table.colnames if name.startswith("flux_")]:
            table[name] = table[name] * u.Unit(unit) * u.pix
    if area:
        table["pixel_area"] = [1.0, 2.0, 3.0] * u.arcsec**2
    return table


@pytest.mark.parametrize(
    ("unit", "settings", "factor"),
    [
        ("MJy/sr", {"pixel_area": AREA}, 1e6 * 1.44 * ARCSEC2),
        ("MJy/sr", {"pixel_area": AREA / u.pix}, 1e6 * 1.44 * ARCSEC2),
        ("mJy/arcsec2", {"pixel_area": 2.0 * u.arcsec**2}, 2e-3),
        ("Jy/pix", {}, 1.0),
        ("uJy", {}, 1e-6),
        ("nmgy", {}, 3630.78e-9),
        ("mgy/pix", {}, 3630.78),
        ("Jy/beam", {"pixel_area": AREA, "beam": 2.88 * u.arcsec**2}, 0.5),
        ("Jy/beam", {"pixel_area": AREA, "beam": 2.88 * u.arcsec**2 / u.beam}, 0.5),
        (
            "mJy/beam",
            {"pixel_area": AREA, "beam": (3.0, 2.0) * u.arcsec},
            1.44e-3 * 4.0 * np.log(2.0) / (np.pi * 6.0),
        ),
        (
            "Jy/beam",
            {"pixel_area": AREA, "beam": (3.0 * u.arcsec, 2.0 * u.arcsec)},
            1.44 * 4.0 * np.log(2.0) / (np.pi * 6.0),
        ),
        ("adu", {"zero_point": 8.90}, 10 ** (-0.4 * 8.90) * 3630.78),
        ("electron/s", {"zero_point": 25.0}, 1e-10 * 3630.78),
        (None, {"zero_point": 25.0}, 1e-10 * 3630.78),
    ],
)
def test_every_unit_gives_jansky(unit, settings, factor) -> None:
    out = convert_fluxes(make_table(unit), **settings)
    assert out["flux_density_fit"].unit == u.Jy
    # 3630.78 has six digits.
    np.testing.assert_allclose(out["flux_density_fit"].value, FLUX * factor, rtol=1e-6)
    np.testing.assert_allclose(out["flux_density_err"].value, 2.5 * factor, rtol=1e-6)
    np.testing.assert_allclose(out["flux_density_lo"].value, (FLUX - 2.0) * factor, rtol=1e-6)


def test_the_area_is_that_under_each_source() -> None:
    out = convert_fluxes(make_table("MJy/sr", area=True), unit=u.mJy)
    expected = 1e9 * ARCSEC2 * FLUX * [1.0, 2.0, 3.0]
    np.testing.assert_allclose(out["flux_density_fit"].value, expected, rtol=1e-9)
    given = convert_fluxes(make_table("MJy/sr", area=True), pixel_area=[1, 1, 1] * u.arcsec**2)
    np.testing.assert_allclose(given["flux_density_fit"].value, 1e6 * ARCSEC2 * FLUX, rtol=1e-9)


def test_magnitudes_are_ab_and_missing_where_the_interval_reaches_zero() -> None:
    out = convert_fluxes(make_table("Jy"))
    # Oke & Gunn (1983): 1 Jy is 1e-23 erg / s / cm2 / Hz.
    np.testing.assert_allclose(out["mag_ab_fit"][0], -2.5 * np.log10(100e-23) - 48.60, atol=1e-9)
    expected = -2.5 * np.log10(np.array([101.0, 104.0, 98.0]) * 1e-23) - 48.60
    names = ["mag_ab_median", "mag_ab_lo", "mag_ab_hi"]
    np.testing.assert_allclose([out[name][0] for name in names], expected, atol=1e-9)
    assert np.isnan([out[name][1] for name in names]).all()
    assert np.isfinite(out["mag_ab_fit"][1])


def test_a_unit_with_several_slashes_is_as_good_as_any() -> None:
    out = convert_fluxes(make_table("adu"), unit="erg/s/cm2/Hz", zero_point=25.0)
    assert out["flux_density_fit"].unit.is_equivalent(u.Jy)


def test_a_zero_point_gives_its_own_magnitudes_back() -> None:
    out = convert_fluxes(make_table("adu"), unit="nmgy", zero_point=25.0)
    np.testing.assert_allclose(out["mag_ab_fit"][0], 25.0 - 5.0, atol=1e-9)
    # A nanomaggy is of magnitude 22.5.
    np.testing.assert_allclose(out["flux_density_fit"][0].value, 100.0 * 10**-1.0, rtol=1e-9)


def test_equivalencies_of_the_user_are_used() -> None:
    unit = u.erg / u.s / u.cm**2 / u.AA
    wavelength = 5500.0 * u.AA
    out = convert_fluxes(make_table(unit), equivalencies=u.spectral_density(wavelength))
    expected = (100.0 * unit).to_value(u.Jy, u.spectral_density(wavelength))
    np.testing.assert_allclose(out["flux_density_fit"][0].value, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "settings", "kind", "said"),
    [
        ("adu", {}, ValueError, "the image has adu, which does not lead to Jy: give the AB mag"),
        (None, {}, ValueError, "the image has no unit, which does not lead to Jy"),
        ("MJy/sr", {}, ValueError, "had no WCS that says how large its pixels are: give pixel_a"),
        ("Jy/beam", {"pixel_area": AREA}, ValueError, "says nothing without the beam: give beam="),
        ("Jy/beam", {"beam": AREA}, ValueError, "give pixel_area"),
        ("MJy/sr", {"pixel_area": 1.44}, TypeError, "pixel_area must be a Quantity, such as"),
        ("MJy/sr", {"pixel_area": 1.2 * u.arcsec}, ValueError, "pixel_area must be in a unit like"),
        ("MJy/sr", {"pixel_area": -AREA}, ValueError, "pixel_area must be positive and finite"),
        ("MJy/sr", {"pixel_area": [1, 2] * u.sr}, ValueError, "must be one or 3 areas, found sha"),
        ("MJy/sr", {"pixel_area": AREA, "zero_point": 25.0}, ValueError, "is in MJy / sr: leave"),
        ("nmgy", {"zero_point": 22.5}, ValueError, "is in nmgy: leave it out"),
        ("K", {"zero_point": 22.5}, ValueError, "is in K: leave it out"),
        ("Jy s", {"zero_point": 22.5}, ValueError, "is in Jy s: leave it out"),
        ("Jy/beam", {"pixel_area": AREA, "beam": 3.0}, TypeError, "beam must be a Quantity, such"),
        (
            "Jy/beam", {"pixel_area": AREA, "beam": (1, 2, 3) * u.arcsec},
            ValueError, "beam must be two widths or a solid angle",
        ),
        (
            "Jy/beam", {"pixel_area": AREA, "beam": (1.0, 2.0)},
            (TypeError, ValueError), "beam must be",
        ),
        ("Jy", {"unit": "mag"}, ValueError, "unit must be one of flux density, such as 'Jy' .*mag"),
        ("Jy", {"unit": "Jansky!"}, ValueError, "unit must be one of flux density, such as 'Jy'"),
        ("Jy", {"unit": u.m}, ValueError, "the image has Jy, which does not lead to m"),
        ("adu", {"unit": u.m, "zero_point": 1.0}, ValueError, "unit must be one of flux density"),
        ("adu", {"zero_point": "25"}, TypeError, "zero_point must be a number, found '25'"),
        ("adu", {"zero_point": np.nan}, ValueError, "zero_point must be finite"),
        ("adu", {"zero_point": -1e5}, ValueError, "zero_point must lie between -500 and 500"),
        ("adu", {"zero_point": 25.0 * u.Jy}, ValueError, "must be in AB magnitudes, found 25.0 Jy"),
        (
            "Jy/beam", {"pixel_area": AREA, "beam": (1 * u.arcsec, 2 * u.m)},
            ValueError, "beam must be two angles",
        ),
    ],
)  # fmt: skip
def test_what_does_not_lead_to_a_flux_density_is_refused(unit, settings, kind, said) -> None:
    with pytest.raises(kind, match=said):
        convert_fluxes(make_table(unit), **settings)


def test_a_result_in_surface_brightness_gives_the_flux_that_was_put_in() -> None:
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [350.0, 60.0], [25, 25]
    wcs.wcs.cdelt = [-1e-4, 2e-4]
    truth = {"x_0": [24.0], "y_0": [25.3], "flux": [1000.0]}
    scene = bp.simulate_scene((50, 50), sources=truth, sigma=1.5, noise=1e-3, seed=1)
    image = NDData(scene.image, unit=u.MJy / u.sr, wcs=wcs)
    phot = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
    out = phot(image, error=scene.error, positions=scene.truth).to_flux_density()
    expected = 1000.0 * 1e6 * 2e-8 * np.deg2rad(1.0) ** 2
    # Noise is 1e-5 of the flux; the area 1e-8.
    np.testing.assert_allclose(out["flux_density_median"][0].value, expected, rtol=1e-4)
    assert {"ra", "dec", "sky_fit", "mag_ab_median", "flux_density_hi"} <= set(out.colnames)


def test_the_area_survives_writing(tmp_path) -> None:
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [350.0, 60.0], [25, 25]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    scene = bp.simulate_scene((50, 50), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False
    )
    image = NDData(scene.image, unit=u.MJy / u.sr, wcs=wcs)
    result = phot(image, error=scene.error, positions=scene.truth)
    result.write(tmp_path / "out")
    again = bp.PhotometryResult.read(tmp_path / "out").to_flux_density("mJy")
    np.testing.assert_array_equal(
        again["flux_density_fit"], result.to_flux_density("mJy")["flux_density_fit"]
    )
