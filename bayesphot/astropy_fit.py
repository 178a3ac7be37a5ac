"""Least squares of groups by an astropy fitter: slower, for those who want theirs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayesphot.fitting import GroupFit, fit_groups
from bayesphot.kernels import batches
from bayesphot.kernels.structs import CONVERGED, ITERATION_LIMIT, LOG_SHAPE
from bayesphot.patch import GroupData
from bayesphot.psf import IntegratedGaussianPRF
from bayesphot.settings import ModelSettings

__all__ = ["fit_groups_with"]


def fit_groups_with(fitter: Callable, data: GroupData, settings: ModelSettings) -> GroupFit:
    """Fit every group of a batch with an astropy fitter.

    The optimum is the fitter's; covariance and chi-squared are computed at that optimum as for
    the compiled least squares. Only flat priors reach the fitter: the sky's prior, the discs and
    the log-normal of a free width act on the sampling alone.

    Parameters
    ----------
    fitter : callable
        Called as ``fitter(model, x, y, z, weights=...)``, weights 1 / sigma.
    data : GroupData
        Patches and starts.
    settings : ModelSettings
        The run's model.
    """
    batch = data.batch
    state = batch.state.copy()
    for g in range(batch.rows.shape[0]):
        members = slice(batch.source_start[g], batch.source_start[g + 1])
        state[members] = _fit_one(fitter, data, g, settings)
    moved = replace(data, batches=(batch._replace(state=state),))
    fit = fit_groups(moved, max_iterations=0)
    status = fit.group[:, batches.FIT_STATUS]
    status[status == ITERATION_LIMIT] = CONVERGED
    return fit


def _fit_one(fitter, data: GroupData, g: int, settings: ModelSettings) -> np.ndarray:
    """Return the fitted state of one group's members."""
    batch = data.batch
    n_row, n_col, first_row, first_col = batch.rows[g]
    part = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    weight = batch.weight[part].reshape(n_row, n_col)
    residual = (batch.data[part] - batch.neighbours[part]).reshape(n_row, n_col)
    row, col = np.nonzero(weight > 0.0)
    members = range(batch.source_start[g], batch.source_start[g + 1])
    state = batch.state[list(members)].copy()
    model = _build_model(state, settings)
    with warnings.catch_warnings():
        # Fitters warn of what the table says: a fit that did not converge, no covariance.
        warnings.simplefilter("ignore")
        fitted = fitter(
            model,
            (col + first_col).astype(float),
            (row + first_row).astype(float),
            residual[row, col],
            weights=np.sqrt(weight[row, col]),
        )
    n = state.shape[0]
    for k in range(n):
        state[k, :3] = [getattr(fitted, f"{name}_{k}").value for name in ("x", "y", "flux")]
        sigma = getattr(fitted, f"sigma_{k}" if settings.shape == "source" else "sigma_0").value
        if settings.shape in ("group", "source"):
            state[k, LOG_SHAPE] = np.log(abs(sigma))
    return state


def _build_model(state: np.ndarray, settings: ModelSettings):
    """Return the sum of a group's sources and its sky as one model, a shared width once.

    astropy's analytic derivatives ignore tied parameters, so a shared width cannot be a tie.
    """
    from astropy.modeling import Fittable2DModel, Parameter

    n = state.shape[0]
    n_width = 1 if settings.shape == "group" else n
    names = [f"{name}_{k}" for k in range(n) for name in ("flux", "x", "y")]
    widths = [f"sigma_{k}" for k in range(n_width)]
    sky = [f"sky_{e}" for e in range(settings.n_sky)]

    def evaluate(x, y, *values):
        sigma = values[3 * n : 3 * n + n_width]
        total = np.zeros(np.shape(x))
        for k in range(n):
            flux, x_0, y_0 = values[3 * k : 3 * k + 3]
            width = sigma[k % n_width]
            total = total + IntegratedGaussianPRF.evaluate(x, y, flux, x_0, y_0, width)
        for level, column in zip(values[3 * n + n_width :], (1.0, x, y), strict=False):
            total = total + level * column
        return total

    def fit_deriv(x, y, *values):
        sigma = values[3 * n : 3 * n + n_width]
        columns, by_width = [], [np.zeros(np.shape(x)) for _ in widths]
        for k in range(n):
            flux, x_0, y_0 = values[3 * k : 3 * k + 3]
            width = sigma[k % n_width]
            *own, by_own = IntegratedGaussianPRF.fit_deriv(x, y, flux, x_0, y_0, width)
            columns += own
            by_width[k % n_width] = by_width[k % n_width] + by_own
        return columns + by_width + [np.ones(np.shape(x)), x, y][: len(sky)]

    parts = {name: Parameter(default=0.0) for name in names + widths + sky}
    parts |= {"evaluate": staticmethod(evaluate), "fit_deriv": staticmethod(fit_deriv)}
    start = [value for x, y, flux, _ in state for value in (flux, x, y)]
    start += list(np.exp(state[:n_width, LOG_SHAPE])) + [0.0] * len(sky)
    model = type("GroupModel", (Fittable2DModel,), parts)(*start)
    free = {"x": settings.free_x, "y": settings.free_y, "flux": settings.free_flux}
    free |= {"sigma": settings.shape in ("group", "source"), "sky": True}
    for name in model.param_names:
        model.fixed[name] = not free[name.split("_")[0]]
    return model
