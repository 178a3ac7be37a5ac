"""The picture of a calibration: ranks, coverage, scatter and bias, each with its band."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.calibration.bands import (
    FALSE_ALARM,
    binomial_band,
    ecdf_limit,
    per_test,
)
from bayesphot.calibration.statistics import choose_bins, count_inside
from bayesphot.plotting.figure import (
    BLACK,
    BLUE,
    CHAIN_COLOURS,
    GREY,
    VERMILION,
    make_figure,
    save_figure,
)

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesphot.calibration.result import CalibrationResult

__all__ = ["plot_calibration"]

#: Histograms in a row.
PER_ROW = 4
#: Levels of the coverage curve.
CURVE = np.arange(0.02, 1.0, 0.02)
BAND = {"color": GREY, "alpha": 0.25, "linewidth": 0.0}
EDGE = {"color": GREY, "linewidth": 0.8, "linestyle": "--"}
TITLES = {"flux_sum": "sum of fluxes", "flux_difference": "difference of fluxes"}


def plot_calibration(result: CalibrationResult, *, path=None) -> Figure:
    """Draw a calibration; see `CalibrationResult.plot`.

    A correct program leaves the grey of any one panel once in 10 000 pictures.
    """
    # A group that was not sampled has no rank; the coverage counts it as outside.
    whole = result.ranks
    ranks = {name: rank[rank >= 0] for name, rank in whole.items()}
    colour = dict(zip(ranks, cycle(CHAIN_COLOURS), strict=False))
    n_row = -(-len(ranks) // PER_ROW)
    figure = make_figure((11.0, 2.1 * n_row + 5.6))
    top, bottom = figure.subfigures(2, 1, height_ratios=(2.1 * n_row, 5.3))
    panels = top.subplots(n_row, min(PER_ROW, len(ranks)), squeeze=False, sharex=True).ravel()
    for panel, (name, rank) in zip(panels, ranks.items(), strict=False):
        _draw_histogram(panel, rank, result.n_ranks, colour[name])
        panel.set_title(f"{TITLES.get(name, name)}, n = {rank.size}", fontsize=9)
    for panel in panels[len(ranks) :]:
        panel.remove()
    top.supxlabel("rank of the truth / number of ranks", fontsize=9)
    axes = bottom.subplots(2, 3)
    _draw_ecdf(axes[0, 0], ranks, result.n_ranks, colour)
    _draw_coverage(axes[0, 1], whole, result.n_ranks, colour)
    _draw_legend(axes[0, 2], colour, result)
    scatter, bias = result.scatter(), result.bias()
    _draw_bins(axes[1, 0], scatter[scatter["by"] == "snr"], "scatter", 1.0, colour)
    blends = scatter[scatter["by"] == "blend_var_frac"]
    _draw_bins(axes[1, 1], blends, "scatter", 1.0, colour)
    _draw_bins(axes[1, 2], bias, "bias", 0.0, colour)
    return save_figure(figure, path)


def _draw_histogram(panel: Axes, rank: np.ndarray, n_ranks: int, colour: str) -> None:
    """Draw the ranks of one parameter, over the number expected in a bin."""
    n_bin = choose_bins(rank.size, n_ranks)
    count = np.bincount(rank * n_bin // n_ranks, minlength=n_bin)
    edges = np.linspace(0.0, 1.0, n_bin + 1)
    low, high = binomial_band(rank.size, 1.0 / n_bin, per_test(n_bin))
    panel.axhspan(low * n_bin, high * n_bin, **BAND)
    panel.axhline(1.0, color=BLACK, linewidth=0.7)
    panel.stairs(count * n_bin / rank.size, edges, fill=True, color=colour, alpha=0.45)
    panel.stairs(count * n_bin / rank.size, edges, color=colour, linewidth=1.0)
    panel.set_xlim(0.0, 1.0)
    panel.set_ylim(0.0, max(1.3 * high * n_bin, 1.05 * np.max(count) * n_bin / rank.size))


def _count_ranks(ranks) -> tuple[int, int]:
    """Return the number of ranks of parameters, and of those that only blends have."""
    sizes = [rank.size for rank in ranks.values()]
    return max(sizes), min(sizes)


def _draw_ecdf(panel: Axes, ranks, n_ranks: int, colour) -> None:
    """Draw the distribution of the ranks less the uniform one."""
    place = np.arange(1, n_ranks) / n_ranks
    most, fewest = _count_ranks(ranks)
    limit = ecdf_limit(most, per_test(len(ranks)))
    panel.axhspan(-limit, limit, **BAND)
    if fewest < most:
        limit = ecdf_limit(fewest, per_test(len(ranks)))
        for end in (-limit, limit):
            panel.axhline(end, **EDGE)
    for name, rank in ranks.items():
        below = np.cumsum(np.bincount(rank, minlength=n_ranks))[:-1] / rank.size
        panel.plot(place, below - place, color=colour[name], linewidth=1.1)
    _finish(panel, "rank / number of ranks", "distribution - uniform", 0.0)
    panel.set_title("ranks", fontsize=9)
    panel.set_xlim(0.0, 1.0)


def _draw_coverage(panel: Axes, ranks, n_ranks: int, colour) -> None:
    """Draw the coverage of central intervals less their probability."""
    for name, rank in ranks.items():
        inside, asked = np.array([count_inside(rank, n_ranks, level) for level in CURVE]).T
        panel.plot(asked, inside / rank.size - asked, color=colour[name], linewidth=1.1)
    alarm = per_test(len(ranks) * CURVE.size)
    most, fewest = _count_ranks(ranks)
    low, high = np.array([binomial_band(most, level, alarm) for level in asked]).T
    panel.fill_between(asked, low - asked, high - asked, **BAND)
    if fewest < most:
        ends = np.array([binomial_band(fewest, level, alarm) for level in asked])
        panel.plot(asked, ends - asked[:, None], **EDGE)
    _finish(panel, "probability of the interval", "coverage - probability", 0.0)
    panel.set_title("coverage", fontsize=9)
    panel.set_xlim(0.0, 1.0)


def _draw_bins(panel: Axes, table: QTable, name: str, asked: float, colour) -> None:
    """Draw scatter or bias of each bin about what is asked."""
    by = str(table["by"][0]) if len(table) else "snr"
    names = list(dict.fromkeys(table["parameter"].tolist()))
    own = table[table["parameter"] == names[0]] if names else table
    edges = np.array([*own["from"], own["to"][-1]]) if len(own) else np.array([0.0, 1.0])
    # Equally wide bins on the axis, whatever their edges; a gap is an empty bin.
    for k in range(len(own)):
        here = table[(table["from"] == own["from"][k])]
        low, high = here["low"].min(), here["high"].max()
        if np.isfinite(high):
            panel.fill_between([k - 0.5, k + 0.5], low, high, **BAND)
        for j, parameter in enumerate(names):
            row = here[here["parameter"] == parameter]
            x = k + 0.18 * (j - 0.5 * (len(names) - 1))
            filled = "full" if np.isfinite(row["high"][0]) else "none"
            panel.plot(x, row[name][0], "o", color=colour[parameter], ms=5, fillstyle=filled)
    labels = [f"{a:.3g}-{b:.3g}\n{n}" for a, b, n in zip(own["from"], own["to"], own["n"])]  # noqa: B905
    panel.set_xticks(range(len(own)), labels, fontsize=7)
    panel.set_xlim(-0.5, max(edges.size - 1.5, 0.5))
    titles = {"snr": "signal-to-noise of the posterior", "blend_var_frac": "blend_var_frac"}
    words = {"scatter": "rms (mean - truth) / error", "bias": "mean (mean - truth) / error"}
    _finish(panel, f"{titles[by]}; number of sources", words[name], asked)
    panel.set_title(f"{name} by {'SNR' if by == 'snr' else 'blending'}", fontsize=9)


def _draw_legend(panel: Axes, colour, result: CalibrationResult) -> None:
    """Name the colours and say how it came out."""
    panel.axis("off")
    for name, own in colour.items():
        panel.plot([], [], color=own, linewidth=3.0, label=TITLES.get(name, name))
    panel.fill_between([], [], [], **BAND, label=f"band, false alarms {FALSE_ALARM:g}")
    sizes = [rank.size for rank in result.ranks.values()]
    if min(sizes) < max(sizes):
        panel.plot([], [], **EDGE, label="the same, sum and difference")
    panel.legend(loc="upper left", frameon=False, fontsize=9)
    verdict, own = ("calibrated", BLUE) if result.passed() else ("NOT calibrated", VERMILION)
    text = f"{len(result)} sources in {result.n_groups} groups: {verdict}"
    panel.set_title(text, fontsize=9, color=own)


def _finish(panel: Axes, x_label: str, y_label: str, asked: float) -> None:
    """Label the axes and draw the line that is asked for."""
    panel.axhline(asked, color=BLACK, linewidth=0.7)
    panel.set_xlabel(x_label, fontsize=8)
    panel.set_ylabel(y_label, fontsize=8)
    panel.tick_params(labelsize=7)
