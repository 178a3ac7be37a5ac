"""One- and two-dimensional marginal distributions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .figure import BLACK, BLUE, VERMILION, make_figure, save_figure
from .parameters import Parameter, collect_parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Contents

#: Probabilities inside the contours of a pair of parameters: 1 and 2 sigma in two dimensions.
CONTOURS = (0.865, 0.393)


def plot_corner(
    result: Contents,
    ids: int | Iterable[int],
    *,
    names: str | Iterable[str] | None = None,
    truths: Mapping[str, float] | None = None,
    path=None,
) -> Figure:
    """Draw one- and two-dimensional marginals; see `PhotometryResult.plot_corner`."""
    parameters = collect_parameters(result, ids, "plot_corner", names=names)
    return draw_corner(parameters, ci_prob=result.ci_prob, truths=truths, path=path)


def draw_corner(
    parameters: list[Parameter],
    *,
    ci_prob: float,
    truths: Mapping[str, float] | None = None,
    path=None,
) -> Figure:
    """Draw one- and two-dimensional marginals of any draws.

    Parameters
    ----------
    parameters : list of Parameter
        Names, labels and draws that differ.
    ci_prob : float
        Probability of the intervals shown.
    truths : mapping of str to float, optional
        Known values by name.
    path : str or Path, optional
        Also save the figure there.
    """
    known = _match_truths(parameters, truths or {})
    n = len(parameters)
    size = max(3.4, 1.6 * n + 0.8)
    figure = make_figure((size, size))
    axes = figure.subplots(n, n, squeeze=False)
    for i, low in enumerate(parameters):
        for j, left in enumerate(parameters):
            panel = axes[i, j]
            if j > i:
                panel.remove()
                continue
            if i == j:
                _draw_marginal(panel, low.values, ci_prob, known[i])
            else:
                _draw_pair(panel, left.values, low.values, known[j], known[i])
            _label_corner(panel, left, low, is_left=j == 0 < i, is_bottom=i == n - 1)
    figure.align_labels()
    return save_figure(figure, path)


def _match_truths(parameters: list[Parameter], truths: Mapping[str, float]) -> list[float | None]:
    """Return the known value of each parameter, or None."""
    spellings: dict[str, set[int]] = {}
    for number, parameter in enumerate(parameters):
        for name in parameter.names:
            for spelling in (name, name.partition("[")[0]):
                spellings.setdefault(spelling, set()).add(number)
    known: list[float | None] = [None] * len(parameters)
    for name, value in truths.items():
        numbers = spellings.get(name, set())
        if len(numbers) != 1:
            names = [parameter.names[0] for parameter in parameters]
            raise ValueError(f"truths must name one of {names}, found {name!r}")
        known[numbers.pop()] = float(getattr(value, "value", value))
    return known


def _draw_marginal(panel: Axes, values: np.ndarray, ci_prob: float, truth: float | None) -> None:
    """Draw a histogram with median, central interval and truth."""
    flat = values.ravel()
    tail = 0.5 * (1.0 - ci_prob)
    lo, median, hi = np.quantile(flat, [tail, 0.5, 1.0 - tail])
    counts, edges = np.histogram(flat, bins=40, range=_span(flat))
    panel.stairs(counts, edges, fill=True, color=BLUE, alpha=0.35)
    panel.axvline(median, color=BLUE, linewidth=1.4)
    for edge in (lo, hi):
        panel.axvline(edge, color=BLUE, linewidth=1.0, linestyle="--")
    if truth is not None:
        panel.axvline(truth, color=VERMILION, linewidth=1.4)
    panel.set_ylim(0.0, 1.08 * counts.max())
    panel.set_title(_format_interval(median, lo, hi), fontsize=8)
    _set_limits(panel.set_xlim, flat, truth)


def _draw_pair(
    panel: Axes, x: np.ndarray, y: np.ndarray, truth_x: float | None, truth_y: float | None
) -> None:
    """Draw the joint density of two parameters with its 1 and 2 sigma contours."""
    from matplotlib import colormaps
    from scipy.ndimage import gaussian_filter

    flat_x, flat_y = x.ravel(), y.ravel()
    counts, edges_x, edges_y = np.histogram2d(
        flat_x, flat_y, bins=36, range=[_span(flat_x), _span(flat_y)]
    )
    density = gaussian_filter(counts, 1.5)
    panel.set_facecolor(colormaps["Blues"](0))
    panel.pcolormesh(edges_x, edges_y, density.T, cmap="Blues", rasterized=True)
    levels = _find_levels(density)
    if np.all(np.diff(levels) > 0.0):
        centres = (0.5 * (edges[1:] + edges[:-1]) for edges in (edges_x, edges_y))
        panel.contour(*centres, density.T, levels=levels, colors=BLACK, linewidths=0.8)
    if truth_x is not None:
        panel.axvline(truth_x, color=VERMILION, linewidth=1.2)
    if truth_y is not None:
        panel.axhline(truth_y, color=VERMILION, linewidth=1.2)
    _set_limits(panel.set_xlim, flat_x, truth_x)
    _set_limits(panel.set_ylim, flat_y, truth_y)


def _find_levels(density: np.ndarray) -> np.ndarray:
    """Return the densities above which the contours' probabilities lie, rising."""
    ordered = np.sort(density.ravel())[::-1]
    inside = np.cumsum(ordered) / ordered.sum()
    return np.array([ordered[np.searchsorted(inside, probability)] for probability in CONTOURS])


def _span(flat: np.ndarray) -> tuple[float, float]:
    """Return the range to show: all but a few draws, with a margin."""
    lo, hi = np.quantile(flat, [0.001, 0.999])
    margin = 0.12 * (hi - lo) or 0.5 * np.ptp(flat)
    return float(lo - margin), float(hi + margin)


def _set_limits(set_limits, flat: np.ndarray, truth: float | None) -> None:
    """Set an axis to the draws, wide enough for the truth."""
    lo, hi = _span(flat)
    if truth is not None:
        lo, hi = min(lo, truth - 0.03 * (hi - lo)), max(hi, truth + 0.03 * (hi - lo))
    set_limits(lo, hi)


def _format_interval(median: float, lo: float, hi: float) -> str:
    """Return median and distances to the interval's ends, with two digits of these."""
    width = min(hi - median, median - lo)
    digits = 2 if width <= 0.0 else int(np.clip(1 - np.floor(np.log10(width)), 0, 9))
    up, down = hi - median, median - lo
    return f"${median:.{digits}f}^{{+{up:.{digits}f}}}_{{-{down:.{digits}f}}}$"


def _label_corner(
    panel: Axes, left: Parameter, low: Parameter, *, is_left: bool, is_bottom: bool
) -> None:
    """Put ticks and labels on the outer panels only."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(3))
    panel.tick_params(labelsize=7, labelbottom=is_bottom, labelleft=is_left)
    panel.ticklabel_format(useOffset=False, style="plain")
    if left is low:
        panel.set_yticks([])
    else:
        panel.yaxis.set_major_locator(MaxNLocator(3))
    if is_bottom:
        panel.tick_params(axis="x", rotation=45)
        panel.set_xlabel(left.label.replace(" (", "\n("), fontsize=9)
    if is_left:
        panel.set_ylabel(low.label.replace(" (", "\n("), fontsize=9)
