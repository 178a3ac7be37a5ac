"""The PSF that stars' pixels want: a first guess, and a spline as smooth as the evidence has it.

The effective PSF of Anderson & King (2000) is what a pixel sees of a star of unit flux at a
distance u from the star's centre. Here it is a function g, integrated over the pixel, and
deviations from it, whose coefficients are linear in the data:

    d_i / f_s = g(u_i) + sum_k B_k(u_i) e_k a_k + noise,

with cubic B-splines B, the envelope e of the PSF, and deviations a that are a priori a random field
of standard deviation tau and the power spectrum 1 / (1 + (length k)^4). Both are where the evidence
of the pixels is largest (MacKay 1992), so that noise is smoothed and structure is not.

Nodes are a pixel apart: the splines then sum to the same flux and centroid at each phase of the
pixel (Strang & Fix 1971), as light that is integrated over pixels does, and errors of fluxes and
places that depend on the phase cannot hide in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.sparse.linalg import LinearOperator, cg

__all__ = [
    "Field",
    "Grid",
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
#: Where the weight of pixels that lie off begins to fall, in sigma (Huber 1964).
HUBER = 3.0
#: Standard deviation of the relative flux and of the place, pixels, that a star may be off.
STEP = 0.02
#: Relative tolerances of the conjugate gradients, for the PSF and for draws of its error, and their
#: steps at most.
EXACT = 1e-6
ROUGH = 1e-2
MOST_STEPS = 300


@dataclass(frozen=True)
class Grid:
    """Nodes of a spline: ``oversampling`` to a pixel, ``half`` pixels about the centre."""

    half: int
    oversampling: int

    @property
    def side(self) -> int:
        """Nodes along an axis, odd: one lies on the centre."""
        return 2 * self.half * self.oversampling + 1

    @property
    def offset(self) -> np.ndarray:
        """Distance of the nodes from the centre along an axis, pixels."""
        return (np.arange(self.side) - self.half * self.oversampling) / self.oversampling

    def design(self, dx: np.ndarray, dy: np.ndarray) -> sparse.csr_array:
        """Return the values (n, side^2) of all B-splines at distances (n,) from the centre."""
        middle = self.half * self.oversampling
        first_u, weight_u = _weigh(dx * self.oversampling + middle)
        first_v, weight_v = _weigh(dy * self.oversampling + middle)
        step = np.arange(4)
        i = first_u[:, None, None] + step
        j = first_v[:, None, None] + step[:, None]
        value = weight_v.T[:, :, None] * weight_u.T[:, None, :]
        inside = (i >= 0) & (i < self.side) & (j >= 0) & (j < self.side)
        column = np.where(inside, j * self.side + i, 0)
        entries = np.where(inside, value, 0.0).reshape(dx.size, 16)
        start = np.arange(dx.size + 1) * 16
        matrix = (entries.ravel(), column.reshape(-1), start)
        return sparse.csr_array(matrix, shape=(dx.size, self.side**2))

    def image(self, coefficient: np.ndarray) -> np.ndarray:
        """Return the spline's values (side, side) at its nodes."""
        from scipy.ndimage import convolve1d

        c = coefficient.reshape(self.side, self.side)
        for axis in (0, 1):
            c = convolve1d(c, np.array([1.0, 4.0, 1.0]) / 6.0, axis=axis, mode="constant")
        return c

    def coefficients(self, image: np.ndarray) -> np.ndarray:
        """Return the coefficients (side^2,) of an image, dark beyond its border."""
        from scipy.ndimage import spline_filter

        margin = 8
        padded = np.pad(image, margin)
        return spline_filter(padded, order=3)[margin:-margin, margin:-margin].ravel()


def _weigh(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of the four B-splines that reach a place, and their values there."""
    whole = np.floor(u)
    t = u - whole
    s = 1.0 - t
    weight = np.array([s**3, 4.0 - 6.0 * t**2 + 3.0 * t**3, 4.0 - 6.0 * s**2 + 3.0 * s**3, t**3])
    return whole.astype(int) - 1, weight / 6.0


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

    def precision(self, grid: Grid) -> tuple[float, float]:
        """Return factors on the squares of the nodes and of their Laplacian."""
        # The field's variance is the integral of its spectrum: 1 / (8 length^2 scale).
        scale = 1.0 / (8.0 * self.length**2 * self.deviation**2)
        return scale / grid.oversampling**2, scale * self.length**4 * grid.oversampling**2

    def log_det(self, grid: Grid) -> float:
        """Return ln of the determinant of the precision, from the eigenvalues of the Laplacian."""
        plain, bent = self.precision(grid)
        wave = 2.0 - 2.0 * np.cos(np.pi * np.arange(grid.side) / grid.side)
        return float(np.log(plain + bent * (wave[:, None] + wave) ** 2).sum())

    def root(self, grid: Grid) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return R for the nodes and for their Laplacian: the precision is the sum of R^T R."""
        plain, bent = self.precision(grid)
        n = grid.side
        # Nothing flows over the border: a plane with horizontal ends has no energy.
        line = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tolil()
        line[0, 0] = line[n - 1, n - 1] = -1.0
        one = sparse.eye_array(n)
        laplacian = sparse.kron(one, line) + sparse.kron(line, one)
        return np.sqrt(plain) * sparse.eye_array(n * n), np.sqrt(bent) * laplacian.tocsr()


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
    """The least squares of the pixels for the deviations a, each star's own parameters free.

    ``design`` (n, side^2) times a is what deviations add to the pixels, ``rest`` (n,) what the
    first guess leaves, ``precision`` (n,) of the pixels. ``own`` (n, 3 n_star) holds what a star's
    flux and place change, ``inner`` the inverse of their normal matrix: they are eliminated, so
    that PSF and places are solved for together. ``bands`` is the lower half of the normal matrix
    with the stars held fixed.
    """

    grid: Grid
    envelope: np.ndarray
    design: sparse.csr_array
    rest: np.ndarray
    precision: np.ndarray
    own: sparse.csr_array
    inner: sparse.csr_array
    bands: np.ndarray

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return weighted values of the pixels less what the stars' own parameters take up."""
        weighted = self.precision * values
        return weighted - self.precision * (self.own @ (self.inner @ (self.own.T @ weighted)))

    def factorise(self, field: Field) -> tuple[np.ndarray, bool]:
        """Return the banded Cholesky factor of the precision with the stars held fixed."""
        bands = self.bands.copy()
        for root in field.root(self.grid):
            _add_bands(bands, root.T @ root)
        return cholesky_banded(bands, lower=True, overwrite_ab=True, check_finite=False), True

    def find_evidence(self, field: Field) -> float:
        """Return the log evidence, stars held fixed, but for what no prior changes."""
        right = self.design.T @ (self.precision * self.rest)
        factor = self.factorise(field)
        a = cho_solve_banded(factor, right, check_finite=False)
        log_det = 2.0 * float(np.log(factor[0][0]).sum())
        return 0.5 * (float(right @ a) - log_det + field.log_det(self.grid))


def build_system(grid: Grid, pieces: Pieces, envelope, base, slopes, before, weight) -> System:
    """Return the least squares of some pixels.

    Parameters
    ----------
    grid : Grid
        Where the nodes are.
    pieces : Pieces
        Pixels.
    envelope : (side^2,) array
        Unit of the deviations.
    base : (n,) array
        The first guess at the pixels.
    slopes : (n,) array, twice
        Its derivatives by x and y.
    before : (side^2,) array
        Coefficients of the deviations so far: what fluxes and places change needs them.
    weight : (n,) array
        Factor on the precision of each pixel, as of `weigh_residuals`.
    """
    plain = grid.design(pieces.dx, pieces.dy)
    precision = weight / pieces.variance
    design = plain.multiply(envelope[None, :]).tocsr()
    normal = design.T @ design.multiply(precision[:, None]).tocsr()
    bands = np.zeros((3 * grid.side + 4, grid.side**2))
    _add_bands(bands, normal)
    by_y, by_x = np.gradient(before.reshape(grid.side, grid.side), 1.0 / grid.oversampling)
    changes = [
        base + plain @ before,
        slopes[0] + plain @ by_x.ravel(),
        slopes[1] + plain @ by_y.ravel(),
    ]
    own = _build_own(pieces.star, changes)
    square = (own.T @ own.multiply(precision[:, None]).tocsr()).tocsr()
    inner = _invert_blocks(square + sparse.diags_array(_own_precision(own.shape[1])))
    return System(grid, envelope, design, pieces.value - base, precision, own, inner, bands)


def _build_own(star: np.ndarray, changes: list[np.ndarray]) -> sparse.csr_array:
    """Return what each star's flux and place change."""
    _, number = np.unique(star, return_inverse=True)
    column = 3 * number[:, None] + np.arange(3)
    start = 3 * np.arange(number.size + 1)
    shape = (number.size, 3 * (int(np.max(number)) + 1))
    return sparse.csr_array((np.stack(changes, axis=1).ravel(), column.ravel(), start), shape)


def _own_precision(size: int) -> np.ndarray:
    """Return the prior precision of relative fluxes and of places: a step of a star is small.

    All fluxes together, and all places, are a matter of convention: without it they run away.
    """
    return np.tile([1.0 / STEP**2] * 3, size // 3)


def _invert_blocks(square: sparse.csr_array) -> sparse.csr_array:
    """Return the inverse of a matrix of blocks 3 x 3 along its diagonal."""
    blocks = square.tobsr((3, 3))
    blocks.data = np.linalg.inv(blocks.data)
    return blocks.tocsr()


def _add_bands(bands: np.ndarray, matrix: sparse.sparray) -> None:
    """Add the lower half of a symmetric matrix to bands."""
    entries = matrix.tocoo()
    low = entries.row >= entries.col
    row, column = entries.row[low], entries.col[low]
    # A product of sparse matrices has each entry once.
    bands[row - column, column] += entries.data[low]


def choose_field(system: System, fwhm: float) -> Field:
    """Return the prior of the largest evidence."""

    def judge(place: tuple[int, int]) -> float:
        i, j = place
        if not (0 <= i < len(DEVIATIONS) and 0 <= j < len(LENGTHS)):
            return -np.inf
        if place not in known:
            known[place] = system.find_evidence(Field(DEVIATIONS[i], LENGTHS[j] * fwhm))
        return known[place]

    known: dict[tuple[int, int], float] = {}
    best, last = (len(DEVIATIONS) // 2, len(LENGTHS) // 2), None
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
    solve = _prepare_solver(system, field)
    a = solve(system.design.T @ system.project(system.rest), EXACT)
    left = system.rest - system.design @ a
    own = system.inner @ (system.own.T @ (system.precision * left))
    residual = (left - system.own @ own) * np.sqrt(system.precision)
    draws = np.empty((n_draw, system.envelope.size))
    random = np.random.default_rng(seed)
    roots = field.root(system.grid) if n_draw else ()
    for j in range(n_draw):
        # A draw of the right side has the posterior's precision as its covariance.
        noise = random.standard_normal(left.size) / np.sqrt(system.precision)
        right = system.design.T @ system.project(noise)
        for root in roots:
            right = right + root.T @ random.standard_normal(root.shape[0])
        draws[j] = system.envelope * solve(right, ROUGH)
    return Solution(system.envelope * a, residual, draws)


def _prepare_solver(system: System, field: Field):
    """Return a function (right side, relative tolerance) -> deviations.

    Conjugate gradients, the stars held fixed as the preconditioner.
    """
    factor = system.factorise(field)
    prior = sum(root.T @ root for root in field.root(system.grid)).tocsr()
    n = system.envelope.size

    def multiply(a: np.ndarray) -> np.ndarray:
        return system.design.T @ system.project(system.design @ a) + prior @ a

    def solve(right: np.ndarray, tolerance: float) -> np.ndarray:
        start = LinearOperator((n, n), lambda b: cho_solve_banded(factor, b, check_finite=False))
        matrix = LinearOperator((n, n), multiply)
        return cg(matrix, right, rtol=tolerance, maxiter=MOST_STEPS, M=start)[0]

    return solve


def weigh_residuals(residual: np.ndarray) -> np.ndarray:
    """Return the factor on the precision of pixels that lie off (Huber 1964)."""
    return HUBER / np.maximum(np.abs(residual), HUBER)
