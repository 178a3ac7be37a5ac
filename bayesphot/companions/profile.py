"""Target and companion fitted together at many places, by inner products in place of pixels.

Over a stamp with weights W the target is a polynomial of its own place (`moving`), what else is
free is linear, and a companion at a place p is an image phi_p. With all of them as rows of B, chi^2
of any state is c - 2 m . (B W d) + m^T (B W B^T) m, m the coefficients of the rows: a fit costs
microseconds, and all places are fitted side by side (damped least squares: Levenberg 1944,
Marquardt 1963).

A state is the target's flux, its place (u, v) in the polynomial's square, the linear parameters,
and, of a pair, the companion's flux.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bayesphot.companions.basis import Basis, Crossed, cross_places
from bayesphot.companions.moving import N_TERM, evaluate_terms
from bayesphot.kernels.structs import FLUX

__all__ = [
    "LINEAR",
    "PLACE",
    "Alone",
    "Joint",
    "fit_alone",
    "fit_crossed",
    "fit_places",
    "spread_target",
]

#: Where a state has the target's place, and its first linear parameter.
PLACE, LINEAR = slice(1, 3), 3
#: Steps at most; a step that gains less ends them.
N_STEP = 40
ENOUGH = 1e-4
#: Damping: at the start, its factor after a bad and a good step, its end.
DAMPING, WORSE, BETTER, MOST = 1e-3, 8.0, 0.2, 1e9
#: Steps of differences, in standard deviations.
DIFFERENCE = 0.3
#: A target may move so far from the anchor, in half sides of the polynomial's square.
FARTHEST = 1.25
#: Share of its own variance below which a place is not told apart from the target.
INSEPARABLE = 1e-9
#: Numbers that the images of one chunk of the places hold.
CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class Alone:
    """The target without a companion: chi^2 and priors, state (3 + J,), ln|H| / 2."""

    chi2: float
    state: np.ndarray
    half_log_det: float

    @property
    def flux(self) -> float:
        """The target's flux."""
        return float(self.state[0])

    def render(self, basis: Basis) -> np.ndarray:
        """Return the weighted model (P,)."""
        terms = evaluate_terms(*self.state[PLACE])[0]
        return np.concatenate([self.flux * terms, self.state[LINEAR:]]) @ basis.rows


@dataclass(frozen=True, eq=False)
class Joint:
    """Target and companion at each of M places.

    ``chi2`` (M,) with the priors' part, ``target`` (M, 3) x, y and flux of the target, ``flux``
    (M,) of the companion, ``information`` (M,) its inverse variance, all else free,
    ``half_log_det`` (M,) of all else.
    """

    chi2: np.ndarray
    target: np.ndarray
    flux: np.ndarray
    information: np.ndarray
    half_log_det: np.ndarray

    @classmethod
    def join(cls, parts: list[Joint]) -> Joint:
        """Return the places of all parts."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def put(self, which: np.ndarray, other: Joint) -> Joint:
        """Return the fits with those of some places (a mask) taken from another set."""
        changed = []
        for field in fields(self):
            values = getattr(self, field.name).copy()
            values[which] = getattr(other, field.name)
            changed.append(values)
        return Joint(*changed)


def fit_alone(basis: Basis) -> Alone:
    """Return the fit of the target without a companion."""
    target, moving = basis.stamp.target, basis.moving
    start = np.zeros(LINEAR + len(basis.precision))
    start[0] = target[FLUX]
    start[PLACE] = np.clip((target[:2] - moving.anchor) / moving.half, -1.0, 1.0)
    system = _System(basis, None)
    state, chi2 = _minimise(system, start[None])
    hessian, _ = system.linearise(state, np.arange(1))
    curvature = _find_curvature(system, state[0], hessian[0])
    if np.linalg.eigvalsh(curvature)[0] > 0.0:
        hessian = curvature[None]
    return Alone(float(chi2[0]), state[0], float(_find_half_log_det(hessian, basis)[0]))


def fit_places(basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> Joint:
    """Return the fits of target and companion with the companion held at places (M,).

    They start from a state (3 + J,) of the target and the linear parameters.
    """
    step = max(1, CHUNK // basis.data.size)
    parts = []
    for first in range(0, x.size, step):
        here = slice(first, first + step)
        parts.append(fit_crossed(basis, cross_places(basis, x[here], y[here]), start))
    return Joint.join(parts)


def fit_crossed(basis: Basis, crossed: Crossed, start: np.ndarray) -> Joint:
    """Return the fits at places whose inner products are known; see `fit_places`."""
    state, chi2, hessian = _fit_pairs(basis, crossed, start)
    others, cross, own = hessian[:, :-1, :-1], hessian[:, :-1, -1], hessian[:, -1, -1]
    taken = np.einsum("mi,mi->m", cross, np.linalg.solve(others, cross[..., None])[..., 0])
    left = own - taken
    information = np.where(left > INSEPARABLE * own, left, 0.0)
    place = basis.moving.anchor + basis.moving.half * state[:, PLACE]
    target = np.column_stack([place, state[:, 0]])
    return Joint(chi2, target, state[:, -1], information, _find_half_log_det(others, basis))


def spread_target(
    basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how the target's x, y and flux go with a companion's flux at places (M,).

    Returns
    -------
    slope : (M, 3) array
        Change of the target's x, y and flux with the companion's flux.
    covariance : (M, 3, 3) array
        Of x, y and flux, the companion's flux known.
    """
    hessian = _fit_pairs(basis, cross_places(basis, x, y), start)[2]
    covariance = np.linalg.inv(hessian[:, :-1, :-1])
    slope = -(covariance @ hessian[:, :-1, -1:])[..., 0]
    order, unit = [1, 2, 0], np.array([basis.moving.half, basis.moving.half, 1.0])
    covariance = covariance[:, order][:, :, order] * unit * unit[:, None]
    return slope[:, order] * unit, covariance


def _fit_pairs(basis: Basis, crossed: Crossed, start: np.ndarray):
    """Return states, chi^2 and Gauss and Newton's matrices of target and companion."""
    system = _System(basis, crossed)
    m = len(crossed.own)
    state, chi2 = _minimise(system, np.tile(np.concatenate([start, [0.0]]), (m, 1)))
    return state, chi2, system.linearise(state, np.arange(m))[0]


def _find_curvature(system: _System, state: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return half the second derivatives of chi^2 (k, k) at a state, by central differences.

    Gauss and Newton's matrix leaves out the residuals, which are large where a companion is not in
    the model: an equal pair fitted as one star lies on a flatter top.
    """
    moves = np.diag(DIFFERENCE / np.sqrt(np.diag(hessian)))
    here = np.zeros(1, dtype=np.int64)

    def find(offsets: np.ndarray) -> np.ndarray:
        flat = (state + offsets).reshape(-1, state.size)
        return system.find_chi2(flat, np.broadcast_to(here, len(flat))).reshape(offsets.shape[:-1])

    first, second = moves[:, None], moves[None]
    mixed = find(first + second) - find(first - second) - find(second - first)
    mixed += find(-first - second)
    size = np.diag(moves)
    return mixed / (8.0 * size * size[:, None])


def _find_half_log_det(hessian: np.ndarray, basis: Basis) -> np.ndarray:
    """Return ln|H| / 2 of matrices (M, k, k), places in pixels, so that expansions compare."""
    return 0.5 * np.linalg.slogdet(hessian)[1] - 2.0 * np.log(basis.moving.half)


def _minimise(system: _System, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return states (M, k) of least chi^2, and that, from states to start from."""
    state, active = start.copy(), np.arange(len(start))
    chi2, damping = system.find_chi2(state, active), np.full(len(start), DAMPING)
    for _step in range(N_STEP):
        hessian, slope = system.linearise(state[active], active)
        diagonal = np.einsum("mii->mi", hessian)
        diagonal *= 1.0 + damping[active, None]
        diagonal += 1e-300
        trial = state[active] + np.linalg.solve(hessian, slope[..., None])[..., 0]
        trial[:, PLACE] = np.clip(trial[:, PLACE], -FARTHEST, FARTHEST)
        tried = system.find_chi2(trial, active)
        gain = chi2[active] - tried
        better = gain > 0.0
        state[active[better]], chi2[active[better]] = trial[better], tried[better]
        damping[active] *= np.where(better, BETTER, WORSE)
        active = active[~((better & (gain < ENOUGH)) | (damping[active] > MOST))]
        if active.size == 0:
            break
    return state, chi2


@dataclass(frozen=True, eq=False)
class _System:
    """Chi^2 of states and its derivatives, of the target alone or with companions at M places."""

    basis: Basis
    crossed: Crossed | None

    def find_chi2(self, state: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return chi^2 and the priors' part of states (m, k) of some of the places."""
        basis = self.basis
        rows = self._stack(state, evaluate_terms(state[:, 1], state[:, 2])[0])
        chi2 = basis.total - 2.0 * (rows @ basis.dot)
        chi2 += np.einsum("mk,mk->m", rows @ basis.gram, rows)
        if self.crossed is not None:
            flux, crossed = state[:, -1], self.crossed
            both = np.einsum("mk,mk->m", rows, crossed.cross[which])
            dot = crossed.dot[which]
            chi2 += flux * (flux * crossed.own[which] - 2.0 * dot + 2.0 * both)
        mean, precision = self._prior
        return chi2 + np.square(state[:, : mean.size] - mean) @ precision

    def linearise(self, state: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Gauss and Newton's matrix and the slope down, with priors, of some places."""
        basis = self.basis
        terms, by_u, by_v = evaluate_terms(state[:, 1], state[:, 2])
        rows = self._stack(state, terms)
        n, size = len(basis.precision), LINEAR + len(basis.precision)
        jacobian = np.zeros((len(which), len(basis.rows), size))
        jacobian[:, :N_TERM, 0] = terms
        jacobian[:, :N_TERM, 1] = state[:, :1] * by_u
        jacobian[:, :N_TERM, 2] = state[:, :1] * by_v
        jacobian[:, N_TERM + np.arange(n), LINEAR + np.arange(n)] = 1.0
        rest = basis.dot - rows @ basis.gram
        total = size + (self.crossed is not None)
        hessian, slope = np.empty((len(which), total, total)), np.empty((len(which), total))
        if self.crossed is not None:
            flux, cross = state[:, -1], self.crossed.cross[which]
            own, dot = self.crossed.own[which], self.crossed.dot[which]
            rest = rest - flux[:, None] * cross
            bound = np.einsum("mk,mkj->mj", cross, jacobian)
            hessian[:, :size, size] = hessian[:, size, :size] = bound
            hessian[:, size, size] = own
            slope[:, size] = dot - np.einsum("mk,mk->m", rows, cross) - flux * own
        hessian[:, :size, :size] = np.swapaxes(jacobian, 1, 2) @ (basis.gram @ jacobian)
        slope[:, :size] = np.einsum("mk,mkj->mj", rest, jacobian)
        mean, precision = self._prior
        hessian[:, np.arange(size), np.arange(size)] += precision
        slope[:, :size] -= precision * (state[:, :size] - mean)
        return hessian, slope

    def _stack(self, state: np.ndarray, terms: np.ndarray) -> np.ndarray:
        """Return the coefficients (m, K) of the rows."""
        linear = state[:, LINEAR : LINEAR + len(self.basis.precision)]
        return np.concatenate([state[:, :1] * terms, linear], axis=1)

    @property
    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and precisions of the target's and the linear parameters' normal priors."""
        (u, v, precision), linear = self.basis.place, self.basis.precision
        mean = np.concatenate([[0.0, u, v], np.zeros(linear.size)])
        return mean, np.concatenate([[0.0, precision, precision], linear])
