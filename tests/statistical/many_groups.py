"""Hundreds of independent groups in one image: one call of the package, as many realisations.

Rendered with scipy's erf; nothing of the package's kernels enters the simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy.special import erf

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def integrate_axis(pixel, center, sigma):
    """Return the share of a unit normal that falls on each pixel of one axis."""
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    return 0.5 * (erf((pixel + 0.5 - center) * scale) - erf((pixel - 0.5 - center) * scale))


def render_stars(shape, x, y, flux, sigma) -> np.ndarray:
    """Return an image (ny, nx) of pixel-integrated circular Gaussians; sigma scalar or (n,)."""
    x, y, flux, sigma = np.broadcast_arrays(x, y, flux, sigma)
    across = integrate_axis(np.arange(shape[1]), x[:, None], sigma[:, None])
    down = integrate_axis(np.arange(shape[0]), y[:, None], sigma[:, None])
    return np.einsum("ky,kx,k->yx", down, across, flux)


@dataclass(frozen=True, eq=False)
class Field:
    """Groups on a square grid: image, error, and the truth, arrays (group, star)."""

    image: np.ndarray
    error: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    sky: np.ndarray

    @property
    def n_group(self) -> int:
        """Number of groups."""
        return self.x.shape[0]


def make_field(rng, xy, flux, *, sigma, noise: float, sky=0.0, pitch: int = 40) -> Field:
    """Simulate groups.

    Parameters
    ----------
    rng : Generator
        Draws the noise.
    xy : (G, n, 2) array
        Places in the image, group g in the g-th cell of the grid of
        `bayesphot.calibration.designs.place_cells`.
    flux : (G, n) array
        Fluxes.
    sigma : scalar or (G, n) array
        Widths.
    noise : float
        Gaussian noise per pixel, known.
    sky : scalar or (G,) array
        Level in each group's cell.
    pitch : int
        Side of a cell, pixels.
    """
    n_group, n_star = flux.shape
    n_col = int(np.ceil(np.sqrt(n_group)))
    shape = (pitch * int(np.ceil(n_group / n_col)), pitch * n_col)
    sigma = np.broadcast_to(np.asarray(sigma, dtype=float), (n_group, n_star))
    sky = np.broadcast_to(np.asarray(sky, dtype=float), (n_group,))
    image = np.zeros(shape)
    for g in range(n_group):
        row, col = (pitch * i for i in divmod(g, n_col))
        cell = image[row : row + pitch, col : col + pitch]
        x, y = xy[g, :, 0] - col, xy[g, :, 1] - row
        cell += render_stars(cell.shape, x, y, flux[g], sigma[g]) + sky[g]
    image = image + rng.normal(0.0, noise, shape)
    error = np.full(shape, noise)
    return Field(image, error, xy[..., 0], xy[..., 1], flux, sigma, sky)


def list_starts(xy: np.ndarray, flux: np.ndarray | None = None) -> Table:
    """Return the positions table of starts (G, n, 2)."""
    table = Table()
    table["x_0"] = xy[..., 0].ravel()
    table["y_0"] = xy[..., 1].ravel()
    if flux is not None:
        table["flux_0"] = flux.ravel()
    return table


def by_group(result, name: str, n_star: int) -> np.ndarray:
    """Return a column of the result's table as (group, star)."""
    return np.asarray(result.table[name]).reshape(-1, n_star)


def draws_by_group(result, name: str, n_star: int) -> np.ndarray:
    """Return all draws of a source parameter as (draw, group, star)."""
    values = result.posterior[name].values
    return values.reshape(-1, values.shape[2] // n_star, n_star)
