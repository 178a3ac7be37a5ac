"""The images of this folder with the PSF built from their own stars.

    python benchmarks/real_images/own_psf.py [ngc6871] [s82] [spitzer] [--pictures FOLDER]

The settings are those of the other scripts; what differs is the PSF, and for NGC 6871 the aperture:
ALLSTAR's fluxes are the light within the 24 pixels of DAOPHOT's tables, ours that within our stamp,
and the share of it near the centre varies over the field in both. Magnitudes are compared as they
are, and as those within 1.5 FWHM, where stars are fitted, each by its own PSF.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import ngc6871
import numpy as np
import s82_stripe82 as s82
import spitzer_glimpse as glimpse
from astropy.table import Table
from comparison import (
    Row,
    add_options,
    asked_most,
    find_data,
    match_nearest,
    print_table,
    robust_sd,
)

import bayesphot as bp

#: Pixels at which NGC 6871's detector no longer counts (16 bits, less the bias).
SATURATION = 50_000.0
#: Radius of the common aperture, FWHM.
APERTURE = 1.5


def build(image, *, name: str, pictures: Path | None, **settings) -> bp.PSFBuild:
    """Return the PSF of an image; print what it cost and save its picture."""
    began, cpu = time.perf_counter(), time.process_time()
    built = bp.build_psf(image, **settings)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{name}: built in {seconds:.1f} s, {cpu:.1f} s of CPU\n{built.summary()}")
    if pictures is not None:
        built.plot(path=pictures / f"psf_{name}.png")
    return built


def find_share(psf, x, y, radius: float) -> np.ndarray:
    """Return the flux of a PSF within a radius, pixels, at places on the detector."""
    images = np.atleast_3d(np.asarray(psf.data).T).T
    step = np.asarray(psf.oversampling)
    n_y, n_x = images.shape[1:]
    dy = (np.arange(n_y) - (n_y - 1) / 2) / step[0]
    dx = (np.arange(n_x) - (n_x - 1) / 2) / step[1]
    # Nodes at the rim count by how far they are inside.
    inside = np.clip((radius - np.hypot(dx, dy[:, None])) * step[0] + 0.5, 0.0, 1.0)
    sums = (images * inside).sum(axis=(1, 2)) / step.prod()
    if len(images) == 1:
        return np.full(np.shape(x), sums[0])
    u = (np.asarray(x) - psf.middle[0]) / psf.scale[0]
    v = (np.asarray(y) - psf.middle[1]) / psf.scale[1]
    terms = [u ** (d - k) * v**k for d in range(psf.degree + 1) for k in range(d + 1)]
    return np.tensordot(sums, np.array(terms), axes=1)


def measure_ngc6871(folder: Path, pictures: Path | None, n_jobs: int) -> list[Row]:
    """Return scatters against ALLSTAR, as they are and within a common aperture."""
    folder = folder / "ngc6871_daophot"
    field = ngc6871.read_field(folder)
    noise = bp.CCDNoise(gain=field.gain, read_noise=field.read_noise)
    built = build(
        field.image, name="ngc6871", pictures=pictures, noise=noise, saturation=SATURATION
    )
    phot = ngc6871.configure(built.psf, field, n_jobs=n_jobs, sampler=False)
    stars = ngc6871.read_stars(phot(field.image).table)
    allstar = ngc6871.read_allstar(folder / "NGC6871.als")
    print("as they are:")
    rows = [
        replace(row, what=f"as they are: {row.what}")
        for row in ngc6871.compare_allstar(stars, allstar)
    ]
    radius = APERTURE * ngc6871.FWHM
    ours = replace(stars, flux=stars.flux * find_share(built.psf, stars.x, stars.y, radius))
    x, y, mag = allstar
    theirs = mag - 2.5 * np.log10(find_share(ngc6871.choose_psf(folder), x, y, radius))
    row = match_nearest(x, y, ours.x, ours.y, radius=ngc6871.MATCH)
    difference = np.where(row >= 0, ours.magnitude[row] - theirs, np.nan)
    difference -= np.nanmedian(difference[mag < 17.0])
    for low, high, most in ((0, 17, 0.009), (17, 19, 0.02), (19, 20, 0.03)):
        here = (mag >= low) & (mag < high) & np.isfinite(difference)
        what = f"within {APERTURE:g} FWHM: scatter at I = {low} to {high}, mag"
        rows.append(
            asked_most(what, robust_sd(difference[here]), 1.3 * most, here.sum(), ngc6871.SEED)
        )
    return rows


def measure_s82(folder: Path, pictures: Path | None, n_jobs: int) -> list[Row]:
    """Return what the coadd says of the frame fitted with its own PSF and that PSF's error."""
    path = folder / "s82_r.fits.gz"
    frame = s82.read_frame(path)
    built = build(frame.image, name="s82", pictures=pictures, error=frame.error)
    own = replace(frame, psf=built.psf)
    phot = s82.configure(own, psf_error=built.psf_error, n_jobs=n_jobs)
    result = phot(frame.image, error=frame.error)
    lists = {", own PSF and its error": s82.read_stars(result.table)}
    return s82.compare(lists, s82.read_coadd(path), s82.read_survey(path))


def measure_spitzer(folder: Path, pictures: Path | None, n_jobs: int) -> list[Row]:
    """Return what GLIMPSE says of the mosaic fitted with its own PSF and that PSF's error.

    The stamp of the PSF ends within an arcsecond of the aperture of the calibration: its flux is
    that in the aperture, and only the area of the pixel remains.
    """
    folder = folder / "spitzer_glimpse"
    mosaic = glimpse.read_mosaic(folder)
    bad = ~np.isfinite(mosaic.image)
    side = 2 * round(glimpse.APERTURE / glimpse.PIXEL) + 1
    built = build(mosaic.image, name="spitzer", pictures=pictures, mask=bad, size=side)
    if pictures is not None:
        draw_profiles(built, glimpse.choose_psf(folder), pictures / "psf_spitzer_flight.png")
    phot = glimpse.configure(built.psf, n_jobs=n_jobs, psf_error=built.psf_error)
    phot = replace(phot, shape="group")
    table = Table(phot(mosaic.image, mask=bad).table, copy=True)
    table["width_fit"] = 1.0
    area = (glimpse.PIXEL * glimpse.units.arcsec) ** 2
    flux = (glimpse.units.MJy / glimpse.units.sr * area).to(glimpse.units.mJy).value
    return glimpse.compare(table, mosaic, float(flux))


def draw_profiles(built: bp.PSFBuild, flight, path: Path) -> None:
    """Draw the profile of the built PSF and that of the flight PRF as a mosaic shows it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.5), layout="constrained")
    panel = figure.subplots()
    for psf, name in ((built.psf, "built from the mosaic"), (flight, "flight PRF on the mosaic")):
        image, step = np.atleast_3d(np.asarray(psf.data).T).T[0], psf.oversampling[0]
        n_y, n_x = image.shape
        x, y = np.meshgrid(np.arange(n_x) - (n_x - 1) / 2, np.arange(n_y) - (n_y - 1) / 2)
        ring = np.rint(np.hypot(x, y)).astype(int).ravel()
        mean = np.bincount(ring, image.ravel()) / np.bincount(ring)
        radius = np.arange(mean.size) / step
        # Both as shares of the light within ten pixels.
        total = image[np.hypot(x, y) <= 10.0 * step].sum() / step**2
        panel.plot(radius, mean / total, label=name)
    panel.set(
        xlabel="distance (pixels of 1.2 arcsec)",
        ylabel="flux per pixel / flux within 10 pixels",
        yscale="log",
        xlim=(0, 10),
        ylim=(1e-5, 1),
        title="PSF of the mosaic",
    )
    panel.legend()
    figure.savefig(path, dpi=150)


MEASURES = {"ngc6871": measure_ngc6871, "s82": measure_s82, "spitzer": measure_spitzer}


def main() -> int:
    """Print the comparisons; return the number of rows out of their bands."""
    parser = add_options(__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASURES, []], help="default: all")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the PSFs")
    options = parser.parse_args()
    out = 0
    for name in options.names or MEASURES:
        began = time.perf_counter()
        rows = MEASURES[name](find_data(options.data), options.pictures, options.n_jobs)
        out += print_table(f"{name} with its own PSF", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
