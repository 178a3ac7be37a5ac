"""The chains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .figure import CHAIN_COLOURS, make_figure, save_figure
from .parameters import collect_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..result import Contents


def plot_trace(
    result: Contents,
    ids: int | Iterable[int],
    *,
    names: str | Iterable[str] | None = None,
    path=None,
) -> Figure:
    """Draw each parameter's chains and their densities; see `PhotometryResult.plot_trace`."""
    parameters = collect_parameters(result, ids, "plot_trace", names=names)
    figure = make_figure((9.0, 1.5 * len(parameters) + 0.9))
    axes = figure.subplots(
        len(parameters), 2, squeeze=False, sharex="col", sharey="row", width_ratios=(4, 1)
    )
    for (trace, density), parameter in zip(axes, parameters, strict=True):
        edges = np.histogram_bin_edges(parameter.values, bins=30)
        for number, chain in enumerate(parameter.values):
            colour = CHAIN_COLOURS[number % len(CHAIN_COLOURS)]
            trace.plot(chain, color=colour, linewidth=0.5, alpha=0.8)
            counts, _ = np.histogram(chain, edges)
            density.stairs(counts, edges, orientation="horizontal", color=colour)
        trace.set_ylabel(parameter.label.replace(" (", "\n("))
        trace.ticklabel_format(axis="y", useOffset=False)
        trace.margins(x=0.0)
        density.set_xticks([])
        density.tick_params(labelleft=False)
    axes[-1, 0].set_xlabel("draw")
    axes[-1, 1].set_xlabel("draws per bin")
    n_chains = len(parameters[0].values)
    axes[0, 0].set_title(f"{n_chains} chain{'s' * (n_chains != 1)}, one colour each", fontsize=10)
    figure.align_ylabels(axes[:, 0])
    return save_figure(figure, path)
