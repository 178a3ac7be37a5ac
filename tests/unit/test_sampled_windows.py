"""PSFs given as images in windows that are larger than they: dark beyond, the same within."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.companions.moving import render_units
from bayesphot.psf import describe_psf

SIGMA, HALF = 1.5, 10


def make_psf(oversampling: int) -> bp.ImagePSF:
    """Return a Gaussian over the pixels of the data, at 21 x 21 pixels or finer."""
    half = HALF * oversampling
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / oversampling
    table = bp.IntegratedGaussianPRF().evaluate(x, y, 1.0, 0.0, 0.0, SIGMA)
    return bp.ImagePSF(table, oversampling=oversampling)


@pytest.mark.parametrize("oversampling", [1, 3])
@pytest.mark.parametrize("place", [(40.3, 39.6), (30.0, 31.0), (25.7, 52.2)])
def test_light_in_a_wide_window_is_that_of_the_model(oversampling, place):
    model = make_psf(oversampling)
    psf = describe_psf(model)
    # From 15 to 30 pixels before the source's table begins, on both axes.
    n_row, n_col, first_row, first_col = 75, 79, 2, 1
    light = render_units(
        psf.data, np.array([place]), (n_row, n_col, first_row, first_col), psf.columns_start
    )[0].reshape(n_row, n_col)
    y, x = np.mgrid[first_row : first_row + n_row, first_col : first_col + n_col].astype(float)
    expected = model.evaluate(x, y, 1.0, *place, model.width.value)
    np.testing.assert_allclose(light, expected, atol=1e-9)
    assert light.sum() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("fitshape", [21, 41, 61])
def test_fluxes_do_not_depend_on_how_wide_the_box_is(fitshape):
    stars = {"x_0": [40.2], "y_0": [39.7], "flux": [20000.0]}
    scene = bp.simulate_scene((81, 81), sources=stars, sigma=SIGMA, noise=1.0, seed=1)
    phot = bp.BasicPSFPhotometry(psf_model=make_psf(1), fitshape=fitshape, sampler=False)
    row = phot(scene.image, error=1.0, positions=scene.truth).table[0]
    assert not row["flags"]
    assert row["flux_fit"] == pytest.approx(20000.0, rel=0.003)
    assert row["x_fit"] == pytest.approx(40.2, abs=0.01)
