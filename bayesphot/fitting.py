"""Least squares of groups: the compiled Levenberg-Marquardt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels import batches
from bayesphot.patch import GroupData

__all__ = ["GroupFit", "fit_groups", "score_shapes"]

MAX_ITERATIONS = 60
#: Largest last step, in units of the formal errors.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class GroupFit:
    """Optimum of each group of a batch.

    Parameters
    ----------
    source : (S, C) array
        x, y, flux, shapes of the members.
    shared : (G, E) array
        Values of the shared columns: the sky, less the reference, then nuisances.
    group : (G, 3) array
        Status, iterations, chi-squared.
    covariance_start, covariance : arrays
        Joint covariances of (linear, nonlinear) parameters, flat.
    conditional : (S,) array
        Flux variance with the group mates' positions and fluxes held fixed.
    """

    source: np.ndarray
    shared: np.ndarray
    group: np.ndarray
    covariance_start: np.ndarray
    covariance: np.ndarray
    conditional: np.ndarray

    def covariance_of(self, g: int) -> np.ndarray:
        """Return the joint covariance of group g, (linear, nonlinear) order."""
        block = self.covariance[self.covariance_start[g] : self.covariance_start[g + 1]]
        size = int(round(np.sqrt(block.size)))
        return block.reshape(size, size)

    def covariances_of(self, groups: np.ndarray) -> np.ndarray:
        """Return (m, size, size) those of groups that have the same number of parameters."""
        first = self.covariance_start[groups]
        length = int(self.covariance_start[groups[0] + 1] - first[0])
        size = int(round(np.sqrt(length)))
        return self.covariance[first[:, None] + np.arange(length)].reshape(first.size, size, size)


def joint_sizes(data: GroupData) -> np.ndarray:
    """Return the number of free parameters of each group."""
    batch = data.batch
    n_source = np.diff(batch.source_start)
    return n_source * batch.flux_free + batch.shared_prior.shape[1] + np.diff(batch.free_start)


def fit_groups(data: GroupData, *, max_iterations: int = MAX_ITERATIONS) -> GroupFit:
    """Fit every group of a batch by Levenberg-Marquardt with linear parameters eliminated."""
    batch = data.batch
    n_source = batch.state.shape[0]
    n_group = batch.rows.shape[0]
    start = np.concatenate([[0], np.cumsum(joint_sizes(data) ** 2)])
    fit = GroupFit(
        source=np.empty(batch.state.shape),
        shared=np.zeros((n_group, batch.shared_prior.shape[1])),
        group=np.zeros((n_group, batches.N_FIT)),
        covariance_start=start,
        covariance=np.empty(int(start[-1])),
        conditional=np.empty(n_source),
    )
    batches.fit_batch(
        batch,
        max_iterations,
        TOLERANCE,
        fit.source,
        fit.group,
        fit.covariance_start,
        fit.covariance,
        fit.conditional,
        fit.shared,
    )
    return fit


def score_shapes(
    data: GroupData, fit: GroupFit, shapes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's scores (G, m) and marginal information (G, m, m) of m common shapes."""
    n_group, m = data.batch.rows.shape[0], shapes.size
    scores, information = np.zeros((n_group, m)), np.zeros((n_group, m, m))
    batches.score_shapes(data.batch, shapes, fit.source, fit.shared, scores, information)
    return scores, information
