"""From simulations and their fits to one row a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.calibration.setup import Setup
from bayesphot.calibration.simulate import Simulation
from bayesphot.draws import Draws

if TYPE_CHECKING:
    from bayesphot.result import PhotometryResult

__all__ = ["Sample", "collect_sample", "join_samples"]

#: Columns of the photometry's table that travel along.
CARRIED = (
    "group_size",
    "blend_var_frac",
    "engine",
    "r_hat",
    "ess_bulk",
    "ess_tail",
    "pareto_k",
    "reduced_chi2",
    "flags",
)
#: Rank of a truth whose group was not sampled: outside every interval.
NOT_SAMPLED = -1
#: Rank of what only groups have, on rows that do not count.
NOT_COUNTED = -2


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of sources.

    Parameters
    ----------
    columns : dict of str to ndarray, (n,)
        The table.
    pulls : dict of str to ndarray of float32, (n, n_ranks - 1)
        (mean - draw) / error of the draws that the truth is ranked among.
    """

    columns: dict[str, np.ndarray]
    pulls: dict[str, np.ndarray]


def join_samples(samples: list[Sample]) -> Sample:
    """Return the rows of all images, groups numbered through."""
    n_group = 0
    groups = []
    for sample in samples:
        groups.append(sample.columns["group_id"] + n_group)
        n_group = int(groups[-1].max())
    columns = {
        name: np.concatenate([sample.columns[name] for sample in samples])
        for name in samples[0].columns
    }
    columns["group_id"] = np.concatenate(groups)
    pulls = {
        name: np.concatenate([sample.pulls[name] for sample in samples])
        for name in samples[0].pulls
    }
    return Sample({"id": np.arange(1, columns["group_id"].size + 1)} | columns, pulls)


def collect_sample(
    random: np.random.Generator,
    simulation: Simulation,
    result: PhotometryResult,
    setup: Setup,
    *,
    n_ranks: int,
    levels: tuple[float, ...],
) -> Sample:
    """Rank the truth of every source among its draws.

    Parameters
    ----------
    random : Generator
        Draws, by lot, the source of each group that counts.
    simulation : Simulation
        The truth.
    result : PhotometryResult
        Its fit, all draws kept.
    setup : Setup
        Which parameters are free.
    n_ranks : int
        The truth is ranked among this number of draws less one, evenly spread over all.
    levels : tuple of float
        Probabilities of the intervals.
    """
    group = simulation.starts.group
    counted = _count_by_lot(random, group)
    columns = {"group_id": group + 1, "counted": counted}
    columns |= {name: np.asarray(result.table[name]) for name in CARRIED}
    draws = _list_draws(result.require_draws("a calibration"), setup)
    pulls = {}
    for name, values in draws.items():
        truth = simulation.truth[name]
        picked = values[pick_spread(len(values), n_ranks - 1)]
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1)
        columns[f"{name}_true"] = truth
        columns[f"{name}_rank"] = rank_truth(picked, truth)
        columns[f"{name}_mean"] = mean
        columns[f"{name}_median"] = np.median(values, axis=0)
        columns[f"{name}_err"] = error
        for level in levels:
            ends = np.quantile(values, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
            for side, end in zip(("lo", "hi"), ends, strict=True):
                columns[f"{name}_{side}_{100 * level:g}"] = end
        pulls[name] = ((mean - picked) / error).T.astype(np.float32)
    columns["snr"] = columns["flux_mean"] / columns["flux_err"]
    flux = draws["flux"][pick_spread(len(draws["flux"]), n_ranks - 1)]
    columns |= _rank_blends(simulation, flux, counted)
    return Sample(columns, pulls)


def pick_spread(n_draw: int, n_pick: int) -> np.ndarray:
    """Return indices spread evenly over all draws, chain after chain."""
    return np.linspace(0, n_draw - 1, n_pick).round().astype(int)


def rank_truth(draws: np.ndarray, truth) -> np.ndarray:
    """Return how many of the draws, (draw, ...), lie below the truth, -1 where there are none."""
    sampled = np.isfinite(draws[0])
    return np.where(sampled, np.sum(draws < truth, axis=0), NOT_SAMPLED)


def _count_by_lot(random: np.random.Generator, group: np.ndarray) -> np.ndarray:
    """Return which sources count: one of each group, for mates are not independent."""
    order = np.lexsort((random.random(group.size), group))
    first = np.concatenate([[True], np.diff(group) > 0])
    counted = np.zeros(group.size, dtype=bool)
    counted[order[first]] = True
    return counted


def _list_draws(draws: Draws, setup: Setup) -> dict[str, np.ndarray]:
    """Return the draws of each free parameter, (draw, source)."""
    settings = setup.settings
    names = [name for name, free in (("x", settings.free_x), ("y", settings.free_y)) if free]
    names.append("flux")
    if settings.shape != "fixed":
        names += [settings.psf.shape_names[j] for j in settings.psf.free_shapes]
    n = draws.source_id.size
    values = {name: draws.source[name].reshape(-1, n) for name in names}
    place = np.searchsorted(draws.group_id, draws.source_group)
    for name, free in (("background", setup.has_sky), ("inflation", setup.is_inflated)):
        if free:
            shared = draws.group[name]
            values[name] = shared.reshape(-1, shared.shape[2])[:, place]
    return values


def _rank_blends(simulation: Simulation, flux: np.ndarray, counted: np.ndarray) -> dict:
    """Return ranks of what a blend knows best and worst, on the rows that count.

    The sum of the group's fluxes, and the difference from the flux of the nearest start.
    """
    group, place = simulation.starts.group, simulation.starts.place
    truth = simulation.truth["flux"]
    total = np.full(group.size, NOT_COUNTED)
    difference = np.full(group.size, NOT_COUNTED)
    ends = np.searchsorted(group, np.arange(simulation.starts.n_group + 1))
    for begin, end in zip(ends[:-1], ends[1:], strict=True):
        if end - begin < 2:
            continue
        here = slice(begin, end)
        row = begin + int(np.argmax(counted[here]))
        apart = np.hypot(*(place[here] - place[row]).T)
        apart[row - begin] = np.inf
        mate = begin + int(np.argmin(apart))
        total[row] = rank_truth(flux[:, here].sum(axis=1), truth[here].sum())
        difference[row] = rank_truth(flux[:, row] - flux[:, mate], truth[row] - truth[mate])
    return {"flux_sum_rank": total, "flux_difference_rank": difference}
