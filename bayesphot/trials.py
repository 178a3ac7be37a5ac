"""Sources on trial: kept if the data prefer their group with them.

New ones are found in the residual; all that were found are tried again once the sources of a round
are fitted together. Each is tested by refits of its whole group with and without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from bayesphot.accept import Fitted, Odds, choose_odds, decide, weigh_fit
from bayesphot.boxes import make_boxes
from bayesphot.catalog import Catalog, build_catalog
from bayesphot.kernels.structs import FLUX
from bayesphot.mismatch import measure_mismatch
from bayesphot.outliers import count_deviance, fit_on_trial, weigh_skies
from bayesphot.patch import GroupData, cut_batch
from bayesphot.plan import LoopPlan
from bayesphot.populate import detect_sources, place_sources
from bayesphot.priors import Normal
from bayesphot.scene import Scene, render_fitted_modes
from bayesphot.settings import ModelSettings
from bayesphot.starts import find_flux_errors

__all__ = ["find_more", "prepare_doubt", "try_sources"]

#: A detection nearer than this (in FWHM) to a source, or to a place refused before, is no news.
COVERED = 0.5
#: Sources of so many times the threshold's signal to noise need no trial.
BEYOND_DOUBT = 2.0


def find_more(
    scene: Scene,
    doubt: Callable[[], Scene],
    plan: LoopPlan,
    refused: np.ndarray,
    good: np.ndarray,
):
    """Return accepted new sources (x, y, flux), and all places refused so far.

    ``doubt`` is what `prepare_doubt` makes of the scene.
    """
    doubtful = doubt()
    model = scene.model + render_fitted_modes(scene, plan.settings)
    place, flux = detect_sources(plan, doubtful.pixels, model)
    reach = COVERED * plan.settings.psf.fwhm
    taken = np.concatenate([scene.sources.value[:, :2], scene.sources.center, refused])
    fresh = _far_from(place, taken, reach) & (flux > 0.0)
    place, flux = place[fresh], flux[fresh]
    order = np.lexsort((place[:, 1], place[:, 0], -flux))
    place, flux = _thin_out(place[order], flux[order], reach)
    if place.shape[0] == 0:
        return np.empty((0, 3)), refused
    n_old = len(scene.catalog)
    last = scene.catalog.id.max(initial=0)
    new = build_catalog(place[:, 0], place[:, 1], flux=flux, id=last + 1 + np.arange(flux.size))
    joint = Catalog.concatenate([scene.catalog, new])
    sources, grouped = place_sources(joint, scene.pixels, plan, scene)
    # Brightest first: so they were appended.
    new_rows = n_old + np.arange(flux.size)
    # The model has no light of theirs.
    light = sources.value.copy()
    light[new_rows, FLUX] = 0.0
    trial = Scene(doubtful.pixels, joint, sources, grouped, None, scene.model)
    keep = _test_in_turn(trial, plan, new_rows, good, light=light)
    refused = np.concatenate([refused, place[~keep]])
    return np.column_stack([place[keep], flux[keep]]), refused


def try_sources(
    scene: Scene,
    doubt: Callable[[], Scene],
    plan: LoopPlan,
    good: np.ndarray,
    given: np.ndarray,
) -> np.ndarray:
    """Return which sources (n,) of a fitted scene the data prefer to be there, or were given.

    Those whose flux is not far beyond doubt are all taken out, and put back one after the other,
    brightest first, where the odds are for them. ``given`` are ids that nobody doubts, and
    ``doubt`` is what `prepare_doubt` makes of the scene.
    """
    keep = np.ones(len(scene.catalog), dtype=bool)
    found = ~np.isin(scene.catalog.id, given)
    if not found.any():
        return keep
    doubtful = doubt()
    suspect = _list_suspects(scene, doubtful, plan, good)
    suspect = suspect[found[suspect]]
    if suspect.size == 0:
        return keep
    keep[suspect] = _test_in_turn(doubtful, plan, suspect, good)
    return keep


def _list_suspects(scene: Scene, doubtful: Scene, plan: LoopPlan, good: np.ndarray) -> np.ndarray:
    """Return sources that may be none, brightest first."""
    grouped, fit = scene.grouped, scene.fitted
    if not plan.settings.free_flux:
        return np.empty(0, dtype=np.int64)
    error = np.empty(len(scene.catalog))
    for g in range(grouped.n_group):
        member = grouped.member[grouped.start[g] : grouped.start[g + 1]]
        # Fluxes come first.
        with np.errstate(invalid="ignore"):
            error[member] = np.sqrt(np.diagonal(fit.covariance_of(g))[: member.size])
    row, col = (np.floor(scene.sources.value[:, i] + 0.5).astype(int) for i in (1, 0))
    ny, nx = scene.pixels.weight.shape
    place = (np.clip(row, 0, ny - 1), np.clip(col, 0, nx - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = scene.pixels.noise.scale_weights(scene.pixels.weight)
        error *= np.sqrt(scale[place] / doubtful.pixels.weight[place])
        flux = scene.sources.value[:, FLUX]
        threshold = choose_odds(None, int(good.sum()), plan.settings.psf.sigma).threshold
        suspect = ~(flux > BEYOND_DOUBT * threshold * error)
    chosen = np.flatnonzero(suspect)
    return chosen[np.argsort(-flux[chosen], kind="stable")]


def prepare_doubt(scene: Scene, settings: ModelSettings) -> Callable[[], Scene]:
    """Return a function that returns the scene with doubtful pixels, made when first asked for."""
    return cache(partial(_doubt_pixels, scene, settings))


def _doubt_pixels(scene: Scene, settings: ModelSettings) -> Scene:
    """Return the scene with the PSF's own error added to the variance of its pixels.

    No pixel is an outlier yet: what lies far from this scene may be a source that it lacks.
    """
    if len(scene.catalog) == 0:
        return scene
    pixels, value = scene.pixels, scene.sources.value
    x, y, flux = value[:, 0], value[:, 1], value[:, 2]
    residual = pixels.data - scene.model - render_fitted_modes(scene, settings)
    weight = pixels.noise.scale_weights(pixels.weight)
    mismatch = measure_mismatch(residual, weight, x, y, flux, sigma=settings.psf.sigma)
    extra = mismatch.variance(pixels.data.shape, x, y, flux)
    weight = weight / (1.0 + weight * extra)
    return replace(scene, pixels=replace(pixels, weight=weight))


def _far_from(place: np.ndarray, taken: np.ndarray, reach: float) -> np.ndarray:
    """Return which places have nothing taken within reach."""
    from scipy.spatial import cKDTree

    if place.shape[0] == 0 or taken.shape[0] == 0:
        return np.ones(place.shape[0], dtype=bool)
    distance, _ = cKDTree(taken).query(place)
    return distance > reach


def _thin_out(place: np.ndarray, flux: np.ndarray, reach: float):
    """Keep the brighter of detections nearer than reach to each other (brightest first)."""
    from scipy.spatial import cKDTree

    keep = np.ones(place.shape[0], dtype=bool)
    if place.shape[0] > 1:
        for i, j in sorted(map(tuple, cKDTree(place).query_pairs(reach))):
            if keep[i]:
                keep[j] = False
    return place[keep], flux[keep]


@dataclass(frozen=True, eq=False)
class _Queue:
    """A group whose candidates wait for their turns."""

    member: np.ndarray
    waiting: np.ndarray
    kept: np.ndarray


def _test_in_turn(
    trial: Scene,
    plan: LoopPlan,
    candidates: np.ndarray,
    good: np.ndarray,
    *,
    light: np.ndarray | None = None,
) -> np.ndarray:
    """Return which candidates stay, in their order: that in which each group tests them.

    The first candidate of every group is tested at once, then the second of those left, ...
    ``light`` (n, 4) are the sources as they stand in the scene's model; default: its values.
    """
    settings = plan.settings
    odds = choose_odds(settings.priors.scene, int(good.sum()), settings.psf.sigma)
    queues = _list_queues(trial, candidates)
    is_new = np.zeros(len(trial.catalog), dtype=bool)
    is_new[candidates] = True
    keep = np.zeros(len(trial.catalog), dtype=bool)
    while queues:
        # All members' own light out of it, and the pixels of all of them.
        member, start = _lay_end_to_end([q.member for q in queues])
        whole = cut_batch(
            trial.pixels, trial.model, trial.sources, member, start, settings, in_model=light
        )
        chosen = [np.sort(np.append(q.kept, q.waiting[0])) for q in queues]
        with_one = _fit_on(trial, settings, whole, chosen, is_new, odds)
        kept_ones = [np.sort(q.kept) for q in queues]
        without = _fit_on(trial, settings, whole, kept_ones, is_new, odds)
        after = []
        for i, queue in enumerate(queues):
            source, kept = queue.waiting[0], queue.kept
            flux = float(with_one.fluxes[i][chosen[i] == source][0])
            keep[source], _ = decide(with_one.fitted[i], without.fitted[i], flux, odds)
            if keep[source]:
                kept = np.append(kept, source)
            if queue.waiting.size > 1:
                after.append(_Queue(queue.member, queue.waiting[1:], kept))
        queues = after
    return keep[candidates]


def _list_queues(trial: Scene, candidates: np.ndarray) -> list[_Queue]:
    """Return the groups that have candidates, those in their order."""
    grouped = trial.grouped
    turn = np.full(len(trial.catalog), -1)
    turn[candidates] = np.arange(candidates.size)
    queues = []
    for g in range(grouped.n_group):
        member = grouped.member[grouped.start[g] : grouped.start[g + 1]]
        waiting = member[turn[member] >= 0]
        if waiting.size:
            waiting = waiting[np.argsort(turn[waiting])]
            queues.append(_Queue(member, waiting, member[turn[member] < 0]))
    return queues


@dataclass(frozen=True, eq=False)
class _TrialFit:
    """Groups fitted on given pixels: what the odds need, and fluxes of the chosen members."""

    fitted: dict[int, Fitted]
    fluxes: list[np.ndarray]


def _lay_end_to_end(groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return members of groups one after the other, and where each begins."""
    start = np.concatenate([[0], np.cumsum([group.size for group in groups])])
    return np.concatenate(groups), start.astype(np.int64)


def _fit_on(
    trial: Scene, settings: ModelSettings, whole: GroupData, chosen: list, is_new, odds: Odds
) -> _TrialFit:
    """Fit chosen members of groups on the pixels of all their members."""
    noise = trial.pixels.noise
    fluxes = [np.empty(0) for _ in chosen]
    # A group of candidates alone has no other fit than that of its sky.
    dark = [i for i, some in enumerate(chosen) if not some.size]
    fitted = dict(zip(dark, weigh_skies(whole, dark, noise), strict=True))
    full = [i for i, some in enumerate(chosen) if some.size]
    if full:
        member, start = _lay_end_to_end([chosen[i] for i in full])
        data = _cut_chosen(trial, settings, whole, full, member, start)
        data, fit, deviance = fit_on_trial(data, noise, settings.psf)
        pdfs = _choose_pdfs(trial, settings, member, is_new, odds)
    for place, i in enumerate(full):
        here = slice(start[place], start[place + 1])
        layout = settings.layout(here.stop - here.start, sampling=False)
        fitted[i] = weigh_fit(data, fit, place, layout, pdfs[here])
        if deviance is not None:
            fitted[i] = count_deviance(fitted[i], deviance, place, layout.size)
        fluxes[i] = fit.source[here, FLUX]
    return _TrialFit(fitted, fluxes)


def _cut_chosen(
    trial: Scene, settings: ModelSettings, whole: GroupData, full: list[int], member, start
) -> GroupData:
    """Return the patches of whole groups with some of their members, the others' light left out."""
    batch = whole.batch
    boxes, pixels = [], []
    for i in full:
        mates = whole.member[batch.source_start[i] : batch.source_start[i + 1]]
        x, y = trial.sources.center[mates].T
        boxes.append(
            make_boxes(x, y, settings.fit_shape, trial.model.shape, trial.pixels.saturated)
        )
        pixels.append(batch.neighbours[batch.pixel_start[i] : batch.pixel_start[i + 1]])
    data = cut_batch(
        trial.pixels,
        trial.model,
        trial.sources,
        member,
        start,
        settings,
        box=np.concatenate(boxes),
        box_start=np.concatenate([[0], np.cumsum([len(box) for box in boxes])]).astype(np.int64),
    )
    return data.condition(np.concatenate(pixels))


def _choose_pdfs(trial: Scene, settings: ModelSettings, member, is_new, odds: Odds) -> list:
    """Return the priors of some sources' fluxes that the odds count.

    A source with a prior of its own has no other, for that is in its fit already.
    """
    own = _list_own_fluxes(trial.catalog, member)
    if odds.scene is not None:
        return [odds.scene.flux_pdf if prior is None else prior for prior in own]
    errors = find_flux_errors(trial.sources.center[member], settings.psf.sigma, trial.pixels)
    return [
        odds.flux_pdf(float(error)) if prior is None and is_new[source] else prior
        for source, error, prior in zip(member, errors, own, strict=True)
    ]


def _list_own_fluxes(catalog: Catalog, member) -> list[Normal | None]:
    """Return the priors of some sources' fluxes that columns of the catalogue give."""
    sd = catalog.extra.get("flux_prior_sd")
    if sd is None:
        return [None] * len(member)
    mean = catalog.extra["flux_prior_mean"]
    return [Normal(mean[k], sd[k]) if np.isfinite(sd[k]) else None for k in member]
