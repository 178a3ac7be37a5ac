"""Two correlated shapes shared by the image, each star a group: the posterior is one group's.

The referee is plain numpy: of bright stars the posterior is normal, its precision J^T W J and that
of the priors, J from differences of the model's own evaluation.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from bands import FALSE_ALARM, normal_limit, per_test, sd_band

import bayesphot as bp

PLACES = np.array([(12.3, 11.8), (36.1, 12.4), (60.7, 11.6)])
FLUXES = np.array([3e4, 8e4, 5e4])
ALPHA, BETA, NOISE, BOX = 2.1, 2.8, 10.0, 15
START = (2.0, 3.0)
SHAPES = ("alpha", "beta")
Y, X = np.mgrid[:24, :73]


def render(theta: np.ndarray) -> np.ndarray:
    """Return the image of (ln alpha, ln(beta - 1), x, y, flux, x, y, flux ...)."""
    alpha, beta = np.exp(theta[0]), 1.0 + np.exp(theta[1])
    model = bp.MoffatPRF()
    return sum(model.evaluate(X, Y, f, x, y, alpha, beta) for x, y, f in theta[2:].reshape(-1, 3))


def make_truth() -> np.ndarray:
    """Return the parameters of the scene, as `render` takes them."""
    stars = np.column_stack([PLACES, FLUXES])
    return np.r_[np.log(ALPHA), np.log(BETA - 1.0), stars.ravel()]


@cache
def make_image() -> np.ndarray:
    """Return stars and noise."""
    return render(make_truth()) + np.random.default_rng(620).normal(0.0, NOISE, X.shape)


@cache
def solve_normal() -> tuple[np.ndarray, np.ndarray]:
    """Return optimum and covariance of all parameters, by Gauss-Newton from the truth."""
    inside = np.zeros(X.shape, dtype=bool)
    for x, y in PLACES:
        row, col, half = int(y + 0.5), int(x + 0.5), BOX // 2
        inside[row - half : row + half + 1, col - half : col + half + 1] = True
    image, theta = make_image(), make_truth()
    prior = np.zeros(theta.size)
    prior[:2] = 0.2**-2  # the default priors of the shapes, about their starts
    about = np.r_[np.log(START[0]), np.log(START[1] - 1.0), np.zeros(theta.size - 2)]
    step = np.r_[1e-4, 1e-4, np.tile([1e-3, 1e-3, 1.0], len(PLACES))]
    for _round in range(5):
        shifts = np.diag(step)
        columns = [
            (render(theta + h) - render(theta - h))[inside] / (2.0 * size * NOISE)
            for h, size in zip(shifts, step, strict=True)
        ]
        design = np.stack(columns, axis=1)
        residual = (image - render(theta))[inside] / NOISE
        covariance = np.linalg.inv(design.T @ design + np.diag(prior))
        theta = theta + covariance @ (design.T @ residual - prior * (theta - about))
    return theta, covariance


@cache
def run(shape: str) -> bp.PhotometryResult:
    """Return the stars, each by itself with the shapes of the image, or all in one group."""
    psf = bp.MoffatPRF(alpha=START[0], beta=START[1])
    psf.alpha.fixed = psf.beta.fixed = False
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=BOX,
        group_maker=lambda x, y: np.arange(x.size) if shape == "image" else np.zeros(x.size, int),
        shape=shape,
        fit_background=False,
        sampler=bp.Sampler(draws=1000),
        seed=3,
    )
    return phot(make_image(), NOISE, positions={"x_0": PLACES[:, 0], "y_0": PLACES[:, 1]})


def read_columns(result: bp.PhotometryResult, i: int) -> np.ndarray:
    """Return the draws (n, 2) of the shapes of row i in the columns in which priors are normal."""
    values = [result.posterior[name] for name in SHAPES]
    draws = [np.asarray(v.values if v.ndim == 2 else v.values[..., i]).ravel() for v in values]
    return np.stack([np.log(draws[0]), np.log(draws[1] - 1.0)], axis=1)


@pytest.mark.parametrize("shape", ["image", "group"])
def test_every_row_has_the_posterior_of_the_shapes_they_share(shape) -> None:
    mean, covariance = solve_normal()
    error = np.sqrt(np.diag(covariance)[:2])
    expected = covariance[0, 1] / np.prod(error)
    result = run(shape)
    alarm = per_test(2 * len(PLACES) * 5, FALSE_ALARM)
    for i in range(len(PLACES)):
        draws = read_columns(result, i)
        # Draws of a chain lean on each other: as many count as the worst parameter of the row has.
        n = float(min(result["ess_bulk"][i], result["ess_tail"][i]))
        low, high = sd_band(n, alarm)
        pull = (draws.mean(axis=0) - mean[:2]) / error
        assert np.all(np.abs(pull) < normal_limit(alarm) / np.sqrt(n))
        ratio = draws.std(axis=0) / error
        assert np.all((low < ratio) & (ratio < high)), ratio
        # Fisher's z of a correlation of n draws has the variance 1 / (n - 3).
        found = np.arctanh(np.corrcoef(draws.T)[0, 1])
        assert abs(found - np.arctanh(expected)) < normal_limit(alarm) / np.sqrt(n - 3.0)


def test_rows_of_an_image_are_those_of_one_group() -> None:
    alone, together = run("image"), run("group")
    theta, covariance = solve_normal()
    for name, optimum in zip(SHAPES, (np.exp(theta[0]), 1.0 + np.exp(theta[1])), strict=True):
        assert np.ptp(alone[f"{name}_fit"]) == 0.0
        # Steps of the shapes end under 1e-4, a thirtieth of the error here, and wings are rendered
        # to a tenth of the noise.
        off = np.abs(alone[f"{name}_fit"] - optimum) / together[f"{name}_err"]
        assert np.all(off < 0.1)
    alarm = per_test(2 * len(PLACES), FALSE_ALARM)
    n = np.minimum(alone["ess_bulk"], together["ess_bulk"])
    for name in ("flux", *SHAPES):
        ratio = np.asarray(alone[f"{name}_err"] / together[f"{name}_err"])
        # Both are estimates: of a ratio of standard deviations the variance is 1 / n.
        assert np.all(np.abs(np.log(ratio)) < normal_limit(alarm) / np.sqrt(n)), (name, ratio)
