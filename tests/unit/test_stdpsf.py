"""STDPSF files of several detectors, written here as the library has them.

Places count from 1, or with the rims of the detectors from 0, and run on over the mosaic; images
are rows from the bottom, over all detectors. 9999 stands in keywords that a file does not use.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from stdpsf_files import CAMERAS, find_parts, write_stdpsf

import bayesphot as bp
from bayesphot.cli import main
from bayesphot.readers import ReadError


@pytest.mark.parametrize("camera", CAMERAS)
def test_each_detector_has_its_images_in_its_own_pixels(tmp_path, camera) -> None:
    cube = write_stdpsf(tmp_path / "psf.fits", camera)
    columns, rows, size, names = CAMERAS[camera]
    for name, (i, j) in find_parts(names).items():
        psf = bp.read_psf(tmp_path / "psf.fits", detector=name)
        own_x = np.array_split(columns, len(names[0]))[i]
        own_y = np.array_split(rows, len(names))[j]
        expected = [(x - i * size[0] - 1, y - j * size[1] - 1) for y in own_y for x in own_x]
        np.testing.assert_array_equal(psf.positions, expected)
        in_rows = [
            cube[(j * own_y.size + row) * len(columns) + i * own_x.size + column]
            for row in range(own_y.size)
            for column in range(own_x.size)
        ]
        np.testing.assert_array_equal(psf.data, np.float32(in_rows))
        assert psf.oversampling == (4, 4)


def test_the_upper_chip_begins_at_its_own_first_row(tmp_path) -> None:
    write_stdpsf(tmp_path / "psf.fits", "WFC3/UVIS")
    upper, lower = (
        bp.read_psf(tmp_path / "psf.fits", detector=name).positions for name in ("UVIS1", "uvis2")
    )
    assert (upper[:, 1].min(), upper[:, 1].max()) == (0, 2047)
    assert (lower[:, 1].min(), lower[:, 1].max()) == (-1, 2047)


@pytest.mark.parametrize(
    ("camera", "choices"),
    [
        ("ACS/WFC", r"WFC1, WFC2 \(WFC1 above, SCI 2; WFC2 below, SCI 1\)"),
        ("WFC3/UVIS", r"UVIS1, UVIS2 \(UVIS1 above, SCI 2; UVIS2 below, SCI 1\)"),
        ("WFPC2", "PC, WF2, WF3, WF4"),
        ("NIRCam SW", "A1, A2, A3, A4, B1, B2, B3, B4"),
    ],
)
def test_a_missing_or_wrong_detector_is_told_the_choices(tmp_path, camera, choices) -> None:
    path = tmp_path / "psf.fits"
    write_stdpsf(path, camera)
    with pytest.raises(ReadError, match=f"detector must be one of {choices}, found None"):
        bp.read_psf(path)
    with pytest.raises(ReadError, match=f"detector must be one of {choices}, found 'C7'"):
        bp.read_psf(path, detector="C7")
    with pytest.raises(TypeError, match="detector must be the name of one, .* found 1"):
        bp.read_psf(path, detector=1)


def test_names_of_nircam_may_have_those_of_their_camera(tmp_path) -> None:
    write_stdpsf(tmp_path / "psf.fits", "NIRCam SW")
    plain, long = (bp.read_psf(tmp_path / "psf.fits", detector=name) for name in ("B3", "nrcb3"))
    np.testing.assert_array_equal(plain.data, long.data)


def test_a_file_of_one_detector_knows_no_other(tmp_path) -> None:
    path = tmp_path / "psf.fits"
    # As many images as of WFPC2's four, on one detector of 1014 pixels.
    write_stdpsf(path, ([1, 203, 406, 609, 812, 1014], [1, 203, 406, 609, 812, 1014]))
    assert bp.read_psf(path).positions.max() == 1013
    with pytest.raises(ReadError, match="detector must be None for a file of one, found 'PC'"):
        bp.read_psf(path, detector="PC")
    image = np.ones((9, 9)) + 30.0 * np.outer(np.hanning(9), np.hanning(9))
    fits.writeto(path, image, fits.Header({"OVERSAMP": 1}), overwrite=True)
    with pytest.raises(ValueError, match="detector is for STDPSF files of several, found 'PC'"):
        bp.read_psf(path, detector="PC")


def test_places_that_make_no_grid_are_refused(tmp_path) -> None:
    path = tmp_path / "psf.fits"
    write_stdpsf(path, ([1, 500, 1014], [1, 500, 500, 1014]))
    with pytest.raises(ReadError, match="3 different x and 4 different y"):
        bp.read_psf(path)
    write_stdpsf(path, "NIRCam SW", drop="IPSFXD5")
    with pytest.raises(ReadError, match="20 numbers in IPSFX01 ... or IPSFXA5 ..., found 15"):
        bp.read_psf(path, detector="A1")


def test_the_command_line_asks_for_the_detector(tmp_path, capsys) -> None:
    path = tmp_path / "psf.fits"
    write_stdpsf(path, "WFC3/UVIS")
    image = np.random.default_rng(1).normal(0.0, 1.0, (40, 40))
    bright = bp.read_psf(path, detector="UVIS1")
    bright.x_0, bright.y_0, bright.flux = 20.3, 19.8, 3000.0
    y, x = np.mgrid[:40, :40]
    fits.writeto(tmp_path / "image.fits", image + bright(x, y))
    run = ["run", str(tmp_path / "image.fits"), "--error", "1", "--sampler", "none", "--quiet"]
    run += ["--out", str(tmp_path / "out"), "--background", "none"]
    assert main([*run, "--psf", str(path)]) == 2
    assert "detector must be one of UVIS1, UVIS2" in capsys.readouterr().err
    assert main([*run, "--fwhm", "2", "--psf-detector", "UVIS1"]) == 2
    assert "--psf-detector is one of the file in --psf" in capsys.readouterr().err
    assert main([*run, "--psf", str(path), "--psf-detector", "UVIS1"]) == 0
    (flux,) = bp.PhotometryResult.read(tmp_path / "out")["flux_fit"]
    # The noise of the fit is some 4.
    assert abs(flux - 3000.0) < 30.0
