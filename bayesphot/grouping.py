"""Which sources have to be fitted together: groups of neighbours, and groups cut to a size.

Two sources are friends if they are close enough; a group is everybody who can be reached from
friend to friend. Labels are int64, start at 1 and count up in the order of each group's first
member.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real

import numpy as np

__all__ = [
    "DAOGroup",
    "DBSCANGroup",
    "Grouping",
    "group_sources",
    "label_groups",
    "split_large_groups",
]

_MINKOWSKI_ORDER = {
    "euclidean": 2.0,
    "l2": 2.0,
    "manhattan": 1.0,
    "cityblock": 1.0,
    "l1": 1.0,
    "chebyshev": np.inf,
}
_ALGORITHMS = ("auto", "ball_tree", "kd_tree", "brute")


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of a list of sources.

    ``labels`` is int64 (n,), ``was_split`` bool (n,): True for members of groups that were cut
    because they were too large, whose parts ignore each other's uncertainty.
    """

    labels: np.ndarray
    was_split: np.ndarray


class _GroupMaker(ABC):
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
            return self._group(x, y).labels
        labels = self._group(*_read_table(x)).labels
        table = x.copy()
        table["group_id"] = labels
        return table

    def _group(self, x, y, max_size: int | None = None) -> Grouping:
        """Return the groups; positions that are not finite stay alone."""
        x, y = _read_positions(x, y)
        found = np.isfinite(x) & np.isfinite(y)
        labels = _label_alone(found, self._link(np.column_stack((x[found], y[found]))))
        caps = [cap for cap in (self.max_group_size, max_size) if cap is not None]
        return _cap_groups(labels, x, y, min(caps, default=None))


@dataclass(frozen=True)
class DAOGroup(_GroupMaker):
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
        _check_size(self.max_group_size, "max_group_size")

    def _link(self, points: np.ndarray) -> np.ndarray:
        """Return the group of each point; any numbering."""
        first, second, distance = _find_pairs(points, self.crit_separation, 2.0, leaf_size=16)
        near = distance < self.crit_separation
        return _connect(first[near], second[near], len(points))


@dataclass(frozen=True)
class DBSCANGroup(_GroupMaker):
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
        _check_size(self.max_group_size, "max_group_size")
        for name in ("min_samples", "leaf_size"):
            if getattr(self, name) is None:
                raise TypeError(f"{name} must be an integer, found None")
            _check_size(getattr(self, name), name)
        for name, known in (("metric", tuple(_MINKOWSKI_ORDER)), ("algorithm", _ALGORITHMS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, found {getattr(self, name)!r}")

    def _link(self, points: np.ndarray) -> np.ndarray:
        """Return the group of each point; any numbering."""
        order = _MINKOWSKI_ORDER[self.metric]
        pairs = _find_pairs(points, self.crit_separation, order, leaf_size=self.leaf_size)
        near = pairs[2] <= self.crit_separation
        first, second, distance = (item[near] for item in pairs)
        if self.min_samples == 1:
            return _connect(first, second, len(points))
        neighbours = np.bincount(np.concatenate((first, second)), minlength=len(points))
        is_core = neighbours + 1 >= self.min_samples
        both = is_core[first] & is_core[second]
        edge, core = _nearest_cores(points, is_core, first, second, distance)
        return _connect(
            np.concatenate((first[both], edge)), np.concatenate((second[both], core)), len(points)
        )


def group_sources(group_maker, x, y, *, max_group_size: int | None = None) -> Grouping:
    """Group sources with whatever the user gave as group maker, and cap the size.

    Parameters
    ----------
    group_maker : None, `DAOGroup`, `DBSCANGroup` or callable
        None leaves every source alone. How any other callable is called is read from its
        signature: one that cannot be called with a single argument is called as
        ``group_maker(x, y)`` and returns one integer label per source (photutils'
        ``SourceGrouper``); every other is called with a table with the columns ``id``
        (1, 2, ...), ``x_0``, ``y_0`` and returns a table with a ``group_id`` column, its rows
        in the same order or, if it still has the column ``id``, in any order. A negative label
        means alone (the noise points of other people's DBSCAN).
    x, y : array_like, shape (n,)
        Positions in pixels. Sources whose position is not finite stay alone; a foreign group
        maker never sees them, and it is not called at all when nothing is left.
    max_group_size : int, optional
        Larger groups are cut with `split_large_groups`, as is done for the ``max_group_size``
        of the group maker itself.

    Returns
    -------
    Grouping

    Raises
    ------
    TypeError
        If ``group_maker`` is none of the above, or returns neither integers nor a table.
    ValueError
        If it returns a wrong number of labels or other ids than it was given.

    Examples
    --------
    >>> from bayesphot.grouping import DAOGroup, group_sources
    >>> grouping = group_sources(DAOGroup(2.0), [0, 1, 2, 3], [0, 0, 0, 0], max_group_size=2)
    >>> grouping.labels.tolist(), grouping.was_split.tolist()
    ([1, 1, 2, 2], [True, True, True, True])
    """
    _check_size(max_group_size, "max_group_size")
    x, y = _read_positions(x, y)
    if isinstance(group_maker, _GroupMaker):
        return group_maker._group(x, y, max_group_size)
    if isinstance(group_maker, type):
        name = group_maker.__name__
        raise TypeError(f"group_maker must be an instance, found the class {name}")
    if group_maker is not None and not callable(group_maker):
        raise TypeError(f"group_maker must be None or a callable, found {group_maker!r}")
    if group_maker is None:
        labels = np.arange(1, x.size + 1, dtype=np.int64)
    else:
        found = np.isfinite(x) & np.isfinite(y)
        labels = _label_alone(found, _call_foreign(group_maker, x[found], y[found]))
    return _cap_groups(labels, x, y, max_group_size)


def label_groups(group_maker, x, y) -> np.ndarray:
    """Return the group labels of sources: the labels of `group_sources`.

    Parameters
    ----------
    group_maker, x, y
        As in `group_sources`.

    Returns
    -------
    ndarray of int64, shape (n,)
        1, 2, ... in the order of each group's first member.

    Raises
    ------
    TypeError, ValueError
        As `group_sources`.

    Examples
    --------
    >>> from bayesphot.grouping import label_groups
    >>> label_groups(None, [0.0, 0.0], [0.0, 0.0]).tolist()
    [1, 2]
    """
    return group_sources(group_maker, x, y).labels


def split_large_groups(labels, x, y, *, max_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut groups with more than ``max_size`` members into pieces that fit.

    A group that is too large is halved at the median of its members' places along the longest
    principal axis of their positions; each half that is still too large is halved the same way.
    The pieces depend on the positions alone, not on the order of the rows: ties along the axis
    are broken by x, then y.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Group of each source; any numbering.
    x, y : array_like, shape (n,)
        Positions in pixels, finite for members of groups that have to be cut.
    max_size : int
        Largest allowed number of members.

    Returns
    -------
    labels : ndarray of int64, shape (n,)
        New labels, 1, 2, ... in the order of each group's first member.
    was_split : ndarray of bool, shape (n,)
        True for the members of groups that were cut.

    Raises
    ------
    TypeError, ValueError
        If the lists differ in length, ``max_size`` is not an integer >= 1, or a position that
        is needed is not finite.

    Examples
    --------
    >>> from bayesphot.grouping import split_large_groups
    >>> labels, was_split = split_large_groups([1, 1, 1, 2], [0, 9, 1, 5], [0, 0, 0, 9], max_size=2)
    >>> labels.tolist(), was_split.tolist()
    ([1, 2, 1, 3], [True, True, True, False])
    """
    x, y = _read_positions(x, y)
    if max_size is None:
        raise TypeError("max_size must be an integer, found None")
    _check_size(max_size, "max_size")
    labels = _read_labels(labels, x.size)
    was_split = np.zeros(x.size, dtype=bool)
    if x.size == 0:
        return labels, was_split
    _, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_group = np.split(np.argsort(group, kind="stable"), np.cumsum(counts)[:-1])
    pieces = group.copy()
    next_piece = len(counts)
    for number in np.flatnonzero(counts > max_size):
        members = by_group[number]
        if not np.all(np.isfinite(x[members]) & np.isfinite(y[members])):
            raise ValueError("x and y must be finite for the members of a group that is cut")
        was_split[members] = True
        for piece in _bisect(members, x, y, max_size):
            pieces[piece] = next_piece
            next_piece += 1
    return _relabel(pieces), was_split


def _bisect(members: np.ndarray, x: np.ndarray, y: np.ndarray, max_size: int) -> list[np.ndarray]:
    """Return the pieces, each with at most ``max_size`` members, of one group."""
    done, todo = [], [members]
    while todo:
        piece = todo.pop()
        if piece.size <= max_size:
            done.append(piece)
            continue
        # Sorted first, so that the sums below round the same way for any order of the rows.
        piece = piece[np.lexsort((y[piece], x[piece]))]
        dx, dy = x[piece] - x[piece].mean(), y[piece] - y[piece].mean()
        angle = 0.5 * np.arctan2(2.0 * (dx @ dy), dx @ dx - dy @ dy)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        piece = piece[np.argsort(along, kind="stable")]
        half = (piece.size + 1) // 2
        todo += [piece[:half], piece[half:]]
    return done


def _cap_groups(labels: np.ndarray, x, y, max_size: int | None) -> Grouping:
    """Return the groups, the large ones cut if there is a limit."""
    if max_size is None:
        return Grouping(labels, np.zeros(labels.size, dtype=bool))
    return Grouping(*split_large_groups(labels, x, y, max_size=max_size))


def _find_pairs(points: np.ndarray, reach: float, order: float, *, leaf_size: int):
    """Return (first, second, distance) of all pairs within reach, and some just beyond."""
    from scipy.spatial import KDTree

    if len(points) < 2:
        nobody = np.empty(0, dtype=np.int64)
        return nobody, nobody, np.empty(0)
    # The tree's own comparison may round differently: the caller compares, on a wider list.
    pairs = KDTree(points, leafsize=leaf_size).query_pairs(
        reach * (1.0 + 1e-9), p=order, output_type="ndarray"
    )
    first, second = pairs[:, 0], pairs[:, 1]
    step = np.abs(points[first] - points[second])
    if order == 2.0:
        distance = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    else:
        distance = step.sum(axis=1) if order == 1.0 else step.max(axis=1, initial=0.0)
    return first, second, distance


def _connect(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """Return the connected component of each of ``size`` points."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if size == 0:
        return np.empty(0, dtype=np.int64)
    links = coo_array((np.ones(first.size, dtype=bool), (first, second)), shape=(size, size))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _nearest_cores(points, is_core, first, second, distance) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that are no cores but have one in reach, and the nearest core of each."""
    edge = np.concatenate((first, second))
    core = np.concatenate((second, first))
    mixed = is_core[core] & ~is_core[edge]
    edge, core, distance = edge[mixed], core[mixed], np.tile(distance, 2)[mixed]
    nearest_first = np.lexsort((points[core, 1], points[core, 0], distance, edge))
    edge, core = edge[nearest_first], core[nearest_first]
    edge, index = np.unique(edge, return_index=True)
    return edge, core[index]


def _relabel(groups: np.ndarray) -> np.ndarray:
    """Return int64 labels 1, 2, ... in the order of each group's first member."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    return rank[group]


def _label_alone(found: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return labels of all sources: ``groups`` for the found ones, the others alone."""
    labels = np.arange(found.size, dtype=np.int64) + found.size
    labels[found] = np.unique(groups, return_inverse=True)[1]
    return _relabel(labels)


def _call_foreign(group_maker, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the groups that a user's callable makes of the sources."""
    if x.size == 0:
        return np.empty(0, dtype=np.int64)
    if _takes_positions(group_maker):
        labels = _read_labels(group_maker(x.copy(), y.copy()), x.size)
    else:
        labels = _label_by_table(group_maker, x, y)
    alone = labels < 0
    labels[alone] = labels.max(initial=0) + 1 + np.arange(np.count_nonzero(alone))
    return labels


def _takes_positions(group_maker) -> bool:
    """Tell whether a callable needs more than one argument."""
    try:
        inspect.signature(group_maker).bind(None)
    except TypeError:
        return True
    except ValueError:  # some compiled callables show no signature
        return False
    return False


def _label_by_table(group_maker, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the groups of a callable that wants a table."""
    from astropy.table import Table

    ids = np.arange(1, x.size + 1)
    answer = group_maker(Table({"id": ids, "x_0": x, "y_0": y}))
    names = getattr(answer, "colnames", None)
    if names is None or "group_id" not in names:
        raise TypeError(f"{group_maker!r} must return a table with a column group_id")
    labels = _read_labels(answer["group_id"], x.size)
    if "id" not in names:
        return labels
    order = np.argsort(answer["id"], kind="stable")
    if not np.array_equal(np.asarray(answer["id"])[order], ids):
        raise ValueError(f"{group_maker!r} returned other ids than it was given")
    return labels[order]


def _read_table(table) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of a table."""
    names = getattr(table, "colnames", None)
    if names is None:
        raise TypeError(f"expected a table with x_0 and y_0, or x and y; found {type(table)}")
    for name in ("x_0", "y_0"):
        if name not in names:
            raise ValueError(f"the table has no column {name}; its columns are {names}")
    return table["x_0"], table["y_0"]


def _read_positions(x, y) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y as float64 (n,); masked values become NaN."""
    columns = []
    for name, values in (("x", x), ("y", y)):
        array = np.ma.asarray(getattr(values, "value", values))
        if array.size and array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be numbers, found dtype {array.dtype}")
        if array.ndim != 1:
            raise ValueError(f"{name} must be one-dimensional, found shape {array.shape}")
        columns.append(np.ma.filled(array.astype(np.float64), np.nan))
    if columns[0].size != columns[1].size:
        raise ValueError(f"x has {columns[0].size} values, but y has {columns[1].size}")
    return columns[0], columns[1]


def _read_labels(labels, size: int) -> np.ndarray:
    """Return a copy of the labels as int64 (size,)."""
    labels = np.asarray(labels)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(f"group labels must be integers, found dtype {labels.dtype}")
    if labels.shape != (size,):
        raise ValueError(f"expected {size} group labels, found shape {labels.shape}")
    return labels.astype(np.int64)


def _check_separation(value) -> None:
    """Refuse a separation that is not a finite number >= 0."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"crit_separation must be a number, found {value!r}")
    if not 0.0 <= float(value) < np.inf:
        raise ValueError(f"crit_separation must be finite and >= 0, found {value!r}")


def _check_size(value, name: str) -> None:
    """Refuse a number of members that is not None or an integer >= 1."""
    if value is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value!r}")
