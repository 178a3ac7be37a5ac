"""Saturated stars and their neighbours: python benchmarks/experiments/saturation_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_SCENE = 200
FIRST_SEED = 1901


def main() -> int:
    """Measure scenes of two PSFs, with and without a bled column; look for the stars in them."""
    from saturated import ImageTruth, MoffatTruth

    cases = [
        (f"{name}{', a column bled' if bleeds else ''}", truth, bleeds)
        for name, truth in (("Moffat", MoffatTruth()), ("image", ImageTruth()))
        for bleeds in (False, True)
    ]
    out = 0
    for k, (name, truth, bleeds) in enumerate(cases):
        began, seed = time.perf_counter(), FIRST_SEED + 3 * k
        rows = list_pulls(truth, bleeds, seed, n_test=4 * len(cases))
        rows += list_split(truth, bleeds, seed + 1)
        rows += list_search(truth, bleeds, seed + 2)
        out += print_table(f"Saturated stars, {name}", rows, began=began)
    return out


def list_pulls(truth, bleeds: bool, seed: int, *, n_test: int) -> list[Row]:
    """Return the rows of scenes whose stars are one group."""
    import numpy as np
    from bands import mean_band, per_test, sd_band
    from saturated import measure_scenes

    outcome = measure_scenes(N_SCENE, seed, truth, bleeds=bleeds)
    rows = []
    for what, pull in (("saturated", outcome.saturated), ("neighbours", outcome.neighbour)):
        limit = mean_band(pull.size, false_alarm=per_test(n_test))
        band = sd_band(pull.size, false_alarm=per_test(n_test))
        mean, scatter = float(pull.mean()), float(np.sqrt(np.mean(pull**2)))
        rows += [
            Row(f"{what}: mean of pulls", "0", mean, -limit, limit, pull.size, seed),
            Row(f"{what}: scatter of pulls", "1", scatter, *band, pull.size, seed),
        ]
    hidden, error = outcome.hidden, 100.0 * float(np.median(outcome.error))
    scatter = float(np.sqrt(np.mean(hidden**2)))
    rows += [
        Row("neighbours under the core: scatter", "(reported)", scatter, 0, 9, hidden.size, seed),
        Row("saturated: error, %", "(reported)", error, 0.0, 100.0, N_SCENE, seed),
        Row("flagged SATURATED", "all", outcome.n_flagged / N_SCENE, 1.0, 1.0, N_SCENE, seed),
    ]
    return rows


def list_split(truth, bleeds: bool, seed: int) -> list[Row]:
    """Return the rows of scenes grouped at 1.5 FWHM: neighbours take the wings as they are."""
    import numpy as np
    from saturated import FWHM, measure_scenes

    import bayesphot as bp

    options = {"group_maker": bp.DAOGroup(1.5 * FWHM), "sampler": False}
    grouped = measure_scenes(N_SCENE, seed, truth, bleeds=bleeds, **options)
    pull = grouped.neighbour
    what = "neighbours linked at 1.5 FWHM, least squares"
    scatter = float(np.sqrt(np.mean(pull**2)))
    return [
        Row(f"{what}: mean", "(reported)", float(pull.mean()), -9, 9, pull.size, seed),
        Row(f"{what}: scatter", "(reported)", scatter, 0, 99, pull.size, seed),
    ]


def list_search(truth, bleeds: bool, seed: int) -> list[Row]:
    """Return the rows of the starts of stars that nobody gave."""
    import numpy as np
    from saturated import search_scenes

    search = search_scenes(N_SCENE, seed, truth, bleeds=bleeds)
    found, far = float(search.found.mean()), float(np.quantile(search.offset, 0.95))
    ratio = float(np.median(search.ratio))
    return [
        Row("found without a start", "(reported)", found, 0.0, 1.0, N_SCENE, seed),
        Row("start off by, 95 %, pixels", "(reported)", far, 0.0, 99.0, N_SCENE, seed),
        Row("start of flux over flux, median", "(reported)", ratio, 0.0, 99.0, N_SCENE, seed),
    ]


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
