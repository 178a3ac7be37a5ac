"""Maps of the sky by others, photutils' Background2D and sep's Background, as an estimator.

Told apart by what they have, so that neither package is needed: ``background`` and
``background_rms``, or the methods ``back`` and ``rms``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bayesphot.checks import shorten

from .maps import LEAST_PIXELS, MapEstimator
from .pixels import MEDIAN_VARIANCE, find_median_error

__all__ = ["ForeignMap", "is_foreign_map", "read_estimator"]

#: Sides of sep's tiles, along x and y, where none are given.
_SEP_TILE = {"bw": 64, "bh": 64}
#: Splines between tiles overshoot, to negative scatters too: less than this share of the median is
#: taken for that.
_LEAST_SCATTER = 0.1


def read_estimator(estimator: Any) -> Any:
    """Return an estimator for a map of others, or for what makes one; anything else as it is.

    Parameters
    ----------
    estimator
        A map, made of the image beforehand; its class, or a `functools.partial` of that: maps are
        made of what the estimator is asked about.

    Raises
    ------
    TypeError
        For a class or a partial that cannot be called with an image and a mask.
    """
    made_anew = isinstance(estimator, partial)
    maker = estimator.func if made_anew else estimator
    if not is_foreign_map(maker) or (made_anew and not isinstance(maker, type)):
        return estimator
    if isinstance(maker, type):
        _check_call(estimator, maker.__name__)
    return ForeignMap(estimator)


def is_foreign_map(value: Any) -> bool:
    """Return whether a value is a map of others, or the class of one."""
    # Of the class alone: what an object computes when it is asked may take long.
    kind = value if isinstance(value, type) else type(value)
    return _is_photutils(kind) or all(callable(getattr(kind, name, 0)) for name in ("back", "rms"))


def _is_photutils(kind: type) -> bool:
    """Return whether a class is that of photutils' map."""
    return hasattr(kind, "background") and hasattr(kind, "background_rms")


def _check_call(maker: Any, name: str) -> None:
    """Raise TypeError where a map cannot be made of an image and a mask."""
    try:
        signature = inspect.signature(maker)
    except ValueError:  # some compiled classes show none
        return
    try:
        signature.bind(None, mask=None)
    except TypeError as problem:
        raise TypeError(
            f"bkg_estimator must be callable with an image and mask=, found {maker!r}, {problem}: "
            f"write functools.partial({name}, box_size=64, exclude_percentile=95)"
        ) from None


@dataclass(frozen=True, eq=False, repr=False)
class ForeignMap(MapEstimator):
    """
    A map of others, or what makes one of an image, as an estimator.

    The level is theirs, and so is the scatter of the pixels. The error of the level is that of the
    median of as many pixels as are good within a tile's size about each place, their rms the
    scatter; where the size is not known, that of all pixels, a lower limit. Of how far the sky
    bends between tiles it says nothing.

    Attributes
    ----------
    source
        The map, or its class or a partial of that.
    """

    source: Any

    def __repr__(self) -> str:
        return repr(self.source)

    def _follow(self, values: np.ndarray, bad: np.ndarray):
        """Return level and its error, with a unit where the map has one."""
        made = self._make(values, bad)
        level, rms = _read_map(made)
        for found in (level, rms):
            if np.shape(found) != values.shape:
                raise ValueError(
                    f"the sky level from {shorten(self)} must be of the image's shape "
                    f"{values.shape}, found {np.shape(found)}"
                )
        tile = self._find_tile(made)
        if tile is None:
            plain = getattr(level, "value", level)
            error = find_median_error((values - plain)[~bad])
            return level, error * getattr(level, "unit", 1.0)
        return level, rms * np.sqrt(MEDIAN_VARIANCE / _count_good(bad, tile))

    def _map_scatter(self, values: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return the scatter of the pixels."""
        _, rms = _read_map(self._make(values, bad))
        return np.asarray(getattr(rms, "value", rms), dtype=float)

    def _make(self, values: np.ndarray, bad: np.ndarray) -> Any:
        """Return the map, made of some pixels unless it is there; the bad ones look like sky."""
        if not isinstance(self.source, (type, partial)):
            return self.source
        benign = np.where(bad, np.median(values[~bad]), values)
        return self.source(benign, mask=bad.copy())

    def _find_tile(self, made: Any) -> tuple[int, int] | None:
        """Return rows and columns of a tile; None where they are not known."""
        if _is_photutils(type(made)):
            rows, columns = np.broadcast_to(made.box_size, 2)
            return int(rows), int(columns)
        if not isinstance(self.source, (type, partial)):
            return None
        given = _SEP_TILE | getattr(self.source, "keywords", {})
        return int(given["bh"]), int(given["bw"])


def _read_map(made: Any) -> tuple[Any, Any]:
    """Return level and scatter of the pixels of a map."""
    if _is_photutils(type(made)):
        level, rms = made.background, made.background_rms
    else:
        level, rms = made.back(), made.rms()
    return level, np.maximum(rms, _LEAST_SCATTER * np.median(rms))


def _count_good(bad: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Return the number of good pixels within a tile's size about each place, not too few."""
    from scipy.ndimage import uniform_filter

    size = [min(side, most) for side, most in zip(tile, bad.shape, strict=True)]
    share = uniform_filter((~bad).astype(float), size, mode="reflect")
    return np.maximum(share * np.prod(size), LEAST_PIXELS)
