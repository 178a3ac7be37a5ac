"""Fluxes of a catalogue as flux densities: surface brightness, nanomaggies, Jy, zero points."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from bayesphot.checks import check_number
from bayesphot.columns import strip_unit
from bayesphot.image import COUNTS

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["convert_fluxes"]

#: Flux columns of a catalogue.
COLUMNS = ("fit", "fit_err", "median", "err", "lo", "hi")
#: Beyond such zero points flux densities are no numbers.
LARGEST = 500.0
#: What names a row.
LABELS = ("id", "x_fit", "y_fit", "sky_fit", "ra", "dec")


def convert_fluxes(
    table, *, unit="Jy", pixel_area=None, beam=None, zero_point=None, equivalencies=()
) -> QTable:
    """
    Return the fluxes of a catalogue as flux densities.

    Parameters
    ----------
    table : QTable
        Catalogue with ``flux_*`` columns in the image's unit times pixel.
    unit, pixel_area, beam, zero_point, equivalencies
        As for `bayesphot.PhotometryResult.to_flux_density`.

    Raises
    ------
    TypeError, ValueError
        If the image's unit does not lead to `unit`, or something is missing for that.
    """
    from astropy.table import QTable

    target = _read_target(unit)
    equivalencies = [*u.zero_point_flux(u.ABflux), *equivalencies]
    factor, how = _find_factor(table, target, equivalencies, pixel_area, beam, zero_point)
    out = QTable()
    for name in LABELS:
        if name in table.colnames:
            out[name] = table[name]
    for name in COLUMNS:
        if f"flux_{name}" in table.colnames:
            out[f"flux_density_{name}"] = strip_unit(table[f"flux_{name}"]) * factor * target
    if target.is_equivalent(u.Jy, equivalencies):
        _add_magnitudes(out, (1.0 * target).to_value(u.ABflux, equivalencies))
    for name in out.colnames:
        if name.startswith(("flux_density_", "mag_")):
            out[name].info.format = ".6g" if name.startswith("flux") else ".4f"
    out.meta["flux_density"] = how
    return out


def _read_target(unit):
    """The wanted unit."""
    try:
        with warnings.catch_warnings():
            # Several slashes are as good as one.
            warnings.simplefilter("ignore", u.UnitsWarning)
            target = u.Unit(unit)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"unit must be one of flux density, such as 'Jy': {problem}") from None
    if not isinstance(target, u.UnitBase) or target.is_equivalent(u.mag):
        raise ValueError(
            f"unit must be one of flux density, such as 'Jy' (magnitudes come along), "
            f"found {unit!r}"
        )
    return target


def _find_factor(table, target, equivalencies, pixel_area, beam, zero_point):
    """Numbers to multiply fluxes with, one or one for each row, and what was done as text."""
    flux_unit = getattr(table["flux_fit"], "unit", None)
    image = u.dimensionless_unscaled if flux_unit is None else flux_unit / u.pix
    shown = image.to_string() or "no unit"
    if zero_point is not None:
        return _use_zero_point(image, shown, target, equivalencies, zero_point)
    if (image * u.sr).is_equivalent(target, equivalencies):
        area = _find_area(table, pixel_area, shown)
        scale = (1.0 * image * u.sr).to_value(target, equivalencies)
        return scale * area, f"{shown} times the area of a pixel"
    if (image * u.beam).is_equivalent(target, equivalencies):
        size = _read_beam(beam, shown)
        area = _find_area(table, pixel_area, shown)
        scale = (1.0 * image * u.beam).to_value(target, equivalencies)
        return scale * area / size, f"{shown}, {size:.6g} sr to a beam, times the area of a pixel"
    for per_pixel in (image * u.pix, image):
        if per_pixel.is_equivalent(target, equivalencies):
            return (1.0 * per_pixel).to_value(target, equivalencies), f"{shown}, sums over pixels"
    raise ValueError(
        f"the image has {shown}, which does not lead to {target}: give the AB magnitude of unit "
        "flux as zero_point, or equivalencies (such as astropy.units.spectral_density)"
    )


def _use_zero_point(image, shown: str, target, equivalencies, zero_point):
    """The factor of an AB zero point, for images in counts of any kind."""
    kind = getattr(zero_point, "unit", None)
    if kind not in (None, u.mag, u.ABmag):
        raise ValueError(f"zero_point must be in AB magnitudes, found {zero_point}")
    number = check_number("zero_point", getattr(zero_point, "value", zero_point))
    if abs(number) > LARGEST:
        raise ValueError(
            f"zero_point must lie between -{LARGEST:g} and {LARGEST:g}, found {number}"
        )
    counts = [kind / time for kind in COUNTS for time in (1, u.s)]
    if not any(image.is_equivalent(kind) for kind in counts):
        raise ValueError(
            f"zero_point is for images in counts, and this one is in {shown}: leave it out"
        )
    if not u.ABflux.is_equivalent(target, equivalencies):
        raise ValueError(f"unit must be one of flux density, such as 'Jy', found '{target}'")
    unit_flux = 10.0 ** (-0.4 * number) * (1.0 * u.ABflux).to_value(target, equivalencies)
    return unit_flux, f"{shown}, AB zero point {number:g}"


def _read_angle(name: str, value: Any, kind, example: str) -> np.ndarray:
    """Positive numbers of an area or an angle in steradian or radian."""
    if getattr(value, "unit", None) is None:
        raise TypeError(f"{name} must be a Quantity, such as {example}, found {value!r}")
    for unit in (kind, kind / u.pix, kind / u.beam):
        if value.unit.is_equivalent(unit):
            numbers = np.asarray(value.to_value(unit), dtype=float)
            wrong = numbers[~(np.isfinite(numbers) & (numbers > 0.0))]
            if wrong.size:
                raise ValueError(f"{name} must be positive and finite, found {value!r}")
            return numbers
    raise ValueError(f"{name} must be in a unit like {kind}, found '{value.unit}'")


def _find_area(table, pixel_area, shown: str) -> np.ndarray:
    """Solid angles of the pixel under each source, sr: given, or of the WCS."""
    example = "(1.2 * u.arcsec)**2"
    if pixel_area is not None:
        area = _read_angle("pixel_area", pixel_area, u.sr, example)
        if area.shape not in ((), (len(table),)):
            raise ValueError(
                f"pixel_area must be one or {len(table)} areas, found shape {area.shape}"
            )
        return area
    if "pixel_area" in table.colnames:
        return table["pixel_area"].to_value(u.sr)
    raise ValueError(
        f"the image has {shown} and had no WCS that says how large its pixels are: give "
        f"pixel_area, such as {example}"
    )


def _read_beam(beam, shown: str) -> float:
    """Solid angle of a beam in sr: given, or of a Gaussian of two widths at half maximum."""
    example = "(2.0, 1.5) * u.arcsec, the widths BMAJ and BMIN of the header, or a solid angle"
    if beam is None:
        raise ValueError(
            f"the image has {shown}, which says nothing without the beam: give beam={example}"
        )
    if isinstance(beam, (tuple, list)):
        if len(beam) != 2:
            raise ValueError(f"beam must be two widths or a solid angle, found {beam!r}")
        try:
            beam = u.Quantity(beam)
        except (TypeError, u.UnitsError):
            raise ValueError(
                f"beam must be two angles, such as {example}, found {beam!r}"
            ) from None
    if np.shape(beam) == (2,):
        widths = _read_angle("beam", beam, u.rad, example)
        return float(np.pi / (4.0 * np.log(2.0)) * widths[0] * widths[1])
    if np.shape(beam) != ():
        raise ValueError(f"beam must be two widths or a solid angle, found {beam!r}")
    return float(_read_angle("beam", beam, u.sr, example))


def _add_magnitudes(out, scale: float) -> None:
    """Add AB magnitudes; NaN where a flux, or the lower end of its interval, is not positive."""

    def magnitude(name: str) -> np.ndarray:
        flux = strip_unit(out[f"flux_density_{name}"]) * scale
        with np.errstate(divide="ignore", invalid="ignore"):
            return -2.5 * np.log10(np.where(flux > 0.0, flux, np.nan))

    out["mag_ab_fit"] = magnitude("fit")
    if "flux_density_lo" not in out.colnames:
        return
    weak = np.isnan(magnitude("lo"))
    # The brighter end of the interval is the smaller magnitude.
    for name, source in (("median", "median"), ("lo", "hi"), ("hi", "lo")):
        out[f"mag_ab_{name}"] = np.where(weak, np.nan, magnitude(source))
