"""The local sky: the clipped level between two radii about each place."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bayesphot.checks import check_number

from .estimators import MMMBackground
from .maps import (
    LEAST_PIXELS,
    LEAST_SHARE,
    MapEstimator,
    check_statistic,
    combine_errors,
    fill_errors,
)
from .nodes import fill_nodes, smooth_nodes, spread_nodes, spread_out, spread_within
from .pixels import mad_std_rows
from .tilt import measure_tilt

__all__ = ["AnnulusBackground"]

#: Distance of the nodes over the inner radius.
SPACING = 0.5
#: Pixels of an annulus, at least: fewer leave nothing to clip.
LEAST_RING = 40
#: Outer radius, pixels, at most: rows of numbers must fit into memory.
LARGEST = 500
#: Nodes of the surface that is taken out first, half an outer radius apart: along a side of the
#: window whose mean they take, and times they are measured, each time with the surface of the time
#: before taken out. A smaller window and more times follow shorter waves, and add noise.
SMOOTH = 7
RENEWALS = 2
#: Numbers that are sorted at once: more do not stay in the processor's cache.
CHUNK = 200_000


@dataclass(frozen=True)
class AnnulusBackground(MapEstimator):
    """A local sky: the clipped level of the good pixels between two radii about each place.

    What PHOT of DAOPHOT (Stetson 1987, PASP 99, 191) measures at each star is measured at nodes
    half an inner radius apart, with cubic splines between. A smooth surface through such levels is
    taken out first: the level of an annulus that is cut by the border or by fit boxes is not that
    of its middle, nor is that of one in a hollow.

    The error is that of an annulus's level, and beside it a share of what the levels differ from
    the smooth surface: how far the sky bends between annulus and middle.

    Parameters
    ----------
    inner_radius, outer_radius : float
        Pixels. What lies inside the inner one does not count: it should hold a star's light, where
        that is not subtracted. Levels follow a sky that bends over several outer radii.
    statistic : estimator
        Level of an annulus: `MMMBackground`, `MedianBackground`, `MeanBackground` ...

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value. When called, also for an image that is too small
        to hold a part of an annulus about any place.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import AnnulusBackground
    >>> y, x = np.mgrid[:100, :100]
    >>> image = np.random.default_rng(1).normal(100.0 + 0.1 * x, 2.0)
    >>> sky = AnnulusBackground(12, 20).estimate(image)
    >>> bool(np.abs(sky.level - 100.0 - 0.1 * x).max() < 2.0)
    True
    """

    inner_radius: float
    outer_radius: float
    statistic: Any = field(default_factory=MMMBackground)

    def __post_init__(self) -> None:
        inner = check_number("inner_radius", self.inner_radius, least=1.0)
        outer = check_number("outer_radius", self.outer_radius)
        if not outer > inner:
            raise ValueError(
                f"outer_radius must be greater than inner_radius, found {self.outer_radius!r} and "
                f"{self.inner_radius!r}"
            )
        if outer > LARGEST:
            raise ValueError(
                f"outer_radius must be at most {LARGEST} pixels, found {self.outer_radius!r}"
            )
        n_pixels = len(_list_ring(inner, outer))
        if n_pixels < LEAST_RING:
            raise ValueError(
                f"inner_radius={self.inner_radius!r} and outer_radius={self.outer_radius!r} must "
                f"hold at least {LEAST_RING} pixels between them, found {n_pixels}"
            )
        check_statistic(self.statistic)

    def _follow(self, values: np.ndarray, bad: np.ndarray):
        """Return level and error of plain numbers."""
        surface = self._find_surface(values, bad)
        if surface is None:
            return 0.0, np.inf
        nodes = [_place_nodes(side, SPACING * self.inner_radius) for side in values.shape]
        level, error, mean = self._measure(values - surface, bad, nodes)
        if not np.isfinite(level).any():
            return 0.0, np.inf
        change = fill_nodes(level)
        n_apart = max(values.size / len(self._ring), 1.0)
        # What the surface missed, annuli miss a share of.
        error = combine_errors(level, fill_errors(error), mean, spread_out(change), n_apart)
        total = surface + spread_nodes(change, nodes, values.shape)
        return total, spread_within(error, nodes, values.shape)

    def _find_surface(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray | None:
        """Return the smooth part of the sky; None without an annulus that has good pixels."""
        nodes = [_place_nodes(side, 0.5 * self.outer_radius) for side in values.shape]
        surface = measure_tilt(values, bad)
        for _renewal in range(RENEWALS):
            level = self._measure(values - surface, bad, nodes)[0]
            if not np.isfinite(level).any():
                self._refuse_small(values.shape, nodes)
                return None
            smooth = smooth_nodes(fill_nodes(level), SMOOTH)
            surface = surface + spread_nodes(smooth, nodes, values.shape)
        return surface

    def _refuse_small(self, shape: tuple[int, ...], nodes: list[np.ndarray]) -> None:
        """Raise ValueError where annuli have no level even if every pixel is good."""
        good = np.zeros(shape)
        if not np.isfinite(self._measure(good, good > 0.0, nodes)[0]).any():
            raise ValueError(
                f"inner_radius={self.inner_radius!r} and outer_radius={self.outer_radius!r} are "
                f"too large for an image of shape {shape}"
            )

    def _map_scatter(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return the scatter of the pixels at each pixel, NaN without an annulus of good ones."""
        nodes = [_place_nodes(side, self.outer_radius) for side in values.shape]
        statistic = self.statistic
        scatter = partial(mad_std_rows, sigma=statistic.sigma, maxiters=statistic.maxiters)
        (rms,) = self._list_numbers(values, bad, nodes, lambda rows: [scatter(rows)])
        if not np.isfinite(rms).any():
            return np.full(values.shape, np.nan)
        return spread_within(fill_nodes(rms), nodes, values.shape)

    def _measure(self, values: np.ndarray, bad: np.ndarray, nodes: list[np.ndarray]):
        """Return level, its error and the clipped mean about each node, NaN for too few pixels."""
        return self._list_numbers(values, bad, nodes, self.statistic.estimate_rows)

    @property
    def _ring(self) -> np.ndarray:
        """The pixels (n, 2) of an annulus: their distances along y and x from its middle."""
        return _list_ring(float(self.inner_radius), float(self.outer_radius))

    def _list_numbers(self, values: np.ndarray, bad: np.ndarray, nodes: list[np.ndarray], find):
        """Return arrays of what ``find`` says of the pixels about the nodes, a row for each."""
        ring = self._ring
        pad = int(np.abs(ring).max())
        padded = np.pad(np.where(bad, np.inf, values), pad, constant_values=np.inf)
        width = padded.shape[1]
        about = ring @ (width, 1)
        row, column = np.meshgrid(*nodes, indexing="ij")
        middle = ((row + pad) * width + column + pad).ravel()
        least = max(LEAST_SHARE * len(ring), LEAST_PIXELS)
        step = max(CHUNK // len(ring), 1)
        found = []
        for start in range(0, middle.size, step):
            rows = padded.ravel()[middle[start : start + step, None] + about]
            few = np.isfinite(rows).sum(axis=1) < least
            found.append([np.where(few, np.nan, numbers) for numbers in find(rows)])
        return [np.concatenate(parts).reshape(row.shape) for parts in zip(*found, strict=True)]


def _list_ring(inner: float, outer: float) -> np.ndarray:
    """Return the pixels (n, 2) whose middles lie between two radii, as distances along y and x."""
    reach = int(outer)
    off = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    distance2 = (off**2).sum(axis=1)
    return off[(distance2 >= inner**2) & (distance2 <= outer**2)]


def _place_nodes(side: int, spacing: float) -> np.ndarray:
    """Return pixels from the first to the last of an axis, about as far apart as asked for."""
    n = int(np.ceil((side - 1) / spacing)) + 1
    return np.unique(np.linspace(0, side - 1, n).round().astype(int))
