"""Where the target and its neighbours are, however they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.catalog import translate_columns
from bayesphot.celestial import find_usable
from bayesphot.checks import check_number
from bayesphot.companions.orientation import check_scale
from bayesphot.companions.region import read_pixels
from bayesphot.sky_positions import is_sky, place_positions

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["list_starts", "read_target"]

#: A neighbour this near to the target, in FWHM, cannot be told apart from it.
INSEPARABLE = 0.25


def read_target(target, image) -> tuple[float, float]:
    """Return the target's place in pixels, given as such or on the sky of the image.

    Raises
    ------
    TypeError, ValueError
        If it is neither, not finite, or on a sky that the image does not have.
    """
    if is_sky(target):
        return _place_target(target, image)
    try:
        x, y = target
    except (TypeError, ValueError):
        raise TypeError(
            f"target must be a pair (x, y) of pixels, or a SkyCoord, found {target!r}"
        ) from None
    named = {"target x": x, "target y": y}
    x, y = (check_number(name, _refuse_angle(name, value)) for name, value in named.items())
    return x, y


def _refuse_angle(name: str, value):
    """Return a number of pixels; a place on the sky has a frame, and is none of two angles."""
    try:
        return read_pixels(name, value)
    except ValueError as problem:
        raise ValueError(f"{problem}: a place on the sky is a SkyCoord") from None


def _place_target(target, image) -> tuple[float, float]:
    """Return the pixels of a place on the sky."""
    if np.size(target.spherical.lon) != 1:
        raise ValueError(f"target must be one place, found {np.size(target.spherical.lon)}")
    wcs, problem = _find_wcs(image)
    if wcs is None:
        raise ValueError(
            f"target is on the sky and the image's WCS {problem}"
            if problem
            else "target is on the sky and the image has no celestial WCS: give it as NDData or "
            "CCDData with its wcs (bayesphot.read_image reads it), or give pixels (x, y)"
        )
    check_scale(wcs)
    x, y = (float(np.ravel(side)[0]) for side in place_positions(target, wcs).values())
    if not np.isfinite(x + y):
        text = " ".join(str(target).split())
        raise ValueError(f"target must have a place on the image's WCS, found {text}")
    return x, y


def _find_wcs(image):
    """Return the celestial coordinates of an image, and what is wrong with them."""
    wcs = getattr(image, "wcs", None)
    return (None, None) if wcs is None else find_usable(wcs, np.shape(image.data))


def list_starts(
    place: tuple[float, float], neighbours, image, *, fwhm: float, reach: float
) -> Table:
    """Return target and neighbours as a table of starts, all of one group.

    Parameters
    ----------
    place : (float, float)
        The target, pixels.
    neighbours : table or None
        As positions of a run.
    image : object
        Whose WCS places those on the sky.
    fwhm : float
        Of the PSF, pixels.
    reach : float
        Neighbours further from the target along x or y are left out, pixels.

    Raises
    ------
    TypeError, ValueError
        If they are no positions, or one lies on the target.
    """
    from astropy.table import Table

    x, y = _read_neighbours(neighbours, image)
    apart = np.hypot(x - place[0], y - place[1])
    if not (apart > INSEPARABLE * fwhm).all():
        raise ValueError(
            f"neighbours must have finite places more than {INSEPARABLE * fwhm:.2g} pixels "
            f"from the target, found one at a distance of {np.min(apart):.2g}: leave the target out"
        )
    near = np.maximum(np.abs(x - place[0]), np.abs(y - place[1])) <= reach
    table = Table({"x_0": [place[0], *x[near]], "y_0": [place[1], *y[near]]})
    table["group_id"] = 1
    return table


def _read_neighbours(neighbours, image) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n,) of neighbours in any spelling."""
    if neighbours is None:
        return np.zeros(0), np.zeros(0)
    try:
        columns = translate_columns(place_positions(neighbours, *_find_wcs(image)))
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"neighbours: {problem}") from None
    return columns["x"], columns["y"]
