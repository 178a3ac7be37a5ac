"""Targets with a companion and without one: what a map says of them."""

from __future__ import annotations

import numpy as np

import bayesphot as bp

SIGMA = 1.5
FWHM = 2.3548 * SIGMA
SKY = 100.0
SIDE = 41
MODEL = bp.IntegratedGaussianPRF(sigma=SIGMA)
#: Flat in magnitudes, from 0 to 5 fainter than the target.
PRIOR = bp.CompanionPrior(flux_ratio=bp.LogUniform(1e-2, 1.0))
#: Separations of pairs, FWHM; half side of the region searched, which holds them all.
APART = (0.5, 3.0)
RADIUS = APART[1] * FWHM + 1.0
#: Logarithms of the SNR of targets.
SNR = np.log10((30.0, 1000.0))
#: Separations at which single places are looked at, FWHM.
CIRCLES = (0.5, 1.0, 2.0)
_ROW, _COLUMN = np.mgrid[:SIDE, :SIDE].astype(float)


def find_flux(snr: float) -> float:
    """Return the flux of a star of some signal to noise: f / sqrt(f + 4 pi s^2 sky)."""
    sky = 4.0 * np.pi * SIGMA**2 * SKY
    return 0.5 * (snr**2 + np.sqrt(snr**4 + 4.0 * snr**2 * sky))


def simulate(target, flux: float, move, ratio: float, rng, sigma: float = SIGMA):
    """Return image (without sky) and error of a target and a companion."""
    image = SKY + MODEL.evaluate(_COLUMN, _ROW, flux, *target, sigma)
    place = np.add(target, move)
    image = image + MODEL.evaluate(_COLUMN, _ROW, ratio * flux, *place, sigma)
    error = np.sqrt(image)
    return rng.normal(image, error) - SKY, error


def draw_pair(rng):
    """Return target's place and flux, the way to the companion and the flux ratio.

    Places even over the ring, flat in ln(flux ratio) and in ln(SNR).
    """
    flux = find_flux(10.0 ** rng.uniform(*SNR))
    target = 0.5 * (SIDE - 1) + rng.uniform(-0.5, 0.5, 2)
    apart = FWHM * np.sqrt(rng.uniform(APART[0] ** 2, APART[1] ** 2))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    move = apart * np.array([np.cos(angle), np.sin(angle)])
    return target, flux, move, 10.0 ** rng.uniform(-2.0, 0.0)


def rank_pairs(n: int, seed: int) -> np.ndarray:
    """Return ranks (n, 3) of the truth's separation, angle and flux ratio among the draws.

    The map's prior is even over a square; draws within the ring are those of a prior even over the
    ring.
    """
    rng = np.random.default_rng(seed)
    rank = np.empty((n, 3))
    for k in range(n):
        target, flux, move, ratio = draw_pair(rng)
        image, error = simulate(target, flux, move, ratio, rng)
        found = bp.companion_map(
            image, MODEL, (20.0, 20.0), error=error, prior=PRIOR, radius=RADIUS
        )
        draws = found.draw(1000, seed=k)
        offset = np.asarray(draws["x"] - draws["x_target"])
        offset = offset + 1j * np.asarray(draws["y"] - draws["y_target"])
        ring = (np.abs(offset) >= APART[0] * FWHM) & (np.abs(offset) <= APART[1] * FWHM)
        offset, truth = offset[ring], complex(*move)
        rank[k] = (
            np.mean(np.abs(offset) < abs(truth)),
            # From a direction that knows nothing of the truth: about the truth itself, an angle
            # that nobody knows would have a rank of a half.
            np.mean(np.angle(offset) < np.angle(truth)),
            np.mean(np.asarray(draws["flux"] / draws["flux_target"])[ring] < ratio),
        )
    return rank


def search_nulls(
    n: int, snr: float, seed: int, *, sigma: float = SIGMA, psf_error=None, step=None
) -> np.ndarray:
    """Return p_companion (n,) of targets without a companion, of another width than the PSF's."""
    rng = np.random.default_rng(seed)
    found = np.empty(n)
    for k in range(n):
        target = 0.5 * (SIDE - 1) + rng.uniform(-0.5, 0.5, 2)
        image, error = simulate(target, find_flux(snr), (0.0, 0.0), 0.0, rng, sigma)
        found[k] = bp.companion_map(
            image, MODEL, (20.0, 20.0), error=error, psf_error=psf_error, step=step
        ).p_companion
    return found


def search_circles(n: int, snr: float, seed: int) -> dict[float, np.ndarray]:
    """Return how bright single places about targets without a companion are, over their errors.

    For each separation, FWHM, (n, places, 2): places a FWHM apart along the circle, and the error
    that the map quotes, and that which the other places of the circle scatter by.
    """
    rng = np.random.default_rng(seed)
    found: dict[float, list] = {apart: [] for apart in CIRCLES}
    for _ in range(n):
        target = 0.5 * (SIDE - 1) + rng.uniform(-0.5, 0.5, 2)
        image, error = simulate(target, find_flux(snr), (0.0, 0.0), 0.0, rng)
        searched = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, step=0.25 * FWHM)
        first = rng.uniform(0.0, 2.0 * np.pi)
        for apart, parts in found.items():
            n_place = max(round(2.0 * np.pi * apart), 1)
            angle = first + 2.0 * np.pi * np.arange(n_place) / n_place
            column, row = (
                np.abs(axis[:, None] - place).argmin(axis=0)
                for axis, place in (
                    (searched.x[0], 20.0 + apart * FWHM * np.cos(angle)),
                    (searched.y[:, 0], 20.0 + apart * FWHM * np.sin(angle)),
                )
            )
            flux = searched.flux[row, column]
            others = [np.delete(flux, k).std(ddof=1) for k in range(n_place)]
            parts.append(np.stack([searched.z[row, column], flux / others], axis=1))
    return {apart: np.array(parts) for apart, parts in found.items()}
