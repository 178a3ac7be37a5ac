"""Groups fitted at once, each given the others, end where they would end together."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

import bayesphot as bp

NOISE = 3.0
FLUX = 4000.0
#: Starts of lone sources that lie on one star.
X = np.array([20.0, 20.3, 19.7, 20.0])
Y = np.array([20.0, 20.2, 19.9, 20.3])


@pytest.fixture(scope="module")
def star():
    """Return the image of one star."""
    y, x = np.indices((41, 41))
    light = bp.IntegratedGaussianPRF().evaluate(x, y, FLUX, 20.0, 20.1, 2.0)
    return light + np.random.default_rng(1).normal(0.0, NOISE, light.shape)


@pytest.mark.parametrize("free", [False, True], ids=["places fixed", "places free"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_groups_on_one_star_share_its_flux(star, n, free):
    psf = bp.IntegratedGaussianPRF(sigma=2.0)
    psf.x_0.fixed = psf.y_0.fixed = not free
    phot = bp.BasicPSFPhotometry(
        psf_model=psf, fitshape=15, bkg_estimator=0.0, fit_background=False, sampler=False
    )
    # Each start has all of the light, and a group of its own.
    starts = {"x_0": X[:n], "y_0": Y[:n], "flux_0": np.full(n, FLUX), "group_id": 1 + np.arange(n)}
    table = phot(star, error=np.full(star.shape, NOISE), positions=Table(starts)).table
    assert len(set(table["group_id"])) == n
    # Half of what was too much is gone in each of six sweeps, and the noise of a flux is 21.
    excess = FLUX * (n - 1) / 2.0**6
    assert float(table["flux_fit"].sum()) == pytest.approx(FLUX, abs=excess + 4 * 21.0)
    assert np.abs(table["flux_fit"]).max() < FLUX
