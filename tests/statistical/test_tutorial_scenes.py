"""The tutorial's scenes: the same optimum as scipy's, and claims kept over reruns."""

from __future__ import annotations

import numpy as np
import pytest
from bands import binomial_band, least_fraction, per_test
from tutorial_scenes import FOUR, PAIR, SIGMA, fit_with_scipy, rerun_four, rerun_pair

import bayesphot as bp
from bayesphot.datasets import make_bright_pair, make_four_stars

N_RERUN = 80
ROWS_WANTED = 0.97


def check_coverage(outcome):
    """Assert that marginal and joint regions hold the truth as often as they claim."""
    n = len(outcome.place)
    for level in (0.6827, 0.95):
        low, high = binomial_band(n, level, per_test(len(outcome.names)))
        coverage = outcome.coverage(level)
        assert np.all((low <= coverage) & (coverage <= high)), dict(
            zip(outcome.names, coverage, strict=True)
        )
        low, high = binomial_band(n, level)
        assert low <= outcome.joint_coverage(level) <= high


@pytest.mark.parametrize("niters", [2, 3, None])
def test_second_scene_has_two_rows_and_true_errors(niters):
    outcome = rerun_pair(N_RERUN, 2_000, niters=niters)
    assert np.mean(outcome.n_row == 2) >= least_fraction(N_RERUN, ROWS_WANTED)
    check_coverage(outcome)


def test_first_scene_has_true_errors_with_centroids_fixed():
    outcome = rerun_four(N_RERUN, 2_100, centroids="fixed")
    assert np.all(outcome.n_row == 4)
    check_coverage(outcome)


def test_first_scene_has_true_errors_with_centroids_free():
    check_coverage(rerun_four(N_RERUN, 2_200, centroids="free"))


@pytest.mark.parametrize(("fit_shape", "numbers"), [
    (None, {"flux": (10034, 982), "err": (39, 25)}),
    (11, {"flux": (9995, 968), "err": (56, 28)}),
])  # fmt: skip
def test_least_squares_of_the_second_scene_is_scipy_s(fit_shape, numbers):
    scene = make_bright_pair()
    xy = np.array([PAIR["x"], PAIR["y"]]).T
    expected, error = fit_with_scipy(scene.image, xy, PAIR["flux"], fit_shape=fit_shape)
    # The published numbers are rounded to their last digit.
    np.testing.assert_allclose(expected[[2, 5]], numbers["flux"], atol=1.0)
    np.testing.assert_allclose(error[[2, 5]], numbers["err"], atol=1.0)
    psf = bp.IntegratedGaussianPRF(sigma=2.0)
    psf.sigma.fixed = False
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=65 if fit_shape is None else fit_shape,
        group_maker=bp.DAOGroup(crit_separation=8.0),
        sampler=False,
        bkg_estimator=6.0,
        fit_background="flat",
        # So wide that the optimum is that of the data alone.
        priors={"sigma": bp.LogNormal(2.0, 50.0)},
    )
    result = phot(scene.image, scene.error, positions=scene.truth)
    found = [np.asarray(result[f"{name}_fit"]) for name in ("x", "y", "flux")]
    found = np.concatenate([np.stack(found, axis=1).ravel(), [result["sigma_fit"][0]]])
    np.testing.assert_allclose(found, expected[:-1], rtol=1e-6)
    np.testing.assert_allclose(result["background_fit"], expected[-1], rtol=1e-6)
    np.testing.assert_allclose(result["flux_fit_err"], error[[2, 5]], rtol=1e-3)


@pytest.mark.parametrize("centroids", ["free", "fixed"])
def test_least_squares_of_the_first_scene_is_scipy_s(centroids):
    scene = make_four_stars()
    xy = np.array([FOUR["x"], FOUR["y"]]).T
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.x_0.fixed = psf.y_0.fixed = centroids == "fixed"
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=11,
        group_maker=bp.DAOGroup(crit_separation=8.0),
        sampler=False,
        bkg_estimator=6.0,
        fit_background="flat",
    )
    result = phot(scene.image, scene.error, positions=scene.truth)
    found = np.stack([np.asarray(result[f"{n}_fit"]) for n in ("x", "y", "flux")], axis=1)
    if centroids == "fixed":
        np.testing.assert_array_equal(found[:, :2], xy)
        found = np.append(found[:, 2], result["background_fit"][0])
        np.testing.assert_allclose(found, _solve_fixed(scene.image, xy), rtol=1e-6)
        return
    expected, _ = fit_with_scipy(scene.image, xy, FOUR["flux"], fit_shape=11, sigma=None)
    np.testing.assert_allclose(found.ravel(), expected[:-1], rtol=1e-6)
    np.testing.assert_allclose(result["background_fit"], expected[-1], rtol=1e-6)


def _solve_fixed(image, xy):
    """Return fluxes and sky of stars whose places are known, by numpy's least squares."""
    from many_groups import render_stars

    inside = np.zeros(image.shape, dtype=bool)
    for x, y in xy.astype(int):
        inside[y - 5 : y + 6, x - 5 : x + 6] = True
    stars = [render_stars(image.shape, p[:1], p[1:], 1.0, SIGMA)[inside] for p in xy]
    design = np.stack([*stars, np.ones(inside.sum())], axis=1)
    return np.linalg.lstsq(design, image[inside], rcond=None)[0]
