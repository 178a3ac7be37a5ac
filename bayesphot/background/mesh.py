"""A sky that varies over the image: levels of tiles, filtered and interpolated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesphot.checks import check_integer

from .estimators import MMMBackground, SkyEstimator, SkyMap
from .pixels import clip_pixels, mad_std, read_pixels

__all__ = ["MeshBackground"]

#: Share of a tile's pixels that must be good for it to have a level of its own.
LEAST_SHARE = 0.15
#: Share of the bend at a tile that splines between tiles miss, at most, for waves of five tiles and
#: longer, a tile and more from the border.
MISSED = 0.4
#: Times the tiles are measured, each time with the sky of the time before taken out.
RENEWALS = 3
#: Standard errors by which a tile must stand out of those about it, and of their range, to be
#: replaced by their median.
OUTLYING = 5.0


@dataclass(frozen=True)
class MeshBackground:
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
        if not isinstance(self.statistic, SkyEstimator):
            raise TypeError(
                "statistic must be one of this package's estimators, such as MMMBackground(), "
                f"found {self.statistic!r}"
            )

    def __call__(self, data, mask=None):
        """Return the level at each pixel; see `estimate`."""
        return self.estimate(data, mask).level

    def estimate(self, data, mask=None) -> SkyMap:
        """Return the level and its standard error at each pixel.

        Parameters
        ----------
        data : (ny, nx) array or Quantity
            The image. Non-finite values are left out.
        mask : (ny, nx) array of bool, optional
            True = bad.

        Returns
        -------
        SkyMap
            Maps (ny, nx) in the unit of the data (Quantities for a Quantity). Without a tile that
            has good pixels the level is one number, 0, and the error infinite.

        Raises
        ------
        ValueError
            If data are not 2-D, or the mask has another shape.
        """
        values, bad, unit = read_pixels(data, mask)
        level, error = self._follow(values, bad)
        return SkyMap(level, error) if unit is None else SkyMap(level * unit, error * unit)

    def _follow(self, values: np.ndarray, bad: np.ndarray):
        """Return level and error of plain numbers."""
        surface = np.zeros(values.shape)
        total: np.ndarray | float = 0.0
        for _renewal in range(RENEWALS):
            # Taking out what is known of the sky leaves tiles that are nearly flat: the statistics
            # of a slope or a bend are not those of its middle.
            level, error, mean = self._measure(values - surface, bad)
            measured = np.isfinite(level)
            if not measured.any():
                return 0.0, np.inf
            typical = float(np.nanmedian(error[np.isfinite(error)]))
            error = np.where(np.isfinite(error), error, typical)
            total = total + _fill(level)
            about = _filter(total, self.filter_size)
            total = _replace_outliers(total, about, error)
            surface = self._spread(total, values.shape)
        # Where tiles differ from those about them the sky bends, and splines between tiles miss a
        # share of that; a tile without good pixels knows it no better than its neighbours do.
        bend = _spread_out(np.abs(total - about))
        share = np.where(measured, MISSED, 1.0)
        error2 = error**2 + (share * bend) ** 2
        # A mode lies off the mean of skewed noise, which is what fits find.
        offset2 = float(np.median((level - mean)[measured])) ** 2 - typical**2 / level.size
        error = np.sqrt(error2 + max(offset2, 0.0))
        return surface, self._spread_within(error, values.shape)

    def estimate_rms(self, data, mask=None) -> np.ndarray:
        """Return the scatter of the pixels, 1.4826 median absolute deviations, at each pixel.

        Parameters
        ----------
        data, mask
            As for `estimate`: best an image from which sources and sky are subtracted.

        Returns
        -------
        (ny, nx) array
            In the unit of the data (a Quantity for a Quantity); NaN without a tile that has good
            pixels.
        """
        values, bad, unit = read_pixels(data, mask)
        rms = np.array(
            [
                [self._scatter(values[tile][~bad[tile]], values[tile].size) for tile in row]
                for row in self._list_tiles(values.shape)
            ]
        )
        scatter = np.full(values.shape, np.nan)
        if np.isfinite(rms).any():
            scatter = self._spread_within(_filter(_fill(rms), self.filter_size), values.shape)
        return scatter if unit is None else scatter * unit

    def _scatter(self, pixels: np.ndarray, size: int) -> float:
        """Return the scatter of a tile's good pixels, NaN for too few."""
        if pixels.size < max(LEAST_SHARE * size, 8):
            return np.nan
        return mad_std(clip_pixels(pixels, self.statistic.sigma, self.statistic.maxiters))

    def _list_tiles(self, shape: tuple[int, ...]) -> list[list[tuple[slice, slice]]]:
        """Return the tiles, row after row, of about the size asked for."""
        if len(shape) != 2:
            raise ValueError(f"data must be 2-D, found shape {shape}")
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
                if np.count_nonzero(~bad[tile]) < max(LEAST_SHARE * values[tile].size, 8):
                    continue
                level, mean = self.statistic.estimate_with_mean(values[tile], bad[tile])
                out[:, i, j] = level.level, level.error, mean.level
        return out

    def _spread_within(self, mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return errors of the tiles at each pixel: splines of a jump may undershoot, these not."""
        return np.clip(self._spread(mesh, shape), mesh.min(), mesh.max())

    def _spread(self, mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return numbers of the tiles at each pixel, by splines between their middles."""
        from scipy.interpolate import make_interp_spline

        spread = mesh
        for axis, side in enumerate(shape):
            middle = np.array([0.5 * (s.start + s.stop - 1) for s in self._cut(side)])
            if middle.size == 1:
                spread = np.repeat(spread, side, axis=axis)
                continue
            # Half a tile at each end goes on as the last two tiles do.
            first, last = np.take(spread, [0], axis), np.take(spread, [-1], axis)
            before = 2.0 * first - np.take(spread, [1], axis)
            after = 2.0 * last - np.take(spread, [-2], axis)
            knots = np.r_[2 * middle[0] - middle[1], middle, 2 * middle[-1] - middle[-2]]
            whole = np.concatenate([before, spread, after], axis=axis)
            spline = make_interp_spline(knots, whole, k=3, axis=axis)
            spread = spline(np.arange(side))
        return spread


def _fill(mesh: np.ndarray) -> np.ndarray:
    """Return a mesh with its NaN replaced by the nearest tiles' values."""
    from scipy.ndimage import distance_transform_edt

    wrong = ~np.isfinite(mesh)
    if not wrong.any():
        return mesh
    nearest = distance_transform_edt(wrong, return_distances=False, return_indices=True)
    return mesh[tuple(nearest)]


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


def _spread_out(mesh: np.ndarray) -> np.ndarray:
    """Return the root mean square of the tiles about each."""
    from scipy.ndimage import uniform_filter

    return np.sqrt(np.maximum(uniform_filter(mesh**2, size=3, mode="nearest"), 0.0))


def _filter(mesh: np.ndarray, size: int) -> np.ndarray:
    """Return a mesh with the median of the tiles about each, planes left as they are.

    The plane through all tiles is taken out before: a window cut at the border would tilt it.
    """
    from scipy.ndimage import median_filter

    if size == 1 or mesh.size == 1:
        return mesh.copy()
    row, column = np.indices(mesh.shape)
    design = np.stack([np.ones(mesh.size), row.ravel(), column.ravel()], axis=1)
    plane = (design @ np.linalg.lstsq(design, mesh.ravel(), rcond=None)[0]).reshape(mesh.shape)
    return plane + median_filter(mesh - plane, size=size, mode="nearest")
