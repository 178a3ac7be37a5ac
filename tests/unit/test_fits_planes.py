"""What lies beside an image in its file, as several observatories and packages write it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning

import bayesphot as bp
from bayesphot.image import prepare_image
from bayesphot.readers import ReadError, read_ccd
from bayesphot.readers.header import read_unit

#: Small whole numbers, exact in every type.
DATA = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
SIGMA = DATA + 1.0
BITS = np.zeros((3, 4), dtype=np.int32)
BITS[0, 1], BITS[1, 2], BITS[2, 3] = 1, 4, 5


def _write(path, *extensions, **keywords):
    primary = fits.PrimaryHDU()
    primary.header.update(keywords)
    fits.HDUList([primary, *extensions]).writeto(path)
    return path


def _science(version: int = 1, **keywords):
    hdu = fits.ImageHDU(DATA * version, fits.Header(keywords), name="SCI")
    hdu.ver = version
    return hdu


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ERR", SIGMA),
        ("ERROR", SIGMA),
        ("SIGMA", SIGMA),
        ("VAR", SIGMA**2),
        ("VARIANCE", SIGMA**2),
        ("IVAR", SIGMA**-2.0),
        ("INVVAR", SIGMA**-2.0),
    ],
)
def test_errors_of_any_kind_become_standard_deviations(tmp_path, name, values) -> None:
    path = _write(tmp_path / "a.fits", _science(), fits.ImageHDU(values, name=name))
    image = prepare_image(bp.read_image(path))
    # Single precision.
    np.testing.assert_allclose(image.error, SIGMA, rtol=1e-6)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_what_ccddata_writes_is_read(tmp_path, kind) -> None:
    power = {StdDevUncertainty: 1.0, VarianceUncertainty: 2.0, InverseVariance: -2.0}[kind]
    ccd = CCDData(DATA, unit="adu", mask=BITS > 0, uncertainty=kind(SIGMA**power))
    ccd.write(tmp_path / "ccd.fits")
    image = prepare_image(bp.read_image(tmp_path / "ccd.fits"))
    np.testing.assert_allclose(image.error[BITS == 0], SIGMA[BITS == 0], rtol=1e-6)
    np.testing.assert_array_equal(image.good, BITS == 0)
    assert image.unit == u.adu
    same = prepare_image(ccd)
    np.testing.assert_allclose(same.error, image.error, rtol=1e-6)


def test_planes_are_those_of_the_images_version(tmp_path) -> None:
    planes = [_science(1), _science(2)]
    for version in (1, 2):
        for name, values in (("ERR", SIGMA * version), ("DQ", BITS * (version == 2))):
            hdu = fits.ImageHDU(values, name=name)
            hdu.ver = version
            planes.append(hdu)
    path = _write(tmp_path / "flt.fits", *planes)
    first, second = bp.read_image(path), bp.read_image(f"{path}[SCI,2]")
    np.testing.assert_array_equal(first.uncertainty.array, SIGMA)
    assert not first.mask.any()
    np.testing.assert_array_equal(second.uncertainty.array, 2.0 * SIGMA)
    np.testing.assert_array_equal(second.mask, BITS > 0)


def test_an_error_in_another_unit_is_converted_and_a_foreign_one_refused(tmp_path) -> None:
    error = fits.ImageHDU(SIGMA * 1000.0, fits.Header({"BUNIT": "mJy"}), name="ERR")
    path = _write(tmp_path / "a.fits", _science(BUNIT="Jy"), error)
    np.testing.assert_allclose(prepare_image(bp.read_image(path)).error, SIGMA, rtol=1e-6)
    other = _write(tmp_path / "b.fits", _science(BUNIT="adu"), error)
    with pytest.raises(ReadError, match="2 ERR is in mJy and the image in adu"):
        bp.read_image(other)


def test_both_quality_planes_count_and_bits_are_chosen(tmp_path) -> None:
    mask = np.zeros((3, 4), dtype=np.uint8)
    mask[0, 0] = 1
    planes = fits.ImageHDU(BITS, name="DQ"), fits.ImageHDU(mask, name="MASK")
    path = _write(tmp_path / "a.fits", _science(), *planes)
    assert bp.read_image(path).mask.sum() == 4
    assert bp.read_image(path, dq_ignore=1).mask.sum() == 2
    assert bp.read_image(path, dq_bits="4").mask.sum() == 2
    assert bp.read_image(path, mask=False).mask is None
    assert bp.read_image(path, error=False).uncertainty is None


def test_unsigned_quality_bits_are_kept(tmp_path) -> None:
    bits = np.zeros((3, 4), dtype=np.uint32)
    bits[1, 1] = 2**31
    path = _write(tmp_path / "a.fits", _science(), fits.ImageHDU(bits, name="DQ"))
    assert np.argwhere(bp.read_image(path).mask).tolist() == [[1, 1]]
    assert not bp.read_image(path, dq_ignore=2**31).mask.any()


def test_planes_that_say_nothing_are_left_out_with_a_warning(tmp_path) -> None:
    zero = fits.ImageHDU(0.0 * SIGMA, name="ERR")
    path = _write(tmp_path / "a.fits", _science(), zero, fits.ImageHDU(name="DQ"))
    with pytest.warns(AstropyUserWarning, match="extension 2 ERR has no positive number"):
        image = bp.read_image(path)
    assert image.uncertainty is None
    assert image.mask is None


def test_errors_that_are_negative_throughout_are_an_error(tmp_path) -> None:
    path = _write(tmp_path / "a.fits", _science(), fits.ImageHDU(-SIGMA, name="ERR"))
    with pytest.raises(ValueError, match="must be positive"):
        prepare_image(bp.read_image(path))


def test_bits_that_mask_a_third_of_the_image_bring_a_warning(tmp_path) -> None:
    plane = fits.ImageHDU(np.full((3, 4), 32, dtype=np.int16), name="MASK")
    path = _write(tmp_path / "a.fits", _science(), plane)
    with pytest.warns(
        AstropyUserWarning, match=r"2 MASK masks 100 % of the pixels, most by bits 32 \(100 %\)"
    ):
        bp.read_image(path)
    assert not bp.read_image(path, dq_ignore=32).mask.any()


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (fits.ImageHDU(BITS[:2], name="DQ"), r"shape of the image \(3, 4\), found \(2, 4\)"),
        (fits.BinTableHDU(name="DQ"), "extension 2 DQ must be an image, found a table"),
        (fits.ImageHDU(SIGMA, name="DQ"), "2 DQ: dq must hold integers"),
        (fits.ImageHDU(SIGMA[:, :2], name="ERR"), r"shape of the image \(3, 4\), found \(3, 2\)"),
        (fits.ImageHDU(np.stack([BITS, BITS]), name="MASK"), r"found \(2, 3, 4\)"),
    ],
)
def test_wrong_planes_are_one_line(tmp_path, plane, said) -> None:
    path = _write(tmp_path / "a.fits", _science(), plane)
    with pytest.raises(ReadError, match=said) as caught:
        bp.read_image(path)
    assert "\n" not in str(caught.value)


def test_a_wcs_that_cannot_be_read_brings_a_warning(tmp_path) -> None:
    path = _write(tmp_path / "a.fits", _science(CTYPE1="RA---BAD", CTYPE2="DEC--BAD"))
    with pytest.warns(AstropyUserWarning, match="WCS cannot be used .*: positions are in pixels"):
        assert bp.read_image(path).wcs is None


@pytest.mark.parametrize(
    ("bits", "bad"),
    [
        ({}, [0, 1, 1, 1]),
        ({"dq_bits": 4}, [0, 0, 1, 1]),
        ({"dq_bits": [1, 4]}, [0, 1, 1, 1]),
        ({"dq_bits": "~4"}, [0, 1, 0, 1]),
        ({"dq_ignore": "1+4"}, [0, 0, 0, 0]),
        ({"dq_ignore": 5}, [0, 0, 0, 0]),
        ({"dq_ignore": "1"}, [0, 0, 1, 1]),
        ({"dq_ignore": None}, [0, 0, 0, 0]),
        ({"dq_bits": 0}, [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.uint64])
def test_bits_are_chosen_as_astropy_does(bits, bad, kind) -> None:
    dq = np.array([0, 1, 4, 5], dtype=kind)
    np.testing.assert_array_equal(bp.mask_bits(dq, **bits), np.array(bad, dtype=bool))
    if "dq_bits" not in bits:
        from astropy.nddata import bitfield_to_boolean_mask

        theirs = bitfield_to_boolean_mask(dq.astype(np.int64), bits.get("dq_ignore", 0))
        np.testing.assert_array_equal(bp.mask_bits(dq, **bits), theirs)


@pytest.mark.parametrize(
    ("kind", "bits", "said"),
    [
        (TypeError, {"dq_bits": 4.0}, "dq_bits must be a sum of bits"),
        (TypeError, {"dq_bits": True}, "found True"),
        (ValueError, {"dq_bits": "none"}, "found 'none'"),
        (ValueError, {"dq_ignore": "x"}, "dq_ignore must be .* found 'x'"),
        (ValueError, {"dq_bits": 2**70}, r"below 2\*\*63"),
        (ValueError, {"dq_bits": [3]}, "not powers of two"),
        (ValueError, {"dq_bits": 1, "dq_ignore": 2}, "give one"),
    ],
)
def test_bits_that_are_none_are_refused(kind, bits, said) -> None:
    with pytest.raises(kind, match=said):
        bp.mask_bits([0, 1], **bits)


def test_flags_of_ccddata_are_a_mask_where_there_is_no_other() -> None:
    ccd = CCDData(DATA, unit="adu", flags=BITS)
    np.testing.assert_array_equal(prepare_image(ccd).good, BITS == 0)
    chosen = bp.mask_bits(ccd.flags, 4)
    np.testing.assert_array_equal(prepare_image(ccd, mask=chosen).good, ~chosen)
    ccd.mask = chosen
    np.testing.assert_array_equal(prepare_image(ccd).good, ~chosen)


def test_quality_bits_as_a_mask_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"found 4 at .*bayesphot.mask_bits makes one"):
        prepare_image(NDData(DATA, mask=BITS * (BITS == 4)))
    with pytest.raises(TypeError, match=r"image.flags: dq must hold integers"):
        prepare_image(CCDData(DATA, unit="adu", flags=SIGMA))


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("ELECTRONS", u.electron),
        ("ELECTRONS/S", u.electron / u.s),
        ("e-/s", u.electron / u.s),
        ("DN/S", u.DN / u.s),
        ("COUNTS/sec", u.ct / u.s),
        ("ADU s-1", u.adu / u.s),
        ("MJY/SR", u.MJy / u.sr),
        ("JY/BEAM", u.Jy / u.beam),
        ("mJy/beam", u.mJy / u.beam),
        ("nanomaggies", u.Unit("nmgy")),
        ("electron s-1", u.electron / u.s),
        ("furlong per fortnight", None),
    ],
)
def test_spellings_of_units(text, unit) -> None:
    assert read_unit(text) == unit


def test_noise_from_a_header_knows_unit_exposure_and_comments() -> None:
    header = fits.Header({"GAIN": 2.0, "RDNOISE": 3.0, "EXPTIME": 60.0, "EGAIN": 4.0})
    assert bp.CCDNoise.from_header(header) == bp.CCDNoise(2.0, 3.0)
    assert bp.CCDNoise.from_header(header, u.DN / u.min) == bp.CCDNoise(2.0, 3.0)
    assert bp.CCDNoise.from_header(header, u.adu / u.s, gain="EGAIN") == bp.CCDNoise(240.0, 3.0)
    assert bp.CCDNoise.from_header(header, u.electron / u.s, sky=1.0).gain == 60.0
    assert bp.CCDNoise.from_header(header, u.adu / u.s, gain=7.0).gain == 7.0
    header.comments["RDNOISE"] = "[ADU] read noise"
    assert bp.CCDNoise.from_header(header, u.electron) == bp.CCDNoise(1.0, 6.0)
    assert bp.CCDNoise.from_header(header, read_noise=1.0) == bp.CCDNoise(2.0, 1.0)
    assert "GAIN 2 x EXPTIME 60 s" in read_ccd(header, u.adu / u.s).origin
    assert bp.CCDNoise.from_header(header, "adu/s").gain == 120.0
    with pytest.raises(TypeError, match="header must be a FITS header or a mapping"):
        bp.CCDNoise.from_header(NDData(DATA))
    with pytest.raises(ValueError, match="image is in MJy / sr and the header's gain is per ADU"):
        bp.CCDNoise.from_header(header, u.MJy / u.sr)


def test_a_rate_and_its_counts_have_the_same_relative_noise() -> None:
    counts, seconds = np.array([[400.0]]), 50.0
    header = {"GAIN": 2.0, "RDNOISE": 3.0, "EXPTIME": seconds}
    of_counts = bp.CCDNoise.from_header(header, u.adu).variance(0.0, counts, 0.0)
    of_rate = bp.CCDNoise.from_header(header, u.adu / u.s).variance(0.0, counts / seconds, 0.0)
    np.testing.assert_allclose(of_rate * seconds**2, of_counts, rtol=1e-12)
    # Poisson: 800 electrons and 3 of read noise, over the gain.
    np.testing.assert_allclose(of_counts, (800.0 + 9.0) / 4.0, rtol=1e-12)
