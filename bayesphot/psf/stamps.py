"""Cut-outs about stars, sorted by where in its pixel a star lies, and combined."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesphot.catalog import translate_columns
from bayesphot.columns import list_names

__all__ = ["ROUNDS", "combine_stamps", "cut_stamps", "find_cells", "read_places"]

#: Rounds in which the light of stars with bad pixels is renewed, and the change that ends them.
ROUNDS = 50
SETTLED = 1e-12


def read_places(positions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of a table, or of an array of pairs.

    Raises
    ------
    TypeError, ValueError
        If they are neither, not finite, or none.
    """
    try:
        list_names(positions)
    except TypeError:
        x, y = _read_pairs(positions)
    else:
        columns = translate_columns(positions)
        x, y = columns["x"], columns["y"]
    if x.size == 0:
        raise ValueError("positions must hold at least one star, found none")
    wrong = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if wrong.size:
        i = wrong[0]
        raise ValueError(f"positions must be finite, found ({x[i]}, {y[i]}) in row {i}")
    return x, y


def _read_pairs(positions: Any) -> np.ndarray:
    """Return x and y (2, n) of pairs."""
    wanted = "positions must be a table or pairs (x, y), found"
    try:
        place = np.asarray(positions, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{wanted} {positions!r}") from None
    if place.size == 0:
        return np.empty((2, 0))
    if place.ndim != 2 or place.shape[1] != 2:
        raise ValueError(f"{wanted} shape {place.shape}")
    return place.T


def find_cells(place: np.ndarray, subsampling: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n,) of one coordinate, and in which part of the pixel it lies.

    Part k of s is centred on (k + 1/2) / s - 1/2 from the pixel's centre.
    """
    pixel = np.floor(place + 0.5)
    part = np.floor((place + 0.5 - pixel) * subsampling)
    return pixel.astype(int), np.clip(part, 0, subsampling - 1).astype(int)


def cut_stamps(image: np.ndarray, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """Return stamps (n, size, size) about pixels (n,).

    Raises
    ------
    ValueError
        If a stamp does not lie on the image.
    """
    half = size // 2
    n_y, n_x = image.shape
    outside = (x < half) | (x >= n_x - half) | (y < half) | (y >= n_y - half)
    wrong = np.flatnonzero(outside)
    if wrong.size:
        i = wrong[0]
        raise ValueError(
            f"positions must lie {half} pixels or more from the edge of the image of {n_x} x {n_y} "
            f"for stamps of {size}, found pixel (x, y) = ({x[i]}, {y[i]}) in row {i}"
            + (f" and {wrong.size - 1} more" if wrong.size > 1 else "")
        )
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return windows[y - half, x - half]


def combine_stamps(
    light: np.ndarray, good: np.ndarray, fluxes: np.ndarray | None, *, median: bool
) -> np.ndarray:
    """Return the mean or median stamp at unit flux, NaN where no pixel is good.

    Parameters
    ----------
    light : (n, ny, nx) array
        Stamps, anything on bad pixels.
    good : (n, ny, nx) bool array
        Pixels that count.
    fluxes : (n,) array, optional
        None: the light on each stamp; bad pixels have what the combined stamp has there.
    median : bool
        Whether the median of each pixel is taken, instead of the mean.

    Raises
    ------
    ValueError
        If the good pixels of a star without flux lie where the combined stamp has no light.
    """
    combine = np.nanmedian if median else np.nanmean
    seen = good.any(axis=0)
    # A mean of nothing would warn; these pixels become NaN in the end.
    light = np.where(good, light, np.nan)
    light[:, ~seen] = 0.0
    if fluxes is not None:
        return np.where(seen, combine(light / fluxes[:, None, None], axis=0), np.nan)
    total = sums = np.nansum(light, axis=(1, 2))
    for _ in range(ROUNDS):
        stamp = combine(light / total[:, None, None], axis=0)
        share = np.where(good, stamp, 0.0).sum(axis=(1, 2)) / stamp.sum()
        if not np.all(share > 0.0):
            raise ValueError(
                "each star must have good pixels where the others have their light: leave out "
                "those that have none, or give fluxes"
            )
        before, total = total, sums / share
        if np.all(np.abs(total - before) <= SETTLED * np.abs(total)):
            break
    return np.where(seen, stamp, np.nan)
