"""The catalogue: one row per source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.assemble.flags import find_flags
from bayesphot.assemble.parameters import Parameter
from bayesphot.assemble.report import Report
from bayesphot.celestial import find_pixel_areas, find_sky
from bayesphot.collect import NO_ENGINE
from bayesphot.columns import strip_unit
from bayesphot.kernels import batches
from bayesphot.kernels.diagnostics import ESS_BULK, ESS_TAIL, HIGH, LOW, MEDIAN, R_HAT, SD

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["build_table"]

#: Sources of a row that were not sampled have no group.
NO_GROUP = -1


def build_table(report: Report, parameters: list[Parameter]) -> QTable:
    """Return the catalogue, one row per source."""
    from astropy import units as u
    from astropy.table import QTable

    catalog, scene = report.catalog, report.scene
    n_row = len(catalog)
    rows = report.places.row
    group = scene.grouped.group_of_member()
    group_id = np.full(n_row, NO_GROUP, dtype=np.int64)
    group_size = np.zeros(n_row, dtype=np.int64)
    group_id[rows] = report.places.rank[group]
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


def _columns_of(parameter: Parameter, report: Report, rows, n_row, starts) -> dict:
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
            if report.sampled is not None:
                out[f"{name}_{suffix}"][rows] = parameter.start
        out[f"{name}_err"][rows] = 0.0
        return out
    for suffix, column in (("median", MEDIAN), ("err", SD), ("lo", LOW), ("hi", HIGH)):
        out[f"{name}_{suffix}"][rows] = parameter.summary[:, column]
    return out


def _add_diagnostics(table, report: Report, parameters, rows, group, unit) -> None:
    """Add blending, sampling and fit diagnostics and the flags."""
    from astropy import units as u

    scene, sampled = report.scene, report.sampled
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
    engine = np.full(n_row, NO_ENGINE, dtype="U13")
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
    pareto = p_value = np.full(n, np.nan)
    log_z = np.full((n, 2), np.nan)
    if sampled is not None:
        engine[rows] = sampled.engine[group].astype("U13")
        pareto = sampled.stats[group, batches.PARETO_K]
        log_z = sampled.stats[group][:, [batches.LOG_Z, batches.LOG_Z_ERROR]]
        p_value = sampled.p_value[group]
    table["engine"] = engine
    for name, values in worst.items():
        table[name] = spread(values)
    table["pareto_k"] = spread(pareto)
    table["log_z"] = spread(log_z[:, 0])
    table["log_z_err"] = spread(log_z[:, 1])
    box_pixels = np.zeros(0, dtype=np.int64)
    reduced = np.empty(0)
    if n:
        data = report.cut_patches()
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
    table["ppp"] = spread(p_value)
    flags = report.catalog.flags.copy()
    if n:
        flags[rows] |= find_flags(report, parameters, group, box_pixels, reduced)
    table["flags"] = flags


def _add_magnitudes(table, report: Report, rows, zero_point: float) -> None:
    """Add magnitudes from the draws' quantiles; a limit where flux <= 0 weighs."""
    n_row = len(report.catalog)
    median, low, high = (strip_unit(table[f"flux_{name}"]) for name in ("median", "lo", "hi"))
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
    if report.sampled is not None and report.settings.free_flux:
        faint = np.flatnonzero(weak[rows] & np.isfinite(high[rows]))
        limit[rows[faint]] = magnitude(report.sampled.flux_limit[faint])
    table["mag_limit"] = limit


def _add_sky_positions(table, wcs) -> None:
    """Add sky positions of the fits, and what the pixels under them cover."""
    from astropy import units as u

    x, y = strip_unit(table["x_fit"]), strip_unit(table["y_fit"])
    table["sky_fit"] = sky = find_sky(wcs, x, y)
    table["ra"], table["dec"] = sky.icrs.ra.deg, sky.icrs.dec.deg
    table["pixel_area"] = (find_pixel_areas(wcs, x, y) * u.deg**2).to(u.arcsec**2)
