"""Fluxes of stars on a sky that varies: python benchmarks/experiments/skies_in_full.py"""

from __future__ import annotations

import sys
import time

import numpy as np
from report_rows import Row, print_table

import bayesphot as bp

SIDE, N_STAR, WAVE, NOISE, SIGMA = 600, 300, 240.0, 5.0, 1.5
SEEDS = range(11, 17)
#: Waves of 20 and a tilt: what one level for the image misses.
AMPLITUDE, TILT = 20.0, 0.02
INNER, OUTER = 12, 20
ESTIMATORS = {
    "annuli, mode": bp.AnnulusBackground(INNER, OUTER),
    "annuli, mean": bp.AnnulusBackground(INNER, OUTER, bp.MeanBackground()),
    "mesh": bp.MeshBackground(64),
    "one level": bp.MMMBackground(),
}


def main() -> int:
    """Print pulls of 300 stars of each of six images, and the medians of their errors."""
    began = time.perf_counter()
    rows = []
    for name, estimator in ESTIMATORS.items():
        pulls, errors = zip(*(measure(estimator, seed) for seed in SEEDS), strict=True)
        scatter = np.std(pulls, axis=1)
        # Five standard errors of a standard deviation; one level is there for comparison.
        off = 5.0 / np.sqrt(2 * N_STAR)
        low, high = (0.0, np.inf) if name == "one level" else (1.0 - off, 1.0 + off)
        for what, value in (("least", scatter.min()), ("largest", scatter.max())):
            rows.append(
                Row(f"{name}: {what} sd of pulls", "1", float(value), low, high, N_STAR, SEEDS[0])
            )
        error = float(np.median(errors))
        rows.append(
            Row(f"{name}: median error", "(reported)", error, 0.0, np.inf, N_STAR, SEEDS[0])
        )
    return print_table("Skies", rows, began=began)


def measure(estimator, seed: int) -> tuple[np.ndarray, float]:
    """Return pulls (300,) of fluxes, and the median of their errors."""
    y, x = np.mgrid[:SIDE, :SIDE]
    sky = 100.0 + AMPLITUDE * np.sin(2.0 * np.pi * (x + 0.5 * y) / WAVE) + TILT * x
    scene = bp.simulate_scene(
        (SIDE, SIDE), n_sources=N_STAR, sigma=SIGMA, flux_range=(1000, 20000), background=sky,
        noise=NOISE, min_separation=8, border=10, seed=seed,
    )  # fmt: skip
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA), fitshape=11, bkg_estimator=estimator,
        fit_background="prior", group_maker=bp.DAOGroup(7.0), seed=1,
    )  # fmt: skip
    result = phot(scene.image, error=scene.error, positions=scene.truth["x_0", "y_0"])
    error = np.asarray(result["flux_err"])
    return np.asarray(result["flux_median"] - scene.truth["flux"]) / error, float(np.median(error))


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
