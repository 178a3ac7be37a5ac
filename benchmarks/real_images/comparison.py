"""What comparisons with a reference share: where the data lie, matches, robust numbers, rows."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

#: The table of asked and measured is that of the experiments.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))
from report_rows import Row, print_table

__all__ = [
    "Row",
    "add_options",
    "asked_least",
    "asked_most",
    "asked_within",
    "find_data",
    "match_nearest",
    "print_table",
    "robust_sd",
]


def robust_sd(values) -> float:
    """Return 1.4826 times the median absolute deviation, NaN of nothing."""
    values = np.asarray(values, dtype=float)
    if values.size == 0:
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def match_nearest(x, y, to_x, to_y, *, radius: float) -> np.ndarray:
    """Return for each (x, y) the row of its match, -1 for none: each is the other's nearest."""
    ours, theirs = np.column_stack([to_x, to_y]), np.column_stack([x, y])
    distance, row = cKDTree(ours).query(theirs)
    _, back = cKDTree(theirs).query(ours)
    mutual = back[row] == np.arange(len(theirs))
    return np.where((distance < radius) & mutual, row, -1)


def find_data(folder: str | None) -> Path:
    """Return the folder of images: the one given, else that of BAYESPHOT_TEST_DATA."""
    named = folder or os.environ.get("BAYESPHOT_TEST_DATA")
    if not named:
        raise SystemExit("give the folder of images, or set BAYESPHOT_TEST_DATA")
    if not Path(named).is_dir():
        raise SystemExit(f"no folder {named}")
    return Path(named)


def add_options(docstring: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all comparisons have."""
    parser = argparse.ArgumentParser(description=docstring.splitlines()[0])
    parser.add_argument("--data", help="folder of images; default: BAYESPHOT_TEST_DATA")
    parser.add_argument(
        "--n-jobs", type=int, default=2, help="threads; results do not depend on it"
    )
    return parser


def asked_least(what: str, measured: float, least: float, n: int, seed: int) -> Row:
    """Return the row of a number that must be large."""
    return Row(what, f"≥ {least:g}", float(measured), least, float("inf"), int(n), seed)


def asked_most(what: str, measured: float, most: float, n: int, seed: int) -> Row:
    """Return the row of a number that must be small and cannot be negative."""
    return Row(what, f"≤ {most:g}", float(measured), 0.0, most, int(n), seed)


def asked_within(what: str, measured: float, band: tuple[float, float], n: int, seed: int) -> Row:
    """Return the row of a number that must lie in a band."""
    return Row(what, f"{band[0]:g} to {band[1]:g}", float(measured), *band, int(n), seed)
