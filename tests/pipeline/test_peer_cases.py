"""Scenes on which photutils tests its PSF photometry, made again: ours must measure them too.

Tolerances of 1e-3 and below are for the least squares on data without noise; posterior medians
get a Monte-Carlo band.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import make_positions, render_gaussians

import bayesphot as bp

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def render_points(flux, x, y) -> np.ndarray:
    """Point-sampled Gaussians of sigma 2 on 32 x 32 pixels, Poisson 6 plus Gauss 2."""
    width = np.full(len(flux), 2.0)
    table = {"flux": flux, "x_mean": x, "y_mean": y, "x_stddev": width, "y_stddev": width}
    return (
        bp.make_gaussian_sources((32, 32), table)
        + bp.make_noise_image((32, 32), "poisson", mean=6.0, random_state=1)
        + bp.make_noise_image((32, 32), "gaussian", mean=0.0, stddev=2.0, random_state=1)
    )


def three_stars() -> np.ndarray:
    """A pair and a star alone."""
    return render_points([800.0, 1000.0, 1200.0], [13.0, 18.0, 25.0], [16.0, 16.0, 25.0])


def run_three_stars(sigma=2.0, *, fixed=False, niters=1, sampler=None, positions=None):
    """Find, group at 8 pixels, fit."""
    model = bp.IntegratedGaussianPRF(sigma=sigma)
    model.x_0.fixed = model.y_0.fixed = fixed
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=model,
        fitshape=(11, 11),
        finder=bp.DAOStarFinder(threshold=12.0, fwhm=2.0 * FWHM_PER_SIGMA),
        group_maker=bp.DAOGroup(8.0),
        bkg_estimator=bp.MMMBackground(),
        niters=niters,
        sampler=sampler,
        seed=1,
    )
    return phot(three_stars(), positions=positions)


@pytest.mark.parametrize("niters", [1, 3, None])
def test_pair_and_star_alone_within_ten_percent(niters):
    """Ids 1 to 3, groups 1, 1, 2; positions and fluxes of the fit and of the posterior."""
    result = run_three_stars(niters=niters)
    order = np.argsort(result["x_fit"])
    assert sorted(result["id"]) == [1, 2, 3]
    assert result["group_id"][order].tolist() == [1, 1, 2]
    for kind in ("fit", "median"):
        assert_allclose(result[f"x_{kind}"][order], [13.0, 18.0, 25.0], rtol=0.1)
        assert_allclose(result[f"y_{kind}"][order], [16.0, 16.0, 25.0], rtol=0.1)
        assert_allclose(result[f"flux_{kind}"][order], [800.0, 1000.0, 1200.0], rtol=0.1)


def test_width_wrong_by_a_fifth_does_not_pass_as_right():
    """The ten percent of the case before would notice."""
    result = run_three_stars(sigma=2.4, sampler=False)
    flux = result["flux_fit"][np.argsort(result["x_fit"])]
    assert np.any(np.abs(flux / [800.0, 1000.0, 1200.0] - 1.0) > 0.1)


def test_fixed_centroids_equal_the_input_exactly():
    """And the input table is unchanged."""
    positions = make_positions([13.0, 18.0, 25.0], [16.0, 16.0, 25.0])
    before = positions.copy()
    result = run_three_stars(fixed=True, positions=positions)
    assert_array_equal(result["x_fit"], positions["x_0"])
    assert_array_equal(result["y_fit"], positions["y_0"])
    assert_allclose(result["flux_fit"], [800.0, 1000.0, 1200.0], rtol=0.1)
    assert positions.colnames == before.colnames
    for name in before.colnames:
        assert_array_equal(positions[name], before[name])


def test_faint_star_beside_a_bright_one_is_found_in_the_second_round():
    """10000 and 1000, niters=None: two rows, iterations 1 and 2."""
    image = render_points([10000.0, 1000.0], [18.0, 13.0], [17.0, 19.0])
    phot = bp.DAOPhotPSFPhotometry(
        crit_separation=8.0,
        threshold=12.0,
        fwhm=2.0 * FWHM_PER_SIGMA,
        psf_model=bp.IntegratedGaussianPRF(sigma=2.0),
        fitshape=(11, 11),
        niters=None,
        seed=1,
        sampler=False,
    )
    result = phot(image)
    assert result["id"].tolist() == [1, 2]
    assert result["iter_detected"].tolist() == [1, 2]
    assert_allclose(result["flux_fit"], [10000.0, 1000.0], rtol=0.1)
    assert_allclose(result["x_fit"], [18.0, 13.0], rtol=0.1)
    assert_allclose(result["y_fit"], [17.0, 19.0], rtol=0.1)


def fit_exactly(image, positions, sigma, **settings):
    """Least squares of data without noise under a constant error."""
    options = {"fitshape": (11, 11), "sampler": False} | settings
    phot = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=sigma), **options)
    return phot(image, error=0.01, positions=positions)


def test_four_stars_without_noise():
    """Fluxes from 3.7 to 46, sigma 1, from starts up to a pixel off and no start fluxes."""
    x, y = np.array([50.0, 23.0, 12.0, 86.0]), np.array([50.0, 83.0, 80.0, 84.0])
    flux = np.array([31.4, 3.654, 20.0, 46.2])
    image = render_gaussians((101, 101), x, y, flux, 1.0)
    starts = make_positions(x + [0.3, -0.4, 0.5, 0.0], y + [-0.2, 0.4, 0.5, 0.1])
    result = fit_exactly(image, starts, 1.0)
    assert_allclose(result["x_fit"], x, atol=1e-3)
    assert_allclose(result["y_fit"], y, atol=1e-3)
    assert_allclose(result["flux_fit"], flux, rtol=1e-3)
    assert_allclose(result.residual_image, 0.0, atol=1e-3)


def test_star_at_the_edge():
    """Centre on the second row, sigma 3: five percent, from a start a pixel off."""
    image = render_gaussians((50, 50), [16.0], [1.0], [240.0], 3.0)
    result = fit_exactly(image, make_positions([16.6], [1.7]), 3.0, fitshape=(15, 15))
    assert_allclose(result["flux_fit"], 240.0, rtol=0.05)
    assert_allclose(result["y_fit"], 1.0, atol=0.05)
    assert bp.decode_flags(result["flags"]) == [["TRUNCATED"]]


def test_empty_corner_has_no_flux():
    """Zero to 1e-8 where the image is zero."""
    image = render_gaussians((60, 60), [40.0], [40.0], [100.0], 1.0)
    result = fit_exactly(image, make_positions([40.0, 1.0], [40.0, 1.0]), 1.0)
    assert_allclose(result["flux_fit"][1], 0.0, atol=1e-8)
    assert_allclose(result["flux_fit"][0], 100.0, rtol=1e-6)


def test_pair_and_star_alone_without_noise_from_far_starts():
    """500, 700, 600 from starts at 1000: groups of 2, 2, 1 and fluxes to 1e-4."""
    x, y = np.array([20.0, 26.0, 60.0]), np.array([20.0, 22.0, 60.0])
    flux = np.array([500.0, 700.0, 600.0])
    sigma = 3.0 / FWHM_PER_SIGMA
    image = render_gaussians((81, 81), x, y, flux, sigma)
    starts = make_positions(x, y, flux_0=np.full(3, 1000.0))
    result = fit_exactly(image, starts, sigma, group_maker=bp.DAOGroup(8.0), fitshape=(9, 9))
    assert result["group_size"].tolist() == [2, 2, 1]
    assert_allclose(result["flux_fit"], flux, rtol=1e-4)
    assert_allclose(result["x_fit"], x, atol=1e-4)


def test_close_pair_without_noise_from_starts_ten_percent_off():
    """4.5 pixels apart: 1e-3."""
    x, y = np.array([20.0, 24.5]), np.array([20.0, 20.0])
    flux = np.array([500.0, 700.0])
    sigma = 3.0 / FWHM_PER_SIGMA
    image = render_gaussians((41, 45), x, y, flux, sigma)
    starts = make_positions(x + [0.45, -0.45], y + 0.45, flux_0=1.1 * flux)
    result = fit_exactly(image, starts, sigma, group_maker=bp.DAOGroup(8.0), fitshape=(9, 9))
    assert_allclose(result["flux_fit"], flux, rtol=1e-3)
    assert_allclose(result["x_fit"], x, atol=1e-3)
    assert_allclose(result["y_fit"], y, atol=1e-3)


@pytest.mark.parametrize("niters", [3, None])
def test_faint_neighbours_join_their_bright_stars_group_and_all_are_refitted(niters):
    """Seven stars of FWHM 9.4: iterations 1 and 2, fluxes to 1e-7, nothing left."""
    x = np.array([50.0, 45.0, 55.0, 27.0, 22.0, 77.0, 82.0])
    y = np.array([50.0, 52.0, 48.0, 27.0, 30.0, 77.0, 79.0])
    flux = np.array([1000.0, 100.0, 50.0, 1000.0, 100.0, 1000.0, 100.0])
    sigma = 9.4 / FWHM_PER_SIGMA
    image = render_gaussians((101, 101), x, y, flux, sigma)
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=sigma),
        fitshape=(5, 5),
        finder=bp.DAOStarFinder(threshold=0.2, fwhm=6.0),
        group_maker=bp.DAOGroup(10.0),
        aperture_radius=4.0,
        niters=niters,
        sampler=False,
    )
    result = phot(image, error=1e-4)
    assert result["iter_detected"].tolist() == [1, 1, 1, 2, 2, 2, 2]
    nearest = np.hypot(result["x_fit"][:, None] - x, result["y_fit"][:, None] - y).argmin(axis=1)
    assert sorted(nearest) == list(range(7))
    assert_allclose(result["flux_fit"], flux[nearest], rtol=1e-7)
    assert sorted(result["group_size"]) == [2, 2, 2, 2, 3, 3, 3]
    assert_allclose(result.residual_image, 0.0, atol=1e-6)


def test_position_bound_ends_exactly_on_it():
    """A disc of one pixel about a start two pixels off."""
    image = render_gaussians((41, 41), [20.0], [20.0], [500.0], 1.5)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
        fitshape=11,
        priors={"position": bp.Disc(1.0)},
        seed=1,
    )
    result = phot(image, error=1.0, positions=make_positions([22.0], [20.0]))
    assert_allclose(result["x_fit"], 21.0, atol=1e-6)
    assert_allclose(result["y_fit"], 20.0, atol=1e-6)
    assert "AT_BOUND" in bp.decode_flags(result["flags"])[0]
    # The draws stay inside.
    draws = result.posterior
    assert float(np.hypot(draws["x"] - 22.0, draws["y"] - 20.0).max()) <= 1.0


def test_two_pixels_for_three_parameters_are_too_few():
    """A NaN row and a flag."""
    image = render_gaussians((21, 21), [10.0], [10.0], [500.0], 1.5)
    mask = np.ones(image.shape, dtype=bool)
    mask[10, 10:12] = False
    phot = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=5, seed=1)
    result = phot(image, error=1.0, mask=mask, positions=make_positions([10.0], [10.0]))
    assert bp.decode_flags(result["flags"]) == [["TOO_FEW_PIXELS"]]
    assert np.isnan(result["flux_fit"][0])


def test_image_of_the_model_sums_to_its_flux():
    """51 x 51 pixels, 1e-7."""
    y, x = np.mgrid[:51, :51]
    model = bp.IntegratedGaussianPRF(flux=71.4, x_0=24.3, y_0=25.2, sigma=2.7)
    assert_allclose(model(x, y).sum(), 71.4, rtol=1e-7)


def test_posterior_of_a_clean_star_is_centred_on_the_truth():
    """Without noise in the data the median misses by Monte-Carlo error alone."""
    image = render_gaussians((31, 31), [15.2], [14.7], [800.0], 1.5)
    phot = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11, seed=1)
    result = phot(image, error=2.0, positions=make_positions([15.0], [15.0]))
    for name, truth in (("x", 15.2), ("y", 14.7), ("flux", 800.0)):
        # ESS of the median of 400 at least: 0.063 errors; five times that.
        assert abs(result[f"{name}_median"][0] - truth) < 0.32 * result[f"{name}_err"][0]
