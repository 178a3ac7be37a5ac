"""New sources in the residual: found, and kept if the data prefer the group with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.accept import accept_threshold, decide
from bayesphot.catalog import Catalog, build_catalog
from bayesphot.fitting import fit_groups, joint_sizes
from bayesphot.kernels.batches import FIT_CHI2
from bayesphot.mismatch import measure_mismatch
from bayesphot.patch import cut_batch, make_boxes, make_shared_priors
from bayesphot.plan import LoopPlan
from bayesphot.populate import detect_sources, place_sources
from bayesphot.restarts import restart_doubtful
from bayesphot.scene import Scene, render_fitted_modes
from bayesphot.settings import ModelSettings

__all__ = ["find_more"]

#: A detection nearer than this (in FWHM) to a source, or to a place refused before, is no news.
COVERED = 0.5


def find_more(scene: Scene, plan: LoopPlan, refused: np.ndarray, good: np.ndarray):
    """Return accepted new sources (x, y, flux), and all places refused so far."""
    doubtful = _doubt(scene, plan.settings)
    model = scene.model + render_fitted_modes(scene, plan.settings)
    place, flux = detect_sources(plan, doubtful.pixels, model)
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
    residual = pixels.data - scene.model - render_fitted_modes(scene, settings)
    mismatch = measure_mismatch(residual, pixels.weight, x, y, flux, sigma=settings.shape_start)
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
    last = scene.catalog.id.max(initial=0)
    candidates = build_catalog(
        place[:, 0], place[:, 1], flux=flux, id=last + 1 + np.arange(flux.size)
    )
    joint = Catalog.concatenate([scene.catalog, candidates])
    sources, grouped = place_sources(joint, scene.pixels, plan, scene)
    trial = Scene(scene.pixels, joint, sources, grouped, None, scene.model)
    threshold = accept_threshold(int(good.sum()), plan.settings.shape_start)
    return _test_in_turn(trial, plan, len(scene.catalog), threshold)


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
    """Return the chi-squared of a union of boxes with no source of its own.

    Sky and nuisances are as in the fits.
    """
    use = np.zeros(trial.pixels.data.shape, dtype=bool)
    for r0, r1, c0, c1 in box:
        use[r0:r1, c0:c1] = True
    row, col = np.nonzero(use & (trial.pixels.weight > 0.0))
    weight = trial.pixels.weight[row, col]
    residual = (trial.pixels.data - trial.model)[row, col]
    if settings.n_shared and row.size:
        first = np.array([box[:, 0].min(), box[:, 2].min()])
        end = np.array([box[:, 1].max(), box[:, 3].max()])
        patch = np.array([[*(end - first), *first]])
        prior = make_shared_priors(trial.pixels, patch, settings)[0]
        middle = first + 0.5 * (end - first - 1)
        columns = np.stack([np.ones(row.size), col - middle[1], row - middle[0]])
        columns = columns[: settings.n_sky]
        if trial.pixels.nuisance is not None:
            columns = np.concatenate([columns, trial.pixels.nuisance[:, row, col]])
        gram = (columns * weight) @ columns.T + np.diag(prior[:, 1])
        product = (columns * weight) @ residual + prior[:, 0] * prior[:, 1]
        residual = residual - np.linalg.lstsq(gram, product, rcond=None)[0] @ columns
    return float((weight * residual**2).sum())
