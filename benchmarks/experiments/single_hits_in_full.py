"""Flags of cosmic rays: python benchmarks/experiments/single_hits_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_STAR = 1000
FIRST_SEED = 1951
SNRS = (10.0, 100.0, 1000.0)
#: Name (FWHM with the pixel), sigma of the PSF, sky; of normal noise and of counts.
CASES = (
    ("FWHM 1.6 px, normal", 0.6, False, 100.0),
    ("FWHM 2.0 px, normal", 0.8, False, 100.0),
    ("FWHM 3.6 px, normal", 1.5, False, 100.0),
    ("FWHM 2.0 px, counts, sky 1", 0.8, True, 1.0),
    ("FWHM 3.6 px, counts, sky 100", 1.5, True, 100.0),
)
HITS = (10.0, 20.0)
WIDTHS = (0.95, 1.02, 1.05, 1.1)


def main() -> int:
    """Count flags of clean stars, of stars with a hit in their box, of a PSF of wrong width."""
    import bayesphot as bp

    out, seed = 0, FIRST_SEED
    for name, sigma, counts, sky in CASES:
        began, rows = time.perf_counter(), []
        noise = bp.PoissonNoise() if counts else None
        for snr in SNRS:
            options = {"sigma": sigma, "snr": snr, "noise": noise, "sky": sky}
            rows += list_rates(f"SNR {snr:g}", seed, **options)
            seed += 1
        out += print_table(f"Cosmic-ray flags, {name}", rows, began=began)
    began, rows = time.perf_counter(), []
    for width in WIDTHS:
        for snr in SNRS:
            rows.append(measure_width(width, snr, seed))
            seed += 1
    return out + print_table(
        "Cosmic-ray flags, a PSF of wrong width, FWHM 3.6 px", rows, began=began
    )


def list_rates(what: str, seed: int, **options) -> list[Row]:
    """Return the shares of flagged stars: clean ones, and those with a hit of some height."""
    from single_hits import flag_stars

    clean, _ = flag_stars(N_STAR, seed, hit=0.0, **options)
    # A normal pixel in 1e9 is 6 sigma above its model, and a box has 121.
    rows = [Row(f"{what}: clean", "0", clean.mean(), 0.0, 0.0, N_STAR, seed)]
    for height in HITS:
        hit, near = flag_stars(N_STAR, seed, hit=height, **options)
        text = f"{what}: hit of {height:g} sigma"
        rows += [
            Row(text, "(reported)", hit.mean(), 0.0, 1.0, N_STAR, seed),
            Row(f"{text}, within 2 px", "(reported)", hit[near].mean(), 0.0, 1.0, near.sum(), seed),
        ]
    return rows


def measure_width(width: float, snr: float, seed: int) -> Row:
    """Return the share of clean stars that are flagged where the PSF is too wide or too narrow."""
    from single_hits import flag_stars

    flagged, _ = flag_stars(N_STAR, seed, sigma=1.5, snr=snr, hit=0.0, fitted_sigma=1.5 * width)
    what = f"width x {width:g}, SNR {snr:g}: clean"
    return Row(what, "(reported)", flagged.mean(), 0.0, 1.0, N_STAR, seed)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
