"""The picture of a PSF that was built: image, error, modes, profile, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.plotting.figure import BLACK, BLUE, GREY, VERMILION, make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayesphot.effective_psf.result import PSFBuild

__all__ = ["plot_build"]

#: Pixels of stars shown at most.
SHOWN = 20_000


def plot_build(build: PSFBuild, *, path=None) -> Figure:
    """Draw a PSF; see `PSFBuild.plot`."""
    figure = make_figure((12.0, 7.0))
    panels = figure.subplots(2, 3)
    _draw_image(panels[0, 0], build)
    _draw_error(panels[0, 1], build)
    _draw_mode(panels[0, 2], build)
    _draw_profile(panels[1, 0], build)
    _draw_residual(panels[1, 1], build)
    _draw_stars(panels[1, 2], build)
    figure.suptitle(
        f"PSF of {build.n_used} stars, FWHM {build.fwhm:.2f} pixels, "
        f"image of {build.oversampling} to a pixel"
    )
    return save_figure(figure, path)


def _find_extent(build: PSFBuild) -> tuple[float, float, float, float]:
    """Return the borders of the image in pixels of the data about the centre."""
    half = 0.5 * build.image.shape[0] / build.oversampling
    return -half, half, -half, half


def _show(panel, build: PSFBuild, image, *, title: str, label: str, **limits) -> None:
    """Draw an image with its colour bar."""
    shown = panel.imshow(image, origin="lower", extent=_find_extent(build), **limits)
    panel.figure.colorbar(shown, ax=panel, label=label, shrink=0.85)
    panel.set(title=title, xlabel="Δx (pixels)", ylabel="Δy (pixels)")


def _draw_image(panel, build: PSFBuild) -> None:
    """Draw the PSF, its faint parts too."""
    peak = build.image.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        image = np.log10(np.maximum(build.image / peak, 1e-6))
    _show(
        panel, build, image, title="PSF", label="log10 (PSF / peak)", cmap="magma", vmin=-5, vmax=0
    )


def _draw_error(panel, build: PSFBuild) -> None:
    """Draw its error."""
    image = 100.0 * build.error / build.image.max()
    _show(panel, build, image, title="error of the PSF", label="% of the peak", cmap="viridis")


def _draw_mode(panel, build: PSFBuild) -> None:
    """Draw the main mode of how stars differ."""
    if len(build.modes) == 0:
        panel.text(0.5, 0.5, "too few stars for modes", ha="center", va="center")
        panel.set_axis_off()
        return
    image = 100.0 * build.modes[0] / build.image.max()
    high = np.abs(image).max()
    _show(
        panel, build, image, title="main mode of the stars' differences (1 sd)",
        label="% of the peak", cmap="RdBu_r", vmin=-high, vmax=high,
    )  # fmt: skip


def _thin(build: PSFBuild) -> slice:
    """Return which pixels of the stars are shown."""
    return slice(None, None, max(build.pixels["distance"].size // SHOWN, 1))


def _draw_profile(panel, build: PSFBuild) -> None:
    """Draw pixels of stars, and the PSF, over the distance."""
    part = _thin(build)
    peak = build.image.max()
    panel.plot(
        build.pixels["distance"][part], build.pixels["value"][part] / peak,
        ".", color=GREY, markersize=1.5, alpha=0.4, rasterized=True, label="pixels of stars",
    )  # fmt: skip
    side = (np.arange(build.image.shape[0]) - build.image.shape[0] // 2) / build.oversampling
    x, y = np.meshgrid(side, side)
    ring = np.rint(np.hypot(x, y) * build.oversampling).astype(int).ravel()
    number = np.bincount(ring)
    mean = np.bincount(ring, build.image.ravel()) / number
    inside = np.arange(number.size) <= build.image.shape[0] // 2
    panel.plot(
        np.flatnonzero(inside) / build.oversampling, mean[inside] / peak, color=BLUE,
        label="PSF, mean of rings",
    )  # fmt: skip
    panel.set_yscale("symlog", linthresh=1e-4)
    panel.set(xlabel="distance (pixels)", ylabel="flux per pixel / peak", title="profile")
    panel.set_xlim(0.0, side[-1])
    panel.legend(fontsize=8, loc="upper right")


def _draw_residual(panel, build: PSFBuild) -> None:
    """Draw the scatter of the residuals over their error, in rings."""
    distance, residual = build.pixels["distance"], build.pixels["residual"]
    ring = distance.astype(int)
    number = np.bincount(ring)
    square = np.bincount(ring, residual**2)
    mean = np.bincount(ring, residual)
    some = number >= 10
    r = np.flatnonzero(some) + 0.5
    panel.plot(r, np.sqrt(square[some] / number[some]), "o-", color=BLUE, label="scatter")
    panel.plot(r, mean[some] / number[some], "s-", color=VERMILION, label="mean")
    panel.axhline(1.0, color=BLACK, linewidth=0.8)
    panel.axhline(0.0, color=BLACK, linewidth=0.8)
    panel.set(xlabel="distance (pixels)", ylabel="residual / error", title="residuals of the stars")
    panel.legend(fontsize=8)


def _draw_stars(panel, build: PSFBuild) -> None:
    """Draw where the stars are."""
    used = np.array(build.stars["used"])
    x, y = np.array(build.stars["x"]), np.array(build.stars["y"])
    panel.plot(x[~used], y[~used], ".", color=GREY, markersize=2, label="other sources")
    panel.plot(x[used], y[used], "*", color=VERMILION, markersize=6, label="stars of the PSF")
    panel.set(xlabel="x (pixels)", ylabel="y (pixels)", title="where they are", aspect="equal")
    panel.legend(fontsize=8)
