"""A PSF from the image itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.stats import gaussian_sigma_to_fwhm
from astropy.table import QTable

from bayesphot.catalog import read_positions
from bayesphot.celestial import find_usable
from bayesphot.checks import check_integer, check_number
from bayesphot.config.arguments import (
    check_image,
    check_noise,
    check_saturation,
    read_saturation,
)
from bayesphot.effective_psf.choose import (
    FAINTEST,
    choose_stars,
    explain_no_width,
    find_sources,
    measure_fwhm,
)
from bayesphot.effective_psf.frame import (
    Frame,
    Sources,
    choose_estimator,
    fit_sources,
    open_frame,
)
from bayesphot.effective_psf.iterate import (
    Stage,
    begin_stage,
    iterate_psf,
    make_model,
    resample_stage,
)
from bayesphot.effective_psf.modes import evaluate_shapes
from bayesphot.effective_psf.result import PSFBuild
from bayesphot.image import prepare_image
from bayesphot.psf import IntegratedGaussianPRF, PSFError
from bayesphot.psf.error_files import FEWEST
from bayesphot.saturation import mask_plateau
from bayesphot.sky_positions import place_positions

__all__ = ["build_psf"]

#: Half a side of the PSF, FWHM, and pixels at least.
REACH = 5.0
LEAST_HALF = 8
#: Nodes of the image to a FWHM, and to a pixel at most: splines through them follow a Gaussian to
#: 1e-3 of its peak.
NODES = 5.0
FINEST = 5
#: Narrowest FWHM, pixels, that tells a star from a hot pixel.
LEAST_FWHM = 0.5
#: The modes kept: of this share of the variance.
EXPLAINED = 0.95
MOST_MODES = 4


def build_psf(
    image,
    error=None,
    mask=None,
    *,
    positions=None,
    fwhm: float | None = None,
    n_stars: int = 100,
    oversampling: int | None = None,
    size: int | None = None,
    degree: int | None = None,
    saturation: Any = None,
    noise: Any = None,
    bkg_estimator: Any = None,
    n_iter: int = 8,
) -> PSFBuild:
    """Build the PSF of an image from its own stars.

    Bright, isolated, unsaturated stars are chosen. In turns, all sources about them are fitted with
    the PSF and the neighbours taken out, and the PSF is solved for from the stars' pixels (the
    effective PSF of Anderson & King 2000, PASP 112, 1360), as a cubic spline whose smoothness has
    the largest evidence, the stars' fluxes and places being free.

    Parameters
    ----------
    image : (ny, nx) array, Quantity, NDData or CCDData
        Data; NDData bring error, mask, unit and WCS along.
    error : (ny, nx) array, Quantity or number, optional
        Total 1-sigma error of each pixel; None: `noise`, or estimated from the image.
    mask : (ny, nx) array, optional
        True where a pixel is bad.
    positions : Table or SkyCoord, optional
        Stars to choose from, as for the photometry: ``x_0, y_0``, or the sky; None: all that are
        found. Their neighbours are found in any case.
    fwhm : float, optional
        Width of stars, pixels; None: measured.
    n_stars : int
        Stars at most, the brightest.
    oversampling : int, optional
        Pixels of the PSF's image to one of the data: how finely it is tabulated; None: 5 to a FWHM,
        and 5 to a pixel at most. It changes nothing in how the PSF is found, whose deviations from
        the first guess have nodes of their own. Coarser than 5 to a FWHM, what lies
        between the nodes is lost: of Gaussian stars of FWHM 1.3 to 2.1 pixels places follow the
        phase of the pixel by up to 0.006 pixels with 2, by up to 0.05 with 1, and fluxes are up to
        4 % off.
    size : int, optional
        Side of the PSF, pixels of the data, odd; None: 10 FWHM. Beyond 40 pixels the wings have
        nodes every second pixel, or fewer.
    degree : int, optional
        0, 1 or 2, of the polynomial in x and y by which the PSF varies over the image; None: what
        the Bayesian information criterion of the stars prefers.
    saturation : number, Quantity or "header", optional
        Level of saturation, as for the photometry; None: a plateau at the top of the image.
    noise : noise model, optional
        As for the photometry, e.g. ``CCDNoise(gain, read_noise)``.
    bkg_estimator : callable, optional
        Sky; None: `MeshBackground`, `MMMBackground` of small images.
    n_iter : int
        Rounds at most, 3 or more: the first two fit the first guess.

    Returns
    -------
    PSFBuild
        The PSF, its error and modes, its stars, their picture.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or no star is usable: the text says how many
        there were and what was wrong with them.

    Examples
    --------
    The width is that of the Gaussian and of the pixels that it falls on:

    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((120, 120), n_sources=16, sigma=1.5, flux_range=(5e3, 5e4),
    ...                           noise=3.0, border=10, min_separation=12, seed=3)
    >>> build = bp.build_psf(scene.image, error=scene.error, size=17)
    >>> abs(build.fwhm / (2.355 * (1.5**2 + 1 / 12) ** 0.5) - 1.0) < 0.01
    True
    """
    _check_arguments(n_stars, oversampling, size, degree, n_iter, fwhm, saturation)
    prepared = prepare_image(image, error, mask, stacklevel=3)
    prepared, _ = mask_plateau(prepared, read_saturation(saturation, prepared))
    check_noise(noise)
    check_image(prepared, noise)
    widest = 0.5 * min(prepared.shape)
    if fwhm is not None and not LEAST_FWHM <= fwhm <= widest:
        raise ValueError(
            f"fwhm must lie between {LEAST_FWHM:g} and {widest:g} pixels, half the image's shorter "
            f"side, found {fwhm!r}"
        )
    if not prepared.good.any():
        raise ValueError(
            f"image must have good pixels: all {prepared.good.size} are masked, saturated or not "
            "finite"
        )
    if positions is not None:
        positions = place_positions(positions, *find_usable(prepared.wcs, prepared.shape))
    model = IntegratedGaussianPRF(sigma=(fwhm or 3.0) / gaussian_sigma_to_fwhm)
    estimator = bkg_estimator or choose_estimator(prepared.shape, fwhm or 3.0)
    frame = open_frame(prepared, estimator, noise, model)
    if fwhm is None:
        fwhm = measure_fwhm(frame)
        if not np.isfinite(fwhm):
            raise ValueError(explain_no_width(frame))
    sources = _fit_all(frame, find_sources(frame, fwhm), fwhm)
    half = max(LEAST_HALF, int(np.ceil(REACH * fwhm))) if size is None else size // 2
    rows, reason = choose_stars(frame, sources, fwhm, half, n_stars)
    if positions is not None:
        rows, reason = _restrict(sources, rows, reason, positions, prepared, fwhm)
    if rows.size == 0:
        raise ValueError(_explain(reason))
    fewest = 1 if degree is None else (degree + 1) * (degree + 2) // 2
    if rows.size < fewest:
        raise ValueError(f"degree={degree} needs at least {fewest} stars, found {rows.size}")
    step = int(np.clip(np.ceil(NODES / fwhm), 1, FINEST))
    stage = begin_stage(half, step, fwhm, sources, rows)
    stage = iterate_psf(frame, stage, degree=degree, n_iter=n_iter)
    return _assemble(frame, resample_stage(stage, oversampling or step), reason)


def _check_arguments(n_stars, oversampling, size, degree, n_iter, fwhm, saturation) -> None:
    """Raise TypeError or ValueError for arguments that cannot be."""
    check_integer("n_stars", n_stars, least=1)
    check_integer("n_iter", n_iter, least=3)
    if oversampling is not None and check_integer("oversampling", oversampling, least=1) > 12:
        raise ValueError(f"oversampling must be at most 12, found {oversampling}")
    if size is not None and check_integer("size", size, least=5) % 2 == 0:
        raise ValueError(f"size must be odd, found {size}")
    if degree is not None and check_integer("degree", degree, least=0) > 2:
        raise ValueError(f"degree must be 0, 1 or 2, found {degree}")
    if fwhm is not None:
        check_number("fwhm", fwhm, above=0.0)
    check_saturation(saturation)


def _fit_all(frame: Frame, sources: Sources, fwhm: float) -> Sources:
    """Return detections fitted with a Gaussian."""
    if len(sources) == 0:
        return sources
    model = IntegratedGaussianPRF(sigma=fwhm / gaussian_sigma_to_fwhm)
    fitted, _ = fit_sources(frame, sources, model, fwhm, white=0.0)
    return fitted


def _restrict(sources, rows, reason, positions, image, fwhm) -> tuple[np.ndarray, np.ndarray]:
    """Return only the stars that lie at given positions."""
    from scipy.spatial import cKDTree

    given = read_positions(positions, shape=image.shape, unit=image.unit)
    place = np.column_stack([given.x, given.y])
    place = place[np.isfinite(place).all(axis=1)]
    if len(place) == 0:
        raise ValueError("positions must hold at least one finite position, found none")
    x, y = np.nan_to_num(sources.x, nan=-1e6), np.nan_to_num(sources.y, nan=-1e6)
    distance, _ = cKDTree(place).query(np.column_stack([x, y]))
    wanted = distance < 0.5 * fwhm
    reason = np.where(wanted, reason, "not among the positions")
    return rows[wanted[rows]], reason


def _explain(reason: np.ndarray) -> str:
    """Return why there is no star."""
    if reason.size == 0:
        return (
            f"image must have a usable star: no source stands out of the noise by {FAINTEST:g} "
            "standard deviations"
        )
    kinds, count = np.unique(reason.astype(str), return_counts=True)
    order = np.argsort(-count, kind="stable")
    parts = "; ".join(f"{count[k]} {kinds[k]}" for k in order)
    return f"image must have a usable star: of {reason.size} sources none is ({parts})"


def _assemble(frame: Frame, stage: Stage, reason: np.ndarray) -> PSFBuild:
    """Return the result of the last stage."""
    used = np.zeros(len(stage.sources), dtype=bool)
    used[stage.rows[stage.used]] = True
    reason = reason.copy()
    reason[stage.rows[~stage.used]] = "not like the others"
    scatter = np.full(used.size, np.nan)
    scatter[stage.rows] = stage.scatter
    sources = stage.sources
    stars = QTable(
        {
            "x": sources.x,
            "y": sources.y,
            "flux": sources.flux,
            "used": used,
            "reason": reason.astype(str),
            "scatter": scatter,
        }
    )
    stars.sort("flux", reverse=True)
    pieces = stage.pieces
    return PSFBuild(
        psf=make_model(stage, frame.data.shape),
        psf_error=_find_error(stage),
        error=stage.draws_of_image.std(axis=0),
        stars=stars,
        oversampling=stage.table.oversampling,
        fwhm=stage.fwhm,
        n_round=stage.n_round,
        change=stage.change,
        pixels={
            "distance": np.hypot(pieces.dx, pieces.dy),
            "value": pieces.value,
            "error": np.sqrt(pieces.noise),
            "residual": stage.residual,
        },
    )


def _find_error(stage: Stage) -> PSFError | None:
    """Return the PSF's error, its main modes and a white remainder; None of too few stars.

    The covariance of the stars' amplitudes, and that of the PSF's own error beside it: both move
    all pixels of a star together.
    """
    grid, spread = stage.table, stage.spread
    if spread is None or stage.used.sum() < FEWEST:
        return None
    x, y = np.meshgrid(grid.offset, grid.offset)
    shapes = evaluate_shapes(x, y, stage.sigma)
    flat = shapes.reshape(len(shapes), -1)
    draws = stage.draws_of_image.reshape(len(stage.draws), -1)
    amplitude = np.linalg.lstsq(flat.T, draws.T, rcond=None)[0]
    covariance = spread.covariance + np.cov(amplitude)
    # What a mode does to fits goes with the square of its image, not with its amplitude.
    gram = flat @ flat.T
    root = np.linalg.cholesky(gram)
    variance, vector = np.linalg.eigh(root.T @ covariance @ root)
    order = np.argsort(-variance)
    share = np.cumsum(variance[order]) / variance.sum()
    n = min(int(np.searchsorted(share, EXPLAINED)) + 1, MOST_MODES)
    weights = np.linalg.solve(root.T, vector[:, order[:n]])
    images = np.tensordot(weights.T, shapes, axes=1)
    sd = np.sqrt(variance[order[:n]])
    # Of unit norm as the PSF is, so that a standard deviation is a share of the flux.
    norm = np.sqrt((images**2).sum(axis=(1, 2)) / (stage.image**2).sum())
    images, sd = images / norm[:, None, None], sd * norm
    return PSFError(
        width=0.0,
        white=stage.white,
        modes=list(zip(images, sd.tolist(), strict=True)),
        oversampling=grid.oversampling,
    )
