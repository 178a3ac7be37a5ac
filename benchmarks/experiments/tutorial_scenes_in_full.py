"""The tutorial's scenes, 400 reruns: python benchmarks/experiments/tutorial_scenes_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_RERUN = 400
SEED_PAIR, SEED_FOUR = 12_000, 13_000


def rows_of(outcome, n_wanted: int, seed: int, title: str) -> list[Row]:
    """Return the rows of one set of reruns."""
    from bands import binomial_band, least_fraction, per_test

    n = len(outcome.place)
    right = float((outcome.n_row == n_wanted).mean())
    least = least_fraction(len(outcome.n_row), 0.97) if n_wanted == 2 else 0.0
    asked = "0.97 or more" if n_wanted == 2 else "(reported)"
    rows = [Row(f"{title}: {n_wanted} rows", asked, right, least, 1.0, len(outcome.n_row), seed)]
    for level in (0.6827, 0.95):
        low, high = binomial_band(n, level)
        joint = outcome.joint_coverage(level)
        rows.append(Row(f"{title}: joint coverage", f"{level:.3g}", joint, low, high, n, seed))
        low, high = binomial_band(n, level, per_test(len(outcome.names)))
        for name, value in zip(outcome.names, outcome.coverage(level), strict=True):
            rows.append(Row(f"{title}: {name}", f"{level:.3g}", float(value), low, high, n, seed))
    return rows


def main() -> int:
    """Rerun both scenes."""
    from tutorial_scenes import rerun_four, rerun_pair

    out = 0
    for niters in (2, 3, None):
        began = time.perf_counter()
        outcome = rerun_pair(N_RERUN, SEED_PAIR, niters=niters)
        title = f"niters={niters}"
        rows = rows_of(outcome, 2, SEED_PAIR, title)
        rows.append(
            Row(f"{title}: most rounds", "(ends)", outcome.ended.max(), 1, 20, N_RERUN, SEED_PAIR)
        )
        out += print_table(f"Second scene, {title}", rows, began=began)
    for centroids in ("free", "fixed"):
        began = time.perf_counter()
        outcome = rerun_four(N_RERUN, SEED_FOUR, centroids=centroids)
        rows = rows_of(outcome, 4, SEED_FOUR, centroids)
        out += print_table(f"First scene, centroids {centroids}", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
