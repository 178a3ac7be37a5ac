"""Target and companion fitted together at many places, by inner products in place of pixels.

The target is a polynomial of its own place (`moving`), what else is free is linear, and a companion
at a place is an image: a fit needs their inner products only, and costs microseconds
(`bayesphot.kernels.pairs`).

A state is the target's flux, its place (u, v) in the polynomial's square, the linear parameters,
and, of a pair, the companion's flux.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bayesphot.companions.basis import Basis, Crossed, cross_places
from bayesphot.companions.moving import evaluate_terms
from bayesphot.kernels import pairs
from bayesphot.kernels.structs import FLUX

__all__ = [
    "PLACE",
    "Alone",
    "Joint",
    "fit_alone",
    "fit_crossed",
    "fit_places",
    "spread_target",
]

#: Where a state has the target's place.
PLACE = slice(pairs.PLACE, pairs.LINEAR)
#: Share of its own variance below which a place is not told apart from the target.
INSEPARABLE = 1e-9
#: Numbers that the images of one chunk of the places hold.
CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class Alone:
    """The target without a companion: chi^2 and priors, state (3 + J,), ln|H| / 2, flux error."""

    chi2: float
    state: np.ndarray
    half_log_det: float
    flux_err: float

    @property
    def flux(self) -> float:
        """The target's flux."""
        return float(self.state[0])

    def render(self, basis: Basis) -> np.ndarray:
        """Return the weighted model (P,)."""
        terms = evaluate_terms(*self.state[PLACE])
        return np.concatenate([self.flux * terms, self.state[pairs.LINEAR :]]) @ basis.rows


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
    size = pairs.LINEAR + len(basis.precision)
    start = np.zeros(size)
    start[0] = target[FLUX]
    start[PLACE] = np.clip((target[:2] - moving.anchor) / moving.half, -1.0, 1.0)
    nothing = np.zeros((1, len(basis.rows))), np.zeros(1), np.zeros(1)
    state, chi2, hessian = _fit(basis, pairs.Companions(*nothing), start, size)
    hessian = hessian[:, :size, :size]
    half_log_det = _find_half_log_det(hessian, basis)
    # The flux's row of the inverse by its cofactor: places without light in them are singular.
    others = _find_half_log_det(hessian[:, 1:, 1:], basis)
    flux_err = np.exp(others - half_log_det)
    return Alone(float(chi2[0]), state[0, :size], float(half_log_det[0]), float(flux_err[0]))


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
    companions = pairs.Companions(crossed.cross, crossed.own, crossed.dot)
    return _fit(basis, companions, start, start.size + 1)


def _fit(basis: Basis, companions: pairs.Companions, start: np.ndarray, n_free: int):
    """Return states (M, S + 1), chi^2 (M,) and matrices of fits from a state (S,) at M places."""
    m, size = companions.own.size, start.size
    state = np.tile(np.append(start, 0.0), (m, 1))
    chi2, hessian = np.empty(m), np.empty((m, size + 1, size + 1))
    (u, v, precision), linear = basis.place, basis.precision
    mean = np.concatenate([[0.0, u, v], np.zeros(linear.size)])
    products = pairs.Products(
        basis.gram, basis.dot, basis.total, mean,
        np.concatenate([[0.0, precision, precision], linear]),
    )  # fmt: skip
    pairs.fit_pairs_into(products, companions, n_free, state, chi2, hessian)
    return state, chi2, hessian


def _find_half_log_det(hessian: np.ndarray, basis: Basis) -> np.ndarray:
    """Return ln|H| / 2 of matrices (M, k, k), places in pixels, so that expansions compare."""
    return 0.5 * np.linalg.slogdet(hessian)[1] - 2.0 * np.log(basis.moving.half)
