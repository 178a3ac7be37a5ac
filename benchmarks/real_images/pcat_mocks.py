"""The mock fields of the probabilistic-cataloguing papers, fitted jointly from the truth.

    python benchmarks/real_images/pcat_mocks.py [--fields pcat_mock50 pcat_mock] [--scatter 0.1]

250 stars on 50 x 50 pixels and 1000 on 100 x 100 at a FWHM of 2.2: each star has others within a
FWHM, and a field hangs together. The number of stars and about where they are is given; places and
fluxes are free. A dense fit takes as the cube of its stars, so that a field is worked in tiles: all
stars of a tile and of a margin about it are one group, fitted jointly, those further out are taken
from the image as they truly are, and the stars of the tile are counted. Errors are those of the
joint covariance of the group. Sky and noise are those of the simulation: the variance of a pixel is
what all stars and the sky put into it over the gain, which a tile cannot know of stars taken out.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack
from comparison import Row, add_options, asked_within, find_data, print_table
from scipy.spatial import cKDTree

import bayesphot as bp

SEED = 250
FIELDS = ("pcat_mock50", "pcat_mock")
#: Stars that are counted: this bright (DN), no other star this near (pixels).
BRIGHT = 1000.0
ALONE = 1.0
#: Side of a tile, and the margin whose stars are fitted with it (pixels): beyond 4 pixels the
#: covariance of stars of a FWHM of 2.2 is nothing.
TILE = 25
MARGIN = 5
#: Boxes cover the field together; the light of a star counts wherever it is above the noise.
BOX = 9


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
    """Return the photometry: one joint fit of all stars that it is given."""
    return bp.BasicPSFPhotometry(
        psf_model=mock.psf,
        fitshape=BOX,
        group_maker=lambda x, y: np.zeros(len(x), dtype=int),
        max_group_size=None,
        bkg_estimator=mock.sky,
        fit_background=False,
        sampler=False,
        seed=SEED,
    )


def draw_light(mock: Mock, rows: np.ndarray) -> np.ndarray:
    """Return the light of some stars of the truth."""
    light = np.zeros(mock.image.shape)
    reach = mock.psf.data.shape[0] // mock.psf.oversampling[0] // 2 + 1
    for x_0, y_0, flux in mock.truth["x", "y", "flux"][rows].iterrows():
        low_x, low_y = (max(int(place) - reach, 0) for place in (x_0, y_0))
        part = light[low_y : int(y_0) + reach + 2, low_x : int(x_0) + reach + 2]
        y, x = np.indices(part.shape)
        part += mock.psf.evaluate(x + low_x, y + low_y, flux, x_0, y_0, 1.0)
    return light


def find_error(mock: Mock) -> np.ndarray:
    """Return the noise of the simulation, which has no read noise."""
    light = draw_light(mock, np.arange(len(mock.truth)))
    return np.sqrt((mock.sky + np.maximum(light, 0.0)) / mock.gain)


def scatter_starts(mock: Mock, scatter: float) -> np.ndarray:
    """Return normal offsets (2, n) of the starts from the truth, pixels."""
    return np.random.default_rng(SEED).normal(0.0, scatter, (2, len(mock.truth)))


def measure_tile(phot, mock: Mock, off, low_x: int, low_y: int) -> tuple[np.ndarray, Table]:
    """Return which stars of the truth a tile has, and their rows of the table of its fit."""
    x, y = (np.asarray(mock.truth[axis], dtype=float) for axis in "xy")

    def lies_within(margin: float) -> np.ndarray:
        # Stars of the border may lie half a pixel outside.
        inside = np.ones(x.size, dtype=bool)
        for place, low, side in ((x, low_x, mock.image.shape[1]), (y, low_y, mock.image.shape[0])):
            first = -np.inf if low == 0 else low - margin
            last = np.inf if low + TILE >= side else low + TILE + margin
            inside &= (place >= first) & (place < last)
        return inside

    rows = np.flatnonzero(lies_within(MARGIN))
    rest = np.setdiff1d(np.arange(x.size), rows)
    starts = {"x_0": (x + off[0])[rows], "y_0": (y + off[1])[rows]}
    starts = Table(starts | {"flux_0": mock.truth["flux"][rows]})
    image = mock.image - draw_light(mock, rest)
    table = phot(image, error=find_error(mock), positions=starts).table
    counted = lies_within(0.0)[rows]
    return rows[counted], table[counted]


def measure_mock(mock: Mock, *, scatter: float = 0.0) -> Table:
    """Return the rows of all stars, each from the fit of its tile, in the order of the truth."""
    phot, off = configure(mock), scatter_starts(mock, scatter)
    n_y, n_x = mock.image.shape
    tiles = [(x, y) for y in range(0, n_y, TILE) for x in range(0, n_x, TILE)]
    parts = [measure_tile(phot, mock, off, x, y) for x, y in tiles]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return vstack([table for _, table in parts], metadata_conflicts="silent")[order]


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


def measure(folder: Path, fields=FIELDS, *, scatter: float = 0.0) -> list[Row]:
    """Fit the fields; return all rows."""
    rows = []
    for name in fields:
        mock = read_mock(folder / f"{name}.fits")
        began = time.perf_counter()
        table = measure_mock(mock, scatter=scatter)
        sizes = sorted({int(size) for size in table["group_size"]})
        print(
            f"{name}: groups of {sizes}, reduced chi2 "
            f"{np.median(table['reduced_chi2']):.3f}, {time.perf_counter() - began:.0f} s"
        )
        unmoved = np.asarray(table["x_fit"]) == np.asarray(table["x_0"])
        print(f"{name}: stars that did not move from their starts: {unmoved.sum()}")
        rows += compare(name, table, mock.truth)
    return rows


def main() -> int:
    """Print the comparison; return the number of rows out of their bands."""
    parser = add_options(__doc__)
    parser.add_argument("--fields", nargs="+", choices=FIELDS, default=FIELDS)
    parser.add_argument("--scatter", type=float, default=0.0, help="sd of starts, pixels")
    options = parser.parse_args()
    began = time.perf_counter()
    rows = measure(find_data(options.data), options.fields, scatter=options.scatter)
    return print_table("PCAT's mock fields", rows, began=began)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
