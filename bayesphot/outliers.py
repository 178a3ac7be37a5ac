"""Fits on trial where the noise has outliers: each hypothesis has outliers of its own.

What one model of a group takes for outliers may be the light of a source that it lacks. So the
weights are renewed about the model of each fit (iterative reweighting; Lange, Little & Taylor
1989), and fits are compared by the deviance D = -2 ln L of the noise itself in place of
chi-squared, beside what is expected of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.accept import Fitted
from bayesphot.fitting import GroupFit, fit_groups
from bayesphot.kernels.columns import fill_unit_images
from bayesphot.kernels.discrepancy import EXPECTED, OBSERVED, fill_discrepancies
from bayesphot.kernels.structs import FLUX, INFLATED, SHAPE
from bayesphot.noise import PixelNoise
from bayesphot.patch import GroupData, place_psf
from bayesphot.plane import list_shared_columns
from bayesphot.psf import PSFConfig
from bayesphot.psf.transforms import read_column
from bayesphot.restarts import restart_doubtful
from bayesphot.sampling.predictive import find_moments
from bayesphot.vacant import fit_sky, weigh_sky

__all__ = ["Deviance", "count_deviance", "fit_on_trial", "measure_deviance", "weigh_skies"]


@dataclass(frozen=True, eq=False)
class Deviance:
    """D of each group at a model, and what is expected of it if the model is right: (G,) arrays."""

    observed: np.ndarray
    expected: np.ndarray


def measure_deviance(
    data: GroupData, noise: PixelNoise, source: np.ndarray, shared: np.ndarray
) -> Deviance:
    """Return the deviance of groups, their weights being 1 / scale^2 of the noise.

    Parameters
    ----------
    data : GroupData
        The batch.
    noise : PixelNoise
        Noise with outliers.
    source : (S, C) array
        x, y, flux, shapes of the members.
    shared : (G, E) array
        Values of the shared columns.
    """
    batch = data.batch
    numbers = noise.numbers
    moments = np.array(find_moments(noise.kind, numbers))
    # The scale itself is not on trial.
    numbers[INFLATED] = 0.0
    known = np.stack([batch.weight, batch.data, batch.weight])
    state = batch.state.copy()
    state[:, FLUX] = source[:, FLUX]
    batch = batch._replace(known=known, noise=numbers, state=state)
    shapes = np.stack(
        [
            read_column(batch.psf.kind, column - SHAPE, source[:, column])
            for column in range(SHAPE, source.shape[1])
        ]
    )
    out = np.full((3, batch.rows.shape[0], 1), np.nan)
    fill_discrepancies(
        batch,
        np.ascontiguousarray(source[:, :3].T[..., None]),
        np.ascontiguousarray(shapes[..., None]),
        np.ascontiguousarray(shared.T[..., None]),
        np.zeros(1, dtype=np.int64),
        moments,
        1.0,
        out,
    )
    return Deviance(out[OBSERVED, :, 0], out[EXPECTED, :, 0])


def fit_on_trial(
    data: GroupData, noise: PixelNoise, psf: PSFConfig
) -> tuple[GroupData, GroupFit, Deviance | None]:
    """Return the batch, its fits, and their deviance where that stands in place of chi-squared.

    Parameters
    ----------
    data : GroupData
        The batch; where the noise has outliers its weights are 1 / scale^2, and the batch that is
        returned has those of its own fits.
    noise : PixelNoise
        The run's noise.
    psf : PSFConfig
        Its PSF.
    """
    if not noise.has_outliers:
        return data, restart_doubtful(data, fit_groups(data), psf), None
    batch = data.batch
    source, shared, renewed = batch.state, batch.shared_prior[:, :, 0], data
    for _renewal in range(_model_of(noise).renewals):
        weight = np.concatenate(
            [
                _renew_weights(data, g, noise, _model_patch(data, g, source, shared[g]))
                for g in range(batch.rows.shape[0])
            ]
        )
        again = batch._replace(weight=weight, state=source)
        renewed = replace(data, batches=(again, *data.batches[1:]))
        fit = fit_groups(renewed)
        source, shared = fit.source.copy(), fit.shared
    fit = restart_doubtful(renewed, fit_groups(renewed), psf)
    return renewed, fit, measure_deviance(data, noise, fit.source, fit.shared)


def weigh_skies(data: GroupData, groups: list[int], noise: PixelNoise) -> list[Fitted]:
    """Return what `bayesphot.vacant.weigh_sky` does for some groups, whatever the noise."""
    if not groups or not noise.has_outliers:
        return [weigh_sky(data, g) for g in groups]
    batch = data.batch
    n_group, n_shared = batch.shared_prior.shape[:2]
    values = np.zeros((n_group, n_shared))
    fitted = []
    for g in groups:
        here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
        columns = list_shared_columns(batch, g)
        values[g] = batch.shared_prior[g, :, 0]
        for _renewal in range(_model_of(noise).renewals):
            model = batch.neighbours[here] + values[g] @ columns
            sky, values[g], _ = fit_sky(data, g, _renew_weights(data, g, noise, model))
        fitted.append(sky)
    dark = batch.state.copy()
    dark[:, FLUX] = 0.0
    deviance = measure_deviance(data, noise, dark, values)
    return [
        count_deviance(sky, deviance, g, n_shared) for sky, g in zip(fitted, groups, strict=True)
    ]


def count_deviance(fitted: Fitted, deviance: Deviance, g: int, n_parameter: int) -> Fitted:
    """Return one refit with the deviance of its group in place of chi-squared."""
    freedom = max(float(deviance.expected[g]) - n_parameter, 1.0)
    return replace(fitted, chi2=float(deviance.observed[g]), freedom=freedom)


def _model_of(noise: PixelNoise):
    """Return the noise model of noise that must have one."""
    if noise.model is None:
        raise ValueError("normal noise has no outliers")
    return noise.model


def _renew_weights(data: GroupData, g: int, noise: PixelNoise, model: np.ndarray) -> np.ndarray:
    """Return the weights of a group's pixels about a model; those of bad pixels stay 0."""
    batch = data.batch
    here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    weight = batch.weight[here]
    good = weight > 0.0
    scale2 = 1.0 / np.where(good, weight, 1.0)
    variance = _model_of(noise).variance(batch.data[here] - model, model, scale2)
    return np.where(good, 1.0 / variance, 0.0)


def _model_patch(data: GroupData, g: int, source: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return the model of a group's pixels, neighbours and all."""
    batch = data.batch
    mine = slice(batch.source_start[g], batch.source_start[g + 1])
    here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    n_row, n_col, first_row, first_col = (int(n) for n in batch.rows[g])
    state = source[mine].copy()
    state[:, :2] -= [first_col, first_row]
    images = np.empty((len(state), 1, n_row, n_col))
    fill_unit_images(place_psf(batch, g), state, images)
    light = state[:, FLUX] @ images.reshape(len(state), n_row * n_col)
    return batch.neighbours[here] + light + shared @ list_shared_columns(batch, g)
