"""Hard blends: python benchmarks/experiments/clumps_in_full.py [DESIGN]

How many pass every gate of the sampling; means and errors of those beside long tempered runs.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from report_rows import Row, print_table

FIRST_SEED = 1701
#: Groups, the share that is asked for, and groups that are compared.
SIZES = {
    "pair at 0.7": (200, 1.0, 10),
    "pair at 0.5": (200, 0.9, 10),
    "triple at 0.7": (100, 0.9, 10),
    "five at 1.0": (100, 1.0, 10),
    "five at 0.7": (40, None, 3),
    "ten at 1.5": (40, None, 3),
    "ten at 1.0": (20, None, 3),
    "ten at 0.7": (10, None, 3),
}
#: Swarms and particles of the reference.
SWARMS, PARTICLES = 12, 4000


def main(chosen: list[str]) -> int:
    """Sample every design, or the chosen ones."""
    import numpy as np
    from bands import least_fraction, per_test
    from clumps import compare_passing, sample_clumps

    out = 0
    for k, (design, (n_group, asked, n_compared)) in enumerate(SIZES.items()):
        if chosen and design not in chosen:
            continue
        began, seed = time.perf_counter(), FIRST_SEED + k
        clumps = sample_clumps(design, n_group, seed)
        low = 0.0 if asked is None else least_fraction(n_group, asked)
        share = float(clumps.passes.mean())
        text = "(reported)" if asked is None else f"{asked:g}"
        rows = [Row("share that passes", text, share, low, 1.0, n_group, seed)]
        for engine, count in sorted(Counter(clumps.engine).items()):
            rows.append(
                Row(f"sampled by {engine}", "(reported)", count / n_group, 0.0, 1.0, n_group, seed)
            )
        n = min(int(clumps.passes.sum()), n_compared)
        if n:
            outcome = compare_passing(clumps, n, seed=seed, swarms=SWARMS, particles=PARTICLES)
            limit = per_test(outcome.p_value.size)
            least = float(outcome.p_value.min())
            trusted = float(outcome.trusted.mean())
            rows += [
                Row("references that pass", "(reported)", trusted, 0.0, 1.0, n, seed),
                Row("least p of means and variances", "agree", least, limit, float("inf"), n, seed),
                Row(
                    "largest shift of a mean, in errors", "(reported)",
                    float(np.abs(outcome.shift).max()), 0.0, 9.0, n, seed,
                ),
                Row("least error ratio", "(reported)", outcome.ratio.min(), 0.0, 9.0, n, seed),
                Row("largest error ratio", "(reported)", outcome.ratio.max(), 0.0, 9.0, n, seed),
            ]  # fmt: skip
        out += print_table(f"Clumps, {design} FWHM", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
