"""PSF files: written here as the tools write them, read back, and broken in every way."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.special import erf

import bayesphot as bp
from bayesphot.readers import ReadError


def make_bell(sigma, side, step, middle=None):
    """Return a Gaussian's light in pixels of the data, sampled ``step`` times a pixel."""
    middle = (side - 1) / 2 if middle is None else middle
    offset = (np.arange(side) - middle) / step
    return np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / sigma**2) / (2 * np.pi * sigma**2)


def write_stdpsf(path, n=(2, 3), x=(1, 507), y=(1, 300, 1014)):
    """Write a grid as the STDPSF library has it."""
    cube = np.array([make_bell(1.0 + 0.1 * k, 41, 4) for k in range(n[0] * n[1])])
    header = fits.Header({"NXPSFS": n[0], "NYPSFS": n[1]})
    for i in range(10):
        header[f"IPSFX{i + 1:02d}"] = x[i] if i < len(x) else 9999
        header[f"JPSFY{i + 1:02d}"] = y[i] if i < len(y) else 9999
    fits.writeto(path, cube.astype(">f4"), header, overwrite=True)
    return cube


def write_stpsf(path, scale=1.0, **changes):
    """Write a grid as STPSF does."""
    cube = np.array([make_bell(1.0 + 0.1 * k, 41, 4) for k in range(4)]) * scale
    header = fits.Header({"OVERSAMP": 4})
    for k, place in enumerate([(0.0, 0.0), (0.0, 2047.0), (2047.0, 0.0), (2047.0, 2047.0)]):
        header[f"DET_YX{k}"] = (f"({place[0]}, {place[1]})", "The #0 PSF's (y,x) pixel position")
    for key, value in changes.items():
        header[key] = value
    fits.writeto(path, cube, header, overwrite=True)
    return cube


def write_psfex(path, sampling=0.4, degree=2, names=("X_IMAGE", "Y_IMAGE"), **changes):
    """Write a model as PSFEx does: light per own pixel, x's power runs first."""
    bell = make_bell(1.3, 45, 1 / sampling) * sampling**2
    line = (np.arange(45) - 22) * sampling
    powers = [(i, j) for j in range(degree + 1) for i in range(degree + 1 - j)]
    cube = np.array([bell * (1 if p == (0, 0) else 0.01 * (p[0] + 2 * p[1])) for p in powers])
    cube[1:] *= 1 + 0.2 * line
    header = fits.Header({"POLNAXIS": 2, "POLDEG1": degree, "PSF_SAMP": sampling})
    for k, (name, zero, scale) in enumerate(
        zip(names, (501.0, 401.0), (250.0, 200.0), strict=True), start=1
    ):
        header[f"POLNAME{k}"], header[f"POLZERO{k}"], header[f"POLSCAL{k}"] = name, zero, scale
    for key, value in changes.items():
        header[key] = value
    column = fits.Column(
        "PSF_MASK", format=f"{cube.size}E", dim=f"(45,45,{len(cube)})", array=cube[None]
    )
    table = fits.BinTableHDU.from_columns([column], header=header, name="PSF_DATA")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return cube, powers


def write_coefficients(path, **changes):
    """Write a polynomial as `PSFBuild.write` does."""
    bell = make_bell(1.3, 33, 2)
    header = fits.Header({"OVERSAMP": 2, "POLYDEG": 1})
    for key in ("POLYMIDX", "POLYMIDY", "POLYSCLX", "POLYSCLY"):
        header[key] = 50.0
    for key, value in changes.items():
        header[key] = value
    fits.writeto(path, np.array([bell, 0.1 * bell, 0.1 * bell]), header, overwrite=True)


def write_damaged(path, key, value):
    """Write an image whose header has a value that no FITS file has."""
    fits.writeto(path, make_bell(1.3, 33, 2), fits.Header({"OVERSAMP": 2}))
    content = bytearray(path.read_bytes())
    start = content.find(key.encode()) + 10
    content[start : start + 20] = value.encode().rjust(20)
    path.write_bytes(content)


def write_daophot(path, profile="GAUSSIAN", parameters=(1.2, 1.1), n_table=6, side=31, line=None):
    """Write a PSF as DAOPHOT does: six numbers of thirteen characters to a line."""
    rng = np.random.default_rng(2)
    offset = (np.arange(side) - side // 2) / 2
    bell = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 2.0**2)
    tables = rng.normal(0.0, 30.0, (n_table, 1, 1)) * bell * (1 + 0.3 * offset)
    numbers = np.concatenate([tables.ravel(), np.zeros(0)])
    first = (
        f" {profile:<8} {side:4d} {len(parameters):4d} {n_table:4d}    0   13.250"
        f"      1000.000    500.0    400.0"
        if line is None
        else line
    )
    text = [first, " " + "".join(f"{value:13.6E}" for value in parameters)]
    for start in range(0, numbers.size, 6):
        text.append(" " + "".join(f"{value:13.6E}" for value in numbers[start : start + 6]))
    path.write_text("\n".join(text) + "\n")
    return tables


def test_a_grid_of_the_stdpsf_library(tmp_path) -> None:
    cube = write_stdpsf(tmp_path / "psf.fits")
    psf = bp.read_psf(tmp_path / "psf.fits")
    assert isinstance(psf, bp.GriddedPSF)
    assert psf.oversampling == (4, 4)
    expected = [(x, y) for y in (0, 299, 1013) for x in (0, 506)]
    np.testing.assert_array_equal(psf.positions, expected)
    np.testing.assert_allclose(psf.data, cube, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1 / 16])
def test_a_grid_of_stpsf_whether_it_sums_to_one_or_not(tmp_path, scale, caplog) -> None:
    cube = write_stpsf(tmp_path / "psf.fits", scale)
    with caplog.at_level(logging.INFO, logger="bayesphot"):
        psf = bp.read_psf(str(tmp_path / "psf.fits"))
    assert ("sum to" in caplog.text) == (scale < 1)
    np.testing.assert_allclose(psf.data, cube / scale)
    np.testing.assert_array_equal(psf.positions, [(0, 0), (2047, 0), (0, 2047), (2047, 2047)])
    assert psf.enclosed_fraction == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_model_of_psfex(tmp_path, degree) -> None:
    cube, powers = write_psfex(tmp_path / "psf.psf", degree=degree)
    psf = bp.read_psf(tmp_path / "psf.psf")
    # 1 / 0.4 = 2.5 pixels to one of the data: brought to 3.
    assert psf.oversampling == (3, 3)
    if degree:
        # The range of its stars is the unit: half of it lies to either side.
        assert psf.domain == ((375.0, 625.0), (300.0, 500.0))
    place = (610.2, 330.7)
    u, v = (place[0] - 500.0) / 250.0, (place[1] - 400.0) / 200.0
    image = sum(c * u**i * v**j for c, (i, j) in zip(cube, powers, strict=True)) / 0.4**2
    x, y = np.floor(place[0]) + np.arange(-4, 5.0), np.floor(place[1]) + np.arange(-4, 5.0)
    found = psf(*np.meshgrid(x, y))
    psf.x_0, psf.y_0 = place
    found = psf(*np.meshgrid(x, y))
    from scipy.interpolate import RectBivariateSpline

    line = (np.arange(45) - 22) * 0.4
    expected = RectBivariateSpline(line, line, image)(y - place[1], x - place[0])
    # Two splines, of 2.5 and 3 points a pixel: 1e-4 of the peak each.
    np.testing.assert_allclose(found, expected, atol=3e-4 * expected.max())
    if degree:
        # POLSCAL is the whole range of the stars.
        np.testing.assert_allclose(psf.domain, [(375.0, 625.0), (300.0, 500.0)])


def test_where_a_polynomial_holds_is_in_its_file(tmp_path) -> None:
    ends = {"POLYLOWX": 10.0, "POLYHIX": 70.0, "POLYLOWY": 5.0, "POLYHIY": 99.0}
    write_coefficients(tmp_path / "psf.fits", **ends)
    assert bp.read_psf(tmp_path / "psf.fits").domain == ((10.0, 70.0), (5.0, 99.0))
    write_coefficients(tmp_path / "silent.fits")
    assert bp.read_psf(tmp_path / "silent.fits").domain == ((0.0, 100.0), (0.0, 100.0))


def daophot_oracle(tables, place, parameters, x, y):
    """Return DAOPHOT's PSF at whole pixels about a star, its tables read at half pixels."""
    u, v = place[0] / 500.0 - 1, place[1] / 400.0 - 1
    shares = [1, u, v, 1.5 * u**2 - 0.5, u * v, 1.5 * v**2 - 0.5][: len(tables)]
    if len(tables) > 6:
        p4, p6 = shares[3], shares[5]
        shares += [u * (5 * p4 - 2) / 3, p4 * v, u * p6, v * (5 * p6 - 2) / 3]
    dx, dy = x - place[0], y - place[1]
    scale = [p / np.sqrt(np.log(2)) for p in parameters[:2]]
    integral = [
        s * np.sqrt(np.pi) / 2 * (erf((d + 0.5) / s) - erf((d - 0.5) / s))
        for s, d in zip(scale, (dx, dy), strict=True)
    ]
    light = 1000.0 * integral[1][:, None] * integral[0] / (parameters[0] * parameters[1])
    middle = tables.shape[1] // 2
    rows, cols = (np.rint(2 * d).astype(int) + middle for d in (dy, dx))
    for share, table in zip(shares, tables, strict=True):
        light = light + share * table[np.ix_(rows, cols)]
    return light / 10 ** (0.4 * (25.0 - 13.25))


@pytest.mark.parametrize("n_table", [0, 1, 3, 6, 10])
def test_a_psf_of_daophot(tmp_path, n_table) -> None:
    tables = write_daophot(tmp_path / "star.psf", n_table=n_table)
    psf = bp.read_psf(tmp_path / "star.psf")
    assert isinstance(psf, bp.ImagePSF if n_table < 3 else bp.PolynomialPSF)
    if n_table >= 3:
        # The middle of the header is that of pixels 0 to 1000, and 0 to 800.
        assert psf.domain == ((-0.5, 1000.5), (-0.5, 800.5))
    # Whole and half pixels, where the tables are known without interpolation.
    place = (620.5, 130.0)
    x, y = np.arange(617.0, 625.0), np.arange(126.0, 135.0)
    psf.x_0, psf.y_0 = place
    expected = daophot_oracle(tables, place, (1.2, 1.1), x, y)
    found = psf(*np.meshgrid(x, y))
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected.max())


@pytest.mark.parametrize(
    ("profile", "parameters"),
    [
        ("MOFFAT15", (1.2, 1.1, 0.1)),
        ("MOFFAT25", (1.2, 1.1, -0.1)),
        ("MOFFAT35", (1.2, 1.1, 0.0)),
        ("LORENTZ", (1.2, 1.1, 0.05)),
        ("PENNY1", (1.2, 1.1, 0.7, 0.1)),
        ("PENNY2", (1.2, 1.1, 0.7, 0.1, -0.1)),
    ],
)
def test_profiles_of_daophot_have_their_half_widths(tmp_path, profile, parameters) -> None:
    """Parameters 1 and 2 are the half widths at half maximum along x and y."""
    share = parameters[2:3] if "PENNY" in profile else ()
    tilts = tuple(p / 100 for p in parameters[2 + len(share) :])
    wide = (12.0, 11.0, *share, *tilts)
    write_daophot(tmp_path / "star.psf", profile, wide, n_table=0, side=201)
    psf = bp.read_psf(tmp_path / "star.psf")
    peak, at_x, at_y = (float(psf(x, y)) for x, y in ((0, 0), (12, 0), (0, 11)))
    # The pixel is a twelfth of the width: it changes a curvature's share, 1/24 of (1/12)^2 twice.
    assert at_x / peak == pytest.approx(0.5, abs=1e-3)
    assert at_y / peak == pytest.approx(0.5, abs=1e-3)


def test_plain_images_and_what_says_their_sampling(tmp_path) -> None:
    bell = make_bell(1.2, 51, 5)
    path = tmp_path / "psf.fits"
    fits.writeto(path, bell, fits.Header({"OVERSAMP": 5}))
    assert bp.read_psf(path).oversampling == (5, 5)
    fits.writeto(path, bell, fits.Header({"PSF_SAMP": 0.2}), overwrite=True)
    assert bp.read_psf(path).oversampling == (5, 5)
    fits.writeto(path, bell, overwrite=True)
    with pytest.raises(ReadError, match="give oversampling, 1 for pixels like the data's"):
        bp.read_psf(path)
    psf = bp.read_psf(path, oversampling=5, origin=(24.0, 26.0))
    assert psf.origin == (24.0, 26.0)
    np.testing.assert_array_equal(psf.data, bell)
    # Light in pixels of the image is brought to pixels of the data.
    fits.writeto(path, bell / 25, overwrite=True)
    np.testing.assert_allclose(bp.read_psf(path, oversampling=5).data, bell)


def test_a_sampling_that_is_not_a_whole_number(tmp_path) -> None:
    fits.writeto(tmp_path / "psf.fits", make_bell(1.2, 81, 3.93))
    psf = bp.read_psf(tmp_path / "psf.fits", oversampling=3.93)
    assert psf.oversampling == (4, 4)
    y, x = np.mgrid[-4:5, -4:5]
    psf.x_0, psf.y_0 = 0.3, -0.2
    expected = np.exp(-0.5 * ((x - 0.3) ** 2 + (y + 0.2) ** 2) / 1.44) / (2 * np.pi * 1.44)
    np.testing.assert_allclose(psf(x, y), expected, atol=3e-4 * expected.max())
    # An image that sums to 1 in its own pixels holds the light of 1: the 4 pixels to one that it is
    # resampled to would make it (4 / 3.93)^2 = 1.036.
    fits.writeto(tmp_path / "unit.fits", make_bell(1.2, 81, 3.93) / 3.93**2)
    unit = bp.read_psf(tmp_path / "unit.fits", oversampling=3.93)
    assert unit.enclosed_fraction == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(unit.data, psf.data, rtol=1e-12)


def test_a_cube_with_a_table_of_places(tmp_path) -> None:
    cube = np.array([make_bell(1.5 + 0.1 * k, 25, 1) for k in range(4)])
    places = Table({"x": [10.0, 90.0, 10.0, 90.0], "y": [5.0, 5.0, 80.0, 80.0]})
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(cube, name="PSFGRID"), fits.table_to_hdu(places)]
    fits.HDUList(hdus).writeto(tmp_path / "psf.fits")
    psf = bp.read_psf(tmp_path / "psf.fits", oversampling=1, hdu="psfgrid")
    np.testing.assert_array_equal(psf.positions, np.column_stack([places["x"], places["y"]]))
    in_brackets = bp.read_psf(f"{tmp_path / 'psf.fits'}[PSFGRID]", oversampling=1)
    np.testing.assert_array_equal(in_brackets.data, psf.data)
    fits.HDUList(hdus[:2]).writeto(tmp_path / "alone.fits")
    with pytest.raises(ReadError, match="a cube of 4 images needs a table of as many places"):
        bp.read_psf(tmp_path / "alone.fits", oversampling=1)
    with pytest.raises(ReadError, match="no extension 'SCI'; there are"):
        bp.read_psf(tmp_path / "psf.fits", oversampling=1, hdu="SCI")


def test_arguments_that_the_file_answers_are_refused(tmp_path) -> None:
    write_stdpsf(tmp_path / "psf.fits")
    with pytest.raises(ValueError, match="oversampling is for plain images: .* a STDPSF grid"):
        bp.read_psf(tmp_path / "psf.fits", oversampling=2)
    with pytest.raises(ValueError, match="oversampling must be"):
        bp.read_psf(tmp_path / "psf.fits", oversampling=-1)


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"oversampling": 1e9}, ValueError, "oversampling must lie between 0.1 and 1000"),
        ({"oversampling": 1e-9}, ValueError, "oversampling must lie between 0.1 and 1000"),
        ({"origin": 3}, TypeError, r"origin must be a pair \(x, y\), found 3"),
        ({"origin": "xy"}, TypeError, r"origin must be a pair \(x, y\), found 'xy'"),
        # Of the file's pixels, not of those that it is brought to.
        ({"origin": (99, 99), "oversampling": 3.7}, ValueError, r"33 x 33, found \(99, 99\)"),
        ({"hdu": 1.5}, TypeError, "hdu must be the number or the name of an extension"),
    ],
)
def test_arguments_that_cannot_be_are_refused(tmp_path, arguments, kind, said) -> None:
    fits.writeto(tmp_path / "psf.fits", make_bell(1.3, 33, 2), fits.Header({"OVERSAMP": 2}))
    with pytest.raises(kind, match=said):
        bp.read_psf(tmp_path / "psf.fits", **arguments)
    with pytest.raises(TypeError, match="path must be the name of a file, found None"):
        bp.read_psf(None)


def test_a_stamp_of_two_widths_is_a_psf(tmp_path) -> None:
    """Half its light lies in the middle quarter: a picture of nothing has a quarter there."""
    fits.writeto(tmp_path / "psf.fits", make_bell(1.9, 9, 1), fits.Header({"OVERSAMP": 1}))
    assert bp.read_psf(tmp_path / "psf.fits").data.shape == (9, 9)


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        bp.read_psf(tmp_path / "none.fits")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("E+", "X+", "damaged: 'X' among the numbers"), ("E+", "E ", "damaged: 'E' among"),
     (".", "..", "damaged: [0-9]+ numbers should follow")],
)  # fmt: skip
def test_a_daophot_file_with_a_wrong_character_is_not_read_shifted(tmp_path, old, new, said):
    path = tmp_path / "bad.psf"
    write_daophot(path)
    first, _, numbers = path.read_text().partition("\n")
    path.write_text(f"{first}\n{numbers.replace(old, new, 1)}")
    with pytest.raises(ReadError, match=said):
        bp.read_psf(path)


def test_a_grid_of_stpsf_has_all_its_images(tmp_path) -> None:
    write_stpsf(tmp_path / "grid.fits", NUM_PSFS=9)
    with pytest.raises(ReadError, match=r"9 images should be there \(NUM_PSFS\), found 4"):
        bp.read_psf(tmp_path / "grid.fits")


@pytest.mark.parametrize("lost", [2, 5, 12])
def test_a_daophot_file_cut_in_its_last_number(tmp_path, lost) -> None:
    path = tmp_path / "cut.psf"
    write_daophot(path)
    content = path.read_text().rstrip("\n")
    path.write_text(content)
    bp.read_psf(path)
    path.write_text(content[:-lost])
    with pytest.raises(ReadError, match="cut short"):
        bp.read_psf(path)


@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("write", [write_stdpsf, write_stpsf, write_psfex, write_daophot])
def test_files_cut_short_say_so_in_one_line(tmp_path, write, share) -> None:
    whole, path = tmp_path / "whole.psf", tmp_path / "cut.psf"
    write(whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ReadError) as caught:
        bp.read_psf(path)
    assert "cut.psf" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda p: p.write_text("just text\n"), "neither a FITS file nor a PSF of DAOPHOT"),
        (lambda p: p.write_bytes(b""), "neither a FITS file nor a PSF of DAOPHOT"),
        (lambda p: write_stdpsf(p, x=(1, 1)), "2 different x and 3 different y"),
        (lambda p: write_stpsf(p, scale=-1.0), "the total of image 0 of data must be positive"),
        (lambda p: write_stpsf(p, scale=np.nan), "data must be finite, found nan"),
        (lambda p: write_stpsf(p, OVERSAMP=-4), "OVERSAMP must be a positive number, found -4"),
        (lambda p: write_psfex(p, PSF_SAMP=-1.0), "PSF_SAMP must be a positive number, found -1"),
        (lambda p: write_psfex(p, names=("X_IMAGE", "MAG")), "vary with X_IMAGE and Y_IMAGE"),
        (lambda p: write_psfex(p, POLDEG1=3), "degree 3 needs 10 images"),
        (lambda p: write_daophot(p, line=" GAUSSIAN  31  2  six"), "the first line must be"),
        (lambda p: write_daophot(p, n_table=2), "tables must be"),
        (
            lambda p: write_daophot(p, line=" GAUSSIAN 31 2 1 5 13.2 1000. 500. 400."),
            "fraction of the pixel",
        ),
        (
            lambda p: write_daophot(p, line=" GAUSSIAN 31 3 1 0 13.2 1000. 500. 400."),
            "GAUSSIAN has 2 parameters, found 3",
        ),
        (lambda p: write_daophot(p, parameters=(-1.2, 1.1)), "widths must be positive"),
        (lambda p: write_daophot(p, parameters=(np.nan, 1.1)), "found nan as number 1 after"),
        (
            lambda p: write_daophot(p, line=" GAUSSIAN 31 2 1 0 -999. 1000. 500. 400."),
            "magnitude, height and middle must be finite numbers, found -999",
        ),
        (
            lambda p: write_stpsf(p, DET_YX1="left"),
            r"DET_YX1 must be a pair \(y, x\), found 'left'",
        ),
        (lambda p: write_stpsf(p, OVERSAMP=1e-9), "OVERSAMP must be .* between 0.1 and 1000"),
        (lambda p: write_psfex(p, PSF_SAMP=1e300), "PSF_SAMP must be .* between 0.001 and 10"),
        (lambda p: write_psfex(p, POLZERO1="middle"), "POLZERO1 must be a number, found 'middle'"),
        (lambda p: write_psfex(p, POLNGRP=2), "POLNGRP must be 1"),
        (lambda p: write_coefficients(p, OVERSAMP=2.5), "oversampling must be a positive integer"),
        (lambda p: write_coefficients(p, POLYDEG=2), "POLYDEG must be 1 for 3 images, found 2"),
        (lambda p: write_coefficients(p, POLYSCLX="x"), "POLYSCLX must be a number, found 'x'"),
        (lambda p: write_coefficients(p, POLYLOWX=9.0), "keyword or column is missing: .*POLYHIX"),
        (lambda p: write_coefficients(p, POLYHIY=9.0), "keyword or column is missing: .*POLYLOWX"),
        (
            lambda p: write_coefficients(p, POLYLOWX=9.0, POLYHIX=3.0, POLYLOWY=9.0, POLYHIY=99.0),
            "domain must rise from low to high",
        ),
        (lambda p: write_damaged(p, "OVERSAMP", "  two"), "the header cannot be read"),
        (lambda p: write_damaged(p, "NAXIS1", "1000000000"), "cut short or damaged"),
        (
            lambda p: fits.writeto(p, np.ones((30, 40)), fits.Header({"OVERSAMP": 1})),
            "this is no PSF, .* found 2[0-9]%",
        ),
        (lambda p: fits.writeto(p, np.zeros(5)), "holds no image"),
        (
            lambda p: fits.writeto(p, make_bell(1, 9, 1), fits.Header({"OVERSAMP": "x"})),
            "OVERSAMP must be a positive number",
        ),
    ],
)
def test_files_that_hold_no_psf_say_why(tmp_path, write, text) -> None:
    path = tmp_path / "wrong.psf"
    write(path)
    with pytest.raises(ReadError, match=text) as caught:
        bp.read_psf(path)
    assert "wrong.psf" in str(caught.value)
    assert "\n" not in str(caught.value)
