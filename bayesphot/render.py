"""Images of sources, with all their fitted parameters and their wings."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.patches import render_into
from bayesphot.kernels.structs import FLUX, SAMPLED, SHAPE, PSFData, X, Y
from bayesphot.psf import PSFConfig, PSFError
from bayesphot.psf.tables import build_table

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
    middle = (mode.shape[0] // 2, mode.shape[1] // 2)
    places = np.zeros(1), np.zeros(1)
    table = build_table(mode[None, None], (oversampling, oversampling), middle, places)
    zero = np.int64(0)
    # Of its own width: the logarithm of the factor is 0.
    plain = np.zeros((len(state), SHAPE + 1))
    plain[:, :SHAPE] = state[:, :SHAPE]
    total = np.zeros(shape)
    render_into(total, plain, PSFData(np.int64(SAMPLED), zero, zero, table))
    return total
