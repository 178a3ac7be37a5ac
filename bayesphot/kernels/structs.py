"""What crosses the kernel border: named tuples of arrays, float64 or int64, C-contiguous.

``Batch`` is many groups laid end to end; ``Group`` is one group unpacked inside a kernel. They
hold few, wide arrays: every array of a tuple is seven or more words at each call.
"""

from typing import NamedTuple

import numpy as np

#: PSF kinds.
GAUSSIAN = 0

#: Status of a fit.
CONVERGED = 0
ITERATION_LIMIT = 1
DEGENERATE = 2

#: Columns of a source's state.
X = 0
Y = 1
FLUX = 2
LOG_SHAPE = 3

#: Columns of a source's prior: centre and radius of the disc, precisions of normal offsets,
#: mean, precision and floor of the flux, mean and precision of ln(shape).
CENTER_X = 0
CENTER_Y = 1
RADIUS = 2
PRECISION_X = 3
PRECISION_Y = 4
FLUX_MEAN = 5
FLUX_PRECISION = 6
FLUX_FLOOR = 7
SHAPE_MEAN = 8
SHAPE_PRECISION = 9
N_PRIOR = 10

#: Planes of a source's window: weight * residual data, weight, then weight * sky column e: the
#: first sky column is 1, so its plane is the weight itself.
WEIGHTED = 0
WEIGHT = 1
SKY_PLANE = 1

#: Columns of a sky row: prior mean and precision, product with the data, then its Gram row.
SKY_MEAN = 0
SKY_PRECISION = 1
SKY_RHS = 2
SKY_GRAM = 3

#: Rows of the scratch vectors.
RHS = 0
MEAN = 1
VALUE = 2


class Batch(NamedTuple):
    """Patches, layout and priors of G groups with S sources and P pixels in all."""

    psf_kind: np.int64
    flux_free: np.int64
    source_start: np.ndarray  # (G + 1)
    pixel_start: np.ndarray  # (G + 1)
    free_start: np.ndarray  # (G + 1), into ``free``
    rows: np.ndarray  # (G, 4): number of rows, columns, first row, first column
    data: np.ndarray  # (P) unsubtracted data less the reference sky
    weight: np.ndarray  # (P) 1 / variance, 0 outside the union of boxes and on bad pixels
    neighbours: np.ndarray  # (P) model of the sources outside the group
    window: np.ndarray  # (S, 4): first row, end row, first column, end column in the patch
    free: np.ndarray  # codes of the free nonlinear parameters: see ``layout``
    state: np.ndarray  # (S, 4) start, or optimum: x, y, flux, ln shape
    prior: np.ndarray  # (S, 10)
    sky_prior: np.ndarray  # (G, E, 2): mean (less the reference), precision


class Group(NamedTuple):
    """One group inside a kernel; positions in patch pixels."""

    psf_kind: np.int64
    flux_free: np.int64
    n_source: np.int64
    n_sky: np.int64
    n_shape: np.int64  # shapes with a prior: 0, 1 (shared) or n
    chi2_data: np.float64  # sum of weight * residual data^2
    planes: np.ndarray  # (n, 1 + max(E, 1), size): each source's window, row after row
    window: np.ndarray  # (n, 4)
    free: np.ndarray  # (D)
    prior: np.ndarray  # (n, 10)
    sky: np.ndarray  # (E, 3 + E)
    pairs: np.ndarray  # (m, 2) sources that keep the order of their prior centres


class Work(NamedTuple):
    """Scratch of one group."""

    state: np.ndarray  # (n, 4) current x, y, flux (where known), ln shape
    lines: np.ndarray  # (6, longest) profiles along x and y
    unit: np.ndarray  # (n + 1, size) unit sources over their windows; the last row is spare
    system: np.ndarray  # (L, L) normal matrix of the linear parameters
    factor: np.ndarray  # (L, L) its Cholesky factor
    vector: np.ndarray  # (3, L) right-hand side, solution, values of all (fluxes, sky)
