"""The experiments on companions with many.

    python benchmarks/experiments/companions_in_full.py [pairs] [nulls]

Nulls are 20 over the rate of false positives that they check. Half of the targets without a
companion are of SNR 100, half of SNR 1000; with a wrong PSF the stars are 1 % narrower than it.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from report_rows import Row, print_table

N_PAIR, SEED = 8000, 5130
RATES = (0.01, 0.001)
N_NULL = 20_000
#: Enough to show what a wrong PSF does without its error in the model.
N_SHOWN = 400
SNRS = (100.0, 1000.0)
#: Steps of the nulls' maps, FWHM: the last grid is finer anyway.
STEP = 0.25


def check_pairs() -> list[Row]:
    """Coverage of separation, angle and flux ratio of pairs drawn from the prior."""
    from bands import binomial_band, per_test
    from companions import rank_pairs

    rank = rank_pairs(N_PAIR, SEED)
    rows = []
    for share in (0.68, 0.95):
        band = binomial_band(N_PAIR, share, per_test(6))
        inside = (np.abs(rank - 0.5) < 0.5 * share).mean(axis=0)
        for name, measured in zip(("separation", "angle", "flux ratio"), inside, strict=True):
            what = f"coverage of {name}, {share:.0%}"
            rows.append(Row(what, f"{share:g}", float(measured), *band, N_PAIR, SEED))
    return rows


def check_nulls() -> list[Row]:
    """Targets without a companion whose probability of one is above 1 - rate, even before."""
    from companions import FWHM, SIGMA, search_nulls

    import bayesphot as bp

    step, narrow, modes = STEP * FWHM, 0.99 * SIGMA, bp.PSFError(width=0.01)
    rows = []
    for what, n, settings in (
        ("the PSF known", N_NULL, {}),
        ("PSF 1 % too wide, its error modelled", N_NULL, {"sigma": narrow, "psf_error": modes}),
        ("PSF 1 % too wide, taken as known", N_SHOWN, {"sigma": narrow}),
    ):
        parts = [
            search_nulls(n // len(SNRS), snr, SEED + k, step=step, **settings)
            for k, snr in enumerate(SNRS)
        ]
        for rate in RATES:
            if settings.get("psf_error") is None and "sigma" in settings:
                for snr, part in zip(SNRS, parts, strict=True):
                    label = f"none, SNR {snr:g}, {what}: p_companion > {1 - rate:g}"
                    share = float(np.mean(part > 1.0 - rate))
                    rows.append(Row(label, "shown", share, 0.0, 1.0, part.size, SEED))
                continue
            rows.append(count_nulls(f"none, {what}", np.concatenate(parts), rate))
    return rows


def count_nulls(what: str, p_companion: np.ndarray, rate: float) -> Row:
    """Return the share above 1 - rate, and the largest that a rate allows by chance."""
    from bands import FALSE_ALARM
    from scipy import stats

    n = p_companion.size
    most = stats.binom.isf(FALSE_ALARM, n, rate) / n
    share = float(np.mean(p_companion > 1.0 - rate))
    return Row(f"{what}: p_companion > {1 - rate:g}", f"<= {rate:g}", share, 0.0, most, n, SEED)


CHECKS = {"pairs": check_pairs, "nulls": check_nulls}


def main() -> int:
    """Print the experiments; return the number of rows out of their bands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*CHECKS, []], help="default: all")
    out = 0
    for name in parser.parse_args().names or CHECKS:
        began = time.perf_counter()
        out += print_table(f"Companions: {name}", CHECKS[name](), began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
