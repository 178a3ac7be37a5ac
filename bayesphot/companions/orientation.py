"""How a step on the detector becomes an angle on the sky: a WCS, or a scale, north and parity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u

from bayesphot.celestial import find_separations, find_usable, rebuild_wcs
from bayesphot.checks import check_number

__all__ = ["Orientation", "check_scale", "read_orientation"]


@dataclass(frozen=True)
class Orientation:
    """Where north and east are on the detector, and how large a pixel is.

    Parameters
    ----------
    pixel_scale : float or None
        Arcsec per pixel; None: not known.
    north : float or None
        Direction of north, degrees counterclockwise from +y; None: not known, angles are from +y.
    flipped : bool
        Whether east is clockwise from north.
    wcs : object or None
        Celestial coordinates, in place of all these.
    """

    pixel_scale: float | None = None
    north: float | None = None
    flipped: bool = False
    wcs: Any = None

    @property
    def is_sky(self) -> bool:
        """Whether angles are those on the sky."""
        return self.wcs is not None or self.north is not None

    @property
    def text(self) -> str:
        """What position angles are measured from."""
        return "from north through east" if self.is_sky else "from +y, counterclockwise"

    def measure(self, x, y, x_2, y_2) -> tuple[np.ndarray | None, np.ndarray]:
        """Return separations in arcsec (None without a scale) and angles, 0 to 360 degrees."""
        shape = np.shape(x)
        if self.wcs is not None:
            pixels = (np.ravel(values) for values in (x, y, x_2, y_2))
            separation, angle = find_separations(self.wcs, *pixels)
            return 3600.0 * separation.reshape(shape), angle.reshape(shape)
        dx, dy = x_2 - x, y_2 - y
        separation = np.hypot(dx, dy)
        # Counterclockwise from +y, which leads to -x.
        angle = np.rad2deg(np.arctan2(-dx, dy)) - (self.north or 0.0)
        angle = (-angle if self.flipped else angle) % 360.0
        # The remainder of a tiny negative angle rounds to 360.
        angle = np.where(angle == 360.0, 0.0, angle)
        arcsec = None if self.pixel_scale is None else self.pixel_scale * separation
        return arcsec, np.where(separation > 0.0, angle, np.nan)


def read_orientation(
    shape: tuple[int, int], kept, *, pixel_scale=None, north=None, flipped=False, wcs=None
) -> Orientation:
    """
    Return the orientation that was given, else that of the WCS whose keywords were kept.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, or a WCS stands beside a scale, north or parity.
    """
    if not isinstance(flipped, (bool, np.bool_)):
        raise TypeError(f"flipped must be True or False, found {flipped!r}")
    if flipped and north is None:
        raise ValueError("flipped is the parity about north: give north, too")
    if wcs is not None:
        if pixel_scale is not None or north is not None:
            raise ValueError("wcs holds scale and north: leave out pixel_scale and north")
        usable, problem = find_usable(wcs, shape)
        if usable is None:
            raise ValueError(f"wcs {problem or f'must have celestial axes, found {_name(wcs)}'}")
        return Orientation(wcs=check_scale(usable))
    if pixel_scale is None and north is None:
        if not isinstance(kept, Mapping):
            return Orientation()
        return Orientation(wcs=check_scale(rebuild_wcs(kept)))
    scale = _read_angle("pixel_scale", pixel_scale, (u.arcsec / u.pix, u.arcsec))
    if scale is not None:
        check_number("pixel_scale", scale, above=0.0)
    return Orientation(scale, _read_angle("north", north, (u.deg,)), bool(flipped))


def check_scale(wcs):
    """Return a WCS; raise ValueError if nothing but the default says how large its pixels are."""
    linear = getattr(wcs, "wcs", None)
    if linear is None or linear.has_cd() or not np.all(linear.cdelt == 1.0):
        return wcs
    if np.array_equal(np.abs(linear.get_pc()), np.eye(linear.naxis)):
        raise ValueError(
            "the image's WCS has no scale: without CD or CDELT a pixel is a degree; give "
            "pixel_scale, and north, in its place, and places in pixels"
        )
    return wcs


def _name(wcs) -> str:
    """Return the axes of a WCS, or what else it is."""
    axes = getattr(getattr(wcs, "wcs", None), "ctype", None)
    if axes is None:
        return type(wcs).__name__
    return ", ".join(repr(str(axis)) for axis in axes)


def _read_angle(name: str, value, units) -> float | None:
    """Return a number as it is, a Quantity in the first unit that fits; None for None."""
    unit = getattr(value, "unit", None)
    if value is None or unit is None:
        return None if value is None else check_number(name, value)
    for target in units:
        if unit.is_equivalent(target):
            return check_number(name, value.to_value(target))
    raise ValueError(f"{name} must be in {units[0]}, found {value!r}")
