"""What an engine may spend and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.kernels import batches
from bayesphot.kernels.diagnostics import N_SUMMARY
from bayesphot.kernels.structs import SHAPE
from bayesphot.patch import GroupData
from bayesphot.psf.transforms import read_column

__all__ = ["BatchDraws", "Budget", "allocate_draws", "blank_group", "normal_scores", "pareto_limit"]

#: Probability of an upper limit.
LIMIT = 0.95


@dataclass(frozen=True)
class Budget:
    """Length of the chains and what they must reach.

    Parameters
    ----------
    chains, draws : int
        Chains, and draws kept in each.
    min_ess : float
        Smallest bulk and tail effective sample size of any parameter.
    max_r_hat : float
        Largest rank-normalised split R-hat of any parameter.
    max_thin : int
        A group that falls short is sampled again, up to this many times longer, and thinned.
    tail : float
        Probability below the lower and above the upper end of the central interval.
    """

    chains: int = 4
    draws: int = 500
    min_ess: float = 400.0
    max_r_hat: float = 1.01
    max_thin: int = 16
    tail: float = 0.15865

    @property
    def total(self) -> int:
        """Draws of all chains."""
        return self.chains * self.draws

    def holds(self, stats: np.ndarray) -> np.ndarray:
        """Return which groups, by their (..., 9) numbers, passed every gate."""
        thin = np.nan_to_num(stats[..., batches.THIN], nan=1.0)
        k = stats[..., batches.PARETO_K]
        return (
            (stats[..., batches.WORST_R_HAT] <= self.max_r_hat)
            & (stats[..., batches.WORST_BULK] >= self.min_ess)
            & (stats[..., batches.WORST_TAIL] >= self.min_ess)
            & (np.isnan(k) | (k < pareto_limit(self.total * thin)))
        )


@dataclass(frozen=True, eq=False)
class BatchDraws:
    """Draws of a batch of groups, chains laid end to end, and their summaries.

    Parameters
    ----------
    source : (3, S, n) array
        x, y, flux of the members.
    shape : (J or 0, S, n) array
        Shapes of the members, where one is free.
    shared : (E, G, n) array
        Values of the shared columns: the sky, less the reference, then nuisances.
    source_summary : (S, C, 7) array
        Median, sd, low, high, R-hat, bulk and tail ESS of x, y, flux, shapes.
    shared_summary : (E, G, 7) array
        The same of the shared columns.
    stats : (G, 9) array
        Acceptance, Pareto k, worst R-hat, worst bulk and tail ESS, thinning, evaluations, log
        evidence and its error, NaN where the engine gives none or a prior is improper.
    flux_limit : (S,) array or None
        Upper limit of each flux that may be zero, NaN for others; None until the batch is
        condensed, as the next three.
    level_summary : (S, 7) array or None
        Summary of the sky's level, less the reference, under each source.
    scale_summary : (S, 7) array or None
        That of the factor on the noise of its group, NaN without one.
    p_value : (G,) array or None
        Posterior-predictive p-value.
    """

    source: np.ndarray
    shape: np.ndarray
    shared: np.ndarray
    source_summary: np.ndarray
    shared_summary: np.ndarray
    stats: np.ndarray
    flux_limit: np.ndarray | None = None
    level_summary: np.ndarray | None = None
    scale_summary: np.ndarray | None = None
    p_value: np.ndarray | None = None

    def trim(self, budget: Budget, kept: int) -> BatchDraws:
        """Return the batch with so many draws of each chain, evenly spread; summaries stay."""
        pick = pick_draws(budget, kept)
        return replace(
            self,
            source=self.source[..., pick],
            shape=self.shape[..., pick],
            shared=self.shared[..., pick],
        )


def pick_draws(budget: Budget, kept: int) -> np.ndarray:
    """Return the places of the kept draws of all chains, laid end to end."""
    one = np.linspace(0, budget.draws - 1, kept).round().astype(int) if kept else np.empty(0, int)
    return (np.arange(budget.chains)[:, None] * budget.draws + one).ravel()


def allocate_draws(data: GroupData, budget: Budget, *, shape_free: bool) -> BatchDraws:
    """Return room for draws, not yet filled, and summaries of NaN."""
    batch = data.batch
    n_source, n_group = batch.state.shape[0], batch.rows.shape[0]
    n_shared = batch.shared_prior.shape[1]
    n_column = batch.state.shape[1]
    summary = np.full((n_source, n_column, N_SUMMARY), np.nan)
    shape = np.empty((n_column - SHAPE if shape_free else 0, n_source, budget.total))
    for j in range(shape.shape[0]):
        # Those that are not free keep their values.
        shape[j] = read_column(batch.psf.kind, j, batch.state[:, SHAPE + j])[:, None]
    return BatchDraws(
        source=np.empty((3, n_source, budget.total)),
        shape=shape,
        shared=np.empty((n_shared, n_group, budget.total)),
        source_summary=summary,
        shared_summary=np.full((n_shared, n_group, N_SUMMARY), np.nan),
        stats=np.full((n_group, batches.N_SAMPLING), np.nan),
    )


def blank_group(draws: BatchDraws, data: GroupData, group: int) -> None:
    """Fill the draws of a group that could not be sampled with NaN."""
    batch = data.batch
    members = slice(batch.source_start[group], batch.source_start[group + 1])
    draws.source[:, members] = np.nan
    draws.shape[:, members] = np.nan
    draws.shared[:, group] = np.nan


def normal_scores(total: int) -> np.ndarray:
    """Return the normal scores of half-integer average ranks, (2 total - 1,) (Blom 1958)."""
    from scipy.special import ndtri

    rank = np.arange(2 * total - 1) / 2.0 + 1.0
    return ndtri((rank - 0.375) / (total + 0.25))


def pareto_limit(n_draw):
    """Return the Pareto k above which n draws say too little (Vehtari et al. 2024)."""
    return np.minimum(1.0 - 1.0 / np.log10(np.maximum(n_draw, 11.0)), 0.7)
