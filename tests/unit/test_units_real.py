"""Units and the sky of real files: a Spitzer mosaic in MJy/sr, an SDSS frame in nanomaggies."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

import bayesphot as bp


def _find(folder, name: str):
    path = folder / name
    if not path.exists():
        pytest.skip(f"no {name} among the real images")
    return path


# Headers of archives: dates and units that astropy mends or does not know, and their bad pixels.
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
@pytest.mark.filterwarnings("ignore:masked .* pixel")
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
@pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")
def test_a_spitzer_mosaic_gives_its_catalogue_back(test_data) -> None:
    image = bp.read_image(_find(test_data, "spitzer_glimpse/spitzer_example_image.fits"))
    catalog = Table.read(_find(test_data, "spitzer_glimpse/spitzer_example_catalog.xml"))
    assert image.unit == u.MJy / u.sr
    sky = SkyCoord(catalog["l"], catalog["b"], frame="galactic", unit="deg")
    psf_model = bp.IntegratedGaussianPRF(sigma=0.7)
    psf_model.sigma.fixed = False
    phot = bp.BasicPSFPhotometry(
        psf_model=psf_model, fitshape=5, bkg_estimator=bp.MeshBackground(32), shape="image",
        sampler=False, group_maker=bp.DAOGroup(3.0),
    )  # fmt: skip
    result = phot(image, positions=sky)
    np.testing.assert_allclose(result["pixel_area"].to_value(u.arcsec**2), 1.44, rtol=1e-3)
    # The catalogue lies 0.3 pixels of 1.2 arcsec off the image.
    assert np.median(sky.separation(result["sky_fit"]).arcsec) < 0.6
    ratio = result.to_flux_density(u.mJy)["flux_density_fit"].value / np.asarray(catalog["f4_5"])
    # A Gaussian leaves out the wings, a quarter of the light; a wrong unit would be powers of ten.
    assert 0.65 < np.nanmedian(ratio) < 0.85


# The frame's old spelling of its date, which astropy mends.
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_an_sdss_frame_gives_the_surveys_magnitudes(test_data) -> None:
    path = _find(test_data, "s82_r.fits.gz")
    image = bp.read_image(path)
    assert image.unit.to_string() == "nmgy"
    assert image.uncertainty is not None
    with fits.open(path) as hdus:
        coadd = Table(hdus["COADD"].data)
        psf = hdus["PSFGRID"].data[4].astype(float)
    chosen = coadd[(coadd["probpsf"] == 1) & (coadd["psfmag_r"] > 16) & (coadd["psfmag_r"] < 20)]
    sky = SkyCoord(np.array(chosen["ra"]), np.array(chosen["dec"]), unit="deg")
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.ImagePSF(psf / psf.sum()), fitshape=15, sampler=False, fit_background="flat"
    )
    result = phot(image, positions=sky)
    # The coadd's positions are the frame's to a tenth of a pixel of 0.4 arcsec.
    assert np.median(sky.separation(result["sky_fit"]).arcsec) < 0.1
    difference = result.to_flux_density()["mag_ab_fit"] - chosen["psfmag_r"]
    good = np.isfinite(difference) & (result["flags"] == 0)
    # One PSF of the middle for the whole frame: 0.03 mag; a nanomaggy taken for a nanojansky: 1.4.
    assert good.sum() > 20
    assert abs(np.median(difference[good])) < 0.06
