"""The mock fields of the probabilistic-cataloguing papers, fitted jointly from the truth.

    python benchmarks/real_images/pcat_mocks.py [--fields pcat_mock50 pcat_mock]

250 stars on 50 x 50 pixels and 1000 on 100 x 100 at a FWHM of 2.2: each star has two others within
a FWHM or so, and the whole field is one group. The number of stars and about where they are is
given; places and fluxes are free. Errors are those of the joint covariance of all stars. Photon
noise of the gain on a known sky; the simulation has no read noise.
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
from scipy.spatial import cKDTree

import bayesphot as bp

SEED = 250
FIELDS = ("pcat_mock50", "pcat_mock")
#: Stars that are counted: this bright (DN), no other star this near (pixels).
BRIGHT = 1000.0
ALONE = 1.0
#: Stars this near belong together (pixels).
LINK = 4.0
#: The PSF's image is 25 pixels wide; all of it is fitted.
BOX = 25


@dataclass(frozen=True)
class Mock:
    """The image with what its makers put into it."""

    image: np.ndarray
    gain: float
    sky: float
    truth: Table
    psf: bp.ImagePSF


def read_mock(path: Path) -> Mock:
    """Return a mock field."""
    with fits.open(path) as hdus:
        image, header = np.asarray(hdus[0].data, dtype=float), hdus[0].header
        truth, stamp = Table(hdus["TRUTH"].data), hdus["PSF"]
        origin = stamp.header["XCEN"], stamp.header["YCEN"]
        psf = bp.ImagePSF(stamp.data, oversampling=stamp.header["OVERSAMP"], origin=origin)
    return Mock(image, float(header["GAIN"]), float(header["SKYDN"]), truth, psf)


def configure(mock: Mock):
    """Return the photometry: one joint fit of everything."""
    return bp.BasicPSFPhotometry(
        psf_model=mock.psf,
        fitshape=BOX,
        group_maker=bp.DAOGroup(LINK),
        max_group_size=None,
        bkg_estimator=mock.sky,
        fit_background=False,
        noise=bp.CCDNoise(gain=mock.gain, read_noise=0.0),
        sampler=False,
        seed=SEED,
    )


def measure_mock(mock: Mock) -> Table:
    """Return the table of the joint fit, in the order of the truth."""
    truth = mock.truth
    starts = Table({"x_0": truth["x"], "y_0": truth["y"], "flux_0": truth["flux"]})
    return configure(mock)(mock.image, positions=starts).table


def compare(name: str, table, truth) -> list[Row]:
    """Return the scatter of the pulls of bright stars without a neighbour within a pixel."""
    x, y, flux = (np.asarray(truth[key], dtype=float) for key in ("x", "y", "flux"))
    places = np.column_stack([x, y])
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    counted = (flux > BRIGHT) & (nearest > ALONE)
    rows = []
    for key, true, band in (
        ("x", x, (0.85, 1.1)),
        ("y", y, (0.85, 1.1)),
        ("flux", flux, (0.9, 1.2)),
    ):
        pull = (np.asarray(table[f"{key}_fit"], dtype=float) - true) / table[f"{key}_fit_err"]
        pull = np.asarray(pull)[counted]
        what = f"{name}: sd of pull of {key}"
        rows.append(asked_within(what, pull.std(), band, counted.sum(), SEED))
        print(
            f"{name} {key}: median pull {np.median(pull):+.3f}, robust sd "
            f"{1.4826 * np.median(np.abs(pull - np.median(pull))):.3f}, "
            f"largest {np.abs(pull).max():.1f}"
        )
    return rows


def measure(folder: Path, fields=FIELDS) -> list[Row]:
    """Fit the fields; return all rows."""
    rows = []
    for name in fields:
        mock = read_mock(folder / f"{name}.fits")
        began = time.perf_counter()
        table = measure_mock(mock)
        print(
            f"{name}: groups of {sorted(set(table['group_size']))}, reduced chi2 "
            f"{np.median(table['reduced_chi2']):.3f}, {time.perf_counter() - began:.0f} s"
        )
        rows += compare(name, table, mock.truth)
    return rows


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    parser = add_options(__doc__)
    parser.add_argument("--fields", nargs="+", choices=FIELDS, default=FIELDS)
    options = parser.parse_args()
    began = time.perf_counter()
    rows = measure(find_data(options.data), options.fields)
    return print_table("PCAT's mock fields", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
