"""Calibration over the prior: python benchmarks/experiments/calibration_in_full.py"""

from __future__ import annotations

import sys
import time
from itertools import product

from report_rows import Row, print_table

N_GROUP = 1500
FIRST_SEED = 1401


def main() -> int:
    """Calibrate every design with width and sky free and fixed."""
    from bands import binomial_band, per_test
    from calibration import DESIGNS, calibrate

    out = 0
    seed = FIRST_SEED
    for design in DESIGNS:
        began = time.perf_counter()
        rows = []
        for sigma_free, sky_free in product((False, True), repeat=2):
            outcome = calibrate(design, N_GROUP, seed, sigma_free=sigma_free, sky_free=sky_free)
            width, sky = ("free" if free else "fixed" for free in (sigma_free, sky_free))
            title = f"sigma {width}, sky {sky}"
            p_values = outcome.p_values()
            alarm = per_test(len(p_values))
            worst = min(p_values, key=p_values.get)
            inf = float("inf")
            rows.append(
                Row(
                    f"{title}: least p ({worst})",
                    "uniform",
                    p_values[worst],
                    alarm,
                    inf,
                    N_GROUP,
                    seed,
                )
            )
            for level in (0.68, 0.94):
                low, high = binomial_band(N_GROUP, level, alarm)
                values = {name: outcome.coverage(name, level) for name in p_values}
                name = max(values, key=lambda name: abs(values[name] - level))
                what = f"{title}: furthest coverage ({name})"
                rows.append(Row(what, f"{level:.2g}", values[name], low, high, N_GROUP, seed))
            what = f"{title}: flagged"
            rows.append(Row(what, "(reported)", outcome.flagged, 0.0, 1.0, N_GROUP, seed))
            seed += 1
        out += print_table(f"Calibration, {design}", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
