"""Close pairs in one image: coverage of separation, angle, magnitudes; single stars fitted as two.

Truths of the pairs are drawn uniformly in the discs about the starts, which are the priors of
the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import FWHM_PER_SIGMA, list_starts, make_field

import bayesphot as bp
from bayesphot.calibration.designs import place_cells
from bayesphot.calibration.truths import draw_in_disc

SIGMA, NOISE, FIT_SHAPE, PITCH = 1.5, 3.0, 13, 32
#: Signal to noise of a flux of 1, its place known.
SNR = 1.0 / (2.0 * np.sqrt(np.pi) * SIGMA * NOISE)
#: A field rotated and of the other parity, so that nothing cancels.
SKY = {"pixel_scale": 0.2, "north": 35.0, "flipped": True}


@dataclass(frozen=True, eq=False)
class PairOutcome:
    """Which intervals hold the truth, and which pairs are called resolved."""

    inside: dict[str, np.ndarray]
    resolved: np.ndarray


def fit_pairs(
    xy, flux, start, seed: int, radius: float, rng, *, width: float = 1.0, psf_error=None
) -> bp.PhotometryResult:
    """Simulate groups of stars and fit each as a pair, prior discs about the starts (G, 2, 2).

    `width` is that of the fit's PSF over the true one.
    """
    field = make_field(rng, xy, flux, sigma=SIGMA, noise=NOISE, pitch=PITCH)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=width * SIGMA),
        psf_error=psf_error,
        fitshape=FIT_SHAPE,
        priors={"position": bp.Disc(radius)},
        group_maker=bp.DAOGroup(0.5 * PITCH),
        seed=seed,
    )
    return phot(field.image, field.error, positions=list_starts(start))


def place_starts(rng, n: int, separation: float) -> np.ndarray:
    """Return starts (n, 2, 2) of pairs in cells, their axes in all directions."""
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    half = 0.5 * separation * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle = place_cells(rng, n, PITCH)
    return np.stack([middle - half, middle + half], axis=1)


def measure_pairs(n: int, seed: int) -> PairOutcome:
    """Simulate pairs at 0.6 to 2.3 FWHM, SNR 20 to 200 each, and see where the truth is."""
    rng = np.random.default_rng(seed)
    start = place_starts(rng, n, 1.45 * SIGMA * FWHM_PER_SIGMA)
    xy = start + draw_in_disc(rng, (n, 2), 1.5)
    flux = np.exp(rng.uniform(np.log(20.0), np.log(200.0), (n, 2))) / SNR
    result = fit_pairs(xy, flux, start, seed, 1.5, rng)
    dx, dy = (xy[:, 1] - xy[:, 0]).T
    truth = {
        "separation_arcsec": SKY["pixel_scale"] * np.hypot(dx, dy),
        # Clockwise from north, whose direction is counterclockwise from +y.
        "position_angle": np.rad2deg(np.arctan2(dx, dy)) + SKY["north"],
        "delta_mag": -2.5 * np.log10(flux[:, 1] / flux[:, 0]),
    }
    inside = {name: np.zeros(n, dtype=bool) for name in truth}
    resolved = np.zeros(n, dtype=bool)
    for g in range(n):
        pair = result.pair(2 * g + 1, 2 * g + 2, **SKY)
        row = pair.summary()[0]
        resolved[g] = pair.resolved
        for name, values in truth.items():
            lo, hi = (row[f"{name}_{end}"].value for end in ("lo", "hi"))
            value = values[g]
            if name == "position_angle":
                value = lo + (value - lo) % 360.0
            inside[name][g] = lo <= value <= hi
    return PairOutcome(inside, resolved)


def count_split_stars(n: int, seed: int, *, snr=(20.0, 200.0), **options) -> int:
    """Fit single stars of a range of SNR as two; return how many are called a resolved pair.

    Two stars at one place are the same image.
    """
    rng = np.random.default_rng(seed)
    start = place_starts(rng, n, 0.7 * SIGMA * FWHM_PER_SIGMA)
    xy = start.mean(axis=1, keepdims=True)
    flux = np.exp(rng.uniform(*np.log(snr), (n, 1))) / SNR
    result = fit_pairs(xy, flux, start, seed, 2.0, rng, **options)
    return sum(result.pair(2 * g + 1, 2 * g + 2).resolved for g in range(n))


def count_resolved(separation: float, snr: float, n: int, seed: int) -> int:
    """Fit pairs at a separation in FWHM, SNR `snr` and half of it; return how many are resolved."""
    rng = np.random.default_rng(seed)
    xy = place_starts(rng, n, separation * SIGMA * FWHM_PER_SIGMA)
    start = xy + draw_in_disc(rng, (n, 2), 0.5)
    flux = np.full((n, 2), snr / SNR) * np.array([1.0, 0.5])
    result = fit_pairs(xy, flux, start, seed, 2.0, rng)
    return sum(result.pair(2 * g + 1, 2 * g + 2).resolved for g in range(n))
