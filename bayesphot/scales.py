"""Where a sampled scale of the noise is looked for: near what each group's residuals say."""

from __future__ import annotations

import math

import numpy as np

from bayesphot.noise import LOG_SCALES
from bayesphot.scene import Scene
from bayesphot.settings import ModelSettings

__all__ = ["find_scales"]

#: Widening of the normal that proposes it.
WIDEN = 1.3


def find_scales(
    scene: Scene, settings: ModelSettings, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normals that propose each group's ln(scale), and an image of the scales.

    At the optimum of a group the slope of the log likelihood by ln(scale), -n + sum of pulls
    (squared deviations, for normal noise), vanishes; the free parameters are taken off n.

    Parameters
    ----------
    scene : Scene
        The final scene.
    settings : ModelSettings
        The run's model.
    mean : (ny, nx) array
        Expected values of the pixels, less the reference sky.

    Returns
    -------
    (G, 2) array
        Mean and precision of each normal.
    (ny, nx) array
        The optimum of the group that a pixel belongs to, 1 outside.
    """
    noise = scene.pixels.noise
    grouped = scene.grouped
    image = np.ones(mean.shape)
    normals = np.empty((grouped.n_group, 2))
    if grouped.n_group == 0 or noise.model is None or noise.known is None:
        return normals, image
    batch = scene.cut(settings).batch
    for g in range(grouped.n_group):
        n_row, n_col, r0, c0 = batch.rows[g]
        window = (slice(r0, r0 + n_row), slice(c0, c0 + n_col))
        part = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
        used = batch.weight[part].reshape(n_row, n_col) > 0.0
        residual = (scene.pixels.data - mean)[window][used]
        here = (residual, mean[window][used], noise.known[window][used])
        layout = settings.layout(int(np.diff(grouped.start)[g]), sampling=True)
        # The scale itself is one of the layout's parameters, but takes no pixel away.
        freedom = max(residual.size - layout.size + 1, 1)
        normals[g] = _find_normal(noise.model, here, freedom)
        image[window][used] = math.exp(normals[g, 0])
    return normals, image


def _find_normal(model, here, freedom: int) -> tuple[float, float]:
    """Return mean and precision of the normal that proposes ln(scale) of one group."""
    from scipy.optimize import brentq

    center, precision = _read_prior(model.inflation)
    least, most = LOG_SCALES

    def slope(log_scale: float) -> float:
        pull = model.pull(*here, math.exp(log_scale)).sum() - freedom
        return pull - precision * (log_scale - center)

    best = least
    if slope(least) > 0.0:
        best = brentq(slope, least, most, xtol=1e-6) if slope(most) < 0.0 else most
    curvature = (slope(best - 0.01) - slope(best + 0.01)) / 0.02
    low, high = model.inflation.support()
    best = min(max(best, math.log(low) if low > 0.0 else least), math.log(high))
    return best, max(curvature, 1.0) / WIDEN**2


def _read_prior(prior) -> tuple[float, float]:
    """Return mean and precision of ln(scale) where its prior is a normal of it; else (0, 0)."""
    width = getattr(prior, "width", None)
    return (0.0, 0.0) if width is None else (math.log(prior.median), 1.0 / width**2)
