"""Fitting all groups of a scene until their neighbours' wings stand still."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from bayesphot.astropy_fit import fit_groups_with
from bayesphot.execute import Workers, run_batches, split_evenly
from bayesphot.fitting import GroupFit, fit_groups, joint_sizes, score_shapes
from bayesphot.kernels import batches
from bayesphot.kernels.structs import FLUX, N_SHAPE_PRIOR, SHAPE, SHAPE_MEAN, SHAPE_PRECISION, X, Y
from bayesphot.patch import GroupData
from bayesphot.render import render_changes, render_sources
from bayesphot.restarts import restart_doubtful
from bayesphot.scene import Grouped, Scene
from bayesphot.settings import ModelSettings

__all__ = ["carry_fits", "fit_scene", "fit_subset", "trust_groups"]

log = logging.getLogger("bayesphot")

#: Groups of one batch: a fraction of a second, so that Ctrl-C acts soon.
PART_SIZE = 500
#: Sweeps over the groups; neighbours' wings settle in two or three.
MAX_SWEEPS = 8
#: A group is fitted again where its neighbours' model moved by more than this many sigma.
WING_TOLERANCE = 0.02
#: Neighbours that come back by this share of their last move do not settle by themselves in time.
SWING = 0.5
#: Steps of the image's shapes, each a Newton step from the groups' summed scores.
MAX_SHAPE_STEPS = 8
#: A hundredth of a percent of the width moves a flux by a fiftieth of a percent at most.
SHAPE_TOLERANCE = 1e-4


def fit_subset(
    scene: Scene,
    groups: np.ndarray,
    settings: ModelSettings,
    workers: Workers,
    *,
    restart: bool = True,
) -> tuple[list[GroupData], list[GroupFit]]:
    """Cut and fit some groups of a scene, in batches; return the batches and their fits."""
    parts = _split(scene.grouped, groups, workers)
    jobs = [(scene, part, settings, restart) for part in parts]
    done = run_batches(
        _fit_part,
        jobs,
        workers,
        label="least squares",
        unit="groups",
        weights=[part.size for part in parts],
    )
    return [data for data, _ in done], [fit for _, fit in done]


def _split(grouped: Grouped, groups: np.ndarray, workers: Workers) -> list[np.ndarray]:
    """Return the groups in batches of about equal work, a few for each worker."""
    size = (grouped.start[groups + 1] - grouped.start[groups]).astype(float)
    n_part = 1 if workers.n_jobs == 1 and workers.executor is None else 8 * workers.n_jobs
    n_part = max(n_part, groups.size // PART_SIZE + 1)
    if workers.progress_bar:
        n_part = max(n_part, min(50, groups.size // 20 + 1))
    return [groups[part] for part in split_evenly(size**1.5 + 1.0, n_part)]


def _fit_part(scene: Scene, groups: np.ndarray, settings: ModelSettings, restart: bool):
    """Cut and fit one batch, doubtful close pairs from more starts if asked."""
    data = scene.cut(settings, groups)
    if settings.fitter is not None:
        return data, fit_groups_with(settings.fitter, data, settings)
    fit = fit_groups(data)
    return data, restart_doubtful(data, fit, settings.psf) if restart else fit


def fit_scene(
    scene: Scene, settings: ModelSettings, workers: Workers, *, dirty: np.ndarray | None = None
) -> Scene:
    """Return the scene with all groups at their optimum given each other.

    Parameters
    ----------
    scene : Scene
        Start; ``scene.model`` is the image of its current values.
    settings, workers
        The run's model and workers.
    dirty : (G,) bool array, optional
        Groups that must be fitted anew (default: all). The others keep their fit unless their
        neighbours' model changes.
    """
    if scene.grouped.n_group == 0:
        nothing = _FitStore(scene, settings, None).fit
        return replace(scene, model=np.zeros_like(scene.pixels.data), fit=nothing)
    if settings.shape != "image":
        return _sweep(scene, settings, workers, dirty)
    scene = _sweep(scene, settings, workers, dirty, most=2)
    damping, before = 1.0, np.zeros(len(settings.psf.free_shapes))
    for _step in range(MAX_SHAPE_STEPS):
        # A step that turns back means that the last one went too far.
        scene, change = _step_shape(scene, settings, damping)
        damping = 0.5 * damping if change @ before < 0.0 else damping
        before = change
        if np.abs(change).max() < SHAPE_TOLERANCE:
            break
        # The wings need not settle while the shape still moves.
        scene = _sweep(scene, settings, workers, None, most=1, restart=False)
    return _sweep(scene, settings, workers, None)


def _sweep(
    scene: Scene,
    settings: ModelSettings,
    workers: Workers,
    dirty: np.ndarray | None,
    *,
    most: int = MAX_SWEEPS,
    restart: bool = True,
) -> Scene:
    """Fit dirty groups, then those whose neighbours moved, until none does.

    More starts are tried in the first sweep: the others go on from the best of them. Groups are
    fitted at once, each given the others as they were. Where some lie on each other, each makes up
    for all others, too much together: groups whose neighbours swing back go half the way.
    """
    n_group = scene.grouped.n_group
    carried = None if dirty is None else scene.fit
    pending = np.ones(n_group, dtype=bool) if dirty is None or carried is None else dirty.copy()
    store = _FitStore(scene, settings, carried)
    value = scene.sources.value.copy()
    here = scene.cut(settings)
    share, last = np.ones(n_group), np.zeros(here.batch.neighbours.size)
    # Neighbours of each group as they were in its last fit.
    seen = here.batch.neighbours.copy()
    if carried is not None and scene.settled is not None:
        seen = replace(scene, model=scene.settled).cut(settings).batch.neighbours.copy()
        pending |= _find_moved(here, seen)
    for number in range(most):
        groups = np.flatnonzero(pending)
        if groups.size == 0:
            break
        more, stood = restart and number == 0, scene.sources.value
        data, fits = fit_subset(scene, groups, settings, workers, restart=more)
        for part_groups, part_data, part_fit in zip(
            _split(scene.grouped, groups, workers), data, fits, strict=True
        ):
            part_fit = _go_part_way(
                part_fit, value[part_data.member], share[part_groups], part_data
            )
            store.put(part_groups, part_fit)
            value[part_data.member] = part_fit.source
        fitted = np.repeat(pending, np.diff(here.batch.pixel_start))
        seen[fitted] = here.batch.neighbours[fitted]
        sources = replace(scene.sources, value=value.copy())
        model = render_changes(scene.model, stood, sources.value, settings.psf)
        scene = replace(scene, sources=sources, model=model)
        here = scene.cut(settings)
        pending = _find_moved(here, seen)
        if (share < 1.0).any():
            pending |= (share < 1.0) & _find_steps(scene, store.fit, stood, settings)
        share[pending & _find_swings(here, seen, last)] *= 0.5
        last = here.batch.neighbours - seen
    if pending.any():
        log.info("%d groups still moved with their neighbours when the sweeps ended", pending.sum())
    return replace(scene, fit=store.fit, settled=None)


def _find_moved(data: GroupData, seen: np.ndarray) -> np.ndarray:
    """Return which groups' neighbours moved by more than the tolerance since their last fit."""
    moved = np.abs(data.batch.neighbours - seen) * np.sqrt(data.batch.weight)
    return np.maximum.reduceat(moved, data.batch.pixel_start[:-1]) > WING_TOLERANCE


def _find_swings(data: GroupData, seen: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return which groups' neighbours move back by more than half of what they moved last."""
    batch = data.batch
    both = (batch.neighbours - seen) * last * batch.weight, last * last * batch.weight
    along, size = (np.add.reduceat(part, batch.pixel_start[:-1]) for part in both)
    return along < -SWING * size


def _find_steps(scene: Scene, fit: GroupFit, stood: np.ndarray, settings) -> np.ndarray:
    """Return which groups' own sources moved by more than the tolerance from where they stood.

    In sigma of the flux; a flux shifted by s of the PSF counts as a flux of that share.
    """
    member = scene.grouped.member
    value, before = scene.sources.value[member], stood[member]
    step = np.hypot(*(value - before)[:, [X, Y]].T) / settings.psf.sigma * np.abs(value[:, FLUX])
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.hypot(step, value[:, FLUX] - before[:, FLUX]) / np.sqrt(fit.conditional)
    return np.maximum.reduceat(step, scene.grouped.start[:-1]) > WING_TOLERANCE


def _go_part_way(fit: GroupFit, old: np.ndarray, share: np.ndarray, data: GroupData) -> GroupFit:
    """Return the fit of a batch with its sources a share of the way from where they were."""
    if (share == 1.0).all():
        return fit
    share = np.repeat(share, np.diff(data.batch.source_start))[:, None]
    return replace(fit, source=np.where(share < 1.0, old + share * (fit.source - old), fit.source))


class _FitStore:
    """Fits of all groups, gathered from batches."""

    def __init__(self, scene: Scene, settings: ModelSettings, fit: GroupFit | None):
        grouped = scene.grouped
        self.grouped = grouped
        sizes = np.diff(grouped.start)
        layout = [settings.layout(int(n), sampling=False) for n in sizes]
        size = np.array([item.size for item in layout], dtype=np.int64)
        start = np.concatenate([[0], np.cumsum(size**2)]).astype(np.int64)
        if fit is None:
            fit = GroupFit(
                source=np.full((grouped.member.size, settings.psf.n_column), np.nan),
                shared=np.zeros((grouped.n_group, settings.n_shared)),
                group=np.zeros((grouped.n_group, batches.N_FIT)),
                covariance_start=start,
                covariance=np.full(int(start[-1]), np.nan),
                conditional=np.full(grouped.member.size, np.nan),
            )
            self.fit = fit
        else:
            self.fit = GroupFit(
                fit.source.copy(),
                fit.shared.copy(),
                fit.group.copy(),
                fit.covariance_start,
                fit.covariance.copy(),
                fit.conditional.copy(),
            )

    def put(self, groups: np.ndarray, fit: GroupFit) -> None:
        """Store the fits of some groups."""
        if groups.size == self.grouped.n_group:
            self.fit = fit
            return
        _, start = self.grouped.select(groups)
        for i, g in enumerate(groups):
            here = slice(self.grouped.start[g], self.grouped.start[g + 1])
            there = slice(start[i], start[i + 1])
            self.fit.source[here] = fit.source[there]
            self.fit.conditional[here] = fit.conditional[there]
            first = self.fit.covariance_start[g]
            block = fit.covariance[fit.covariance_start[i] : fit.covariance_start[i + 1]]
            self.fit.covariance[first : first + block.size] = block
        self.fit.shared[groups] = fit.shared
        self.fit.group[groups] = fit.group


def trust_groups(scene: Scene, data: GroupData) -> np.ndarray:
    """Return each group's share of what its patch says of common shapes.

    It is 1, or 1 / reduced chi-squared where that is more than 3 sigma above its mean.
    """
    freedom = np.maximum(data.n_pixel - joint_sizes(data), 1)
    reduced = scene.fitted.group[:, batches.FIT_CHI2] / freedom
    reduced = reduced * scene.pixels.noise.correlation**2
    usual = 1.0 + 3.0 * np.sqrt(2.0 / freedom)
    return np.where(reduced > usual, 1.0 / np.maximum(reduced, 1.0), 1.0)


def _step_shape(scene: Scene, settings: ModelSettings, damping: float) -> tuple[Scene, np.ndarray]:
    """Return the scene with the image's free shapes moved by one Newton step, and the step.

    The scores and the information of the shapes' columns, all else of each group projected out,
    add over the groups; the prior counts once. A group that the model does not describe (saturated,
    or not a star) says less about the common shapes: its share is divided by its reduced
    chi-squared. What the other groups and the prior say is the cavity of each group: a normal
    about ``shape + information^-1 score`` without the group.
    """
    data = scene.cut(settings)
    shapes = np.array(settings.psf.free_shapes, dtype=np.int64)
    score, information = score_shapes(data, scene.fitted, shapes)
    trust = trust_groups(scene, data)
    score, information = trust[:, None] * score, trust[:, None, None] * information
    current = scene.sources.value[0, SHAPE + shapes]
    prior = scene.sources.prior[0]
    precision = prior[SHAPE_PRECISION + N_SHAPE_PRIOR * shapes]
    total = information.sum(axis=0) + np.diag(precision)
    off = current - prior[SHAPE_MEAN + N_SHAPE_PRIOR * shapes]
    total_score = score.sum(axis=0) - precision * off
    change = np.clip(damping * np.linalg.solve(total, total_score), -0.3, 0.3)
    value = scene.sources.value.copy()
    value[:, SHAPE + shapes] = current + change
    sources = replace(scene.sources, value=value)
    others = total - information
    mean = current + np.linalg.solve(others, (total_score - score)[..., None])[..., 0]
    model = render_sources(scene.pixels.data.shape, value, settings.psf)
    return replace(scene, sources=sources, model=model, shape_cavity=(mean, others)), change


def carry_fits(before: Scene, after: Scene, settings: ModelSettings) -> Scene:
    """Return the new scene with the fits of groups whose members did not change.

    Groups without a fit have NaN in it: they are fitted by the next `fit_scene`.
    """
    if before.fit is None:
        return after
    store = _FitStore(after, settings, None)
    known = {}
    for g in range(before.grouped.n_group):
        member = before.grouped.member[before.grouped.start[g] : before.grouped.start[g + 1]]
        known[tuple(before.catalog.id[member])] = g
    for g in range(after.grouped.n_group):
        here = slice(after.grouped.start[g], after.grouped.start[g + 1])
        old = known.get(tuple(after.catalog.id[after.grouped.member[here]]))
        if old is None:
            continue
        there = slice(before.grouped.start[old], before.grouped.start[old + 1])
        store.fit.source[here] = before.fit.source[there]
        store.fit.conditional[here] = before.fit.conditional[there]
        store.fit.shared[g] = before.fit.shared[old]
        store.fit.group[g] = before.fit.group[old]
        block = before.fit.covariance_of(old).ravel()
        first = store.fit.covariance_start[g]
        store.fit.covariance[first : first + block.size] = block
    return replace(after, fit=store.fit)
