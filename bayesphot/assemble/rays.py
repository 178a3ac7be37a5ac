"""Hits of cosmic rays by their residuals: brighter than the noise and sharper than the PSF.

Whatever light the model lacks has come through the optics, and a pixel of it has neighbours as
bright as the PSF makes them, at the least where it is centred on the pixel. Charge that a particle
left has not. The comparison with the PSF is that of Rhoads (2000, PASP 112, 703); it is made along
rows and along columns, so that a track of one or more pixels in line stands out by its sides, as
by the Laplacian of van Dokkum (2001, PASP 113, 1420).
"""

from __future__ import annotations

import numpy as np

from bayesphot.boxes import make_boxes
from bayesphot.kernels.columns import fill_places
from bayesphot.kernels.structs import FLUX, X, Y
from bayesphot.noise import CCDNoise, PixelNoise, PoissonNoise
from bayesphot.scene import Scene, render_offset
from bayesphot.settings import ModelSettings

__all__ = ["find_rays"]

#: How far a pixel lies above its model, in sigma.
BRIGHT = 6.0
#: How far its neighbours fall short of what the PSF would make of it, in standard errors.
SHARP = 4.0
#: Share of the model's light, in the brightest of a pixel and those about it, that a wrong PSF may
#: leave in its residual.
MISMATCH = 0.1
#: Places of a star in its pixel at which the PSF is asked for the least light beside it.
_PLACES = np.linspace(-0.5, 0.5, 5)


def find_rays(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return which members (m,) have a pixel in their boxes that was hit by a cosmic ray.

    Parameters
    ----------
    scene : Scene
        The final scene.
    settings : ModelSettings
        The run's model.
    """
    from scipy.ndimage import maximum_filter

    member = scene.grouped.member
    hit = np.zeros(member.size, dtype=bool)
    weight = scene.pixels.noise.scale_weights(scene.pixels.weight)
    residual = scene.pixels.data - scene.model - render_offset(scene, settings)
    bright = _measure_significance(residual, weight, scene.pixels.noise) > BRIGHT
    if not bright.any():
        return hit
    bright &= residual > MISMATCH * maximum_filter(scene.model, 3)
    x, y = scene.sources.center[member].T
    boxes = make_boxes(x, y, settings.fit_shape, residual.shape, scene.pixels.saturated)
    for k, (r0, r1, c0, c1) in enumerate(boxes):
        if bright[r0:r1, c0:c1].any():
            row, col = np.nonzero(bright[r0:r1, c0:c1])
            least = _find_least(scene.sources.value[member[k]], settings)
            hit[k] = np.any(_find_sharp(residual, weight, row + r0, col + c0, least))
    return hit


def _measure_significance(residual, weight, noise: PixelNoise) -> np.ndarray:
    """Return how many sigma each pixel lies above its model; of counts with their skewness.

    A Poisson variate n of mean v is 2 (sqrt(n + 3/8) - sqrt(v + 3/8)) sigma off (Anscombe 1948).
    """
    model = noise.model
    if not isinstance(model, (CCDNoise, PoissonNoise)):
        return residual * np.sqrt(weight)
    gain = model.gain if isinstance(model, CCDNoise) else 1.0
    with np.errstate(divide="ignore"):
        variance = np.where(weight > 0.0, gain**2 / weight, np.inf)
    count = variance + gain * np.maximum(residual, 0.0)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(2.0 * (np.sqrt(count + 0.375) - np.sqrt(variance + 0.375)))


def _find_least(source: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """Return the least light beside a pixel, along its row and its column, relative to its own.

    Of a star anywhere in the pixel under the source's middle: half the sum of the neighbours.
    """
    down, across = (grid.ravel() for grid in np.meshgrid(_PLACES, _PLACES, indexing="ij"))
    middle = np.floor(source[[X, Y]] + 0.5)
    light = []
    for dx, dy in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        unit = np.empty((1, across.size))
        star = source.copy()
        star[FLUX] = 1.0
        star[[X, Y]] = middle
        # A star moved one way is a pixel moved the other.
        fill_places(settings.psf.data, star, middle[0] + dx - across, middle[1] + dy - down, unit)
        light.append(unit[0])
    center, *beside = light
    used = center > 0.0
    pairs = [0.5 * (a + b)[used] / center[used] for a, b in (beside[:2], beside[2:])]
    return np.array([max(pair.min(initial=1.0), 0.0) for pair in pairs])


def _find_sharp(residual, weight, row, col, least: np.ndarray) -> np.ndarray:
    """Return which pixels (m,) have too little light beside them, along a row or a column."""
    own, own_variance = residual[row, col], 1.0 / weight[row, col]
    sharp = np.zeros(row.size, dtype=bool)
    for share, steps in zip(least, (((0, -1), (0, 1)), ((-1, 0), (1, 0))), strict=True):
        light, variance = np.zeros(row.size), np.zeros(row.size)
        whole = np.ones(row.size, dtype=bool)
        for down, across in steps:
            r, c = row + down, col + across
            inside = (r >= 0) & (r < residual.shape[0]) & (c >= 0) & (c < residual.shape[1])
            r, c = np.where(inside, r, row), np.where(inside, c, col)
            good = inside & (weight[r, c] > 0.0)
            # Where the model takes too much away, nothing is known of the light beside.
            light += 0.5 * np.where(good, np.maximum(residual[r, c], 0.0), 0.0)
            variance += np.where(good, 0.25 / np.where(good, weight[r, c], 1.0), 0.0)
            whole &= good
        missing = share * own - light
        error = np.sqrt(share**2 * own_variance + variance)
        sharp |= whole & (missing > SHARP * error)
    return sharp
