"""The iteration of Anderson & King (2000): positions by the PSF, the PSF by the positions.

Neighbours are fitted with the PSF of the round before and taken out; what is left of the stars
makes the next PSF, which is centred and normalised, until it no longer changes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from bayesphot.effective_psf.basis import Basis, Grid, make_basis
from bayesphot.effective_psf.frame import Frame, Sources, fit_sources, renew_frame
from bayesphot.effective_psf.modes import (
    Spread,
    evaluate_shapes,
    find_spread,
    list_terms,
    measure_amplitudes,
)
from bayesphot.effective_psf.moffat import Moffat, fit_moffat
from bayesphot.effective_psf.solve import (
    Field,
    Pieces,
    build_system,
    choose_field,
    solve_spline,
    weigh_residuals,
)
from bayesphot.psf import ImagePSF, PolynomialPSF
from bayesphot.psf.tables import find_fwhm, find_sigma

__all__ = ["Stage", "begin_stage", "iterate_psf", "make_model", "resample_stage"]

log = logging.getLogger("bayesphot")

#: The PSF has settled when no node changes by more than this share of its peak.
SETTLED = 2e-3
#: Rounds in which the prior of the deviations is chosen.
CHOSEN = (3, 4)
#: Error of the PSF relative to it, at first, and at least.
WHITE = 0.1
LEAST_WHITE = 1e-3
#: Share of a neighbour's light that its subtraction may leave.
LEFT = 0.05
#: Stars whose residuals scatter by so many median absolute deviations more than the median's are
#: left out, if by this factor at least.
ODD = 5.0
LEAST_ODD = 1.5
#: Rounds in which only the first guess is fitted.
GUESSED = 2
#: Draws of the PSF's error.
N_DRAW = 16
#: Exponent of the Moffat function that is the first guess; the usual one of a turbulent atmosphere
#: is 2.5 to 4.8 (Trujillo et al. 2001).
BETA = 3.0
#: Least radius, pixels, in which stars' differences are looked for: shapes, flux, place and sky
#: take 16 of its 50 pixels.
LEAST_RADIUS = 4.0
#: Stars for each term of the polynomial of the place, at the least.
PER_TERM = 5


@dataclass(frozen=True, eq=False)
class Stage:
    """Where the iteration is.

    ``basis`` of the deviations from ``guess``, ``coefficient`` (side^2,) of its grid; ``table``:
    nodes of the PSF's ``image`` (side, side) in the middle of the image; ``sources``: fits of all,
    ``rows`` of those that make the PSF, ``used``: which of these count, ``scatter`` of their
    residuals; ``prior`` of the deviations; ``spread``: how stars differ, ``white``: what is left
    beside that; ``draws`` (n, side^2) of the coefficients' error; ``change`` of the last round,
    ``n_round`` of them.
    """

    basis: Basis
    table: Grid
    guess: Moffat
    coefficient: np.ndarray
    image: np.ndarray
    sources: Sources
    rows: np.ndarray
    used: np.ndarray
    scatter: np.ndarray
    prior: Field | None = None
    spread: Spread | None = None
    white: float = WHITE
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))
    pieces: Pieces = field(default_factory=lambda: Pieces(*(np.empty(0) for _ in range(6))))
    residual: np.ndarray = field(default_factory=lambda: np.empty(0))
    change: float = np.inf
    n_round: int = 0

    @property
    def grid(self) -> Grid:
        """Nodes of the deviations' spline."""
        return self.basis.grid

    def render(self, coefficient: np.ndarray) -> np.ndarray:
        """Return deviations of coefficients (side^2,) at the nodes of the image."""
        gx, gy = np.meshgrid(self.table.offset, self.table.offset)
        return (self.grid.design(gx.ravel(), gy.ravel()) @ coefficient).reshape(gx.shape)

    @property
    def draws_of_image(self) -> np.ndarray:
        """Draws (n, side, side) of the image's error."""
        return np.array([self.render(draw) for draw in self.draws])

    @property
    def stars(self) -> Sources:
        """The fits of the stars that make the PSF, used or not."""
        return self.sources.select(self.rows)

    @property
    def sigma(self) -> float:
        """Sigma of the Gaussian as noisy to fit, pixels."""
        return find_sigma(self.image, (self.table.oversampling,) * 2)

    @property
    def fwhm(self) -> float:
        """FWHM, pixels."""
        return find_fwhm(self.image, (self.table.oversampling,) * 2)


def begin_stage(
    half: int, oversampling: int, fwhm: float, sources: Sources, rows: np.ndarray
) -> Stage:
    """Return the first stage: a guess, and the stars that are to make the PSF.

    Parameters
    ----------
    half : int
        Half the side of the PSF, pixels.
    oversampling : int
        Nodes of its image to a pixel.
    fwhm : float
        FWHM of the first guess, pixels.
    sources : Sources
        All sources.
    rows : (n,) int array
        The stars.
    """
    basis, table = make_basis(half, fwhm), Grid(half, oversampling)
    guess = Moffat.of_width(fwhm, BETA)
    nothing = np.full(rows.size, np.nan)
    used = np.ones(rows.size, dtype=bool)
    zero = np.zeros(basis.grid.side**2)
    image = guess(*np.meshgrid(table.offset, table.offset))
    return Stage(basis, table, guess, zero, image, sources, rows, used, nothing)


def resample_stage(stage: Stage, oversampling: int) -> Stage:
    """Return the stage with the image of the same PSF at other nodes."""
    stage = replace(stage, table=Grid(stage.grid.half, oversampling))
    guess = stage.guess(*np.meshgrid(stage.table.offset, stage.table.offset))
    return replace(stage, image=guess + stage.render(stage.coefficient))


def make_model(stage: Stage, shape: tuple[int, int]):
    """Return the PSF model of a stage, for an image of some shape."""
    step = stage.table.oversampling
    spread = stage.spread
    if spread is None or spread.degree == 0:
        return ImagePSF(stage.image, oversampling=step)
    gx, gy = np.meshgrid(stage.table.offset, stage.table.offset)
    images = np.tensordot(spread.mean, evaluate_shapes(gx, gy, stage.sigma), axes=1)
    # Stars in the middle of the image have the PSF that all stars' pixels want.
    images[0] = stage.image
    middle, scale = _measure_image(shape)
    rows = stage.rows[stage.used]
    domain = [
        _find_domain(place, side - 1)
        for place, side in ((stage.sources.x[rows], shape[1]), (stage.sources.y[rows], shape[0]))
    ]
    return PolynomialPSF(images, middle=middle, scale=scale, domain=domain, oversampling=step)


def _find_domain(place: np.ndarray, last: int) -> tuple[float, float]:
    """Return from where to where along an axis stars tell how the PSF varies.

    As far beyond the outermost stars as stars are from one another; no further than the image.
    """
    low, high = float(place.min()), float(place.max())
    margin = (high - low) / np.sqrt(place.size)
    return max(low - margin, -0.5), min(high + margin, last + 0.5)


def _measure_image(shape: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the middle (x, y) of an image and half its sides."""
    ny, nx = shape
    return (0.5 * (nx - 1), 0.5 * (ny - 1)), (0.5 * nx, 0.5 * ny)


def scale_places(stars: Sources, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return places from -1 to 1 over the image."""
    middle, scale = _measure_image(shape)
    return (stars.x - middle[0]) / scale[0], (stars.y - middle[1]) / scale[1]


def iterate_psf(frame: Frame, stage: Stage, *, degree: int | None, n_iter: int) -> Stage:
    """Return the last stage of the iteration.

    Parameters
    ----------
    frame : Frame
        The image.
    stage : Stage
        A first guess.
    degree : int or None
        Of the variation over the image; None: what the information criterion prefers, at most 2.
    n_iter : int
        Rounds at most.
    """
    model = None
    for n_round in range(1, n_iter + 1):
        near = _find_near(frame, stage)
        psf = make_model(stage, frame.data.shape)
        fitted, model = fit_sources(
            frame, stage.sources.select(near), psf, stage.fwhm, white=stage.white, model=model
        )
        frame = renew_frame(frame, model)
        stage = replace(stage, sources=_put_back(stage, near, fitted), n_round=n_round)
        stage = replace(stage, used=stage.used & (stage.stars.flux > 0.0))
        pieces = _cut_pieces(frame, stage, psf, model)
        last = n_round == n_iter or (n_round > CHOSEN[-1] and stage.change < SETTLED)
        if n_round <= GUESSED:
            stage = _renew_guess(stage, pieces)
        else:
            stage = _renew_image(frame, stage, pieces, draw=last)
            stage = _renew_spread(frame, stage, degree)
        log.info("round %d: the PSF changed by %.2g of its peak", n_round, stage.change)
        if last:
            break
    return stage


def _find_near(frame: Frame, stage: Stage) -> np.ndarray:
    """Return the rows of sources whose light falls on a stamp, stars first."""
    from scipy.spatial import cKDTree

    x, y = stage.sources.x, stage.sources.y
    finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    tree = cKDTree(np.column_stack([x[finite], y[finite]]))
    stars = stage.rows[stage.used]
    found = tree.query_ball_point(np.column_stack([x[stars], y[stars]]), 1.5 * stage.grid.half)
    near = np.unique(np.concatenate([np.asarray(rows, dtype=int) for rows in found]))
    return finite[near]


def _put_back(stage: Stage, rows: np.ndarray, fitted: Sources) -> Sources:
    """Return all sources, some of them fitted anew; those that could not be keep their places."""
    arrays = []
    measured = np.isfinite(fitted.x) & np.isfinite(fitted.y) & np.isfinite(fitted.flux)
    for name in ("x", "y", "flux"):
        array = getattr(stage.sources, name).copy()
        array[rows[measured]] = getattr(fitted, name)[measured]
        if name == "flux":
            array[rows[~measured]] = np.nan
        arrays.append(array)
    return Sources(*arrays)


def _cut_pieces(frame: Frame, stage: Stage, psf, model: np.ndarray) -> Pieces:
    """Return the pixels of the stars, neighbours taken out."""
    half = stage.grid.half
    ny, nx = frame.data.shape
    parts = []
    for s in np.flatnonzero(stage.used):
        x, y, flux = (float(v[s]) for v in (stage.stars.x, stage.stars.y, stage.stars.flux))
        row, column = int(round(y)), int(round(x))
        rows = slice(max(row - half, 0), min(row + half + 1, ny))
        columns = slice(max(column - half, 0), min(column + half + 1, nx))
        j, i = np.mgrid[rows, columns]
        own = psf.evaluate(i, j, flux, x, y, 1.0)
        others = model[rows, columns] - own
        noise = frame.variance[rows, columns] + (LEFT * others) ** 2
        variance = noise + (stage.white * own) ** 2
        if stage.spread is not None:
            shapes = evaluate_shapes(i - x, j - y, stage.sigma)
            scatter2 = np.einsum("iyx,ij,jyx->yx", shapes, stage.spread.covariance, shapes)
            variance = variance + flux**2 * scatter2
        good = frame.good[rows, columns]
        value = (frame.data[rows, columns] - others)[good] / flux
        parts.append(
            (
                np.full(value.size, s),
                (i - x)[good],
                (j - y)[good],
                value,
                variance[good] / flux**2,
                noise[good] / flux**2,
            )
        )
    return Pieces(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _deviate(frame: Frame, stage: Stage, pieces: Pieces) -> np.ndarray:
    """Return how far each pixel's PSF is from that in the middle of the image."""
    spread = stage.spread
    if spread is None:
        return np.zeros(pieces.star.size)
    x, y = scale_places(stage.stars, frame.data.shape)
    # The constant term belongs to the PSF in the middle.
    terms = list_terms(x, y, spread.degree)[pieces.star]
    shapes = evaluate_shapes(pieces.dx, pieces.dy, stage.sigma)
    return np.einsum("nq,qi,in->n", terms[:, 1:], spread.mean[1:], shapes)


def _renew_guess(stage: Stage, pieces: Pieces) -> Stage:
    """Return the stage with another first guess."""
    guess = fit_moffat(pieces, stage.guess, stage.fwhm)
    image = guess(*np.meshgrid(stage.table.offset, stage.table.offset))
    change = float(np.abs(image - stage.image).max() / stage.image.max())
    return replace(stage, guess=guess, image=image, change=change)


def _renew_image(frame: Frame, stage: Stage, pieces: Pieces, *, draw: bool) -> Stage:
    """Return the stage with deviations that fit its stars' pixels."""
    shifted = replace(pieces, value=pieces.value - _deviate(frame, stage, pieces))
    expected = stage.guess(pieces.dx, pieces.dy)
    expected += stage.grid.design(pieces.dx, pieces.dy) @ stage.coefficient
    weight = weigh_residuals((shifted.value - expected) / np.sqrt(shifted.variance))
    system = build_system(stage.basis, shifted, stage.guess, stage.coefficient, weight)
    prior = stage.prior
    if prior is None or stage.n_round in CHOSEN:
        prior = choose_field(system, stage.fwhm, prior)
    solution = solve_spline(system, prior, n_draw=N_DRAW if draw else 0)
    image = stage.guess(*np.meshgrid(stage.table.offset, stage.table.offset))
    image += stage.render(solution.coefficient)
    change = float(np.abs(image - stage.image).max() / stage.image.max())
    return replace(
        stage, coefficient=solution.coefficient, image=image, prior=prior, pieces=pieces,
        residual=solution.residual, change=change, draws=solution.draws,
    )  # fmt: skip


def _renew_spread(frame: Frame, stage: Stage, degree: int | None) -> Stage:
    """Return the stage with odd stars left out and the others' differences measured."""
    stage = _leave_out_odd(stage)
    chosen, star = _select_core(stage)
    pieces = stage.pieces
    dx, dy = pieces.dx[chosen], pieces.dy[chosen]
    shapes = evaluate_shapes(dx, dy, stage.sigma)
    own = stage.guess(dx, dy) + stage.grid.design(dx, dy) @ stage.coefficient
    by_x, by_y = stage.guess.differentiate(dx, dy)
    nuisance = np.array([own, by_x, by_y, np.ones(own.size)])
    # How wrong the PSF is is what is looked for here: only the noise of the pixels counts.
    variance = pieces.noise[chosen]
    residual = pieces.value[chosen] - own
    measured = measure_amplitudes(star, residual, variance + (LEAST_WHITE * own) ** 2, shapes,
                                  nuisance)  # fmt: skip
    x, y = scale_places(stage.stars.select(np.flatnonzero(stage.used)), frame.data.shape)
    if degree is None and stage.spread is not None and stage.n_round not in CHOSEN:
        degree = stage.spread.degree
    spread = _choose_spread(measured, x, y, degree)
    white = _measure_white(star, residual, variance, np.concatenate([shapes, nuisance]), own)
    return replace(stage, spread=spread, white=max(white, LEAST_WHITE))


def _leave_out_odd(stage: Stage) -> Stage:
    """Return the stage without stars whose residuals are not like the others'."""
    scatter = np.full(stage.rows.size, np.nan)
    core = np.hypot(stage.pieces.dx, stage.pieces.dy) < stage.fwhm
    number = np.bincount(stage.pieces.star[core], minlength=scatter.size)
    square = np.bincount(stage.pieces.star[core], stage.residual[core] ** 2, minlength=scatter.size)
    here = stage.used & (number > 0)
    scatter[here] = np.sqrt(square[here] / number[here])
    middle = np.median(scatter[here])
    off = scatter[here] - middle
    limit = max(middle + ODD * 1.4826 * np.median(np.abs(off)), LEAST_ODD * middle)
    keep = stage.used & (scatter <= limit)
    if keep.sum() < max(3, 0.5 * stage.used.sum()):
        keep = stage.used
    inside = keep[stage.pieces.star]
    pieces = Pieces(*(getattr(stage.pieces, name)[inside] for name in Pieces.__annotations__))
    return replace(
        stage, used=keep, scatter=scatter, pieces=pieces, residual=stage.residual[inside]
    )


def _select_core(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels near the stars, and the number of each pixel's star among those used."""
    radius = max(2.0 * stage.fwhm, LEAST_RADIUS)
    chosen = np.flatnonzero(np.hypot(stage.pieces.dx, stage.pieces.dy) < radius)
    return chosen, np.searchsorted(np.flatnonzero(stage.used), stage.pieces.star[chosen])


def _choose_spread(measured, x, y, degree: int | None) -> Spread:
    """Return the stars' distribution about a polynomial of the degree asked for, or of the best."""
    if degree is not None:
        return find_spread(measured, x, y, degree)
    n = len(measured.value)
    able = [d for d in (0, 1, 2) if d == 0 or n >= PER_TERM * (d + 1) * (d + 2) // 2]
    return max((find_spread(measured, x, y, d) for d in able), key=lambda spread: spread.score)


def _measure_white(star, residual, variance, design, own) -> float:
    """Return the error of the PSF relative to it that no shape describes."""
    excess, light = 0.0, 0.0
    for s in range(int(star.max()) + 1):
        here = star == s
        if here.sum() <= 2 * len(design):
            continue
        root = np.sqrt(variance[here])
        basis, _ = np.linalg.qr((design[:, here] / root).T)
        rest = residual[here] / root
        rest = rest - basis @ (basis.T @ rest)
        share = 1.0 - len(design) / here.sum()
        bright = own[here] > 0.1 * own.max()
        excess += float((rest[bright] ** 2 / share - 1.0) @ (variance[here][bright]))
        light += float((own[here][bright] ** 2).sum())
    return float(np.sqrt(max(excess, 0.0) / light)) if light > 0.0 else 0.0
