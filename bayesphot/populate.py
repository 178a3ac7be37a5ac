"""From detections and given positions to the sources of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesphot.boxes import find_cored, make_boxes
from bayesphot.catalog import Catalog, build_catalog, sort_order
from bayesphot.detection import find_sources
from bayesphot.flags import Flag
from bayesphot.grouping import group_sources, split_large_groups
from bayesphot.patch import Pixels, SourceState
from bayesphot.plan import LoopPlan
from bayesphot.refit import carry_fits
from bayesphot.render import render_sources
from bayesphot.scene import Grouped, Scene
from bayesphot.settings import ModelSettings
from bayesphot.starts import estimate_flux, estimate_wings, set_priors, start_sources

__all__ = [
    "detect_sources",
    "estimate_starts",
    "extend_scene",
    "flag_unmeasurable",
    "group_catalog",
    "list_detections",
    "measurable_rows",
    "open_scene",
    "place_sources",
]

#: Share of the saturation level that a model must have in a core whose star it knows.
SERVED = 0.5


def detect_sources(
    plan: LoopPlan, pixels: Pixels, model: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, 2) and aperture fluxes of the finder's sources on the residual.

    Saturated cores are among them: a finder sees nothing where pixels are bad.
    """
    good = pixels.weight > 0.0
    with np.errstate(divide="ignore"):
        noise = np.where(good, 1.0 / np.sqrt(pixels.weight), 1.0)
    residual = np.where(good, pixels.data - model, 0.0)
    mask = None if good.all() else ~good
    found = find_sources(plan.finder, residual, noise=noise, mask=mask, model=model, unit=plan.unit)
    ny, nx = residual.shape
    inside = (found.x >= -0.5) & (found.x < nx - 0.5) & (found.y >= -0.5) & (found.y < ny - 0.5)
    place = np.stack([found.x[inside], found.y[inside]], axis=1).astype(float)
    if pixels.cores is not None:
        place = _add_cores(place, pixels.cores, pixels.sky, model, plan.settings.psf.fwhm)
    place = np.unique(place, axis=0) if place.size else place.reshape(0, 2)
    return place, _measure_light(pixels, residual, place, plan)


def _measure_light(pixels: Pixels, residual: np.ndarray, place: np.ndarray, plan: LoopPlan):
    """Return start fluxes (n,): those in apertures, of saturated cores those of their wings."""
    x, y = place.T
    psf = plan.settings.psf
    radius = plan.aperture_radius
    flux = estimate_flux(residual, pixels.weight, x, y, sigma=psf.sigma, radius=radius)
    cored = find_cored(x, y, pixels.saturated)
    if cored.any():
        shape = plan.settings.fit_shape
        box = make_boxes(x[cored], y[cored], shape, residual.shape, pixels.saturated)
        flux[cored] = estimate_wings(residual, pixels.weight, x[cored], y[cored], box, psf)
    return flux


def _add_cores(place, cores, sky, model: np.ndarray, fwhm: float) -> np.ndarray:
    """Return the places and those of saturated cores that the model has no star for yet.

    A star that saturates fills its core to the level, or half of it where the fit is poor. What
    lies within a FWHM of the rim of such a core is a second sight of it; once its wings are in the
    model, it is not.
    """
    ny, nx = model.shape
    col, row = (np.floor(cores[:, i] + 0.5).astype(int) for i in (0, 1))
    middle = np.clip(row, 0, ny - 1), np.clip(col, 0, nx - 1)
    cores = cores[model[middle] < SERVED * (cores[:, 3] - sky[middle])]
    distance = np.hypot(*(place[:, None] - cores[:, :2]).transpose(2, 0, 1)) - cores[:, 2]
    return np.concatenate([cores[:, :2], place[np.all(distance > fwhm, axis=1)]])


def list_detections(
    place: np.ndarray, flux: np.ndarray, *, first_id: int, iteration: int
) -> Catalog:
    """Return a catalogue of detections, ids in the order of rows from the top of the image."""
    order = np.lexsort((place[:, 0], place[:, 1]))
    return build_catalog(
        place[order, 0],
        place[order, 1],
        flux=flux[order],
        id=np.arange(first_id, first_id + order.size),
        iter_detected=iteration,
    )


def measurable_rows(catalog: Catalog) -> np.ndarray:
    """Return the rows that can be measured, in canonical order."""
    order = sort_order(catalog)
    return order[catalog.flags[order] == 0]


def flag_unmeasurable(catalog: Catalog, pixels: Pixels, settings: ModelSettings) -> Catalog:
    """Return the catalogue with sources of no or too few good pixels flagged."""
    good = (pixels.weight > 0.0).astype(np.int64)
    total = np.zeros((good.shape[0] + 1, good.shape[1] + 1), dtype=np.int64)
    total[1:, 1:] = good.cumsum(axis=0).cumsum(axis=1)
    flags = catalog.flags.copy()
    open_rows = np.flatnonzero(flags == 0)
    x, y = catalog.x[open_rows], catalog.y[open_rows]
    box = make_boxes(x, y, settings.fit_shape, good.shape, pixels.saturated)
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


def estimate_starts(catalog: Catalog, pixels: Pixels, plan: LoopPlan) -> Catalog:
    """Return the catalogue with an aperture's flux where a measurable source has no start flux."""
    unknown = ~np.isfinite(catalog.flux) & (catalog.flags == 0)
    flux = catalog.flux.copy()
    place = np.column_stack([catalog.x[unknown], catalog.y[unknown]])
    flux[unknown] = _measure_light(pixels, pixels.data, place, plan)
    return replace(catalog, flux=flux)


def place_sources(
    catalog: Catalog, pixels: Pixels, plan: LoopPlan, before: Scene | None = None
) -> tuple[SourceState, Grouped]:
    """Return the sources of a catalogue with their priors, and their groups.

    Sources that an earlier scene knows (by id) stand as they stood there, the others at their
    starts; the width of an image is one.
    """
    fresh = start_sources(catalog, plan.settings)
    value = fresh.value.copy()
    if before is not None:
        place = {int(i): k for k, i in enumerate(before.catalog.id)}
        old = np.array([place.get(int(i), -1) for i in catalog.id], dtype=np.int64)
        known = np.flatnonzero(old >= 0)
        value[known] = before.sources.value[old[known]]
        if plan.settings.shape == "image" and known.size:
            value[:, 3] = value[known[0], 3]
    grouped = group_catalog(catalog, plan, pixels.saturated)
    sources = set_priors(
        SourceState(value, fresh.prior),
        fresh.value,
        pixels,
        grouped,
        plan.settings,
        columns=catalog.extra,
    )
    return sources, grouped


def open_scene(catalog: Catalog, pixels: Pixels, plan: LoopPlan) -> Scene:
    """Return the scene of a catalogue's starts."""
    sources, grouped = place_sources(catalog, pixels, plan)
    model = render_sources(pixels.data.shape, sources.value, plan.settings.psf)
    return Scene(pixels, catalog, sources, grouped, None, model)


def extend_scene(scene: Scene, catalog: Catalog, plan: LoopPlan) -> Scene:
    """Return the scene with new sources; groups with the same members keep their fit."""
    sources, grouped = place_sources(catalog, scene.pixels, plan, scene)
    model = render_sources(scene.pixels.data.shape, sources.value, plan.settings.psf)
    extended = Scene(scene.pixels, catalog, sources, grouped, None, model, settled=scene.model)
    return carry_fits(scene, extended, plan.settings)


def group_catalog(catalog: Catalog, plan: LoopPlan, saturated: np.ndarray | None = None) -> Grouped:
    """Group sources by the group maker, joined with the groups that were given.

    What lies in the box of a star with a saturated core is of its group: how bright its wings are
    is not known without them.
    """
    known = catalog.group_id >= 0
    cored = find_cored(catalog.x, catalog.y, saturated)
    if not known.any() and not cored.any():
        grouping = group_sources(
            plan.group_maker, catalog.x, catalog.y, max_group_size=plan.max_group_size
        )
        return Grouped.from_labels(grouping.labels, grouping.was_split)
    if known.all():
        labels = catalog.group_id
    else:
        made = group_sources(plan.group_maker, catalog.x, catalog.y).labels
        made = _join_cored(made, catalog, cored, plan.settings.fit_shape, saturated)
        labels = _join_labels(made, catalog.group_id) if known.any() else made
    was_split = np.zeros(len(catalog), dtype=bool)
    if plan.max_group_size is not None:
        labels, was_split = split_large_groups(
            labels, catalog.x, catalog.y, max_size=plan.max_group_size
        )
    return Grouped.from_labels(labels, was_split)


def _join_cored(
    labels: np.ndarray, catalog: Catalog, cored: np.ndarray, fit_shape, saturated
) -> np.ndarray:
    """Return the groups, joined where a member lies in the box of a cored source."""
    if not cored.any():
        return labels
    x, y = catalog.x, catalog.y
    box = make_boxes(x[cored], y[cored], fit_shape, saturated.shape, saturated)
    inside = (box[:, :1] <= y + 0.5) & (y + 0.5 < box[:, 1:2])
    inside &= (box[:, 2:3] <= x + 0.5) & (x + 0.5 < box[:, 3:])
    joined = labels.copy()
    for k, mates in zip(np.flatnonzero(cored), inside, strict=True):
        together = np.isin(joined, joined[mates | (np.arange(x.size) == k)])
        joined[together] = joined[k]
    return joined


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
    n_left = int(np.max(left)) + 1
    size = n + n_left + (int(np.max(right)) + 1)
    rows = np.concatenate([np.arange(n), known])
    cols = np.concatenate([n + left, n + n_left + right])
    graph = coo_array((np.ones(rows.size), (rows, cols)), shape=(size, size))
    return connected_components(graph, directed=False)[1][:n].astype(np.int64)
