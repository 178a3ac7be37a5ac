"""Data, model and residual side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .figure import BLACK, GREY, WHITE, find_rows, make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import Contents

#: Residuals are shown between -5 and 5 sigma.
RESIDUAL_LIMIT = 5.0
BAR = {"location": "bottom", "shrink": 0.8, "pad": 0.03}
#: From so many sources on, marks are drawn with thinner lines, and left off the residual, which
#: they would cover.
MANY = 400


def plot_images(result: Contents, *, ids: int | Iterable[int] | None = None, path=None) -> Figure:
    """Draw data, model and residual in units of the noise; see `PhotometryResult.plot`."""
    rows = np.arange(len(result)) if ids is None else find_rows(result, ids)
    ellipses = _measure_ellipses(result, rows)
    window = _choose_window(result, ellipses, everything=ids is None)
    n_rows, n_columns = (part.stop - part.start for part in window)
    figure = make_figure(_choose_size(n_rows / n_columns), layout="compressed")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    norm = _stretch_robustly(np.asarray(result.image)[window])
    for panel, image, title in (
        (axes[0], result.image, "data"),
        (axes[1], result.model_image, "model"),
    ):
        shown = _show_image(panel, np.asarray(image), window, norm=norm, cmap="viridis")
        panel.set_title(title)
    unit = getattr(result.image, "unit", None)
    bar = figure.colorbar(shown, ax=list(axes[:2]), extend="both", **BAR, aspect=50)
    bar.set_ticks(_choose_ticks(norm), minor=False)
    bar.minorticks_off()
    bar.ax.xaxis.set_major_formatter("{x:g}")
    bar.set_label(f"data and model ({unit})" if unit else "data and model")
    scaled, residual_label = _scale_residual(result)
    limits = {"vmin": -RESIDUAL_LIMIT, "vmax": RESIDUAL_LIMIT}
    shown = _show_image(axes[2], scaled, window, cmap="PuOr_r", **limits)
    axes[2].set_title("residual")
    bar = figure.colorbar(shown, ax=axes[2], extend="both", **BAR, aspect=25)
    bar.set_label(residual_label)
    axes[0].set_ylabel("y (pixel)")
    _mark_sources(figure, axes, ellipses, window, names=None if ids is None else result["id"][rows])
    for panel in axes:
        panel.set_xlabel("x (pixel)")
        panel.set_xlim(window[1].start - 0.5, window[1].stop - 0.5)
        panel.set_ylim(window[0].start - 0.5, window[0].stop - 0.5)
    return save_figure(figure, path)


def _choose_size(steepness: float) -> tuple[float, float]:
    """Return the figure's size for panels with this ratio of height to width."""
    width = min(4.6, 7.0 / steepness)
    return 3.0 * width + 1.2, max(width * steepness, 1.5) + 1.9


def _choose_ticks(norm) -> np.ndarray:
    """Return two-digit numbers about evenly spread over a colour scale."""
    values = np.asarray(norm.inverse(np.linspace(0.04, 0.96, 6)), dtype=np.float64)
    return np.unique([float(f"{value:.2g}") for value in values])


def _show_image(panel: Axes, image: np.ndarray, window: tuple[slice, slice], **look):
    """Show part of an image on its pixel coordinates; bad pixels are grey."""
    from matplotlib import colormaps

    rows, columns = window
    look["cmap"] = colormaps[look["cmap"]].with_extremes(bad=GREY)
    extent = (columns.start - 0.5, columns.stop - 0.5, rows.start - 0.5, rows.stop - 0.5)
    return panel.imshow(
        image[window], origin="lower", extent=extent, interpolation="nearest", **look
    )


def _stretch_robustly(image: np.ndarray):
    """Return an asinh scale from just under the sky to the 99.9th percentile."""
    from matplotlib.colors import AsinhNorm

    good = image[np.isfinite(image)]
    if not good.size:
        return AsinhNorm(1.0, 0.0, 1.0)
    sky, spread = _measure_spread(good)
    spread = spread or 0.1 * np.ptp(good) or 1.0
    high = max(np.quantile(good, 0.999), sky + 5.0 * spread)
    return AsinhNorm(4.0 * spread, sky - 3.0 * spread, high)


def _measure_spread(good: np.ndarray) -> tuple[float, float]:
    """Return median and standard deviation by the median absolute deviation."""
    middle = np.median(good)
    return float(middle), float(1.4826 * np.median(np.abs(good - middle)))


def _scale_residual(result: Contents) -> tuple[np.ndarray, str]:
    """Return the residual over the noise, and what the noise is."""
    residual = np.asarray(result.residual_image)
    if result.noise_image is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = residual / np.asarray(result.noise_image)
        return np.where(np.isfinite(scaled), scaled, np.nan), "residual / noise"
    good = residual[np.isfinite(residual)]
    spread = _measure_spread(good)[1] if good.size else 1.0
    return residual / (spread or 1.0), "residual / its robust standard deviation"


class _Ellipses(NamedTuple):
    """Positions and their covariances, one for each source."""

    x: np.ndarray
    y: np.ndarray
    covariance: np.ndarray


def _measure_ellipses(result: Contents, rows: np.ndarray) -> _Ellipses:
    """Return positions and covariances from the draws, else from the table's errors."""
    draws = result.draws
    if draws is not None and {"x", "y"} <= draws.source.keys():
        x = draws.source["x"][:, :, rows].reshape(-1, rows.size).astype(np.float64)
        y = draws.source["y"][:, :, rows].reshape(-1, rows.size).astype(np.float64)
        centre = np.stack([x.mean(axis=0), y.mean(axis=0)])
        dx, dy = x - centre[0], y - centre[1]
        offsets = np.stack([dx, dy])
        covariance = np.einsum("ans,bns->sab", offsets, offsets) / len(x)
    else:
        centre = np.full((2, rows.size), np.nan)
        covariance = np.full((rows.size, 2, 2), np.nan)
    for axis, name in enumerate("xy"):
        if f"{name}_fit" in result.colnames:
            fitted = np.asarray(result[f"{name}_fit"], dtype=np.float64)[rows]
            centre[axis] = np.where(np.isfinite(centre[axis]), centre[axis], fitted)
    return _Ellipses(centre[0], centre[1], covariance)


def _choose_window(
    result: Contents, ellipses: _Ellipses, *, everything: bool
) -> tuple[slice, slice]:
    """Return the rows and columns to show: the image, or what lies around the sources."""
    window = []
    for size, place in zip(result.image.shape, (ellipses.y, ellipses.x), strict=True):
        inside = place[np.isfinite(place) & (place > -0.5) & (place < size - 0.5)]
        if everything or not inside.size:
            window.append(slice(0, size))
            continue
        margin = max(10.0, 0.3 * np.ptp(inside))
        start = max(0, int(inside.min() - margin))
        window.append(slice(start, min(size, int(np.ceil(inside.max() + margin)) + 1)))
    return window[0], window[1]


def _mark_sources(figure: Figure, axes, ellipses: _Ellipses, window, *, names) -> None:
    """Mark the sources, with their position error where it is known and can be seen."""
    from matplotlib.collections import EllipseCollection
    from matplotlib.patheffects import withStroke

    size = max(part.stop - part.start for part in window)
    known = np.all(np.isfinite(ellipses.covariance), axis=(1, 2))
    values, vectors = np.linalg.eigh(np.where(known[:, None, None], ellipses.covariance, 0.0))
    semiaxes = np.sqrt(np.clip(values, 0.0, None))
    drawn = known & (semiaxes[:, 1] > 0.0)
    thin = 0.9 if known.size < MANY else 0.5
    panels = ((axes[0], WHITE), (axes[2], BLACK))[: 2 if known.size < MANY else 1]
    for panel, colour in panels:
        places = ellipses.x[~drawn], ellipses.y[~drawn]
        panel.scatter(*places, marker="+", color=colour, linewidth=thin, s=30)
    if np.any(drawn):
        # One star alone can have a large ellipse, a crowd has to stay apart.
        share = np.clip(0.2 / np.sqrt(np.count_nonzero(drawn)), 0.003, 0.045)
        factor = _choose_factor(share * size / np.quantile(semiaxes[drawn, 1], 0.9))
        angles = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
        for panel, colour in panels:
            collection = EllipseCollection(
                2.0 * factor * semiaxes[drawn, 1],
                2.0 * factor * semiaxes[drawn, 0],
                angles[drawn],
                units="xy",
                offsets=np.column_stack([ellipses.x[drawn], ellipses.y[drawn]]),
                offset_transform=panel.transData,
                facecolors="none",
                edgecolors=colour,
                linewidths=thin,
            )
            panel.add_collection(collection, autolim=False)
            panel.scatter(ellipses.x[drawn], ellipses.y[drawn], color=colour, s=1.2 * thin)
        enlarged = "" if factor == 1 else f", drawn {factor} times larger"
        axes[0].set_title(f"data; ellipses: 1-sigma position errors{enlarged}", fontsize=9)
    for number, name in enumerate([] if names is None else names):
        if np.isfinite(ellipses.x[number]) and np.isfinite(ellipses.y[number]):
            axes[0].annotate(
                str(name),
                (ellipses.x[number], ellipses.y[number]),
                (7, 7),
                textcoords="offset points",
                color=WHITE,
                fontsize=9,
                path_effects=[withStroke(linewidth=1.5, foreground=BLACK)],
            )


def _choose_factor(limit: float) -> int:
    """Return the largest of 1, 2, 5, 10, ... that is not above a limit."""
    steps = [step * 10**exponent for exponent in range(9) for step in (1, 2, 5)]
    return max((step for step in steps if step <= limit), default=1)
