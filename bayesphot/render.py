"""Images of sources, with all their fitted parameters and their wings."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.patches import render_into
from bayesphot.kernels.structs import FLUX, X, Y
from bayesphot.psf import PSFConfig, PSFError

__all__ = ["render_changes", "render_mode", "render_sources"]

#: Where more of the sources changed, all are rendered: nearly all would have to be anyway.
MOST_CHANGED = 0.2

#: Half the step in ln(sigma) of the central difference that is the mode of the width where its
#: amplitude is less; the error is a millionth of the mode.
STEP = 1e-3


def render_sources(shape: tuple[int, int], state: np.ndarray, psf: PSFConfig) -> np.ndarray:
    """Return the image of sources.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    state : (n, C) array
        x, y, flux, shapes of each source; rows that are not finite are left out. Sources are
        added in the order given.
    psf : PSFConfig
        The PSF.
    """
    image = np.zeros(shape)
    state = np.ascontiguousarray(state, dtype=np.float64)
    render_into(image, state[np.isfinite(state).all(axis=1)], psf.data)
    return image


def render_changes(
    model: np.ndarray, before: np.ndarray, after: np.ndarray, psf: PSFConfig
) -> np.ndarray:
    """Return the image of sources some of which changed, bit for bit that of `render_sources`.

    Pixels that no changed source reaches keep their value; the others are the sum of all sources
    that reach them, in their order.

    Parameters
    ----------
    model : (ny, nx) array
        The image of the sources before.
    before, after : (n, C) arrays
        The same sources before and after.
    psf : PSFConfig
        The PSF.
    """
    changed = (before != after).any(axis=1)
    if changed.mean() > MOST_CHANGED or not (np.isfinite(before) & np.isfinite(after)).all():
        return render_sources(model.shape, after, psf)
    touched = np.zeros(model.shape, dtype=bool)
    for state in (before[changed], after[changed]):
        for rows, cols in _bound_light(state, psf, model.shape):
            touched[rows, cols] = True
    lit = [touched[place].any() for place in _bound_light(after, psf, model.shape)]
    part = render_sources(model.shape, after[np.array(lit, dtype=bool)], psf)
    return np.where(touched, part, model)


def _bound_light(state: np.ndarray, psf: PSFConfig, shape) -> list[tuple[slice, slice]]:
    """Return the rows and columns of sources (n, C), none of which is rendered beyond them."""
    # Two more, as the kernel's middle is the nearest pixel and its reach may round up.
    half = np.ceil(psf.find_limit(state)).astype(np.int64) + 2
    bounds = []
    for column, side in ((Y, shape[0]), (X, shape[1])):
        middle = np.floor(np.clip(state[:, column], -1e6, 1e6)).astype(np.int64)
        low, high = np.clip(middle - half, 0, side), np.clip(middle + half + 1, 0, side)
        bounds.append([slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)])
    return list(zip(*bounds, strict=True))


def render_mode(
    shape: tuple[int, int],
    state: np.ndarray,
    psf: PSFConfig,
    error: PSFError,
    j: int,
    amplitude: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return the image of one mode of the PSF's error: the sum of flux times mode.

    Parameters
    ----------
    shape, state, psf
        As for `render_sources`.
    error : PSFError
        The modes.
    j : int
        Which of them.
    amplitude : (n,) array or float
        Amplitudes that fits found. The mode of the width is the change of the PSF from amplitude 0
        to there, over the amplitude: PSF and mode together are then the PSF of that width.
    """
    if not (error.width and j == 0):
        state = state[np.isfinite(state).all(axis=1)]
        return _render_image(shape, state, error.images[j - bool(error.width)], error.oversampling)
    large = np.abs(amplitude) > STEP
    low, high = np.where(large, 0.0, -STEP), np.where(large, amplitude, STEP)
    images = []
    for move in (high, low):
        moved = psf.widen(state, move)
        moved[:, FLUX] /= high - low
        images.append(render_sources(shape, moved, psf))
    return images[0] - images[1]


def _render_image(shape, state: np.ndarray, mode: np.ndarray, oversampling: int) -> np.ndarray:
    """Return the sum over sources of flux times an image (cubic spline) about their positions."""
    from scipy.ndimage import map_coordinates, spline_filter

    total = np.zeros(shape)
    coefficients = spline_filter(mode, mode="grid-constant")
    middle = [side // 2 for side in mode.shape]
    half = [int(np.ceil((side // 2 + 1) / oversampling)) for side in mode.shape]
    for source in state:
        row, col = int(np.floor(source[Y] + 0.5)), int(np.floor(source[X] + 0.5))
        rows = np.arange(max(row - half[0], 0), min(row + half[0] + 1, shape[0]))
        cols = np.arange(max(col - half[1], 0), min(col + half[1] + 1, shape[1]))
        if rows.size == 0 or cols.size == 0:
            continue
        places = np.meshgrid(
            (rows - source[Y]) * oversampling + middle[0],
            (cols - source[X]) * oversampling + middle[1],
            indexing="ij",
        )
        light = map_coordinates(coefficients, places, mode="grid-constant", prefilter=False)
        total[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += source[FLUX] * light
    return total
