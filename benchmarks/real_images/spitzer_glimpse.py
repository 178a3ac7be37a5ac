"""A Spitzer mosaic of the Galactic plane at 4.5 micron against the GLIMPSE catalogue, blind.

    python benchmarks/real_images/spitzer_glimpse.py

Fluxes in MJy/sr x pixel are brought to mJy by the area of the pixel, and to those of the catalogue
by the light inside the aperture to which IRAC is calibrated: 12.2 arcsec (ten of its own pixels;
Reach et al. 2005, PASP 117, 978), a share of the flight PRF's stamp.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from comparison import (
    Row,
    add_options,
    asked_least,
    asked_most,
    asked_within,
    find_data,
    match_nearest,
    print_table,
    robust_sd,
)
from scipy.ndimage import rotate
from scipy.signal import convolve2d

import bayesphot as bp

SEED = 45
#: Arcseconds in a pixel of the mosaic, and the radius of the calibration's aperture.
PIXEL = 1.2
APERTURE = 12.2
#: Largest distance of a match: 2 arcsec, the resolution of the catalogue, in pixels.
MATCH = 2.0 / PIXEL
#: FWHM (pixels) that the finder looks for: the flight PRF's 1.2 and two squares of a pixel.
FINDER_FWHM = 1.7


@dataclass(frozen=True)
class Mosaic:
    """The image and the catalogue's stars in it."""

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def read_mosaic(folder: Path) -> Mosaic:
    """Return the image (MJy/sr) and the catalogue (0-based pixels, mJy), cut to the frame."""
    with fits.open(folder / "spitzer_example_image.fits") as hdus:
        image, wcs = np.asarray(hdus[0].data, dtype=float), WCS(hdus[0].header)
    table = Table.read(folder / "spitzer_example_catalog.xml")
    x, y = wcs.all_world2pix(table["l"], table["b"], 0)
    n_y, n_x = image.shape
    inside = (x > -0.5) & (x < n_x - 0.5) & (y > -0.5) & (y < n_y - 0.5)
    return Mosaic(image, x[inside], y[inside], np.asarray(table["f4_5"], dtype=float)[inside])


def read_prf(folder: Path) -> tuple[np.ndarray, float]:
    """Return the flight PRF and its pixels to one of the mosaic, as its header says."""
    with fits.open(folder / "irac_ch2_flight.fits") as hdus:
        return np.asarray(hdus[0].data, dtype=float), PIXEL / float(hdus[0].header["SECPIX"])


def find_turn(folder: Path) -> float:
    """Return by how much the frames are turned in the mosaic, degrees from x towards y.

    PA_AVE is the position angle of the frames' second axis, from celestial north through east; that
    of the mosaic points to galactic north, and both have east on the left.
    """
    with fits.open(folder / "spitzer_example_image.fits") as hdus:
        header = hdus[0].header
    middle, above = (
        SkyCoord(
            *WCS(header).all_pix2world(header["NAXIS1"] / 2, y, 0), unit="deg", frame="galactic"
        )
        for y in (header["NAXIS2"] / 2, header["NAXIS2"] / 2 + 10)
    )
    north = middle.icrs.position_angle(above.icrs).deg
    return float(header["PA_AVE"]) - float(north)


def choose_psf(folder: Path):
    """Return the PSF of the fits: the flight PRF as a mosaic shows it, its width free.

    The PRF is turned as the frames are. A mosaic takes each pixel of a frame for a square of even
    brightness and averages that over its own square. On average over the positions of frames the
    PSF is convolved with both squares, of one pixel each (1.213 and 1.2 arcsec): along an axis a
    triangle.
    """
    psf = bp.read_psf(folder / "irac_ch2_flight.fits", oversampling=read_prf(folder)[1])
    # Positive angles turn from y towards x here.
    turned = rotate(psf.data, -find_turn(folder), reshape=False, order=3)
    side = np.ones(psf.oversampling[0]) / psf.oversampling[0]
    triangle = np.convolve(side, side)
    data = convolve2d(turned, np.outer(triangle, triangle))
    grown = (triangle.size - 1) // 2
    origin = (psf.origin[0] + grown, psf.origin[1] + grown)
    mosaic_psf = bp.ImagePSF(data, oversampling=psf.oversampling, origin=origin)
    mosaic_psf.width.fixed = False
    return mosaic_psf


def find_correction(folder: Path) -> float:
    """Return mJy inside the calibration's aperture for one MJy/sr x pixel of the whole PRF."""
    prf, oversampling = read_prf(folder)
    y, x = np.indices(prf.shape)
    middle = (prf.shape[1] - 1) / 2, (prf.shape[0] - 1) / 2
    radius = np.hypot(x - middle[0], y - middle[1]) * PIXEL / oversampling
    share = prf[radius <= APERTURE].sum() / prf.sum()
    area = (PIXEL * units.arcsec) ** 2
    return float((units.MJy / units.sr * area).to(units.mJy).value) * float(share)


def find_psf_error(mosaic: Mosaic) -> bp.PSFError:
    """Return how the mosaic's stars differ from one PSF: undersampled, each has its own phase."""
    side = 2 * round(APERTURE / PIXEL) + 1
    return bp.build_psf(mosaic.image, mask=~np.isfinite(mosaic.image), size=side).psf_error


def configure(psf, *, n_jobs: int = 2, sampler=None, psf_error=None):
    """Return the photometry. Shapes of undersampled stars vary: the odds decide what is one."""
    return bp.IterativelySubtractedPSFPhotometry(
        psf_model=psf,
        fitshape=9,
        finder=bp.DAOStarFinder(
            nsigma=5.0, fwhm=FINDER_FWHM, sharplo=0.0, sharphi=2.0, roundlo=-2.0, roundhi=2.0
        ),
        group_maker=bp.DAOGroup(1.5 * FINDER_FWHM),
        bkg_estimator=bp.MeshBackground(32),
        fit_background="prior",
        shape="image",
        psf_error=psf_error,
        sampler=sampler,
        n_jobs=n_jobs,
        seed=SEED,
    )


def compare(table, mosaic: Mosaic, correction: float) -> list[Row]:
    """Return completeness, ratio and scatter beside the catalogue's fluxes."""
    table = table[np.isfinite(np.asarray(table["flux_median"]))]
    x, y, flux = (np.asarray(table[key], dtype=float) for key in ("x_fit", "y_fit", "flux_median"))
    row = match_nearest(mosaic.x, mosaic.y, x, y, radius=MATCH)
    found = row >= 0
    ratio = correction * flux[row[found]] / mosaic.flux[found]
    width = float(table["width_fit"][0])
    print(
        f"{len(table)} sources, width factor {width:.4f}, correction {correction:.5f} mJy; "
        f"catalogue off by ({np.median((x[row] - mosaic.x)[found]):+.2f}, "
        f"{np.median((y[row] - mosaic.y)[found]):+.2f}) px"
    )
    return [
        asked_least("catalogue's sources found", found.mean(), 0.97, found.size, SEED),
        asked_within("median flux ratio", np.median(ratio), (0.95, 1.05), found.sum(), SEED),
        asked_most("scatter, mag", robust_sd(2.5 * np.log10(ratio)), 0.06, found.sum(), SEED),
    ]


def measure(folder: Path, *, n_jobs: int = 2) -> list[Row]:
    """Measure the mosaic; return all rows."""
    folder = folder / "spitzer_glimpse"
    mosaic = read_mosaic(folder)
    phot = configure(choose_psf(folder), n_jobs=n_jobs, psf_error=find_psf_error(mosaic))
    table = phot(mosaic.image, mask=~np.isfinite(mosaic.image)).table
    return compare(table, mosaic, find_correction(folder))


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    options = add_options(__doc__).parse_args()
    began = time.perf_counter()
    rows = measure(find_data(options.data), n_jobs=options.n_jobs)
    return print_table("Spitzer and GLIMPSE", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
