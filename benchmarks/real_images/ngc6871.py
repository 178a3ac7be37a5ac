"""NGC 6871 against ALLSTAR with DAOPHOT's own PSF, no list of stars as input.

    python benchmarks/real_images/ngc6871.py
    python benchmarks/real_images/ngc6871.py --result FOLDER    # what `bayesphot run` wrote

ALLSTAR's positions count pixels from 1, and its magnitudes are 25 - 2.5 log10(flux). The zero point
is removed once, as the median difference of the stars brighter than 17. Then artificial stars are
added to the image, a few per cent of those that are there, and the same is done again: what comes
back of them is compared with what went in, and with the errors quoted.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from comparison import (
    Row,
    add_options,
    asked_least,
    asked_most,
    find_data,
    match_nearest,
    print_table,
    robust_sd,
)

import bayesphot as bp

FWHM = 2.2
SEED = 6871
#: Largest distance, in pixels, of a match.
MATCH = 1.0
ZERO_POINT = 25.0
#: Artificial stars and their magnitudes: dense enough to count, too few to crowd the field.
N_ARTIFICIAL = 400
MAGNITUDES = (14.0, 19.5)
EDGES = ((0, 14), (14, 15), (15, 16), (16, 17), (17, 18), (18, 19), (19, 20))
SAMPLING = bp.Flag.HIGH_R_HAT | bp.Flag.LOW_ESS | bp.Flag.HIGH_PARETO_K | bp.Flag.NOT_SAMPLED


@dataclass(frozen=True)
class Field:
    """The image and what is known of it."""

    image: np.ndarray
    gain: float
    read_noise: float


def read_field(folder: Path) -> Field:
    """Return the image, its gain (e-/ADU) and read noise (e-; the header's is in ADU)."""
    with fits.open(folder / "NGC6871.fits") as hdus:
        image, header = hdus[0].data, hdus[0].header
    gain = float(header["GAIN"])
    return Field(np.asarray(image, dtype=float), gain, gain * float(header["RDNOISE"]))


def read_allstar(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y (0-based) and magnitude of ALLSTAR's list."""
    x, y, mag = np.loadtxt(path, skiprows=3, usecols=(1, 2, 3)).T
    return x - 1.0, y - 1.0, mag


def choose_psf(folder: Path):
    """Return the PSF of the fits: DAOPHOT's own, as it varies over the image."""
    return bp.read_psf(folder / "NGC6871.psf")


def configure(psf, field: Field, *, n_jobs: int = 2, sampler=None):
    """Return the photometry: settings that follow from FWHM, gain and read noise alone."""
    return bp.IterativelySubtractedPSFPhotometry(
        psf_model=psf,
        fitshape=9,
        finder=bp.DAOStarFinder(nsigma=4.0, fwhm=FWHM, sigma_radius=2.5),
        group_maker=bp.DAOGroup(1.5 * FWHM),
        bkg_estimator=bp.MeshBackground(64),
        noise=bp.CCDNoise(gain=field.gain, read_noise=field.read_noise),
        fit_background="prior",
        sampler=sampler,
        n_jobs=n_jobs,
        seed=SEED,
    )


@dataclass(frozen=True)
class Stars:
    """Measured stars: places and the fluxes to quote."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    flags: np.ndarray
    reduced_chi2: np.ndarray

    @property
    def magnitude(self) -> np.ndarray:
        """Magnitudes as DAOPHOT counts them, NaN for negative fluxes."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return ZERO_POINT - 2.5 * np.log10(self.flux)


def read_stars(table) -> Stars:
    """Return the stars of a result's table: medians, or the fit where nothing was sampled."""
    table = table[np.isfinite(np.asarray(table["x_fit"]))]
    sampled = np.isfinite(np.asarray(table["flux_median"]))
    flux = np.where(sampled, table["flux_median"], table["flux_fit"])
    error = np.where(sampled, table["flux_err"], table["flux_fit_err"])
    columns = (np.asarray(table[name], dtype=float) for name in ("x_fit", "y_fit"))
    flags = np.asarray(table["flags"])
    return Stars(*columns, flux, error, flags, np.asarray(table["reduced_chi2"], dtype=float))


def compare_allstar(stars: Stars, allstar) -> list[Row]:
    """Return completeness and scatter; print the comparison magnitude by magnitude."""
    x, y, mag = allstar
    row = match_nearest(x, y, stars.x, stars.y, radius=MATCH)
    ours = stars.magnitude[row]
    both = (row >= 0) & np.isfinite(ours)
    zero = np.median((ours - mag)[both & (mag < 17.0)])
    print(f"{stars.x.size} stars, zero point {zero:+.4f}")
    print("   mag        n  matched   dmag    sd    dx     sd    dy     sd    chi2")
    for low, high in EDGES:
        here = (mag >= low) & (mag < high)
        pair = here & both
        dmag, dx, dy = (ours - mag - zero)[pair], (stars.x[row] - x)[pair], (stars.y[row] - y)[pair]
        print(
            f"  {low:2d}-{high:2d} {here.sum():7d}  {pair.sum() / here.sum():6.3f}  "
            f"{np.median(dmag):+.3f} {robust_sd(dmag):.4f} {np.median(dx):+.3f} "
            f"{robust_sd(dx):.4f} {np.median(dy):+.3f} {robust_sd(dy):.4f} "
            f"{np.median(stars.reduced_chi2[row][pair]):7.1f}"
        )
    faint = mag < 19.0
    rows = [
        asked_least("ALLSTAR's stars at I < 19 found", both[faint].mean(), 0.98, faint.sum(), SEED)
    ]
    for low, high, most in ((0, 17, 0.009), (17, 19, 0.02), (19, 20, 0.03)):
        pair = both & (mag >= low) & (mag < high)
        what = f"scatter at I = {low} to {high}, mag" if low else f"scatter at I < {high}, mag"
        rows.append(asked_most(what, robust_sd((ours - mag)[pair]), most, pair.sum(), SEED))
    return rows


def print_failures(stars: Stars) -> None:
    """Print the shares of stars whose sampling failed a gate, and of those with any flag."""
    failed = np.mean((stars.flags & int(SAMPLING)) > 0)
    print(f"failing a sampling gate {failed:.4f}, with any flag {np.mean(stars.flags > 0):.3f}")


@dataclass(frozen=True)
class Artificial:
    """Stars that were added."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def add_artificial(psf, field: Field) -> tuple[Field, Artificial]:
    """Return the image with artificial stars of the PSF and their photon noise, and these stars."""
    rng = np.random.default_rng(SEED)
    n_y, n_x = field.image.shape
    x, y = rng.uniform(20, n_x - 21, N_ARTIFICIAL), rng.uniform(20, n_y - 21, N_ARTIFICIAL)
    flux = 10 ** (0.4 * (ZERO_POINT - rng.uniform(*MAGNITUDES, N_ARTIFICIAL)))
    image = field.image.copy()
    step = np.arange(-24, 25)
    for k in range(N_ARTIFICIAL):
        row, col = int(round(y[k])) + step, int(round(x[k])) + step
        rows, cols = (line[(line >= 0) & (line < side)] for line, side in ((row, n_y), (col, n_x)))
        grid_x, grid_y = np.meshgrid(cols, rows)
        light = psf.evaluate(grid_x, grid_y, flux[k], x[k], y[k], 1.0)
        image[np.ix_(rows, cols)] += rng.poisson(np.maximum(light, 0.0) * field.gain) / field.gain
    return Field(image, field.gain, field.read_noise), Artificial(x, y, flux)


def compare_artificial(stars: Stars, added: Artificial) -> list[Row]:
    """Return completeness, bias and scatter of artificial stars over the errors quoted."""
    row = match_nearest(added.x, added.y, stars.x, stars.y, radius=MATCH)
    mag = ZERO_POINT - 2.5 * np.log10(added.flux)
    pull = (stars.flux[row] - added.flux) / stars.error[row]
    shift = stars.magnitude[row] - mag
    print(f"artificial stars found: {(row >= 0).mean():.3f} of {row.size}")
    rows = []
    for low, high in ((14, 17), (17, 19), (19, 19.5)):
        here = (row >= 0) & (mag >= low) & (mag < high)
        n, name = int(here.sum()), f"artificial at I = {low} to {high}"
        # 3.9 standard errors of a median and of a robust sd: a false alarm in 10 000.
        bias = 3.9 * 1.25 * robust_sd(pull[here]) / np.sqrt(n)
        off = 3.9 * 1.17 / np.sqrt(n)
        middle, scatter = np.median(pull[here]), robust_sd(pull[here])
        rows += [
            Row(f"{name}: median pull", "0", middle, -bias, bias, n, SEED),
            Row(f"{name}: robust sd of pull", "1", scatter, 1 - off, 1 + off, n, SEED),
        ]
        print(
            f"{name}: n {n}, dmag {np.median(shift[here]):+.4f} sd {robust_sd(shift[here]):.4f}, "
            f"beyond 5 errors {np.mean(np.abs(pull[here]) > 5):.3f}"
        )
    return rows


def measure(folder: Path, *, n_jobs: int = 2) -> list[Row]:
    """Measure the image as it is and with artificial stars; return all rows."""
    field, psf = read_field(folder), choose_psf(folder)
    phot = configure(psf, field, n_jobs=n_jobs)
    load = os.getloadavg()[0]
    began, cpu = time.perf_counter(), time.process_time()
    stars = read_stars(phot(field.image).table)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{seconds:.0f} s wall, {cpu:.0f} s CPU, load {load:.1f} before, {n_jobs} threads")
    rows = compare_allstar(stars, read_allstar(folder / "NGC6871.als"))
    print_failures(stars)
    rows.append(
        asked_most("seconds, posteriors of the whole image", seconds, 120.0, stars.x.size, SEED)
    )
    crowded, added = add_artificial(psf, field)
    return rows + compare_artificial(read_stars(phot(crowded.image).table), added)


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    parser = add_options(__doc__)
    parser.add_argument("--result", help="compare this folder, written by `bayesphot run`, instead")
    options = parser.parse_args()
    folder = find_data(options.data) / "ngc6871_daophot"
    began = time.perf_counter()
    if options.result:
        stars = read_stars(bp.PhotometryResult.read(options.result).table)
        rows = compare_allstar(stars, read_allstar(folder / "NGC6871.als"))
    else:
        rows = measure(folder, n_jobs=options.n_jobs)
    return print_table("NGC 6871 and ALLSTAR", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
