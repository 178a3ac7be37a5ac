"""The tilt of a sky: a plane through the levels of tiles, where the tiles demand one."""

from __future__ import annotations

import numpy as np

__all__ = ["measure_tilt"]

#: Tiles along a side, at most and at least, and pixels along the side of a tile, at least.
MOST_TILES = 8
LEAST_TILES = 3
TILE = 16
#: Chance that a flat sky is taken for a tilted one.
FALSE_ALARM = 1e-6
#: Pixels this far, in robust standard deviations of their tile, do not count.
CLIP = 2.5
#: Pixels of a tile, about, that say whether there is a tilt, and where to clip.
SAMPLE = 1000
CLIP_SAMPLE = 400
#: Good pixels a tile must have, as a share of its size.
SHARE = 0.25
#: Residuals of tiles, in robust standard deviations, from which they count less (Huber 1964).
HUBER = 1.345
_STD_PER_MAD = 1.482602218505602


def measure_tilt(data: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Return the image (ny, nx) of a tilted sky less its mean; zeros where it is not tilted.

    Levels of tiles are clipped means; the plane is their robust regression, and it counts where
    an F test of its two slopes, against the scatter of the tiles about it, leaves no doubt. Crowded
    tiles scatter more, and are believed less.

    Parameters
    ----------
    data : (ny, nx) array
        The image.
    bad : (ny, nx) bool array
        Pixels that do not count.
    """
    ny, nx = data.shape
    n_row, n_col = (min(MOST_TILES, size // TILE) for size in (ny, nx))
    flat = np.zeros(data.shape)
    if min(n_row, n_col) < LEAST_TILES:
        return flat
    step = max(1, int(np.ceil(np.sqrt(ny // n_row * (nx // n_col) / SAMPLE))))
    plane = _find_plane(data, bad, (n_row, n_col), step)
    if plane is not None and step > 1:
        # Most skies are flat, and a sample says so; a plane takes all pixels.
        plane = _find_plane(data, bad, (n_row, n_col), 1)
    if plane is None:
        return flat
    along = plane[1] * (np.arange(nx) - 0.5 * (nx - 1)) / nx
    up = plane[2] * (np.arange(ny) - 0.5 * (ny - 1)) / ny
    return along[None, :] + up[:, None]


def _find_plane(data, bad, n_tile: tuple[int, int], step: int) -> np.ndarray | None:
    """Return level and slopes of the plane through the tiles, from every step-th row and column."""
    level, x, y = _list_levels(data, bad, n_tile, step)
    return _fit_plane(level, x, y) if level.size >= 2 * LEAST_TILES else None


def _list_levels(data: np.ndarray, bad: np.ndarray, n_tile: tuple[int, int], step: int):
    """Return levels of the tiles with enough pixels, and places x and y from -1/2 to 1/2."""
    (n_row, n_col), (ny, nx) = n_tile, data.shape
    height, width = ny // n_row, nx // n_col
    cut = (slice(n_row * height), slice(n_col * width))

    def cut_tiles(image: np.ndarray) -> np.ndarray:
        parts = image[cut].reshape(n_row, height, n_col, width)[:, ::step, :, ::step]
        return parts.transpose(0, 2, 1, 3).reshape(n_row * n_col, -1)

    good = ~cut_tiles(bad)
    enough = good.mean(axis=1) > SHARE
    tiles, good = cut_tiles(data)[enough], good[enough]
    # Where to clip is known well enough from a few hundred pixels of a tile; all others that are
    # inside make its mean.
    # Taken at random, but always the same: bad columns can stand at equal steps.
    pick = np.random.default_rng(0).permutation(tiles.shape[1])[:CLIP_SAMPLE]
    some = np.where(good[:, pick], tiles[:, pick], np.nan)
    middle = _find_medians(some)
    spread = _find_medians(np.abs(some - middle))
    inside = good & (np.abs(tiles - middle) <= CLIP * _STD_PER_MAD * spread)
    count = inside.sum(axis=1)
    level = np.where(inside, tiles, 0.0).sum(axis=1) / np.maximum(count, 1)
    level = np.where(count > 0, level, middle[:, 0])
    row, col = np.indices((n_row, n_col)).reshape(2, -1)[:, enough]
    y = ((row + 0.5) * height - 0.5 - 0.5 * (ny - 1)) / ny
    x = ((col + 0.5) * width - 0.5 - 0.5 * (nx - 1)) / nx
    return level, x, y


def _find_medians(values: np.ndarray) -> np.ndarray:
    """Return the median (n, 1) of each row, NaNs left out; of an even number the upper one."""
    ordered = np.sort(values, axis=1)
    middle = np.isfinite(values).sum(axis=1) // 2
    return ordered[np.arange(len(values)), middle][:, None]


def _fit_plane(level: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Return level and slopes of the plane through the tiles, None for a flat sky."""
    from scipy.special import fdtrc

    design = np.column_stack([np.ones_like(x), x, y])
    if np.linalg.matrix_rank(design) < 3:
        return None
    weight = np.ones_like(level)
    for _round in range(10):
        root = np.sqrt(weight)
        plane = np.linalg.lstsq(design * root[:, None], level * root, rcond=None)[0]
        off = np.abs(level - design @ plane)
        scale = _STD_PER_MAD * np.median(off)
        if not scale > 0.0:
            break
        weight = np.minimum(1.0, HUBER * scale / np.maximum(off, 1e-300))
    freedom = max(int(weight.sum()) - 3, 1)
    variance = float(weight @ off**2) / freedom
    gram = (design * weight[:, None]).T @ design
    information = np.linalg.inv(np.linalg.inv(gram)[1:, 1:])
    strength = float(plane[1:] @ information @ plane[1:])
    if variance <= 0.0:
        # Without noise any slope is one, but for rounding.
        return plane if strength > 1e-12 * float(level @ level) else None
    return plane if fdtrc(2, freedom, 0.5 * strength / variance) < FALSE_ALARM else None
