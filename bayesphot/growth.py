"""Light of a star inside circles: of a PSF model, and of an image's own stars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy import units as u

from bayesphot.apertures import overlap_circle
from bayesphot.checks import check_number, refuse_class
from bayesphot.columns import strip_unit
from bayesphot.flags import Flag
from bayesphot.kernels.columns import fill_places
from bayesphot.kernels.patches import render_into
from bayesphot.kernels.structs import (
    FLUX,
    SHAPE,
    PSFData,
    X,
    Y,
)
from bayesphot.psf import PSFConfig, PSFError, describe_psf
from bayesphot.render import render_sources

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["ApertureCorrection", "CurveOfGrowth", "aperture_correction", "measure_growth"]

#: Positions in a pixel over which a PSF's light in a circle is averaged, along each axis.
PHASES = (-0.4, -0.2, 0.0, 0.2, 0.4)
#: Default radii of a curve of growth, in FWHM.
RADII = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
#: Fewest stars that a curve is made of where none are named.
FEWEST = 3
#: Flags that do not leave a star out: of the sampling, and of a PSF that the stars differ from,
#: which is what a curve is to show.
HARMLESS = (
    Flag.POOR_FIT
    | Flag.HIGH_R_HAT
    | Flag.LOW_ESS
    | Flag.HIGH_PARETO_K
    | Flag.NOT_SAMPLED
    | Flag.INTERRUPTED
)
#: Farthest place of a star, pixels: beyond, parts of a pixel are lost.
FARTHEST = 1e9
#: Deviation from the median, in units of what noise and scatter explain, that leaves a star out.
OUTLYING = 5.0


class ApertureCorrection(NamedTuple):
    """Factor from the flux of the PSF to that in an aperture, and its 1-sigma error."""

    value: Any
    err: Any


@dataclass(frozen=True, eq=False)
class CurveOfGrowth:
    """
    Light of stars in circles, over their PSF flux.

    Attributes
    ----------
    radius : ndarray of float (m,)
        Radii, pixels.
    value : ndarray of float (m,)
        Factor from PSF flux to the flux in the circle: weighted mean over the stars.
    err : ndarray of float (m,)
        Its 1-sigma error: noise, scatter and sky in quadrature.
    err_noise, err_scatter, err_sky : ndarray of float (m,)
        The error's parts: noise of the pixels; the scatter between stars beyond it; the error of
        the sky level, taken as the same for all stars.
    scatter : ndarray of float (m,)
        Standard deviation between stars beyond their noise.
    model : ndarray of float (m,)
        The same factor for the PSF alone at the stars' positions.
    ids : ndarray of int (n,)
        The stars.
    stars : ndarray of float (n, m)
        The factor of each star.

    Examples
    --------
    >>> import bayesphot as bp
    >>> psf_model = bp.IntegratedGaussianPRF(sigma=1.5)
    >>> scene = bp.simulate_scene((60, 60), n_sources=4, sigma=1.5, noise=1.0, seed=1,
    ...                           flux_range=(2e4, 3e4), border=14, min_separation=20)
    >>> phot = bp.BasicPSFPhotometry(psf_model=psf_model, fitshape=9, sampler=False)
    >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
    >>> curve = result.curve_of_growth(psf_model, [2, 4, 8])
    >>> isinstance(curve, bp.CurveOfGrowth), curve.stars.shape
    (True, (4, 3))
    >>> bool((abs(curve.value - curve.model) < 5 * curve.err).all())
    True
    """

    radius: np.ndarray
    value: np.ndarray
    err: np.ndarray
    err_noise: np.ndarray
    err_scatter: np.ndarray
    err_sky: np.ndarray
    scatter: np.ndarray
    model: np.ndarray
    ids: np.ndarray
    stars: np.ndarray

    @property
    def table(self) -> QTable:
        """The curve as a table, one row for each radius."""
        from astropy.table import QTable

        names = ("radius", "value", "err", "err_noise", "err_scatter", "err_sky", "scatter")
        return QTable({name: getattr(self, name) for name in (*names, "model")})


def aperture_correction(psf_model, radius, *, place=None, psf_error=None) -> ApertureCorrection:
    """
    Return the share of a PSF's flux in a circle: the factor from PSF flux to aperture flux.

    ``aperture flux = value * PSF flux``, so in magnitudes
    ``m_aperture = m_PSF - 2.5 log10(value)``.

    Parameters
    ----------
    psf_model : astropy.modeling.Fittable2DModel
        As for a run; its flux and position are not looked at.
    radius : float or array_like of float (m,)
        Radius of the circle, pixels.
    place : (float, float), optional
        Where on the detector (x, y): of a PSF that varies over it. Default: the middle of its
        grid, or of where its polynomial holds. The star is near the pixel there.
    psf_error : PSFError, optional
        Its ``width`` is the relative error of the PSF's width, which the error then has in it.

    Returns
    -------
    ApertureCorrection
        ``value`` and ``err``, numbers or arrays (m,). The value is the mean over 5 x 5 positions
        of the star in a pixel; the error has the standard deviation over these, which is the
        scatter of single stars, and that of the width.

    Raises
    ------
    TypeError, ValueError
        If the PSF is none, a radius is not positive, or the place no pair of numbers.

    Notes
    -----
    Each pixel counts with the share of its area in the circle, and its light is that of the PSF
    integrated over it: what exact aperture photometry makes of an image of the star. The flux of a
    sampled PSF is in its own normalisation, so that a large circle ends at the PSF's
    ``enclosed_fraction``, not at 1.

    Examples
    --------
    >>> import bayesphot as bp
    >>> psf_model = bp.IntegratedGaussianPRF(sigma=2.0)
    >>> value, err = bp.aperture_correction(psf_model, 4.0)
    >>> round(value, 3)
    0.853
    """
    radii = _read_radii(radius)
    refuse_class("psf_model", psf_model)
    psf = describe_psf(psf_model)
    middle = _find_place(psf) if place is None else _read_place(place)
    if psf_error is not None and not isinstance(psf_error, PSFError):
        raise TypeError(f"psf_error must be a PSFError or None, found {psf_error!r}")
    share = _sum_unit(psf, middle, radii)
    value, variance = share.mean(axis=0), share.var(axis=0)
    width = 0.0 if psf_error is None else psf_error.width
    if width:
        wide, narrow = (
            _sum_unit(psf, middle, radii, move).mean(axis=0) for move in (width, -width)
        )
        variance = variance + (0.5 * (wide - narrow)) ** 2
    err = np.sqrt(variance)
    if not is_list(radius):
        return ApertureCorrection(float(value[0]), float(err[0]))
    return ApertureCorrection(value, err)


def is_list(radius) -> bool:
    """Return whether there are several radii, or one in a list."""
    return isinstance(radius, list | tuple) or np.ndim(radius) > 0


def _read_radii(radius) -> np.ndarray:
    """Radii as an array, pixels; positive and finite."""
    if isinstance(radius, list | tuple) and any(hasattr(value, "unit") for value in radius):
        radius = u.Quantity(radius)
    unit = getattr(radius, "unit", None)
    if unit is not None and unit.to_string() not in ("", "pix"):
        raise ValueError(f"radius must be in pixels, found {radius}")
    radius = getattr(radius, "value", radius)
    if np.ndim(radius) == 0:
        return np.array([check_number("radius", radius, above=0.0)])
    radii = np.asarray(radius)
    if radii.ndim != 1 or radii.size == 0 or radii.dtype.kind not in "iuf":
        raise ValueError(f"radius must be one number or a list of them, found {radius!r}")
    wrong = radii[~(np.isfinite(radii) & (radii > 0.0))]
    if wrong.size:
        raise ValueError(f"radius must be positive and finite, found {wrong[0]}")
    return radii.astype(float)


def _read_place(place) -> tuple[float, float]:
    """A pixel (x, y) as whole numbers: positions in the pixel are averaged over."""
    if isinstance(place, (str, bytes)) or np.shape(place) != (2,):
        raise TypeError(f"place must be a pair (x, y), found {place!r}")
    x, y = (check_number("place", value) for value in place)
    if max(abs(x), abs(y)) > FARTHEST:
        raise ValueError(f"place must be within {FARTHEST:g} pixels of 0, found {place!r}")
    return np.floor(x + 0.5), np.floor(y + 0.5)


def _find_place(psf: PSFConfig) -> tuple[float, float]:
    """The pixel in the middle of a PSF's grid or of where its polynomial holds, else the first."""
    x, y = (0.0 if ends is None else float(np.floor(0.5 * sum(ends) + 0.5)) for ends in psf.domain)
    return x, y


def _sum_unit(psf: PSFConfig, middle, radii: np.ndarray, move: float = 0.0) -> np.ndarray:
    """Light (phases, m) of a unit source in circles about it."""
    # Where the PSF has ended there is nothing to add.
    end = float(psf.find_end(psf.widen(np.r_[0.0, 0.0, 1.0, psf.columns_start][None], move))[0])
    half = int(np.ceil(min(radii.max(), end + 1.0))) + 1
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[-half : half + 1, -half : half + 1])
    sums = []
    for dy in PHASES:
        for dx in PHASES:
            state = np.concatenate([[middle[0] + dx, middle[1] + dy, 1.0], psf.columns_start])
            state = psf.widen(state[None], move)[0]
            light = np.empty((1, x.size))
            fill_places(psf.data, state, x + middle[0], y + middle[1], light)
            sums.append([light[0] @ overlap_circle(x - dx, y - dy, radius) for radius in radii])
    return np.array(sums)


class _Stars(NamedTuple):
    """What circles about some stars hold, one row a star."""

    rows: np.ndarray
    value: np.ndarray
    variance: np.ndarray
    sky: np.ndarray
    model: np.ndarray


def measure_growth(
    result, psf_model, radii, *, ids: Iterable[int] | None, min_snr: float, max_blend: float
) -> CurveOfGrowth:
    """
    Return the curve of growth of an image's own stars.

    Parameters
    ----------
    result : PhotometryResult
        Table and images.
    psf_model, radii, ids, min_snr, max_blend
        As for `bayesphot.PhotometryResult.curve_of_growth`.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, or too few stars are left.
    """
    refuse_class("psf_model", psf_model)
    psf = describe_psf(psf_model)
    radii = _read_radii(np.array(RADII) * psf.fwhm if radii is None else radii)
    check_number("min_snr", min_snr, above=0.0)
    check_number("max_blend", max_blend, above=0.0)
    if result.noise_image is None:
        raise ValueError("curve_of_growth needs the noise of the pixels and this result has none")
    state = _read_state(result.table, psf)
    known = np.isfinite(state).all(axis=1)
    rows, counts = _choose_rows(result.table, known, ids, min_snr)
    stars = _measure_stars(result, psf, state, rows, radii, max_blend if ids is None else np.inf)
    if ids is None:
        stars = _drop_outlying(stars)
    fewest = FEWEST if ids is None else 1
    if stars.rows.size < fewest:
        raise ValueError(
            f"curve_of_growth needs at least {fewest} star{'s' * (fewest > 1)}, found "
            f"{stars.rows.size} of {counts} that lie on good pixels out to {radii.max():g} pixels"
            + (f", with less than {max_blend:g} of their flux from others there" * (ids is None))
        )
    return _combine(stars, radii, np.asarray(result.table["id"]))


def _read_state(table, psf: PSFConfig) -> np.ndarray:
    """State (n, C) of the table's sources; shapes that it has not are the PSF's."""
    state = np.empty((len(table), psf.n_column))
    for column, name in ((X, "x"), (Y, "y"), (FLUX, "flux")):
        state[:, column] = strip_unit(table[f"{name}_fit"])
    for j, name in enumerate(psf.shape_names):
        value = np.full(len(table), psf.shape_start[j])
        if f"{name}_fit" in table.colnames:
            value = strip_unit(table[f"{name}_fit"])
        state[:, SHAPE + j] = psf.write_column(j, value)
    return state


def _read_either(table, names: tuple[str, ...]) -> np.ndarray:
    """Numbers of the first of the columns that has each of them; NaN where none has."""
    values = np.full(len(table), np.nan)
    for name in names:
        if name in table.colnames:
            values = np.where(np.isfinite(values), values, strip_unit(table[name]))
    return values


def _choose_rows(table, known: np.ndarray, ids, min_snr: float) -> tuple[np.ndarray, str]:
    """Rows of the stars to look at, and what they are."""
    all_ids = np.asarray(table["id"])
    if ids is not None:
        wanted = np.atleast_1d(np.asarray(list(ids) if np.ndim(ids) else ids))
        missing = wanted[~np.isin(wanted, all_ids[known])]
        if missing.size:
            raise ValueError(f"ids must be of measured sources, found {missing[0]}")
        return np.flatnonzero(np.isin(all_ids, wanted)), f"{wanted.size} given"
    error = _read_either(table, ("flux_err", "flux_fit_err"))
    with np.errstate(divide="ignore", invalid="ignore"):
        bright = known & (strip_unit(table["flux_fit"]) / error >= min_snr)
    if "flags" in table.colnames:
        bright &= (np.asarray(table["flags"]) & ~int(HARMLESS)) == 0
    rows = np.flatnonzero(bright)
    return (
        rows,
        f"{rows.size} without a flag of place or pixels, with a signal of {min_snr:g} errors,",
    )


def _measure_stars(
    result, psf: PSFConfig, state: np.ndarray, rows: np.ndarray, radii, max_blend: float
) -> _Stars:
    """Light in circles about each star that lies on good pixels and is not blended."""
    data = strip_unit(result.image) - strip_unit(result.background_image)
    noise = strip_unit(result.noise_image)
    good = np.isfinite(data) & np.isfinite(noise) & (noise > 0.0)
    model = render_sources(data.shape, state, psf)
    sky_error = np.nan_to_num(_read_either(result.table, ("background_err", "background_fit_err")))
    half = int(np.ceil(radii.max())) + 1
    kept, found = [], []
    for row in rows:
        x, y, flux = state[row, [X, Y, FLUX]]
        col, line = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        window = slice(line - half, line + half + 1), slice(col - half, col + half + 1)
        if min(line, col) < half or line + half >= data.shape[0] or col + half >= data.shape[1]:
            continue
        own = _render_window(psf, state[row], line - half, col - half, 2 * half + 1)
        others = model[window] - own
        shares = np.stack([_share(x - col, y - line, half, radius) for radius in radii])
        widest = shares[np.argmax(radii)]
        if not good[window][widest > 0.0].all():
            continue
        if np.sum(widest * np.abs(others)) > max_blend * abs(flux):
            continue
        clean = np.where(good[window], data[window] - others, 0.0)
        variance = np.where(good[window], noise[window], np.inf) ** 2
        kept.append(row)
        found.append(_measure_star(shares, clean, variance, own / flux, flux, sky_error[row]))
    empty = np.empty((4, 0, radii.size))
    return _Stars(np.array(kept, dtype=np.int64), *(np.stack(found, axis=1) if found else empty))


def _share(dx: float, dy: float, half: int, radius: float) -> np.ndarray:
    """Shares of the pixels of a window in a circle off its middle."""
    side = np.arange(-half, half + 1)
    return overlap_circle(side - dx, side[:, None] - dy, radius)


def _render_window(psf: PSFConfig, source: np.ndarray, line: int, col: int, side: int):
    """Image (side, side) of one source with its lower left pixel at (line, col)."""
    image = np.zeros((side, side))
    moved = source[None].copy()
    moved[0, [X, Y]] -= col, line
    here = PSFData(psf.data.kind, np.int64(line), np.int64(col), psf.data.numbers)
    render_into(image, moved, here)
    return image


def _measure_star(shares, clean, variance, unit, flux: float, sky_error: float) -> np.ndarray:
    """Light in each circle over the PSF flux F; its variance, sky error and the PSF's own (4, m).

    The sum S and F come from the same pixels. With F = s_F^2 sum(phi D / v),
    s_F^-2 = sum(phi^2 / v) and g the PSF's own share, cov(S, F) = s_F^2 g, so that S - g F has
    the variance sum(w^2 v) - g^2 s_F^2: less than S alone. A wrong sky level moves S by the area
    and F by s_F^2 sum(phi / v).
    """
    total = np.einsum("mij,ij->m", shares, clean)
    own = np.einsum("mij,ij->m", shares, unit)
    used = np.where(np.isfinite(variance), variance, 0.0)
    weight = np.where(np.isfinite(variance), 1.0, 0.0) / np.where(used > 0.0, used, 1.0)
    flux_variance = 1.0 / np.sum(unit**2 * weight)
    noise = np.einsum("mij,ij->m", shares**2, used) - own**2 * flux_variance
    area = shares.sum(axis=(1, 2))
    sky = (area - own * flux_variance * np.sum(unit * weight)) * sky_error / flux
    return np.stack([total / flux, np.maximum(noise, 0.0) / flux**2, sky, own])


def _drop_outlying(stars: _Stars) -> _Stars:
    """Leave out stars far from the median at any radius: with companions that nobody found."""
    if stars.rows.size < FEWEST:
        return stars
    median = np.median(stars.value, axis=0)
    away = np.abs(stars.value - median)
    spread = 1.4826 * np.median(away, axis=0)
    keep = (away <= OUTLYING * np.sqrt(stars.variance + stars.sky**2 + spread**2)).all(axis=1)
    return _Stars(*(part[keep] for part in stars))


def _combine(stars: _Stars, radii: np.ndarray, all_ids: np.ndarray) -> CurveOfGrowth:
    """Weighted means over the stars, whose scatter beyond the noise is that of the moments.

    tau^2 = (sum(w (g - mean)^2) - (n - 1)) / (sum(w) - sum(w^2) / sum(w)) with w = 1 / variance,
    at least 0 (DerSimonian & Laird 1986); weights are then 1 / (variance + tau^2).
    """
    # Where the circle is the PSF's own weight, the noise of both is the same and cancels.
    variance = np.maximum(stars.variance, 1e-12)
    weight = 1.0 / variance
    total = weight.sum(axis=0)
    mean = (weight * stars.value).sum(axis=0) / total
    chi2 = (weight * (stars.value - mean) ** 2).sum(axis=0)
    n = stars.rows.size
    tau2 = np.zeros(radii.size)
    if n > 1:
        tau2 = np.maximum(chi2 - (n - 1), 0.0) / (total - (weight**2).sum(axis=0) / total)
    weight = 1.0 / (variance + tau2)
    weight /= weight.sum(axis=0)
    noise = np.sqrt((weight**2 * variance).sum(axis=0))
    scatter = np.sqrt((weight**2 * tau2).sum(axis=0))
    sky = np.abs((weight * stars.sky).sum(axis=0))
    return CurveOfGrowth(
        radius=radii,
        value=(weight * stars.value).sum(axis=0),
        err=np.sqrt(noise**2 + scatter**2 + sky**2),
        err_noise=noise,
        err_scatter=scatter,
        err_sky=sky,
        scatter=np.sqrt(tau2),
        model=(weight * stars.model).sum(axis=0),
        ids=all_ids[stars.rows],
        stars=stars.value,
    )
