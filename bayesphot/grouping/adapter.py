"""Groups from whatever the user gave as group maker."""

from __future__ import annotations

import inspect

import numpy as np

from .labels import check_size, label_alone, read_labels, read_positions
from .makers import GroupMaker
from .splitting import Grouping, cap_groups


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
    check_size(max_group_size, "max_group_size")
    x, y = read_positions(x, y)
    if isinstance(group_maker, GroupMaker):
        return group_maker.group(x, y, max_group_size)
    if isinstance(group_maker, type):
        name = group_maker.__name__
        raise TypeError(f"group_maker must be an instance, found the class {name}")
    if group_maker is not None and not callable(group_maker):
        raise TypeError(f"group_maker must be None or a callable, found {group_maker!r}")
    if group_maker is None:
        labels = np.arange(1, x.size + 1, dtype=np.int64)
    else:
        found = np.isfinite(x) & np.isfinite(y)
        labels = label_alone(found, _call_foreign(group_maker, x[found], y[found]))
    return cap_groups(labels, x, y, max_group_size)


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


def _call_foreign(group_maker, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the groups that a user's callable makes of the sources."""
    if x.size == 0:
        return np.empty(0, dtype=np.int64)
    if _takes_positions(group_maker):
        labels = read_labels(group_maker(x.copy(), y.copy()), x.size, "labels of group_maker")
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
    labels = read_labels(answer["group_id"], x.size, "labels of group_maker")
    if "id" not in names:
        return labels
    order = np.argsort(answer["id"], kind="stable")
    if not np.array_equal(np.asarray(answer["id"])[order], ids):
        raise ValueError(f"{group_maker!r} returned other ids than it was given")
    return labels[order]
