"""The evidence of pixels without a source of their own: sky and nuisances alone."""

from __future__ import annotations

import math

import numpy as np

from bayesphot.accept import Fitted
from bayesphot.patch import make_shared_priors
from bayesphot.scene import Scene
from bayesphot.settings import ModelSettings

__all__ = ["weigh_sky"]


def weigh_sky(scene: Scene, box: np.ndarray, settings: ModelSettings) -> Fitted:
    """Return the parts of the log evidence of a union of boxes whose sources are all out.

    Sky and nuisances are linear: with Phi their columns, S0 their priors' covariance and
    M = Phi^T W Phi + S0^-1, the evidence is that of `bayesphot.accept` at their optimum, C = M^-1.
    """
    first = np.array([box[:, 0].min(), box[:, 2].min()])
    end = np.array([box[:, 1].max(), box[:, 3].max()])
    window = (slice(first[0], end[0]), slice(first[1], end[1]))
    use = np.zeros(end - first, dtype=bool)
    for r0, r1, c0, c1 in box - first.repeat(2):
        use[r0:r1, c0:c1] = True
    use &= scene.pixels.weight[window] > 0.0
    weight = scene.pixels.weight[window][use]
    residual = (scene.pixels.data[window] - scene.model[window])[use]
    freedom = max(residual.size - settings.n_shared, 1)
    if not settings.n_shared or not residual.size:
        return Fitted(float(weight @ residual**2), 0.0, freedom)
    prior = make_shared_priors(scene.pixels, np.array([[*(end - first), *first]]), settings)[0]
    row, col = np.nonzero(use)
    middle = 0.5 * (end - first - 1)
    columns = np.stack([np.ones(row.size), col - middle[1], row - middle[0]])[: settings.n_sky]
    if scene.pixels.nuisance is not None:
        columns = np.concatenate([columns, scene.pixels.nuisance[(slice(None), *window)][:, use]])
    gram = (columns * weight) @ columns.T + np.diag(prior[:, 1])
    product = (columns * weight) @ residual + prior[:, 0] * prior[:, 1]
    value = np.linalg.lstsq(gram, product, rcond=None)[0]
    residual = residual - value @ columns
    sign, log_det = np.linalg.slogdet(gram)
    rest = 0.5 * (len(value) * math.log(2.0 * math.pi) - log_det) if sign > 0.0 else math.nan
    rest -= 0.5 * float(prior[:, 1] @ (value - prior[:, 0]) ** 2)
    return Fitted(float(weight @ residual**2), rest, freedom)
