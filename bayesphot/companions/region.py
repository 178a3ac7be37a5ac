"""The region searched and the pixels fitted, in widths of the PSF, within its stamp."""

from __future__ import annotations

import math
from typing import NamedTuple

from astropy import units as u

from bayesphot.checks import check_integer, check_number
from bayesphot.psf import PSFConfig

__all__ = ["Region", "choose_region", "read_pixels"]

#: Default radius of the region searched, and distance of the places, in FWHM.
RADIUS, STEP = 3.0, 0.1
#: What is left of the fit box beyond the region searched, in FWHM.
BORDER = 2.0
#: Steps from the target to the border of the region, at most.
MOST_STEPS = 100


class Region(NamedTuple):
    """
    Where companions are looked for.

    Attributes
    ----------
    radius : float
        Half side of the square of the places, pixels.
    step : float
        Distance of the places, pixels, about.
    box : int
        Side of the fit box, odd, pixels.
    cut : bool
        Whether the PSF's stamp made one of them smaller.
    """

    radius: float
    step: float
    box: int
    cut: bool


def choose_region(psf: PSFConfig, radius=None, step=None, box=None) -> Region:
    """Return the region of the arguments, by default three FWHM to each side.

    A star's light beyond the stamp of its PSF is in no model: on the pixels there it would be taken
    for companions. What is not given therefore ends with the stamp.

    Raises
    ------
    TypeError, ValueError
        If a number is wrong, there are too many places, or the stamp ends within the radius.
    """
    # The target lies up to half a pixel off the middle of its box.
    most = math.floor(psf.stamp - 0.5) if math.isfinite(psf.stamp) else math.inf
    if radius is None:
        wanted = RADIUS * psf.fwhm
        radius = min(wanted, most)
    else:
        wanted = radius = _read_length("radius", radius)
        if radius > most:
            raise ValueError(
                f"radius must lie on the PSF's stamp, which ends {psf.stamp:g} pixels from its "
                f"middle, found {radius:g}: at most {most:g}, or give a PSF with a larger stamp"
            )
    step = STEP * psf.fwhm if step is None else _read_length("step", step)
    if not step <= radius:
        raise ValueError(f"step must be at most the radius, {radius:g}, found {step:g}")
    if radius / step > MOST_STEPS:
        raise ValueError(
            f"radius={radius:g} and step={step:g} make too many places: at most {MOST_STEPS} steps "
            "to the radius"
        )
    cut = radius < wanted
    if box is None:
        half = math.ceil(radius + BORDER * psf.fwhm)
        cut |= half > most
        box = 2 * int(min(half, most)) + 1
    elif check_integer("box", box, least=2 * math.ceil(radius) + 1) % 2 == 0:
        raise ValueError(f"box must be odd, found {box}")
    return Region(float(radius), float(step), int(box), cut)


def _read_length(name: str, value) -> float:
    """Return a positive number of pixels."""
    return check_number(name, read_pixels(name, value), above=0.0)


def read_pixels(name: str, value):
    """Return a value as it is, a Quantity in pixels as a number; ValueError for another unit."""
    unit = getattr(value, "unit", None)
    if unit is None:
        return value
    for wanted in (u.pix, u.dimensionless_unscaled):
        if unit.is_equivalent(wanted):
            return value.to_value(wanted)
    raise ValueError(f"{name} must be in pixels, found {value}")
