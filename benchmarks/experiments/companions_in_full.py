"""The experiments on companions with many.

    python benchmarks/experiments/companions_in_full.py [NAME ...]

NAME is of circles, pairs, nulls, ladder, bounds and speed: all, if none is given. Nulls are 20 over
the rate of false positives that they check. Half of the targets without a companion are of SNR 100,
half of SNR 1000; with a wrong PSF the stars are 1 % narrower than it. The map's evidence is
compared with the ladder's where a companion is seen, 0.75 FWHM or more away. The speed is that of
two cores that do nothing else.
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
#: Targets whose single places are looked at.
N_CIRCLE = 5000
#: Pairs that are confirmed, and pairs of each separation whose errors are compared with bounds.
N_CONFIRM, N_BOUND = 300, 20
SEEN, CLEAR = 0.99, 0.75
#: Largest differences: of ln(evidence), asked; of contrasts, mag, also nearer than CLEAR.
MOST_LOG, MOST_MAG, MOST_MAG_NEAR = 0.3, 0.15, 0.3
#: Enough to show what a wrong PSF does without its error in the model.
N_SHOWN = 400
SNRS = (100.0, 1000.0)
#: Injections that are timed: FWHM, mag, and of each; processes, the most seconds, images without.
APART, FAINTER, N_EACH = np.linspace(0.5, 3.0, 10), np.linspace(0.0, 7.0, 20), 200
N_JOBS, MOST_SECONDS, N_TIMED_NULL = 2, 600.0, 200
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


def check_ladder() -> list[Row]:
    """The map's evidence ratio less that of the ladder of samplers."""
    from companions import FWHM, MODEL, PRIOR, RADIUS, draw_pair, simulate

    import bayesphot as bp

    rng = np.random.default_rng(SEED)
    off, seconds = [], []
    for k in range(N_CONFIRM):
        target, flux, move, ratio = draw_pair(rng)
        image, error = simulate(target, flux, move, ratio, rng)
        found = bp.companion_map(
            image, MODEL, (20.0, 20.0), error=error,
            prior=PRIOR, radius=RADIUS,
        )  # fmt: skip
        if not (found.p_companion > SEEN and np.hypot(*move) >= CLEAR * FWHM):
            continue
        began = time.perf_counter()
        confirmed = found.confirm(seed=k)
        seconds.append(time.perf_counter() - began)
        off.append(found.log_evidence_ratio - confirmed.log_evidence_ratio)
    size, n = np.abs(off), len(off)
    rows = [
        Row(f"{what} of |map - ladder|, ln(evidence)", f"<= {MOST_LOG:g}", float(value),
            0.0, MOST_LOG, n, SEED)
        for what, value in (("median", np.median(size)), ("99 %", np.quantile(size, 0.99)))
    ]  # fmt: skip
    slowest = float(np.quantile(seconds, 0.95))
    return [*rows, Row("95 % of confirmations, s", "<= 2", slowest, 0.0, 2.0, n, SEED)]


def check_bounds() -> list[Row]:
    """Contrast limits of maps and of recovered pairs less their Fisher bounds, mag."""
    from contrast_bounds import SEPARATIONS, compare_map, compare_pairs

    rows = []
    for snr in SNRS:
        compared = compare_map(snr, SEED)
        for apart in SEPARATIONS:
            most = MOST_MAG if apart >= CLEAR else MOST_MAG_NEAR
            pairs = compare_pairs(snr, apart, N_BOUND, SEED)
            for what, (limit, bound), n in (
                ("map, place known", compared[apart], 1),
                ("pairs, place free", pairs, N_BOUND),
            ):
                label = f"SNR {snr:g}, {apart:g} FWHM, {what}: limit {limit:.2f}, bound {bound:.2f}"
                off = limit - bound
                rows.append(Row(label, f"within {most:g}", off, -most, most, n, SEED))
    return rows


def check_circles() -> list[Row]:
    """Single places of targets without a companion beyond three errors, above."""
    from bands import binomial_band, per_test
    from companions import CIRCLES, search_circles
    from scipy.stats import norm

    found = search_circles(N_CIRCLE, SNRS[0], SEED)
    rows = []
    for apart in CIRCLES:
        values = found[apart]
        n = values.shape[0] * values.shape[1]
        beyond = (values > 3.0).mean(axis=(0, 1))
        share = float(norm.sf(3.0))
        label = f"places at {apart:g} FWHM ({values.shape[1]}) beyond three errors"
        band = binomial_band(n, share, per_test(len(CIRCLES)))
        rows.append(Row(label, f"{share:.3g}", float(beyond[0]), *band, n, SEED))
        rows.append(Row(f"{label} of the others", "shown", float(beyond[1]), 0.0, 1.0, n, SEED))
    return rows


def check_speed() -> list[Row]:
    """Seconds of a completeness map, all included."""
    from companions import FWHM, MODEL, PRIOR, find_flux, simulate

    import bayesphot as bp

    rng = np.random.default_rng(SEED)
    rows = []
    for snr in SNRS:
        image, error = simulate((20.3, 19.8), find_flux(snr), (0, 0), 0.0, rng)
        found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, prior=PRIOR)
        nulls = found.calibrate_false_positives(N_TIMED_NULL, seed=SEED, n_jobs=N_JOBS)
        began = time.perf_counter()
        found.recover(
            separations=APART * FWHM, delta_mags=FAINTER, n=N_EACH, false_positives=nulls,
            rate=20.0 / N_TIMED_NULL, seed=SEED, n_jobs=N_JOBS,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        n = APART.size * FAINTER.size * N_EACH
        label = f"SNR {snr:g}: seconds of {n} injections on {N_JOBS} cores"
        rows.append(Row(label, f"{MOST_SECONDS:g}", seconds, 0.0, MOST_SECONDS, n, SEED))
    return rows


CHECKS = {
    "circles": check_circles,
    "pairs": check_pairs,
    "nulls": check_nulls,
    "ladder": check_ladder,
    "bounds": check_bounds,
    "speed": check_speed,
}


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
