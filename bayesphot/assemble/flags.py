"""What can be said against each row."""

from __future__ import annotations

import numpy as np

from bayesphot.assemble.rays import find_rays
from bayesphot.assemble.report import Report
from bayesphot.boxes import find_cored, list_half_sides
from bayesphot.flags import Flag
from bayesphot.kernels import batches
from bayesphot.kernels.structs import CONVERGED, DEGENERATE, RADIUS
from bayesphot.sampling import pareto_limit

__all__ = ["find_flags"]

#: Reduced chi-squared above which a group is called a poor fit.
POOR_FIT = 3.0


def find_flags(report: Report, parameters, group, box_pixels, reduced) -> np.ndarray:
    """Return the flags of each member."""
    scene, settings = report.scene, report.settings
    member = scene.grouped.member
    flags = np.zeros(member.size, dtype=np.int64)
    center = scene.sources.center[member]
    saturated = scene.pixels.saturated
    half = list_half_sides(center[:, 0], center[:, 1], settings.fit_shape, saturated)
    if not report.chosen:
        flags[box_pixels < np.prod(2 * half + 1, axis=1)] |= int(Flag.TRUNCATED)
    flags[find_cored(center[:, 0], center[:, 1], saturated)] |= int(Flag.SATURATED)
    status = scene.fitted.group[group, batches.FIT_STATUS]
    flags[(status != CONVERGED) & (status != DEGENERATE)] |= int(Flag.NOT_CONVERGED)
    lost = status == DEGENERATE
    for parameter in parameters:
        if not parameter.fixed:
            lost |= ~np.isfinite(parameter.fit_err)
    flags[lost] |= int(Flag.DEGENERATE)
    value = scene.sources.value[member]
    distance = np.hypot(value[:, 0] - center[:, 0], value[:, 1] - center[:, 1])
    flags[distance >= scene.sources.prior[member, RADIUS] * (1.0 - 1e-6)] |= int(Flag.AT_BOUND)
    flags[scene.grouped.was_split[member]] |= int(Flag.FROZEN_NEIGHBOURS)
    flags[~settings.psf.covers(value[:, 0], value[:, 1])] |= int(Flag.OFF_PSF_GRID)
    flags[reduced > POOR_FIT] |= int(Flag.POOR_FIT)
    flags[find_rays(scene, settings)] |= int(Flag.COSMIC_RAY)
    if report.sampled is None:
        return flags
    stats, budget, done = report.sampled.stats, report.sampled.budget, report.sampled.done
    limit = pareto_limit(budget.total * np.nan_to_num(stats[:, batches.THIN], nan=1.0))
    ess = np.minimum(stats[:, batches.WORST_BULK], stats[:, batches.WORST_TAIL])
    unsampled = ~(stats[:, batches.ACCEPTANCE] >= 0.0)
    for flag, bad in (
        (Flag.INTERRUPTED, ~done),
        (Flag.NOT_SAMPLED, unsampled & done),
        (Flag.HIGH_R_HAT, ~unsampled & ~(stats[:, batches.WORST_R_HAT] <= budget.max_r_hat)),
        (Flag.LOW_ESS, ~unsampled & ~(ess >= budget.min_ess)),
        (Flag.HIGH_PARETO_K, ~unsampled & (stats[:, batches.PARETO_K] >= limit)),
    ):
        flags[bad[group]] |= int(flag)
    return flags
