"""The experiment on close pairs with many: python benchmarks/experiments/pairs_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_PAIR, N_SINGLE, N_NARROW, N_RESOLVED = 2000, 200, 10, 60
SEED = 4111
#: Separations in FWHM, and SNR of the primary (the companion has half of it).
SEPARATIONS, SNRS = (0.25, 0.5, 0.75, 1.0), (30, 100)


def main() -> int:
    """Coverage of pairs, single stars fitted as two, and how close a pair is resolved."""
    from bands import FALSE_ALARM, binomial_band, per_test
    from pairs import count_resolved, count_split_stars, measure_pairs
    from scipy import stats

    from bayesphot import PSFError

    began = time.perf_counter()
    outcome = measure_pairs(N_PAIR, SEED)
    band = binomial_band(N_PAIR, 0.6827, per_test(3))
    rows = [
        Row(f"pairs: coverage of {name}", "0.683", inside.mean(), *band, N_PAIR, SEED)
        for name, inside in outcome.inside.items()
    ]
    share = outcome.resolved.mean()
    rows.append(Row("pairs: resolved", "(reported)", share, 0.0, 1.0, N_PAIR, SEED))
    most = stats.binom.isf(FALSE_ALARM, N_SINGLE, 0.01) / N_SINGLE
    share = count_split_stars(N_SINGLE, SEED) / N_SINGLE
    rows.append(Row("single: resolved", "0", share, 0.0, most, N_SINGLE, SEED))
    for name, error in (("", None), (", psf_error", PSFError(width=0.05))):
        count = count_split_stars(N_NARROW, SEED, snr=(200.0, 200.0), width=0.95, psf_error=error)
        rows.append(
            Row(f"single, PSF 5 % too narrow{name}: resolved", "(reported)", count / N_NARROW,
                0.0, 1.0, N_NARROW, SEED)
        )  # fmt: skip
    for snr in SNRS:
        for separation in SEPARATIONS:
            share = count_resolved(separation, snr, N_RESOLVED, SEED) / N_RESOLVED
            name = f"SNR {snr} and {snr / 2:g} at {separation} FWHM: resolved"
            rows.append(Row(name, "(reported)", share, 0.0, 1.0, N_RESOLVED, SEED))
    return print_table("Close pairs", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
