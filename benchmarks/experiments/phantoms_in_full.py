"""Phantoms and completeness: python benchmarks/experiments/phantoms_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_FIELD = 1000
#: Kinds of fields: (what, tilted, saturated, seed).
FIELDS = (
    ("flat sky", False, False, 2101),
    ("tilted sky", True, False, 2102),
    ("flat sky, saturated star", False, True, 2103),
    ("tilted sky, saturated star", True, True, 2104),
)
N_STAR = 1024
#: Separation in FWHM from a star ten times brighter, None: alone; signals to noise; seed.
STARS = (
    (None, (5.0, 6.0, 7.0, 8.0, 10.0), 2111),
    (1.0, (6.0, 8.0, 10.0, 12.0), 2112),
    (1.25, (6.0, 7.0, 8.0, 10.0), 2113),
    (1.5, (5.0, 6.0, 7.0, 8.0, 10.0), 2114),
)


def main() -> int:
    """Count fields with phantoms, and the share of stars that are found."""
    from bands import FALSE_ALARM
    from phantoms import count_phantom_fields, measure_completeness
    from scipy import stats

    from bayesphot.accept import ALPHA

    out = 0
    most = stats.binom.isf(FALSE_ALARM, N_FIELD, ALPHA) / N_FIELD
    for what, tilted, saturated, seed in FIELDS:
        began = time.perf_counter()
        spurious, found = count_phantom_fields(N_FIELD, seed, tilted=tilted, saturated=saturated)
        share = spurious / N_FIELD
        rows = [
            Row(f"{what}: with a phantom", f"{ALPHA} or less", share, 0.0, most, N_FIELD, seed),
            Row(f"{what}: stars found", "(reported)", found, 0.0, 1.0, N_FIELD, seed),
        ]
        out += print_table(f"Fields: {what}", rows, began=began)
    for separation, ratios, seed in STARS:
        began = time.perf_counter()
        where = "alone" if separation is None else f"{separation:g} FWHM from a star 10 x brighter"
        rows = []
        for snr in ratios:
            found = measure_completeness(snr, N_STAR, seed, separation=separation)
            rows.append(Row(f"{where}: SNR {snr:g}", "(reported)", found, 0.0, 1.0, N_STAR, seed))
        out += print_table(f"Completeness, {where}", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
