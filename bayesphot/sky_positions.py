"""Positions on the sky become pixels of an image, their errors priors in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from bayesphot.catalog import POSITION_SPELLINGS, translate_columns
from bayesphot.celestial import (
    clean_sky,
    find_jacobians,
    find_pixel_areas,
    find_pixels,
    find_usable,
)
from bayesphot.checks import check_number
from bayesphot.columns import list_names, read_floats

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["is_sky", "place_catalog", "place_positions"]

#: What ra may be called, first found first used, with what dec is called then, in lower case.
SKY_SPELLINGS = (
    ("ra", "dec"),
    ("ra_icrs", "de_icrs"),
    ("raj2000", "dej2000"),
    ("_raj2000", "_dej2000"),
    ("ra_deg", "dec_deg"),
    ("radeg", "decdeg"),
    ("alpha_j2000", "delta_j2000"),
)
#: Columns with coordinates of their own frame, first found first used.
COORDINATES = (
    "sky_0",
    "sky",
    "skycoord",
    "sky_coord",
    "coord",
    "coords",
    "sky_fit",
    "sky_centroid",
)
ERROR_SPELLINGS = (
    ("ra_err", "dec_err"),
    ("ra_error", "dec_error"),
    ("e_ra", "e_dec"),
    ("e_ra_icrs", "e_de_icrs"),
    ("e_raj2000", "e_dej2000"),
    ("era", "edec"),
)
PIXEL_ERRORS = (("x_err", "y_err"), ("x_fit_err", "y_fit_err"), ("x_error", "y_error"))
SKY_PRIORS = ("ra_prior_sd", "dec_prior_sd")


def place_positions(positions, wcs, problem: str | None = None) -> Any:
    """
    Return positions with pixels: as they are where they have some, else those of their sky.

    Parameters
    ----------
    positions : table, mapping, structured array, data frame or SkyCoord
        With pixels, or with ``ra`` and ``dec`` (degrees where they have no unit, ICRS), or a
        column that is a SkyCoord. ``ra_prior_sd`` and ``dec_prior_sd``, angles on the sky, become
        priors in pixels.
    wcs : object or None
        Usable coordinates of the image.
    problem : str, optional
        What is wrong with those that cannot be used.

    Raises
    ------
    TypeError, ValueError
        If the sky is given and there is no WCS, or columns do not hold what they must.
    """
    if is_sky(positions):
        x, y = find_pixels(_require_wcs(wcs, problem), clean_sky(positions))
        return {"x_0": x, "y_0": y}
    names = list_names(positions)
    sky = None if _has_pixels(names) else _read_sky(positions, names)
    if sky is None:
        return positions
    wcs = _require_wcs(wcs, problem)
    x, y = find_pixels(wcs, sky)
    placed: dict[str, Any] = {"x_0": x, "y_0": y}
    errors = _read_errors(positions, names, (SKY_PRIORS,), len(x), on_sky=True)
    if errors is not None:
        placed["x_prior_sd"], placed["y_prior_sd"] = _turn_errors(wcs, x, y, sky, errors)
    for name in names.values():
        if name.lower() not in SKY_PRIORS and not is_sky(positions[name]):
            placed[name] = positions[name]
    return placed


def place_catalog(catalog, wcs=None, *, errors: bool = True, registration=0.0) -> QTable:
    """
    Make the positions of a run from a catalogue: pixels, with its errors as priors.

    Parameters
    ----------
    catalog : table, mapping, structured array, data frame or SkyCoord
        ``ra``, ``dec`` (ICRS; degrees where they have no unit) or a column that is a
        `~astropy.coordinates.SkyCoord`; or pixels ``x_0``, ``y_0`` in any spelling that a run
        takes. Errors: ``ra_err``, ``dec_err`` (also ``ra_error``, ``e_ra``, ``e_RA_ICRS``, ...),
        1-sigma angles on the sky, that of RA times cos(dec), with a unit; of pixels ``x_err``,
        ``y_err``. All other columns (``id``, ``flux_0``, ...) travel along.
    wcs : WCS, optional
        Celestial coordinates of the image, in astropy's interface. Not needed for pixels.
    errors : bool
        Whether the errors become priors ``x_prior_sd``, ``y_prior_sd`` about the positions.
    registration : float or `~astropy.units.Quantity`
        1-sigma error of the registration of the catalogue on the image, of each coordinate, added
        in quadrature: pixels, or an angle. It is as real as the catalogue's errors, and mostly
        larger; here it is independent for each source.

    Returns
    -------
    QTable
        ``x_0``, ``y_0``, priors, and the other columns. A place without pixels is NaN, which a run
        flags NO_POSITION.

    Raises
    ------
    TypeError, ValueError
        If columns are missing or do not hold what they must, an error has no unit or is negative,
        or the WCS is missing or cannot be used.

    Notes
    -----
    Priors of x and y are independent: where the WCS is rotated and errors differ along RA and dec,
    the correlation of x and y is left out, their standard deviations are right. A row whose
    error is not known has the registration alone as its prior, none where that is 0. Proper motions
    are not applied: see `~astropy.coordinates.SkyCoord.apply_space_motion`.

    Examples
    --------
    >>> import bayesphot as bp
    >>> from astropy import units as u
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10, 20], [33, 33]
    >>> wcs.wcs.cdelt = [-1e-4, 1e-4]
    >>> stars = {"ra": [10.0], "dec": [20.001], "ra_err": [36] * u.mas, "dec_err": [72] * u.mas}
    >>> placed = bp.place_catalog(stars, wcs)
    >>> placed["x_0"].round(3), placed["y_0"].round(3), placed["y_prior_sd"].round(3)
    (array([32.]), array([42.]), array([0.2]))
    """
    from astropy.table import QTable

    sky = clean_sky(catalog) if is_sky(catalog) else None
    names = {} if sky is not None else list_names(catalog)
    if sky is None and not _has_pixels(names):
        sky = _read_sky(catalog, names)
    usable = None
    if sky is not None or _is_angle(registration):
        usable = _require_wcs(*find_usable(wcs))
    if sky is not None:
        x, y = find_pixels(usable, sky)
    else:
        xy = translate_columns(catalog)
        x, y = xy["x"], xy["y"]
    sds = None
    if errors and names:
        spellings = PIXEL_ERRORS if sky is None else ERROR_SPELLINGS
        sds = _read_errors(catalog, names, spellings, len(x), on_sky=sky is not None)
    if sds is not None and sky is not None:
        sds = _turn_errors(usable, x, y, sky, sds)
    shift = _read_registration(registration, usable, x, y)
    table = QTable({"x_0": x, "y_0": y})
    if sds is not None or np.any(shift > 0.0):
        for i, name in enumerate(("x_prior_sd", "y_prior_sd")):
            own = np.full(len(x), np.nan) if sds is None else sds[i]
            total = np.hypot(np.nan_to_num(own, nan=0.0), shift)
            table[name] = np.where(np.isnan(own) & (total == 0.0), np.nan, total)
    for name in table.colnames:
        table[name].info.format = ".4f"
    for name in names.values():
        if name not in table.colnames:
            column = catalog[name]
            table[name] = column.to_numpy() if hasattr(column, "to_numpy") else column
    return table


def _is_angle(value) -> bool:
    """Whether a value has the unit of an angle."""
    unit = getattr(value, "unit", None)
    return unit is not None and unit.is_equivalent(u.deg)


def is_sky(value) -> bool:
    """Whether a value is a SkyCoord, or another frame with data."""
    return hasattr(value, "spherical") and hasattr(value, "separation")


def _has_pixels(names: dict[str, str]) -> bool:
    """Whether a table has pixels under one of their spellings."""
    return any(name in names and name.replace("x", "y") in names for name in POSITION_SPELLINGS)


def _require_wcs(wcs, problem: str | None = None):
    """The WCS; ValueError where there is none."""
    if wcs is not None:
        return wcs
    if problem is not None:
        raise ValueError(f"positions are on the sky and the WCS {problem}")
    raise ValueError(
        "positions are on the sky and the image has no celestial WCS: give it as NDData or "
        "CCDData with its wcs (bayesphot.read_image reads it), or give pixels x_0 and y_0"
    )


def _read_sky(positions, names: dict[str, str]):
    """Coordinates of a table, cleaned; None where it has none."""
    from astropy.coordinates import SkyCoord

    found = [name for name in names.values() if is_sky(positions[name])]
    preferred = [names[name] for name in COORDINATES if names.get(name) in found]
    if not preferred and len(found) > 1:
        raise ValueError(
            f"positions have several columns of coordinates ({', '.join(found)}): call the one to "
            "use 'sky', or leave the others out"
        )
    if found:
        return clean_sky(positions[(preferred or found)[0]])
    for ra_name, dec_name in SKY_SPELLINGS:
        if ra_name in names and dec_name in names:
            ra = _read_degrees(positions, names[ra_name])
            dec = _read_degrees(positions, names[dec_name], n_rows=len(ra))
            wrong = np.flatnonzero(np.abs(dec) > 90.0)
            if wrong.size:
                raise ValueError(
                    f"{names[dec_name]} must lie between -90 and 90 degrees, "
                    f"found {dec[wrong[0]]:g} in row {wrong[0]}"
                )
            return SkyCoord(ra, dec, unit="deg")
    return None


def _read_degrees(positions, name: str, n_rows: int | None = None) -> np.ndarray:
    """A column of angles in degrees, infinite ones NaN; a text is refused with the way out."""
    try:
        angle = read_floats(positions, name, units=(u.deg,), n_rows=n_rows)
    except TypeError as problem:
        raise TypeError(
            f"{problem}: make a SkyCoord of sexagesimal texts, "
            "SkyCoord(ra, dec, unit=('hourangle', 'deg'))"
        ) from None
    return np.where(np.isfinite(angle), angle, np.nan)


def _read_errors(
    positions, names, spellings, n_rows: int, *, on_sky: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Errors of both coordinates, degrees on the sky or pixels; None where there are none."""
    for pair in spellings:
        found = [names[name] for name in pair if name in names]
        if not found:
            continue
        if len(found) == 1:
            other = next(name for name in pair if name not in names)
            raise ValueError(f"{found[0]} needs {other} beside it")
        for name in found if on_sky else ():
            if getattr(positions[name], "unit", None) is None:
                raise ValueError(f"{name} must have a unit (mas, arcsec, deg, ...), found none")
        units = (u.deg,) if on_sky else (u.pix, u.dimensionless_unscaled)
        one, two = (read_floats(positions, name, units=units, n_rows=n_rows) for name in found)
        for name, values in zip(found, (one, two), strict=True):
            wrong = np.flatnonzero((values < 0.0) | np.isinf(values))
            if wrong.size:
                raise ValueError(
                    f"{name} must be positive, or NaN where it is not known, "
                    f"found {positions[name][wrong[0]]} in row {wrong[0]}"
                )
        return one, two
    return None


def _turn_errors(wcs, x, y, sky, errors) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations of x and y from those along RA (on the sky) and dec, in degrees."""
    jacobian = find_jacobians(wcs, x, y, sky)
    variance = (jacobian * np.stack(errors, axis=1)[:, None, :]) ** 2
    sd = np.sqrt(variance.sum(axis=2))
    return sd[:, 0], sd[:, 1]


def _read_registration(value, wcs, x, y) -> np.ndarray:
    """The error of the registration in pixels at each place."""
    unit = getattr(value, "unit", None)
    if unit is None:
        return np.full(len(x), check_number("registration", value, least=0.0))
    if _is_angle(value):
        angle = check_number("registration", value.to_value(u.deg), least=0.0)
        return np.nan_to_num(angle / np.sqrt(find_pixel_areas(wcs, x, y)), nan=0.0)
    if not unit.is_equivalent(u.pix):
        raise ValueError(f"registration must be in pixels or an angle, found {value}")
    return np.full(len(x), check_number("registration", value.to_value(u.pix), least=0.0))
