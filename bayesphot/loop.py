"""Find, group, fit, subtract, find again: the iteration of DAOPHOT (Stetson 1987).

One pure function over immutable scenes. It runs on least squares; new detections join their
neighbours' group, which is refitted whole from the unsubtracted image and kept only if the data
prefer it. It ends: each further round must bring a source that is neither on top of another nor
at a place refused before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesphot.accept import accept_threshold, decide
from bayesphot.background import SkyEstimator, estimate_noise, estimate_sky
from bayesphot.catalog import Catalog, build_catalog, sort_order
from bayesphot.detection import find_sources
from bayesphot.execute import Workers
from bayesphot.fitting import fit_groups, joint_sizes
from bayesphot.flags import Flag
from bayesphot.grouping import group_sources, split_large_groups
from bayesphot.image import Image
from bayesphot.kernels.batches import FIT_CHI2
from bayesphot.kernels.structs import RADIUS
from bayesphot.mismatch import measure_mismatch
from bayesphot.noise import describe_noise, normal_variance, takes_error
from bayesphot.patch import Pixels, SourceState, cut_batch, make_boxes, make_shared_priors
from bayesphot.refit import carry_fits, fit_scene
from bayesphot.render import render_sources
from bayesphot.restarts import restart_doubtful
from bayesphot.scene import Grouped, Scene, render_sky_offset
from bayesphot.settings import ModelSettings
from bayesphot.starts import ALONE, estimate_flux, set_priors, start_sources

__all__ = ["LoopPlan", "LoopResult", "run_loop"]

log = logging.getLogger("bayesphot")

#: A detection nearer than this (in FWHM) to a source, or to a place refused before, is no news.
COVERED = 0.5
#: A start is not moved this near (in FWHM) to another source: closer pairs cannot be told apart.
INSEPARABLE = 0.25
#: Times the start of a blended detection may move by the radius of its disc.
MAX_MOVES = 3
#: Refits after the variance of a CCD was renewed from the model; it settles in two.
VARIANCE_ROUNDS = 2
#: Refits with renewed weights of outliers; each reweighting shrinks the error by a factor.
ROBUST_ROUNDS = 5
#: The sky is measured again outside all fit boxes where at least this many pixels remain.
SKY_PIXELS = 400
SKY_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class LoopPlan:
    """The stages of a run and its model."""

    settings: ModelSettings
    finder: Callable | None
    group_maker: Callable | None
    bkg_estimator: Any
    noise: Any
    niters: int | None
    max_group_size: int | None
    aperture_radius: float | None
    workers: Workers


@dataclass(frozen=True, eq=False)
class LoopResult:
    """Where the loop ended.

    Parameters
    ----------
    scene : Scene
        The final scene, its fits included.
    catalog : Catalog
        Every source, measurable or not, in the order of rows: given ones, then new ones.
    row : (n,) int array
        Row of the catalogue for each source of the scene.
    n_round : int
        Rounds of finding.
    noise_origin : str
        How the noise was set.
    """

    scene: Scene
    catalog: Catalog
    row: np.ndarray
    n_round: int
    noise_origin: str


def run_loop(image: Image, positions: Catalog | None, plan: LoopPlan) -> LoopResult:
    """Run the iteration on an image.

    Parameters
    ----------
    image : Image
        The prepared image.
    positions : Catalog or None
        Given starts; None: the finder's.
    plan : LoopPlan
        Stages and model.
    """
    observer = _Observer(image, plan)
    blank = np.zeros(image.shape)
    pixels = observer.observe(blank)
    # Given positions are the first round.
    rounds = 1
    if positions is None:
        found = _detect(plan, pixels, blank)
        catalog = _catalog_of(found[0], found[1], first_id=1, iteration=1)
    else:
        catalog = positions
    catalog = _flag_unmeasurable(catalog, pixels, plan.settings)
    catalog = _estimate_starts(catalog, pixels, plan)
    row = _measurable_rows(catalog)
    scene = _open_scene(catalog.select(row), pixels, plan)
    scene = _settle(scene, plan, observer)
    refused = np.empty((0, 2))
    given = np.empty(0, dtype=np.int64) if positions is None else positions.id
    scene, catalog, refused = _follow_detections(scene, catalog, refused, given, plan, observer)
    last_id = int(catalog.id.max(initial=0))
    while plan.finder is not None and _may_go_on(rounds, plan, image.good):
        rounds += 1
        fresh, refused = _find_more(scene, plan, refused, image.good)
        if fresh.shape[0] == 0:
            break
        new = _catalog_of(fresh[:, :2], fresh[:, 2], first_id=last_id + 1, iteration=rounds)
        last_id += len(new)
        log.info("round %d: %d new sources", rounds, len(new))
        catalog = Catalog.concatenate([catalog, new])
        catalog = _flag_unmeasurable(catalog, scene.pixels, plan.settings)
        row = _measurable_rows(catalog)
        scene = _extend_scene(scene, catalog.select(row), plan)
        scene = _settle(scene, plan, observer)
        scene, catalog, refused = _follow_detections(scene, catalog, refused, given, plan, observer)
    row = _measurable_rows(catalog)
    scene = _finish(scene, plan, observer)
    return LoopResult(scene, catalog, row, rounds, observer.origin)


def _may_go_on(rounds: int, plan: LoopPlan, good: np.ndarray) -> bool:
    """Return whether another round of finding is allowed; no image holds more than its beams."""
    limit = max(10, int(good.sum() / plan.settings.fwhm**2))
    return rounds < (limit if plan.niters is None else plan.niters)


class _Observer:
    """Turns an image and a model into the pixels of the fits: the sky and the variance."""

    def __init__(self, image: Image, plan: LoopPlan):
        self.image = image
        self.plan = plan
        self.bad = ~image.good
        sky = estimate_sky(plan.bkg_estimator, image.data, self.bad)
        self.sky = np.broadcast_to(np.asarray(sky.level, dtype=float), image.shape).copy()
        self.sky_error = sky.error
        self.origin = "error"
        if plan.noise is not None:
            self.origin = repr(plan.noise)
        elif image.error is None:
            self.origin = "estimated"

    def observe(self, model: np.ndarray, offset: np.ndarray | float = 0.0) -> Pixels:
        """Return the pixels, their variance that of the given model of the sources.

        ``offset`` is what fits found on top of the reference sky.
        """
        data = np.where(self.image.good, self.image.data - self.sky, 0.0)
        started = model.any()
        model = model + offset
        scale = self._scale(data - model)
        variance = scale
        if self.plan.noise is not None and (started or not takes_error(self.plan.noise)):
            # Before there is a model every star would be an outlier.
            variance = normal_variance(self.plan.noise, data - model, model + self.sky, scale)
        weight = np.where(self.image.good, 1.0 / variance, 0.0)
        noise = describe_noise(self.plan.noise, self.sky, scale)
        return Pixels(data, weight, self.sky, self.sky_error, noise)

    def _scale(self, residual: np.ndarray) -> np.ndarray:
        """Return the squared error of each pixel: as given, or one estimated from the image."""
        if self.image.error is not None:
            return self.image.error**2
        if self.plan.noise is not None and not takes_error(self.plan.noise):
            return np.ones(self.image.shape)
        if not self.image.good.any():
            return np.ones(self.image.shape)
        level = estimate_noise(residual, self.bad)
        # A noiseless image still needs a scale; nothing depends on which.
        level = level if level > 0.0 else max(float(np.abs(residual).max()), 1.0) * 1e-6
        log.info("no error given: noise of %g per pixel estimated from the image", level)
        estimated = f"estimated: {level:.6g} per pixel"
        self.origin = estimated if self.plan.noise is None else f"{self.plan.noise!r}, {estimated}"
        return np.full(self.image.shape, level**2)

    def renew_sky(self, model: np.ndarray, boxes: np.ndarray) -> None:
        """Measure the sky again, sources subtracted, outside all fit boxes where it can be.

        Pixels inside the boxes speak for themselves in the fits: they must not count twice.
        """
        estimator = self.plan.bkg_estimator
        if not callable(estimator):
            # None or a number: the user knows the sky.
            return
        inside = np.zeros(self.image.shape, dtype=bool)
        for r0, r1, c0, c1 in boxes:
            inside[r0:r1, c0:c1] = True
        outside = self.image.good & ~inside
        if outside.sum() >= max(SKY_PIXELS, SKY_SHARE * self.image.good.sum()):
            residual = self.image.data - model
            sky, bias2 = _measure_sky(estimator, residual, ~outside)
            self.sky = np.broadcast_to(np.asarray(sky.level, dtype=float), residual.shape).copy()
            self.sky_error = float(np.sqrt(sky.error**2 + bias2))
        elif self.plan.settings.background == "prior":
            # No pixel outside: the level stays as a reference, the fits find their own.
            self.sky_error = np.inf


def _measure_sky(estimator, data: np.ndarray, mask: np.ndarray):
    """Return the sky, and the squared distance of a mode from the mean that noise leaves over.

    The sky of a fit is the mean of its pixels. That of skewed noise lies off its mode: a Poisson
    sky of 6 with read noise 2 by 0.28, once the error of the mode of 850 pixels. For normal
    noise var(level - mean) = var(level) - var(mean), since the mean is efficient.
    """
    if not isinstance(estimator, SkyEstimator):
        return estimate_sky(estimator, data, mask), 0.0
    level, mean = estimator.estimate_with_mean(data, mask)
    expected = max(0.0, float(level.error**2 - mean.error**2))
    return level, max(0.0, float(level.level - mean.level) ** 2 - expected)


def _detect(plan: LoopPlan, pixels: Pixels, model: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, 2) and aperture fluxes of the finder's sources on the residual."""
    good = pixels.weight > 0.0
    with np.errstate(divide="ignore"):
        noise = np.where(good, 1.0 / np.sqrt(pixels.weight), 1.0)
    residual = np.where(good, pixels.data - model, 0.0)
    mask = None if good.all() else ~good
    found = find_sources(plan.finder, residual, noise=noise, mask=mask, model=model)
    ny, nx = residual.shape
    inside = (found.x >= -0.5) & (found.x < nx - 0.5) & (found.y >= -0.5) & (found.y < ny - 0.5)
    place = np.stack([found.x[inside], found.y[inside]], axis=1).astype(float)
    place = np.unique(place, axis=0) if place.size else place.reshape(0, 2)
    flux = estimate_flux(
        residual,
        pixels.weight,
        place[:, 0],
        place[:, 1],
        sigma=plan.settings.shape_start,
        radius=plan.aperture_radius,
    )
    return place, flux


def _catalog_of(place: np.ndarray, flux: np.ndarray, *, first_id: int, iteration: int) -> Catalog:
    """Return a catalogue of detections, ids in the order of rows from the top of the image."""
    order = np.lexsort((place[:, 0], place[:, 1]))
    return build_catalog(
        place[order, 0],
        place[order, 1],
        flux=flux[order],
        id=np.arange(first_id, first_id + order.size),
        iter_detected=iteration,
    )


def _measurable_rows(catalog: Catalog) -> np.ndarray:
    """Return the rows that can be measured, in canonical order."""
    order = sort_order(catalog)
    return order[catalog.flags[order] == 0]


def _flag_unmeasurable(catalog: Catalog, pixels: Pixels, settings: ModelSettings) -> Catalog:
    """Return the catalogue with sources of no or too few good pixels flagged."""
    good = (pixels.weight > 0.0).astype(np.int64)
    total = np.zeros((good.shape[0] + 1, good.shape[1] + 1), dtype=np.int64)
    total[1:, 1:] = good.cumsum(axis=0).cumsum(axis=1)
    flags = catalog.flags.copy()
    open_rows = np.flatnonzero(flags == 0)
    box = make_boxes(catalog.x[open_rows], catalog.y[open_rows], settings.fit_shape, good.shape)
    count = (
        total[box[:, 1], box[:, 3]]
        - total[box[:, 0], box[:, 3]]
        - total[box[:, 1], box[:, 2]]
        + total[box[:, 0], box[:, 2]]
    )
    need = settings.layout(1, sampling=True).size
    flags[open_rows[count == 0]] |= int(Flag.ALL_MASKED)
    flags[open_rows[(count > 0) & (count < need)]] |= int(Flag.TOO_FEW_PIXELS)
    return replace(catalog, flags=flags)


def _estimate_starts(catalog: Catalog, pixels: Pixels, plan: LoopPlan) -> Catalog:
    """Return the catalogue with an aperture's flux where a measurable source has no start flux."""
    unknown = ~np.isfinite(catalog.flux) & (catalog.flags == 0)
    flux = catalog.flux.copy()
    flux[unknown] = estimate_flux(
        pixels.data,
        pixels.weight,
        catalog.x[unknown],
        catalog.y[unknown],
        sigma=plan.settings.shape_start,
        radius=plan.aperture_radius,
    )
    return replace(catalog, flux=flux)


def _open_scene(catalog: Catalog, pixels: Pixels, plan: LoopPlan) -> Scene:
    """Return the scene of a catalogue's starts."""
    sources = start_sources(catalog, plan.settings)
    grouped = _group(catalog, plan)
    sources = set_priors(
        sources, sources.value, pixels, grouped, plan.settings, columns=catalog.extra
    )
    model = render_sources(pixels.data.shape, sources.value, plan.settings.psf_kind)
    return Scene(pixels, catalog, sources, grouped, None, model)


def _group(catalog: Catalog, plan: LoopPlan) -> Grouped:
    """Group sources by the group maker, joined with the groups that were given."""
    known = catalog.group_id >= 0
    if not known.any():
        grouping = group_sources(
            plan.group_maker, catalog.x, catalog.y, max_group_size=plan.max_group_size
        )
        return Grouped.from_labels(grouping.labels, grouping.was_split)
    if known.all():
        labels = catalog.group_id
    else:
        made = group_sources(plan.group_maker, catalog.x, catalog.y).labels
        labels = _join_labels(made, catalog.group_id)
    was_split = np.zeros(len(catalog), dtype=bool)
    if plan.max_group_size is not None:
        labels, was_split = split_large_groups(
            labels, catalog.x, catalog.y, max_size=plan.max_group_size
        )
    return Grouped.from_labels(labels, was_split)


def _join_labels(made: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the given groups, joined where a source that was given none links them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = np.flatnonzero(given >= 0)
    n = made.size
    # A made group of given members alone would override what the user said of them.
    open_group = np.isin(made, made[given < 0])
    _, left = np.unique(np.where(open_group, made, -1 - np.arange(n)), return_inverse=True)
    _, right = np.unique(given[known], return_inverse=True)
    n_left = left.max() + 1
    size = n + n_left + (right.max() + 1)
    rows = np.concatenate([np.arange(n), known])
    cols = np.concatenate([n + left, n + n_left + right])
    graph = coo_array((np.ones(rows.size), (rows, cols)), shape=(size, size))
    return connected_components(graph, directed=False)[1][:n].astype(np.int64)


def _settle(scene: Scene, plan: LoopPlan, observer: _Observer) -> Scene:
    """Fit what changed; renew a variance that depends on the model."""
    scene = fit_scene(scene, plan.settings, plan.workers, dirty=_dirty_groups(scene))
    if plan.noise is None and observer.image.error is not None:
        return scene
    rounds = 1
    if plan.noise is not None:
        rounds = ROBUST_ROUNDS if takes_error(plan.noise) else VARIANCE_ROUNDS
    for _round in range(rounds):
        offset = render_sky_offset(scene, plan.settings)
        scene = replace(scene, pixels=observer.observe(scene.model, offset), fit=None)
        scene = fit_scene(scene, plan.settings, plan.workers)
    return scene


def _dirty_groups(scene: Scene) -> np.ndarray | None:
    """Return which groups have no fit yet, None for all."""
    if scene.fit is None:
        return None
    return np.isnan(scene.fit.source[scene.grouped.start[:-1], 0])


def _follow_detections(scene: Scene, catalog: Catalog, refused, given, plan, observer):
    """Move the starts of blended detections that the joint fit presses against their discs.

    The centroid of a detection made on a blend, or on what a fit of too few sources left over,
    can lie further from the source than its disc reaches. Such a start moves to where the fit of
    all its group wants it, at most a few times a radius; given positions are the user's word.
    Returns the scene, the catalogue, and all places refused so far.
    """
    settings = plan.settings
    if settings.priors.radius is not None or not (settings.free_x and settings.free_y):
        return scene, catalog, refused
    for _move in range(MAX_MOVES):
        pressed = _find_pressed(scene, given, settings)
        if not pressed.any():
            break
        refused = np.concatenate([refused, scene.sources.center[pressed]])
        moved = scene.catalog.id[pressed]
        place = {int(i): row for row, i in enumerate(catalog.id)}
        rows = np.array([place[int(i)] for i in moved])
        x, y = catalog.x.copy(), catalog.y.copy()
        x[rows], y[rows] = scene.sources.value[pressed, :2].T
        catalog = replace(catalog, x=x, y=y)
        catalog = _flag_unmeasurable(catalog, scene.pixels, settings)
        scene = _extend_scene(scene, catalog.select(_measurable_rows(catalog)), plan)
        if scene.fit is not None:
            here = np.isin(scene.catalog.id, moved)[scene.grouped.member]
            touched = np.maximum.reduceat(here, scene.grouped.start[:-1])
            scene.fit.source[scene.grouped.start[:-1][touched], 0] = np.nan
        scene = _settle(scene, plan, observer)
    return _drop_inseparable(scene, catalog, refused, given, plan, observer)


def _drop_inseparable(scene: Scene, catalog: Catalog, refused, given, plan, observer):
    """Take out detections that the fits have put on top of another source, the later of a pair.

    Two sources at one place have no fluxes of their own. Returns as `_follow_detections`.
    """
    from scipy.spatial import cKDTree

    while len(scene.catalog) > 1:
        tree = cKDTree(scene.sources.value[:, :2])
        pairs = tree.query_pairs(INSEPARABLE * plan.settings.fwhm, output_type="ndarray")
        if pairs.size == 0:
            break
        ids = scene.catalog.id[pairs]
        later = np.where(scene.catalog.iter_detected[pairs] > 1, ids, -1).max(axis=1)
        dropped = np.setdiff1d(later[later >= 0], given)
        if dropped.size == 0:
            break
        gone = np.isin(scene.catalog.id, dropped)
        refused = np.concatenate([refused, scene.sources.value[gone, :2]])
        catalog = catalog.select(np.flatnonzero(~np.isin(catalog.id, dropped)))
        scene = _extend_scene(scene, catalog.select(_measurable_rows(catalog)), plan)
        scene = _settle(scene, plan, observer)
    return scene, catalog, refused


def _find_pressed(scene: Scene, given: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """Return which blended detections sit on the rim of their disc, clear of other sources."""
    from scipy.spatial import cKDTree

    place, prior = scene.sources.value[:, :2], scene.sources.prior
    offset = np.hypot(*(place - scene.sources.center).T)
    pressed = (offset > 0.999 * prior[:, RADIUS]) & (prior[:, RADIUS] < ALONE * settings.fwhm)
    pressed &= ~np.isin(scene.catalog.id, given)
    ny, nx = scene.pixels.data.shape
    pressed &= np.all((place >= -0.5) & (place < [nx - 0.5, ny - 0.5]), axis=1)
    if pressed.any() and len(place) > 1:
        distance, _ = cKDTree(place).query(place, k=2)
        pressed &= distance[:, 1] > INSEPARABLE * settings.fwhm
    return pressed


def _finish(scene: Scene, plan: LoopPlan, observer: _Observer) -> Scene:
    """Measure the sky again under the final model and fit all groups once more."""
    if len(scene.catalog) == 0 or plan.settings.background == "none":
        return scene
    boxes = _boxes(scene, plan.settings)
    total = scene.pixels.sky + render_sky_offset(scene, plan.settings)
    observer.renew_sky(scene.model, boxes)
    # The sky that the fits found, not the new reference, is what the noise is about.
    pixels = observer.observe(scene.model, total - observer.sky)
    scene = replace(scene, pixels=pixels, fit=None)
    return fit_scene(scene, plan.settings, plan.workers)


def _boxes(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return the fit boxes of all sources."""
    center = scene.sources.center
    return make_boxes(center[:, 0], center[:, 1], settings.fit_shape, scene.pixels.data.shape)


def _extend_scene(scene: Scene, catalog: Catalog, plan: LoopPlan) -> Scene:
    """Return the scene with new sources; groups with the same members keep their fit."""
    fresh = start_sources(catalog, plan.settings)
    place = {int(i): k for k, i in enumerate(scene.catalog.id)}
    old = np.array([place.get(int(i), -1) for i in catalog.id])
    known = np.flatnonzero(old >= 0)
    start = fresh.value.copy()
    value = start.copy()
    value[known] = scene.sources.value[old[known]]
    if plan.settings.shape == "image" and known.size:
        value[:, 3] = value[known[0], 3]
    grouped = _group(catalog, plan)
    sources = SourceState(value, fresh.prior)
    sources = set_priors(
        sources, start, scene.pixels, grouped, plan.settings, columns=catalog.extra
    )
    model = render_sources(scene.pixels.data.shape, value, plan.settings.psf_kind)
    extended = Scene(scene.pixels, catalog, sources, grouped, None, model, settled=scene.model)
    return carry_fits(scene, extended, plan.settings)


def _find_more(scene: Scene, plan: LoopPlan, refused: np.ndarray, good: np.ndarray):
    """Return accepted new sources (x, y, flux), and all places refused so far."""
    doubtful = _doubt(scene, plan.settings)
    place, flux = _detect(plan, doubtful.pixels, scene.model)
    reach = COVERED * plan.settings.fwhm
    taken = np.concatenate([scene.sources.value[:, :2], scene.sources.center, refused])
    fresh = _far_from(place, taken, reach) & (flux > 0.0)
    place, flux = place[fresh], flux[fresh]
    order = np.lexsort((place[:, 1], place[:, 0], -flux))
    place, flux = _thin_out(place[order], flux[order], reach)
    if place.shape[0] == 0:
        return np.empty((0, 3)), refused
    keep = _test_candidates(doubtful, plan, place, flux, good)
    refused = np.concatenate([refused, place[~keep]])
    return np.column_stack([place[keep], flux[keep]]), refused


def _doubt(scene: Scene, settings: ModelSettings) -> Scene:
    """Return the scene with the PSF's own error added to the variance of its pixels."""
    if len(scene.catalog) == 0:
        return scene
    pixels, value = scene.pixels, scene.sources.value
    x, y, flux = value[:, 0], value[:, 1], value[:, 2]
    mismatch = measure_mismatch(
        pixels.data - scene.model, pixels.weight, x, y, flux, sigma=settings.shape_start
    )
    extra = mismatch.variance(pixels.data.shape, x, y, flux)
    weight = pixels.weight / (1.0 + pixels.weight * extra)
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


def _test_candidates(scene, plan: LoopPlan, place, flux, good) -> np.ndarray:
    """Return which candidates the data prefer, brightest first within each group.

    Each test refits the whole group with and without its candidate on the same pixels: those of
    the group and of all its candidates.
    """
    n_old, n_new = len(scene.catalog), place.shape[0]
    ids = np.concatenate([scene.catalog.id, scene.catalog.id.max(initial=0) + 1 + np.arange(n_new)])
    joint = build_catalog(
        np.concatenate([scene.catalog.x, place[:, 0]]),
        np.concatenate([scene.catalog.y, place[:, 1]]),
        flux=np.concatenate([scene.sources.value[:, 2], flux]),
        sigma=np.concatenate([scene.catalog.sigma, np.full(n_new, np.nan)]),
        id=ids,
        group_id=np.concatenate([scene.catalog.group_id, np.full(n_new, -1)]),
        extra={
            name: np.concatenate([column, np.full(n_new, np.nan)])
            for name, column in scene.catalog.extra.items()
        },
    )
    fresh = start_sources(joint, plan.settings)
    value = fresh.value.copy()
    value[:n_old] = scene.sources.value
    if plan.settings.shape == "image" and n_old:
        value[:, 3] = value[0, 3]
    grouped = _group(joint, plan)
    sources = SourceState(value, fresh.prior)
    sources = set_priors(
        sources, fresh.value, scene.pixels, grouped, plan.settings, columns=joint.extra
    )
    trial = Scene(scene.pixels, joint, sources, grouped, None, scene.model)
    threshold = accept_threshold(int(good.sum()), plan.settings.shape_start)
    return _test_in_turn(trial, plan, n_old, threshold)


def _test_in_turn(trial: Scene, plan: LoopPlan, n_old: int, threshold: float) -> np.ndarray:
    """Test the first candidate of every group at once, then the second of those left, ..."""
    grouped = trial.grouped
    queues = []
    for g in range(grouped.n_group):
        member = grouped.member[grouped.start[g] : grouped.start[g + 1]]
        new = member[member >= n_old]
        if new.size:
            # Candidates were appended brightest first.
            queues.append((member, np.sort(new), member[member < n_old]))
    keep = np.zeros(len(trial.catalog) - n_old, dtype=bool)
    turn = 0
    while queues:
        chosen = [(member, list(kept) + [new[turn]], kept, new) for member, new, kept in queues]
        with_one = _fit_on(trial, plan, [(m, np.sort(w)) for m, w, _, _ in chosen], n_old)
        without = _fit_on(trial, plan, [(m, np.sort(k)) for m, _, k, _ in chosen], n_old)
        after = []
        decision = decide(
            without.chi2,
            with_one.chi2,
            n_pixel=with_one.n_pixel,
            n_parameter=with_one.n_parameter,
            flux=[with_one.flux(i, q[3][turn]) for i, q in enumerate(chosen)],
            threshold=threshold,
        )
        for i, (member, _, kept, new) in enumerate(chosen):
            if decision.keep[i]:
                keep[new[turn] - n_old] = True
                kept = np.append(kept, new[turn])
            if turn + 1 < new.size:
                after.append((member, new, kept))
        queues = after
        turn += 1
    return keep


@dataclass(frozen=True, eq=False)
class _TrialFit:
    """Chi-squared and fluxes of groups fitted on given pixels."""

    chi2: np.ndarray
    n_pixel: np.ndarray
    n_parameter: np.ndarray
    members: list[np.ndarray]
    fluxes: list[np.ndarray]

    def flux(self, i: int, source: int) -> float:
        """Return the fitted flux of one source of trial i."""
        return float(self.fluxes[i][self.members[i] == source][0])


def _fit_on(trial: Scene, plan: LoopPlan, jobs: list, n_old: int) -> _TrialFit:
    """Fit chosen members of groups on the pixels of all their members' boxes."""
    chi2, n_pixel, n_parameter = (np.zeros(len(jobs)) for _ in range(3))
    members = [chosen for _, chosen in jobs]
    fluxes = [np.empty(0) for _ in jobs]
    # A group of candidates alone has no "without": its pixels' own chi-squared stands for it.
    full = [i for i, (_, chosen) in enumerate(jobs) if chosen.size]
    empty = [i for i, (_, chosen) in enumerate(jobs) if not chosen.size]
    center = trial.sources.center
    shape = trial.pixels.data.shape
    in_model = trial.sources.value.copy()
    in_model[n_old:, 2] = 0.0

    def box_members(i: int) -> np.ndarray:
        """Return the boxes of all members of a job, chosen or not."""
        x, y = center[jobs[i][0]].T
        return make_boxes(x, y, plan.settings.fit_shape, shape)

    if full:
        boxes = [box_members(i) for i in full]
        box_start = np.concatenate([[0], np.cumsum([b.shape[0] for b in boxes])])
        member = np.concatenate([members[i] for i in full])
        start = np.concatenate([[0], np.cumsum([members[i].size for i in full])])
        # Members left out of a trial stay in the model: only candidates can be, and their flux
        # there is zero.
        data = cut_batch(
            trial.pixels,
            trial.model,
            trial.sources,
            member,
            start.astype(np.int64),
            plan.settings,
            in_model=in_model,
            box=np.concatenate(boxes),
            box_start=box_start.astype(np.int64),
        )
        fit = restart_doubtful(data, fit_groups(data))
        for place, i in enumerate(full):
            chi2[i] = fit.group[place, FIT_CHI2]
            n_pixel[i] = data.n_pixel[place]
            fluxes[i] = fit.source[start[place] : start[place + 1], 2]
        n_parameter[full] = joint_sizes(data)
    for i in empty:
        chi2[i] = _sky_chi2(trial, box_members(i), plan.settings)
    return _TrialFit(chi2, n_pixel, n_parameter, members, fluxes)


def _sky_chi2(trial: Scene, box: np.ndarray, settings: ModelSettings) -> float:
    """Return the chi-squared of a union of boxes with no source of its own, sky as in the fits."""
    use = np.zeros(trial.pixels.data.shape, dtype=bool)
    for r0, r1, c0, c1 in box:
        use[r0:r1, c0:c1] = True
    row, col = np.nonzero(use & (trial.pixels.weight > 0.0))
    weight = trial.pixels.weight[row, col]
    residual = (trial.pixels.data - trial.model)[row, col]
    if settings.n_sky and row.size:
        first = np.array([box[:, 0].min(), box[:, 2].min()])
        end = np.array([box[:, 1].max(), box[:, 3].max()])
        patch = np.array([[*(end - first), *first]])
        prior = make_shared_priors(trial.pixels, patch, settings)[0]
        middle = first + 0.5 * (end - first - 1)
        columns = np.stack([np.ones(row.size), col - middle[1], row - middle[0]])
        columns = columns[: settings.n_sky]
        gram = (columns * weight) @ columns.T + np.diag(prior[:, 1])
        product = (columns * weight) @ residual + prior[:, 0] * prior[:, 1]
        residual = residual - np.linalg.lstsq(gram, product, rcond=None)[0] @ columns
    return float((weight * residual**2).sum())
