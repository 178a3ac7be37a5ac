"""Starts and priors of sources: what the fits begin from and what they are held to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesphot.kernels.columns import fill_places
from bayesphot.kernels.structs import (
    CENTER_X,
    CENTER_Y,
    FLUX_DENSITY,
    FLUX_FLOOR,
    FLUX_MEAN,
    FLUX_PRECISION,
    N_DENSITY,
    N_SHAPE_PRIOR,
    PRECISION_X,
    PRECISION_Y,
    RADIUS,
    SHAPE,
    SHAPE_DENSITY,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    X_DENSITY,
    Y_DENSITY,
)
from bayesphot.patch import Pixels, SourceState
from bayesphot.priors import SHAPE_WIDTH, LogNormal, PriorSet
from bayesphot.psf import PSFConfig
from bayesphot.settings import ModelSettings

__all__ = [
    "estimate_flux",
    "estimate_wings",
    "find_flux_errors",
    "find_radii",
    "set_priors",
    "start_sources",
]

#: Radii of the position discs in FWHM: alone, and where discs of the first radius meet.
ALONE = 1.0
BLENDED = 0.5
#: Floor of the flux of blended sources, in units of its error with everything else known.
FLOOR = -5.0


def estimate_flux(data, weight, x, y, *, sigma: float, radius: float | None) -> np.ndarray:
    """Return aperture sums, corrected for the Gaussian's light outside.

    Parameters
    ----------
    data, weight : (ny, nx) arrays
        Sky-subtracted data; weight 0 on bad pixels, which are left out.
    x, y : (n,) arrays
        Positions.
    sigma : float
        PSF sigma, pixels.
    radius : float or None
        Aperture radius, pixels; None: 2 sigma.
    """
    radius = 2.0 * sigma if radius is None else radius
    reach = int(np.ceil(radius))
    step = np.arange(-reach, reach + 1)
    dy, dx = (g.ravel() for g in np.meshgrid(step, step, indexing="ij"))
    col = np.floor(x + 0.5).astype(int)[:, None] + dx
    row = np.floor(y + 0.5).astype(int)[:, None] + dy
    ny, nx = data.shape
    inside = (col >= 0) & (col < nx) & (row >= 0) & (row < ny)
    r2 = (col - x[:, None]) ** 2 + (row - y[:, None]) ** 2
    use = inside & (r2 <= radius**2)
    col, row = np.clip(col, 0, nx - 1), np.clip(row, 0, ny - 1)
    use &= weight[row, col] > 0.0
    profile = np.exp(-0.5 * r2 / sigma**2) / (2.0 * np.pi * sigma**2)
    light = np.where(use, data[row, col], 0.0).sum(axis=1)
    share = np.where(use, profile, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        flux = light / share
    return np.where(share > 1e-3, flux, 0.0)


def estimate_wings(data, weight, x, y, box, psf: PSFConfig) -> np.ndarray:
    """Return fluxes (n,) by linear least squares of the PSF on the good pixels of boxes.

    Parameters
    ----------
    data, weight : (ny, nx) arrays
        Sky-subtracted data; weight 0 on bad pixels, which are left out.
    x, y : (n,) arrays
        Positions.
    box : (n, 4) int array
        First row, end row, first and end column of each box.
    psf : PSFConfig
        The PSF, of the shape it starts from.
    """
    flux = np.zeros(len(box))
    for k, (r0, r1, c0, c1) in enumerate(box):
        row, col = (grid.ravel() for grid in np.mgrid[r0:r1, c0:c1])
        unit = np.empty((1, row.size))
        source = np.concatenate([[x[k], y[k], 1.0], psf.columns_start])
        fill_places(psf.data, source, col.astype(float), row.astype(float), unit)
        w = weight[row, col]
        information = w @ unit[0] ** 2
        if information > 0.0:
            flux[k] = (w * unit[0]) @ data[row, col] / information
    return flux


def start_sources(catalog, settings: ModelSettings) -> SourceState:
    """Return the state of a catalogue's sources at their starts, priors not yet set."""
    n = len(catalog)
    psf = settings.psf
    value = np.empty((n, psf.n_column))
    value[:, 0] = catalog.x
    value[:, 1] = catalog.y
    value[:, 2] = np.where(np.isfinite(catalog.flux), catalog.flux, 0.0)
    for j, name in enumerate(psf.shape_names):
        start = catalog.start_shape(name, float(psf.shape_start[j]))
        value[:, SHAPE + j] = psf.write_column(j, start)
    n_pair = psf.n_shape * (psf.n_shape - 1) // 2
    prior = np.zeros((n, SHAPE_MEAN + N_SHAPE_PRIOR * psf.n_shape + n_pair))
    prior[:, CENTER_X] = catalog.x
    prior[:, CENTER_Y] = catalog.y
    return SourceState(value, prior)


def set_priors(
    sources: SourceState,
    start: np.ndarray,
    pixels: Pixels,
    grouped,
    settings: ModelSettings,
    *,
    columns: Mapping[str, np.ndarray],
) -> SourceState:
    """Return the sources with their priors, which depend on their mates' starts alone.

    Parameters
    ----------
    sources : SourceState
        Sources with their centres.
    start : (n, C) array
        Their starts: the priors of shapes are about theirs.
    pixels : Pixels
        Weights, for the floors of blended fluxes.
    grouped : Grouped
        Groups: only mates in one group are blended.
    settings : ModelSettings
        The run's model and priors.
    columns : mapping of str to (n,) array
        Prior columns of single sources, NaN where a source has none.
    """
    given: PriorSet = settings.priors
    prior = sources.prior.copy()
    _set_offset(prior, PRECISION_X, X_DENSITY, given.x)
    _set_offset(prior, PRECISION_Y, Y_DENSITY, given.y)
    _set_own_offsets(prior, columns, settings)
    radius, overlap = find_radii(prior[:, :2], grouped, settings)
    prior[:, RADIUS] = radius
    prior[:, FLUX_FLOOR] = -np.inf
    if given.flux is not None:
        prior[:, FLUX_MEAN], prior[:, FLUX_PRECISION] = given.flux.normal()
        prior[:, FLUX_DENSITY : FLUX_DENSITY + N_DENSITY] = given.flux.density()
    if not given.has_flux:
        # Sources that cannot move make no dipoles: their fluxes need no floor.
        floored = overlap & (settings.free_x or settings.free_y)
        floor = FLOOR * find_flux_errors(prior[:, :2], settings.psf.find_sigma(start), pixels)
        prior[:, FLUX_FLOOR] = np.where(floored, floor, -np.inf)
    _set_own_fluxes(prior, columns)
    for j, name in enumerate(settings.psf.shape_names):
        own = prior[:, SHAPE_MEAN + N_SHAPE_PRIOR * j :][:, :N_SHAPE_PRIOR]
        _set_shape(own, start[:, SHAPE + j], j, given, settings.psf)
        _set_own_shapes(own, columns, j, name, settings.psf)
    return SourceState(sources.value, prior)


#: Places among the columns of one shape's prior.
_MEAN, _PRECISION, _DENSITY = 0, SHAPE_PRECISION - SHAPE_MEAN, SHAPE_DENSITY - SHAPE_MEAN


def _set_shape(prior: np.ndarray, start, j: int, given: PriorSet, psf: PSFConfig) -> None:
    """Set the prior of a shape: given, or normal in its column about the starts."""
    prior[:, _MEAN] = start
    if j not in psf.free_shapes:
        return
    shape = given.shapes.get(j)
    if isinstance(shape, LogNormal) and psf.is_logarithm(j):
        # A normal of the logarithm, in which the chains walk.
        prior[:, _MEAN] = np.log(shape.median)
        prior[:, _PRECISION] = 1.0 / shape.width**2
    elif shape is not None:
        prior[:, _DENSITY : _DENSITY + N_DENSITY] = shape.whole()
    elif not any(key == j for key, _ in given.functions):
        prior[:, _PRECISION] = 1.0 / SHAPE_WIDTH**2


def _set_offset(prior: np.ndarray, precision: int, density: int, given) -> None:
    """Set the prior of a coordinate's offset from the start."""
    prior[:, precision] = 0.0
    if given is None:
        return
    mean, weight = given.normal()
    if mean == 0.0:
        # About the centre itself: the least squares knows it too.
        prior[:, precision] = weight
        prior[:, density : density + N_DENSITY] = given.density()
    else:
        prior[:, density : density + N_DENSITY] = given.whole()


def _select_column(columns: Mapping[str, np.ndarray], name: str):
    """Return (rows, means, sds) of the sources with a prior of their own, None without columns.

    A mean that is not given is NaN.
    """
    sd = columns.get(f"{name}_prior_sd")
    if sd is None:
        return None
    rows = np.flatnonzero(np.isfinite(sd))
    mean = columns.get(f"{name}_prior_mean", np.full(sd.shape, np.nan))
    return rows, mean[rows], sd[rows]


def _set_own_offsets(
    prior: np.ndarray, columns: Mapping[str, np.ndarray], settings: ModelSettings
) -> None:
    """Set normal priors of single sources' coordinates; discs and boxes move to their means."""
    for name, free, center, precision, density in (
        ("x", settings.free_x, CENTER_X, PRECISION_X, X_DENSITY),
        ("y", settings.free_y, CENTER_Y, PRECISION_Y, Y_DENSITY),
    ):
        chosen = _select_column(columns, name)
        if chosen is None or not free:
            continue
        rows, mean, sd = chosen
        prior[rows, center] = np.where(np.isnan(mean), prior[rows, center], mean)
        prior[rows, precision] = 1.0 / sd**2
        prior[rows, density : density + N_DENSITY] = 0.0


def _set_own_fluxes(prior: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Set normal priors of single sources' fluxes, which then need no floor."""
    chosen = _select_column(columns, "flux")
    if chosen is None:
        return
    rows, mean, sd = chosen
    prior[rows, FLUX_MEAN] = mean
    prior[rows, FLUX_PRECISION] = 1.0 / sd**2
    prior[rows, FLUX_FLOOR] = -np.inf
    prior[rows, FLUX_DENSITY : FLUX_DENSITY + N_DENSITY] = 0.0


def _set_own_shapes(prior: np.ndarray, columns, j: int, name: str, psf: PSFConfig) -> None:
    """Set priors of single sources' shapes, normal in the column: of a length log-normal."""
    chosen = _select_column(columns, name)
    if chosen is None:
        return
    rows, mean, sd = chosen
    column = psf.write_column(j, mean)
    prior[rows, _MEAN] = column
    prior[rows, _PRECISION] = (psf.find_slope(j, column) / sd) ** 2
    prior[rows, _DENSITY : _DENSITY + N_DENSITY] = 0.0


def find_radii(center: np.ndarray, grouped, settings: ModelSettings):
    """Return the radius of each position disc, and whether it meets that of a group mate."""
    from scipy.spatial import cKDTree

    n = center.shape[0]
    given = settings.priors.radius
    alone = ALONE * settings.psf.fwhm if given is None else given
    radius = np.full(n, alone)
    overlap = np.zeros(n, dtype=bool)
    if n == 0:
        return radius, overlap
    label = np.empty(n, dtype=np.int64)
    label[grouped.member] = grouped.group_of_member()
    pairs = cKDTree(center).query_pairs(2.0 * alone, output_type="ndarray")
    pairs = pairs[label[pairs[:, 0]] == label[pairs[:, 1]]]
    if given is None:
        radius[pairs.ravel()] = BLENDED * settings.psf.fwhm
    separation = np.hypot(*(center[pairs[:, 0]] - center[pairs[:, 1]]).T)
    meets = separation < radius[pairs[:, 0]] + radius[pairs[:, 1]]
    overlap[pairs[meets].ravel()] = True
    return radius, overlap


def find_flux_errors(center: np.ndarray, sigma: np.ndarray | float, pixels: Pixels) -> np.ndarray:
    """Return flux errors (n,) with position, shape and sky known: 2 sqrt(pi) s noise.

    The noise is that of the pixel under the centre, or the image's typical one if it is bad.
    """
    ny, nx = pixels.data.shape
    row = np.clip(np.floor(center[:, 1] + 0.5).astype(int), 0, ny - 1)
    col = np.clip(np.floor(center[:, 0] + 0.5).astype(int), 0, nx - 1)
    weight = pixels.weight[row, col]
    good = pixels.weight[pixels.weight > 0.0]
    typical = np.median(good) if good.size else 1.0
    noise = 1.0 / np.sqrt(np.where(weight > 0.0, weight, typical))
    return 2.0 * np.sqrt(np.pi) * sigma * noise
