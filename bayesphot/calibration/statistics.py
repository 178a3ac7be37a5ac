"""What ranks and pulls say: uniformity, coverage, scatter and bias, each with its band.

Under a correct posterior the truth is one more draw. So ranks are uniform (Talts et al. 2018),
and in bins of anything that is made from the data pulls have mean 0 and mean square 1, whatever
the shape of the posterior; how far a mean of pulls may lie off follows from pulls of the draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.calibration.bands import (
    binomial_band,
    normal_limit,
    per_test,
    rank_p_value,
    sd_band,
)

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["choose_bins", "count_inside", "split_evenly", "tabulate_bias", "tabulate_coverage",
           "tabulate_scatter", "tabulate_uniformity"]  # fmt: skip

#: Smallest number of ranks in a bin of the histogram, on average.
PER_BIN = 10
#: Smallest number of sources of a bin that a band is made for.
FEWEST = 30
#: Edges of the bins of blending.
BLEND_EDGES = (0.0, 0.01, 0.1, 0.3, 0.6, 1.0)
#: Bins of the signal-to-noise ratio, equally full.
SNR_BINS = 5


def choose_bins(n: int, n_ranks: int) -> int:
    """Return the number of bins of a histogram of n ranks: 20, or fewer where they are few."""
    fitting = [b for b in (20, 10, 5, 4, 2) if n_ranks % b == 0 and n >= PER_BIN * b]
    return fitting[0] if fitting else 2


def tabulate_uniformity(
    ranks: Mapping[str, np.ndarray], n_ranks: int, false_alarm: float
) -> QTable:
    """Return the p-value of uniform ranks of each parameter, and the least that is credible."""
    from astropy.table import QTable

    limit = per_test(len(ranks), false_alarm)
    rows = []
    for name, all_ranks in ranks.items():
        rank = all_ranks[all_ranks >= 0]
        n_bin = choose_bins(rank.size, n_ranks)
        p_value = rank_p_value(rank, n_ranks, n_bin)
        rows.append((name, rank.size, n_bin, p_value, limit, p_value >= limit))
    names = ("parameter", "n", "n_bins", "p_value", "limit", "holds")
    table = QTable(rows=rows, names=names)
    table["p_value"].info.format = table["limit"].info.format = ".3g"
    return table


def count_inside(rank: np.ndarray, n_ranks: int, level: float) -> tuple[int, float]:
    """Return how many truths are among the middle ranks, and the share that should be.

    The middle ranks are the even number that is nearest to ``level * n_ranks``. A group that
    was not sampled (rank -1) is outside.
    """
    half = round(0.5 * level * n_ranks)
    inside = np.abs(rank + 0.5 - 0.5 * n_ranks) <= half
    return int(np.count_nonzero(inside)), 2.0 * half / n_ranks


def tabulate_coverage(
    ranks: Mapping[str, np.ndarray], n_ranks: int, levels: tuple[float, ...], false_alarm: float
) -> QTable:
    """Return the share of truths inside the central intervals, and its binomial band."""
    from astropy.table import QTable

    alarm = per_test(len(ranks) * len(levels), false_alarm)
    rows = []
    for name, rank in ranks.items():
        for level in levels:
            inside, asked = count_inside(rank, n_ranks, level)
            low, high = binomial_band(rank.size, asked, alarm)
            share = inside / rank.size
            rows.append((name, asked, rank.size, share, low, high, low <= share <= high))
    names = ("parameter", "level", "n", "coverage", "low", "high", "holds")
    table = QTable(rows=rows, names=names)
    for name in ("coverage", "low", "high"):
        table[name].info.format = ".3f"
    return table


def split_evenly(values: np.ndarray, n_bin: int) -> np.ndarray:
    """Return edges of bins that are equally full."""
    return np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bin + 1)))


def _list_bins(columns: Mapping[str, np.ndarray], by: str):
    """Yield (low, high, rows) of the bins of a data-derived quantity that are not empty."""
    values = np.asarray(columns[by], dtype=float)
    sampled = np.isfinite(values) & np.isfinite(columns["snr"])
    if not sampled.any():
        return
    edges = split_evenly(values[sampled], SNR_BINS) if by == "snr" else np.array(BLEND_EDGES)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(edges.size - 2, 0))
    for k in range(max(edges.size - 1, 1)):
        rows = np.flatnonzero((place == k) & sampled)
        if rows.size:
            yield float(edges[k]), float(edges[min(k + 1, edges.size - 1)]), rows


def _list_cells(columns, pulls, names, quantities):
    """Yield what names a bin, pulls of its truths and of its draws, and mean - truth."""
    for by in quantities:
        for low, high, rows in _list_bins(columns, by):
            for name in names:
                off = (columns[f"{name}_mean"] - columns[f"{name}_true"])[rows]
                cell = (by, low, high, name, off.size)
                yield cell, off / columns[f"{name}_err"][rows], pulls[name][rows], off


def tabulate_scatter(
    columns: Mapping[str, np.ndarray],
    pulls: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    false_alarm: float,
) -> QTable:
    """Return the scatter over the quoted error in bins of SNR and of blending.

    The band is that of chi-squared with as many degrees of freedom as give the variance that
    the mean square of the draws' pulls has over draws: mates of a group count as the blend they
    are.
    """
    from astropy.table import QTable

    cells = list(_list_cells(columns, pulls, names, ("snr", "blend_var_frac")))
    alarm = per_test(len(cells), false_alarm)
    rows = []
    for cell, true, drawn, _ in cells:
        low, high = 0.0, np.inf
        if true.size >= FEWEST:
            spread = float(np.var(np.mean(drawn.astype(float) ** 2, axis=0), ddof=1))
            low, high = sd_band(2.0 / spread, alarm)
        scatter = float(np.sqrt(np.mean(true**2)))
        rows.append((*cell, scatter, low, high, bool(low <= scatter <= high)))
    names_out = ("by", "from", "to", "parameter", "n", "scatter", "low", "high", "holds")
    return _format_bins(QTable(rows=rows, names=names_out), ("scatter", "low", "high"))


def tabulate_bias(
    columns: Mapping[str, np.ndarray],
    pulls: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    false_alarm: float,
) -> QTable:
    """Return the mean of (posterior mean - truth) / error in bins of SNR, and its band.

    ``offset`` is the mean of posterior mean - truth, in the unit of the parameter.
    """
    from astropy.table import QTable

    cells = list(_list_cells(columns, pulls, names, ("snr",)))
    limit = normal_limit(per_test(len(cells), false_alarm))
    rows = []
    for cell, true, drawn, off in cells:
        high = np.inf
        if true.size >= FEWEST:
            high = limit * float(np.std(drawn.mean(axis=0, dtype=float), ddof=1))
        bias = float(true.mean())
        rows.append((*cell, bias, -high, high, abs(bias) <= high, float(off.mean())))
    names_out = ("by", "from", "to", "parameter", "n", "bias", "low", "high", "holds", "offset")
    table = _format_bins(QTable(rows=rows, names=names_out), ("bias", "low", "high"))
    table["offset"].info.format = ".3g"
    return table


def _format_bins(table: QTable, numbers: tuple[str, ...]) -> QTable:
    """Return the table, shown with few digits."""
    for name in numbers:
        table[name].info.format = ".3f"
    for name in ("from", "to"):
        table[name].info.format = ".3g"
    return table
