"""Which points are close to each other, and who is reached from friend to friend."""

from __future__ import annotations

import numpy as np


def find_pairs(points: np.ndarray, reach: float, order: float, *, leaf_size: int):
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


def connect(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """Return the connected component of each of ``size`` points."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if size == 0:
        return np.empty(0, dtype=np.int64)
    links = coo_array((np.ones(first.size, dtype=bool), (first, second)), shape=(size, size))
    return connected_components(links, directed=False)[1].astype(np.int64)


def nearest_cores(points, is_core, first, second, distance) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that are no cores but have one in reach, and the nearest core of each."""
    edge = np.concatenate((first, second))
    core = np.concatenate((second, first))
    mixed = is_core[core] & ~is_core[edge]
    edge, core, distance = edge[mixed], core[mixed], np.tile(distance, 2)[mixed]
    nearest_first = np.lexsort((points[core, 1], points[core, 0], distance, edge))
    edge, core = edge[nearest_first], core[nearest_first]
    edge, index = np.unique(edge, return_index=True)
    return edge, core[index]
