"""Stars under cosmic rays: python benchmarks/experiments/cosmic_rays_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_STAR = 2000
FIRST_SEED = 1801
SNRS = (20.0, 100.0)


def main() -> int:
    """Measure stars of two brightnesses under every noise model that takes an error."""
    import numpy as np
    from cosmic_rays import measure_under_rays

    import bayesphot as bp

    models = (
        None,
        bp.StudentTNoise(3.0),
        bp.StudentTNoise(5.0),
        bp.ContaminatedGaussian(0.02, 100.0),
    )
    out = 0
    for k, model in enumerate(models):
        began, rows = time.perf_counter(), []
        for j, snr in enumerate(SNRS):
            seed = FIRST_SEED + k * len(SNRS) + j
            outcome = measure_under_rays(snr, N_STAR, seed, noise=model)
            limit, low, high = (0.1, 0.66, 0.76) if model is not None else (999.0, 0.0, 1.0)
            asked = "at most 0.1" if model is not None else "(reported)"
            mean, middle = float(outcome.pull.mean()), float(np.median(outcome.pull))
            inside, scatter = float(outcome.inside.mean()), float(outcome.pull.std())
            numbers = (
                ("mean of pulls", asked, mean, -limit, limit),
                ("median of pulls", "(reported)", middle, -9.0, 9.0),
                ("scatter of pulls", "(reported)", scatter, 0.0, 999.0),
                ("68 % coverage", "0.66 to 0.76", inside, low, high),
            )
            rows += [Row(f"SNR {snr:g}: {what}", *rest, N_STAR, seed) for what, *rest in numbers]
        name = "normal noise" if model is None else repr(model)
        out += print_table(f"Cosmic rays, {name}", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
