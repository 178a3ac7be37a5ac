"""The pieces of a PSF from stars: the spline, its error, and how stars differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import BSpline
from scipy.linalg import block_diag

from bayesphot.effective_psf.basis import Basis, Grid, make_basis
from bayesphot.effective_psf.modes import Amplitudes, find_spread, list_terms
from bayesphot.effective_psf.moffat import Moffat, fit_moffat
from bayesphot.effective_psf.solve import (
    EXACT,
    STEP,
    Field,
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


def differentiate_truth(dx, dy, step: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """Return its derivatives by x and y."""
    by_x = evaluate_truth(dx + step, dy) - evaluate_truth(dx - step, dy)
    by_y = evaluate_truth(dx, dy + step) - evaluate_truth(dx, dy - step)
    return 0.5 * by_x / step, 0.5 * by_y / step


@pytest.fixture(scope="module")
def basis() -> Basis:
    return make_basis(6, 2.355 * SIGMA)


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
def guess() -> Moffat:
    """The core alone, its flux wrong by a fifth."""
    return Moffat.of_width(2.355 * SIGMA, 4.0)


@pytest.fixture(scope="module")
def system(basis, pieces, guess) -> System:
    nothing = np.zeros(basis.grid.side**2)
    return build_system(basis, pieces, guess, nothing, np.ones(pieces.star.size))


@pytest.mark.parametrize("oversampling", [1, 2])
def test_splines_take_up_a_plane(oversampling) -> None:
    """Cubic splines hold polynomials to the third order; coefficients of a plane are its values."""
    grid = Grid(half=6, oversampling=oversampling)
    x, y = np.meshgrid(grid.offset, grid.offset)
    rng = np.random.default_rng(1)
    dx, dy = rng.uniform(-3.0, 3.0, (2, 200))
    value = grid.design(dx, dy) @ (1.0 + 2.0 * x - 0.5 * y).ravel()
    np.testing.assert_allclose(value, 1.0 + 2.0 * dx - 0.5 * dy, atol=1e-12)


@pytest.mark.parametrize("fwhm", [1.3, 1.8, 3.0, 8.0])
def test_no_flux_hides_in_the_phase_of_the_pixel(fwhm) -> None:
    """Sums over the pixels are the same wherever the star is in its pixel."""
    basis = make_basis(22, fwhm)
    assert basis.x.size < 2500
    rng = np.random.default_rng(2)
    free = np.where(np.hypot(basis.x, basis.y) < 15.0, rng.normal(size=basis.x.size), 0.0)
    coefficient = basis.matrix @ free
    assert np.abs(coefficient).sum() > 10.0
    j, i = np.mgrid[-23:24, -23:24]
    for dx, dy in rng.uniform(-0.5, 0.5, (5, 2)):
        value = basis.grid.design((i - dx).ravel(), (j - dy).ravel()) @ coefficient
        total = coefficient.sum() / basis.grid.oversampling**2
        assert value.sum() == pytest.approx(total, abs=1e-9)


def integrate_spline(x: np.ndarray, place: float, step: float) -> np.ndarray:
    """Return the mean over a pixel of the quadratic B-spline of nodes ``step`` apart, by sums."""
    u = (x[:, None] + (np.arange(2000) + 0.5) / 2000 - 0.5 - place) / step
    r = np.abs(u)
    value = np.where(r < 0.5, 0.75 - r**2, np.where(r < 1.5, 0.5 * (1.5 - r) ** 2, 0.0))
    return value.mean(axis=1)


def test_the_core_is_light_that_pixels_integrate() -> None:
    basis = make_basis(6, 1.8)
    core, step = basis.levels[0], 1.0 / basis.grid.oversampling
    k = int(np.argmin(np.hypot(core.x - 0.7, core.y + 0.4)))
    x, y = np.random.default_rng(7).uniform(-2.0, 2.0, (2, 100))
    found = basis.grid.design(x, y) @ core.matrix[:, [k]].toarray()[:, 0]
    expected = integrate_spline(x, core.x[k], step) * integrate_spline(y, core.y[k], step)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_wings_are_wider_splines() -> None:
    basis = make_basis(24, 4.6)
    wings, grid = basis.levels[1], basis.grid
    k = int(np.argmin(np.hypot(wings.x - 20.0, wings.y)))
    offset = np.linspace(-2.5, 2.5, 41)
    found = grid.design(wings.x[k] + offset, np.full(41, wings.y[k]))
    found = found @ wings.matrix[:, [k]].toarray()[:, 0]
    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    expected = np.nan_to_num(spline(offset / wings.step)) * spline(0.0)
    assert wings.step > 1.0
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_normal_and_evidence_are_those_of_all_parameters_at_once(basis, pieces, system) -> None:
    """The stars' own parameters are eliminated as dense linear algebra would."""
    field = Field(0.3, 1.5)
    n = basis.x.size
    root = np.sqrt(system.precision)[:, None]
    whole = np.hstack([(system.design @ system.unit).toarray(), system.own.toarray()]) * root
    normal = whole.T @ whole
    n_own = normal.shape[0] - n
    normal[n:, n:] += np.eye(n_own) / STEP**2
    x, y = np.meshgrid(basis.grid.offset, basis.grid.offset)
    guess = Moffat.of_width(2.355 * SIGMA, 4.0)
    slopes = [slope.ravel() for slope in guess.differentiate(x, y)]
    share = 1.0 / basis.grid.oversampling**2
    hold = np.array([np.full(x.size, share), *(slope / (slope @ slope) for slope in slopes)])
    hold = hold @ system.unit / EXACT
    value = np.array([1.0 - share * guess(x, y).sum(), 0.0, 0.0]) / EXACT
    normal[:n, :n] += hold.T @ hold
    first = 0
    for level in basis.levels:
        here = slice(first, first := first + level.x.size)
        normal[here, here] += field.precision(level)
    right = whole.T @ (root[:, 0] * system.rest)
    right[:n] += hold.T @ value
    expected = np.linalg.solve(normal, right)[:n]
    found = solve_spline(system, field).coefficient
    np.testing.assert_allclose(found, system.unit @ expected, rtol=1e-5, atol=1e-9)


def test_the_evidence_falls_off_as_the_posterior_says(basis, system) -> None:
    """Differences of ln evidence are those of Gaussians, by dense determinants."""
    found, expected = [], []
    for field in (Field(0.3, 1.5), Field(0.1, 0.8)):
        prior = block_diag(*(field.precision(level) for level in basis.levels))
        total = system.normal + prior
        log_det = np.linalg.slogdet(total)[1] - np.linalg.slogdet(prior)[1]
        expected.append(0.5 * (system.right @ np.linalg.solve(total, system.right) - log_det))
        found.append(system.find_evidence(field))
    assert found[0] - found[1] == pytest.approx(expected[0] - expected[1], rel=1e-6)


def test_draws_scatter_as_the_posterior_does(basis, system) -> None:
    field = Field(0.3, 1.5)
    prior = block_diag(*(field.precision(level) for level in basis.levels))
    covariance = np.linalg.inv(system.normal + prior)
    row = np.asarray(system.unit[[basis.grid.side**2 // 2]].toarray())[0]
    sd = float(np.sqrt(row @ covariance @ row))
    n = 2000
    draws = solve_spline(system, field, n_draw=n, seed=3).draws[:, basis.grid.side**2 // 2]
    chi2 = float((draws**2).sum() / sd**2)
    assert stats.chi2.ppf(0.5 * ALPHA, n) < chi2 < stats.chi2.isf(0.5 * ALPHA, n)


def test_the_psf_is_found_within_its_own_error(basis, pieces, guess, system) -> None:
    field = choose_field(system, 2.355 * SIGMA)
    solution = solve_spline(system, field, n_draw=100, seed=2)
    residual2 = np.mean(solution.residual**2)
    spread = 5.0 * np.sqrt(2.0 / pieces.star.size)
    # Less than 1 by what is fitted: 120 numbers of stars and some hundred of splines.
    assert 1.0 - 520 / pieces.star.size - spread < residual2 < 1.0 + spread
    x, y = np.random.default_rng(3).uniform(-2.0 * SIGMA, 2.0 * SIGMA, (2, 400))
    design = basis.grid.design(x, y)
    found = guess(x, y) + design @ solution.coefficient
    error = (design @ solution.draws.T).std(axis=1)
    # The convention of the total and of the centre, which no pixel knows, is the truth's.
    truth = evaluate_truth(x, y)
    design = np.stack([truth, *np.array(differentiate_truth(x, y))], axis=1)
    off = found - truth
    off = off - design @ np.linalg.lstsq(design, off, rcond=None)[0]
    assert np.mean(np.abs(off) < 4.0 * error) > 0.99


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


def test_the_determinant_of_the_prior_is_that_of_the_matrix() -> None:
    """From the waves, borders of the core and of the wings included."""
    field = Field(0.3, 1.5)
    for level in make_basis(14, 2.0).levels:
        expected = np.linalg.slogdet(field.precision(level))[1]
        assert field.log_det(level) == pytest.approx(expected, rel=1e-10)


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
