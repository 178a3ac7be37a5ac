"""FITS files are read, or refused with one line that says why."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from bayesphot.image import prepare_image
from bayesphot.readers import (
    ReadError,
    header_value,
    read_fits_image,
    read_fits_mask,
    read_fits_plane,
)

DATA = np.arange(12, dtype=np.float32).reshape(3, 4)


def _make_celestial_header() -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [10.0, 20.0]
    wcs.wcs.crpix = [2.0, 2.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    return wcs.to_header()


@pytest.fixture
def many(tmp_path):
    """File with an empty primary, an image, errors in two versions, quality bits and a table."""
    science = fits.ImageHDU(DATA, name="SCI", header=_make_celestial_header())
    science.header["BUNIT"] = "ADU"
    error = fits.ImageHDU(DATA + 1, name="ERR")
    second = fits.ImageHDU(DATA + 2, name="ERR")
    second.ver = 2
    quality = fits.ImageHDU((DATA == 5).astype(np.uint8) * 4, name="DQ")
    table = fits.table_to_hdu(Table({"a": [1, 2]}))
    table.name = "STARS"
    primary = fits.PrimaryHDU()
    primary.header["GAIN"] = 9.0
    path = tmp_path / "many.fits"
    fits.HDUList([primary, science, error, second, quality, table]).writeto(path)
    return path


def _expect_error(path, *words: str, **kwargs) -> None:
    with pytest.raises(ReadError) as caught:
        read_fits_image(path, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_first_plane_is_read_with_header_unit_and_coordinates(many) -> None:
    image = read_fits_image(many)
    np.testing.assert_array_equal(image.data, DATA)
    assert image.data.dtype.isnative
    assert image.extension == "1 SCI"
    assert image.unit == u.adu
    assert image.wcs.has_celestial
    assert image.header["GAIN"] == 9.0
    assert image.header["EXTNAME"] == "SCI"


def test_what_was_read_can_be_prepared(many) -> None:
    image = prepare_image(read_fits_image(many).to_nddata(), error=read_fits_plane(many, "ERR"))
    np.testing.assert_array_equal(image.data, DATA)
    np.testing.assert_array_equal(image.error, DATA + 1)
    assert image.unit == u.adu
    assert image.header["GAIN"] == 9.0
    assert image.wcs.has_celestial


@pytest.mark.parametrize(
    ("suffix", "ext", "offset"),
    [
        ("[ERR]", None, 1),
        ("[err]", None, 1),
        ("[2]", None, 1),
        ("[ERR,2]", None, 2),
        ("[3]", None, 2),
        ("", "ERR", 1),
        ("", "ERR,2", 2),
        ("", 2, 1),
        ("", "2", 1),
        ("[ERR]", "SCI", 0),
    ],
)
def test_extensions_are_chosen_by_number_name_and_version(many, suffix, ext, offset) -> None:
    np.testing.assert_array_equal(read_fits_plane(f"{many}{suffix}", ext), DATA + offset)


def test_a_file_with_brackets_in_its_name_is_read(tmp_path) -> None:
    path = tmp_path / "frame[1].fits"
    fits.writeto(path, DATA)
    np.testing.assert_array_equal(read_fits_plane(path), DATA)
    odd = tmp_path / "frame.fits[1]"
    path.rename(odd)
    np.testing.assert_array_equal(read_fits_plane(odd), DATA)


def test_gzipped_compressed_and_scaled_files_are_read(tmp_path) -> None:
    whole = np.arange(12, dtype=np.uint16).reshape(3, 4)
    path = tmp_path / "a.fits"
    fits.writeto(path, whole)
    zipped = tmp_path / "a.fits.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    tiled = tmp_path / "tiled.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(whole)]).writeto(tiled)
    for file in (path, zipped, tiled):
        np.testing.assert_array_equal(read_fits_plane(file), whole)


def test_axes_of_length_one_are_dropped_and_cubes_refused(tmp_path) -> None:
    path, cube = tmp_path / "radio.fits", tmp_path / "cube.fits"
    fits.writeto(path, DATA[None, None])
    assert read_fits_plane(path).shape == (3, 4)
    fits.writeto(cube, np.stack([DATA, DATA]))
    _expect_error(cube, "no 2-D image", "0 PRIMARY")
    _expect_error(cube, "must be a 2-D image, found an image of shape (2, 3, 4)", ext=0)


def test_a_mask_is_true_where_any_bit_is_set(many, tmp_path) -> None:
    np.testing.assert_array_equal(read_fits_mask(f"{many}[DQ]"), DATA == 5)
    path = tmp_path / "mask.fits"
    fits.writeto(path, np.array([[0.0, 1.0, np.nan]]))
    np.testing.assert_array_equal(read_fits_mask(path), [[False, True, True]])


def test_missing_files_and_extensions_are_named(many, tmp_path) -> None:
    _expect_error(tmp_path / "none.fits", "none.fits: no such file")
    _expect_error(f"{tmp_path}/none.fits[SCI]", "none.fits: no such file")
    _expect_error(many, "no extension FOO; there are 0 PRIMARY, 1 SCI, 2 ERR", ext="FOO")
    _expect_error(many, "no extension 17", "5 STARS", ext=17)
    _expect_error(f"{many}[ERR,3]", "no extension ERR,3")
    _expect_error(many, "must be a 2-D image, found a table", ext="STARS")
    _expect_error(many, "must be a 2-D image, found an image of shape ()", ext=0)


def test_files_that_are_not_fits_or_are_damaged_are_refused(tmp_path) -> None:
    text, empty, cut, zipped = (tmp_path / name for name in ("a", "b", "c.fits", "d.fits.gz"))
    text.write_text("no image at all\n" * 300)
    empty.write_bytes(b"")
    fits.writeto(tmp_path / "whole.fits", np.zeros((300, 300)))
    whole = (tmp_path / "whole.fits").read_bytes()
    cut.write_bytes(whole[:100_000])
    zipped.write_bytes(gzip.compress(whole)[:300])
    header_only = tmp_path / "e.fits"
    header_only.write_bytes(whole[:1000])
    for path in (text, empty, cut, zipped, header_only, tmp_path):
        _expect_error(path, f"{path}: ", "cannot be read")


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("MJy/sr", u.MJy / u.sr),
        ("DN", u.DN),
        ("ELECTRON", u.electron),
        ("nonsense!", None),
        (" ", None),
    ],
)
def test_units_are_understood_or_left_out(tmp_path, text, unit) -> None:
    path = tmp_path / "a.fits"
    fits.writeto(path, DATA, fits.Header({"BUNIT": text}))
    image = read_fits_image(path)
    assert image.unit == unit
    lost = ["BUNIT 'nonsense!' is not understood: the image has no unit"]
    assert list(image.warnings) == (lost if text.startswith("nonsense") else [])


def test_bad_or_missing_coordinates_are_none(tmp_path) -> None:
    plain, bad = tmp_path / "plain.fits", tmp_path / "bad.fits"
    fits.writeto(plain, DATA)
    assert read_fits_image(plain).wcs is None
    header = _make_celestial_header()
    # There is no projection of this name: the header is wrong on purpose.
    header["CTYPE1"] = "RA---BAD"
    fits.writeto(bad, DATA, header)
    assert read_fits_image(bad).wcs is None


def test_cards_that_cannot_be_read_are_left_out_with_a_warning(tmp_path) -> None:
    path = tmp_path / "card.fits"
    fits.writeto(path, np.ones((4, 5)), fits.Header({"GAIN": 2.5, "RDNOISE": 3.0}))
    path.write_bytes(path.read_bytes().replace(b"                 2.5", b"                 2,5"))
    image = read_fits_image(path)
    assert image.warnings == ("the header's GAIN cannot be read and is left out",)
    assert header_value(image.header, ("GAIN",)) is None
    assert image.header["RDNOISE"] == 3.0


def test_header_values_come_from_the_user_or_the_first_keyword_present() -> None:
    header = fits.Header({"GAIN": 9.0, "RDNOISE": "1.8", "FLAG": True, "NAME": "x"})
    assert header_value(header, ("EGAIN", "GAIN")) == 9.0
    assert header_value(header, ("gain",)) == 9.0
    assert header_value(header, ("RDNOISE",)) == 1.8
    assert header_value(header, ("GAIN",), 2) == 2.0
    assert header_value(header, ("GAIN",), "2.5") == 2.5
    assert header_value(header, (), "gain") == 9.0
    assert header_value(header, ("READNOIS",)) is None
    assert header_value(None, ("GAIN",)) is None


@pytest.mark.parametrize("value", ["x", True, float("nan"), float("inf"), "", None])
def test_header_values_that_are_no_numbers_are_refused(value) -> None:
    with pytest.raises(ReadError, match="GAIN in the header must be a finite number"):
        header_value({"GAIN": value}, ("GAIN",))


@pytest.mark.parametrize("value", ["NOKEY", float("nan"), "inf"])
def test_overrides_that_are_no_numbers_are_refused(value) -> None:
    with pytest.raises(ReadError, match="neither a finite number nor a keyword"):
        header_value({"GAIN": 1.0}, ("GAIN",), value)
