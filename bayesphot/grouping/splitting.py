"""Groups too large to be fitted at once, cut to a size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labels import check_size, read_labels, read_positions, relabel


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of a list of sources.

    ``labels`` is int64 (n,), ``was_split`` bool (n,): True for members of groups that were cut
    because they were too large, whose parts ignore each other's uncertainty.
    """

    labels: np.ndarray
    was_split: np.ndarray


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
    x, y = read_positions(x, y)
    if max_size is None:
        raise TypeError("max_size must be an integer, found None")
    check_size(max_size, "max_size")
    labels = read_labels(labels, x.size)
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
    return relabel(pieces), was_split


def cap_groups(labels: np.ndarray, x, y, max_size: int | None) -> Grouping:
    """Return the groups, the large ones cut if there is a limit."""
    if max_size is None:
        return Grouping(labels, np.zeros(labels.size, dtype=bool))
    return Grouping(*split_large_groups(labels, x, y, max_size=max_size))


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
