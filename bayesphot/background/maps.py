"""What estimators of a sky that varies have in common: maps, units, and what they refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .estimators import SkyEstimator, SkyMap
from .pixels import read_pixels

__all__ = [
    "LEAST_PIXELS",
    "LEAST_SHARE",
    "MapEstimator",
    "check_statistic",
    "combine_errors",
    "fill_errors",
]

#: Share of the pixels about a node that must be good for it to have a level of its own, and number.
LEAST_SHARE = 0.15
LEAST_PIXELS = 8
#: Share of the bend at a tile that splines between tiles miss, at most, for waves of five tiles and
#: longer, a tile and more from the border.
MISSED = 0.4


class MapEstimator(ABC):
    """An estimator whose level is a map: it follows a sky that varies, also a tilted one."""

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
            Maps (ny, nx) in the unit of the data (Quantities for a Quantity). Without a node that
            has good pixels the level is one number, 0, and the error infinite.

        Raises
        ------
        ValueError
            If data are not 2-D, or the mask has another shape.
        """
        values, bad, unit = _read_image(data, mask)
        level, error = self._follow(values, bad)
        return SkyMap(level, error) if unit is None else SkyMap(level * unit, error * unit)

    def estimate_rms(self, data, mask=None) -> np.ndarray:
        """Return the scatter of the pixels, 1.4826 median absolute deviations, at each pixel.

        Parameters
        ----------
        data, mask
            As for `estimate`: best an image from which sources and sky are subtracted.

        Returns
        -------
        (ny, nx) array
            In the unit of the data (a Quantity for a Quantity); NaN without a node that has good
            pixels.
        """
        values, bad, unit = _read_image(data, mask)
        scatter = self._map_scatter(values, bad)
        return scatter if unit is None else scatter * unit

    @abstractmethod
    def _follow(self, values: np.ndarray, bad: np.ndarray):
        """Return level and error of plain numbers."""

    @abstractmethod
    def _map_scatter(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return the scatter of plain numbers."""


def fill_errors(error: np.ndarray) -> np.ndarray:
    """Return standard errors of nodes, the typical one where a node has none."""
    known = np.isfinite(error)
    return np.where(known, error, np.median(error[known]))


def combine_errors(level, error, mean, bend, n_apart: float) -> np.ndarray:
    """Return the errors of what splines between nodes make of their levels.

    Where the levels bend, splines miss a share of that; a node without good pixels knows it no
    better than its neighbours do. A mode lies off the mean of skewed noise, which is what fits
    find.

    Parameters
    ----------
    level, mean : arrays
        Levels of the nodes and means of the same pixels, NaN for a node without good ones.
    error : array
        Standard errors of the levels, as of `fill_errors`.
    bend : array
        How far the sky bends at each node.
    n_apart : float
        Nodes that share no pixels.
    """
    measured = np.isfinite(level)
    share = np.where(measured, MISSED, 1.0)
    typical2 = float(np.median(error)) ** 2
    offset2 = float(np.median((level - mean)[measured])) ** 2 - typical2 / n_apart
    return np.sqrt(error**2 + (share * bend) ** 2 + max(offset2, 0.0))


def check_statistic(value: Any) -> None:
    """Raise TypeError for a statistic of pixels that does not know its error."""
    if not isinstance(value, SkyEstimator):
        raise TypeError(
            "statistic must be one of this package's estimators, such as MMMBackground(), "
            f"found {value!r}"
        )


def _read_image(data, mask):
    """Return values, bad pixels and unit of an image, which must have two axes."""
    values, bad, unit = read_pixels(data, mask)
    if values.ndim != 2:
        raise ValueError(f"data must be 2-D, found shape {values.shape}")
    return values, bad, unit
