"""A sky that varies over the image: levels of tiles, filtered and interpolated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesphot.checks import check_integer

from .estimators import MMMBackground
from .maps import (
    LEAST_PIXELS,
    LEAST_SHARE,
    MapEstimator,
    check_statistic,
    combine_errors,
    fill_errors,
)
from .nodes import fill_nodes, filter_nodes, spread_nodes, spread_out, spread_within
from .pixels import clip_pixels, mad_std

__all__ = ["MeshBackground"]

#: Times the tiles are measured, each time with the sky of the time before taken out.
RENEWALS = 3
#: Standard errors by which a tile must stand out of those about it, and of their range, to be
#: replaced by their median.
OUTLYING = 5.0


@dataclass(frozen=True)
class MeshBackground(MapEstimator):
    """A sky that varies: the clipped level of each tile, and cubic splines between tiles.

    A tile that differs from those about it by five of its errors (a bright star, a galaxy) takes
    their median, and so does one of which too little is good. The error of the level is that of a
    tile, and beside it a share of what neighbouring tiles differ by: how far the sky bends between
    them. As the prior of a group's sky it lets the fits move that far.

    Parameters
    ----------
    box_size : int
        Side of a tile, pixels: several times larger than a star, smaller than what is to be
        followed.
    filter_size : int
        Tiles along a side of the window in which tiles are compared, odd; 1: none.
    statistic : estimator
        Level of a tile: `MMMBackground`, `MedianBackground`, `MeanBackground` ...

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import MeshBackground
    >>> y, x = np.mgrid[:200, :200]
    >>> image = np.random.default_rng(1).normal(100.0 + 0.1 * x, 2.0)
    >>> sky = MeshBackground(50).estimate(image)
    >>> bool(np.abs(sky.level - 100.0 - 0.1 * x).max() < 1.0)
    True
    """

    box_size: int = 64
    filter_size: int = 3
    statistic: Any = field(default_factory=MMMBackground)

    def __post_init__(self) -> None:
        check_integer("box_size", self.box_size, least=8)
        if check_integer("filter_size", self.filter_size, least=1) % 2 == 0:
            raise ValueError(f"filter_size must be odd, found {self.filter_size}")
        check_statistic(self.statistic)

    def _follow(self, values: np.ndarray, bad: np.ndarray):
        """Return level and error of plain numbers."""
        surface = np.zeros(values.shape)
        total: np.ndarray | float = 0.0
        for _renewal in range(RENEWALS):
            # Taking out what is known of the sky leaves tiles that are nearly flat: the statistics
            # of a slope or a bend are not those of its middle.
            level, error, mean = self._measure(values - surface, bad)
            if not np.isfinite(level).any():
                return 0.0, np.inf
            error = fill_errors(error)
            total = total + fill_nodes(level)
            about = filter_nodes(total, self.filter_size)
            total = _replace_outliers(total, about, error)
            surface = self._spread(total, values.shape)
        # Where tiles differ from those about them the sky bends.
        error = combine_errors(level, error, mean, spread_out(np.abs(total - about)), level.size)
        return surface, self._spread_within(error, values.shape)

    def _map_scatter(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return the scatter of the pixels at each pixel, NaN without a tile that has good ones."""
        rms = np.array(
            [
                [self._scatter(values[tile][~bad[tile]], values[tile].size) for tile in row]
                for row in self._list_tiles(values.shape)
            ]
        )
        if not np.isfinite(rms).any():
            return np.full(values.shape, np.nan)
        return self._spread_within(filter_nodes(fill_nodes(rms), self.filter_size), values.shape)

    def _scatter(self, pixels: np.ndarray, size: int) -> float:
        """Return the scatter of a tile's good pixels, NaN for too few."""
        if pixels.size < max(LEAST_SHARE * size, LEAST_PIXELS):
            return np.nan
        return mad_std(clip_pixels(pixels, self.statistic.sigma, self.statistic.maxiters))

    def _list_tiles(self, shape: tuple[int, ...]) -> list[list[tuple[slice, slice]]]:
        """Return the tiles, row after row, of about the size asked for."""
        rows, columns = (self._cut(side) for side in shape)
        return [[(row, column) for column in columns] for row in rows]

    def _cut(self, side: int) -> list[slice]:
        """Return the tiles along an axis: as many as fit, of sides that differ by 1 at most."""
        n = max(int(round(side / self.box_size)), 1)
        edge = np.linspace(0, side, n + 1).round().astype(int)
        return [slice(low, high) for low, high in zip(edge[:-1], edge[1:], strict=True)]

    def _measure(self, values: np.ndarray, bad: np.ndarray):
        """Return level, its error and the clipped mean of each tile, NaN for too few pixels."""
        tiles = self._list_tiles(values.shape)
        out = np.full((3, len(tiles), len(tiles[0])), np.nan)
        for i, row in enumerate(tiles):
            for j, tile in enumerate(row):
                least = max(LEAST_SHARE * values[tile].size, LEAST_PIXELS)
                if np.count_nonzero(~bad[tile]) < least:
                    continue
                level, mean = self.statistic.estimate_with_mean(values[tile], bad[tile])
                out[:, i, j] = level.level, level.error, mean.level
        return out

    def _spread(self, mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return numbers of the tiles at each pixel, by splines between their middles."""
        return spread_nodes(mesh, self._list_middles(shape), shape)

    def _spread_within(self, mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return errors of the tiles at each pixel."""
        return spread_within(mesh, self._list_middles(shape), shape)

    def _list_middles(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Return the middles of the tiles along each axis."""
        return [np.array([0.5 * (s.start + s.stop - 1) for s in self._cut(side)]) for side in shape]


def _replace_outliers(mesh: np.ndarray, about: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a mesh with tiles that stand out of their eight neighbours replaced by the median.

    They must lie outside the neighbours' range by that range itself and more: the crest of a wave
    does not.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    if min(mesh.shape) < 3:
        return mesh
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    high = maximum_filter(mesh, footprint=ring, mode="nearest")
    low = minimum_filter(mesh, footprint=ring, mode="nearest")
    excess = np.maximum(mesh - high, low - mesh)
    return np.where(excess > OUTLYING * error + (high - low), about, mesh)
