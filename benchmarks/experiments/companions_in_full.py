"""The experiments on companions with many: python benchmarks/experiments/companions_in_full.py"""

from __future__ import annotations

import sys
import time

import numpy as np
from report_rows import Row, print_table

N_PAIR, N_NULL = 2000, 500
SEED = 5129
SNRS = (30, 100, 300, 1000)


def main() -> int:
    """Coverage of the draws, and targets without a companion that are said to have one."""
    from bands import FALSE_ALARM, binomial_band, per_test
    from companions import rank_pairs, search_nulls
    from scipy import stats

    began = time.perf_counter()
    rows = []
    # A probability of 0.99 from even odds is an evidence ratio of 99.
    most = stats.binom.isf(FALSE_ALARM, N_NULL, 0.01) / N_NULL
    for snr in SNRS:
        share = float(np.mean(search_nulls(N_NULL, snr, SEED) > 0.99))
        rows.append(
            Row(f"none, SNR {snr}: p_companion > 0.99", "<= 0.01", share, 0.0, most, N_NULL, SEED)
        )
    rank = rank_pairs(N_PAIR, SEED)
    for share in (0.68, 0.95):
        band = binomial_band(N_PAIR, share, per_test(6))
        inside = (np.abs(rank - 0.5) < 0.5 * share).mean(axis=0)
        for name, measured in zip(("separation", "angle", "flux ratio"), inside, strict=True):
            what = f"coverage of {name}, {share:.0%}"
            rows.append(Row(what, f"{share:g}", float(measured), *band, N_PAIR, SEED))
    return print_table("Companions", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
