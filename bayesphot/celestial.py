"""World coordinates of an image: usable or not, pixels to the sky and back, areas of pixels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = [
    "clean_sky",
    "describe_wcs",
    "find_jacobians",
    "find_pixel_areas",
    "find_pixels",
    "find_separations",
    "find_sky",
    "find_usable",
    "rebuild_wcs",
]

#: Pixels by which a way to the sky and back may miss: less than any fit can tell.
TOLERANCE = 1e-3
#: Half a step of the differences that give areas of pixels, pixels.
HALF_STEP = 0.5


def find_usable(wcs, shape: tuple[int, int] | None = None) -> tuple[Any, str | None]:
    """
    Return the celestial coordinates of an image, and what is wrong where they cannot be used.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`, any other WCS of astropy's interface, or None
        As it came with the image; more than two axes lose those that are not celestial.
    shape : (int, int), optional
        Shape (ny, nx) of the image, in whose middle it is tried; else at its reference pixel.

    Returns
    -------
    wcs : object or None
        None where there are no celestial coordinates, or they cannot be used.
    problem : str or None
        Why not; None where there are none to be used, or all is well.
    """
    if wcs is None:
        return None, None
    try:
        if not getattr(wcs, "has_celestial", True):
            return None, None
        if getattr(wcs, "pixel_n_dim", 2) != 2:
            wcs = getattr(wcs, "celestial", None)
            if wcs is None:
                return None, "has more than two axes"
        middle = _find_middle(wcs, shape)
        sky = find_sky(wcs, *middle)
        if sky is None:
            return None, None
        if not np.isfinite(sky.spherical.lon.deg + sky.spherical.lat.deg):
            return None, "has no sky under the middle of the image"
        back = _invert(wcs, sky)
    except Exception as problem:
        # Of wcslib, of gwcs, or of frames that do not transform: a family without a common name.
        why = str(problem).strip().splitlines()[-1:] or [type(problem).__name__]
        return None, f"cannot be used ({why[0]})"
    miss = np.hypot(back[0] - middle[0], back[1] - middle[1])
    if not miss <= TOLERANCE:
        where = "nowhere" if np.isnan(miss) else f"to {miss:.2g} pixels from it"
        return None, (
            f"cannot be inverted: from the middle of the image to the sky and back leads {where}"
        )
    return wcs, None


def _find_middle(wcs, shape: tuple[int, int] | None) -> tuple[float, float]:
    """A pixel (x, y) that should be on the sky: the middle, else the reference."""
    if shape is None:
        shape = getattr(wcs, "array_shape", None)
    if shape is not None:
        return 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)
    reference = getattr(getattr(wcs, "wcs", None), "crpix", (1.0, 1.0))
    return float(reference[0]) - 1.0, float(reference[1]) - 1.0


def find_sky(wcs, x, y):
    """Return the SkyCoord (n,) of pixels, None where the WCS is not celestial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sky = wcs.pixel_to_world(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    return sky if hasattr(sky, "icrs") else None


def find_pixels(wcs, sky) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the pixels (n,) of places on the sky; NaN where there are none.

    Coordinates that are not finite, not on the projection, or whose inversion (of a
    distorted WCS, far off the image) does not lead back to them are NaN.

    Parameters
    ----------
    wcs : object
        As by `find_usable`.
    sky : `~astropy.coordinates.SkyCoord` (n,)
        Places as by `clean_sky`, in any frame that transforms to that of the WCS.

    Raises
    ------
    ValueError
        If the frame does not.
    """
    x, y = np.full(len(sky), np.nan), np.full(len(sky), np.nan)
    rows = np.flatnonzero(np.isfinite(sky.spherical.lon.deg) & np.isfinite(sky.spherical.lat.deg))
    if rows.size == 0:
        return x, y
    try:
        x_here, y_here = _invert(wcs, sky[rows])
    except Exception as problem:
        # Frames that need a time or a place to be transformed fail in ways of their own.
        raise ValueError(
            f"positions in the frame {sky.frame.name} do not transform to that of the WCS: "
            f"{problem}"
        ) from problem
    found = np.isfinite(x_here) & np.isfinite(y_here)
    rows, x_here, y_here = rows[found], x_here[found], y_here[found]
    if rows.size == 0:
        return x, y
    back = find_sky(wcs, x_here, y_here)
    miss = sky[rows].transform_to(back.frame).separation(back).deg
    scale = np.sqrt(find_pixel_areas(wcs, x_here, y_here))
    with np.errstate(invalid="ignore"):
        true = miss <= TOLERANCE * scale
    x[rows[true]], y[rows[true]] = x_here[true], y_here[true]
    return x, y


def find_pixel_areas(wcs, x, y) -> np.ndarray:
    """
    Return the solid angle (n,) of pixels in square degrees; NaN off the projection.

    The area of the parallelogram of half-pixel steps along both axes, on the tangent plane of each
    place: right at the poles, across RA 0 and under distortion.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    vectors = []
    for dx, dy in ((HALF_STEP, 0.0), (-HALF_STEP, 0.0), (0.0, HALF_STEP), (0.0, -HALF_STEP)):
        sky = find_sky(wcs, x + dx, y + dy)
        vectors.append(sky.spherical.represent_as(_unit_sphere()).to_cartesian().xyz.value)
    right, left, up, down = vectors
    across = np.cross(right - left, up - down, axis=0)
    return np.sqrt((across**2).sum(axis=0)) * np.rad2deg(1.0) ** 2


def find_jacobians(wcs, x, y, sky) -> np.ndarray:
    """
    Return (n, 2, 2) the change of x and y by a step on the sky to the east and to the north.

    Per degree of arc, in the frame of `sky`, whose coordinates are those of the pixels.
    """
    from astropy import units as u

    step = np.sqrt(find_pixel_areas(wcs, x, y)) * HALF_STEP
    out = np.empty((len(x), 2, 2))
    for j, angle in enumerate((90.0, 0.0)):
        ends = []
        for turn in (0.0, 180.0):
            moved = sky.directional_offset_by((angle + turn) * u.deg, step * u.deg)
            ends.append(np.stack(_invert(wcs, moved), axis=1))
        out[:, :, j] = (ends[0] - ends[1]) / (2.0 * step[:, None])
    return out


def find_separations(wcs, x, y, x_2, y_2) -> tuple[np.ndarray, np.ndarray]:
    """
    Return (n,) separations and position angles of second pixels from first ones, degrees.

    Along great circles, angles at the first place from the north of ICRS through east, 0 to 360;
    NaN off the projection, the angle also where both places are one.
    """
    first, second = (find_sky(wcs, *pixel).icrs for pixel in ((x, y), (x_2, y_2)))
    separation = np.asarray(first.separation(second).deg)
    angle = np.asarray(first.position_angle(second).deg) % 360.0
    return separation, np.where(separation > 0.0, angle, np.nan)


def describe_wcs(wcs, shape: tuple[int, int]) -> dict | None:
    """
    Return a WCS as keywords of a FITS header; None where a header does not hold it.

    Those of gwcs and distortions by tables do not go into one: the sky of the corners tells.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            keywords = dict(wcs.to_header(relax=True))
        again = rebuild_wcs(keywords)
        x = (shape[1] - 1) * np.array([0.0, 1.0, 0.0, 1.0, 0.5])
        y = (shape[0] - 1) * np.array([0.0, 0.0, 1.0, 1.0, 0.5])
        miss = find_sky(wcs, x, y).separation(find_sky(again, x, y)).deg
        scale = np.sqrt(find_pixel_areas(wcs, x, y))
    except Exception:
        # Of wcslib, of gwcs, or of a header that does not make a WCS: none that can be kept.
        return None
    # Corners off the projection have no sky, here and there.
    known = np.isfinite(scale)
    return keywords if np.all(miss[known] <= TOLERANCE * scale[known]) else None


def rebuild_wcs(keywords) -> Any:
    """Return the WCS of keywords as by `describe_wcs`."""
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        # Of dates and keywords that are mended on reading, again and again.
        warnings.simplefilter("ignore")
        return WCS(Header(dict(keywords)))


def _invert(wcs, sky) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as the WCS gives them."""
    with warnings.catch_warnings():
        # Of points that do not converge, whose pixels are checked or NaN.
        warnings.simplefilter("ignore")
        x, y = wcs.world_to_pixel(sky)
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def _unit_sphere():
    """The representation of directions."""
    from astropy.coordinates import UnitSphericalRepresentation

    return UnitSphericalRepresentation


def clean_sky(sky):
    """Return coordinates (n,) without distances and masks: masked ones are NaN, a scalar is one."""
    from astropy.coordinates import SkyCoord

    lon, lat = (
        np.ravel(_fill_masked(angle)) for angle in (sky.spherical.lon.deg, sky.spherical.lat.deg)
    )
    frame = getattr(sky, "frame", sky)
    return SkyCoord(lon, lat, unit="deg", frame=frame.replicate_without_data())


def _fill_masked(values) -> np.ndarray:
    """Numbers, NaN where masked."""
    mask = getattr(values, "mask", None)
    plain = np.array(getattr(values, "unmasked", values), dtype=float)
    if mask is not None:
        plain[np.asarray(mask)] = np.nan
    return plain
