"""Sampling the final groups of a scene, each once."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from bayesphot.collect import Collector, Places, Sampled
from bayesphot.condense import condense_batch
from bayesphot.evidence import log_constants
from bayesphot.execute import Workers, finish_batches, split_evenly
from bayesphot.fitting import joint_sizes
from bayesphot.kernels import batches
from bayesphot.kernels.structs import (
    CCD_NOISE,
    FLUX,
    N_SHAPE_PRIOR,
    NORMAL_NOISE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
)
from bayesphot.patch import GroupData, SourceState
from bayesphot.sampling import (
    HOPELESS,
    BatchDraws,
    Budget,
    EnsembleOptions,
    SwarmOptions,
    derive_seeds,
    sample_ensemble,
    sample_independence,
    sample_tempered,
)
from bayesphot.scales import find_scales
from bayesphot.scene import Scene, render_offset
from bayesphot.settings import ModelSettings

__all__ = ["EMCEE", "INDEPENDENCE", "TEMPERED", "SamplingPlan", "sample_scene"]

log = logging.getLogger("bayesphot")

INDEPENDENCE = "independence"
EXTENDED = "independence+"
TEMPERED = "tempered"
EMCEE = "emcee"
#: Standard deviations of reduced chi-squared above 1 from which a model does not describe its data.
POOR = 5.0
#: Cost (1 + size squared of each group) of one batch: half a second, so that Ctrl-C acts soon and
#: threads end together.
PART_COST = 100.0


@dataclass(frozen=True)
class SamplingPlan:
    """Which engines run, and what they must reach.

    Parameters
    ----------
    budget : Budget
        Chains and draws, and what they must reach.
    engines : tuple of {"independence", "tempered", "emcee"}
        The ladder: the first gets every group, each further one the groups that failed before.
    swarm : SwarmOptions
        How tempered swarms run.
    ensemble : EnsembleOptions
        How emcee runs.
    flat_sky : bool
        Whether a flat sky counts as a density of 1 in the evidences: see `log_constants`.
    """

    budget: Budget
    engines: tuple[str, ...] = (INDEPENDENCE, TEMPERED)
    swarm: SwarmOptions = SwarmOptions()
    ensemble: EnsembleOptions = EnsembleOptions()
    flat_sky: bool = False


def sample_scene(
    scene: Scene,
    settings: ModelSettings,
    plan: SamplingPlan,
    seed: int,
    workers: Workers,
    *,
    places: Places,
    kept: int | None = None,
) -> Sampled:
    """Return the summaries of all groups, and their draws where the result has them.

    An interrupt (Ctrl-C) ends the sampling: the groups that were not reached are then missing.
    With ``kept`` only so many draws of each chain leave their batch, which bounds the memory.
    """
    size = np.diff(scene.grouped.start)
    cost = size**2 + 1.0
    n_part = max(int(cost.sum() / PART_COST) + 1, 8 * workers.n_jobs)
    parts = split_evenly(cost, n_part)
    collector = Collector(scene.grouped, places, plan.budget, settings, kept)
    scene = _expand_pixels(_cut_scene(scene, settings), settings)
    jobs = [(scene, part, settings, plan, seed, kept) for part in parts]
    finished = finish_batches(
        _sample_part,
        jobs,
        workers,
        label="sampling",
        unit="groups",
        weights=[part.size for part in parts],
    )
    try:
        with closing(finished):
            for place, (draws, engine) in finished:
                collector.take(parts[place], draws, engine)
    except KeyboardInterrupt:
        log.warning("interrupted: groups that were not sampled yet are flagged INTERRUPTED")
    return collector.close()


def _cut_scene(scene: Scene, settings: ModelSettings) -> Scene:
    """Return the scene with each group's cavity as its prior of a shape shared by the image."""
    if settings.shape != "image" or scene.shape_cavity is None:
        return scene
    prior = scene.sources.prior.copy()
    group = scene.grouped.group_of_member()
    mean, precision = scene.shape_cavity
    member, cross = scene.grouped.member, SHAPE_MEAN + N_SHAPE_PRIOR * settings.psf.n_shape
    for i, j in enumerate(settings.psf.free_shapes):
        place = N_SHAPE_PRIOR * j
        prior[member, SHAPE_MEAN + place] = mean[group, i]
        prior[member, SHAPE_PRECISION + place] = precision[group, i, i]
        for h, low in enumerate(settings.psf.free_shapes[:i]):
            prior[member, cross + j * (j - 1) // 2 + low] = precision[group, i, h]
    return replace(scene, sources=SourceState(scene.sources.value, prior))


def _expand_pixels(scene: Scene, settings: ModelSettings) -> Scene:
    """Return the scene with the data and weights of the normal that is nearest to its noise."""
    pixels = scene.pixels
    if pixels.noise.kind == NORMAL_NOISE or scene.fit is None:
        return scene
    mean = scene.model + render_offset(scene, settings)
    scale: np.ndarray | float = 1.0
    if settings.inflation is not None:
        normals, scale = find_scales(scene, settings, mean)
        # Engines that start from the fit start there.
        shared = scene.fit.shared.copy()
        shared[:, -1] = normals[:, 0]
        scene = replace(scene, scales=normals, fit=replace(scene.fit, shared=shared))
    data, weight = pixels.noise.expand(pixels.data, mean, scale)
    good = pixels.weight > 0.0
    pixels = replace(
        pixels,
        data=np.where(good, data, 0.0),
        weight=np.where(good, weight, 0.0),
        noise=replace(pixels.noise, data=pixels.data, weight=pixels.weight),
    )
    return replace(scene, pixels=pixels)


def _sample_part(
    scene: Scene, groups: np.ndarray, settings, plan: SamplingPlan, seed: int, kept: int | None
):
    """Sample one batch of groups; return its condensed draws, as many as are kept, and engines."""
    data = _hold_variance(_cut(scene, groups, settings), scene, groups)
    draws, engine = _sample_groups(scene, groups, data, settings, plan, seed)
    return condense_batch(draws, data, scene.pixels, plan.budget, settings, kept), engine


def _sample_groups(
    scene: Scene, groups: np.ndarray, data: GroupData, settings, plan: SamplingPlan, seed: int
):
    """Sample one batch of groups; return its draws and engines."""
    seeds = derive_seeds(seed, data.batch.prior[:, :2], data.batch.source_start)
    draws = _run_engine(plan.engines[0], scene, groups, data, plan, seeds, settings)
    engine = np.full(groups.size, plan.engines[0], dtype=object)
    engine[(engine == INDEPENDENCE) & (draws.stats[:, batches.THIN] > 1)] = EXTENDED
    for name in plan.engines[1:]:
        for g in np.flatnonzero(~plan.budget.holds(draws.stats)):
            one = slice(g, g + 1)
            part = _hold_variance(_cut(scene, groups[one], settings), scene, groups[one])
            again = _run_engine(name, scene, groups[one], part, plan, seeds[one], settings)
            if _is_better(again.stats[0], draws.stats[g], plan.budget, engine[g]):
                _replace_group(draws, again, data, int(g))
                engine[g] = name
    given = settings.priors
    constants = log_constants(
        data,
        scene.pixels.noise.model,
        has_functions=bool(given.functions),
        density=None if given.scene is None else given.scene.density,
        flat_sky=plan.flat_sky,
    )
    draws.stats[:, batches.LOG_Z] += constants
    draws.stats[np.isnan(draws.stats[:, batches.LOG_Z]), batches.LOG_Z_ERROR] = np.nan
    return draws, engine


def _run_engine(name, scene, groups, data, plan: SamplingPlan, seeds, settings) -> BatchDraws:
    """Sample a batch by one engine."""
    if name == EMCEE:
        return _run_emcee(scene, groups, data, plan.budget, seeds, settings, plan.ensemble)
    guess = _guess_precisions(scene, groups, data, settings)
    shape_free = settings.shape != "fixed"
    if name == INDEPENDENCE:
        return sample_independence(data, plan.budget, seeds, guess, shape_free=shape_free)
    sizes = np.diff(data.batch.source_start)
    return sample_tempered(
        data,
        plan.budget,
        seeds,
        guess,
        shape_free=shape_free,
        options=plan.swarm,
        layouts=[settings.layout(int(n), sampling=True) for n in sizes],
    )


def _cut(scene: Scene, groups: np.ndarray, settings: ModelSettings) -> GroupData:
    """Cut the patches of some groups for the sampling."""
    data = scene.cut(settings, groups, sampling=True)
    if settings.inflation is None or scene.scales is None:
        return data
    return data.propose_scales(scene.scales[groups], settings.inflation.whole())


def _hold_variance(data: GroupData, scene: Scene, groups: np.ndarray) -> GroupData:
    """Return the batch with the fit's variance held where the model does not describe a CCD's data.

    A variance that follows the model reads fluxes off the scatter of the residuals, too. Where
    that is not photon noise (a wrong PSF under a bright star) it says something false of them.
    """
    noise = scene.pixels.noise
    # A sampled scale is another answer to residuals that are too large.
    if noise.is_inflated or not np.any(data.batch.noise_kind == CCD_NOISE):
        return data
    freedom = np.maximum(data.n_pixel - joint_sizes(data), 1)
    reduced = scene.fitted.group[groups, batches.FIT_CHI2] / freedom * noise.correlation**2
    poor = reduced > 1.0 + POOR * np.sqrt(2.0 / freedom)
    return data.hold_variance(poor & (data.batch.noise_kind == CCD_NOISE))


def _guess_precisions(scene, groups, data: GroupData, settings) -> np.ndarray:
    """Return 1 / formal variance of the nonlinear parameters, as a scale for differences."""
    batch = data.batch
    guess = np.empty(batch.free.size)
    sizes = np.diff(batch.source_start)
    for size in np.unique(sizes):
        here = np.flatnonzero(sizes == size)
        n = settings.layout(int(size), sampling=True).n_nonlinear
        covariance = _sampled_covariances(scene, groups[here], int(size), settings)
        variance = np.diagonal(covariance, axis1=1, axis2=2)[:, :n]
        with np.errstate(divide="ignore"):
            precision = np.where(variance > 0.0, 1.0 / variance, 0.0)
        guess[batch.free_start[here][:, None] + np.arange(n)] = precision
    return guess


def _sampled_covariances(scene, groups: np.ndarray, n: int, settings) -> np.ndarray:
    """Return joint covariances (m, p, p) of the sampled parameters of groups of n sources.

    Nonlinear parameters come first. A shape of the image is free in the sampling only: its cavity
    is its scale.
    """
    fitted = settings.layout(n, sampling=False)
    sampled = settings.layout(n, sampling=True)
    keys = [(*sampled.linear, *sampled.nonlinear)[i] for i in sampled.nonlinear_first]
    known = (*fitted.linear, *fitted.nonlinear)
    place = np.array([known.index(key) if key in known else -1 for key in keys], dtype=np.int64)
    covariance = np.zeros((groups.size, place.size, place.size))
    if known:
        covariance = scene.fit.covariances_of(groups)[:, place[:, None], place]
    lacking = np.flatnonzero(place < 0)
    covariance[:, lacking] = 0.0
    covariance[:, :, lacking] = 0.0
    member = scene.grouped.member[scene.grouped.start[groups]]
    for i in lacking:
        place = SHAPE_PRECISION + N_SHAPE_PRIOR * keys[i][2]
        covariance[:, i, i] = 1.0 / scene.sources.prior[member, place]
    return covariance


def _run_emcee(scene, groups, data, budget, seeds, settings, options) -> BatchDraws:
    """Run emcee on a batch, its walkers spread by the least squares."""
    covariances, linear, layouts = [], [], []
    for i, g in enumerate(groups):
        n = int(np.diff(data.batch.source_start)[i])
        layouts.append(settings.layout(n, sampling=True))
        covariances.append(_sampled_covariances(scene, groups[i : i + 1], n, settings)[0])
        first = data.batch.source_start[i]
        flux = data.batch.state[first : first + n, FLUX] if settings.free_flux else np.empty(0)
        linear.append(np.concatenate([flux, scene.fit.shared[g]]))
    return sample_ensemble(
        data,
        budget,
        seeds,
        covariances,
        linear=linear,
        shape_free=settings.shape != "fixed",
        options=options,
        layouts=layouts,
        functions=settings.priors.functions,
    )


def _is_better(again: np.ndarray, before: np.ndarray, budget: Budget, engine: str) -> bool:
    """Return whether a group's later draws are to be shown: good, or better than those before.

    Chains of the ``engine`` "independence" that fail have usually missed a part of the posterior,
    which their R-hat need not show: a proposal that does not reach it can still mix where it does.
    Swarms that reach it, if not with the same weight, say more.
    """
    if budget.holds(again) or not before[batches.ACCEPTANCE] >= 0.0:
        return True
    if not again[batches.ACCEPTANCE] >= 0.0:
        return False
    r_hat = again[batches.WORST_R_HAT]
    if engine in (INDEPENDENCE, EXTENDED) and r_hat <= HOPELESS[0]:
        return True
    return bool(r_hat <= before[batches.WORST_R_HAT])


def _replace_group(draws: BatchDraws, again: BatchDraws, data: GroupData, g: int) -> None:
    """Put the draws of one group in place of its earlier ones."""
    here = slice(data.batch.source_start[g], data.batch.source_start[g + 1])
    draws.source[:, here] = again.source
    draws.shape[:, here] = again.shape
    draws.shared[:, g] = again.shared[:, 0]
    draws.source_summary[here] = again.source_summary
    draws.shared_summary[:, g] = again.shared_summary[:, 0]
    draws.stats[g] = again.stats[0]
