"""Saturated cores: plateaus at the top of an image, found in the data and masked.

A detector that cannot count higher leaves several adjacent pixels at one and the same value, the
image's largest. Noise makes such ties all but impossible elsewhere: they are looked for only where
that value stands far out of the image. Two or four equal pixels can be those of a star without
noise that is centred between them; five cannot.
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
#: Share of the good pixels that saturated stars cannot exceed: such an image is a constant.
MOST = 0.2


@dataclass(frozen=True)
class Plateau:
    """The value at which an image is cut off, and how many pixels have it."""

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
    if np.bincount(patches.ravel())[1:].max() < LEAST:
        return None
    median = np.median(good)
    spread = float(np.median(np.abs(good - median)))
    if np.all(good == np.round(good)):
        # Of a map of few counts most pixels are equal.
        spread = max(spread, 1.0)
    if image.error is not None:
        spread = max(spread, float(np.median(image.error[image.good])))
    if not level - median > FAR * spread:
        return None
    return Plateau(level, count), top


def mask_plateau(image: Image) -> tuple[Image, Plateau | None]:
    """Return the image with saturated pixels masked, and what was found."""
    found = find_plateau(image)
    if found is None:
        return image, None
    plateau, top = found
    log.info(
        "masked %d pixels at the image's largest value, %g, and those beside them: several are "
        "adjacent, as where stars are saturated",
        plateau.n_pixel,
        plateau.level,
    )
    grown = _grow(top)
    data = np.where(grown, 0.0, image.data)
    error = None if image.error is None else np.where(grown, 1.0, image.error)
    good = image.good & ~grown
    cores = _find_cores(top, grown)
    return replace(image, data=data, good=good, error=error, cores=cores), plateau


def _grow(top: np.ndarray) -> np.ndarray:
    """Return saturated pixels and those that share a side with one.

    Of these, the ones that noise lifted are cut off and masked: the others are too faint.
    """
    from scipy.ndimage import binary_dilation

    return binary_dilation(top)


def _find_cores(top: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """Return x, y and radius (k, 3) of each patch of bad pixels: the saturated ones' centroid."""
    from scipy.ndimage import center_of_mass, label

    patches, n = label(grown, structure=np.ones((3, 3)))
    center = np.array(center_of_mass(top, patches, np.arange(1, n + 1)))
    radius = np.sqrt(np.bincount(patches.ravel())[1:] / np.pi)
    return np.column_stack([center[:, ::-1], radius])
