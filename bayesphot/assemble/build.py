"""The result: table, draws and images."""

from __future__ import annotations

import numpy as np

from bayesphot.assemble.parameters import collect_parameters
from bayesphot.assemble.report import Report
from bayesphot.assemble.table import build_table
from bayesphot.columns import strip_unit
from bayesphot.condense import find_reference
from bayesphot.draws import Draws
from bayesphot.kernels import batches
from bayesphot.result import PhotometryResult
from bayesphot.scene import render_fitted_modes, render_sky_offset

__all__ = ["assemble_result"]


def assemble_result(report: Report) -> PhotometryResult:
    """Return the result of a run."""
    table = build_table(report, collect_parameters(report))
    scene = report.scene
    sky = scene.pixels.sky + render_sky_offset(scene, report.settings)
    data = np.where(report.image.good, report.image.data, np.nan)
    good = scene.pixels.weight > 0.0
    with np.errstate(divide="ignore"):
        noise = np.where(good, 1.0 / np.sqrt(scene.pixels.weight), np.nan)
    model = scene.model + render_fitted_modes(scene, report.settings) + sky
    unit = report.image.unit
    images = [model, data - model, sky, data, noise]
    if unit is not None:
        images = [plane * unit for plane in images]
    model, residual, sky, data, noise = images
    draws = _build_draws(report, table)
    return PhotometryResult(table, draws, model, residual, sky, data, noise, meta=report.meta)


def _build_draws(report: Report, table) -> Draws | None:
    """Return the draws in the order of the table's rows, chains first."""
    scene, sampled, settings = report.scene, report.sampled, report.settings
    if sampled is None or sampled.kept == 0:
        return None
    state = sampled.budget.chains, sampled.kept
    n_row, n_group = len(table), scene.grouped.n_group

    def lay_out(flat: np.ndarray) -> np.ndarray:
        """(item, chain * draw) as a view (chain, draw, item)."""
        return flat.reshape(flat.shape[0], *state).transpose(1, 2, 0)

    source: dict[str, np.ndarray] = {}
    for name in ("x", "y", "flux"):
        if name in sampled.source:
            source[name] = lay_out(sampled.source[name])
        else:
            source[name] = np.broadcast_to(strip_unit(table[f"{name}_fit"]), (*state, n_row))
    for name in settings.psf.shape_names:
        if name in sampled.source:
            source[name] = lay_out(sampled.source[name])
    source |= _read_shapes(report, n_row)
    place = report.places.rank - 1
    group = {name: lay_out(flat) for name, flat in sampled.group.items()}
    if "background" not in group:
        constant = np.empty(n_group)
        constant[place] = find_reference(scene.pixels, report.cut_patches().batch.rows)
        group["background"] = np.broadcast_to(constant, (*state, n_group))
    names = {
        "acceptance": batches.ACCEPTANCE,
        "pareto_k": batches.PARETO_K,
        "r_hat": batches.WORST_R_HAT,
        "ess_bulk": batches.WORST_BULK,
        "ess_tail": batches.WORST_TAIL,
        "thinning": batches.THIN,
        "n_evaluations": batches.EVALUATIONS,
        "log_z": batches.LOG_Z,
        "log_z_error": batches.LOG_Z_ERROR,
    }
    stats = {name: np.empty(n_group) for name in names}
    for name, column in names.items():
        stats[name][place] = sampled.stats[:, column]
    stats["ppp"] = np.empty(n_group)
    stats["ppp"][place] = sampled.p_value
    return Draws(
        source=source,
        group=group,
        source_id=np.asarray(table["id"]),
        source_group=np.asarray(table["group_id"]),
        group_id=np.arange(1, n_group + 1),
        stats=stats,
    )


def _read_shapes(report: Report, n_row: int) -> dict[str, np.ndarray]:
    """Return draws (chain, draw, row) of the shapes that the modes' amplitudes stand for."""
    shapes, sampled, error = report.settings.shapes, report.sampled, report.settings.psf_error
    if shapes is None or sampled is None or error is None:
        return {}
    # Groups stand in the order of their numbers.
    amplitude = np.stack([sampled.group[name] for name in error.names], axis=-1)
    rank = report.places.rank[report.scene.grouped.group_of_member()] - 1
    values = np.full((n_row, *amplitude.shape[1:]), np.nan)
    values[report.places.row] = shapes.read_amplitudes(amplitude)[rank]
    state = sampled.budget.chains, sampled.kept
    return {
        name: values[..., j].reshape(n_row, *state).transpose(1, 2, 0)
        for j, name in enumerate(shapes.columns.names)
    }
