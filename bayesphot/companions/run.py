"""From an image and a place to the map of companions about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bayesphot.celestial import rebuild_wcs
from bayesphot.columns import strip_unit
from bayesphot.companions.grid import make_square, search_grid
from bayesphot.companions.map import CompanionMap
from bayesphot.companions.notes import find_off, find_saturated, list_notes
from bayesphot.companions.prior import CompanionPrior
from bayesphot.companions.region import choose_region
from bayesphot.companions.stamp import cut_stamp, find_target
from bayesphot.companions.starts import list_starts, read_target
from bayesphot.companions.weigh import open_search
from bayesphot.config import BasicPSFPhotometry
from bayesphot.config.run import Fitted, fit_image
from bayesphot.flags import Flag
from bayesphot.psf import PSFConfig, describe_psf
from bayesphot.source_posterior import find_row

if TYPE_CHECKING:
    from astropy.table import Table

    from bayesphot.result import PhotometryResult

__all__ = ["companion_map", "map_result"]

#: x, y and flux of the target.
N_TARGET = 3


def companion_map(
    image,
    psf_model,
    target,
    *,
    error=None,
    mask=None,
    neighbours=None,
    noise: Any = None,
    bkg_estimator: Any = None,
    fit_background: bool | str = "flat",
    psf_error=None,
    saturation=None,
    radius: float | None = None,
    step: float | None = None,
    box: int | None = None,
    prior: CompanionPrior | None = None,
) -> CompanionMap:
    """
    Map the evidence of a second source about a target.

    At each place of a grid target and companion are fitted together, and all but the place is
    integrated out: the companion's flux with its prior, the target's flux and place, the sky,
    modes of the PSF's error and what neighbours may still change by Laplace's approximation about
    that fit. The places are summed up, on a finer grid about the best one.

    Parameters
    ----------
    image, error, mask
        As for a run: `BasicPSFPhotometry`.
    psf_model : astropy.modeling.Fittable2DModel
        The PSF, of fixed shape.
    target : (float, float) or SkyCoord
        x and y of the target, pixels (also as Quantities), or its place on the sky of the image;
        it has a normal prior of one FWHM about there.
    neighbours : table or SkyCoord, optional
        Other sources that are known, in any spelling of a run's ``positions``, on the sky too:
        fitted together with the target. Those that shine on no pixel of the fit box are left out.
    noise, bkg_estimator, fit_background, psf_error, saturation
        As for a run.
    radius : float, optional
        Half side of the square region searched about `target`, pixels. Default 3 FWHM, or less
        where the stamp of a PSF given as an image ends before.
    step : float, optional
        Distance of the places, pixels, about; so that they fill the region. Default a tenth of the
        FWHM.
    box : int, optional
        Side of the fit box, odd, pixels. Default two FWHM more than the region on each side, or to
        the end of the PSF's stamp: the target's light beyond it is in no model, and looks like
        companions.
    prior : CompanionPrior, optional
        Of a companion. Default ``CompanionPrior()``.

    Returns
    -------
    CompanionMap

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the target lies off the image or cannot be measured, is on the sky and the image has no
        WCS, a neighbour lies on it, a number is out of its range or not in pixels, the PSF's stamp
        ends within the radius, or there would be more than 201 x 201 places.

    Examples
    --------
    >>> import bayesphot as bp
    >>> pair = bp.simulate_scene(
    ...     (41, 41), sources={"x_0": [20.2, 23.1], "y_0": [19.8, 21.0], "flux": [8000.0, 800.0]},
    ...     sigma=1.5, background=50.0, noise=7.0, seed=3)
    >>> found = bp.companion_map(
    ...     pair.image, bp.IntegratedGaussianPRF(sigma=1.5), (20.0, 20.0), error=pair.error)
    >>> found.p_companion > 0.99
    True
    """
    place = read_target(target, image)
    prior = _read_prior(prior)
    psf = describe_psf(psf_model)
    if psf.free_shapes:
        name = psf.shape_names[psf.free_shapes[0]]
        raise ValueError(
            f"psf_model must have a fixed shape, found a free {name}: set "
            f"psf_model.{name}.fixed = True (psf_error=PSFError(width=...) says how far it may be "
            "off)"
        )
    fwhm = psf.fwhm
    region = choose_region(psf, radius, step, box)
    phot = BasicPSFPhotometry(
        psf_model=psf_model, fitshape=region.box, noise=noise, bkg_estimator=bkg_estimator,
        fit_background=fit_background, psf_error=psf_error, saturation=saturation, sampler=False,
    )  # fmt: skip
    end = 0.5 * region.box + float(psf.find_end(_make_unit(psf))[0])
    starts = list_starts(place, neighbours, image, fwhm=fwhm, reach=end)
    fitted = _fit_target(phot, image, error, mask, starts, region.box)
    stamp = cut_stamp(fitted.looped, find_target(fitted.looped))
    if np.count_nonzero(stamp.weight) <= N_TARGET + len(stamp.columns):
        # The run's own box of a saturated star grows.
        _refuse_target(fitted, place, region.box)
    search = open_search(stamp, fwhm, prior)
    x, y, step = make_square(place, region.radius, region.step)
    search, coarse, fine = search_grid(search, x.ravel(), y.ravel(), step)
    places = coarse.join(fine)
    hidden = find_saturated(fitted, x, y) | find_off(fitted.image.shape, x, y)
    information = np.where(hidden, 0.0, coarse.information.reshape(x.shape))
    with np.errstate(divide="ignore"):
        flux_err = 1.0 / np.sqrt(information)
    own = search.stamp.target
    return CompanionMap(
        x,
        y,
        coarse.log_bayes_factor.reshape(x.shape),
        coarse.flux.reshape(x.shape),
        flux_err,
        (float(own[0]), float(own[1]), float(own[2])),
        prior,
        fwhm,
        list_notes(search, places, fitted=fitted, psf=psf, region=region, noise=noise),
        places,
        search,
        phot,
        fitted,
    )


def map_result(result: PhotometryResult, id: int, psf_model, **settings) -> CompanionMap:
    """Return the map about a source of a result; see `PhotometryResult.companion_map`."""
    from astropy.nddata import NDData

    k = find_row(result["id"], id)
    for name in ("target", "neighbours", "mask"):
        if name in settings:
            raise TypeError(f"{name} is that of the result: give the image to companion_map")
    if "noise" not in settings:
        settings.setdefault("error", result.noise_image)
    x, y = (np.asarray(strip_unit(result.table[f"{name}_fit"]), dtype=float) for name in "xy")
    others = np.isfinite(x + y)
    others[k] = False
    kept, image = result.meta.get("wcs"), result.image
    data = NDData(
        strip_unit(image),
        unit=getattr(image, "unit", None),
        mask=~np.isfinite(strip_unit(image)),
        wcs=rebuild_wcs(kept) if isinstance(kept, Mapping) else None,
    )
    known = {"x_0": x[others], "y_0": y[others]}
    return companion_map(data, psf_model, (x[k], y[k]), neighbours=known, **settings)


def _read_prior(prior: CompanionPrior | None) -> CompanionPrior:
    """Return the prior, or the default one."""
    if prior is None:
        return CompanionPrior()
    if not isinstance(prior, CompanionPrior):
        raise TypeError(f"prior must be a CompanionPrior, found {prior!r}")
    return prior


def _make_unit(psf: PSFConfig) -> np.ndarray:
    """Return the state (1, C) of a unit source."""
    return np.concatenate([[0.0, 0.0, 1.0], psf.columns_start])[None]


def _fit_target(phot, image, error, mask, starts: Table, box: int) -> Fitted:
    """Return the fits of the target, the first of the starts, and its neighbours."""
    fitted = fit_image(phot, image, error, mask, starts, depth=2)
    if 0 not in fitted.looped.row:
        _refuse_target(fitted, (float(starts["x_0"][0]), float(starts["y_0"][0])), box)
    return fitted


def _refuse_target(fitted: Fitted, place: tuple[float, float], box: int) -> NoReturn:
    """Raise ValueError for a target that cannot be measured, and say why."""
    n_y, n_x = fitted.image.shape
    if int(fitted.looped.catalog.flags[0]) & Flag.OFF_IMAGE:
        why = f"it lies off the image of {n_x} x {n_y} pixels"
    else:
        why = f"its fit box of {box} x {box} pixels has too few good ones"
        if fitted.image.saturated is not None:
            why += ", saturated ones being masked: a larger box= reaches its wings"
    raise ValueError(f"the target at ({place[0]:g}, {place[1]:g}) cannot be measured: {why}")
