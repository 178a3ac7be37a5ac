"""Every stage can be the user's own or photutils': finder, grouping, sky, PSF."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats
from astropy.table import Table
from numpy.testing import assert_array_equal
from pipeline_scenes import SIGMA, configure_loop, make_trio

import bayesphot as bp

FWHM = 2.3548 * SIGMA


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


def find_peaks(data, mask=None):
    """A user's finder: pixels above all neighbours and a height."""
    inner = data[1:-1, 1:-1]
    shifts = [data[1 + i : data.shape[0] - 1 + i, 1 + j : data.shape[1] - 1 + j]
              for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]  # fmt: skip
    y, x = np.nonzero((inner > 18.0) & np.all([inner > other for other in shifts], axis=0))
    return Table({"x_peak": x + 1, "y_peak": y + 1}) if x.size else None


def group_by_hand(table):
    """A user's grouping: left and right half."""
    table = table.copy()
    table["group_id"] = np.where(np.asarray(table["x_0"]) < 25.0, 4, 9)
    return table


def make_their_stages():
    """Stages of users and of photutils, by the argument they stand in."""
    photutils = pytest.importorskip("photutils", reason="photutils' own stages plug in")
    from photutils import background, detection, psf

    assert photutils
    return {
        "our IRAF finder": {"finder": bp.IRAFStarFinder(fwhm=FWHM, threshold=12.0)},
        "a function finds": {"finder": find_peaks},
        "their DAO finder": {"finder": detection.DAOStarFinder(12.0, fwhm=FWHM)},
        "their IRAF finder": {"finder": detection.IRAFStarFinder(12.0, fwhm=FWHM)},
        "our DBSCAN": {"group_maker": bp.DBSCANGroup(8.0)},
        "a function groups tables": {"group_maker": group_by_hand},
        "a function groups positions": {
            "group_maker": lambda x, y: np.where(np.asarray(x) < 25.0, 7, 3)
        },
        "their grouper": {"group_maker": psf.SourceGrouper(8.0)},
        "our median": {"bkg_estimator": bp.MedianBackground()},
        "a number": {"bkg_estimator": 20.0},
        "a function of the sky": {"bkg_estimator": lambda data: sigma_clipped_stats(data)[1]},
        "a map of the sky": {"bkg_estimator": lambda data: np.full(data.shape, 20.0)},
        "their MMM": {"bkg_estimator": background.MMMBackground()},
        "their median": {"bkg_estimator": background.MedianBackground()},
        "their PRF by FWHM": {"psf_model": psf.CircularGaussianPRF(fwhm=SIGMA * 2.354820045)},
        "their PRF by sigma": {"psf_model": psf.CircularGaussianSigmaPRF(sigma=SIGMA)},
    }


@pytest.mark.parametrize(
    "name",
    [
        "our IRAF finder",
        "a function finds",
        "their DAO finder",
        "their IRAF finder",
        "our DBSCAN",
        "a function groups tables",
        "a function groups positions",
        "their grouper",
        "our median",
        "a number",
        "a function of the sky",
        "a map of the sky",
        "their MMM",
        "their median",
        "their PRF by FWHM",
        "their PRF by sigma",
    ],
)
def test_stages_can_be_replaced_by_users_and_by_photutils(trio, name):
    """The same three stars in the same two groups."""
    image, error, _ = trio
    reference = configure_loop(sampler=False)(image, error=error)
    result = configure_loop(sampler=False, **make_their_stages()[name])(image, error=error)
    assert len(result) == 3
    ours, theirs = np.argsort(reference["x_fit"]), np.argsort(result["x_fit"])
    assert result["group_size"][theirs].tolist() == [2, 2, 1]
    for kind in ("x", "y", "flux"):
        difference = result[f"{kind}_fit"][theirs] - reference[f"{kind}_fit"][ours]
        # Another sky level or start: far below the errors, but not zero.
        assert np.all(np.abs(difference) < 0.3 * reference[f"{kind}_fit_err"][ours]), kind


def test_finder_sees_the_sky_subtracted_and_then_the_residual(trio):
    """Round after round, with zeros on bad pixels and the mask."""
    image, error, _ = trio
    seen = []
    mask = np.zeros(image.shape, dtype=bool)
    mask[2:5, 2:5] = True

    def finder(data, mask=None):
        seen.append((data.copy(), mask))
        return find_peaks(data)

    configure_loop(finder=finder, sampler=False)(image, error=error, mask=mask)
    assert len(seen) == 2
    first, second = seen[0][0], seen[1][0]
    assert abs(np.median(first)) < 0.5
    assert first.max() > 40.0
    assert second.max() < 18.0
    assert_array_equal(first[mask], 0.0)
    assert_array_equal(seen[0][1], mask)


def test_users_objects_are_left_as_they_were(trio):
    """Finder thresholds, group makers and models do not change from call to call."""
    image, error, _ = trio
    phot = configure_loop(finder=bp.DAOStarFinder(fwhm=FWHM, threshold=12.0), sampler=False)
    before = repr(phot)
    first = phot(image, error=error)
    second = phot(image, error=error)
    assert repr(phot) == before
    assert_array_equal(first["flux_fit"], second["flux_fit"])
