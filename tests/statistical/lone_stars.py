"""Isolated stars: bias of the flux with free position, and scatter against the Cramer-Rao limit.

Signal to noise is the flux over its error with position known, 2 sqrt(pi) sigma noise. Starts are
drawn uniformly in the disc of the prior, 1 FWHM about the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import (
    FWHM_PER_SIGMA,
    draws_by_group,
    list_starts,
    make_field,
    render_stars,
)

import bayesphot as bp
from bayesphot.calibration.designs import place_cells
from bayesphot.calibration.truths import draw_in_disc

SIGMA, NOISE, FIT_SHAPE, PITCH = 1.5, 3.0, 13, 26


@dataclass(frozen=True, eq=False)
class LoneOutcome:
    """Relative flux errors of the optimum and of the posterior mean, (star,); optimum / limit."""

    fit: np.ndarray
    mean: np.ndarray
    inside68: np.ndarray
    over_limit: np.ndarray


def measure_lone_stars(snr: float, n: int, seed: int, *, sample: bool = True) -> LoneOutcome:
    """Simulate stars of one signal to noise and measure them."""
    rng = np.random.default_rng(seed)
    xy = place_cells(rng, n, PITCH)[:, None]
    start = xy + draw_in_disc(rng, (n, 1), SIGMA * FWHM_PER_SIGMA)
    flux = np.full((n, 1), snr * 2.0 * np.sqrt(np.pi) * SIGMA * NOISE)
    field = make_field(rng, xy, flux, sigma=SIGMA, noise=NOISE, pitch=PITCH)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=FIT_SHAPE,
        sampler=None if sample else False,
        seed=seed,
    )
    result = phot(field.image, field.error, positions=list_starts(start))
    fit = np.asarray(result["flux_fit"]) / flux[:, 0] - 1.0
    limit = np.array([find_flux_limit(*xy[i, 0], *start[i, 0], flux[i, 0]) for i in range(n)])
    over = fit * flux[:, 0] / limit
    if not sample:
        return LoneOutcome(fit, np.full(n, np.nan), np.zeros(n, bool), over)
    mean = draws_by_group(result, "flux", 1).mean(axis=0)[:, 0] / flux[:, 0] - 1.0
    low, high = (np.asarray(result[name]) for name in ("flux_lo", "flux_hi"))
    inside = (low <= flux[:, 0]) & (flux[:, 0] <= high)
    return LoneOutcome(fit, mean, inside, over)


def find_flux_limit(x: float, y: float, start_x: float, start_y: float, flux: float) -> float:
    """Return the Cramer-Rao limit of the flux, place free, in the box around the start."""
    half = FIT_SHAPE // 2
    corner = np.floor(np.array([start_x, start_y]) + 0.5) - half
    shape = (FIT_SHAPE, FIT_SHAPE)
    h = 1e-4

    def star(dx, dy):
        place = np.array([[x + dx, y + dy]]) - corner
        return render_stars(shape, place[:, 0], place[:, 1], flux, SIGMA).ravel()

    columns = [
        star(0, 0) / flux,
        (star(h, 0) - star(-h, 0)) / (2 * h),
        (star(0, h) - star(0, -h)) / (2 * h),
    ]
    design = np.stack(columns, axis=1) / NOISE
    return float(np.sqrt(np.linalg.inv(design.T @ design)[0, 0]))
