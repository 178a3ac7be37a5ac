"""Coverage through a wrong PSF: python benchmarks/experiments/wrong_psf_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_STAR = 4000
FIRST_SEED = 1601
WIDTHS = (0.01, 0.03)
SNRS = (30, 100, 300, 1000)


def list_rows(title: str, outcome, seed: int, *, calibrated: bool, alarm: float) -> list[Row]:
    """Return the lines of one run: bias, quoted error, coverages; bands where they must hold."""
    from bands import binomial_band

    def report(what: str, value: float) -> Row:
        return Row(f"{title}: {what}", "(reported)", value, -1.0, 1.0, N_STAR, seed)

    rows = [
        report("mean of median / truth - 1", outcome.off.mean()),
        report("median quoted error", float(sorted(outcome.error)[N_STAR // 2])),
    ]
    for level, inside in ((0.6827, outcome.inside68), (0.95, outcome.inside95)):
        value = float(inside.mean())
        if calibrated:
            low, high = binomial_band(N_STAR, level, alarm)
            what = f"{title}: coverage of {level:.3g}"
            rows.append(Row(what, f"{level:.3g}", value, low, high, N_STAR, seed))
        else:
            rows.append(report(f"coverage of {level:.3g}", value))
    return rows


def main() -> int:
    """Measure every width and signal to noise, without and with the error in the model."""
    from bands import per_test
    from wrong_psf import measure_wrong_psf

    import bayesphot as bp

    out = 0
    seed = FIRST_SEED
    alarm = per_test(2 * len(SNRS))
    for drawn in (False, True):
        for width in WIDTHS:
            began = time.perf_counter()
            rows = []
            for snr in SNRS:
                for error in (None, bp.PSFError(width=width)):
                    outcome = measure_wrong_psf(
                        snr, N_STAR, seed, too_wide=width, drawn=drawn, psf_error=error
                    )
                    title = f"SNR {snr}, {'without' if error is None else 'with'}"
                    calibrated = drawn and error is not None
                    rows += list_rows(title, outcome, seed, calibrated=calibrated, alarm=alarm)
                seed += 1
            kind = f"errors of the width drawn, sd {width:.0%}"
            if not drawn:
                kind = f"every PSF {width:.0%} too wide"
            out += print_table(kind, rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
