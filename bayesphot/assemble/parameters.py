"""Start, optimum, formal error and posterior summary of every parameter of every source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.assemble.report import Report
from bayesphot.condense import find_sky_columns
from bayesphot.kernels.diagnostics import HIGH, LOW, MEDIAN, N_SUMMARY, SD
from bayesphot.kernels.structs import SHAPE

__all__ = ["Parameter", "collect_parameters"]


@dataclass(frozen=True, eq=False)
class Parameter:
    """Numbers of one parameter, one row a source of the scene (members' order)."""

    name: str
    start: np.ndarray
    fit: np.ndarray
    fit_err: np.ndarray
    summary: np.ndarray
    fixed: bool


def _formal_errors(report: Report) -> dict[str, np.ndarray]:
    """Return least-squares errors of x, y, flux, shapes and sky columns of each member."""
    scene, settings = report.scene, report.settings
    n = scene.grouped.member.size
    names = settings.psf.shape_names
    errors = {name: np.zeros(n) for name in ("x", "y", "flux", *names)}
    errors["sky"] = np.zeros((n, settings.n_sky, settings.n_sky))
    sizes = np.diff(scene.grouped.start)
    for size in np.unique(sizes):
        groups = np.flatnonzero(sizes == size)
        here = scene.grouped.start[groups][:, None] + np.arange(size)
        layout = settings.layout(int(size), sampling=False)
        covariance = scene.fitted.covariances_of(groups)
        sd = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
        sky = layout.places("sky")
        errors["sky"][here] = covariance[:, sky[:, None], sky][:, None]
        for place, (key, k, *further) in enumerate((*layout.linear, *layout.nonlinear)):
            name = names[further[0]] if key == "shape" else key
            if name in errors and name != "sky":
                errors[name][here if k is None else here[:, [k]]] = sd[:, [place]]
    if settings.shape == "image" and scene.shape_cavity is not None:
        # The total information is that of any group's cavity and the group's own: the
        # narrowest cavity is within one group of it.
        _, precision = scene.shape_cavity
        narrowest = np.linalg.inv(precision[np.argmax(np.linalg.slogdet(precision)[1])])
        for i, j in enumerate(settings.psf.free_shapes):
            errors[names[j]][:] = np.sqrt(narrowest[i, i])
    value = scene.sources.value[scene.grouped.member]
    for j, name in enumerate(names):
        errors[name] = errors[name] * settings.psf.find_slope(j, value[:, SHAPE + j])
    return errors


def collect_parameters(report: Report) -> list[Parameter]:
    """Return x, y, flux, shapes and background of every source of the scene."""
    scene, settings = report.scene, report.settings
    member = scene.grouped.member
    n = member.size
    rows = report.places.row
    catalog = report.catalog
    errors = _formal_errors(report)
    summary = (
        report.sampled.source_summary
        if report.sampled is not None
        else np.full((n, settings.psf.n_column, N_SUMMARY), np.nan)
    )
    value = scene.sources.value[member]
    start_flux = catalog.flux[rows]
    fixed = {
        "x": not settings.free_x,
        "y": not settings.free_y,
        "flux": not settings.free_flux,
    }
    starts = (catalog.x[rows], catalog.y[rows], start_flux)
    parameters = [
        Parameter(name, start, value[:, i], errors[name], summary[:, i], fixed[name])
        for i, (name, start) in enumerate(zip(("x", "y", "flux"), starts, strict=True))
    ]
    psf = settings.psf
    parameters += _collect_shapes(report)
    for name, constant in psf.constants.items():
        same, zero = np.full(n, constant), np.zeros(n)
        nothing = np.full((n, N_SUMMARY), np.nan)
        parameters.append(Parameter(name, same, same, zero, nothing, True))
    for j, name in enumerate(() if psf.constants or settings.shapes else psf.shape_names):
        parameters.append(
            Parameter(
                name,
                catalog.start_shape(name, float(psf.shape_start[j]))[rows],
                psf.read_column(j, value[:, SHAPE + j]),
                errors[name],
                summary[:, SHAPE + j],
                settings.shape == "fixed" or j not in psf.free_shapes,
            )
        )
    parameters.append(_collect_background(report, errors["sky"]))
    if settings.inflation is not None:
        parameters.append(_collect_inflation(report))
    return parameters


def _collect_shapes(report: Report) -> list[Parameter]:
    """Return the shapes of the image that the kernels do not know, by their normal posterior."""
    from scipy.special import ndtri

    scene, shapes = report.scene, report.settings.shapes
    if shapes is None:
        return []
    n = scene.grouped.member.size
    summary = np.full((len(shapes.columns.names), n, N_SUMMARY), np.nan)
    if report.sampled is not None:
        deviate = float(ndtri(report.sampled.budget.tail))
        done = report.sampled.done[scene.grouped.group_of_member()]
        for column, values in (
            (MEDIAN, shapes.value),
            (SD, shapes.error),
            (LOW, shapes.find_quantiles(deviate)),
            (HIGH, shapes.find_quantiles(-deviate)),
        ):
            summary[:, done, column] = values[:, None]
    one = np.ones(n)
    numbers = zip(
        shapes.columns.names, shapes.columns.start, shapes.value, shapes.error, strict=True
    )
    return [
        Parameter(name, start * one, value * one, error * one, summary[j], False)
        for j, (name, start, value, error) in enumerate(numbers)
    ]


def _collect_inflation(report: Report) -> Parameter:
    """Return the factor on the noise of each source's group, which the least squares hold at 1."""
    n = report.scene.grouped.member.size
    one = np.ones(n)
    summary = np.full((n, N_SUMMARY), np.nan)
    if report.sampled is not None:
        summary = report.sampled.scale_summary
    return Parameter("inflation", one, one, np.zeros(n), summary, False)


def _collect_background(report: Report, covariance: np.ndarray) -> Parameter:
    """Return the total sky level under each source."""
    scene, settings = report.scene, report.settings
    member = scene.grouped.member
    group = scene.grouped.group_of_member()
    value = scene.sources.value[member]
    ny, nx = scene.pixels.sky.shape
    row = np.clip(np.floor(value[:, 1] + 0.5), 0, ny - 1).astype(int)
    col = np.clip(np.floor(value[:, 0] + 0.5), 0, nx - 1).astype(int)
    reference = scene.pixels.sky[row, col]
    n = member.size
    if settings.n_sky == 0:
        nothing = np.full((n, N_SUMMARY), np.nan)
        return Parameter("background", reference, reference, np.zeros(n), nothing, True)
    rows = report.cut_patches().batch.rows
    columns = find_sky_columns(rows, group, value[:, :2])[:, : settings.n_sky]
    fit = reference + (scene.fitted.shared[group][:, : settings.n_sky] * columns).sum(axis=1)
    variance = np.einsum("ni,nij,nj->n", columns, covariance, columns)
    summary = np.full((n, N_SUMMARY), np.nan)
    if report.sampled is not None:
        summary = report.sampled.level_summary.copy()
        summary[:, [MEDIAN, LOW, HIGH]] += reference[:, None]
    return Parameter(
        "background", reference, fit, np.sqrt(np.maximum(variance, 0.0)), summary, False
    )
