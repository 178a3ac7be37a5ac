"""Splines for what a star's pixels see that the first guess does not.

They are fine in the core and coarser in the wings. The fine ones are made of light that pixels
integrate, so that their sum over the pixels is the same wherever the star lies in its pixel, and
nodes finer than a pixel do not take up errors of fluxes and places that depend on the phase of the
pixel: those would need light that no pixel integrates. Splines whose nodes are one or more
whole pixels apart have that property of themselves (Strang & Fix 1971).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from scipy import sparse
from scipy.linalg import eigvalsh

__all__ = ["Basis", "Grid", "Level", "make_basis"]

#: Nodes to a FWHM, at least, in the core: an Airy core of 1.3 or 1.8 pixels with three nodes to a
#: pixel is found to 0.7 % of its peak, with two to 9 and 5 %.
CORE = 4.5
#: Nodes across the core at most, and the finest that are to a pixel.
ACROSS = 31
FINEST = 3
#: Nodes to a FWHM in the wings, at most, and across the stamp.
WINGS = 2.5
ACROSS_STAMP = 41


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
        i = (first_u[:, None, None] + step).astype(np.int32)
        j = (first_v[:, None, None] + step[:, None]).astype(np.int32)
        value = weight_v.T[:, :, None] * weight_u.T[:, None, :]
        inside = (i >= 0) & (i < self.side) & (j >= 0) & (j < self.side)
        column = np.where(inside, j * self.side + i, 0)
        entries = np.where(inside, value, 0.0).reshape(dx.size, 16)
        start = np.arange(dx.size + 1, dtype=np.int32) * 16
        matrix = (entries.ravel(), column.reshape(-1), start)
        return sparse.csr_array(matrix, shape=(dx.size, self.side**2))


def _weigh(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of the four B-splines that reach a place, and their values there."""
    whole = np.floor(u)
    t = u - whole
    s = 1.0 - t
    weight = np.array([s**3, 4.0 - 6.0 * t**2 + 3.0 * t**3, 4.0 - 6.0 * s**2 + 3.0 * s**3, t**3])
    return whole.astype(int) - 1, weight / 6.0


@dataclass(frozen=True, eq=False)
class Level:
    """Nodes of one distance: ``x, y`` (n,) from the centre, ``step`` apart, pixels.

    ``matrix`` (side^2, n) makes coefficients of the grid's splines of theirs, ``laplacian`` (n, n)
    differences from neighbours, with nothing flowing over a border.
    """

    x: np.ndarray
    y: np.ndarray
    step: float
    matrix: sparse.csr_array
    laplacian: sparse.csr_array

    @cached_property
    def waves(self) -> np.ndarray:
        """Eigenvalues of the Laplacian, squared."""
        return eigvalsh(self.laplacian.toarray(), check_finite=False) ** 2


@dataclass(frozen=True, eq=False)
class Basis:
    """A grid and the levels whose splines it holds."""

    grid: Grid
    levels: tuple[Level, ...]

    @property
    def x(self) -> np.ndarray:
        """Distance of all nodes from the centre along x, pixels."""
        return np.concatenate([level.x for level in self.levels])

    @property
    def y(self) -> np.ndarray:
        """The same along y."""
        return np.concatenate([level.y for level in self.levels])

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """What makes the grid's coefficients (side^2,) of those of all levels."""
        return sparse.hstack([level.matrix for level in self.levels]).tocsr()


def make_basis(half: int, fwhm: float) -> Basis:
    """Return splines for a stamp of ``half`` pixels about a star of some FWHM, pixels."""
    fine = int(np.clip(np.ceil(CORE / fwhm), 1, FINEST))
    grid = Grid(half, fine)
    radius = 0.5 * ACROSS / fine
    core = _make_core(grid, radius)
    if radius >= np.sqrt(2.0) * half:
        return Basis(grid, (core,))
    # Whole pixels, that no flux depends on the phase.
    step = max(1, int(fwhm / WINGS), -(-2 * half // (ACROSS_STAMP - 1)))
    return Basis(grid, (core, _make_wings(grid, step * fine, radius - 2.0 * step)))


def _make_core(grid: Grid, radius: float) -> Level:
    """Return light within a radius, pixels, a node to each of the grid's, pixels integrating it.

    The mean over a pixel of a B-spline one degree lower is a mean of cubic ones.
    """
    n = grid.side - grid.oversampling + 1
    share = np.full((grid.oversampling, n), 1.0 / grid.oversampling)
    line = sparse.dia_array((share, -np.arange(grid.oversampling)), shape=(grid.side, n))
    offset = (np.arange(n) - 0.5 * (n - 1)) / grid.oversampling
    return _make_level(offset, line, 1.0 / grid.oversampling, lambda r: r <= radius)


def _make_wings(grid: Grid, ratio: int, radius: float) -> Level:
    """Return splines beyond a radius, pixels, a node to ``ratio`` of the grid's.

    A B-spline is a sum of finer ones, whose weights are a box's, convolved with itself to the
    order of the spline.
    """
    middle = grid.half * grid.oversampling
    most = middle // ratio
    weight = reduce(np.convolve, [np.ones(ratio)] * 4) / ratio**3
    line = np.zeros((grid.side + 4 * ratio, 2 * most + 1))
    for k in range(2 * most + 1):
        first = middle + (k - most) * ratio
        line[first + 2 : first + 2 + weight.size, k] = weight
    line = sparse.csr_array(line[2 * ratio : 2 * ratio + grid.side])
    step = ratio / grid.oversampling
    offset = (np.arange(2 * most + 1) - most) * step
    return _make_level(offset, line, step, lambda r: r >= radius)


def _make_level(offset: np.ndarray, line, step: float, choose) -> Level:
    """Return the nodes of a plane that are chosen by their distance from the centre."""
    x, y = (v.ravel() for v in np.meshgrid(offset, offset))
    chosen = np.flatnonzero(choose(np.hypot(x, y)))
    n = offset.size
    ones = np.ones(n)
    near = sparse.dia_array((np.array([ones, ones]), [-1, 1]), shape=(n, n))
    one = sparse.eye_array(n)
    plane = (sparse.kron(one, near) + sparse.kron(near, one)).tocsr()[chosen][:, chosen]
    laplacian = (plane - sparse.diags_array(plane.sum(axis=1))).tocsr()
    matrix = sparse.kron(line, line).tocsc()[:, chosen].tocsr()
    return Level(x[chosen], y[chosen], step, matrix, laplacian)
