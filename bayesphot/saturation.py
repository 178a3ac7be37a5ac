"""Saturated cores: pixels at a given level, or plateaus at the top of an image, masked.

A detector that cannot count higher leaves several adjacent pixels at one and the same value, the
image's largest. Noise makes such ties all but impossible elsewhere: they are looked for only where
that value stands far out of the image. Two or four equal pixels can be those of a star without
noise that is centred between them; five cannot. Where the level is given, nothing is looked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from bayesphot.image import Image

__all__ = ["Plateau", "find_plateau", "mask_plateau"]

log = logging.getLogger("bayesphot")

#: Adjacent pixels of one value, at the least, that are no star.
LEAST = 5
#: How far above the image's median it stands, in median absolute deviations, at least of one count.
FAR = 30.0
#: The same where so many patches have the value.
FAR_OF_MANY = 10.0
MANY = 3
#: Share of the good pixels that saturated stars cannot exceed: such an image is a constant.
MOST = 0.2


@dataclass(frozen=True)
class Plateau:
    """The value at which an image is cut off, and how many pixels have reached it."""

    level: float
    n_pixel: int


def find_plateau(image: Image) -> tuple[Plateau, np.ndarray] | None:
    """Return the plateau of an image and its pixels (ny, nx), None where it has none.

    Parameters
    ----------
    image : Image
        The prepared image.
    """
    from scipy.ndimage import label

    if not image.good.any():
        return None
    good = image.data[image.good]
    level = float(good.max())
    top = image.good & (image.data == level)
    count = int(top.sum())
    if not LEAST <= count <= MOST * good.size:
        return None
    patches, _ = label(top)
    n_patch = np.count_nonzero(np.bincount(patches.ravel())[1:] >= LEAST)
    if n_patch == 0:
        return None
    median = np.median(good)
    spread = float(np.median(np.abs(good - median)))
    if np.all(good == np.round(good)):
        # Of a map of few counts most pixels are equal.
        spread = max(spread, 1.0)
    if image.error is not None:
        spread = max(spread, float(np.median(image.error[image.good])))
    if not level - median > (FAR_OF_MANY if n_patch >= MANY else FAR) * spread:
        return None
    return Plateau(level, count), top


def mask_plateau(image: Image, level: float | None = None) -> tuple[Image, Plateau | None]:
    """Return the image with saturated pixels masked, and what was found.

    Parameters
    ----------
    image : Image
        The prepared image.
    level : float, optional
        Pixels from here on are saturated; None: those of the plateau, if there is one.
    """
    found = find_plateau(image) if level is None else _find_above(image, level)
    if found is None:
        return image, None
    plateau, top = found
    log.info(
        "masked %d pixels %s, and those beside them", plateau.n_pixel, _explain(plateau, level)
    )
    grown = _grow(top)
    data = np.where(grown, 0.0, image.data)
    error = None if image.error is None else np.where(grown, 1.0, image.error)
    good = image.good & ~grown
    cores = _find_cores(top, grown, plateau.level)
    masked = replace(image, data=data, good=good, error=error, cores=cores, saturated=grown)
    return masked, plateau


def _find_above(image: Image, level: float) -> tuple[Plateau, np.ndarray] | None:
    """Return what of an image is at a level or above it, None where nothing is."""
    top = image.good & (image.data >= level)
    return (Plateau(level, int(top.sum())), top) if top.any() else None


def _explain(plateau: Plateau, level: float | None) -> str:
    """Return which pixels are saturated."""
    if level is not None:
        return f"at or above the saturation level, {plateau.level:g}"
    return (
        f"at the image's largest value, {plateau.level:g}: several are adjacent, as where stars "
        "are saturated"
    )


def _grow(top: np.ndarray) -> np.ndarray:
    """Return saturated pixels and those that share a side with one.

    Of these, the ones that noise lifted are cut off and masked: the others are too faint.
    """
    from scipy.ndimage import binary_dilation

    return binary_dilation(top)


def _find_cores(top: np.ndarray, grown: np.ndarray, level: float) -> np.ndarray:
    """Return x, y, radius and level (k, 4) of each patch of bad pixels.

    The place is the centroid of its saturated pixels about the point that lies deepest in it, so
    that a trail of bled charge, which is narrow, moves it little.
    """
    from scipy.ndimage import distance_transform_edt, find_objects, label

    patches, n = label(grown, structure=np.ones((3, 3)))
    cores = np.empty((n, 4))
    for k, here in enumerate(find_objects(patches)):
        mine = np.pad(patches[here] == k + 1, 1)
        depth = distance_transform_edt(mine)[1:-1, 1:-1]
        row, col = np.nonzero(depth >= depth.max() - 0.5)
        # Of a trail alone, too, one pixel and not the middle of all.
        middle = np.argmin(np.hypot(row - row.mean(), col - col.mean()))
        rows, cols = np.nonzero(top[here] & (patches[here] == k + 1))
        near = np.hypot(rows - row[middle], cols - col[middle]) <= 1.5 * depth.max()
        cores[k, 0] = here[1].start + cols[near].mean()
        cores[k, 1] = here[0].start + rows[near].mean()
        cores[k, 2] = np.sqrt(np.count_nonzero(mine) / np.pi)
    cores[:, 3] = level
    return cores
