"""Calibration over the prior: python benchmarks/experiments/calibration_in_full.py [OPTION]

With --noise: single stars and pairs, one mixed prior per noise model. With --groups: groups of 1 to
5 at 0.4 to 3 FWHM, SNR 5 to 100, each noise model with a flux prior of its own; those that needed
tempered swarms are counted apart, too. (Hours: --groups ccd poisson are two of the models.)
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
FIRST_GROUPS_SEED = 1541
N_GROUPS_GROUP = 1000
#: Scatter and flux prior.
MODELS = (
    ("ccd", "normal"),
    ("poisson", "positive"),
    ("student", "normal"),
    ("contaminated", "normal"),
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


def run_groups(chosen: list[str]) -> int:
    """Calibrate groups of all sizes under every noise model, or the chosen ones."""
    import numpy as np
    from calibration import MIXED, calibrate

    out = 0
    for k, (scatter, free) in enumerate(product(MIXED, (False, True))):
        if chosen and scatter not in chosen:
            continue
        began = time.perf_counter()
        seed = FIRST_GROUPS_SEED + k
        outcome = calibrate(
            "groups",
            N_GROUPS_GROUP,
            seed,
            sigma_free=free,
            sky_free=free,
            scatter=scatter,
            flux_prior=MIXED[scatter],
        )
        rows = list_rows(outcome, "all", outcome.n_groups, seed)
        swarm = outcome.select(np.asarray(outcome.table["engine"]) == "tempered")
        rows += list_rows(swarm, "tempered", swarm.n_groups, seed)
        title = f"{scatter} noise, {MIXED[scatter]} flux prior"
        out += print_table(
            f"Groups, {title}, sigma and sky {'free' if free else 'fixed'}", rows, began=began
        )
    return out


def main(arguments: list[str]) -> int:
    """Run the experiment that the arguments name."""
    if arguments[:1] == ["--noise"]:
        return run_models()
    if arguments[:1] == ["--groups"]:
        return run_groups(arguments[1:])
    return run_designs()


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
