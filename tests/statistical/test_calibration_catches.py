"""A calibration passes a right set-up and fails wrong ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bayesphot as bp

N_GROUP = 200
FLUX = bp.PowerLaw(-1.0, 200.0, 3000.0)
PHOT = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11)
BLENDED = {"n_sources": 2, "separation": 4.0}


def with_sigma(sigma: float) -> bp.BasicPSFPhotometry:
    """Return the set-up with another width."""
    return replace(PHOT, psf_model=bp.IntegratedGaussianPRF(sigma=sigma))


@pytest.mark.parametrize(("design", "seed"), [({}, 501), (BLENDED, 502)])
def test_a_right_set_up_passes(design, seed):
    result = bp.calibrate(PHOT, n_simulations=N_GROUP, flux=FLUX, error=3.0, seed=seed, **design)
    # Groups whose flags warn of their draws may be wrong; the photometry says so.
    assert result.trusted().passed(), result.summary()
    assert result.trusted().n_groups > 0.9 * N_GROUP


#: What the data are and what the fit is told; what fails first; seed.
WRONG = {
    "error halved": ({"error": 1.5, "true_error": 3.0}, ("uniformity", "coverage", "scatter"), 511),
    "error doubled": ({"error": 6.0, "true_error": 3.0}, ("uniformity", "coverage"), 512),
    "PSF 5 % too narrow": ({"error": 3.0, "truth": with_sigma(1.575)}, ("uniformity", "bias"), 513),
    "outliers": (
        {"error": 3.0, "truth": replace(PHOT, noise=bp.StudentTNoise(3.0))},
        ("uniformity", "coverage", "scatter"),
        514,
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("design", [{}, BLENDED], ids=["alone", "blended"])
def test_a_wrong_set_up_fails(name, design):
    arguments, tables, seed = WRONG[name]
    result = bp.calibrate(PHOT, n_simulations=N_GROUP, flux=FLUX, seed=seed, **arguments, **design)
    assert not result.passed()
    for table in tables:
        assert not np.all(getattr(result, table)()["holds"]), f"{table}\n{result.summary()}"
    assert "NOT CALIBRATED" in result.summary()


def test_stars_below_the_noise_pass():
    """The prior is as wide as a lone star's error, 16, times four, and half of it negative."""
    faint = bp.calibrate(
        PHOT, n_simulations=N_GROUP, flux=bp.Normal(0.0, 60.0), error=3.0, seed=521
    )
    assert faint.passed(), faint.summary()
