"""Positions and labels: read and checked once, numbered one way."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def read_positions(x, y) -> tuple[np.ndarray, np.ndarray]:
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


def read_labels(labels, size: int, name: str = "labels") -> np.ndarray:
    """Return a copy of the labels as int64 (size,)."""
    labels = np.asarray(labels)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, found dtype {labels.dtype}")
    if labels.shape != (size,):
        raise ValueError(
            f"{name} must be one for each of {size} sources, found shape {labels.shape}"
        )
    return labels.astype(np.int64)


def relabel(groups: np.ndarray) -> np.ndarray:
    """Return int64 labels 1, 2, ... in the order of each group's first member."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    return rank[group]


def label_alone(found: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return labels of all sources: ``groups`` for the found ones, the others alone."""
    labels = np.arange(found.size, dtype=np.int64) + found.size
    labels[found] = np.unique(groups, return_inverse=True)[1]
    return relabel(labels)


def check_size(value, name: str) -> None:
    """Refuse a number of members that is not None or an integer >= 1."""
    if value is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value!r}")
