"""With positions and shape known the posterior of fluxes and sky is a normal: N(mu, M^-1)."""

from __future__ import annotations

import numpy as np
import pytest
from bands import FALSE_ALARM, covariance_p_value, mean_p_value, per_test
from many_groups import list_starts, render_stars

import bayesphot as bp

SIGMA = 1.4
NOISE = 5.0
SKY = 20.0
N_DRAW = 5000
OFFSETS = {
    1: [(0.2, -0.3)],
    2: [(0.2, -0.3), (2.1, 0.9)],
    4: [(0.2, -0.3), (2.1, 0.9), (-1.4, 1.8), (0.9, 3.6)],
}


def solve_normal(image, error, xy, fit_shape, n_sky):
    """Return mean and covariance of fluxes and flat sky columns over the union of fit boxes."""
    half = fit_shape // 2
    inside = np.zeros(image.shape, dtype=bool)
    for x, y in xy:
        row, col = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        inside[row - half : row + half + 1, col - half : col + half + 1] = True
    unit = [
        render_stars(image.shape, np.array([x]), np.array([y]), 1.0, SIGMA)[inside] for x, y in xy
    ]
    design = np.stack(unit + [np.ones(inside.sum())] * n_sky, axis=1)
    weight = 1.0 / error[inside] ** 2
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    return covariance @ design.T @ (weight * image[inside]), covariance


def forced_photometry(**arguments):
    """Return a configuration with known positions and shape."""
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.x_0.fixed = psf.y_0.fixed = True
    return bp.BasicPSFPhotometry(
        psf_model=psf, group_maker=bp.DAOGroup(crit_separation=8.0), seed=11, **arguments
    )


def make_scene(n_star, flux):
    """Return image, error map (not constant) and places of one group of stars."""
    rng = np.random.default_rng(500 + n_star)
    xy = np.array(OFFSETS[n_star]) + 20.0
    error = NOISE * rng.uniform(0.7, 1.4, (41, 41))
    image = render_stars(error.shape, *xy.T, flux, SIGMA) + rng.normal(0.0, 1.0, (41, 41)) * error
    return image, error, xy


@pytest.mark.parametrize("background", [False, "flat"])
@pytest.mark.parametrize("n_star", [1, 2, 4])
def test_flux_draws_have_the_exact_mean_and_covariance(n_star, background):
    image, error, xy = make_scene(n_star, flux=1500.0)
    n_sky = 0 if background is False else 1
    phot = forced_photometry(
        fitshape=11,
        sampler=bp.Sampler(draws=N_DRAW),
        fit_background=background,
        bkg_estimator=SKY,
    )
    result = phot(image + SKY, error, positions=list_starts(xy[None]))
    draws = result.posterior["flux"].values.reshape(-1, n_star)
    mean, covariance = solve_normal(image, error, xy, 11, n_sky)
    if n_sky:
        sky = result.posterior["background"].values.reshape(-1, 1)
        draws = np.concatenate([draws, sky], axis=1)
        mean = mean + np.append(np.zeros(n_star), SKY)
    alarm = per_test(2 * 6, FALSE_ALARM)
    assert mean_p_value(draws, mean, covariance) > alarm
    assert covariance_p_value(draws, covariance) > alarm
    # The optimum is the mean of a normal, and the quoted error its standard deviation.
    np.testing.assert_allclose(result["flux_fit"], mean[:n_star], rtol=0, atol=1e-3 * NOISE)
    np.testing.assert_allclose(
        result["flux_fit_err"], np.sqrt(np.diag(covariance))[:n_star], rtol=1e-6
    )


def test_forced_photometry_of_absent_blended_stars_has_no_floor():
    image, error, xy = make_scene(2, flux=0.0)
    xy[1] = xy[0] + [0.7, 0.0]
    phot = forced_photometry(fitshape=11, sampler=bp.Sampler(draws=N_DRAW))
    result = phot(image, error, positions=list_starts(xy[None]))
    draws = result.posterior["flux"].values.reshape(-1, 2)
    mean, covariance = solve_normal(image, error, xy, 11, 0)
    assert mean_p_value(draws, mean, covariance) > per_test(2)
    assert covariance_p_value(draws, covariance) > per_test(2)
