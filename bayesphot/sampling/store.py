"""Draws of one group, parameter by parameter, brought to their places in a batch."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels import batches
from bayesphot.kernels.diagnostics import ESS_BULK, ESS_TAIL, N_SUMMARY, R_HAT, summarise_into
from bayesphot.kernels.structs import FLUX, INFLATED, SHAPE, X, Y
from bayesphot.psf.transforms import read_column
from bayesphot.sampling.budget import BatchDraws, Budget, blank_group, normal_scores
from bayesphot.target import Target

__all__ = ["store_vectors", "summarise_vectors"]

#: Columns of a source's draws.
COLUMNS = {"x": X, "y": Y, "flux": FLUX}


def summarise_vectors(vectors: np.ndarray, budget: Budget) -> np.ndarray:
    """Return the summary rows (p, 7) of the draws (p, chain * draw) of some parameters."""
    summary = np.empty((vectors.shape[0], N_SUMMARY))
    scores = normal_scores(budget.total)
    for p in range(vectors.shape[0]):
        values = np.ascontiguousarray(vectors[p])
        summarise_into(values, budget.chains, budget.draws, budget.tail, scores, summary[p])
    return summary


def store_vectors(
    draws: BatchDraws,
    target: Target,
    budget: Budget,
    vectors: np.ndarray | None,
    *,
    acceptance: float,
    evaluations: int,
    trusted: bool = True,
) -> None:
    """Copy a group's draws and summaries to their places, in image coordinates.

    Parameters
    ----------
    draws : BatchDraws
        Filled for the target's group.
    target : Target
        The group.
    budget : Budget
        Chains and draws.
    vectors : (D + L, chain * draw) array or None
        Nonlinear parameters in patch coordinates, then linear ones; None: it has no draws.
    acceptance, evaluations
        How they were come by.
    trusted : bool
        Whether their effective sizes can be believed.
    """
    g = target.group
    stats = draws.stats[g]
    stats[batches.ACCEPTANCE] = acceptance
    stats[[batches.PARETO_K, batches.LOG_Z, batches.LOG_Z_ERROR]] = np.nan
    if vectors is None:
        blank_group(draws, target.data, g)
        return
    vectors = vectors.copy()
    vectors[: target.n_nonlinear] += target.origin[:, None]
    keys = (*target.layout.nonlinear, *target.layout.linear)
    first, n = target.sources.start, target.n_source
    inflated = target.data.batch.noise[INFLATED] > 0.0
    kind = target.data.batch.psf.kind
    for place, (name, _, *j) in enumerate(keys):
        if name == "shape":
            vectors[place] = read_column(kind, j[0], vectors[place])
    if inflated:
        # A scale of the noise is the last parameter.
        vectors[-1] = np.exp(vectors[-1])
    summary = summarise_vectors(vectors, budget)
    shared = 0
    for place, (name, k, *j) in enumerate(keys):
        if name in COLUMNS:
            draws.source[COLUMNS[name], first + k] = vectors[place]
            draws.source_summary[first + k, COLUMNS[name]] = summary[place]
        elif name == "shape":
            for member in range(first, first + n) if k is None else [first + k]:
                draws.shape[j[0], member] = vectors[place]
                draws.source_summary[member, SHAPE + j[0]] = summary[place]
        else:
            draws.shared[shared, g] = vectors[place]
            draws.shared_summary[shared, g] = summary[place]
            shared += 1
    worst = summary if summary.size else np.ones((1, N_SUMMARY))
    stats[batches.WORST_R_HAT] = np.max(worst[:, R_HAT])
    stats[batches.WORST_BULK] = np.min(worst[:, ESS_BULK]) if trusted else 0.0
    stats[batches.WORST_TAIL] = np.min(worst[:, ESS_TAIL]) if trusted else 0.0
    stats[batches.THIN] = 1.0
    stats[batches.EVALUATIONS] = evaluations
