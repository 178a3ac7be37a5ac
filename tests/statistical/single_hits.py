"""Lone stars and hits of single pixels in their boxes: how many are flagged.

Rendered with scipy's erf. Each star lies in a cell of its own.
"""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from many_groups import render_stars

import bayesphot as bp
from bayesphot.calibration.designs import place_cells

PITCH, FIT_SHAPE = 24, 11


def flag_stars(
    n: int,
    seed: int,
    *,
    sigma: float,
    snr: float,
    hit: float,
    noise=None,
    sky: float = 100.0,
    fitted_sigma: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which of n stars (n,) are flagged, and in which the hit is beside the middle.

    Parameters
    ----------
    n, seed : int
        Stars, and the seed of all that is random.
    sigma : float
        Width of the stars, pixels.
    snr : float
        Flux over its error on the sky, the place known.
    hit : float
        Height of the hit pixel over its expectation, in standard deviations; 0: none.
    noise : PoissonNoise, optional
        Counts; None: normal noise, the same in all pixels.
    sky : float
        Level, in counts.
    fitted_sigma : float, optional
        Width of the PSF; default: that of the stars.
    """
    rng = np.random.default_rng(seed)
    place = place_cells(rng, n, PITCH)
    x, y = place.T
    shape = tuple(int(np.ceil(place[:, axis].max())) + PITCH // 2 for axis in (1, 0))
    flux = np.full(n, snr * 2.0 * np.sqrt(np.pi * sky) * np.hypot(sigma, 12.0**-0.5))
    expected = sky + render_stars(shape, x, y, flux, sigma)
    scatter = np.full(shape, np.sqrt(sky)) if noise is None else np.sqrt(expected)
    image = rng.normal(expected, scatter) if noise is None else rng.poisson(expected).astype(float)
    middle = np.floor(place + 0.5).astype(int)
    col, row = (middle + rng.integers(-(FIT_SHAPE // 2), FIT_SHAPE // 2 + 1, middle.shape)).T
    if hit:
        image[row, col] = np.ceil(expected + hit * scatter)[row, col]
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=sigma if fitted_sigma is None else fitted_sigma),
        fitshape=FIT_SHAPE,
        bkg_estimator=sky,
        noise=noise,
        sampler=False,
    )
    error = np.sqrt(sky) if noise is None else None
    result = phot(image, error=error, positions=Table([x, y], names=["x_0", "y_0"]))
    flagged = np.asarray(result["flags"]) & int(bp.Flag.COSMIC_RAY) > 0
    return flagged, np.hypot(col - x, row - y) < 2.0
