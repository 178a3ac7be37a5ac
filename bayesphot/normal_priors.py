"""The normal priors of a group's free parameters, in the order of its joint vector."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.structs import (
    CENTER_X,
    FLUX,
    FLUX_MEAN,
    FLUX_PRECISION,
    N_SHAPE_PRIOR,
    PRECISION_X,
    RADIUS,
    SHAPE,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    X,
    Y,
)
from bayesphot.layout import Layout

__all__ = ["list_disc_precisions", "list_normal_priors"]


def list_normal_priors(
    prior: np.ndarray, common: np.ndarray, source: np.ndarray, shared: np.ndarray, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Return precisions of the priors, 0 where there is none, and values less prior means.

    Parameters
    ----------
    prior : (n, 26 + 8 J) array
        Priors of the sources.
    common : (E, 2 or more) array
        Means and precisions of the shared columns.
    source : (n, C) array
        x, y, flux, shapes of the sources, in the frame of the priors' centres.
    shared : (E,) array
        Values of the shared columns.
    layout : Layout
        What is free.

    Returns
    -------
    precision, offset : (P,) arrays
        Linear parameters first.
    """
    precision, offset = [], []
    if layout.free_flux:
        precision.append(prior[:, FLUX_PRECISION])
        offset.append(source[:, FLUX] - prior[:, FLUX_MEAN])
    precision.append(common[:, 1])
    offset.append(shared - common[:, 0])
    for name, k, *j in layout.nonlinear:
        row = 0 if k is None else k
        if name == "shape":
            place = N_SHAPE_PRIOR * j[0]
            known, mean, value = SHAPE_PRECISION + place, SHAPE_MEAN + place, SHAPE + j[0]
        else:
            axis = X if name == "x" else Y
            known, mean, value = PRECISION_X + axis, CENTER_X + axis, axis
        precision.append(prior[row : row + 1, known])
        offset.append(source[row : row + 1, value] - prior[row : row + 1, mean])
    return np.concatenate(precision), np.concatenate(offset)


def list_disc_precisions(prior: np.ndarray, layout: Layout) -> np.ndarray:
    """Return (P,) precisions of normals as wide as the discs, r^2 / 4 along each axis; else 0."""
    discs = np.zeros(layout.size)
    for place, (name, k, *_) in enumerate(layout.nonlinear, start=layout.n_linear):
        if name in ("x", "y"):
            discs[place] = 4.0 / prior[k, RADIUS] ** 2
    return discs
