"""STDPSF files of several detectors: photutils' own reader finds the same."""

from __future__ import annotations

import numpy as np
import pytest
from stdpsf_files import CAMERAS, write_stdpsf

import bayesphot as bp

theirs = pytest.importorskip("photutils.psf", reason="photutils' reader is the referee")

#: Its numbers of the detectors, from 1; of two chips the lower is the first.
NUMBERED = {
    "ACS/WFC": ("WFC2", "WFC1"),
    "WFC3/UVIS": ("UVIS2", "UVIS1"),
    "WFPC2": ("PC", "WF2", "WF3", "WF4"),
    "NIRCam SW": ("A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"),
}


def read_both(path, camera: str):
    """Yield our model and photutils' of each detector of a file."""
    write_stdpsf(path, camera)
    for number, name in enumerate(NUMBERED[camera], start=1):
        referee = theirs.GriddedPSFModel.read(path, format="stdpsf", detector_id=number)
        yield bp.read_psf(path, detector=name), referee


@pytest.mark.parametrize("camera", CAMERAS)
def test_grids_are_those_that_photutils_reads(tmp_path, camera) -> None:
    for ours, referee in read_both(tmp_path / "psf.fits", camera):
        np.testing.assert_array_equal(ours.positions, referee.grid_xypos)
        np.testing.assert_array_equal(ours.data, referee.data)


@pytest.mark.parametrize("camera", CAMERAS)
def test_stars_are_those_of_photutils(tmp_path, camera) -> None:
    width, height = CAMERAS[camera][2]
    for ours, referee in read_both(tmp_path / "psf.fits", camera):
        for place in ((0.31 * width, 0.62 * height), (0.87 * width, 0.13 * height)):
            y, x = (np.round(place[i]) + np.arange(-2, 3.0) for i in (1, 0))
            pixels = np.meshgrid(x, y)
            ours.x_0, ours.y_0 = referee.x_0, referee.y_0 = place
            expected = referee(*pixels)
            # The same splines but for their edges, 5 sigma from the centre, where it is dark.
            np.testing.assert_allclose(ours(*pixels), expected, atol=1e-6 * expected.max())
