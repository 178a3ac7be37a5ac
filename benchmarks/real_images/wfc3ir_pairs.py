"""Close pairs drawn with the undersampled, varying PSF of WFC3/IR F160W: found, and with coverage.

    python benchmarks/real_images/wfc3ir_pairs.py [--n N]

A companion two magnitudes fainter, 0.8 pixels (0.6 FWHM) from a star of SNR 300, anywhere on the
detector, at any phase of the pixel and any angle. As in `wfc3ir_injection`, scipy draws the scene.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import Row, add_options, asked_least, asked_within, find_data, print_table
from wfc3ir_injection import FILE, NOISE, OVERSAMPLING, SIDE, Grid, draw_star, read_grid

import bayesphot as bp

SEED = 161
N_PAIR = 1000
APART, MAGNITUDES, SNR = 0.8, 2.0, 300.0
#: Half side of the stamps.
HALF = 15
NAMES = ("separation", "position angle", "magnitude difference")


@dataclass(frozen=True)
class Pair:
    """A stamp, its error, its first column and row, the target's place on it and the truth."""

    image: np.ndarray
    error: np.ndarray
    corner: np.ndarray
    place: np.ndarray
    angle: float


def find_flux(stamp: np.ndarray) -> float:
    """Return the flux of a star of unit light ``stamp`` whose flux is known to 1 / SNR."""
    flux = SNR * NOISE
    for _step in range(50):
        information = np.sum(stamp**2 / (NOISE**2 + np.maximum(flux * stamp, 0.0)))
        flux = SNR / np.sqrt(information)
    return float(flux)


def draw_pair(grid: Grid, rng) -> Pair:
    """Return a pair."""
    middle = rng.uniform(2 * HALF, SIDE - 2 * HALF, 2)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    corner = np.floor(middle + 0.5).astype(int) - HALF
    flux = find_flux(draw_star(grid, *middle, 1.0, 3)[2])
    light = np.zeros((2 * HALF + 1, 2 * HALF + 1))
    companion = middle + APART * np.array([np.cos(angle), np.sin(angle)])
    for place, share in ((middle, 1.0), (companion, 10.0 ** (-0.4 * MAGNITUDES))):
        rows, columns, stamp = draw_star(grid, *place, share * flux, 3)
        light[np.ix_(rows - corner[1], columns - corner[0])] += stamp
    error = np.sqrt(NOISE**2 + np.maximum(light, 0.0))
    image = light + rng.normal(0.0, 1.0, light.shape) * error
    return Pair(image, error, corner, middle - corner, angle)


def measure_pair(psf: bp.GriddedPSF, pair: Pair, rng, seed: int) -> tuple[float, bool, np.ndarray]:
    """Return p_companion, whether the pair is resolved, and the truth's ranks."""
    moved = bp.GriddedPSF(psf.data, psf.positions - pair.corner, oversampling=OVERSAMPLING)
    start = pair.place + rng.uniform(-0.35, 0.35, 2)
    found = bp.companion_map(pair.image, moved, tuple(start), error=pair.error)
    draws = found.confirm(seed=seed).pair()
    # A position angle is counted from +y towards -x.
    truth = np.degrees(pair.angle) - 90.0
    off = (draws.position_angle - truth + 180.0) % 360.0 - 180.0
    rank = [draws.separation < APART, off < 0.0, draws.delta_mag < MAGNITUDES]
    return found.p_companion, draws.resolved, np.array([np.mean(part) for part in rank])


def measure(folder: Path, *, n: int = N_PAIR) -> list[Row]:
    """Return the rows: how many are found, and how often intervals hold the truth."""
    from bands import binomial_band, per_test

    grid, psf = read_grid(folder / FILE), bp.read_psf(folder / FILE)
    rng = np.random.default_rng(SEED)
    found, resolved, ranks = [], [], []
    for k in range(n):
        each = measure_pair(psf, draw_pair(grid, rng), rng, k)
        for values, value in zip((found, resolved, ranks), each, strict=True):
            values.append(value)
    share = float(np.mean(np.array(found) > 0.999))
    rows = [
        asked_least("found: p_companion > 0.999", share, 0.99, n, SEED),
        asked_least("resolved", float(np.mean(resolved)), 0.9, n, SEED),
    ]
    for level in (0.68, 0.95):
        inside = (np.abs(np.array(ranks) - 0.5) < 0.5 * level).mean(axis=0)
        band = binomial_band(n, level, per_test(6))
        for name, value in zip(NAMES, inside, strict=True):
            rows.append(asked_within(f"{name}: coverage of {level:.0%}", value, band, n, SEED))
    return rows


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    parser = add_options(__doc__)
    parser.add_argument("--n", type=int, default=N_PAIR, help="pairs")
    options = parser.parse_args()
    began = time.perf_counter()
    rows = measure(find_data(options.data), n=options.n)
    return print_table("WFC3/IR: pairs", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
