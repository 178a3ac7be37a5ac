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
#: Scatter and flux prior.
MODELS = (
    ("ccd", "normal"),
    ("poisson", "normal"),
    ("student", "normal"),
    ("contaminated", "normal"),
    ("normal", "power law"),
    ("normal", "half-normal"),
    ("normal", "log-normal"),
)


def list_rows(outcome, title: str, n_group: int, seed: int) -> list[Row]:
    """Return the lines of one experiment: ranks, coverages, flags."""
    from bands import binomial_band, per_test

    p_values = outcome.p_values()
    alarm = per_test(len(p_values))
    worst = min(p_values, key=p_values.get)
    what = f"{title}: least p ({worst})"
    rows = [Row(what, "uniform", p_values[worst], alarm, float("inf"), n_group, seed)]
    for level in (0.68, 0.94):
        low, high = binomial_band(n_group, level, alarm)
        values = {name: outcome.coverage(name, level) for name in p_values}
        name = max(values, key=lambda name: abs(values[name] - level))
        what = f"{title}: furthest coverage ({name})"
        rows.append(Row(what, f"{level:.2g}", values[name], low, high, n_group, seed))
    what = f"{title}: flagged"
    rows.append(Row(what, "(reported)", outcome.flagged, 0.0, 1.0, n_group, seed))
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
