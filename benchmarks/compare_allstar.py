"""NGC 6871 against ALLSTAR: a Gaussian PRF of one width for the image, no catalogue as input.

    bayesphot run NGC6871.fits --fwhm 2.2 --fit-sigma --shape image --gain header \
        --zero-point 25 --seed 1 --out ngc6871
    python benchmarks/compare_allstar.py ngc6871 NGC6871.als

ALLSTAR's positions count pixels from 1. The zero point is removed once, as the median difference
of the stars brighter than 17.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.spatial import cKDTree

import bayesphot as bp

#: Largest distance, in pixels, of a match.
MATCH = 1.0
SAMPLING = bp.Flag.HIGH_R_HAT | bp.Flag.LOW_ESS | bp.Flag.HIGH_PARETO_K | bp.Flag.NOT_SAMPLED


def robust_sd(values) -> float:
    """Return 1.4826 times the median absolute deviation."""
    values = np.asarray(values, dtype=float)
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", help="folder that `bayesphot run` wrote")
    parser.add_argument("allstar", help="ALLSTAR's list (.als)")
    arguments = parser.parse_args()
    table = bp.PhotometryResult.read(arguments.result).table
    x, y, mag = np.loadtxt(arguments.allstar, skiprows=3, usecols=(1, 2, 3)).T
    x, y = x - 1.0, y - 1.0
    measured = np.isfinite(table["x_fit"])
    table = table[measured]
    distance, row = cKDTree(np.column_stack([table["x_fit"], table["y_fit"]])).query(
        np.column_stack([x, y])
    )
    near = distance < MATCH
    with np.errstate(invalid="ignore"):
        ours = 25.0 - 2.5 * np.log10(np.asarray(table["flux_median"])[row])
    near &= np.isfinite(ours)
    zero = np.median((ours - mag)[near & (mag < 17.0)])
    dx = np.asarray(table["x_fit"])[row] - x
    dy = np.asarray(table["y_fit"])[row] - y
    print(f"{len(table)} sources, sigma {table['sigma_fit'][0]:.4f}, zero point {zero:+.4f}")
    print("   mag        n  matched   dmag    sd    dx     sd    dy     sd    chi2")
    edges = [(0, 17), (0, 14), (14, 15), (15, 16), (16, 17), (17, 18), (18, 19), (19, 20)]
    for low, high in edges:
        here = (mag >= low) & (mag < high)
        both = here & near
        dmag = (ours - mag)[both] - zero
        print(
            f"  {low:2d}-{high:2d} {here.sum():7d}  {both.sum() / here.sum():6.3f}  "
            f"{np.median(dmag):+.3f} {robust_sd(dmag):.4f} {np.median(dx[both]):+.3f} "
            f"{robust_sd(dx[both]):.4f} {np.median(dy[both]):+.3f} {robust_sd(dy[both]):.4f} "
            f"{np.median(np.asarray(table['reduced_chi2'])[row][both]):7.1f}"
        )
    groups, first = np.unique(table["group_id"], return_index=True)
    flags = np.asarray(table["flags"])[first]
    failed = np.mean((flags & int(SAMPLING)) > 0)
    print(
        f"groups {groups.size}: failing a sampling gate {failed:.4f}, "
        f"with any flag {np.mean(flags > 0):.3f}"
    )


if __name__ == "__main__":
    main()
