"""The draws of all batches at their final places, in memory or on the disk.

Each batch is copied, as it is finished, to where the result has it: no second copy of all draws
is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.batches import N_SAMPLING
from bayesphot.kernels.diagnostics import N_SUMMARY
from bayesphot.rowstore import choose_store
from bayesphot.sampling import BatchDraws, Budget
from bayesphot.scene import Grouped
from bayesphot.settings import ModelSettings

__all__ = ["NO_ENGINE", "Collector", "Places", "Sampled"]

#: Parameters of a source in the order of the engines' arrays, and the shape beside them.
SOURCES = ("x", "y", "flux")
#: Those of a group's background.
GROUPS = ("background", "background_dx", "background_dy")
#: The engine of a group that was not sampled.
NO_ENGINE = "none"


@dataclass(frozen=True, eq=False)
class Places:
    """Where members and groups of a scene stand in the result.

    Parameters
    ----------
    row : (S,) int array
        Row of each entry of ``grouped.member``.
    n_row : int
        Rows of the table.
    rank : (G,) int array
        Final id of each group: 1-based in order of its first row.
    """

    row: np.ndarray
    n_row: int
    rank: np.ndarray

    @classmethod
    def find(cls, grouped: Grouped, row: np.ndarray, n_row: int) -> Places:
        """Return the places, given the row of each source of the scene."""
        row = row[grouped.member]
        rank = np.empty(grouped.n_group, dtype=np.int64)
        if grouped.n_group:
            first = np.minimum.reduceat(row, grouped.start[:-1])
            rank[np.argsort(first, kind="stable")] = np.arange(1, grouped.n_group + 1)
        return cls(row, n_row, rank)


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the sampling of a scene left.

    Members are in the order of ``grouped.member``, groups in that of the scene; everything is
    NaN where a group was not reached.

    Parameters
    ----------
    budget : Budget
        What the sampling had to reach.
    kept : int
        Draws of each chain that were kept.
    engine : (G,) array of str
        The engine each group's draws come from; "none": the group was not reached.
    done : (G,) bool array
        Which groups were reached; an interrupted run leaves some out.
    source_summary, level_summary, scale_summary, flux_limit : (S, ...) arrays
        Of each member, as in `BatchDraws`.
    stats, p_value : (G, ...) arrays
        Of each group, as in `BatchDraws`.
    source : dict of str to (n_row, chains * kept) array
        Kept draws of each free parameter, in the order of the table's rows.
    group : dict of str to (G, chains * kept) array
        Those of the background and the nuisances, in the order of the groups' ids.
    """

    budget: Budget
    kept: int
    engine: np.ndarray
    done: np.ndarray
    source_summary: np.ndarray
    level_summary: np.ndarray
    scale_summary: np.ndarray
    flux_limit: np.ndarray
    stats: np.ndarray
    p_value: np.ndarray
    source: dict[str, np.ndarray]
    group: dict[str, np.ndarray]

    @property
    def interrupted(self) -> bool:
        """Whether groups are missing."""
        return not self.done.all()


class Collector:
    """Takes batches in any order; is closed when all are there, or no more come.

    Parameters
    ----------
    grouped : Grouped
        The groups of the scene.
    places : Places
        Where they stand in the result.
    budget : Budget
        Chains and draws.
    settings : ModelSettings
        The run's model.
    kept : int or None
        Draws of each chain that are kept; None: all.

    Raises
    ------
    OSError
        If the draws belong on the disk and do not fit there.
    """

    def __init__(
        self,
        grouped: Grouped,
        places: Places,
        budget: Budget,
        settings: ModelSettings,
        kept: int | None,
    ) -> None:
        self._grouped, self._places, self._budget = grouped, places, budget
        self._kept = budget.draws if kept is None else kept
        n_member, n_group = grouped.member.size, grouped.n_group
        self._done = np.zeros(n_group, dtype=bool)
        self._engine = np.full(n_group, NO_ENGINE, dtype=object)
        self._of_member = {
            "source_summary": np.full((n_member, settings.psf.n_column, N_SUMMARY), np.nan),
            "level_summary": np.full((n_member, N_SUMMARY), np.nan),
            "scale_summary": np.full((n_member, N_SUMMARY), np.nan),
            "flux_limit": np.full(n_member, np.nan),
        }
        self._of_group = {
            "stats": np.full((n_group, N_SAMPLING), np.nan),
            "p_value": np.full(n_group, np.nan),
        }
        sources, groups = _list_names(settings) if self._kept else ([], [])
        self._shapes = settings.psf.shape_names
        n_draw = budget.chains * self._kept
        size = 8 * n_draw * (len(sources) * places.n_row + len(groups) * n_group)
        store = choose_store(size)
        self._source = {name: store(places.n_row, n_draw) for name in sources}
        self._group = {name: store(n_group, n_draw) for name in groups}

    def take(self, groups: np.ndarray, draws: BatchDraws, engine: np.ndarray) -> None:
        """Put the condensed draws of some groups where they belong."""
        start = self._grouped.start
        members = np.concatenate([np.arange(start[g], start[g + 1]) for g in groups])
        rows, ranks = self._places.row[members], self._places.rank[groups] - 1
        for name, store in self._source.items():
            if name in SOURCES:
                store.fill(rows, draws.source[SOURCES.index(name)])
            else:
                store.fill(rows, draws.shape[self._shapes.index(name)])
        for store, values in zip(self._group.values(), draws.shared, strict=bool(self._kept)):
            store.fill(ranks, values)
        for name, array in self._of_member.items():
            array[members] = getattr(draws, name)
        for name, array in self._of_group.items():
            array[groups] = getattr(draws, name)
        self._engine[groups] = engine
        # Last: what an interrupt leaves half taken counts as not reached.
        self._done[groups] = True

    def close(self) -> Sampled:
        """Return everything, NaN where nothing was taken."""
        missing = ~self._done
        sizes = np.diff(self._grouped.start)
        for array in self._of_member.values():
            array[np.repeat(missing, sizes)] = np.nan
        for array in self._of_group.values():
            array[missing] = np.nan
        self._engine[missing] = NO_ENGINE
        rows = np.ones(self._places.n_row, dtype=bool)
        rows[self._places.row[np.repeat(self._done, sizes)]] = False
        ranks = np.ones(missing.size, dtype=bool)
        ranks[self._places.rank[self._done] - 1] = False
        return Sampled(
            self._budget,
            self._kept,
            self._engine,
            self._done,
            **self._of_member,
            **self._of_group,
            source={name: store.close(rows) for name, store in self._source.items()},
            group={name: store.close(ranks) for name, store in self._group.items()},
        )


def _list_names(settings: ModelSettings) -> tuple[list[str], list[str]]:
    """Return the names of the free parameters of a source, and those of a group."""
    sources = [name for name in SOURCES if getattr(settings, f"free_{name}")]
    groups = [*GROUPS[: settings.n_sky], *settings.nuisance_names]
    if settings.shape != "fixed":
        sources += [settings.psf.shape_names[j] for j in settings.psf.free_shapes]
    return sources, groups
