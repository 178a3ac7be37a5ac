"""What crosses the kernel border: named tuples of arrays, float64 or int64, C-contiguous.

``Batch`` is many groups laid end to end; ``Group`` is one group unpacked inside a kernel. They
hold few, wide arrays: every array of a tuple is seven or more words at each call.
"""

from typing import NamedTuple

import numpy as np

#: PSF kinds: the circular Gaussian; Gauss, Moffat and Airy integrated over the pixel by sums; a
#: sampled image, or several between which it varies over the detector.
GAUSSIAN = 0
ELLIPTICAL = 1
MOFFAT = 2
AIRY = 3
SAMPLED = 4
#: Numbers of a PSF. The light of a pixel below which a source is not rendered; the width, and the
#: reach in pixels, to which the envelope belongs: the largest value at or beyond each of N_RING
#: equal steps of the reach.
PSF_FLOOR = 0
PSF_WIDTH = 1
PSF_REACH = 2
#: Of an analytic kind the number of nodes on a pixel's side; nodes and weights follow the envelope.
N_NODE = 3
#: Of a sampled one: pixels of the image to one of the data; its centre; cells of one phase; places
#: on the detector; all (y, x). The places' coordinates, then the phases, follow the envelope. With
#: a degree above 0 the images are the coefficients of 1, x, y, x^2, x y, y^2 ... instead, x and y
#: being (place - middle) / scale, and these two numbers stand where the coordinates would.
OVERSAMPLING = 3
ORIGIN = 5
N_CELL = 7
N_PLACE = 9
DEGREE = 11
ENVELOPE = 12
N_RING = 32
PSF_TABLE = ENVELOPE + N_RING

#: Noise kinds: normal of known variance; of a CCD, a count or a scale, where the sampling
#: corrects for the difference from a normal of the variance that the weights stand for.
NORMAL_NOISE = 0
CCD_NOISE = 1
POISSON_NOISE = 2
STUDENT_NOISE = 3
CONTAMINATED_NOISE = 4
#: Normal of a scale that is sampled.
SCALED_NOISE = 5
#: Place among the numbers of a noise kind: 1 where the scale of all pixels is sampled, its
#: logarithm being the value of the last shared column, which is empty.
INFLATED = 3

#: Kinds of prior densities of one parameter, and their numbers: see ``priors``.
FLAT = 0
NORMAL = 1
UNIFORM = 2
LOG_NORMAL = 3
LOG_UNIFORM = 4
POWER_LAW = 5
HALF_NORMAL = 6
TRUNCATED_NORMAL = 7
#: Numbers of one such density: kind, log normalisation, up to four parameters.
N_DENSITY = 6

#: Status of a fit.
CONVERGED = 0
ITERATION_LIMIT = 1
DEGENERATE = 2

#: Columns of a source's state; the PSF's shapes follow, as the chains walk in them.
X = 0
Y = 1
FLUX = 2
SHAPE = 3

#: Columns of a source's prior: centre and radius of the disc, precisions of normal offsets,
#: mean, precision and floor of the flux.
CENTER_X = 0
CENTER_Y = 1
RADIUS = 2
PRECISION_X = 3
PRECISION_Y = 4
FLUX_MEAN = 5
FLUX_PRECISION = 6
FLUX_FLOOR = 7
#: Then densities that are none of these, N_DENSITY numbers each: of the offsets in x and y, and
#: the flux.
X_DENSITY = 8
Y_DENSITY = 14
FLUX_DENSITY = 20
#: Then of the first shape, and every N_SHAPE_PRIOR columns of a further one: mean and precision of
#: the state's column, density of the shape itself.
SHAPE_MEAN = 26
SHAPE_PRECISION = 27
SHAPE_DENSITY = 28
N_SHAPE_PRIOR = 8
#: Last, from SHAPE_MEAN + N_SHAPE_PRIOR J on, precisions between shapes: (1, 0), (2, 0), (2, 1).

#: Planes of a source's window: weight * residual data, weight, then weight * shared column e.
WEIGHTED = 0
WEIGHT = 1
SHARED_PLANE = 2

#: Rows of a group's pixels, where its noise is not normal.
DATA = 0
PIXEL_WEIGHT = 1
NEIGHBOURS = 2
KNOWN = 3
TRUE_DATA = 4

#: Columns of a shared row: prior mean and precision, product with the data, then its Gram row.
SHARED_MEAN = 0
SHARED_PRECISION = 1
SHARED_RHS = 2
SHARED_GRAM = 3

#: Rows of the scratch vectors.
RHS = 0
MEAN = 1
VALUE = 2


class PSFData(NamedTuple):
    """A PSF inside the kernels, and where on the detector positions are counted from."""

    kind: np.int64
    row: np.int64
    column: np.int64
    numbers: np.ndarray


class Batch(NamedTuple):
    """Patches, layout and priors of G groups with S sources and P pixels in all.

    A source has J shapes, the PSF's, and C = 3 + J numbers.
    """

    psf: PSFData
    flux_free: np.int64
    noise_kind: np.ndarray  # (G)
    source_start: np.ndarray  # (G + 1)
    pixel_start: np.ndarray  # (G + 1)
    free_start: np.ndarray  # (G + 1), into ``free``
    rows: np.ndarray  # (G, 4): number of rows, columns, first row, first column
    data: np.ndarray  # (P) unsubtracted data less the reference sky, or pseudo-data
    weight: np.ndarray  # (P) 1 / variance, 0 outside the union of boxes and on bad pixels
    neighbours: np.ndarray  # (P) model of the sources outside the group
    window: np.ndarray  # (S, 4): first row, end row, first column, end column in the patch
    free: np.ndarray  # codes of the free nonlinear parameters: see ``layout``
    state: np.ndarray  # (S, C) start, or optimum: x, y, flux, shapes
    prior: np.ndarray  # (S, 26 + 8 J + J (J - 1) / 2)
    shared_prior: np.ndarray  # (G, E, 2 + 6): mean (less the reference), precision, density
    nuisance: np.ndarray  # (J, P): the last J of the E shared columns; the others are the sky's
    noise: np.ndarray  # (4): numbers of the noise kind
    known: np.ndarray  # (3, P, or 0): reference level or precision, data, weight as held


class Kept(NamedTuple):
    """Where the draws of a batch go; n draws of all chains, 7 numbers a summary."""

    source: np.ndarray  # (3, S, n) x, y, flux
    shape: np.ndarray  # (J or 0, S, n)
    shared: np.ndarray  # (E, G, n)
    source_summary: np.ndarray  # (S, C, 7)
    shared_summary: np.ndarray  # (E, G, 7)
    stats: np.ndarray  # (G, 9)


class Swarm(NamedTuple):
    """Particles of a tempered run: N of them, D nonlinear and L linear parameters."""

    theta: np.ndarray  # (N, D)
    score: np.ndarray  # (N, L) scores of the linear parameters
    linear: np.ndarray  # (N, L)
    numbers: np.ndarray  # (N, 4) log densities: see ``swarm``


class Group(NamedTuple):
    """One group inside a kernel; positions in patch pixels."""

    psf: PSFData
    tables: np.ndarray  # (n, size) numbers of each source's PSF, or (1, size) of one for all
    noise_kind: np.int64
    flux_free: np.int64
    n_source: np.int64
    n_column: np.int64  # C: numbers of a source, and its columns in the Gram matrix
    n_shared: np.int64
    n_shape: np.int64  # sources whose shapes have a prior: 0, 1 (shared) or n
    n_density: np.int64  # priors that are neither flat nor normal
    width: np.int64  # columns of the patch
    chi2_data: np.float64  # sum of weight * residual data^2
    planes: np.ndarray  # (n, 2 + E, size): each source's window, row after row
    window: np.ndarray  # (n, 4)
    free: np.ndarray  # (D)
    prior: np.ndarray  # (n, as in a batch)
    shared: np.ndarray  # (E, 3 + E)
    shared_density: np.ndarray  # (E, 6)
    columns: np.ndarray  # (E, size): the shared columns over the patch
    pixels: np.ndarray  # (5, size), or (5, 0) for normal noise
    noise: np.ndarray  # (4)
    pairs: np.ndarray  # (m, 2) sources that keep the order of their prior centres


class Work(NamedTuple):
    """Scratch of one group."""

    state: np.ndarray  # (n, C) current x, y, flux (where known), shapes
    lines: np.ndarray  # (23, longest) profiles along x and y, or what the columns of an image need
    unit: np.ndarray  # (n + 1, size) unit sources over their windows; the last row is spare
    system: np.ndarray  # (L, L) normal matrix of the linear parameters
    factor: np.ndarray  # (L, L) its Cholesky factor
    model: np.ndarray  # (size, or 0 for normal noise) model of the patch
    vector: np.ndarray  # (3, L) right-hand side, solution, values of all (fluxes, shared)
