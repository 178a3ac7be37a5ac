"""Find, group, fit, subtract, find again: the iteration of DAOPHOT (Stetson 1987).

One pure function over immutable scenes. It runs on least squares; new detections join their
neighbours' group, which is refitted whole from the unsubtracted image. A detection, also one of the
first search, stays only if the data prefer its group with it. It ends: each further round must
bring a source that is neither on top of another nor at a place refused before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from bayesphot.boxes import make_boxes
from bayesphot.catalog import Catalog
from bayesphot.image import Image
from bayesphot.kernels.structs import RADIUS
from bayesphot.observer import Observer
from bayesphot.patch import Pixels
from bayesphot.plan import LoopPlan
from bayesphot.populate import (
    detect_sources,
    estimate_starts,
    extend_scene,
    flag_unmeasurable,
    list_detections,
    measurable_rows,
    open_scene,
)
from bayesphot.refit import fit_scene
from bayesphot.scene import (
    Scene,
    render_fitted_modes,
    render_modes,
    render_offset,
    render_sky_offset,
)
from bayesphot.settings import ModelSettings
from bayesphot.starts import ALONE
from bayesphot.trials import find_more, prepare_doubt, try_sources

__all__ = ["LoopPlan", "LoopResult", "run_loop"]

log = logging.getLogger("bayesphot")

#: A start is not moved this near (in FWHM) to another source: closer pairs cannot be told apart.
INSEPARABLE = 0.25
#: Times the start of a blended detection may move by the radius of its disc.
MAX_MOVES = 3
#: Times the sources are tried in each round.
MAX_TRIALS = 4
#: Refits after the modes of the PSF's error were renewed from the model; they settle in two.
MODE_ROUNDS = 2
#: Share of the noise of a pixel below which light is not rendered.
UNSEEN = 0.1
#: Refits in which outliers are told before a width is free.
OUTLIER_ROUNDS = 2


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
    settings : ModelSettings
        The run's model, its PSF rendered as far as the noise of the image asks for.
    """

    scene: Scene
    catalog: Catalog
    row: np.ndarray
    n_round: int
    noise_origin: str
    settings: ModelSettings


def _set_floor(settings: ModelSettings, pixels: Pixels) -> ModelSettings:
    """Return the model with sources rendered out to where they fall under a tenth of the noise."""
    weight = pixels.weight[pixels.weight > 0.0]
    if weight.size == 0:
        return settings
    # A few pixels that claim to be exact do not count.
    noise = 1.0 / np.sqrt(np.quantile(weight, 0.99))
    return replace(settings, psf=settings.psf.with_floor(UNSEEN * noise))


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
    observer = Observer(image, plan)
    blank = np.zeros(image.shape)
    pixels = observer.observe(blank)
    plan = replace(plan, settings=_set_floor(plan.settings, pixels))
    # Given positions are the first round.
    rounds = 1
    if positions is None:
        found = detect_sources(plan, pixels, blank)
        catalog = list_detections(found[0], found[1], first_id=1, iteration=1)
    else:
        catalog = positions
    catalog = flag_unmeasurable(catalog, pixels, plan.settings)
    catalog = estimate_starts(catalog, pixels, plan)
    row = measurable_rows(catalog)
    scene = open_scene(catalog.select(row), pixels, plan)
    scene = _settle(scene, plan, observer)
    refused = np.empty((0, 2))
    given = np.empty(0, dtype=np.int64) if positions is None else positions.id
    scene, catalog, refused = _follow_detections(scene, catalog, refused, given, plan, observer)
    last_id = int(catalog.id.max(initial=0))
    state = _drop_phantoms(scene, catalog, refused, given, plan, observer)
    scene, catalog, refused, doubt = state
    while plan.finder is not None and _may_go_on(rounds, plan, image.good):
        rounds += 1
        fresh, refused = find_more(scene, doubt, plan, refused, image.good)
        if fresh.shape[0] == 0:
            break
        new = list_detections(fresh[:, :2], fresh[:, 2], first_id=last_id + 1, iteration=rounds)
        last_id += len(new)
        log.info("round %d: %d new sources", rounds, len(new))
        catalog = Catalog.concatenate([catalog, new])
        catalog = flag_unmeasurable(catalog, scene.pixels, plan.settings)
        row = measurable_rows(catalog)
        scene = extend_scene(scene, catalog.select(row), plan)
        scene = _settle(scene, plan, observer)
        scene, catalog, refused = _follow_detections(scene, catalog, refused, given, plan, observer)
        state = _drop_phantoms(scene, catalog, refused, given, plan, observer)
        scene, catalog, refused, doubt = state
    row = measurable_rows(catalog)
    scene = _finish(scene, plan, observer)
    return LoopResult(scene, catalog, row, rounds, observer.origin, plan.settings)


def _may_go_on(rounds: int, plan: LoopPlan, good: np.ndarray) -> bool:
    """Return whether another round of finding is allowed; no image holds more than its beams."""
    limit = max(10, int(good.sum() / plan.settings.psf.fwhm**2))
    return rounds < (limit if plan.niters is None else plan.niters)


def _settle(scene: Scene, plan: LoopPlan, observer: Observer) -> Scene:
    """Fit what changed; renew a variance and modes of the PSF that depend on the model."""
    if scene.fit is None and scene.pixels.noise.has_outliers:
        scene = _find_outliers(scene, plan, observer)
    scene = fit_scene(scene, plan.settings, plan.workers, dirty=_dirty_groups(scene))
    return _renew(scene, plan, observer, plan.settings, _count_renewals(plan, observer.image))


def _renew(scene: Scene, plan: LoopPlan, observer: Observer, settings, n_round: int) -> Scene:
    """Fit again with what depends on the model renewed, a number of times."""
    for _round in range(n_round):
        offset = render_offset(scene, settings)
        pixels = observer.observe(scene.model, offset, render_modes(scene, settings))
        scene = fit_scene(replace(scene, pixels=pixels, fit=None), settings, plan.workers)
    return scene


def _find_outliers(scene: Scene, plan: LoopPlan, observer: Observer) -> Scene:
    """Return the scene, not fitted yet, its outliers known from fits of the start's shape.

    A free width would shrink to the first bright outlier, and what it fits then is none.
    """
    if plan.settings.shape == "fixed":
        return scene
    steady = replace(plan.settings, shape="fixed")
    found = fit_scene(scene, steady, plan.workers)
    found = _renew(found, plan, observer, steady, OUTLIER_ROUNDS)
    return replace(found, fit=None, settled=None)


def _count_renewals(plan: LoopPlan, image: Image) -> int:
    """Return how often what the fits see is renewed from the model."""
    known = image.error is not None or (plan.noise is not None and not plan.noise.takes_error)
    return max(
        0 if plan.noise is None else plan.noise.renewals,
        0 if plan.settings.psf_error is None else MODE_ROUNDS,
        0 if known else 1,
    )


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
        catalog = flag_unmeasurable(catalog, scene.pixels, settings)
        scene = extend_scene(scene, catalog.select(measurable_rows(catalog)), plan)
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
        pairs = tree.query_pairs(INSEPARABLE * plan.settings.psf.fwhm, output_type="ndarray")
        if pairs.size == 0:
            break
        ids = scene.catalog.id[pairs]
        later = np.where(scene.catalog.iter_detected[pairs] > 1, ids, -1).max(axis=1)
        dropped = np.setdiff1d(later[later >= 0], given)
        if dropped.size == 0:
            break
        scene, catalog, refused = _drop_sources(scene, catalog, refused, dropped, plan, observer)
    return scene, catalog, refused


def _drop_phantoms(scene: Scene, catalog: Catalog, refused, given, plan, observer):
    """Take out detections that the data do not prefer to be there.

    Two new sources of one round may have explained the same light. What is left is fitted anew, and
    tried again while more of it may have been phantoms. Returns as above, and the doubts
    about the pixels of the last scene.
    """
    doubt = prepare_doubt(scene, plan.settings)
    for _trial in range(MAX_TRIALS):
        keep = try_sources(scene, doubt, plan, observer.image.good, given)
        if keep.all():
            break
        dropped = scene.catalog.id[~keep]
        log.info("%d of %d sources are none", dropped.size, keep.size)
        scene, catalog, refused = _drop_sources(scene, catalog, refused, dropped, plan, observer)
        doubt = prepare_doubt(scene, plan.settings)
    return scene, catalog, refused, doubt


def _drop_sources(scene: Scene, catalog: Catalog, refused, dropped, plan, observer):
    """Take sources out by their ids and fit again. Returns as above."""
    gone = np.isin(scene.catalog.id, dropped)
    refused = np.concatenate([refused, scene.sources.value[gone, :2]])
    catalog = catalog.select(np.flatnonzero(~np.isin(catalog.id, dropped)))
    scene = extend_scene(scene, catalog.select(measurable_rows(catalog)), plan)
    return _settle(scene, plan, observer), catalog, refused


def _find_pressed(scene: Scene, given: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """Return which blended detections sit on the rim of their disc, clear of other sources."""
    from scipy.spatial import cKDTree

    place, prior = scene.sources.value[:, :2], scene.sources.prior
    offset = np.hypot(*(place - scene.sources.center).T)
    pressed = (offset > 0.999 * prior[:, RADIUS]) & (prior[:, RADIUS] < ALONE * settings.psf.fwhm)
    pressed &= ~np.isin(scene.catalog.id, given)
    ny, nx = scene.pixels.data.shape
    pressed &= np.all((place >= -0.5) & (place < [nx - 0.5, ny - 0.5]), axis=1)
    if pressed.any() and len(place) > 1:
        distance, _ = cKDTree(place).query(place, k=2)
        pressed &= distance[:, 1] > INSEPARABLE * settings.psf.fwhm
    return pressed


def _finish(scene: Scene, plan: LoopPlan, observer: Observer) -> Scene:
    """Measure the sky again under the final model and fit all groups once more."""
    if len(scene.catalog) == 0 or plan.settings.background == "none":
        return scene
    boxes = _boxes(scene, plan.settings)
    total = scene.pixels.sky + render_sky_offset(scene, plan.settings)
    observer.renew_sky(scene.model, boxes)
    # The sky that the fits found, not the new reference, is what the noise is about.
    offset = total - observer.sky + render_fitted_modes(scene, plan.settings)
    pixels = observer.observe(scene.model, offset, render_modes(scene, plan.settings))
    scene = replace(scene, pixels=pixels, fit=None)
    return fit_scene(scene, plan.settings, plan.workers)


def _boxes(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return the fit boxes of all sources."""
    x, y = scene.sources.center.T
    shape, saturated = scene.pixels.data.shape, scene.pixels.saturated
    return make_boxes(x, y, settings.fit_shape, shape, saturated)
