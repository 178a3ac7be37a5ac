"""A whole real image beside ALLSTAR's list of it; skipped where the data are absent."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree

import bayesphot as bp


def _robust_sd(values) -> float:
    values = np.asarray(values)
    return 1.4826 * np.median(np.abs(values - np.median(values)))


@pytest.mark.parametrize(
    "side", [500, pytest.param(None, marks=pytest.mark.slow)], ids=["a part", "whole"]
)
def test_ngc6871_agrees_with_allstar_for_bright_stars(test_data, side):
    """Positions to 0.1 pixel and magnitudes to 0.03 (robust sd) at I < 17, found blind."""
    folder = test_data / "ngc6871_daophot"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    with fits.open(folder / "NGC6871.fits") as hdus:
        image, header = hdus[0].data, hdus[0].header
    gain = float(header["GAIN"])
    psf_model = bp.IntegratedGaussianPRF(sigma=2.2 / 2.3548)
    psf_model.sigma.fixed = False
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=psf_model,
        fitshape=11,
        finder=bp.DAOStarFinder(nsigma=5.0, fwhm=2.2, sigma_radius=2.5),
        group_maker=bp.DAOGroup(1.5 * 2.2),
        bkg_estimator=bp.MMMBackground(),
        shape="image",
        # The header's read noise is in ADU.
        noise=bp.CCDNoise(gain=gain, read_noise=gain * float(header["RDNOISE"])),
        sampler=False,
        n_jobs=2,
    )
    image = image[:side, :side]
    table = phot(image).table
    x, y, mag = np.loadtxt(folder / "NGC6871.als", skiprows=3, usecols=(1, 2, 3)).T
    inside = (x < image.shape[1]) & (y < image.shape[0])
    x, y, mag = x[inside], y[inside], mag[inside]
    tree = cKDTree(np.column_stack([table["x_fit"], table["y_fit"]]))
    distance, row = tree.query(np.column_stack([x - 1.0, y - 1.0]))
    bright = (mag < 17.0) & (distance < 1.0)
    assert bright.sum() > 0.95 * np.sum(mag < 17.0)
    ours = -2.5 * np.log10(np.asarray(table["flux_fit"])[row[bright]])
    assert _robust_sd(ours - mag[bright]) < 0.03
    assert _robust_sd(np.asarray(table["x_fit"])[row[bright]] - x[bright]) < 0.1
    assert _robust_sd(np.asarray(table["y_fit"])[row[bright]] - y[bright]) < 0.1
