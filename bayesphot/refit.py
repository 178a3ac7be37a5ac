"""Fitting all groups of a scene until their neighbours' wings stand still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesphot.execute import Workers, run_batches, split_evenly
from bayesphot.fitting import GroupFit, fit_groups, score_shape
from bayesphot.kernels import batches
from bayesphot.kernels.structs import LOG_SHAPE, SHAPE_PRECISION
from bayesphot.patch import GroupData, cut_batch
from bayesphot.render import render_sources
from bayesphot.scene import Grouped, Scene
from bayesphot.settings import ModelSettings

__all__ = ["carry_fits", "fit_scene", "fit_subset"]

#: Sweeps over the groups; neighbours' wings settle in two or three.
MAX_SWEEPS = 8
#: A group is fitted again where its neighbours' model moved by more than this many sigma.
WING_TOLERANCE = 0.02
#: Steps of the image's shape, each a Newton step from the groups' summed scores.
MAX_SHAPE_STEPS = 8
SHAPE_TOLERANCE = 1e-5


def fit_subset(
    scene: Scene, groups: np.ndarray, settings: ModelSettings, workers: Workers, **cut
) -> tuple[list[GroupData], list[GroupFit]]:
    """Cut and fit some groups of a scene, in batches; return the batches and their fits."""
    parts = _split(scene.grouped, groups, workers)
    jobs = [(scene, part, settings, cut) for part in parts]
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
    if workers.progress_bar:
        n_part = max(n_part, min(50, groups.size // 20 + 1))
    return [groups[part] for part in split_evenly(size**1.5 + 1.0, n_part)]


def _fit_part(scene: Scene, groups: np.ndarray, settings: ModelSettings, cut: dict):
    """Cut and fit one batch."""
    member, start = scene.grouped.select(groups)
    data = cut_batch(scene.pixels, scene.model, scene.sources, member, start, settings, **cut)
    return data, fit_groups(data)


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
        return replace(scene, model=np.zeros_like(scene.pixels.data), fit=None)
    scene = _sweep(scene, settings, workers, dirty)
    if settings.shape != "image":
        return scene
    for _step in range(MAX_SHAPE_STEPS):
        scene, change = _step_shape(scene, settings, workers)
        if abs(change) < SHAPE_TOLERANCE:
            break
        scene = _sweep(scene, settings, workers, None)
    return scene


def _sweep(scene: Scene, settings: ModelSettings, workers: Workers, dirty) -> Scene:
    """Fit dirty groups, then those whose neighbours moved, until none does."""
    n_group = scene.grouped.n_group
    value = scene.sources.value.copy()
    fit = scene.fit if dirty is not None else None
    pending = np.ones(n_group, dtype=bool) if fit is None else dirty.copy()
    seen: dict[int, np.ndarray] = {}
    if fit is not None and scene.settled is not None:
        _remember(seen, np.arange(n_group), _cut_all(replace(scene, model=scene.settled), settings))
    store = _FitStore(scene, settings, fit)
    for _sweep_number in range(MAX_SWEEPS):
        groups = np.flatnonzero(pending)
        if groups.size == 0:
            break
        data, fits = fit_subset(scene, groups, settings, workers)
        for part_groups, part_data, part_fit in zip(
            _split(scene.grouped, groups, workers), data, fits, strict=True
        ):
            store.put(part_groups, part_fit)
            value[part_data.member] = part_fit.source
            _remember(seen, part_groups, part_data)
        sources = replace(scene.sources, value=value.copy())
        model = render_sources(scene.pixels.data.shape, sources.value)
        scene = replace(scene, sources=sources, model=model)
        pending = _find_moved(scene, settings, seen)
    return replace(scene, fit=store.fit, settled=None)


def _remember(seen: dict, groups: np.ndarray, data: GroupData) -> None:
    """Keep each group's neighbours as they were in its last fit."""
    for g, group in enumerate(groups):
        part = slice(data.batch.pixel_start[g], data.batch.pixel_start[g + 1])
        seen[int(group)] = data.batch.neighbours[part]


def _cut_all(scene: Scene, settings: ModelSettings) -> GroupData:
    """Cut all groups of a scene under its model."""
    grouped = scene.grouped
    return cut_batch(
        scene.pixels, scene.model, scene.sources, grouped.member, grouped.start, settings
    )


def _find_moved(scene: Scene, settings: ModelSettings, seen: dict) -> np.ndarray:
    """Return which groups' neighbours moved by more than the tolerance since their last fit."""
    batch = _cut_all(scene, settings).batch
    before = np.concatenate([seen[g] for g in range(scene.grouped.n_group)])
    moved = np.abs(batch.neighbours - before) * np.sqrt(batch.weight)
    return np.maximum.reduceat(moved, batch.pixel_start[:-1]) > WING_TOLERANCE


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
                source=np.full((grouped.member.size, 4), np.nan),
                sky=np.zeros((grouped.n_group, settings.n_sky)),
                group=np.zeros((grouped.n_group, batches.N_FIT)),
                covariance_start=start,
                covariance=np.full(int(start[-1]), np.nan),
                conditional=np.full(grouped.member.size, np.nan),
            )
            self.fit = fit
        else:
            self.fit = GroupFit(
                fit.source.copy(),
                fit.sky.copy(),
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
        self.fit.sky[groups] = fit.sky
        self.fit.group[groups] = fit.group


def _step_shape(scene: Scene, settings: ModelSettings, workers: Workers) -> tuple[Scene, float]:
    """Return the scene with the image's shape moved by one Newton step, and the step.

    The scores and informations of ln(shape), everything else of each group projected out, add
    over the groups; the prior counts once. What the other groups and the prior say is the
    cavity of each group: a normal about ``ln(shape) - score / information`` without the group.
    """
    score, information = score_shape(_cut_all(scene, settings), scene.fit)
    current = scene.sources.value[0, LOG_SHAPE]
    prior = scene.sources.prior[0]
    prior_precision = prior[SHAPE_PRECISION]
    prior_score = -prior_precision * (current - prior[SHAPE_PRECISION - 1])
    total = information.sum() + prior_precision
    total_score = score.sum() + prior_score
    change = float(np.clip(total_score / total, -0.3, 0.3))
    value = scene.sources.value.copy()
    value[:, LOG_SHAPE] = current + change
    sources = replace(scene.sources, value=value)
    cavity_precision = total - information
    cavity_mean = current + (total_score - score) / cavity_precision
    cavity = np.stack([cavity_mean, cavity_precision], axis=1)
    model = render_sources(scene.pixels.data.shape, value)
    return replace(scene, sources=sources, model=model, shape_cavity=cavity), change


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
        store.fit.sky[g] = before.fit.sky[old]
        store.fit.group[g] = before.fit.group[old]
        block = before.fit.covariance_of(old).ravel()
        first = store.fit.covariance_start[g]
        store.fit.covariance[first : first + block.size] = block
    return replace(after, fit=store.fit)
