"""One SDSS frame against the far deeper coadd of Stripe 82 and the survey's own photometry of it.

    python benchmarks/real_images/s82_stripe82.py

The frame is searched blind with the survey's PSF at nine places. The zero point is removed once for
each list, as the median difference from the coadd of its stars at r < 20. Errors of the coadd:
those of this frame over the square root of its 20 runs, and 1 %, to which it is calibrated (Annis
et al. 2014, ApJ 794, 120). The errors of the frame are those of single pixels: by how much its sky
scatters more in sums over the PSF is measured where the first fit sees no light, and is the
``correlation`` of the noise of the last one.
"""

from __future__ import annotations

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
    asked_within,
    find_data,
    match_nearest,
    print_table,
    robust_sd,
)
from scipy.signal import fftconvolve

import bayesphot as bp

SEED = 82
#: Largest distance, in pixels, of a match: half a FWHM.
MATCH = 1.8
ZERO_POINT = 22.5
#: Runs in the coadd, and the error of its calibration (mag); Annis et al. 2014.
COADD_RUNS = 20
COADD_CALIBRATION = 0.01
#: Magnitudes: the bins of the scatter.
BINS = ((14, 18), (18, 19), (19, 20), (20, 21), (21, 22))
#: Resamplings of the stars of a bin, for the standard error of a ratio of scatters.
N_BOOTSTRAP = 1000
#: Where the model is under this share of the noise, the sky is blank; pixels of the filter's side.
BLANK = 0.1
FILTER = 25
#: objc_type of a star in the survey's list.
STAR = 6


@dataclass(frozen=True)
class Frame:
    """The image with its errors, and the survey's PSF."""

    image: np.ndarray
    error: np.ndarray
    psf: bp.GriddedPSF


@dataclass(frozen=True)
class Stars:
    """Places, magnitudes and their errors."""

    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    error: np.ndarray


def read_frame(path: Path) -> Frame:
    """Return what goes into the photometry."""
    with fits.open(path) as hdus:
        image, error = (np.asarray(hdus[key].data, dtype=float) for key in (0, "ERROR"))
        places = np.column_stack([hdus["PSFPOS"].data[axis] for axis in "xy"])
        psf = bp.GriddedPSF(hdus["PSFGRID"].data, places)
    return Frame(image, error, psf)


def read_coadd(path: Path) -> Stars:
    """Return the coadd's stars with the error of its calibration; infinite where it saturates."""
    with fits.open(path) as hdus:
        data = hdus["COADD"].data
        rows = data[data["probpsf"] == 1]
        columns = [np.array(rows[name], dtype=float) for name in ("x", "y", "psfmag_r")]
        return Stars(*columns, np.where(rows["is_saturated"] == 0, COADD_CALIBRATION, np.inf))


def read_survey(path: Path) -> Stars:
    """Return the stars of the survey's own photometry of this frame: last children only."""
    with fits.open(path) as hdus:
        data = hdus["SDSSPHOTO"].data
        rows = data[(data["objc_type"] == STAR) & (data["nchild"] == 0)]
        names = ("x", "y", "psfmag_r", "psfmagerr_r")
        return Stars(*(np.array(rows[name], dtype=float) for name in names))


def configure(frame: Frame, *, psf_error=None, noise=None, n_jobs: int = 2):
    """Return the photometry: settings that follow from the PSF's FWHM alone."""
    fwhm = frame.psf.fwhm
    return bp.IterativelySubtractedPSFPhotometry(
        psf_model=frame.psf,
        fitshape=15,
        # The kernel of the command line: one of 1.5 sigma loses faint stars.
        finder=bp.DAOStarFinder(nsigma=3.5, fwhm=fwhm, sigma_radius=2.5),
        group_maker=bp.DAOGroup(1.5 * fwhm),
        bkg_estimator=bp.MeshBackground(64),
        fit_background="prior",
        psf_error=psf_error,
        noise=noise,
        n_jobs=n_jobs,
        seed=SEED,
    )


def measure_correlation(result, frame: Frame) -> float:
    """Return by how much the blank sky scatters more in sums over the PSF than its pixels say."""
    middle, (y, x) = FILTER // 2, np.indices((FILTER, FILTER))
    side = frame.image.shape[0] // 2
    psf = frame.psf.evaluate(x + side - middle, y + side - middle, 1.0, side, side, 1.0)[::-1, ::-1]
    weight = frame.error**-2.0
    score = fftconvolve(result.residual_image * weight, psf, mode="same")
    sums = score / np.sqrt(fftconvolve(weight, psf**2, mode="same"))
    blank = np.abs(result.model_image - result.background_image) < BLANK * frame.error
    inner = np.zeros_like(blank)
    inner[FILTER:-FILTER, FILTER:-FILTER] = True
    pixels = robust_sd((result.residual_image / frame.error)[blank & inner])
    found = robust_sd(sums[blank & inner])
    print(
        f"blank sky, {blank.mean():.2f} of it: pixels {pixels:.3f}, sums over the PSF {found:.3f}"
    )
    return max(found, 1.0)


def read_stars(table) -> Stars:
    """Return the stars of a result: medians of the posterior and their errors in magnitudes."""
    table = table[np.isfinite(np.asarray(table["flux_median"]))]
    x, y, flux, error = (
        np.asarray(table[name], dtype=float)
        for name in ("x_fit", "y_fit", "flux_median", "flux_err")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return Stars(x, y, ZERO_POINT - 2.5 * np.log10(flux), 2.5 / np.log(10.0) * error / flux)


def pair_with_coadd(stars: Stars, coadd: Stars) -> np.ndarray:
    """Return rows of ``stars`` for each star of the coadd, -1 for none."""
    row = match_nearest(coadd.x, coadd.y, stars.x, stars.y, radius=MATCH)
    return np.where((row >= 0) & np.isfinite(stars.mag[row]), row, -1)


def subtract_coadd(stars: Stars, coadd: Stars, row: np.ndarray) -> np.ndarray:
    """Return differences from the coadd, the zero point removed once; NaN where there is none."""
    difference = np.where((row >= 0) & np.isfinite(coadd.error), stars.mag[row] - coadd.mag, np.nan)
    return difference - np.nanmedian(difference[coadd.mag < 20.0])


def resample_ratio(ours: np.ndarray, survey: np.ndarray) -> float:
    """Return the standard error of the ratio of two scatters of the same stars, by bootstrap."""
    rng = np.random.default_rng(SEED)
    rows = rng.integers(0, ours.size, (N_BOOTSTRAP, ours.size))
    ratios = [robust_sd(ours[row]) / max(robust_sd(survey[row]), 1e-6) for row in rows]
    return robust_sd(ratios)


def compare_scatter(ours: np.ndarray, survey: np.ndarray, mag: np.ndarray) -> list[Row]:
    """Return our scatter in each bin beside the survey's of the same stars."""
    rows = []
    for low, high in BINS:
        here = (mag >= low) & (mag < high) & np.isfinite(ours) & np.isfinite(survey)
        theirs, n = robust_sd(survey[here]), int(here.sum())
        asked = f"≤ the survey's {theirs:.4f}"
        scatter = robust_sd(ours[here])
        rows.append(
            Row(f"scatter at r = {low} to {high}, mag", asked, scatter, 0.0, theirs, n, SEED)
        )
        print(
            f"r = {low} to {high}: scatter over the survey's {scatter / theirs:.2f} +- "
            f"{resample_ratio(ours[here], survey[here]):.2f}, n {n}, between both "
            f"{robust_sd((ours - survey)[here]):.4f}"
        )
    return rows


def find_pulls(stars: Stars, coadd: Stars, row: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Return differences from the coadd over the errors of both."""
    error = np.where(row >= 0, stars.error[row], np.nan)
    return difference / np.sqrt(error**2 * (1.0 + 1.0 / COADD_RUNS) + coadd.error**2)


def print_survey_pulls(survey: Stars, coadd: Stars) -> None:
    """Print what the survey's own errors come to."""
    row = pair_with_coadd(survey, coadd)
    pulls = find_pulls(survey, coadd, row, subtract_coadd(survey, coadd, row))
    for low, high in ((14, 20), (20, 22)):
        here = (coadd.mag >= low) & (coadd.mag < high) & np.isfinite(pulls)
        print(
            f"the survey at r = {low} to {high}: robust sd of difference over error "
            f"{robust_sd(pulls[here]):.2f}, n {here.sum()}"
        )


def compare(lists: dict[str, Stars], coadd: Stars, survey: Stars) -> list[Row]:
    """Return all rows: scatter of the first list, then the pulls of each by its name."""
    first = next(iter(lists.values()))
    row = pair_with_coadd(first, coadd)
    ours = subtract_coadd(first, coadd, row)
    theirs = subtract_coadd(survey, coadd, pair_with_coadd(survey, coadd))
    bright = coadd.mag < 21.5
    found = row >= 0
    rows = [
        asked_least(
            "coadd's stars at r < 21.5 found", found[bright].mean(), 0.95, bright.sum(), SEED
        )
    ]
    rows += compare_scatter(ours, theirs, coadd.mag)
    print_survey_pulls(survey, coadd)
    for name, stars in lists.items():
        row = pair_with_coadd(stars, coadd)
        pulls = find_pulls(stars, coadd, row, subtract_coadd(stars, coadd, row))
        here = (coadd.mag >= 20.0) & (coadd.mag < 22.0) & np.isfinite(pulls)
        what = f"robust sd of difference over error, r = 20 to 22{name}"
        rows.append(asked_within(what, robust_sd(pulls[here]), (0.9, 1.15), here.sum(), SEED))
        print(f"{what}: standard error {1.17 / np.sqrt(here.sum()):.2f}")
        here = (coadd.mag < 20.0) & np.isfinite(pulls)
        what = f"the same, r < 20{name}"
        high = 1.3 if name else np.inf
        rows.append(asked_within(what, robust_sd(pulls[here]), (0.0, high), here.sum(), SEED))
    return rows


def measure(folder: Path, *, n_jobs: int = 2) -> list[Row]:
    """Measure the frame with more and more of its errors in the model; return all rows."""
    path = folder / "s82_r.fits.gz"
    frame = read_frame(path)

    def run(psf_error=None, noise=None):
        phot = configure(frame, psf_error=psf_error, noise=noise, n_jobs=n_jobs)
        result = phot(frame.image, error=frame.error)
        print(f"{len(result)} sources with psf_error={psf_error!r}, noise={noise!r}")
        return result

    plain, error = run(), bp.PSFError()
    noise = bp.NormalNoise(correlation=measure_correlation(plain, frame))
    results = {
        "": plain,
        ", PSF error modelled": run(error),
        ", PSF error and the sky's correlation modelled": run(error, noise),
    }
    lists = {name: read_stars(result.table) for name, result in results.items()}
    return compare(lists, read_coadd(path), read_survey(path))


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    options = add_options(__doc__).parse_args()
    began = time.perf_counter()
    rows = measure(find_data(options.data), n_jobs=options.n_jobs)
    return print_table("Stripe 82: one frame and the coadd", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
