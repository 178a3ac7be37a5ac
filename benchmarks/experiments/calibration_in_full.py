"""Calibration over the prior: python benchmarks/experiments/calibration_in_full.py [--noise]

With --noise: one mixed prior per noise model, and flux priors other than normal.
"""

from __future__ import annotations

import sys
import time
from itertools import product

from report_rows import Row, print_table

N_GROUP = 1500
FIRST_SEED = 1401
N_NOISE_GROUP = 1000
FIRST_NOISE_SEED = 1501
LEVELS = (0.68, 0.95)
#: Scatter and flux prior.
MODELS = (
    ("ccd", "normal"),
    ("poisson", "positive"),
    ("student", "normal"),
    ("contaminated", "normal"),
    ("normal", "power law"),
    ("normal", "half-normal"),
    ("normal", "log-normal"),
)


def list_rows(outcome, title: str, n_group: int, seed: int) -> list[Row]:
    """Return the lines of one experiment: ranks, coverages, flags."""
    import numpy as np

    ranks = outcome.uniformity()
    worst = ranks[int(np.argmin(ranks["p_value"]))]
    what = f"{title}: least p ({worst['parameter']})"
    p_value, limit = float(worst["p_value"]), float(worst["limit"])
    rows = [Row(what, "uniform", p_value, limit, float("inf"), n_group, seed)]
    for level in LEVELS:
        table = outcome.coverage((level,))
        row = table[int(np.argmax(np.abs(table["coverage"] - table["level"])))]
        what = f"{title}: furthest coverage ({row['parameter']})"
        numbers = (float(row[name]) for name in ("coverage", "low", "high"))
        rows.append(Row(what, f"{level:.2g}", *numbers, n_group, seed))
    for name, asked, table in (
        ("scatter", 1.0, outcome.scatter()),
        ("bias", 0.0, outcome.bias()),
    ):
        judged = table[np.isfinite(table["high"])]
        row = judged[int(np.argmax(np.abs(judged[name] - asked) / (judged["high"] - asked)))]
        what = f"{title}: furthest {name} ({row['parameter']} at {row['by']} {row['from']:.2g})"
        numbers = (float(row[key]) for key in (name, "low", "high"))
        rows.append(Row(what, f"{asked:g}", *numbers, int(row["n"]), seed))
    what = f"{title}: flagged"
    flagged = float(np.mean(np.asarray(outcome.table["flags"]) != 0))
    rows.append(Row(what, "(reported)", flagged, 0.0, 1.0, n_group, seed))
    return rows


def run_designs() -> int:
    """Calibrate every design with width and sky free and fixed."""
    from calibration import DESIGNS, calibrate

    out = 0
    seed = FIRST_SEED
    for design in DESIGNS:
        began = time.perf_counter()
        rows = []
        for sigma_free, sky_free in product((False, True), repeat=2):
            outcome = calibrate(design, N_GROUP, seed, sigma_free=sigma_free, sky_free=sky_free)
            width, sky = ("free" if free else "fixed" for free in (sigma_free, sky_free))
            rows += list_rows(outcome, f"sigma {width}, sky {sky}", N_GROUP, seed)
            seed += 1
        out += print_table(f"Calibration, {design}", rows, began=began)
    return out


def run_models() -> int:
    """Calibrate every noise model and flux prior on single stars and pairs."""
    from calibration import calibrate

    out = 0
    seed = FIRST_NOISE_SEED
    for scatter, flux_prior in MODELS:
        began = time.perf_counter()
        rows = []
        for design, free in product(("single", "pair at 1.0 FWHM"), (False, True)):
            outcome = calibrate(
                design,
                N_NOISE_GROUP,
                seed,
                sigma_free=free,
                sky_free=free,
                scatter=scatter,
                flux_prior=flux_prior,
            )
            title = f"{design}, sigma and sky {'free' if free else 'fixed'}"
            rows += list_rows(outcome, title, N_NOISE_GROUP, seed)
            seed += 1
        out += print_table(
            f"Calibration, {scatter} noise, {flux_prior} flux prior", rows, began=began
        )
    return out


if __name__ == "__main__":
    failed = run_models() if "--noise" in sys.argv[1:] else run_designs()
    sys.exit(1 if failed else 0)
