"""From the final scene and its draws to the result a user sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.catalog import Catalog
from bayesphot.draws import Draws
from bayesphot.flags import Flag
from bayesphot.image import Image
from bayesphot.kernels import batches
from bayesphot.kernels.diagnostics import (
    ESS_BULK,
    ESS_TAIL,
    HIGH,
    LOW,
    MEDIAN,
    N_SUMMARY,
    R_HAT,
    SD,
)
from bayesphot.kernels.structs import CONVERGED, DEGENERATE, RADIUS
from bayesphot.patch import cut_batch
from bayesphot.result import PhotometryResult
from bayesphot.sampling import LIMIT, BatchDraws, Budget, pareto_limit, pick_draws
from bayesphot.scene import Scene, render_fitted_modes, render_sky_offset
from bayesphot.settings import ModelSettings

__all__ = ["Report", "assemble_result"]

#: Reduced chi-squared above which a group is called a poor fit.
POOR_FIT = 3.0
#: Sources of a row that were not sampled have no group.
NO_GROUP = -1


@dataclass(frozen=True, eq=False)
class Report:
    """What a run hands over to be shown.

    Parameters
    ----------
    image : Image
        The prepared image.
    catalog : Catalog
        Every source, in the order of the rows.
    row : (n,) int array
        Row of each source of the scene.
    scene : Scene
        The final scene.
    draws : BatchDraws or None
        Draws of its groups, members in the order of ``scene.grouped.member``.
    engine : (G,) array of str or None
        Engine of each group.
    budget : Budget or None
        What the sampling had to reach.
    settings : ModelSettings
        The run's model.
    kept : int or None
        Draws of each chain that were kept; None: all.
    zero_point : float or None
        Magnitude of unit flux.
    meta : dict
        Versions, arguments, seed, timings.
    """

    image: Image
    catalog: Catalog
    row: np.ndarray
    scene: Scene
    draws: BatchDraws | None
    engine: np.ndarray | None
    budget: Budget | None
    settings: ModelSettings
    kept: int | None
    zero_point: float | None
    meta: dict


def assemble_result(report: Report) -> PhotometryResult:
    """Return the result of a run."""
    ranks = _rank_groups(report)
    parameters = _collect_parameters(report)
    table = _build_table(report, parameters, ranks)
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
    draws = _build_draws(report, table, ranks)
    return PhotometryResult(table, draws, model, residual, sky, data, noise, meta=report.meta)


@dataclass(frozen=True, eq=False)
class _Parameter:
    """Numbers of one parameter, one row a source of the scene (members' order)."""

    name: str
    start: np.ndarray
    fit: np.ndarray
    fit_err: np.ndarray
    summary: np.ndarray
    fixed: bool


def _rank_groups(report: Report) -> np.ndarray:
    """Return the final id of each group: 1-based in order of its first row."""
    grouped = report.scene.grouped
    rows = report.row[grouped.member]
    if grouped.n_group == 0:
        return np.zeros(0, dtype=np.int64)
    first = np.minimum.reduceat(rows, grouped.start[:-1])
    rank = np.empty(grouped.n_group, dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(1, grouped.n_group + 1)
    return rank


def _formal_errors(report: Report) -> dict[str, np.ndarray]:
    """Return least-squares errors of x, y, flux, shape and sky columns of each member."""
    scene, settings = report.scene, report.settings
    n = scene.grouped.member.size
    errors = {name: np.zeros(n) for name in ("x", "y", "flux", "shape")}
    errors["sky"] = np.zeros((n, settings.n_sky, settings.n_sky))
    for g in range(scene.grouped.n_group):
        here = np.arange(scene.grouped.start[g], scene.grouped.start[g + 1])
        layout = settings.layout(here.size, sampling=False)
        covariance = scene.fitted.covariance_of(g)
        sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        sky = layout.places("sky")
        errors["sky"][here] = covariance[np.ix_(sky, sky)]
        for place, (name, k, *_) in enumerate((*layout.linear, *layout.nonlinear)):
            if name in ("x", "y", "flux", "shape"):
                errors[name][here if k is None else here[k]] = sd[place]
    if settings.shape == "image" and scene.shape_cavity is not None:
        # The total information is that of any group's cavity and the group's own: the
        # narrowest cavity is within one group of it.
        errors["shape"][:] = 1.0 / np.sqrt(scene.shape_cavity[:, 1].max())
    errors["shape"] = errors["shape"] * np.exp(scene.sources.value[scene.grouped.member, 3])
    return errors


def _collect_parameters(report: Report) -> list[_Parameter]:
    """Return x, y, flux, shape and background of every source of the scene."""
    scene, settings = report.scene, report.settings
    member = scene.grouped.member
    n = member.size
    rows = report.row[member]
    catalog = report.catalog
    errors = _formal_errors(report)
    summary = (
        report.draws.source_summary
        if report.draws is not None
        else np.full((n, 4, N_SUMMARY), np.nan)
    )
    value = scene.sources.value[member]
    sigma = np.where(catalog.sigma[rows] > 0.0, catalog.sigma[rows], settings.shape_start)
    start_flux = catalog.flux[rows]
    fixed = {
        "x": not settings.free_x,
        "y": not settings.free_y,
        "flux": not settings.free_flux,
    }
    starts = (catalog.x[rows], catalog.y[rows], start_flux)
    parameters = [
        _Parameter(name, start, value[:, i], errors[name], summary[:, i], fixed[name])
        for i, (name, start) in enumerate(zip(("x", "y", "flux"), starts, strict=True))
    ]
    for name in settings.shape_names:
        parameters.append(
            _Parameter(
                name,
                sigma,
                np.exp(value[:, 3]),
                errors["shape"],
                summary[:, 3],
                settings.shape == "fixed",
            )
        )
    parameters.append(_collect_background(report, errors["sky"]))
    if settings.inflation is not None:
        parameters.append(_collect_inflation(report))
    return parameters


def _collect_inflation(report: Report) -> _Parameter:
    """Return the factor on the noise of each source's group, which the least squares hold at 1."""
    group = report.scene.grouped.group_of_member()
    one = np.ones(group.size)
    summary = np.full((group.size, N_SUMMARY), np.nan)
    if report.draws is not None:
        summary = report.draws.shared_summary[-1][group]
    return _Parameter("inflation", one, one, np.zeros(group.size), summary, False)


def _collect_background(report: Report, covariance: np.ndarray) -> _Parameter:
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
        return _Parameter("background", reference, reference, np.zeros(n), nothing, True)
    columns = _sky_columns(report)[:, : settings.n_sky]
    fit = reference + (scene.fitted.shared[group][:, : settings.n_sky] * columns).sum(axis=1)
    variance = np.einsum("ni,nij,nj->n", columns, covariance, columns)
    summary = np.full((n, N_SUMMARY), np.nan)
    draws, budget = report.draws, report.budget
    if draws is not None and budget is not None:
        if settings.n_sky == 1:
            summary = draws.shared_summary[0][group].copy()
            summary[:, [MEDIAN, LOW, HIGH]] += reference[:, None]
        else:
            summary = _summarise_plane(draws, budget, columns, group, reference)
    return _Parameter(
        "background", reference, fit, np.sqrt(np.maximum(variance, 0.0)), summary, False
    )


def _sky_columns(report: Report) -> np.ndarray:
    """Return 1, x - xc, y - yc of each member, about its patch's centre."""
    scene = report.scene
    data = _cut_all(report)
    rows = data.batch.rows[scene.grouped.group_of_member()]
    value = scene.sources.value[scene.grouped.member]
    dx = value[:, 0] - rows[:, 3] - 0.5 * (rows[:, 1] - 1)
    dy = value[:, 1] - rows[:, 2] - 0.5 * (rows[:, 0] - 1)
    return np.stack([np.ones(value.shape[0]), dx, dy], axis=1)


def _summarise_plane(draws: BatchDraws, budget: Budget, columns, group, reference) -> np.ndarray:
    """Return summaries of a plane's level under each source, from its draws."""
    from bayesphot.kernels.diagnostics import summarise_into
    from bayesphot.sampling.budget import normal_scores

    summary = np.full((group.size, N_SUMMARY), np.nan)
    scores = normal_scores(budget.total)
    for k in range(group.size):
        level = columns[k] @ draws.shared[: columns.shape[1], group[k]] + reference[k]
        if np.isfinite(level).all():
            summarise_into(level, budget.chains, budget.draws, budget.tail, scores, summary[k])
    return summary


def _cut_all(report: Report):
    """Cut the final scene's patches."""
    scene = report.scene
    return cut_batch(
        scene.pixels,
        scene.model,
        scene.sources,
        scene.grouped.member,
        scene.grouped.start,
        report.settings,
    )


def _build_table(report: Report, parameters: list[_Parameter], ranks: np.ndarray):
    """Return the catalogue, one row per source."""
    from astropy import units as u
    from astropy.table import QTable

    catalog, scene = report.catalog, report.scene
    n_row = len(catalog)
    rows = report.row[scene.grouped.member]
    group = scene.grouped.group_of_member()
    group_id = np.full(n_row, NO_GROUP, dtype=np.int64)
    group_size = np.zeros(n_row, dtype=np.int64)
    group_id[rows] = ranks[group]
    group_size[rows] = np.diff(scene.grouped.start)[group]
    table = QTable()
    table["id"] = catalog.id
    table["group_id"] = group_id
    table["group_size"] = group_size
    table["iter_detected"] = catalog.iter_detected
    unit = report.image.unit
    starts = {"x": catalog.x, "y": catalog.y, "flux": catalog.flux}
    for parameter in parameters:
        this = None
        if unit is not None and parameter.name == "flux":
            this = unit * u.pix
        elif unit is not None and parameter.name == "background":
            this = unit
        for name, column in _columns_of(parameter, report, rows, n_row, starts).items():
            table[name] = column if this is None else column * this
    _add_diagnostics(table, report, parameters, rows, group, unit)
    if report.zero_point is not None:
        _add_magnitudes(table, report, rows, report.zero_point)
    if report.image.wcs is not None:
        _add_sky_positions(table, report.image.wcs)
    return table


def _columns_of(parameter: _Parameter, report: Report, rows, n_row, starts) -> dict:
    """Return one parameter's columns, NaN in rows that were not measured."""
    name = parameter.name
    out = {
        f"{name}_{suffix}": np.full(n_row, np.nan)
        for suffix in ("0", "fit", "fit_err", "median", "err", "lo", "hi")
    }
    if name in starts:
        out[f"{name}_0"] = starts[name].astype(float).copy()
    out[f"{name}_0"][rows] = parameter.start
    out[f"{name}_fit"][rows] = parameter.start if parameter.fixed else parameter.fit
    out[f"{name}_fit_err"][rows] = 0.0 if parameter.fixed else parameter.fit_err
    if parameter.fixed:
        for suffix in ("median", "lo", "hi"):
            if report.draws is not None:
                out[f"{name}_{suffix}"][rows] = parameter.start
        out[f"{name}_err"][rows] = 0.0
        return out
    for suffix, column in (("median", MEDIAN), ("err", SD), ("lo", LOW), ("hi", HIGH)):
        out[f"{name}_{suffix}"][rows] = parameter.summary[:, column]
    return out


def _add_diagnostics(table, report: Report, parameters, rows, group, unit) -> None:
    """Add blending, sampling and fit diagnostics and the flags."""
    from astropy import units as u

    scene, draws = report.scene, report.draws
    n_row = len(report.catalog)

    def spread(values, fill=np.nan):
        column = np.full(n_row, fill, dtype=np.asarray(values).dtype)
        column[rows] = values
        return column

    n = rows.size
    conditional = np.sqrt(scene.fitted.conditional) if n else np.empty(0)
    flux_err = next(p.fit_err for p in parameters if p.name == "flux")
    with np.errstate(divide="ignore", invalid="ignore"):
        blend = np.clip(1.0 - (conditional / flux_err) ** 2, 0.0, 1.0)
    blend = np.where(np.isinf(flux_err), 1.0, blend)
    column = spread(conditional)
    table["flux_err_conditional"] = column if unit is None else column * unit * u.pix
    table["blend_var_frac"] = spread(blend)
    engine = np.full(n_row, "none", dtype="U13")
    free = [p.summary for p in parameters if not p.fixed]
    worst = {}
    for name, place, reduce in (
        ("r_hat", R_HAT, np.fmax),
        ("ess_bulk", ESS_BULK, np.fmin),
        ("ess_tail", ESS_TAIL, np.fmin),
    ):
        values = np.full(n, np.nan)
        for summary in free:
            values = reduce(values, summary[:, place])
        worst[name] = values
    pareto = np.full(n, np.nan)
    log_z = np.full((n, 2), np.nan)
    if draws is not None and report.engine is not None:
        engine[rows] = report.engine[group].astype("U13")
        pareto = draws.stats[group, batches.PARETO_K]
        log_z = draws.stats[group][:, [batches.LOG_Z, batches.LOG_Z_ERROR]]
    table["engine"] = engine
    for name, values in worst.items():
        table[name] = spread(values)
    table["pareto_k"] = spread(pareto)
    table["log_z"] = spread(log_z[:, 0])
    table["log_z_err"] = spread(log_z[:, 1])
    box_pixels = np.zeros(0, dtype=np.int64)
    reduced = np.empty(0)
    if n:
        data = _cut_all(report)
        box_pixels = data.n_box_pixel
        size = np.array(
            [
                report.settings.layout(int(k), sampling=False).size
                for k in np.diff(scene.grouped.start)
            ]
        )
        freedom = np.maximum(data.n_pixel - size, 1)
        reduced = (scene.fitted.group[:, batches.FIT_CHI2] / freedom)[group]
        # Of the pixels' own noise, without the factor for its correlation.
        reduced = reduced * scene.pixels.noise.correlation**2
    table["n_pixels"] = spread(box_pixels, fill=0)
    table["reduced_chi2"] = spread(reduced)
    flags = report.catalog.flags.copy()
    if n:
        flags[rows] |= _find_flags(report, parameters, group, box_pixels, reduced)
    table["flags"] = flags


def _find_flags(report: Report, parameters, group, box_pixels, reduced) -> np.ndarray:
    """Return the flags of each member."""
    scene, settings = report.scene, report.settings
    member = scene.grouped.member
    flags = np.zeros(member.size, dtype=np.int64)
    full = settings.fit_shape[0] * settings.fit_shape[1]
    flags[box_pixels < full] |= int(Flag.TRUNCATED)
    status = scene.fitted.group[group, batches.FIT_STATUS]
    flags[(status != CONVERGED) & (status != DEGENERATE)] |= int(Flag.NOT_CONVERGED)
    lost = status == DEGENERATE
    for parameter in parameters:
        if not parameter.fixed:
            lost |= ~np.isfinite(parameter.fit_err)
    flags[lost] |= int(Flag.DEGENERATE)
    center = scene.sources.center[member]
    value = scene.sources.value[member]
    distance = np.hypot(value[:, 0] - center[:, 0], value[:, 1] - center[:, 1])
    flags[distance >= scene.sources.prior[member, RADIUS] * (1.0 - 1e-6)] |= int(Flag.AT_BOUND)
    flags[scene.grouped.was_split[member]] |= int(Flag.FROZEN_NEIGHBOURS)
    flags[reduced > POOR_FIT] |= int(Flag.POOR_FIT)
    draws, budget = report.draws, report.budget
    if draws is None or budget is None:
        return flags
    stats = draws.stats
    limit = pareto_limit(budget.total * np.nan_to_num(stats[:, batches.THIN], nan=1.0))
    ess = np.minimum(stats[:, batches.WORST_BULK], stats[:, batches.WORST_TAIL])
    unsampled = ~(stats[:, batches.ACCEPTANCE] >= 0.0)
    for flag, bad in (
        (Flag.NOT_SAMPLED, unsampled),
        (Flag.HIGH_R_HAT, ~unsampled & ~(stats[:, batches.WORST_R_HAT] <= budget.max_r_hat)),
        (Flag.LOW_ESS, ~unsampled & ~(ess >= budget.min_ess)),
        (Flag.HIGH_PARETO_K, ~unsampled & (stats[:, batches.PARETO_K] >= limit)),
    ):
        flags[bad[group]] |= int(flag)
    return flags


def _add_magnitudes(table, report: Report, rows, zero_point: float) -> None:
    """Add magnitudes from the draws' quantiles; a limit where flux <= 0 weighs."""
    n_row = len(report.catalog)
    median, low, high = (_strip(table[f"flux_{name}"]) for name in ("median", "lo", "hi"))
    weak = ~(low > 0.0)

    def magnitude(flux):
        with np.errstate(divide="ignore", invalid="ignore"):
            return zero_point - 2.5 * np.log10(np.where(flux > 0.0, flux, np.nan))

    table["mag_median"] = np.where(weak, np.nan, magnitude(median))
    # The brighter end of the interval is the smaller magnitude.
    table["mag_lo"] = np.where(weak, np.nan, magnitude(high))
    table["mag_hi"] = np.where(weak, np.nan, magnitude(low))
    limit = np.full(n_row, np.nan)
    # A fixed flux has no draws, and no limit.
    if report.draws is not None and report.settings.free_flux:
        faint = np.flatnonzero(weak[rows] & np.isfinite(high[rows]))
        for k in faint:
            upper = report.draws.flux_limit
            value = np.quantile(report.draws.source[2, k], LIMIT) if upper is None else upper[k]
            limit[rows[k]] = magnitude(value)
    table["mag_limit"] = limit


def _strip(column) -> np.ndarray:
    """Return a column's numbers without their unit."""
    return np.asarray(getattr(column, "value", column), dtype=float)


def _add_sky_positions(table, wcs) -> None:
    """Add sky positions of the fits."""
    x, y = _strip(table["x_fit"]), _strip(table["y_fit"])
    if not getattr(wcs, "has_celestial", True):
        return
    sky = wcs.pixel_to_world(x, y)
    if not hasattr(sky, "icrs"):
        return
    table["sky_fit"] = sky
    icrs = sky.icrs
    table["ra"] = icrs.ra.deg
    table["dec"] = icrs.dec.deg


def _build_draws(report: Report, table, ranks: np.ndarray) -> Draws | None:
    """Return the draws in the order of the table's rows, chains first."""
    scene, draws, budget = report.scene, report.draws, report.budget
    if draws is None or budget is None or report.kept == 0:
        return None
    n_row = len(table)
    member_row = report.row[scene.grouped.member]
    kept = budget.draws if report.kept is None else report.kept

    def lay_out(flat: np.ndarray, n_last: int, place: np.ndarray) -> np.ndarray:
        """(item, chain * draw) in the members' order to (chain, draw, item) in the rows'."""
        if flat.shape[1] != budget.chains * kept:
            flat = flat[:, pick_draws(budget, kept)]
        chains = flat.reshape(flat.shape[0], budget.chains, kept)
        if flat.shape[0] == n_last and np.array_equal(place, np.arange(n_last)):
            return chains.transpose(1, 2, 0)
        full = np.full((n_last, budget.chains, kept), np.nan)
        full[place] = chains
        return full.transpose(1, 2, 0)

    source = {}
    for i, name in enumerate(("x", "y", "flux")):
        source[name] = lay_out(draws.source[i], n_row, member_row)
        if not (report.settings.free_x, report.settings.free_y, report.settings.free_flux)[i]:
            constant = _strip(table[f"{name}_fit"])
            source[name] = np.broadcast_to(constant, (budget.chains, kept, n_row))
    if report.settings.shape != "fixed":
        for name in report.settings.shape_names:
            source[name] = lay_out(draws.shape, n_row, member_row)
    n_group = scene.grouped.n_group
    place = ranks - 1
    group = {}
    batch = _cut_all(report).batch
    row = batch.rows[:, 2] + batch.rows[:, 0] // 2
    col = batch.rows[:, 3] + batch.rows[:, 1] // 2
    reference = scene.pixels.sky[row, col]
    if report.settings.n_sky == 0:
        constant = np.empty(n_group)
        constant[place] = reference
        group["background"] = np.broadcast_to(constant, (budget.chains, kept, n_group))
    else:
        group["background"] = lay_out(draws.shared[0] + reference[:, None], n_group, place)
        for name, plane in zip(
            ("background_dx", "background_dy"),
            draws.shared[1 : report.settings.n_sky],
            strict=False,
        ):
            group[name] = lay_out(plane, n_group, place)
    nuisances = zip(
        report.settings.nuisance_names, draws.shared[report.settings.n_sky :], strict=True
    )
    for name, amplitude in nuisances:
        group[name] = lay_out(amplitude, n_group, place)
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
        stats[name][place] = draws.stats[:, column]
    return Draws(
        source=source,
        group=group,
        source_id=np.asarray(table["id"]),
        source_group=np.asarray(table["group_id"]),
        group_id=np.arange(1, n_group + 1),
        stats=stats,
    )
