"""Factors on the noise through whole runs: correlation of resampled images, a sampled scale."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.nddata import NDData
from astropy.utils.exceptions import AstropyUserWarning

import bayesphot as bp

SCENE = bp.simulate_scene(
    (40, 40),
    sources={
        "x_0": [12.0, 17.0, 30.0],
        "y_0": [13.0, 15.0, 29.0],
        "flux": [4000.0, 2500.0, 3000.0],
    },
    sigma=1.6,
    noise=4.0,
    seed=8,
)


def measure(image=None, error=None, **options):
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.6),
        fitshape=11,
        group_maker=bp.DAOGroup(7.0),
        seed=2,
        **options,
    )
    error = SCENE.error if error is None else error
    return phot(SCENE.image if image is None else image, error, positions=SCENE.truth)


def test_a_correlation_factor_is_a_factor_on_the_error() -> None:
    found = measure(noise=bp.NormalNoise(correlation=1.7))
    expected = measure(error=1.7 * SCENE.error)
    np.testing.assert_allclose(found["flux_median"], expected["flux_median"], rtol=1e-12)
    np.testing.assert_allclose(found["flux_err"], expected["flux_err"], rtol=1e-12)
    # Chi-squared is of the pixels' own noise.
    plain = measure(error=SCENE.error)
    np.testing.assert_allclose(found["reduced_chi2"], plain["reduced_chi2"], rtol=1e-3)


def test_a_resampled_image_is_warned_of_unless_a_factor_is_given() -> None:
    image = NDData(SCENE.image, meta={"NDRIZIM": 4})
    with pytest.warns(AstropyUserWarning, match=r"NDRIZIM in its header.*correlation=R.*--corr"):
        measure(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(image, noise=bp.NormalNoise(correlation=1.5))


def test_a_sampled_scale_is_reported_with_its_draws(tmp_path) -> None:
    """The error is half of what it should be: the scale is 2, and errors are twice as large."""
    noise = bp.NormalNoise(inflation=bp.LogNormal(1.0, 0.5))
    found = measure(error=0.5 * SCENE.error, noise=noise)
    # 121 pixels and more: an error of 0.13; four of them.
    np.testing.assert_allclose(found["inflation_median"], 2.0, atol=0.52)
    assert np.all(found["inflation_lo"] < found["inflation_median"])
    assert np.all(found["inflation_median"] < found["inflation_hi"])
    assert np.all((found["inflation_err"] > 0.07) & (found["inflation_err"] < 0.2))
    assert np.all(found["inflation_fit"] == 1.0)
    draws = found.posterior["inflation"]
    assert draws.dims == ("chain", "draw", "group")
    assert draws.sel(group=1).median() == pytest.approx(found["inflation_median"][0], rel=1e-3)
    plain = measure(error=SCENE.error)
    wide = found["flux_err"] / (0.5 * found["inflation_median"]) / plain["flux_err"]
    # Errors of errors from 2000 draws, and those of a t instead of a normal.
    np.testing.assert_allclose(wide, 1.0, atol=0.15)
    found.write(tmp_path / "result")
    again = bp.PhotometryResult.read(tmp_path / "result")
    np.testing.assert_array_equal(again.posterior["inflation"], draws)
    assert "inflation" in found.to_arviz().posterior


def test_with_every_option_at_once_rows_are_sampled_and_kept_draws_are_bounded() -> None:
    noise = bp.StudentTNoise(4.0, inflation=bp.LogNormal(1.0, 0.3), correlation=1.2)
    found = measure(noise=noise, psf_error=bp.PSFError(0.01, 0.01), sampler=bp.Sampler(keep=20))
    assert np.all(np.isfinite(found["inflation_err"]))
    assert found.posterior["psf_width_error"].shape == (4, 20, 2)
    assert found.posterior["inflation"].shape == (4, 20, 2)


def test_a_ccd_whose_model_is_wrong_is_inflated_instead_of_held() -> None:
    noise = bp.CCDNoise(4.0, 4.0, sky=0.0, inflation=bp.LogNormal(1.0, 1.0))
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.6), fitshape=11, noise=noise, seed=3
    )
    found = phot(SCENE.image, positions=SCENE.truth[2:])
    # Noise of 4 where (4 / 4)^2 is said, and few photons.
    assert 2.0 < found["inflation_median"][0] < 4.5
    assert found["flags"][0] & bp.Flag.HIGH_R_HAT == 0
