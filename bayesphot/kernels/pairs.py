"""Least squares of a target and a companion at many places, by inner products in place of pixels.

Over a stamp with weights W the target is f sum_t T_t(u, v) b_t, a polynomial of its own place with
terms T_t = u^i v^j, the linear rows b_k follow, and a companion is q times an image phi. With the
rows B, G = B W B^T, g = B W d, c = d W d, h = B W phi, o = phi W phi, p = phi W d, and m the
coefficients of the rows,

    chi^2 = c - 2 m . g + m . G m + q (q o - 2 p + 2 m . h),

to which normal priors of all but q add. A state is (f, u, v, linear ..., q). The fit is damped
least squares (Levenberg 1944, Marquardt 1963); a place that is pushed out of its square is held at
the edge (Bertsekas 1982): a step cut off there would move all else as if the place had gone on.
"""

from typing import NamedTuple

import numpy as np

from .cache import borrowing, compiled, part
from .linalg import factor_cholesky_into, solve_cholesky_into

#: Degree of the polynomial in u and v, and its terms: i from 0, for each j from 0 to DEGREE - i.
DEGREE, N_TERM = 5, 21
#: Where a state has u, and its first linear parameter.
PLACE, LINEAR = 1, 3
#: A place may move so far from the anchor, in half sides of the polynomial's square.
FARTHEST = 1.25
#: Steps at most; a step that gains less ends them.
N_STEP, ENOUGH = 40, 1e-4
#: Damping: at the start, its factor after a bad and a good step, its end.
DAMPING, WORSE, BETTER, MOST = 1e-3, 8.0, 0.2, 1e9
#: Derivatives of the terms by u and v: none, u, v, uu, uv, vv.
_N_DERIVATIVE = 6


class Products(NamedTuple):
    """Of the rows of a stamp: G (K, K), g (K,), c, and prior means and precisions (S,)."""

    gram: np.ndarray
    dot: np.ndarray
    total: float
    mean: np.ndarray
    precision: np.ndarray


class Companions(NamedTuple):
    """Of companions at M places: h (M, K), o (M,), p (M,)."""

    cross: np.ndarray
    own: np.ndarray
    dot: np.ndarray


class _Room(NamedTuple):
    """Scratch: terms and derivatives, m, G m, what is left, G times three columns, steps."""

    terms: np.ndarray
    rows: np.ndarray
    image: np.ndarray
    rest: np.ndarray
    moved: np.ndarray
    slope: np.ndarray
    step: np.ndarray
    trial: np.ndarray
    damped: np.ndarray
    factor: np.ndarray


@part
def _allocate(n_row, n_state):
    """Return room for the fit of one place."""
    return _Room(
        np.empty((_N_DERIVATIVE, N_TERM)),
        np.empty(n_row),
        np.empty(n_row),
        np.empty(n_row),
        np.empty((3, n_row)),
        np.empty(n_state),
        np.empty(n_state),
        np.empty(n_state),
        np.empty((n_state, n_state)),
        np.empty((n_state, n_state)),
    )


@borrowing
def fill_terms(u, v, terms):
    """Fill u^i v^j and its derivatives by u, v, uu, uv and vv: (6, N_TERM)."""
    t = 0
    # u^i, u^(i - 1) and u^(i - 2), or 0.
    u0, u1, u2 = 1.0, 0.0, 0.0
    for i in range(DEGREE + 1):
        v0, v1, v2 = 1.0, 0.0, 0.0
        for j in range(DEGREE + 1 - i):
            terms[0, t] = u0 * v0
            terms[1, t] = i * u1 * v0
            terms[2, t] = j * u0 * v1
            terms[3, t] = i * (i - 1) * u2 * v0
            terms[4, t] = i * j * u1 * v1
            terms[5, t] = j * (j - 1) * u0 * v2
            t += 1
            v0, v1, v2 = v0 * v, v0, v1
        u0, u1, u2 = u0 * u, u0, u1


@borrowing
def _find_chi2(products, cross, own, dot, state, room):
    """Return chi^2 and the priors' part of a state; fill its terms, m and G m."""
    gram, rows, image = products.gram, room.rows, room.image
    n_row, n_target = products.dot.size, products.mean.size
    fill_terms(state[PLACE], state[PLACE + 1], room.terms)
    for t in range(N_TERM):
        rows[t] = state[0] * room.terms[0, t]
    for j in range(n_row - N_TERM):
        rows[N_TERM + j] = state[LINEAR + j]
    s = products.total
    both = 0.0
    for k in range(n_row):
        g = 0.0
        for l in range(n_row):
            g += gram[k, l] * rows[l]
        image[k] = g
        s += rows[k] * (g - 2.0 * products.dot[k])
        both += rows[k] * cross[k]
    flux = state[n_target]
    s += flux * (flux * own - 2.0 * dot + 2.0 * both)
    for a in range(n_target):
        d = state[a] - products.mean[a]
        s += products.precision[a] * d * d
    return s


@borrowing
def _linearise(products, cross, own, dot, state, room, hessian):
    """Fill Gauss and Newton's matrix (full) and the slope down, at the state of `_find_chi2`."""
    gram, rest, moved, slope = products.gram, room.rest, room.moved, room.slope
    n_row, n_target = products.dot.size, products.mean.size
    flux = state[n_target]
    both = 0.0
    for k in range(n_row):
        rest[k] = products.dot[k] - room.image[k] - flux * cross[k]
        both += room.rows[k] * cross[k]
        for c in range(3):
            s = 0.0
            for t in range(N_TERM):
                s += gram[k, t] * room.terms[c, t]
            moved[c, k] = s
    hessian[n_target, n_target] = own
    slope[n_target] = dot - both - flux * own
    for a in range(n_target):
        if a < LINEAR:
            scale = 1.0 if a == 0 else state[0]
            s = 0.0
            across = 0.0
            for t in range(N_TERM):
                s += rest[t] * room.terms[a, t]
                across += cross[t] * room.terms[a, t]
            slope[a] = scale * s
            hessian[n_target, a] = scale * across
            for b in range(a + 1):
                s = 0.0
                for t in range(N_TERM):
                    s += moved[b, t] * room.terms[a, t]
                hessian[a, b] = scale * s if b == 0 else scale * state[0] * s
        else:
            k = N_TERM + a - LINEAR
            slope[a] = rest[k]
            hessian[n_target, a] = cross[k]
            for b in range(a + 1):
                if b < LINEAR:
                    hessian[a, b] = moved[b, k] if b == 0 else state[0] * moved[b, k]
                else:
                    hessian[a, b] = gram[k, N_TERM + b - LINEAR]
        hessian[a, a] += products.precision[a]
        slope[a] -= products.precision[a] * (state[a] - products.mean[a])
    for a in range(n_target + 1):
        for b in range(a):
            hessian[b, a] = hessian[a, b]


@borrowing
def _add_residuals(state, room, hessian):
    """Make Gauss and Newton's matrix half the second derivatives of chi^2."""
    # Rows and columns of the derivatives 1 to 5, and whether the flux is in them.
    for c in range(1, _N_DERIVATIVE):
        s = 0.0
        for t in range(N_TERM):
            s += room.rest[t] * room.terms[c, t]
        if c < LINEAR:
            hessian[0, c] -= s
            hessian[c, 0] -= s
        else:
            a = PLACE if c < 5 else PLACE + 1
            b = PLACE if c == 3 else PLACE + 1
            hessian[a, b] -= state[0] * s
            if a != b:
                hessian[b, a] -= state[0] * s


@borrowing
def _try_step(state, damping, n_free, room, hessian):
    """Fill the trial state a damped step away; False where the matrix does not allow one."""
    for a in range(n_free):
        room.step[a] = room.slope[a]
        for b in range(a + 1):
            room.damped[a, b] = hessian[a, b]
        room.damped[a, a] = hessian[a, a] * (1.0 + damping) + 1e-300
    for p in range(PLACE, LINEAR):
        if abs(state[p]) >= FARTHEST and room.slope[p] * state[p] > 0.0:
            room.step[p] = 0.0
            for a in range(n_free):
                if a < p:
                    room.damped[p, a] = 0.0
                elif a > p:
                    room.damped[a, p] = 0.0
    if not factor_cholesky_into(room.damped, n_free, room.factor):
        return False
    solve_cholesky_into(room.factor, n_free, room.step, room.step)
    for a in range(state.size):
        room.trial[a] = state[a]
        if a < n_free:
            room.trial[a] += room.step[a]
        if PLACE <= a < LINEAR:
            room.trial[a] = min(max(room.trial[a], -FARTHEST), FARTHEST)
    return True


@compiled
def fit_pairs_into(products, companions, n_free, state, chi2, hessian):
    """Fit states (M, S + 1) at M places from where they are; fill chi^2 (M,) with the priors' part.

    ``n_free`` is S + 1, or S where there is no companion: q is then left as it is. ``hessian``
    (M, S + 1, S + 1) gets Gauss and Newton's matrices there, or, without companions, half the
    second derivatives of chi^2 if they are positive definite: residuals are large where a companion
    is not in the model, and an equal pair fitted as one star lies on a flatter top.
    """
    n_target = products.mean.size
    room = _allocate(products.dot.size, n_target + 1)
    for m in range(state.shape[0]):
        cross, own, dot = companions.cross[m], companions.own[m], companions.dot[m]
        here, matrix = state[m], hessian[m]
        best = _find_chi2(products, cross, own, dot, here, room)
        _linearise(products, cross, own, dot, here, room, matrix)
        damping = DAMPING
        for _step in range(N_STEP):
            gain = -1.0
            tried = best
            if _try_step(here, damping, n_free, room, matrix):
                tried = _find_chi2(products, cross, own, dot, room.trial, room)
                gain = best - tried
            if gain > 0.0:
                for a in range(n_free):
                    here[a] = room.trial[a]
                best = tried
                damping *= BETTER
                _linearise(products, cross, own, dot, here, room, matrix)
                if gain < ENOUGH:
                    break
            else:
                damping *= WORSE
                if damping > MOST:
                    break
        if n_free == n_target:
            _find_chi2(products, cross, own, dot, here, room)
            _linearise(products, cross, own, dot, here, room, matrix)
            _add_residuals(here, room, matrix)
            if not factor_cholesky_into(matrix, n_free, room.factor):
                _linearise(products, cross, own, dot, here, room, matrix)
        chi2[m] = best
