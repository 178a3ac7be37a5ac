"""Stars injected with the undersampled, varying PSF of WFC3/IR F160W, fitted with it and without.

    python benchmarks/real_images/wfc3ir_injection.py

The scene is drawn by scipy, nothing of the package enters it: for each star the four images of the
STDPSF grid about it are blended bilinearly, and a spline through the blend is read off at the
pixels. Stars cover the detector and the pixel phase evenly. The fits start up to half a pixel off.
They are made with the whole grid, and with the single image in the middle of the detector.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from comparison import Row, add_options, asked_within, find_data, print_table
from scipy.ndimage import map_coordinates, spline_filter

import bayesphot as bp

SEED = 160
FILE = "PSFSTD_WFC3IR_F160W.fits"
#: Of the STDPSF library.
OVERSAMPLING = 4
SIDE = 1014
#: Pixels between stars (each is shifted at random by half a pixel): their boxes do not meet.
SPACING = 19
#: Pixels on each side of a star that get light.
REACH = 9
#: Electrons: sky noise per pixel, and the range of fluxes; SNR 70 to 400.
NOISE = 20.0
FLUXES = (5e3, 2e5)
#: Bins of the pixel phase, and what is asked of them (pixels).
PHASES = 10
MOST_BIAS = 0.005


@dataclass(frozen=True)
class Grid:
    """Images of a STDPSF file (gy, gx, ny, nx) and their places, 0-based."""

    images: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Scene:
    """An image of stars, its true errors, and the stars."""

    image: np.ndarray
    error: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def read_grid(path: Path) -> Grid:
    """Return the grid; the file counts places from 1."""
    with fits.open(path) as hdus:
        hdus[0].verify("silentfix")
        header, cube = hdus[0].header, np.asarray(hdus[0].data, dtype=float)
    x = np.array([header[f"IPSFX{i + 1:02d}"] for i in range(header["NXPSFS"])]) - 1.0
    y = np.array([header[f"JPSFY{i + 1:02d}"] for i in range(header["NYPSFS"])]) - 1.0
    return Grid(cube.reshape(y.size, x.size, *cube.shape[1:]), x, y)


def blend_images(grid: Grid, x: float, y: float) -> np.ndarray:
    """Return the bilinear blend of the four images about a place."""
    i = int(np.clip(np.searchsorted(grid.x, x) - 1, 0, grid.x.size - 2))
    j = int(np.clip(np.searchsorted(grid.y, y) - 1, 0, grid.y.size - 2))
    u = np.clip((x - grid.x[i]) / (grid.x[i + 1] - grid.x[i]), 0.0, 1.0)
    v = np.clip((y - grid.y[j]) / (grid.y[j + 1] - grid.y[j]), 0.0, 1.0)
    lower = (1 - u) * grid.images[j, i] + u * grid.images[j, i + 1]
    upper = (1 - u) * grid.images[j + 1, i] + u * grid.images[j + 1, i + 1]
    return (1 - v) * lower + v * upper


def draw_star(grid: Grid, x: float, y: float, flux: float, order: int):
    """Return the pixels (rows, columns) about a star and its light in them."""
    coefficients = spline_filter(blend_images(grid, x, y), order, mode="mirror")
    rows = int(round(y)) + np.arange(-REACH, REACH + 1)
    columns = int(round(x)) + np.arange(-REACH, REACH + 1)
    middle = (coefficients.shape[0] - 1) / 2
    places = np.meshgrid(
        (rows - y) * OVERSAMPLING + middle, (columns - x) * OVERSAMPLING + middle, indexing="ij"
    )
    light = map_coordinates(coefficients, places, order=order, mode="mirror", prefilter=False)
    return rows, columns, flux * light


def draw_scene(grid: Grid, *, order: int = 3, side: int = SIDE, seed: int = SEED) -> Scene:
    """Return stars on a jittered grid under photon and sky noise."""
    rng = np.random.default_rng(seed)
    lines = np.arange(SPACING, side - SPACING, SPACING)
    y, x = (line.ravel().astype(float) for line in np.meshgrid(lines, lines, indexing="ij"))
    x, y = (line + rng.uniform(-0.5, 0.5, line.size) for line in (x, y))
    flux = np.exp(rng.uniform(*np.log(FLUXES), x.size))
    light = np.zeros((side, side))
    for k in range(x.size):
        rows, columns, stamp = draw_star(grid, x[k], y[k], flux[k], order)
        light[np.ix_(rows, columns)] += stamp
    error = np.sqrt(NOISE**2 + np.maximum(light, 0.0))
    return Scene(light + rng.normal(0.0, 1.0, light.shape) * error, error, x, y, flux)


def measure_scene(psf, scene: Scene, *, n_jobs: int = 2, seed: int = SEED):
    """Return the result's table: every star alone, started up to half a pixel off."""
    rng = np.random.default_rng(seed + 1)
    angle = rng.uniform(0.0, 2.0 * np.pi, scene.x.size)
    off = 0.5 * np.sqrt(rng.uniform(0.0, 1.0, scene.x.size))
    starts = Table({"x_0": scene.x + off * np.cos(angle), "y_0": scene.y + off * np.sin(angle)})
    phot = bp.BasicPSFPhotometry(psf_model=psf, fitshape=9, n_jobs=n_jobs, seed=seed)
    return phot(scene.image, error=scene.error, positions=starts).table


def find_phase_bias(difference: np.ndarray, place: np.ndarray) -> float:
    """Return the largest mean difference, by size, in bins of the pixel phase."""
    phase = place - np.floor(place + 0.5)
    bins = np.clip(((phase + 0.5) * PHASES).astype(int), 0, PHASES - 1)
    return max(abs(difference[bins == k].mean()) for k in range(PHASES))


def compare(name: str, table, scene: Scene) -> list[Row]:
    """Return the rows of one fit."""
    from bands import mean_band, per_test, sd_band

    n = scene.x.size
    rows = []
    rate = per_test(6)
    for axis, true in (("x", scene.x), ("y", scene.y), ("flux", scene.flux)):
        difference = np.asarray(table[f"{axis}_median"], dtype=float) - true
        pull = difference / np.asarray(table[f"{axis}_err"], dtype=float)
        off = mean_band(n, 1.0, rate)
        what = f"{name}: mean pull of {axis}"
        rows.append(asked_within(what, pull.mean(), (-off, off), n, SEED))
        what = f"{name}: rms of pull of {axis}"
        rows.append(asked_within(what, np.sqrt(np.mean(pull**2)), sd_band(n, rate), n, SEED))
        if axis != "flux":
            bias = find_phase_bias(difference, true)
            what = f"{name}: largest bias of {axis} in a tenth of the pixel, px"
            rows.append(asked_within(what, bias, (0.0, MOST_BIAS), n, SEED))
    return rows


def measure(folder: Path, *, n_jobs: int = 2, side: int = SIDE) -> dict[str, list[Row]]:
    """Return rows of the whole grid, of the grid on a scene of quintic splines, of one image."""
    grid = read_grid(folder / FILE)
    whole = bp.read_psf(folder / FILE)
    middle = grid.images[grid.y.size // 2, grid.x.size // 2]
    single = bp.ImagePSF(middle, oversampling=OVERSAMPLING)
    cubic, quintic = (draw_scene(grid, order=order, side=side) for order in (3, 5))
    cases = (
        ("grid", whole, cubic),
        ("grid, quintic scene", whole, quintic),
        ("one image", single, cubic),
    )
    return {
        name: compare(name, measure_scene(psf, scene, n_jobs=n_jobs), scene)
        for name, psf, scene in cases
    }


def main() -> int:
    """Print the comparison; return the number of the grid's rows out of their bands."""
    options = add_options(__doc__).parse_args()
    began = time.perf_counter()
    cases = measure(find_data(options.data), n_jobs=options.n_jobs)
    out = print_table("WFC3/IR: the grid", cases["grid"], began=began)
    for name in ("grid, quintic scene", "one image"):
        print_table(f"WFC3/IR: {name}, for comparison", cases[name], began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
