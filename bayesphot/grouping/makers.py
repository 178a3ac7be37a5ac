"""The group makers: from friend to friend, or by density."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Real

import numpy as np

from .friends import connect, find_pairs, nearest_cores
from .labels import check_size, label_alone, read_positions
from .splitting import Grouping, cap_groups

_MINKOWSKI_ORDER = {
    "euclidean": 2.0,
    "l2": 2.0,
    "manhattan": 1.0,
    "cityblock": 1.0,
    "l1": 1.0,
    "chebyshev": np.inf,
}
_ALGORITHMS = ("auto", "ball_tree", "kd_tree", "brute")


class GroupMaker(ABC):
    """What the two group makers share: how they are called and how they cap the size."""

    max_group_size: int | None

    @abstractmethod
    def _link(self, points: np.ndarray) -> np.ndarray:
        """Return the group of each point (n, 2), all finite; any numbering."""

    def __call__(self, x, y=None):
        """Group sources.

        Parameters
        ----------
        x : Table or array_like
            A table with columns ``x_0`` and ``y_0``, or the x positions in pixels.
        y : array_like, optional
            The y positions, if ``x`` holds the x positions.

        Returns
        -------
        Table or ndarray
            A copy of the table, rows in the same order, with a column ``group_id``; for
            positions the labels, int64 (n,).

        Raises
        ------
        TypeError, ValueError
            If the table has no ``x_0`` or ``y_0``, or the positions are not two equally long
            lists of numbers.
        """
        if y is not None:
            return self.group(x, y).labels
        labels = self.group(*_read_table(x)).labels
        table = x.copy()
        table["group_id"] = labels
        return table

    def group(self, x, y, max_size: int | None = None) -> Grouping:
        """Return the groups; positions that are not finite stay alone."""
        x, y = read_positions(x, y)
        found = np.isfinite(x) & np.isfinite(y)
        labels = label_alone(found, self._link(np.column_stack((x[found], y[found]))))
        caps = [cap for cap in (self.max_group_size, max_size) if cap is not None]
        return cap_groups(labels, x, y, min(caps, default=None))


@dataclass(frozen=True)
class DAOGroup(GroupMaker):
    """Group sources that lie closer than a critical separation, from friend to friend.

    The grouping of DAOPHOT (Stetson 1987, PASP 99, 191), with a KD-tree.

    Parameters
    ----------
    crit_separation : float
        In pixels. Two sources are friends if their distance is *smaller*; 0 leaves every source
        alone.
    max_group_size : int, optional, keyword only
        Larger groups are cut with `split_large_groups`.

    Raises
    ------
    TypeError, ValueError
        If ``crit_separation`` is not a finite number >= 0 or ``max_group_size`` not an integer
        >= 1.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from bayesphot import DAOGroup
    >>> stars = Table({"x_0": [1.0, 9.0, 2.0], "y_0": [1.0, 9.0, 1.0]})
    >>> DAOGroup(crit_separation=3.0)(stars)["group_id"].tolist()
    [1, 2, 1]
    """

    crit_separation: float
    _: KW_ONLY
    max_group_size: int | None = None

    def __post_init__(self) -> None:
        _check_separation(self.crit_separation)
        check_size(self.max_group_size, "max_group_size")

    def _link(self, points: np.ndarray) -> np.ndarray:
        """Return the group of each point; any numbering."""
        first, second, distance = find_pairs(points, self.crit_separation, 2.0, leaf_size=16)
        near = distance < self.crit_separation
        return connect(first[near], second[near], len(points))


@dataclass(frozen=True)
class DBSCANGroup(GroupMaker):
    """Group sources by density (DBSCAN; Ester et al. 1996), with a KD-tree.

    A source with at least ``min_samples`` sources within ``crit_separation``, itself included,
    is a core; cores within ``crit_separation`` of each other belong together, and any other
    source joins the nearest core in reach (of equally near ones that with the smallest x, then
    y). A source with no core in reach is alone in a group of its own. With ``min_samples=1``
    these are the groups of `DAOGroup`, except that a distance *equal* to ``crit_separation``
    counts.

    Parameters
    ----------
    crit_separation : float
        In pixels, inclusive.
    min_samples : int, optional
        Sources within reach, itself included, that make a source a core.
    metric : str, optional
        "euclidean" ("l2"), "manhattan" ("cityblock", "l1") or "chebyshev".
    algorithm : str, optional
        "auto", "ball_tree", "kd_tree" or "brute": known to scikit-learn's users and without
        effect here; the groups would be the same.
    leaf_size : int, optional
        Points per leaf of the KD-tree; changes the speed only.
    max_group_size : int, optional, keyword only
        Larger groups are cut with `split_large_groups`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or a value outside its range.

    Examples
    --------
    >>> from bayesphot import DBSCANGroup
    >>> DBSCANGroup(crit_separation=3.0)([0.0, 3.0, 9.0], [0.0, 0.0, 0.0]).tolist()
    [1, 1, 2]
    """

    crit_separation: float
    min_samples: int = 1
    metric: str = "euclidean"
    algorithm: str = "auto"
    leaf_size: int = 30
    _: KW_ONLY
    max_group_size: int | None = None

    def __post_init__(self) -> None:
        _check_separation(self.crit_separation)
        check_size(self.max_group_size, "max_group_size")
        for name in ("min_samples", "leaf_size"):
            if getattr(self, name) is None:
                raise TypeError(f"{name} must be an integer, found None")
            check_size(getattr(self, name), name)
        for name, known in (("metric", tuple(_MINKOWSKI_ORDER)), ("algorithm", _ALGORITHMS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, found {getattr(self, name)!r}")

    def _link(self, points: np.ndarray) -> np.ndarray:
        """Return the group of each point; any numbering."""
        order = _MINKOWSKI_ORDER[self.metric]
        pairs = find_pairs(points, self.crit_separation, order, leaf_size=self.leaf_size)
        near = pairs[2] <= self.crit_separation
        first, second, distance = (item[near] for item in pairs)
        if self.min_samples == 1:
            return connect(first, second, len(points))
        neighbours = np.bincount(np.concatenate((first, second)), minlength=len(points))
        is_core = neighbours + 1 >= self.min_samples
        both = is_core[first] & is_core[second]
        edge, core = nearest_cores(points, is_core, first, second, distance)
        return connect(
            np.concatenate((first[both], edge)), np.concatenate((second[both], core)), len(points)
        )


def _read_table(table) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of a table."""
    names = getattr(table, "colnames", None)
    if names is None:
        raise TypeError(f"expected a table with x_0 and y_0, or x and y; found {type(table)}")
    for name in ("x_0", "y_0"):
        if name not in names:
            raise ValueError(f"the table has no column {name}; its columns are {names}")
    return table["x_0"], table["y_0"]


def _check_separation(value) -> None:
    """Refuse a separation that is not a finite number >= 0."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"crit_separation must be a number, found {value!r}")
    if not 0.0 <= float(value) < np.inf:
        raise ValueError(f"crit_separation must be finite and >= 0, found {value!r}")
