"""A source's image as a polynomial of where it lies: a fit of its place then needs no pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.columns import fill_unit_images
from bayesphot.kernels.pairs import DEGREE
from bayesphot.kernels.structs import SHAPE, PSFData
from bayesphot.psf import PSFConfig

__all__ = ["MovingImage", "evaluate_terms", "render_units"]

#: Powers of u and v of each term. On a square of half a side of a fifth of the FWHM the polynomial
#: errs by less than 1.2e-4 of a Gaussian, in the middle not at all.
POWERS = np.array([(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)])


@dataclass(frozen=True, eq=False)
class MovingImage:
    """Images (N_TERM, P) whose sum, each times its term in (u, v), is the unit source there.

    u and v are the distances along x and y from the anchor, in units of ``half``.
    """

    anchor: tuple[float, float]
    half: float
    images: np.ndarray

    @classmethod
    def expand(cls, psf: PSFConfig, anchor, half: float, window, shape) -> MovingImage:
        """Fit the polynomial at Chebyshev's points.

        Parameters
        ----------
        psf : PSFConfig
            The PSF.
        anchor : (float, float)
            x and y about which it is expanded, image pixels.
        half : float
            Half the side of the square on which it shall hold, pixels.
        window : (int, int, int, int)
            Rows, columns, first row and first column of the stamp.
        shape : (J,) array
            Columns of the PSF's shapes.
        """
        n = DEGREE + 1
        node = np.cos(np.pi * (np.arange(n) + 0.5) / n)
        u, v = (grid.ravel() for grid in np.meshgrid(node, node))
        places = np.column_stack([anchor[0] + half * u, anchor[1] + half * v])
        light = render_units(psf.data, places, window, shape)
        terms = evaluate_terms(u, v)
        images = np.linalg.pinv(terms) @ light
        # Exact where the target lies alone: what is left of a companion that is not in the model
        # multiplies any error there.
        images[0] = render_units(psf.data, np.array([anchor], dtype=float), window, shape)[0]
        return cls((float(anchor[0]), float(anchor[1])), half, images)


def evaluate_terms(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the terms (..., N_TERM) at u and v."""
    i, j = POWERS.T
    return np.expand_dims(u, -1) ** i * np.expand_dims(v, -1) ** j


def render_units(psf: PSFData, places: np.ndarray, window, shape: np.ndarray) -> np.ndarray:
    """Return unit sources (m, P) at places (m, 2), image pixels, over a stamp."""
    n_row, n_col, first_row, first_col = window
    state = np.zeros((len(places), SHAPE + len(shape)))
    state[:, :2] = places - [first_col, first_row]
    state[:, SHAPE:] = shape
    out = np.empty((len(places), 1, n_row, n_col))
    fill_unit_images(
        PSFData(psf.kind, np.int64(first_row), np.int64(first_col), psf.numbers), state, out
    )
    return out.reshape(len(places), n_row * n_col)
