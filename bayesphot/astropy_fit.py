"""Least squares of groups by an astropy fitter: slower, for those who want theirs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayesphot.fitting import GroupFit, fit_groups
from bayesphot.kernels import batches
from bayesphot.kernels.columns import fill_places
from bayesphot.kernels.structs import CONVERGED, ITERATION_LIMIT, SHAPE
from bayesphot.patch import GroupData
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
    psf = settings.psf
    for k in range(state.shape[0]):
        state[k, :SHAPE] = [getattr(fitted, f"{name}_{k}").value for name in ("x", "y", "flux")]
        for j in _list_free(settings):
            owner = k if settings.shape == "source" else 0
            value = getattr(fitted, f"shape{j}_{owner}").value
            state[k, SHAPE + j] = psf.write_column(j, psf.fold_shape(j, value))
    return state


def _list_free(settings: ModelSettings) -> tuple[int, ...]:
    """Return the shapes that the least squares fits."""
    return settings.psf.free_shapes if settings.shape in ("group", "source") else ()


def _build_model(state: np.ndarray, settings: ModelSettings):
    """Return the sum of a group's sources and its sky as one model, a shared shape once.

    astropy's analytic derivatives ignore tied parameters, so a shared shape cannot be a tie.
    """
    from astropy.modeling import Fittable2DModel, Parameter

    n, n_column = state.shape
    psf, free = settings.psf, _list_free(settings)
    owners = range(n if settings.shape == "source" else 1)
    names = [f"{name}_{k}" for k in range(n) for name in ("flux", "x", "y")]
    shapes = [f"shape{j}_{k}" for j in free for k in owners]
    sky = [f"sky_{e}" for e in range(settings.n_sky)]

    def fill(x, y, values):
        """Return (n, C, m) columns of the unit sources, and the slopes of their shapes."""
        moved, slopes = state.copy(), np.ones((n, n_column))
        for k in range(n):
            moved[k, :2] = values[3 * k + 1 : 3 * k + 3]
            for i, j in enumerate(free):
                place = 3 * n + i * len(owners) + (k if len(owners) > 1 else 0)
                value = psf.fold_shape(j, float(values[place]))
                moved[k, SHAPE + j] = psf.write_column(j, value)
                slopes[k, SHAPE + j] = psf.find_slope(j, moved[k, SHAPE + j])
        out = np.empty((n, n_column, np.size(x)))
        place = np.ravel(x).astype(float), np.ravel(y).astype(float)
        for k in range(n):
            fill_places(psf.data, moved[k], *place, out[k])
        return out, slopes

    def evaluate(x, y, *values):
        number = [np.ravel(value)[0] for value in values]
        columns, _ = fill(x, y, number)
        total = np.array(number[: 3 * n : 3]) @ columns[:, 0]
        for level, column in zip(number[3 * n + len(shapes) :], (1.0, x, y), strict=False):
            total = total + level * np.ravel(column)
        return total.reshape(np.shape(x))

    def fit_deriv(x, y, *values):
        number = [np.ravel(value)[0] for value in values]
        columns, slopes = fill(x, y, number)
        flux = np.array(number[: 3 * n : 3])
        own = [
            part
            for k in range(n)
            for part in (columns[k, 0], flux[k] * columns[k, 1], flux[k] * columns[k, 2])
        ]
        for j in free:
            parts = (flux / slopes[:, SHAPE + j])[:, None] * columns[:, SHAPE + j]
            own += list(parts) if len(owners) > 1 or n == 1 else [parts.sum(axis=0)]
        own += [np.ones(np.size(x)), np.ravel(x), np.ravel(y)][: len(sky)]
        return [np.reshape(part, np.shape(x)) for part in own]

    parts = {name: Parameter(default=0.0) for name in names + shapes + sky}
    parts |= {"evaluate": staticmethod(evaluate), "fit_deriv": staticmethod(fit_deriv)}
    start = [value for row in state for value in (row[2], row[0], row[1])]
    start += [psf.read_column(j, state[k, SHAPE + j]) for j in free for k in owners]
    model = type("GroupModel", (Fittable2DModel,), parts)(*start, *[0.0] * len(sky))
    is_free = {"x": settings.free_x, "y": settings.free_y, "flux": settings.free_flux}
    for name in names:
        model.fixed[name] = not is_free[name.split("_")[0]]
    return model
