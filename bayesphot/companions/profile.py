"""Target and companion fitted together at many places, by inner products in place of pixels.

Over a stamp with weights W the target is a polynomial of its own place (`moving`), what else is
free is linear, and a companion at a place p is an image phi_p. With all of them as rows of B, chi^2
of any state is c - 2 m . (B W d) + m^T (B W B^T) m, m the coefficients of the rows: a fit costs
microseconds, and all places are fitted side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.kernels.structs import FLUX, SHAPE

from .moving import N_TERM, MovingImage, evaluate_terms, render_units
from .stamp import Stamp

__all__ = [
    "Alone",
    "Basis",
    "Crossed",
    "Joint",
    "change_data",
    "cross_places",
    "fit_alone",
    "fit_crossed",
    "fit_places",
    "make_basis",
    "spread_target",
]

#: Steps of Levenberg and Marquardt at most; a step that gains less ends them.
N_STEP = 40
ENOUGH = 1e-4
#: Damping: at the start, its factor after a bad and a good step, its end.
DAMPING, WORSE, BETTER, MOST = 1e-3, 8.0, 0.2, 1e9
#: A target may move so far from the anchor, in half sides of the polynomial's square.
FARTHEST = 1.25
#: Share of its own variance below which a place is not told apart from the target.
INSEPARABLE = 1e-9
#: Numbers that the images of one chunk of the places hold.
CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class Basis:
    """Inner products of a stamp's rows: the target's N_TERM, then the linear columns.

    ``rows`` (K, P) are weighted by the square root of W, ``data`` (P,) too; ``gram`` (K, K),
    ``dot`` (K,) with the data, ``total`` of the data with themselves. ``place`` holds the mean in
    units of the polynomial's half side, and the precision, of the normal prior of the target's u
    and v; ``precision`` (K - N_TERM,) of the linear parameters.
    """

    stamp: Stamp
    moving: MovingImage
    rows: np.ndarray
    data: np.ndarray
    gram: np.ndarray
    dot: np.ndarray
    total: float
    place: tuple[float, float, float]
    precision: np.ndarray


@dataclass(frozen=True, eq=False)
class Alone:
    """The target without a companion: chi^2 and priors, state (3 + J,), ln|H| / 2."""

    chi2: float
    state: np.ndarray
    half_log_det: float

    def render(self, basis: Basis) -> np.ndarray:
        """Return the weighted model (P,)."""
        terms = evaluate_terms(self.state[1], self.state[2])[0]
        return np.concatenate([self.state[0] * terms, self.state[3:]]) @ basis.rows


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


@dataclass(frozen=True, eq=False)
class Crossed:
    """Companions at M places: weighted ``light`` (M, P), its products with the rows of a basis,
    ``cross`` (M, K), and with itself, ``own`` (M,).
    """

    light: np.ndarray
    cross: np.ndarray
    own: np.ndarray


def make_basis(stamp: Stamp, anchor, half: float, place_sd: float) -> Basis:
    """Return the inner products of a stamp with the target expanded about an anchor.

    Parameters
    ----------
    stamp : Stamp
        The pixels.
    anchor : (float, float)
        x and y, image pixels.
    half : float
        Half side of the square on which the expansion holds, pixels.
    place_sd : float
        Of the normal prior of the target's x and of its y about the stamp's start, pixels.
    """
    moving = MovingImage.expand(stamp.psf, anchor, half, stamp.window, stamp.target[SHAPE:])
    root = np.sqrt(stamp.weight)
    rows = np.concatenate([moving.images, stamp.columns]) * root
    data = stamp.data * root
    mean = (np.array(stamp.start) - anchor) / half
    place = (float(mean[0]), float(mean[1]), (half / place_sd) ** 2)
    return Basis(
        stamp, moving, rows, data, rows @ rows.T, rows @ data, float(data @ data), place,
        stamp.precision,
    )  # fmt: skip


def change_data(basis: Basis, data: np.ndarray) -> Basis:
    """Return the inner products with other data (P,), weighted by the square root of W."""
    return replace(basis, data=data, dot=basis.rows @ data, total=float(data @ data))


def fit_alone(basis: Basis) -> Alone:
    """Return the fit of the target without a companion."""
    fitted = _Fit(basis, None)
    fitted.run()
    hessian = fitted.hessian(np.arange(1))[0]
    return Alone(
        float(fitted.chi2[0]),
        fitted.state[0],
        0.5 * float(np.linalg.slogdet(hessian)[1]) - 2.0 * np.log(basis.moving.half),
    )


def fit_places(basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> Joint:
    """Return the fits of target and companion with the companion held at places (M,).

    They start from a state (3 + J,) of the target and the linear parameters.
    """
    step = max(1, CHUNK // basis.data.size)
    parts = [
        _fit_some(basis, x[first : first + step], y[first : first + step], start)
        for first in range(0, x.size, step)
    ]
    return Joint(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _fit_some(basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> tuple:
    """Return what `Joint` holds, of places that fit into memory together."""
    return _summarise(_fit(basis, x, y, start))


def fit_crossed(basis: Basis, crossed: Crossed, start: np.ndarray) -> Joint:
    """Return the fits at places whose inner products are known."""
    fitted = _Fit(basis, crossed, start=start)
    fitted.run()
    return Joint(*_summarise(fitted))


def _summarise(fitted: _Fit) -> tuple:
    """Return what `Joint` holds."""
    basis = fitted.basis
    hessian = fitted.hessian(np.arange(len(fitted.state)))
    others, cross = hessian[:, :-1, :-1], hessian[:, :-1, -1]
    own = hessian[:, -1, -1]
    taken = np.einsum("mi,mi->m", cross, np.linalg.solve(others, cross[..., None])[..., 0])
    left = own - taken
    information = np.where(left > INSEPARABLE * own, left, 0.0)
    place = basis.moving.anchor + basis.moving.half * fitted.state[:, 1:3]
    return (
        fitted.chi2,
        np.column_stack([place, fitted.state[:, 0]]),
        fitted.state[:, -1],
        information,
        # In units of pixels, so that expansions compare.
        0.5 * np.linalg.slogdet(others)[1] - 2.0 * np.log(basis.moving.half),
    )


def spread_target(basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray):
    """Return how the target's x, y and flux go with a companion's flux at places (M,).

    Returns
    -------
    slope : (M, 3) array
        Change of the target's x, y and flux with the companion's flux.
    covariance : (M, 3, 3) array
        Of x, y and flux, the companion's flux known.
    """
    fitted = _fit(basis, x, y, start)
    hessian = fitted.hessian(np.arange(x.size))
    covariance = np.linalg.inv(hessian[:, :-1, :-1])
    slope = -(covariance @ hessian[:, :-1, -1:])[..., 0]
    order, unit = [1, 2, 0], np.array([basis.moving.half, basis.moving.half, 1.0])
    covariance = covariance[:, order][:, :, order] * unit * unit[:, None]
    return slope[:, order] * unit, covariance


def cross_places(basis: Basis, x: np.ndarray, y: np.ndarray) -> Crossed:
    """Return the inner products of companions at places that fit into memory together."""
    stamp = basis.stamp
    light = render_units(
        stamp.psf.data, np.column_stack([x, y]), stamp.window, stamp.target[SHAPE:]
    )
    light *= np.sqrt(stamp.weight)
    return Crossed(light, light @ basis.rows.T, np.einsum("mp,mp->m", light, light))


def _fit(basis: Basis, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> _Fit:
    """Return the fits at places that fit into memory together."""
    fitted = _Fit(basis, cross_places(basis, x, y), start=start)
    fitted.run()
    return fitted


class _Fit:
    """Damped least squares of many states side by side: f, u, v, linear ones, companion's flux."""

    def __init__(self, basis: Basis, crossed: Crossed | None, start: np.ndarray | None = None):
        self.basis = basis
        self.joint = crossed is not None
        if crossed is None:
            crossed = Crossed(
                np.zeros((1, basis.data.size)), np.zeros((1, len(basis.rows))), np.zeros(1)
            )
        m = len(crossed.own)
        self.cross, self.own = crossed.cross, crossed.own
        self.dot = crossed.light @ basis.data
        n_linear = len(basis.precision)
        first = start if start is not None else self._guess(n_linear)
        extra = [0.0] if self.joint else []
        self.state = np.tile(np.concatenate([first, extra]), (m, 1))
        self.chi2 = self._find_chi2(self.state, np.arange(m))

    def _guess(self, n_linear: int) -> np.ndarray:
        """Return a state from which the fit of the target alone starts."""
        state = np.zeros(3 + n_linear)
        target, moving = self.basis.stamp.target, self.basis.moving
        state[0] = target[FLUX]
        state[1:3] = np.clip((target[:2] - moving.anchor) / moving.half, -1.0, 1.0)
        return state

    def run(self) -> None:
        """Fit every state."""
        active = np.arange(len(self.state))
        damping = np.full(len(self.state), DAMPING)
        for _step in range(N_STEP):
            hessian, slope = self._linearise(active)
            diagonal = np.einsum("mii->mi", hessian)
            diagonal *= 1.0 + damping[active, None]
            diagonal += 1e-300
            move = np.linalg.solve(hessian, slope[..., None])[..., 0]
            trial = self.state[active] + move
            trial[:, 1:3] = np.clip(trial[:, 1:3], -FARTHEST, FARTHEST)
            chi2 = self._find_chi2(trial, active)
            gain = self.chi2[active] - chi2
            better = gain > 0.0
            self.state[active[better]] = trial[better]
            self.chi2[active[better]] = chi2[better]
            damping[active] *= np.where(better, BETTER, WORSE)
            done = (better & (gain < ENOUGH)) | (damping[active] > MOST)
            active = active[~done]
            if active.size == 0:
                return

    def hessian(self, which: np.ndarray) -> np.ndarray:
        """Return half the second derivatives of chi^2, those of the images left out."""
        return self._linearise(which)[0]

    def _coefficients(self, state: np.ndarray):
        """Return terms of the target and their derivatives."""
        return evaluate_terms(state[:, 1], state[:, 2])

    def _find_chi2(self, state: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return chi^2 and the priors' part of states of some of the places."""
        basis = self.basis
        m = self._stack(state, self._coefficients(state)[0])
        chi2 = basis.total - 2.0 * (m @ basis.dot) + np.einsum("mk,mk->m", m @ basis.gram, m)
        if self.joint:
            f = state[:, -1]
            both = np.einsum("mk,mk->m", m, self.cross[which])
            chi2 += f * (f * self.own[which] - 2.0 * self.dot[which] + 2.0 * both)
        u, v, precision = basis.place
        chi2 += precision * ((state[:, 1] - u) ** 2 + (state[:, 2] - v) ** 2)
        return chi2 + np.square(state[:, 3 : 3 + len(basis.precision)]) @ basis.precision

    def _stack(self, state: np.ndarray, terms: np.ndarray) -> np.ndarray:
        """Return the coefficients (m, K) of the rows."""
        linear = state[:, 3 : 3 + len(self.basis.precision)]
        return np.concatenate([state[:, :1] * terms, linear], axis=1)

    def _linearise(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Gauss and Newton's matrix and the slope down, with priors, of some places."""
        basis, state = self.basis, self.state[which]
        terms, by_u, by_v = self._coefficients(state)
        m = self._stack(state, terms)
        n, k = len(basis.precision), len(basis.rows)
        size = 3 + n
        jacobian = np.zeros((len(which), k, size))
        jacobian[:, :N_TERM, 0] = terms
        jacobian[:, :N_TERM, 1] = state[:, :1] * by_u
        jacobian[:, :N_TERM, 2] = state[:, :1] * by_v
        jacobian[:, N_TERM + np.arange(n), 3 + np.arange(n)] = 1.0
        rest = basis.dot - m @ basis.gram
        total = size + self.joint
        hessian = np.empty((len(which), total, total))
        slope = np.empty((len(which), total))
        if self.joint:
            f, cross = state[:, -1], self.cross[which]
            rest = rest - f[:, None] * cross
            bound = np.einsum("mk,mkj->mj", cross, jacobian)
            hessian[:, :size, size] = hessian[:, size, :size] = bound
            hessian[:, size, size] = self.own[which]
            slope[:, size] = self.dot[which] - np.einsum("mk,mk->m", m, cross)
            slope[:, size] -= f * self.own[which]
        hessian[:, :size, :size] = np.swapaxes(jacobian, 1, 2) @ (basis.gram @ jacobian)
        slope[:, :size] = np.einsum("mk,mkj->mj", rest, jacobian)
        u, v, precision = basis.place
        prior = np.concatenate([[0.0, precision, precision], basis.precision])
        mean = np.concatenate([[0.0, u, v], np.zeros(n)])
        hessian[:, np.arange(size), np.arange(size)] += prior
        slope[:, :size] -= prior * (state[:, :size] - mean)
        return hessian, slope
