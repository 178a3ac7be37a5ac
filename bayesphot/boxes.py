"""Fit boxes: which pixels a source is measured on.

A source whose core is saturated and masked has a larger box than the others, so that its wings
fill it.
"""

from __future__ import annotations

import numpy as np

__all__ = ["find_cored", "list_half_sides", "make_boxes"]

#: Least share of a box that is not saturated: its wings are seen all around a round core.
LEAST_SHARE = 0.5


def make_boxes(
    x,
    y,
    fit_shape: tuple[int, int],
    shape: tuple[int, int],
    saturated: np.ndarray | None = None,
) -> np.ndarray:
    """Return fit boxes clipped to the image: (n, 4) first row, end row, first and end column.

    Parameters
    ----------
    x, y : (n,) arrays
        Places of the sources.
    fit_shape : (int, int)
        Rows and columns of a box, odd.
    shape : (int, int)
        Rows and columns of the image.
    saturated : (ny, nx) bool array, optional
        Pixels of saturated cores: see `list_half_sides`.
    """
    row, col = _round(y), _round(x)
    half = list_half_sides(x, y, fit_shape, saturated)
    box = np.empty((row.size, 4), dtype=np.int64)
    box[:, 0] = np.clip(row - half[:, 0], 0, shape[0])
    box[:, 1] = np.clip(row + half[:, 0] + 1, 0, shape[0])
    box[:, 2] = np.clip(col - half[:, 1], 0, shape[1])
    box[:, 3] = np.clip(col + half[:, 1] + 1, 0, shape[1])
    return box


def list_half_sides(
    x, y, fit_shape: tuple[int, int], saturated: np.ndarray | None = None
) -> np.ndarray:
    """Return half the rows and columns of each box (n, 2), the middle not counted.

    A source with its centre in a saturated core has a box that grows on all sides until it holds
    as many other pixels as ``fit_shape`` has, and they are at least half of it.
    """
    half = np.empty((np.size(x), 2), dtype=np.int64)
    half[:] = fit_shape[0] // 2, fit_shape[1] // 2
    if saturated is None:
        return half
    row, col = _round(y), _round(x)
    for k in np.flatnonzero(find_cored(x, y, saturated)):
        half[k] += _find_growth(saturated, int(row[k]), int(col[k]), fit_shape)
    return half


def find_cored(x, y, saturated: np.ndarray | None) -> np.ndarray:
    """Return which sources (n,) have their centres in a saturated core."""
    if saturated is None:
        return np.zeros(np.size(x), dtype=bool)
    row, col = _round(y), _round(x)
    inside = (row >= 0) & (row < saturated.shape[0]) & (col >= 0) & (col < saturated.shape[1])
    cored = np.zeros(row.size, dtype=bool)
    cored[inside] = saturated[row[inside], col[inside]]
    return cored


def _find_growth(saturated: np.ndarray, row: int, col: int, fit_shape: tuple[int, int]) -> int:
    """Return how many rows and columns a box gains on each side.

    Pixels off the image count as good: a box at the border is cut, not larger.
    """
    wanted = fit_shape[0] * fit_shape[1]
    for growth in range(max(saturated.shape) + 1):
        down, across = fit_shape[0] // 2 + growth, fit_shape[1] // 2 + growth
        area = (2 * down + 1) * (2 * across + 1)
        cut = saturated[
            max(row - down, 0) : row + down + 1, max(col - across, 0) : col + across + 1
        ]
        good = area - np.count_nonzero(cut)
        if good >= max(wanted, LEAST_SHARE * area):
            break
    return growth


def _round(place) -> np.ndarray:
    """Return the nearest pixels (n,)."""
    return np.floor(np.atleast_1d(np.asarray(place, dtype=float)) + 0.5).astype(np.int64)
