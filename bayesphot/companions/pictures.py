"""Pictures of a companion map, and of its completeness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.companions.limits import find_magnitude
from bayesphot.plotting.figure import BLACK, BLUE, VERMILION, make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesphot.companions.injection import Completeness
    from bayesphot.companions.map import CompanionMap

__all__ = ["plot_completeness", "plot_map"]

#: ln of Bayes factors below which the map is not told apart by colour, and above.
LOWEST, HIGHEST = -8.0, 30.0
#: Limits, in magnitudes, above which brighter ones are not told apart.
BRIGHTEST = -1.0


def plot_map(found: CompanionMap, path=None) -> Figure:
    """Draw Bayes factors, upper limits, and limits against separation."""
    figure = make_figure((12.0, 3.8))
    left, middle, right = figure.subplots(1, 3)
    log = found.log_bayes_factor
    high = max(min(float(log.max()), HIGHEST), 1.0)
    title = f"p(companion) = {found.p_companion:.3g}"
    _show_places(left, found, np.clip(log, LOWEST, high), "ln(Bayes factor)", title, "viridis")
    best = found.best
    left.plot(best.x, best.y, "x", color=VERMILION, label="most likely companion")
    left.legend(loc="lower left", fontsize="small")
    # Nearer to the target no limit means anything.
    with np.errstate(divide="ignore"):
        ratio = found.upper_limit(0.95) / found.target[2]
    limit = np.maximum(find_magnitude(ratio), BRIGHTEST)
    _show_places(middle, found, limit, r"$\Delta$mag", "upper limit of the flux, 95 %", "magma_r")
    _draw_curve(right, found)
    return save_figure(figure, path)


def _show_places(panel: Axes, found: CompanionMap, image, label: str, title: str, colours) -> None:
    """Show numbers of the places as an image on the pixels of the data."""
    half = 0.5 * float(found.x[0, 1] - found.x[0, 0])
    extent = (
        found.x[0, 0] - half,
        found.x[0, -1] + half,
        found.y[0, 0] - half,
        found.y[-1, 0] + half,
    )
    shown = panel.imshow(
        np.where(np.isfinite(image), image, np.nan), origin="lower", extent=extent, cmap=colours
    )
    panel.plot(*found.target[:2], "+", color=BLACK, markersize=10)
    panel.set_xlim(*extent[:2])
    panel.set_ylim(*extent[2:])
    panel.set_xlabel("x / pixels")
    panel.set_ylabel("y / pixels")
    panel.set_title(title, fontsize="medium")
    panel.figure.colorbar(shown, ax=panel, label=label, shrink=0.9)


def _draw_curve(panel: Axes, found: CompanionMap) -> None:
    """Draw the limits against separation."""
    curve = found.contrast_curve()
    limit = find_magnitude(np.asarray(curve["upper_limit"]))
    panel.plot(curve["separation"], curve["delta_mag"], color=BLUE, label="5 errors, place known")
    panel.plot(
        curve["separation"], limit, color=VERMILION, linestyle="--", label="95 % upper limit"
    )
    finite = np.asarray(curve["delta_mag"])
    finite = finite[np.isfinite(finite)]
    if finite.size:
        panel.set_ylim(float(finite.max()) + 1.5, max(float(finite.min()) - 0.5, -3.0))
    panel.axvline(found.fwhm, color=BLACK, linewidth=0.7, linestyle=":")
    panel.annotate(
        "FWHM", (found.fwhm, 0.5), xycoords=("data", "axes fraction"), fontsize="small",
        xytext=(3, 0), textcoords="offset points",
    )  # fmt: skip
    panel.set_xlabel("separation / pixels")
    panel.set_ylabel(r"$\Delta$mag")
    panel.set_title("limits, median over angles", fontsize="medium")
    panel.legend(fontsize="small")


def plot_completeness(found: Completeness, path=None) -> Figure:
    """Draw the shares of companions found over separation and contrast."""
    figure = make_figure((5.6, 4.2))
    panel = figure.subplots()
    across, down = np.argsort(found.separation), np.argsort(found.delta_mag)
    separation = found.separation[across]
    mesh = panel.pcolormesh(
        separation, found.delta_mag[down], found.fraction.T[down][:, across], vmin=0.0, vmax=1.0,
        cmap="viridis", shading="nearest",
    )  # fmt: skip
    figure.colorbar(mesh, ax=panel, label="share found")
    for share, style in ((0.5, "-"), (0.9, "--")):
        limit = found.limit(share)
        limit = np.where(np.isfinite(limit), limit, np.nan)[across]
        panel.plot(separation, limit, style, color=VERMILION, label=f"{share:.0%} are found")
    panel.invert_yaxis()
    panel.set_xlabel("separation / pixels")
    panel.set_ylabel(r"$\Delta$mag")
    panel.set_title(f"false positives {found.rate:.2g}", fontsize="medium")
    panel.legend(fontsize="small")
    return save_figure(figure, path)
