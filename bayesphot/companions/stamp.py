"""What the fits of a target see: good pixels, their weights, and what else shines on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.boxes import make_boxes
from bayesphot.companions.moving import render_units
from bayesphot.kernels.structs import FLUX, RADIUS, SHAPE, X, Y
from bayesphot.loop import LoopResult
from bayesphot.patch import Pixels
from bayesphot.plane import list_sky_columns
from bayesphot.psf import PSFConfig
from bayesphot.render import render_sources
from bayesphot.scene import Scene

__all__ = ["Stamp", "cut_stamp", "find_target", "keep_stamp"]

#: Step of the derivatives of a neighbour's image, pixels.
STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Stamp:
    """
    A target's pixels.

    Attributes
    ----------
    window : (int, int, int, int)
        Rows, columns, first row and first column.
    data, weight : ndarrays of float (P,)
        Data less the reference sky and the neighbours; one over the variance, 0 on bad pixels.
    target : ndarray of float (C,)
        x, y, flux and shapes of the target as fitted alone.
    start : (float, float)
        Where it was expected: the middle of the prior of its place.
    columns : ndarray of float (K, P)
        Sky, modes of the PSF's error, and what neighbours may still change: linear parameters.
    precision : ndarray of float (K,)
        Of their normal priors about 0.
    psf : PSFConfig
        The PSF.
    light_variance : float
        Variance that one unit of light more would add to that of a pixel.
    """

    window: tuple[int, int, int, int]
    data: np.ndarray
    weight: np.ndarray
    target: np.ndarray
    start: tuple[float, float]
    columns: np.ndarray
    precision: np.ndarray
    psf: PSFConfig
    light_variance: float


def find_target(looped: LoopResult) -> int:
    """Return where in a fitted scene, which is in order of places, the first position is."""
    return int(np.flatnonzero(looped.row == 0)[0])


def cut_stamp(looped: LoopResult, k: int) -> Stamp:
    """Return the stamp of a source of a fitted scene: its fit box.

    Parameters
    ----------
    looped : LoopResult
        Fits of the target and its neighbours.
    k : int
        The target, by its place in the scene.
    """
    scene, settings = looped.scene, looped.settings
    pixels, value = scene.pixels, scene.sources.value
    center = scene.sources.center[k : k + 1]
    box = _find_box(looped, k)
    r0, r1, c0, c1 = (int(edge) for edge in box)
    here = np.s_[r0:r1, c0:c1]
    window = (r1 - r0, c1 - c0, r0, c0)
    row, column = (grid.ravel() for grid in np.indices((r1 - r0, c1 - c0)))
    parts = [list_sky_columns(row, column, r1 - r0, c1 - c0, settings.n_sky)]
    precisions = [_list_sky_precisions(scene, settings, box)]
    if pixels.nuisance is not None:
        parts.append(pixels.nuisance[(slice(None), *here)].reshape(len(pixels.nuisance), -1))
        precisions.append(1.0 / np.square(settings.nuisance_sd[: len(pixels.nuisance)]))
    # Without the cut at the run's floor: a companion's light is rendered at unit flux.
    psf = settings.psf.with_floor(0.0)
    others = np.delete(np.arange(len(value)), k)
    near = _find_near(value[others], box, psf)
    for other in others[near]:
        parts.append(_change_neighbour(value[other], window, psf))
        radius = scene.sources.prior[other, RADIUS]
        precisions.append(np.array([0.0, *np.full(2, _disc_precision(radius))]))
    light = render_sources(pixels.data.shape, value[others], psf) if others.size else 0.0
    data = (pixels.data - light)[here]
    return Stamp(
        window,
        np.where(pixels.weight[here] > 0.0, data, 0.0).ravel(),
        pixels.weight[here].ravel(),
        value[k].copy(),
        (float(center[0, 0]), float(center[0, 1])),
        np.concatenate(parts),
        np.concatenate(precisions),
        psf,
        pixels.noise.light_variance,
    )


def keep_stamp(looped: LoopResult, k: int) -> Pixels:
    """Return the pixels of a fitted scene with those outside the stamp of a source left out."""
    pixels = looped.scene.pixels
    r0, r1, c0, c1 = _find_box(looped, k)
    inside = np.zeros(pixels.data.shape, dtype=bool)
    inside[r0:r1, c0:c1] = True
    return replace(pixels, weight=np.where(inside, pixels.weight, 0.0))


def _find_box(looped: LoopResult, k: int) -> np.ndarray:
    """Return first and end row, first and end column of the fit box of a source."""
    x, y = looped.scene.sources.center[k : k + 1].T
    return make_boxes(x, y, looped.settings.fit_shape, looped.scene.pixels.data.shape)[0]


def _disc_precision(radius: float) -> float:
    """Return the precision of a coordinate that is uniform in a disc."""
    return 4.0 / radius**2 if np.isfinite(radius) and radius > 0.0 else 0.0


def _list_sky_precisions(scene: Scene, settings, box: np.ndarray) -> np.ndarray:
    """Return the precisions of the sky's columns in a box."""
    precision = np.zeros(settings.n_sky)
    if settings.background == "prior":
        r0, r1, c0, c1 = box
        error = np.broadcast_to(scene.pixels.sky_error, scene.pixels.data.shape)[r0:r1, c0:c1]
        precision[0] = 1.0 / np.median(error) ** 2
    return precision


def _find_near(value: np.ndarray, box: np.ndarray, psf: PSFConfig) -> np.ndarray:
    """Return which sources shine on a box."""
    r0, r1, c0, c1 = box
    reach = psf.find_end(value) if len(value) else np.zeros(0)
    x, y = value[:, X], value[:, Y]
    apart_x = np.maximum(np.maximum(c0 - x, x - c1), 0.0)
    apart_y = np.maximum(np.maximum(r0 - y, y - r1), 0.0)
    return np.hypot(apart_x, apart_y) < reach


def _change_neighbour(state: np.ndarray, window, psf: PSFConfig) -> np.ndarray:
    """Return what a neighbour's flux, x and y change: (3, P)."""
    moves = np.array([[0.0, 0.0], [STEP, 0.0], [-STEP, 0.0], [0.0, STEP], [0.0, -STEP]])
    light = render_units(psf.data, state[:2] + moves, window, state[SHAPE:])
    by_x, by_y = (light[1] - light[2]) / (2.0 * STEP), (light[3] - light[4]) / (2.0 * STEP)
    return np.stack([light[0], state[FLUX] * by_x, state[FLUX] * by_y])
