"""What a configuration does when it is called: fits first, then draws, then the result."""

from __future__ import annotations

import secrets
import time
import warnings
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from bayesphot.assemble import Report, assemble_result
from bayesphot.catalog import read_positions
from bayesphot.celestial import describe_wcs, find_usable
from bayesphot.collect import Places
from bayesphot.config.arguments import check_catalog, check_image, read_saturation
from bayesphot.config.describe import describe_run
from bayesphot.config.samplers import count_kept, plan_sampling
from bayesphot.image import Image, find_resampling, prepare_image
from bayesphot.interrupted import InterruptedRun
from bayesphot.loop import LoopPlan, LoopResult, run_loop
from bayesphot.result import PhotometryResult
from bayesphot.sample import sample_scene
from bayesphot.saturation import mask_plateau
from bayesphot.shape_search import search_shapes
from bayesphot.sky_positions import place_positions

if TYPE_CHECKING:
    from bayesphot.config.basic import BasicPSFPhotometry

__all__ = ["Fitted", "fit_image", "measure_image"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """An image and its fits, before anything is sampled.

    Parameters
    ----------
    image : Image
        The prepared image.
    plan : LoopPlan
        Stages and model of the loop.
    looped : LoopResult
        Where the loop ended.
    about : dict
        What the result's meta says of saturation and WCS.
    """

    image: Image
    plan: LoopPlan
    looped: LoopResult
    about: dict


def measure_image(phot: BasicPSFPhotometry, image, error, mask, positions) -> PhotometryResult:
    """Return the result of a configuration on an image; warnings name the caller's caller."""
    begin = time.perf_counter()
    fitted = fit_image(phot, image, error, mask, positions, depth=2)
    seconds = time.perf_counter() - begin
    return _sample(phot, fitted, seconds, depth=2)


def fit_image(phot: BasicPSFPhotometry, image, error, mask, positions, *, depth: int = 1) -> Fitted:
    """Return the fits of an image.

    Warnings name the line that is ``depth`` calls above the caller.
    """
    prepared = prepare_image(image, error, mask, stacklevel=3 + depth)
    prepared, plateau = mask_plateau(prepared, read_saturation(phot.saturation, prepared))
    check_image(prepared, phot.noise)
    prepared, problem = _check_wcs(prepared, depth=2 + depth)
    _warn_of_resampling(phot, prepared, depth=2 + depth)
    settings, psf = phot._make_settings(), phot._psf
    catalog = None
    if positions is not None:
        catalog = read_positions(
            place_positions(positions, prepared.wcs, problem),
            shape=prepared.shape,
            unit=prepared.unit,
            shape_names=psf.shape_names,
        )
        check_catalog(catalog, psf, settings.shape)
    elif phot.finder is None:
        raise ValueError("positions must be given where there is no finder")
    if catalog is None or not any(f"{name}_0" in catalog.extra for name in psf.shape_names):
        # One fixed shape for all: a table is as good and faster.
        settings = replace(settings, psf=settings.psf.tabulated)
    plan = LoopPlan(
        settings,
        phot.finder,
        phot.group_maker,
        phot.bkg_estimator,
        phot.noise,
        phot._rounds,
        phot.max_group_size,
        phot.aperture_radius,
        phot._make_workers(),
        prepared.unit,
    )
    if phot._family is None:
        looped = run_loop(prepared, catalog, plan)
    else:
        looped = search_shapes(prepared, catalog, plan, phot._family)
    about = {} if plateau is None else {"saturation": asdict(plateau)}
    keywords = None if prepared.wcs is None else describe_wcs(prepared.wcs, prepared.shape)
    about |= {} if keywords is None else {"wcs": keywords}
    return Fitted(prepared, plan, looped, about)


def _sample(
    phot: BasicPSFPhotometry, fitted: Fitted, fit_seconds: float, *, depth: int
) -> PhotometryResult:
    """Sample the final scene and return the result."""
    begin = time.perf_counter()
    looped = fitted.looped
    settings = looped.settings
    seed = secrets.randbits(63) if phot.seed is None else phot.seed
    sampled = None
    grouped = looped.scene.grouped
    places = Places.find(grouped, looped.row, len(looped.catalog))
    if phot.sampler is not False and grouped.n_group:
        tail = 0.5 * (1.0 - phot.ci_prob)
        plan = plan_sampling(phot.sampler, settings.priors.functions, tail)
        kept, workers = count_kept(phot.sampler), fitted.plan.workers
        sampled = sample_scene(
            looped.scene, settings, plan, seed, workers, places=places, kept=kept
        )
    if len(looped.catalog) == 0:
        _warn("no source was found: the table is empty", depth=1 + depth)
    seconds = {"least_squares": fit_seconds, "sampling": time.perf_counter() - begin}
    meta = describe_run(phot, looped, settings, seed, seconds) | fitted.about
    interrupted = sampled is not None and sampled.interrupted
    result = assemble_result(
        Report(
            fitted.image,
            looped.catalog,
            places,
            looped.scene,
            sampled,
            settings,
            phot.zero_point,
            meta | {"interrupted": interrupted},
        )
    )
    if interrupted:
        raise InterruptedRun(result)
    return result


def _check_wcs(image: Image, *, depth: int) -> tuple[Image, str | None]:
    """Return the image with its WCS if that can be used, and what is wrong with it if it cannot.

    Pixels are measured without one: a warning says that there will be no sky.
    """
    wcs, problem = find_usable(image.wcs, image.shape)
    if problem is not None:
        _warn(f"the image's WCS {problem}; positions are in pixels only", depth=depth)
    return replace(image, wcs=wcs), problem


def _warn_of_resampling(phot: BasicPSFPhotometry, image: Image, *, depth: int) -> None:
    """Warn of noise that the image's header says is correlated, and nobody has said how."""
    keyword = find_resampling(image.header)
    if keyword is not None and (phot.noise is None or phot.noise.correlation == 1.0):
        _warn(
            f"{keyword} in its header says that the image was resampled: its noise is "
            "correlated and errors are too small; say by how much with "
            "noise=NormalNoise(correlation=R) (or correlation=R of another noise; "
            "--correlation R on the command line)",
            depth=depth,
        )


def _warn(text: str, *, depth: int) -> None:
    """Warn the user at the line that called the photometry, ``depth`` calls above the caller."""
    from astropy.utils.exceptions import AstropyUserWarning

    warnings.warn(text, AstropyUserWarning, stacklevel=2 + depth)
