"""Fits that one start would leave in the wrong optimum."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

import bayesphot as bp

SIGMA = 1.3
NOISE = 5.0
SHAPE = (41, 41)


def measure(image, starts):
    """Return the result for two columns of starts."""
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=11,
        group_maker=bp.DAOGroup(crit_separation=8.0),
        seed=1,
    )
    x, y = np.transpose(starts)
    return phot(image, np.full(SHAPE, NOISE), positions={"x_0": x, "y_0": y})


@pytest.mark.parametrize(
    "starts",
    [
        # One start alone leaves these with the names exchanged, on a rim, or in between.
        [[20.0, 20.0], [20.6, 21.3]],
        [[19.9, 20.5], [20.5, 20.7]],
        [[20.0, 20.0], [20.1, 19.3]],
        [[19.7, 20.9], [20.1, 20.6]],
        [[19.3, 19.7], [19.7, 19.9]],
    ],
)
def test_close_pair_is_found_from_starts_that_lead_astray(starts):
    """The truth is in the discs of the starts, in their order, two thirds of a FWHM apart."""
    truth = np.array([[19.0, 20.0], [21.0, 20.0]])
    sources = np.column_stack([truth, [5000.0, 4000.0], np.full(2, np.log(SIGMA))])
    result = measure(oracle.render_image(SHAPE, sources), starts)
    found = np.stack([result["x_fit"], result["y_fit"]], axis=1)
    # The image has no noise: what is left is the tolerance, a ten-thousandth of the errors.
    np.testing.assert_allclose(found, truth, atol=1e-3)
    assert np.all(np.asarray(result["flags"]) == 0)
    assert np.all(np.isfinite(result["flux_err"]))


def test_star_is_found_beyond_a_dip_of_the_noise():
    """The start lies between a star and a dip as deep as a third of it, nearer the dip."""
    sources = np.array([[20.0, 20.0, 300.0], [23.4, 20.0, -100.0]])
    sources = np.column_stack([sources, np.full(2, np.log(SIGMA))])
    result = measure(oracle.render_image(SHAPE, sources), [[22.9, 20.0]])
    assert abs(result["x_fit"][0] - 20.0) < 0.5
    assert result["flux_fit"][0] > 200.0
