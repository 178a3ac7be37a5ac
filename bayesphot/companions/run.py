"""From an image and a place to the map of companions about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesphot.checks import check_integer, check_number
from bayesphot.companions.grid import make_square, search_grid
from bayesphot.companions.map import CompanionMap
from bayesphot.companions.prior import CompanionPrior
from bayesphot.companions.stamp import cut_stamp
from bayesphot.companions.weigh import open_search
from bayesphot.config import BasicPSFPhotometry
from bayesphot.config.run import Fitted, fit_image
from bayesphot.flags import decode_flags
from bayesphot.psf import describe_psf

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["companion_map"]

#: Default radius of the region searched, and distance of the places, in FWHM.
RADIUS, STEP = 3.0, 0.1
#: What is left of the fit box beyond the region searched, in FWHM.
BORDER = 2.0
#: Steps from the target to the border of the region, at most.
MOST_STEPS = 100
#: A neighbour this near to the target, in FWHM, cannot be told apart from it.
INSEPARABLE = 0.25


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
    target : (float, float)
        x and y of the target, pixels; its place has a normal prior of one FWHM about there.
    neighbours : Table, optional
        ``x_0``, ``y_0`` of other sources that are known: fitted together with the target.
    noise, bkg_estimator, fit_background, psf_error, saturation
        As for a run.
    radius : float, optional
        Half side of the square region searched about `target`, pixels. Default 3 FWHM.
    step : float, optional
        Distance of the places, pixels, about; so that they fill the region. Default a tenth of the
        FWHM.
    box : int, optional
        Side of the fit box, odd, pixels. Default two FWHM more than the region on each side.
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
        If the target lies off the image or cannot be measured, a neighbour lies on it, a number is
        out of its range, or there would be more than 201 x 201 places.

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
    place = _read_target(target)
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
    radius = RADIUS * fwhm if radius is None else check_number("radius", radius, above=0.0)
    step = STEP * fwhm if step is None else check_number("step", step, above=0.0)
    if not step <= radius:
        raise ValueError(f"step must be at most the radius, {radius:g}, found {step:g}")
    if radius / step > MOST_STEPS:
        raise ValueError(
            f"radius={radius:g} and step={step:g} make too many places: at most {MOST_STEPS} steps "
            "to the radius"
        )
    least = 2 * math.ceil(radius) + 1
    if box is None:
        box = 2 * math.ceil(radius + BORDER * fwhm) + 1
    elif check_integer("box", box, least=least) % 2 == 0:
        raise ValueError(f"box must be odd, found {box}")
    phot = BasicPSFPhotometry(
        psf_model=psf_model, fitshape=box, noise=noise, bkg_estimator=bkg_estimator,
        fit_background=fit_background, psf_error=psf_error, saturation=saturation, sampler=False,
    )  # fmt: skip
    fitted = _fit_target(phot, image, error, mask, _list_starts(place, neighbours, fwhm))
    search = open_search(cut_stamp(fitted.looped), fwhm, prior)
    x, y, step = make_square(place, radius, step)
    search, coarse, fine = search_grid(search, x.ravel(), y.ravel(), step)
    places = coarse.join(fine)
    information = coarse.information.reshape(x.shape)
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
        places,
        search,
        phot,
        fitted,
    )


def _read_target(target) -> tuple[float, float]:
    """Return the target's place."""
    try:
        x, y = target
    except (TypeError, ValueError):
        raise TypeError(f"target must be a pair (x, y) of pixels, found {target!r}") from None
    return check_number("target x", x), check_number("target y", y)


def _read_prior(prior: CompanionPrior | None) -> CompanionPrior:
    """Return the prior, or the default one."""
    if prior is None:
        return CompanionPrior()
    if not isinstance(prior, CompanionPrior):
        raise TypeError(f"prior must be a CompanionPrior, found {prior!r}")
    return prior


def _fit_target(phot, image, error, mask, starts: Table) -> Fitted:
    """Return the fits of the target, the first of the starts, and its neighbours."""
    fitted = fit_image(phot, image, error, mask, starts, depth=2)
    looped = fitted.looped
    if len(looped.row) == 0 or looped.row[0] != 0:
        why = ", ".join(decode_flags(int(looped.catalog.flags[0]))) or "no good pixel"
        place = (float(starts["x_0"][0]), float(starts["y_0"][0]))
        raise ValueError(f"the target at {place} cannot be measured: {why}")
    return fitted


def _list_starts(place: tuple[float, float], neighbours, fwhm: float) -> Table:
    """Return target and neighbours as a table of starts, all of one group."""
    from astropy.table import Table, vstack

    table = Table({"x_0": [place[0]], "y_0": [place[1]]})
    if neighbours is not None and len(neighbours):
        more = Table(neighbours)
        if not {"x_0", "y_0"} <= set(more.colnames):
            raise ValueError(
                f"neighbours must have the columns x_0 and y_0, found {', '.join(more.colnames)}"
            )
        x, y = (np.asarray(more[name], dtype=float) for name in ("x_0", "y_0"))
        apart = np.hypot(x - place[0], y - place[1])
        if not (apart > INSEPARABLE * fwhm).all():
            raise ValueError(
                f"neighbours must have finite places more than {INSEPARABLE * fwhm:.2g} pixels "
                f"from the target, found one at a distance of {np.min(apart):.2g}"
            )
        table = vstack([table, Table({"x_0": x, "y_0": y})])
    table["group_id"] = 1
    return table
