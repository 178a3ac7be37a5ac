"""The pieces of a PSF from stars: the spline, its error, and how stars differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bayesphot.effective_psf.modes import Amplitudes, find_spread, list_terms
from bayesphot.effective_psf.moffat import Moffat, fit_moffat
from bayesphot.effective_psf.solve import (
    Field,
    Grid,
    Pieces,
    System,
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
    return Grid(half=6, oversampling=1)


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
def system(grid, pieces) -> System:
    """The first guess is the core alone, its flux wrong by a tenth."""
    width = SIGMA * 2.355
    guess = Moffat.of_width(width, 4.0)
    envelope = guess(*np.meshgrid(grid.offset, grid.offset)).ravel()
    base = guess(pieces.dx, pieces.dy)
    slopes = guess.differentiate(pieces.dx, pieces.dy)
    nothing = np.zeros(grid.side**2)
    weight = np.ones(pieces.star.size)
    return build_system(grid, pieces, envelope, base, slopes, nothing, weight)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_splines_take_up_a_plane(oversampling) -> None:
    """Cubic splines hold polynomials to the third order; coefficients of a plane are its values."""
    grid = Grid(half=6, oversampling=oversampling)
    x, y = np.meshgrid(grid.offset, grid.offset)
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-3.0, 3.0, (2, 200))
    value = grid.design(dx, dy) @ (1.0 + 2.0 * x - 0.5 * y).ravel()
    np.testing.assert_allclose(value, 1.0 + 2.0 * dx - 0.5 * dy, atol=1e-12)


def test_no_flux_or_place_hides_in_the_phase_of_the_pixel(grid) -> None:
    """Sums over the pixels, and first moments, are the same wherever the star is in its pixel."""
    rng = np.random.default_rng(2)
    x, y = np.meshgrid(grid.offset, grid.offset)
    coefficient = np.where(np.hypot(x, y) < 4.0, rng.normal(size=x.shape), 0.0).ravel()
    j, i = np.mgrid[-7:8, -7:8]
    for dx, dy in rng.uniform(-0.5, 0.5, (5, 2)):
        u, v = (i - dx).ravel(), (j - dy).ravel()
        value = grid.design(u, v) @ coefficient
        assert value.sum() == pytest.approx(coefficient.sum(), abs=1e-12)
        assert (u * value).sum() == pytest.approx((x.ravel() * coefficient).sum(), abs=1e-12)


def test_the_psf_is_found_within_its_own_error(grid, pieces, system) -> None:
    field = choose_field(system, 2.355 * SIGMA)
    solution = solve_spline(system, field, n_draw=100, seed=2)
    residual2 = np.mean(solution.residual**2)
    spread = 5.0 * np.sqrt(2.0 / pieces.star.size)
    # Less than 1 by what is fitted: 120 numbers of stars and at most 169 of splines.
    assert 1.0 - 289 / pieces.star.size - spread < residual2 < 1.0 + spread
    x, y = np.random.default_rng(3).uniform(-2.0 * SIGMA, 2.0 * SIGMA, (2, 400))
    found = Moffat.of_width(2.355 * SIGMA, 4.0)(x, y) + grid.design(x, y) @ solution.coefficient
    error = (grid.design(x, y) @ solution.draws.T).std(axis=1)
    peak = evaluate_truth(0.0, 0.0)
    # What the guess has finer than a pixel is not the truth's: 1 % of the peak at these widths.
    off = np.maximum(np.abs(found - evaluate_truth(x, y)) - 0.01 * peak, 0.0)
    assert np.mean(off < 4.0 * error) > 0.99


def test_a_moffat_function_is_found(pieces) -> None:
    truth = Moffat(size=0.3, plus=0.1, cross=-0.05, beta=3.0)
    rng = np.random.default_rng(5)
    sd = np.sqrt(pieces.variance)
    value = truth(pieces.dx, pieces.dy) + rng.normal(0.0, sd)
    found = fit_moffat(replace(pieces, value=value), Moffat.of_width(3.0, 4.0), 3.0)
    # Forty stars of a signal to noise of some 200: a thousandth, beta ten times worse.
    assert found.size == pytest.approx(truth.size, abs=0.02)
    assert found.plus == pytest.approx(truth.plus, abs=0.01)
    assert found.cross == pytest.approx(truth.cross, abs=0.01)
    assert found.beta == pytest.approx(truth.beta, abs=0.1)


def test_a_moffat_function_holds_all_its_light() -> None:
    x, y = np.meshgrid(np.arange(-200, 201), np.arange(-200, 201))
    total = Moffat(0.5, 0.2, 0.1, 3.0)(x, y).sum()
    # Three nodes across a pixel; beyond 200 pixels there are 1e-8.
    assert total == pytest.approx(1.0, abs=2e-4)


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
