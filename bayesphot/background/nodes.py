"""Numbers at the nodes of a grid over an image: filled, filtered, and at each pixel."""

from __future__ import annotations

import numpy as np

__all__ = [
    "fill_nodes",
    "filter_nodes",
    "smooth_nodes",
    "spread_nodes",
    "spread_out",
    "spread_within",
]


def spread_nodes(mesh: np.ndarray, middles: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of the nodes at each pixel, by cubic splines along each axis.

    Parameters
    ----------
    mesh : (n, m) array
        The numbers.
    middles : list of arrays (n,) and (m,)
        Places of the nodes along y and along x, pixels, increasing.
    shape : tuple of int
        Of the image, (ny, nx).
    """
    from scipy.interpolate import make_interp_spline

    spread = mesh
    for axis, (middle, side) in enumerate(zip(middles, shape, strict=True)):
        if middle.size == 1:
            spread = np.repeat(spread, side, axis=axis)
            continue
        # What is left at each end goes on as the last two nodes do.
        first, last = np.take(spread, [0], axis), np.take(spread, [-1], axis)
        before = 2.0 * first - np.take(spread, [1], axis)
        after = 2.0 * last - np.take(spread, [-2], axis)
        knots = np.r_[2 * middle[0] - middle[1], middle, 2 * middle[-1] - middle[-2]]
        whole = np.concatenate([before, spread, after], axis=axis)
        spline = make_interp_spline(knots, whole, k=3, axis=axis)
        spread = spline(np.arange(side))
    return spread


def spread_within(
    mesh: np.ndarray, middles: list[np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """Return errors of the nodes at each pixel: splines of a jump may undershoot, these not."""
    return np.clip(spread_nodes(mesh, middles, shape), mesh.min(), mesh.max())


def fill_nodes(mesh: np.ndarray) -> np.ndarray:
    """Return a mesh with its NaN replaced by the nearest nodes' values."""
    from scipy.ndimage import distance_transform_edt

    wrong = ~np.isfinite(mesh)
    if not wrong.any():
        return mesh
    nearest = distance_transform_edt(wrong, return_distances=False, return_indices=True)
    return mesh[tuple(nearest)]


def spread_out(mesh: np.ndarray) -> np.ndarray:
    """Return the root mean square of the nodes about each."""
    from scipy.ndimage import uniform_filter

    return np.sqrt(np.maximum(uniform_filter(mesh**2, size=3, mode="nearest"), 0.0))


def filter_nodes(mesh: np.ndarray, size: int) -> np.ndarray:
    """Return a mesh with the median of the nodes about each, planes left as they are.

    The plane through all nodes is taken out before: a window cut at the border would tilt it.
    """
    from scipy.ndimage import median_filter

    if size == 1 or mesh.size == 1:
        return mesh.copy()
    row, column = np.indices(mesh.shape)
    design = np.stack([np.ones(mesh.size), row.ravel(), column.ravel()], axis=1)
    plane = (design @ np.linalg.lstsq(design, mesh.ravel(), rcond=None)[0]).reshape(mesh.shape)
    return plane + median_filter(mesh - plane, size=size, mode="nearest")


def smooth_nodes(mesh: np.ndarray, size: int) -> np.ndarray:
    """Return a mesh with the mean of the nodes about each, planes left as they are.

    Beyond the border the mesh goes on as it is reflected in its last node, along both axes.
    """
    from scipy.ndimage import uniform_filter1d

    smooth = mesh
    for axis, n in enumerate(mesh.shape):
        half = min(size // 2, n - 1)
        if half == 0:
            continue
        pads = [(half, half) if axis == k else (0, 0) for k in range(mesh.ndim)]
        wide = np.pad(smooth, pads, mode="reflect", reflect_type="odd")
        mean = uniform_filter1d(wide, 2 * half + 1, axis=axis)
        smooth = np.take(mean, np.arange(half, half + n), axis)
    return smooth
