"""The compiled engine: independence Metropolis-Hastings on the collapsed posterior."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels import batches
from bayesphot.kernels.structs import Kept
from bayesphot.patch import GroupData
from bayesphot.sampling.budget import (
    BatchDraws,
    Budget,
    allocate_draws,
    blank_group,
    normal_scores,
)

__all__ = ["sample_independence"]

#: Degrees of freedom and widening of the Student t proposal: heavier tails than a posterior has.
DOF = 5.0
WIDEN = 1.1
#: Steps dropped at the start of each chain; it begins at its first proposal inside the prior.
BURN = 25


def sample_independence(
    data: GroupData, budget: Budget, seeds: np.ndarray, guess: np.ndarray, *, shape_free: bool
) -> BatchDraws:
    """Sample every group of a batch; one that falls short is sampled again, longer.

    Parameters
    ----------
    data : GroupData
        Patches and starts (the least-squares optimum).
    budget : Budget
        Chains, draws and what they must reach.
    seeds : (G,) uint64 array
        One seed a group.
    guess : array
        Approximate precisions of all groups' nonlinear parameters, as laid out in
        ``data.batch.free``.
    shape_free : bool
        Whether the shape is sampled.
    """
    draws = allocate_draws(data, budget, shape_free=shape_free)
    batches.sample_batch(
        data.batch,
        seeds,
        budget.chains,
        budget.draws,
        budget.max_thin,
        BURN,
        DOF,
        WIDEN,
        float(budget.min_ess),
        float(budget.max_r_hat),
        float(budget.tail),
        normal_scores(budget.total),
        data.batch.free_start[:-1].copy(),
        guess,
        Kept(
            draws.source,
            draws.shape,
            draws.shared,
            draws.source_summary,
            draws.shared_summary,
            draws.stats,
        ),
    )
    for g in np.flatnonzero(~(draws.stats[:, batches.ACCEPTANCE] >= 0.0)):
        blank_group(draws, data, int(g))
    return draws
