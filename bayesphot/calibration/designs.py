"""Where the starts of simulated groups lie, before anything else is drawn.

A calibration is over the prior *given* the starts, so that any way to place them is a valid one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesphot.datasets import draw_positions
from bayesphot.grouping import group_sources

__all__ = ["Starts", "draw_crowd", "draw_packs", "place_cells"]

#: Sources of one random field that is cut into groups.
FIELD_SOURCES = 4000
#: A density that would need more fields for the groups asked for counts as too high.
MAX_FIELDS = 200
#: Places tried for each member of a pack.
MAX_TRIES = 1000
#: A hair of width keeps discs that touch from meeting or not by the last bit.
HAIR = 1.0 + 1e-9


@dataclass(frozen=True, eq=False)
class Starts:
    """Starts of the sources of groups.

    Parameters
    ----------
    place : ndarray, (n, 2)
        x and y of each source in pixels, about the middle of its group or in an image.
    group : ndarray of int, (n,)
        Group of each source: 0, 1, ..., in rising order.
    left_out : float
        Share of the sources that were in groups too large for the photometry.
    """

    place: np.ndarray
    group: np.ndarray
    left_out: float = 0.0

    @property
    def n_group(self) -> int:
        """Number of groups."""
        return int(self.group[-1]) + 1 if self.group.size else 0

    @property
    def extent(self) -> float:
        """Largest distance, along x or y, of a start from the middle of its group."""
        return float(np.abs(self.place).max(initial=0.0))

    def select(self, first: int, end: int) -> Starts:
        """Return the groups ``first`` to ``end``."""
        here = slice(*np.searchsorted(self.group, [first, end]).tolist())
        return Starts(self.place[here], self.group[here] - first)

    def move(self, middle: np.ndarray) -> Starts:
        """Return the groups about other middles, (G, 2)."""
        return Starts(self.place + middle[self.group], self.group)


def draw_packs(
    random: np.random.Generator,
    n_group: int,
    *,
    n_sources: tuple[int, int],
    separation: tuple[float, float],
) -> Starts:
    """Place groups of given sizes.

    Each source lies at the group's separation from one of the earlier ones, in a random
    direction, and no nearer to any other: two are a pair, three a triangle or a chain.

    Parameters
    ----------
    random : Generator
        Where the randomness comes from.
    n_group : int
        Number of groups.
    n_sources : (int, int)
        Least and largest number of sources of a group; all between are as likely.
    separation : (float, float)
        Range, in pixels, in which the separation of each group lies.
    """
    reach = random.uniform(*separation, n_group) * HAIR
    low, high = n_sources
    sizes = random.integers(low, high + 1, n_group) if low < high else np.full(n_group, low)
    packs = []
    for size, step in zip(sizes, reach, strict=True):
        pack = np.zeros((size, 2))
        for k in range(1, size):
            pack[k] = _find_place(random, pack[:k], step)
        packs.append(pack - 0.5 * (pack.min(axis=0) + pack.max(axis=0)))
    return Starts(np.concatenate(packs), np.repeat(np.arange(n_group), sizes))


def _find_place(random: np.random.Generator, earlier: np.ndarray, step: float) -> np.ndarray:
    """Return a place one step from an earlier source and no nearer to any."""
    for _try in range(MAX_TRIES):
        angle = random.uniform(0.0, 2.0 * np.pi)
        place = earlier[random.integers(len(earlier))] + step * np.array(
            [np.cos(angle), np.sin(angle)]
        )
        if np.all(np.hypot(*(earlier - place).T) >= step / HAIR):
            return place
    raise RuntimeError("no room for another source")


def draw_crowd(
    random: np.random.Generator,
    n_group: int,
    *,
    density: float,
    min_separation: float,
    group_maker: Any,
    max_group_size: int | None,
) -> Starts:
    """Take groups out of random fields of a given density.

    Each field is grouped as an image would be; groups that the photometry would have to split
    are left out, and counted.

    Parameters
    ----------
    random : Generator
        Where the randomness comes from.
    n_group : int
        How many groups.
    density : float
        Sources per square pixel.
    min_separation : float
        Smallest distance of two starts, pixels.
    group_maker, max_group_size
        Of the photometry.

    Raises
    ------
    ValueError
        If sources of that density cannot keep that separation, or next to all groups are too
        large.
    """
    side = int(np.ceil(np.sqrt(FIELD_SOURCES / density)))
    packs: list[np.ndarray] = []
    left_out: list[float] = []
    while True:
        try:
            x, y = draw_positions(
                FIELD_SOURCES, (side, side), min_separation=min_separation, seed=random
            )
        except ValueError as problem:
            raise ValueError(
                f"density must leave room for min_separation, found {density:g} per square pixel "
                f"and {min_separation:g} pixels: {problem}"
            ) from problem
        grouping = group_sources(group_maker, x, y, max_group_size=max_group_size)
        left_out.append(float(np.mean(grouping.was_split)))
        whole = np.flatnonzero(~grouping.was_split)
        labels, member = np.unique(grouping.labels[whole], return_inverse=True)
        place = np.column_stack([x, y])[whole]
        order = np.argsort(member, kind="stable")
        cuts = np.flatnonzero(np.diff(member[order])) + 1
        found = np.split(place[order], cuts) if labels.size else []
        # Groups with many members have low labels: any order but theirs.
        packs += [found[k] for k in random.permutation(len(found))]
        if len(packs) >= n_group or len(packs) * MAX_FIELDS < n_group * len(left_out):
            break
    if len(packs) < n_group:
        raise ValueError(
            f"density must leave groups of at most max_group_size={max_group_size} sources, found "
            f"{density:g} per square pixel, which makes nearly all of them larger: lower the "
            "density or the group maker's separation, or raise max_group_size"
        )
    packs = packs[:n_group]
    middle = [0.5 * (pack.min(axis=0) + pack.max(axis=0)) for pack in packs]
    place = np.concatenate([pack - at for pack, at in zip(packs, middle, strict=True)])
    sizes = [len(pack) for pack in packs]
    return Starts(place, np.repeat(np.arange(n_group), sizes), float(np.mean(left_out)))


def place_cells(random: np.random.Generator, n_group: int, pitch: int) -> np.ndarray:
    """Return (n_group, 2) places, each at random within half a pixel of its cell's middle."""
    n_col = int(np.ceil(np.sqrt(n_group)))
    row, col = np.divmod(np.arange(n_group), n_col)
    return (np.stack([col, row], axis=1) + 0.5) * pitch + random.uniform(-0.5, 0.5, (n_group, 2))
