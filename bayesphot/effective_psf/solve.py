"""The PSF that stars' pixels want: a first guess, and a spline as smooth as the evidence has it.

The effective PSF of Anderson & King (2000) is what a pixel sees of a star of unit flux at a
distance u from the star's centre. Here it is a function g, integrated over the pixel, and
deviations from it, whose coefficients are linear in the data:

    d_i / f_s = g(u_i) + sum_k B_k(u_i) e_k a_k + noise,

with splines B (`Basis`), the envelope e of the PSF, and deviations a that are a priori a random
field of standard deviation tau and the power spectrum 1 / (1 + (length k)^4). Both are where the
evidence of the pixels is largest (MacKay 1992), so that noise is smoothed and structure is not. All
stars' fluxes and places are free, and integrated over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag, cho_solve, cholesky, solve_triangular

from bayesphot.effective_psf.basis import Basis, Level

__all__ = [
    "Field",
    "Pieces",
    "Solution",
    "System",
    "build_system",
    "choose_field",
    "solve_spline",
    "weigh_residuals",
]

#: Standard deviations of a deviation that are tried, and lengths, in FWHM.
DEVIATIONS = (0.03, 0.1, 0.3, 1.0, 3.0)
LENGTHS = (0.15, 0.3, 0.6, 1.2, 2.4)
#: The envelope is not below this share of the peak.
DARK = 1e-6
#: Where the weight of pixels that lie off begins to fall, in sigma (Huber 1964).
HUBER = 3.0
#: Standard deviation of the relative flux and of the place, pixels, that a star may be off.
STEP = 0.1
#: Standard deviation of the total flux, and of the place of the centre, pixels: a convention.
EXACT = 1e-5


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pixels of all stars: which star, distance from it, value over flux, its variance.

    ``noise`` is the part of the variance that is not the PSF's own error.
    """

    star: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    value: np.ndarray
    variance: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Field:
    """The prior of the deviations: their standard deviation, and their length in pixels."""

    deviation: float
    length: float

    def weigh(self, level: Level) -> tuple[float, float]:
        """Return factors on the squares of a level's nodes and of their Laplacian."""
        # The field's variance is the integral of its spectrum: 1 / (8 length^2 scale).
        scale = 1.0 / (8.0 * self.length**2 * self.deviation**2)
        return scale * level.step**2, scale * self.length**4 / level.step**2

    def precision(self, level: Level) -> np.ndarray:
        """Return the precision (n, n) of a level's nodes."""
        plain, bent = self.weigh(level)
        matrix = bent * (level.laplacian @ level.laplacian).toarray()
        matrix[np.diag_indices_from(matrix)] += plain
        return matrix

    def log_det(self, level: Level) -> float:
        """Return ln of the determinant of the precision."""
        plain, bent = self.weigh(level)
        return float(np.log(plain + bent * level.waves).sum())


@dataclass(frozen=True, eq=False)
class Solution:
    """The deviations, the standardised residual of each pixel, draws of the deviations' error.

    ``coefficient`` (side^2,) of the spline, ``residual`` (n,), ``draws`` (n_draw, side^2).
    """

    coefficient: np.ndarray
    residual: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True, eq=False)
class System:
    """The least squares of the pixels for the deviations a (n_node,), each star's own free.

    ``unit`` (side^2, n_node) times a are the spline's coefficients, ``design`` (n, side^2) times
    those what they add to the pixels, ``rest`` (n,) what the first guess leaves, ``precision`` (n,)
    of the pixels. ``own`` (n, 3 n_star) holds what a star's flux and place change, ``inner`` the
    inverse of their normal matrix: they are eliminated, so that PSF and places are solved for
    together. ``normal`` (n_node, n_node) and ``right`` (n_node,) are what is left.
    """

    basis: Basis
    unit: sparse.csr_array
    design: sparse.csr_array
    rest: np.ndarray
    precision: np.ndarray
    own: sparse.csr_array
    inner: sparse.csr_array
    normal: np.ndarray
    right: np.ndarray

    def factorise(self, field: Field) -> np.ndarray:
        """Return the lower Cholesky factor of the posterior's precision."""
        prior = block_diag(*(field.precision(level) for level in self.basis.levels))
        return cholesky(self.normal + prior, lower=True, overwrite_a=True, check_finite=False)

    def find_evidence(self, field: Field) -> float:
        """Return the log evidence, but for what no prior changes."""
        factor = self.factorise(field)
        white = solve_triangular(factor, self.right, lower=True, check_finite=False)
        log_det = 2.0 * float(np.log(np.diag(factor)).sum())
        prior = sum(field.log_det(level) for level in self.basis.levels)
        return 0.5 * (float(white @ white) - log_det + prior)


def build_system(basis: Basis, pieces: Pieces, guess, before, weight) -> System:
    """Return the least squares of some pixels.

    Parameters
    ----------
    basis : Basis
        Splines of the deviations.
    pieces : Pieces
        Pixels.
    guess : Moffat
        The first guess, and the envelope of the deviations.
    before : (side^2,) array
        Coefficients of the deviations so far: what fluxes and places change needs them.
    weight : (n,) array
        Factor on the precision of each pixel, as of `weigh_residuals`.
    """
    grid = basis.grid
    design = grid.design(pieces.dx, pieces.dy)
    precision = weight / pieces.variance
    envelope = guess(basis.x, basis.y)
    envelope = np.maximum(envelope, DARK * envelope.max())
    unit = basis.matrix.multiply(envelope[None, :]).tocsr()
    base = guess(pieces.dx, pieces.dy)
    by_y, by_x = np.gradient(before.reshape(grid.side, grid.side), 1.0 / grid.oversampling)
    slope_x, slope_y = guess.differentiate(pieces.dx, pieces.dy)
    changes = [base + design @ before, slope_x + design @ by_x.ravel(),
               slope_y + design @ by_y.ravel()]  # fmt: skip
    own = _build_own(pieces.star, changes)
    weighted = _scale_rows(own, precision)
    square = (own.T @ weighted).tocsr()
    inner = _invert_blocks(square + sparse.diags_array(_own_precision(own.shape[1])))
    rest = pieces.value - base
    normal = unit.T @ (design.T @ _scale_rows(design, precision)) @ unit
    # What the stars' own parameters take up tells nothing of the PSF.
    across = (unit.T @ (design.T @ weighted)).toarray()
    left = precision * rest - weighted @ (inner @ (weighted.T @ rest))
    hold, value = _fix_convention(grid, guess)
    hold = unit.T @ hold
    normal = normal.toarray() - across @ (inner @ across.T) + hold @ hold.T
    right = unit.T @ (design.T @ left) + hold @ value
    return System(basis, unit, design, rest, precision, own, inner, normal, right)


def _fix_convention(grid, guess) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (side^2, 3) on the spline's coefficients, and values (3,), over their errors.

    The total flux within the stamp is 1, and the guess that fits the PSF best has its centre at 0:
    fluxes and places are free, so that the pixels do not tell.
    """
    x, y = np.meshgrid(grid.offset, grid.offset)
    slopes = [slope.ravel() for slope in guess.differentiate(x, y)]
    # Splines of nodes a pixel apart sum to their coefficients at each phase of the pixel.
    share = 1.0 / grid.oversampling**2
    rows = [np.full(grid.side**2, share)] + [slope / (slope @ slope) for slope in slopes]
    value = np.array([1.0 - share * guess(x, y).sum(), 0.0, 0.0])
    return np.stack(rows, axis=1) / EXACT, value / EXACT


def _scale_rows(matrix: sparse.csr_array, factor: np.ndarray) -> sparse.csr_array:
    """Return a matrix whose rows are multiplied by factors; indices are shared."""
    data = matrix.data * np.repeat(factor, np.diff(matrix.indptr))
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _build_own(star: np.ndarray, changes: list[np.ndarray]) -> sparse.csr_array:
    """Return what each star's flux and place change."""
    _, number = np.unique(star, return_inverse=True)
    column = 3 * number[:, None] + np.arange(3)
    start = 3 * np.arange(number.size + 1)
    shape = (number.size, 3 * (int(np.max(number)) + 1))
    return sparse.csr_array((np.stack(changes, axis=1).ravel(), column.ravel(), start), shape)


def _own_precision(size: int) -> np.ndarray:
    """Return the prior precision of relative fluxes and of places: a step of a star is small.

    Where it is not, it takes more rounds.
    """
    return np.tile([1.0 / STEP**2] * 3, size // 3)


def _invert_blocks(square: sparse.csr_array) -> sparse.csr_array:
    """Return the inverse of a matrix of blocks 3 x 3 along its diagonal."""
    blocks = square.tobsr((3, 3))
    blocks.data = np.linalg.inv(blocks.data)
    return blocks.tocsr()


def choose_field(system: System, fwhm: float, start: Field | None = None) -> Field:
    """Return the prior of the largest evidence, looked for from a start."""

    def judge(place: tuple[int, int]) -> float:
        i, j = place
        if not (0 <= i < len(DEVIATIONS) and 0 <= j < len(LENGTHS)):
            return -np.inf
        if place not in known:
            known[place] = system.find_evidence(Field(DEVIATIONS[i], LENGTHS[j] * fwhm))
        return known[place]

    known: dict[tuple[int, int], float] = {}
    best, last = (len(DEVIATIONS) // 2, len(LENGTHS) // 2), None
    if start is not None:
        lengths = fwhm * np.array(LENGTHS)
        best = (
            DEVIATIONS.index(start.deviation),
            int(np.argmin(np.abs(np.log(lengths / start.length)))),
        )
    while best != last:
        last = best
        i, j = best
        best = max((best, (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)), key=judge)
    return Field(DEVIATIONS[best[0]], LENGTHS[best[1]] * fwhm)


def solve_spline(system: System, field: Field, *, n_draw: int = 0, seed: int = 0) -> Solution:
    """Return the spline of most posterior density, over all places and fluxes of its stars.

    Parameters
    ----------
    system : System
        The pixels.
    field : Field
        Prior of the deviations.
    n_draw : int
        Draws from the posterior.
    seed : int
        Of the draws.
    """
    factor = system.factorise(field)
    coefficient = system.unit @ cho_solve((factor, True), system.right, check_finite=False)
    left = system.rest - system.design @ coefficient
    own = system.inner @ (system.own.T @ (system.precision * left))
    residual = (left - system.own @ own) * np.sqrt(system.precision)
    white = np.random.default_rng(seed).standard_normal((system.right.size, n_draw))
    draws = system.unit @ solve_triangular(factor, white, trans=1, lower=True, check_finite=False)
    return Solution(coefficient, residual, draws.T)


def weigh_residuals(residual: np.ndarray) -> np.ndarray:
    """Return the factor on the precision of pixels that lie off (Huber 1964)."""
    return HUBER / np.maximum(np.abs(residual), HUBER)
