"""What of a batch's draws outlives it: all that is computed from all of them, and some of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesphot.kernels.diagnostics import LOW, N_SUMMARY, summarise_into
from bayesphot.kernels.structs import FLUX
from bayesphot.patch import GroupData, Pixels
from bayesphot.sampling import LIMIT, BatchDraws, Budget, normal_scores, predict_p_values
from bayesphot.settings import ModelSettings

__all__ = ["condense_batch", "find_reference", "find_sky_columns"]


def condense_batch(
    draws: BatchDraws,
    data: GroupData,
    pixels: Pixels,
    budget: Budget,
    settings: ModelSettings,
    kept: int | None,
) -> BatchDraws:
    """Return the batch with everything that needs all draws, and so many of each chain.

    Parameters
    ----------
    draws : BatchDraws
        All draws of a batch.
    data : GroupData
        The batch.
    pixels : Pixels
        The image it was cut from.
    budget : Budget
        Chains and draws.
    settings : ModelSettings
        The run's model.
    kept : int or None
        Draws of each chain that stay; None: all.

    Returns
    -------
    BatchDraws
        With limits of the fluxes, posterior-predictive p-values, the sky's level under each
        source, its factor on the noise, and the background's draws with their reference.
    """
    limit = np.full(draws.source.shape[1], np.nan)
    if settings.free_flux:
        # Of the fluxes that may be zero: the others need no limit.
        weak = ~(draws.source_summary[:, FLUX, LOW] > 0.0)
        limit[weak] = np.quantile(draws.source[FLUX, weak], LIMIT, axis=-1)
    draws = replace(
        draws,
        flux_limit=limit,
        level_summary=_summarise_level(draws, data, budget, settings.n_sky),
        scale_summary=_summarise_scale(draws, data, is_inflated=pixels.noise.is_inflated),
        p_value=predict_p_values(data, draws, pixels.noise),
    )
    if settings.n_sky:
        draws.shared[0] += find_reference(pixels, data.batch.rows)[:, None]
    return draws if kept is None else draws.trim(budget, kept)


def find_reference(pixels: Pixels, rows: np.ndarray) -> np.ndarray:
    """Return the reference sky at the middle of each patch."""
    return pixels.sky[rows[:, 2] + rows[:, 0] // 2, rows[:, 3] + rows[:, 1] // 2]


def find_sky_columns(rows: np.ndarray, group: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return (S, 3) 1, x - xc, y - yc of each member about the centre of its patch.

    Parameters
    ----------
    rows : (G, 4) array
        Patches, as in a batch.
    group : (S,) array
        Group of each member.
    place : (S, 2) array
        Its x and y.
    """
    own = rows[group]
    dx = place[:, 0] - own[:, 3] - 0.5 * (own[:, 1] - 1)
    dy = place[:, 1] - own[:, 2] - 0.5 * (own[:, 0] - 1)
    return np.stack([np.ones(place.shape[0]), dx, dy], axis=1)


def _summarise_scale(draws: BatchDraws, data: GroupData, *, is_inflated: bool) -> np.ndarray:
    """Return summaries of the factor on the noise of each source's group, NaN without one."""
    sizes = np.diff(data.batch.source_start)
    if not is_inflated:
        return np.full((int(sizes.sum()), N_SUMMARY), np.nan)
    return np.repeat(draws.shared_summary[-1], sizes, axis=0)


def _summarise_level(draws: BatchDraws, data: GroupData, budget: Budget, n_sky: int) -> np.ndarray:
    """Return summaries of the sky's level, less the reference, under each source."""
    batch = data.batch
    group = np.repeat(np.arange(batch.rows.shape[0]), np.diff(batch.source_start))
    if n_sky == 1:
        return draws.shared_summary[0][group]
    summary = np.full((group.size, N_SUMMARY), np.nan)
    if n_sky == 0:
        return summary
    columns = find_sky_columns(batch.rows, group, batch.state[:, :2])
    scores = normal_scores(budget.total)
    for k in range(group.size):
        level = columns[k] @ draws.shared[:n_sky, group[k]]
        if np.isfinite(level).all():
            summarise_into(level, budget.chains, budget.draws, budget.tail, scores, summary[k])
    return summary
