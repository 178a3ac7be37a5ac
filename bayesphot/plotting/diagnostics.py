"""One picture of how well a whole run went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..flags import Flag
from .figure import CHAIN_COLOURS, GREY, make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Contents

#: The gates of the samplers' defaults: R-hat, effective draws, Pareto k.
GATES = {"r_hat": 1.01, "ess": 400.0, "pareto_k": 0.7}
GATE = {"color": GREY, "linewidth": 0.9, "linestyle": "--"}
#: Bins of the histogram of p-values.
N_BIN = 20
#: Ratio of the largest reduced chi-squared to the least from which their axis is logarithmic.
WIDE = 5.0


def plot_diagnostics(result: Contents, *, path=None) -> Figure:
    """Draw the diagnostics of all sources; see `PhotometryResult.plot_diagnostics`."""
    from matplotlib.ticker import LogFormatter, MaxNLocator, StrMethodFormatter

    table = result.table
    engine = np.asarray(table["engine"]).astype(str)
    names = [name for name in dict.fromkeys(sorted(engine)) if name not in ("", "none")]
    colours = dict(zip(names, CHAIN_COLOURS, strict=False))
    snr = _read(table, "flux_median") / _read(table, "flux_err")
    size = _read(table, "group_size")
    ess = np.fmin(_read(table, "ess_bulk"), _read(table, "ess_tail"))
    figure = make_figure((11.5, 6.6))
    axes = figure.subplots(2, 3)
    # Sizes are whole numbers: spread within each, always alike.
    spread = size + np.random.default_rng(0).uniform(-0.3, 0.3, size.size)
    for panel, x, y, gate, label in (
        (axes[0, 0], snr, _read(table, "r_hat") - 1.0, GATES["r_hat"] - 1.0, "R-hat − 1"),
        (axes[0, 1], spread, ess, GATES["ess"], "smallest effective number of draws"),
        (axes[0, 2], snr, _read(table, "pareto_k"), GATES["pareto_k"], "Pareto k"),
    ):
        _scatter(panel, x, y, engine, colours)
        panel.axhline(gate, **GATE)
        panel.set_ylabel(label)
    axes[0, 0].set_yscale("symlog", linthresh=1e-3)
    axes[0, 0].set_ylim(bottom=-1e-3)
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_xlabel("sources in the group")
    reduced = _read(table, "reduced_chi2")
    _scatter(axes[1, 0], snr, reduced, engine, colours)
    axes[1, 0].axhline(1.0, **GATE)
    if reduced.size and np.nanmax(reduced) > WIDE * np.nanmin(reduced):
        axes[1, 0].set_yscale("log")
    axes[1, 0].set_ylabel("reduced chi-squared of the group")
    for panel in (axes[0, 0], axes[0, 2], axes[1, 0]):
        _scale_snr(panel, snr[np.isfinite(snr)])
    axes[0, 1].set_xlim(0.5, 0.5 + max(size.max(initial=1.0), 1.0))
    axes[0, 1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0, 1].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes[0, 1].yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.5)))
    _draw_p_values(axes[1, 1], table)
    _count_flags(axes[1, 2], np.asarray(table["flags"], dtype=np.int64))
    if names:
        axes[0, 0].legend(fontsize=8, frameon=False, markerscale=1.5)
    figure.suptitle(f"{len(table)} sources; dashed: the gates, and 1", fontsize=10)
    return save_figure(figure, path)


def _scale_snr(panel: Axes, snr: np.ndarray) -> None:
    """Give a panel the axis of the signal to noise: logarithmic, linear below 1."""
    from matplotlib.ticker import StrMethodFormatter

    panel.set_xlabel("flux_median / flux_err")
    if snr.size and snr.min() > 0.0:
        panel.set_xscale("log")
        # Whole decades, so that each axis has numbers on it.
        panel.set_xlim(10.0 ** np.floor(np.log10(snr.min())), 10.0 ** np.ceil(np.log10(snr.max())))
    else:
        panel.set_xscale("symlog", linthresh=1.0)
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _read(table, name: str) -> np.ndarray:
    """Return a column's numbers without their unit."""
    column = table[name]
    return np.asarray(getattr(column, "value", column), dtype=float)


def _scatter(panel: Axes, x, y, engine, colours: dict[str, str]) -> None:
    """Draw one point a source, coloured by engine."""
    for name, colour in colours.items():
        mine = (engine == name) & np.isfinite(x) & np.isfinite(y)
        alpha = 0.8 if mine.sum() < 300 else 0.35
        panel.plot(x[mine], y[mine], "o", color=colour, ms=3, mew=0, alpha=alpha, label=name)


def _draw_p_values(panel: Axes, table) -> None:
    """Draw the posterior-predictive p-values, one a group."""
    _, first = np.unique(np.asarray(table["group_id"]), return_index=True)
    p = _read(table, "ppp")[first]
    p = p[np.isfinite(p)]
    counts, edges = np.histogram(p, np.linspace(0.0, 1.0, N_BIN + 1))
    panel.stairs(counts, edges, fill=True, color=CHAIN_COLOURS[0], alpha=0.6)
    panel.set_xlabel("posterior-predictive p-value")
    panel.set_ylabel("groups")
    panel.set_xlim(0.0, 1.0)


def _count_flags(panel: Axes, flags: np.ndarray) -> None:
    """Draw how many sources have each flag that occurs."""
    counts = {flag.name: np.count_nonzero(flags & int(flag)) for flag in Flag}
    found = {str(name): int(count) for name, count in counts.items() if count}
    panel.set_xlabel("sources with the flag")
    if not found:
        panel.text(0.5, 0.5, "no flags", ha="center", va="center", transform=panel.transAxes)
        panel.set_xticks([])
        panel.set_yticks([])
        return
    place = np.arange(len(found))
    panel.barh(place, list(found.values()), color=CHAIN_COLOURS[5], alpha=0.7)
    panel.set_yticks(place, list(found), fontsize=8)
    panel.invert_yaxis()
    for y, count in zip(place, found.values(), strict=True):
        panel.text(count, y, f" {count}", va="center", fontsize=8)
    panel.margins(x=0.15)
