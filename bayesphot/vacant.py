"""The evidence of pixels without a source of their own: sky and nuisances alone."""

from __future__ import annotations

import math

import numpy as np

from bayesphot.accept import Fitted
from bayesphot.patch import GroupData
from bayesphot.plane import list_shared_columns

__all__ = ["fit_sky", "weigh_sky"]


def weigh_sky(data: GroupData, g: int) -> Fitted:
    """Return the parts of the log evidence of a group's pixels when its sources are all out."""
    return fit_sky(data, g)[0]


def fit_sky(
    data: GroupData, g: int, weight: np.ndarray | None = None
) -> tuple[Fitted, np.ndarray, np.ndarray]:
    """Return what `weigh_sky` does, and the optimum (E,) and M (E, E) of sky and nuisances.

    ``weight`` (p,) are other weights of the group's pixels than those of the batch.

    Sky and nuisances are linear: with Phi their columns, S0 their priors' covariance and
    M = Phi^T W Phi + S0^-1, the evidence is that of `bayesphot.accept` at their optimum, C = M^-1.
    """
    batch = data.batch
    here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    weight = batch.weight[here] if weight is None else weight
    good = weight > 0.0
    weight = weight[good]
    residual = (batch.data[here] - batch.neighbours[here])[good]
    prior = batch.shared_prior[g]
    n_shared = len(prior)
    freedom = max(residual.size - n_shared, 1)
    if not n_shared or not residual.size:
        fitted = Fitted(float(weight @ residual**2), 0.0, freedom)
        return fitted, prior[:, 0].copy(), np.diag(prior[:, 1])
    columns = list_shared_columns(batch, g)[:, good]
    gram = (columns * weight) @ columns.T + np.diag(prior[:, 1])
    product = (columns * weight) @ residual + prior[:, 0] * prior[:, 1]
    value = np.linalg.lstsq(gram, product, rcond=None)[0]
    residual = residual - value @ columns
    sign, log_det = np.linalg.slogdet(gram)
    rest = 0.5 * (n_shared * math.log(2.0 * math.pi) - log_det) if sign > 0.0 else math.nan
    rest -= 0.5 * float(prior[:, 1] @ (value - prior[:, 0]) ** 2)
    return Fitted(float(weight @ residual**2), rest, freedom), value, gram
