"""Fits of targets and companions by inner products, against scipy on the pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import least_squares

from bayesphot.kernels import pairs

POWERS = [(i, j) for i in range(6) for j in range(6 - i)]
N_PIXEL = 400


@dataclass
class Scene:
    """Rows (21 + J, P) and images of companions (M, P), weighted already, data (P,) and priors."""

    rows: np.ndarray
    light: np.ndarray
    data: np.ndarray
    mean: np.ndarray
    precision: np.ndarray

    def render(self, state: np.ndarray, m: int) -> np.ndarray:
        """Return the image of a state (flux, u, v, linear ..., companion's flux)."""
        f, u, v = state[:3]
        target = sum(f * u**i * v**j * self.rows[t] for t, (i, j) in enumerate(POWERS))
        return target + state[3:-1] @ self.rows[21:] + state[-1] * self.light[m]

    def residuals(self, state: np.ndarray, m: int) -> np.ndarray:
        """Return residuals of the data and of the priors."""
        prior = np.sqrt(self.precision) * (state[:-1] - self.mean)
        return np.concatenate([self.data - self.render(state, m), prior])

    def fit(self, start: np.ndarray, *, paired: bool = True):
        """Return the kernel's states, chi^2 and matrices, from one state for all places."""
        m, size = len(self.light), start.size
        state = np.tile(start, (m, 1))
        chi2, hessian = np.empty(m), np.empty((m, size, size))
        products = pairs.Products(
            self.rows @ self.rows.T, self.rows @ self.data, float(self.data @ self.data),
            self.mean, self.precision,
        )  # fmt: skip
        companions = pairs.Companions(
            self.light @ self.rows.T, np.sum(self.light**2, axis=1), self.light @ self.data
        )
        pairs.fit_pairs_into(
            products, companions, size if paired else size - 1, state, chi2, hessian
        )
        return state, chi2, hessian


def make_scene(n_linear: int, place, seed: int, flux: float = 300.0) -> Scene:
    """Return a target at a place (u, v) with a companion in the first of three images, and noise.

    As with stars, higher terms of the polynomial are fainter.
    """
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((21 + n_linear, N_PIXEL)) / np.sqrt(N_PIXEL)
    rows[:21] *= np.array([0.4 ** (i + j) for i, j in POWERS])[:, None]
    light = rng.standard_normal((3, N_PIXEL)) / np.sqrt(N_PIXEL)
    mean = np.concatenate([[0.0, 0.1, -0.1], np.zeros(n_linear)])
    precision = np.concatenate([[0.0, 4.0, 4.0], rng.uniform(0.0, 0.1, n_linear)])
    scene = Scene(rows, light, np.zeros(N_PIXEL), mean, precision)
    truth = np.array([flux, *place, *rng.normal(0.0, 5.0, n_linear), 40.0])
    scene.data = scene.render(truth, 0) + rng.standard_normal(N_PIXEL)
    return scene


def differentiate(function, state: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return central differences (k, ...) of a function."""
    moves = np.diag(step)
    return np.array([(function(state + d) - function(state - d)) / (2.0 * d.sum()) for d in moves])


def start_of(scene: Scene, flux: float = 250.0) -> np.ndarray:
    """Return a state to start from."""
    start = np.zeros(scene.mean.size + 1)
    start[0] = flux
    return start


@pytest.mark.parametrize("n_linear", [0, 1, 4])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.4, -0.7)])
def test_pairs_are_those_of_least_squares_on_the_pixels(n_linear, place):
    scene = make_scene(n_linear, place, seed=21 + n_linear)
    start = start_of(scene)
    state, chi2, hessian = scene.fit(start)
    for m in range(3):
        exact = least_squares(scene.residuals, start, args=(m,), x_scale="jac", xtol=1e-14)
        step = np.full(start.size, 1e-4)
        jacobian = differentiate(lambda s, m=m: scene.residuals(s, m), state[m], step)
        np.testing.assert_allclose(hessian[m], jacobian @ jacobian.T, rtol=1e-6, atol=1e-5)
        sd = np.sqrt(np.diag(np.linalg.inv(hessian[m])))
        # A fit ends where a step gains less than 1e-4: a hundredth of an error is that.
        assert np.abs((state[m] - exact.x) / sd).max() < 0.01
        assert chi2[m] == pytest.approx(2.0 * exact.cost, abs=1e-4)


def test_targets_alone_keep_the_companion_out_and_give_the_true_curvature():
    scene = make_scene(2, (0.3, 0.2), seed=30)
    scene.light = scene.light[1:]
    start = start_of(scene)
    start[-1] = 7.0
    step = np.array([0.5, 0.01, 0.01, 0.5, 0.5])
    state, chi2, hessian = scene.fit(start, paired=False)
    for m in range(2):
        assert state[m, -1] == 7.0

        def find_chi2(free, m=m):
            return np.sum(scene.residuals(np.append(free, 7.0), m) ** 2)

        assert find_chi2(state[m, :-1]) == pytest.approx(chi2[m], rel=1e-12)
        slope = differentiate(find_chi2, state[m, :-1], step)
        curvature = 0.5 * differentiate(
            lambda s, f=find_chi2: differentiate(f, s, step), state[m, :-1], step
        )
        sd = np.sqrt(np.diag(np.linalg.inv(curvature)))
        assert np.abs(0.5 * slope * sd).max() < 0.02
        # Differences of polynomials err by step^2 of their higher terms.
        np.testing.assert_allclose(
            hessian[m, :-1, :-1] * sd * sd[:, None], curvature * sd * sd[:, None], atol=2e-3
        )
        jacobian = differentiate(
            lambda s, m=m: scene.residuals(np.append(s, 7.0), m), state[m, :-1], step
        )
        # Gauss and Newton's matrix is not that.
        other = (jacobian @ jacobian.T - curvature) * sd * sd[:, None]
        assert np.abs(other).max() > 0.02


@pytest.mark.parametrize("place", [(1.6, 0.3), (-0.2, -1.7), (1.8, -1.8)])
def test_places_outside_are_held_at_the_edge(place):
    scene = make_scene(1, place, seed=40)
    start = start_of(scene)
    state, chi2, _ = scene.fit(start)
    most = pairs.FARTHEST
    edges = np.full(start.size, np.inf)
    edges[1:3] = most
    for m in range(3):
        exact = least_squares(
            scene.residuals, start, args=(m,), bounds=(-edges, edges), x_scale="jac", xtol=1e-14
        )
        assert np.abs(exact.x[1:3]).max() == pytest.approx(most, abs=1e-6)
        np.testing.assert_allclose(state[m], exact.x, rtol=1e-3, atol=1e-2)
        assert chi2[m] == pytest.approx(2.0 * exact.cost, abs=1e-3)


def test_a_saddle_has_the_matrix_of_gauss_and_newton():
    # Orthogonal images; the light of u^2 pulls the target off the middle on both sides.
    rows = np.eye(21, N_PIXEL)
    data = 10.0 * rows[0] + 50.0 * (rows[POWERS.index((2, 0))] + rows[POWERS.index((0, 2))])
    scene = Scene(rows, np.zeros((1, N_PIXEL)), data, np.zeros(3), np.zeros(3))
    state, _, hessian = scene.fit(np.array([10.0, 0.0, 0.0, 0.0]), paired=False)
    np.testing.assert_array_equal(state[0], [10.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(hessian[0, :3, :3], np.diag([1.0, 100.0, 100.0]), atol=1e-12)


def test_a_companion_on_masked_pixels_has_no_flux():
    scene = make_scene(1, (0.1, 0.1), seed=50)
    scene.light[2] = 0.0
    state, chi2, hessian = scene.fit(start_of(scene))
    assert state[2, -1] == 0.0
    assert hessian[2, -1, -1] == 0.0
    assert np.isfinite(chi2).all()
