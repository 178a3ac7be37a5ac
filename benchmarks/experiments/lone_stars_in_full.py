"""Flux bias and Cramer-Rao limit: python benchmarks/experiments/lone_stars_in_full.py"""

from __future__ import annotations

import sys
import time

import numpy as np
from report_rows import Row, print_table

N_STAR = 8000
BIAS = ((5, 1301), (10, 1302))
LIMIT = ((10, 1311), (30, 1312), (100, 1313), (300, 1314))


def main() -> int:
    """Measure biases with posteriors, scatters with least squares only."""
    from bands import binomial_band, mean_band, sd_band
    from lone_stars import measure_lone_stars

    began = time.perf_counter()
    rows = []
    for snr, seed in BIAS:
        outcome = measure_lone_stars(snr, N_STAR, seed)
        centre = snr**-2
        band = mean_band(N_STAR, outcome.fit.std())
        low, high = centre - band, centre + band + 4 * snr**-4
        value = outcome.fit.mean()
        rows.append(
            Row(f"SNR {snr}: bias of optimum", f"{centre:+.2g}", value, low, high, N_STAR, seed)
        )
        band = mean_band(N_STAR, outcome.mean.std())
        value = outcome.mean.mean()
        rows.append(
            Row(f"SNR {snr}: bias of posterior mean", "0", value, -band, band, N_STAR, seed)
        )
        low, high = binomial_band(N_STAR, 0.6827)
        value = outcome.inside68.mean()
        rows.append(Row(f"SNR {snr}: 68 % coverage", "0.683", value, low, high, N_STAR, seed))
    for snr, seed in LIMIT:
        outcome = measure_lone_stars(snr, N_STAR, seed, sample=False)
        low, high = sd_band(N_STAR)
        value = float(np.sqrt(np.mean(outcome.over_limit**2)))
        high = min(high * (1 + snr**-2), 1.05)
        rows.append(Row(f"SNR {snr}: rms / limit", "0.95 to 1.05", value, low, high, N_STAR, seed))
    return print_table("Isolated stars", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
