"""More starts where one start can end in the wrong optimum.

The least squares knows nothing of the order that the prior sets on sources whose discs meet, and
a start at right angles to the pair can end with the names exchanged, on the rim of a disc, or
between the two. A start at the rim of its disc, a FWHM from the star, can end in a dip of the
noise. Such fits are made again from other places and the best one is kept.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesphot.fitting import GroupFit, fit_groups
from bayesphot.kernels.batches import FIT_CHI2, FIT_STATUS
from bayesphot.kernels.structs import (
    CENTER_X,
    CENTER_Y,
    CONVERGED,
    FLUX,
    FLUX_FLOOR,
    N_SHAPE_PRIOR,
    RADIUS,
    SHAPE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    X,
    Y,
)
from bayesphot.patch import GroupData
from bayesphot.psf import PSFConfig

__all__ = ["restart_doubtful"]

#: Directions tried for a pair, from the direction of its starts; order holds below 90 degrees.
ANGLES = np.deg2rad([0.0, 40.0, -40.0, 80.0, -80.0])
#: Half the separation tried, in sigma: half a FWHM apart is where blends begin to be told apart.
HALF_SEPARATION = 0.8
#: Pairs, and sources of negative flux, of one group that get new starts.
MAX_PAIRS = 6
MAX_DIPS = 6
#: Where in its disc a source of negative flux is looked for, in radii.
RING = 0.6 * np.stack([f(np.arange(6) * np.pi / 3.0) for f in (np.cos, np.sin)], axis=1)
#: Sources of a group beyond which it is not fitted again: dozens of starts, each a fit that takes
#: as the cube of them (235 stars: 10 s), for the sake of one pair or dip among many.
MAX_GROUP = 50
#: Reduced chi-squared above which a fit of close sources is not believed at once.
POOR_FIT = 2.0


def restart_doubtful(data: GroupData, fit: GroupFit, psf: PSFConfig) -> GroupFit:
    """Return the fits with doubtful ones made again from other starts.

    Parameters
    ----------
    data : GroupData
        The batch.
    fit : GroupFit
        Its fits; changed in place.
    psf : PSFConfig
        The PSF.
    """
    batch = data.batch
    # A lone source of positive flux, and most are, has nothing to be doubted.
    dips = np.logical_or.reduceat(fit.source[:, FLUX] < 0.0, batch.source_start[:-1])
    for g in np.flatnonzero(dips | (np.diff(batch.source_start) > 1)).tolist():
        here = slice(batch.source_start[g], batch.source_start[g + 1])
        free = batch.free[batch.free_start[g] : batch.free_start[g + 1]]
        n = here.stop - here.start
        if n > MAX_GROUP or not np.any(free < 2 * n):
            continue
        prior, source = batch.prior[here], fit.source[here]
        pairs = _list_pairs(prior) if len(prior) > 1 else []
        starts = _search_dips(prior, source)
        if pairs and _is_doubtful(prior, source, fit.group[g], pairs, data.n_pixel[g]):
            starts += _turn_pairs(prior, source, pairs, psf)
        if starts:
            starts = [
                _restore_fixed(state, source, free, bool(batch.flux_free)) for state in starts
            ]
            again = fit_groups(_repeat_group(data, g, starts))
            _keep_best(fit, again, prior, pairs, g, here)
    return fit


def _list_pairs(prior: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs whose discs meet, closest first."""
    between = prior[:, None, :2] - prior[None, :, :2]
    separation = np.hypot(between[..., 0], between[..., 1])
    reach = prior[:, None, RADIUS] + prior[None, :, RADIUS]
    first, second = np.nonzero(np.triu((separation < reach) & np.isfinite(reach), k=1))
    order = np.argsort(separation[first, second], kind="stable")
    return [(int(first[m]), int(second[m])) for m in order]


def _is_doubtful(prior, source, numbers, pairs, n_pixel: int) -> bool:
    """Return whether a fit shows a sign of having gone astray."""
    offset = np.hypot(*(source[:, :2] - prior[:, :2]).T)
    return bool(
        numbers[FIT_STATUS] != CONVERGED
        or numbers[FIT_CHI2] > POOR_FIT * n_pixel
        or np.any(offset > 0.999 * prior[:, RADIUS])
        or np.any(source[:, FLUX] < prior[:, FLUX_FLOOR])
        or not _keeps_order(prior, source, pairs)
    )


def _keeps_order(prior, source, pairs) -> bool:
    """Return whether all pairs stand in the order of their prior centres."""
    return all(
        (source[i, :2] - source[j, :2]) @ (prior[i, :2] - prior[j, :2]) >= 0.0 for i, j in pairs
    )


def _search_dips(prior, source) -> list[np.ndarray]:
    """Return other states (n, C): each source of negative flux elsewhere in its disc."""
    starts = []
    dips = np.flatnonzero((source[:, FLUX] < 0.0) & np.isfinite(prior[:, RADIUS]))
    for k in dips[:MAX_DIPS]:
        for offset in RING:
            moved = source.copy()
            moved[k, :2] = prior[k, :2] + prior[k, RADIUS] * offset
            starts.append(moved)
    return starts


def _turn_pairs(prior, source, pairs, psf: PSFConfig) -> list[np.ndarray]:
    """Return other states (n, C): names exchanged, and each pair turned about its centroid."""
    starts = []
    for i, j in pairs[:MAX_PAIRS]:
        swapped = source.copy()
        swapped[[i, j], :3] = source[[j, i], :3]
        starts.append(_clip(swapped, prior))
        direction = prior[i, :2] - prior[j, :2]
        angle = np.arctan2(direction[1], direction[0])
        share = np.clip(source[[i, j], FLUX], 1e-300, None)
        middle = share @ source[[i, j], :2] / share.sum()
        half = HALF_SEPARATION * psf.find_sigma(source[i : i + 1])[0]
        for turn in angle + ANGLES:
            step = half * np.array([np.cos(turn), np.sin(turn)])
            turned = source.copy()
            turned[i, :2] = middle + step
            turned[j, :2] = middle - step
            starts.append(_clip(turned, prior))
    return starts


def _clip(source: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return the state with positions pulled just inside their discs."""
    offset = source[:, :2] - prior[:, :2]
    distance = np.hypot(offset[:, 0], offset[:, 1])
    inside = 0.98 * prior[:, RADIUS]
    scale = np.where(distance > inside, inside / np.maximum(distance, 1e-300), 1.0)
    source[:, [CENTER_X, CENTER_Y]] = prior[:, :2] + scale[:, None] * offset
    return source


def _restore_fixed(state: np.ndarray, source: np.ndarray, free, flux_free: bool) -> np.ndarray:
    """Return the state with what the fit holds fixed as it was: no start may move it."""
    positions = free[free < 2 * len(source)]
    for column in (X, Y):
        if not np.any(positions % 2 == column):
            state[:, column] = source[:, column]
    if not flux_free:
        state[:, FLUX] = source[:, FLUX]
    return state


def _repeat_group(data: GroupData, g: int, starts: list[np.ndarray]) -> GroupData:
    """Return a batch of one group, once for each start."""
    batch = data.batch
    m = len(starts)
    here = slice(batch.source_start[g], batch.source_start[g + 1])
    pixels = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    free = batch.free[batch.free_start[g] : batch.free_start[g + 1]]
    n = here.stop - here.start

    def count(size: int) -> np.ndarray:
        return np.arange(m + 1, dtype=np.int64) * size

    repeated = batch._replace(
        noise_kind=np.tile(batch.noise_kind[g], m),
        source_start=count(n),
        pixel_start=count(pixels.stop - pixels.start),
        free_start=count(free.size),
        rows=np.tile(batch.rows[g], (m, 1)),
        data=np.tile(batch.data[pixels], m),
        weight=np.tile(batch.weight[pixels], m),
        neighbours=np.tile(batch.neighbours[pixels], m),
        window=np.tile(batch.window[here], (m, 1)),
        free=np.tile(free, m),
        state=np.concatenate(starts),
        prior=np.tile(batch.prior[here], (m, 1)),
        shared_prior=np.tile(batch.shared_prior[g], (m, 1, 1)),
        nuisance=np.tile(batch.nuisance[:, pixels], (1, m)),
        known=np.tile(batch.known[:, pixels], (1, m)),
    )
    return replace(
        data,
        batches=(repeated,),
        member=np.tile(data.member[here], m),
        n_pixel=np.full(m, data.n_pixel[g]),
    )


def _keep_best(fit: GroupFit, again: GroupFit, prior, pairs, g: int, here: slice) -> None:
    """Put the best of the new fits in place of the old one, if it is better.

    An order that holds comes before a lower chi-squared: the sampler has to start inside.
    """
    n = here.stop - here.start
    kept = _rank_fit(prior, fit.source[here], fit.group[g], pairs)
    best = None
    for m in range(again.group.shape[0]):
        source = again.source[m * n : (m + 1) * n]
        rank = _rank_fit(prior, source, again.group[m], pairs)
        if rank < (kept[0], kept[1] - 1e-6):
            best, kept = m, rank
    if best is None:
        return
    members = slice(best * n, (best + 1) * n)
    fit.source[here] = again.source[members]
    fit.conditional[here] = again.conditional[members]
    fit.shared[g] = again.shared[best]
    fit.group[g] = again.group[best]
    block = again.covariance_of(best).ravel()
    fit.covariance[fit.covariance_start[g] : fit.covariance_start[g + 1]] = block


def _rank_fit(prior, source, numbers, pairs) -> tuple[bool, float]:
    """Return (order broken, chi-squared with the shapes' prior): less is better."""
    place = N_SHAPE_PRIOR * np.arange(source.shape[1] - SHAPE)
    off = source[:, SHAPE:] - prior[:, SHAPE_MEAN + place]
    shapes = np.sum(prior[:, SHAPE_PRECISION + place] * off**2) / len(prior)
    return (not _keeps_order(prior, source, pairs), float(numbers[FIT_CHI2] + shapes))
