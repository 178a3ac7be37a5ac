"""The pieces of a PSF from stars: the spline, its error, and how stars differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesphot.effective_psf.modes import Amplitudes, find_spread, list_terms
from bayesphot.effective_psf.solve import (
    Field,
    Grid,
    Pieces,
    build_system,
    choose_field,
    solve_spline,
)

SIGMA = 0.8
#: False alarms of a correct program, per test.
ALPHA = 1e-4


def evaluate_truth(dx, dy) -> np.ndarray:
    """Return a PSF of two Gaussians, the fainter one wider and off the centre."""
    core = np.exp(-0.5 * (dx**2 + dy**2) / SIGMA**2) / (2 * np.pi * SIGMA**2)
    wide = np.exp(-0.5 * ((dx - 0.5) ** 2 + dy**2) / (4 * SIGMA**2)) / (8 * np.pi * SIGMA**2)
    return 0.8 * core + 0.2 * wide


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid(half=6, oversampling=3)


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    """Forty stars at random phases, signal to noise of some hundreds."""
    rng = np.random.default_rng(4)
    j, i = np.mgrid[-6:7, -6:7]
    parts = []
    for star in range(40):
        x, y = rng.uniform(-0.5, 0.5, 2)
        dx, dy = (i - x).ravel(), (j - y).ravel()
        flux = 10 ** rng.uniform(3.0, 4.0)
        sd = 5.0 / flux
        value = evaluate_truth(dx, dy) + rng.normal(0.0, sd, dx.size)
        parts.append((np.full(dx.size, star), dx, dy, value, *2 * (np.full(dx.size, sd**2),)))
    return Pieces(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def start(grid) -> tuple[np.ndarray, np.ndarray]:
    """A first guess without the fainter part, and its envelope."""
    x, y = np.meshgrid(grid.offset, grid.offset)
    profile = (1.0 + (x**2 + y**2) / (2.0 * SIGMA) ** 2) ** -3.0
    guess = profile / profile.sum() * grid.oversampling**2
    return grid.coefficients(guess), guess.ravel()


def test_a_spline_of_a_known_image_gives_its_values(grid) -> None:
    x, y = np.meshgrid(grid.offset, grid.offset)
    coefficients = grid.coefficients(evaluate_truth(x, y))
    # At the border one of the splines lies outside and is left out.
    inner = np.s_[1:-1, 1:-1]
    found = grid.image(coefficients)[inner]
    np.testing.assert_allclose(found, evaluate_truth(x, y)[inner], atol=1e-9)
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-3.0, 3.0, (2, 200))
    # Cubic splines of three nodes to a pixel are off by some thousandths of the peak.
    peak = evaluate_truth(0.0, 0.0)
    value = grid.design(dx, dy) @ coefficients
    assert np.abs(value - evaluate_truth(dx, dy)).max() < 5e-3 * peak


def test_the_psf_is_found_within_its_own_error(grid, pieces, start) -> None:
    weight = np.ones(pieces.star.size)
    x, y = np.meshgrid(grid.offset, grid.offset)
    system = build_system(grid, pieces, *start, evaluate_truth(x, y), weight)
    field = choose_field(system, 2.355 * SIGMA)
    solution = solve_spline(system, field, n_draw=100, seed=2)
    core = np.hypot(x, y) < 3.0 * SIGMA
    error = np.array([grid.image(one) for one in solution.draws]).std(axis=0)
    off = (grid.image(solution.coefficient) - evaluate_truth(x, y))[core]
    # Neighbouring nodes go together: a chi square of about one node in nine.
    n = core.sum() / grid.oversampling**2
    chi2 = np.mean((off / error[core]) ** 2)
    assert stats.chi2.ppf(ALPHA / 2, n) / n < chi2 < stats.chi2.isf(ALPHA / 2, n) / n
    rms = np.mean(solution.residual**2)
    assert 1.0 - 5.0 * np.sqrt(2.0 / weight.size) - 0.05 < rms < 1.0 + 5 * np.sqrt(2 / weight.size)


def test_the_evidence_is_that_of_the_dense_normal(grid) -> None:
    """The determinant from the waves is that of the matrix, its borders included."""
    small = Grid(half=2, oversampling=2)
    field = Field(0.3, 1.5)
    precision = sum((root.T @ root).toarray() for root in field.root(small))
    assert field.log_det(small) == pytest.approx(np.linalg.slogdet(precision)[1], rel=1e-10)


@pytest.mark.parametrize("degree", [0, 1])
def test_the_scatter_of_stars_is_found_beneath_their_errors(degree) -> None:
    rng = np.random.default_rng(6)
    n = 400
    x, y = rng.uniform(-1.0, 1.0, (2, n))
    truth = np.diag([0.03, 0.0, 0.02]) ** 2
    slope = np.zeros((list_terms(x, y, degree).shape[1], 3))
    slope[-1] = 0.05
    noise = np.array([np.eye(3) * rng.uniform(0.01, 0.03) ** 2 for _ in range(n)])
    mean = list_terms(x, y, degree) @ slope
    value = mean + rng.multivariate_normal(np.zeros(3), truth, n)
    value += np.array([rng.multivariate_normal(np.zeros(3), one) for one in noise])
    spread = find_spread(Amplitudes(value, noise), x, y, degree)
    # The error of a variance v beneath an error e is (v + e^2) sqrt(2 / n).
    error = (truth + 0.02**2) * np.sqrt(2.0 / n)
    z = stats.norm.isf(ALPHA / 18)
    assert np.all(np.abs(spread.covariance - truth) < z * np.maximum(error, error.diagonal().max()))
    np.testing.assert_allclose(spread.mean, slope, atol=z * 0.04 / np.sqrt(n / 3.0))
