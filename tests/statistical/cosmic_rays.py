"""Lone stars under cosmic rays: tracks of charge on one pixel in a hundred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import FWHM_PER_SIGMA, list_starts, make_field

import bayesphot as bp
from bayesphot.calibration.designs import place_cells
from bayesphot.calibration.truths import draw_in_disc

SIGMA, NOISE, PITCH, FIT_SHAPE = 1.5, 3.0, 40, 13
FWHM = SIGMA * FWHM_PER_SIGMA
#: Share of pixels hit; pixels of a track; charge in each of them, in units of the noise.
SHARE, LENGTH, CHARGE = 0.01, (1, 6), (5.0, 500.0)


@dataclass(frozen=True, eq=False)
class Outcome:
    """One number a star: pull of the mean flux, and whether the 68 % interval holds the truth."""

    pull: np.ndarray
    inside: np.ndarray


def draw_rays(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of tracks: straight, of even charge, in random directions."""
    image = np.zeros(shape)
    length = rng.integers(*LENGTH, int(SHARE * image.size))
    # Tracks until the share of pixels is hit.
    length = length[np.cumsum(length) <= SHARE * image.size]
    y, x = (rng.uniform(0.0, side, length.size) for side in shape)
    angle = rng.uniform(0.0, 2.0 * np.pi, length.size)
    charge = NOISE * np.exp(rng.uniform(*np.log(CHARGE), length.size))
    for step in range(int(length.max())):
        here = step < length
        row = (y + step * np.sin(angle)).astype(int) % shape[0]
        col = (x + step * np.cos(angle)).astype(int) % shape[1]
        np.add.at(image, (row[here], col[here]), charge[here])
    return image


def measure_under_rays(snr: float, n_star: int, seed: int, *, noise) -> Outcome:
    """Measure stars of one flux, positions free, under a noise model."""
    rng = np.random.default_rng(seed)
    place = place_cells(rng, n_star, PITCH)[:, None, :]
    flux = snr * 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
    field = make_field(
        rng, place, np.full((n_star, 1), flux), sigma=SIGMA, noise=NOISE, pitch=PITCH
    )
    image = field.image + draw_rays(rng, field.image.shape)
    start = place + draw_in_disc(rng, (n_star, 1), 0.3 * FWHM)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=FIT_SHAPE,
        noise=noise,
        seed=seed,
    )
    result = phot(image, error=field.error, positions=list_starts(start))
    draws = result.posterior["flux"].values.reshape(-1, n_star)
    pull = (draws.mean(axis=0) - flux) / draws.std(axis=0)
    inside = (np.asarray(result["flux_lo"]) < flux) & (flux < np.asarray(result["flux_hi"]))
    return Outcome(pull, inside)
