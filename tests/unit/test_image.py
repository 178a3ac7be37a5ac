"""Images of every kind become the same clean arrays, or a clear error."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning
from astropy.utils.masked import Masked
from astropy.wcs import WCS

from bayesphot.image import find_resampling, prepare_image

#: Small whole numbers: exact in every numeric type below.
DATA = np.arange(12.0).reshape(3, 4)
MASK = np.zeros((3, 4), dtype=bool)
MASK[1, 2] = True


def _make_read_only(data: np.ndarray) -> np.ndarray:
    data = data.copy()
    data.flags.writeable = False
    return data


FORMS = {
    "list": lambda data: data.tolist(),
    "int": lambda data: data.astype(np.int16),
    "unsigned": lambda data: data.astype(np.uint64),
    "float32": lambda data: data.astype(np.float32),
    "float16": lambda data: data.astype(np.float16),
    "big-endian": lambda data: data.astype(">f4"),
    "big-endian int": lambda data: data.astype(">i2"),
    "Fortran order": np.asfortranarray,
    "strided": lambda data: np.repeat(data, 2, axis=1)[:, ::2],
    "flipped": lambda data: data[::-1].copy()[::-1],
    "read-only": _make_read_only,
    "masked without mask": np.ma.array,
    "matrix-like tuple": lambda data: tuple(map(tuple, data)),
    "NDData": NDData,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_input_gives_equal_clean_arrays(form) -> None:
    image = prepare_image(form(DATA), error=FORMS["big-endian"](DATA + 1), mask=MASK.astype(int))
    assert image.data.dtype == np.float64
    assert image.data.dtype.isnative
    assert image.data.flags.c_contiguous
    assert image.error.dtype.isnative
    assert image.error.flags.c_contiguous
    assert image.shape == (3, 4)
    np.testing.assert_array_equal(image.data, np.where(MASK, 0, DATA))
    np.testing.assert_array_equal(image.error, np.where(MASK, 1, DATA + 1))
    np.testing.assert_array_equal(image.good, ~MASK)
    assert (image.unit, image.wcs, image.header) == (None, None, None)


def test_inputs_are_neither_modified_nor_shared() -> None:
    data, error, mask = DATA.copy(), DATA.copy() + 1, MASK.copy()
    data[0, 0] = np.nan
    error[0, 1] = 0
    before = data.copy(), error.copy(), mask.copy()
    with pytest.warns(AstropyUserWarning):
        image = prepare_image(data, error, mask)
    for array, copy in zip((data, error, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert not np.shares_memory(image.data, data)
    assert not np.shares_memory(image.error, error)
    assert not np.shares_memory(image.good, mask)


def test_image_is_frozen_and_without_error_has_none() -> None:
    image = prepare_image(DATA)
    assert image.error is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.data = DATA


def test_unusable_pixels_are_masked_with_one_warning_that_counts_them() -> None:
    data, error = DATA.copy(), np.ones((3, 4))
    data[0, 0], data[0, 1], data[2, 3] = np.nan, np.inf, -np.inf
    error[0, 0], error[1, 0], error[1, 1], error[1, 3] = 0, 0, np.nan, np.inf
    with pytest.warns(AstropyUserWarning) as caught:
        image = prepare_image(data, error)
    assert [str(item.message) for item in caught] == [
        "masked 6 pixels: 3 with non-finite data, 4 with zero or non-finite error"
    ]
    assert caught[0].filename == __file__
    bad = np.zeros((3, 4), dtype=bool)
    bad[[0, 0, 2, 1, 1, 1], [0, 1, 3, 0, 1, 3]] = True
    np.testing.assert_array_equal(image.good, ~bad)
    np.testing.assert_array_equal(image.data[bad], 0)
    np.testing.assert_array_equal(image.error[bad], 1)


def test_masked_pixels_may_hold_anything_without_warning() -> None:
    data, error = DATA.copy(), np.ones((3, 4))
    data[1, 2], error[1, 2] = np.nan, -5.0
    image = prepare_image(data, error, MASK)
    np.testing.assert_array_equal(image.good, ~MASK)


def test_all_masked_image_is_an_image() -> None:
    image = prepare_image(np.full((3, 4), np.nan), 0.0, np.ones((3, 4), dtype=bool))
    assert not image.good.any()
    assert (image.data == 0).all()
    assert (image.error == 1).all()


def test_negative_error_says_where() -> None:
    error = np.ones((40, 50))
    error[12, 40] = -1.0
    message = r"^error must be positive, found -1\.0 at \(y, x\) = \(12, 40\)$"
    with pytest.raises(ValueError, match=message):
        prepare_image(np.zeros((40, 50)), error)
    with pytest.raises(ValueError, match=message):
        prepare_image(NDData(np.zeros((40, 50)), uncertainty=StdDevUncertainty(error)))
    with pytest.raises(ValueError, match=r"error must be positive, found -2\.0"):
        prepare_image(DATA, error=-2)


@pytest.mark.parametrize(
    ("kind", "power"), [(StdDevUncertainty, 1), (VarianceUncertainty, 2), (InverseVariance, -2)]
)
@pytest.mark.parametrize("unit", [None, u.adu])
def test_uncertainty_of_any_kind_becomes_a_standard_deviation(kind, power, unit) -> None:
    sigma = DATA + 1
    image = prepare_image(NDData(DATA, uncertainty=kind(sigma**power), unit=unit))
    # sqrt(x**2) is exact to one rounding.
    np.testing.assert_allclose(image.error, sigma, rtol=4e-16)
    alone = prepare_image(DATA, error=kind(sigma**power))
    np.testing.assert_allclose(alone.error, sigma, rtol=4e-16)


def test_uncertainty_in_another_unit_is_converted() -> None:
    variance = VarianceUncertainty(np.full((3, 4), 4.0), unit=u.mJy**2)
    image = prepare_image(NDData(DATA, uncertainty=variance, unit=u.uJy))
    np.testing.assert_allclose(image.error, 2000.0, rtol=1e-14)


def test_inverse_variance_of_zero_means_masked_and_a_negative_variance_is_an_error() -> None:
    weight = np.ones((3, 4))
    weight[0, 0] = 0
    with pytest.warns(AstropyUserWarning, match="masked 1 pixel: 1 with zero or non-finite error"):
        image = prepare_image(NDData(DATA, uncertainty=InverseVariance(weight)))
    assert not image.good[0, 0]
    for kind in (VarianceUncertainty, InverseVariance):
        with pytest.raises(ValueError, match=r"error must be positive.*\(0, 0\)"):
            prepare_image(NDData(DATA, uncertainty=kind(np.full((3, 4), -4.0))))


def test_unknown_uncertainty_is_refused_unless_an_error_is_given() -> None:
    image = NDData(DATA, uncertainty=UnknownUncertainty(DATA + 1))
    with pytest.raises(ValueError, match=r"image\.uncertainty must be of type.*found 'unknown'"):
        prepare_image(image)
    assert prepare_image(image, error=2.0).error[0, 0] == 2.0


def test_ccddata_brings_everything_along() -> None:
    header = fits.Header({"GAIN": 9.0})
    header["HISTORY"] = "flat field"
    wcs = WCS(naxis=2)
    ccd = CCDData(
        DATA, unit="adu", uncertainty=StdDevUncertainty(DATA + 1), mask=MASK, meta=header, wcs=wcs
    )
    image = prepare_image(ccd)
    assert image.unit == u.adu
    assert image.wcs is wcs
    assert image.header == {"GAIN": 9.0}
    np.testing.assert_array_equal(image.good, ~MASK)
    np.testing.assert_array_equal(image.error[~MASK], (DATA + 1)[~MASK])


def test_explicit_arguments_win_over_those_of_nddata() -> None:
    ccd = NDData(DATA, uncertainty=StdDevUncertainty(DATA + 1), mask=MASK)
    other = np.zeros((3, 4), dtype=bool)
    other[0, 0] = True
    image = prepare_image(ccd, error=3.0, mask=other)
    np.testing.assert_array_equal(image.good, ~other)
    np.testing.assert_array_equal(image.error[~other], 3.0)


@pytest.mark.parametrize("wrap", [np.ma.array, Masked])
def test_masked_arrays_add_their_mask_to_the_given_one(wrap) -> None:
    other = np.zeros((3, 4), dtype=int)
    other[0, 0] = 1
    expected = ~(MASK | (other == 1))
    np.testing.assert_array_equal(prepare_image(wrap(DATA, mask=MASK), mask=other).good, expected)
    image = prepare_image(DATA, error=wrap(DATA + 1, mask=MASK), mask=other)
    np.testing.assert_array_equal(image.good, expected)


def test_masked_entries_of_a_mask_are_bad() -> None:
    mask = np.ma.array(np.zeros((3, 4), dtype=bool), mask=MASK)
    np.testing.assert_array_equal(prepare_image(DATA, mask=mask).good, ~MASK)
    assert prepare_image(DATA, mask=np.ma.nomask).good.all()


def test_quantities_give_the_unit_and_the_error_is_converted_to_it() -> None:
    image = prepare_image(DATA * u.uJy, error=0.5 * u.mJy)
    assert image.unit == u.uJy
    np.testing.assert_array_equal(image.data, DATA)
    np.testing.assert_allclose(image.error, 500.0, rtol=1e-15)
    masked = prepare_image(Masked(DATA * u.uJy, mask=MASK), error=3.0)
    assert masked.unit == u.uJy
    np.testing.assert_array_equal(masked.good, ~MASK)
    np.testing.assert_array_equal(masked.error[~MASK], 3.0)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (DATA * u.adu, 1 * u.s, r"error has 's', image 'adu'"),
        (DATA, 1 * u.adu, r"error has 'adu', image none"),
        (DATA * u.adu, np.ones((3, 4)) * u.dimensionless_unscaled, r"error has '', image 'adu'"),
    ],
)
def test_units_that_do_not_fit_are_both_named(image, error, words) -> None:
    with pytest.raises(ValueError, match=words):
        prepare_image(image, error)


@pytest.mark.parametrize("image", [DATA * u.mag, u.Magnitude(DATA)])
def test_magnitudes_are_refused_as_they_do_not_add_up(image) -> None:
    with pytest.raises(ValueError, match="image must be in a linear unit, .* found 'mag'"):
        prepare_image(image)


def test_a_pure_number_is_an_error_for_an_image_without_unit() -> None:
    assert prepare_image(DATA, error=2 * u.dimensionless_unscaled).error[0, 0] == 2


@pytest.mark.parametrize("name", ["error", "mask"])
def test_wrong_shapes_are_both_named(name) -> None:
    with pytest.raises(ValueError, match=rf"{name} must .*\(3, 4\), found \(4, 3\)"):
        prepare_image(DATA, **{name: np.ones((4, 3), dtype=int)})


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 4), (3, 0)])
def test_an_image_must_have_two_axes(shape) -> None:
    with pytest.raises(ValueError, match="image must be 2-D"):
        prepare_image(np.ones(shape))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "image.fits",
        np.full((3, 4), "a"),
        DATA + 1j,
        DATA.astype(object),
        MASK,
        {"x": 1},
        np.zeros((3, 4), dtype="M8[s]"),
    ],
    ids=["None", "path", "strings", "complex", "object", "bool", "dict", "dates"],
)
def test_what_is_no_number_is_a_type_error_that_names_the_argument(value) -> None:
    with pytest.raises(TypeError, match="image must hold real numbers"):
        prepare_image(value)
    if value is not None:
        with pytest.raises(TypeError, match="error must hold real numbers"):
            prepare_image(DATA, error=value)


def test_ragged_lists_name_the_argument() -> None:
    with pytest.raises(ValueError, match="image must be an array"):
        prepare_image([[1, 2], [3]])
    with pytest.raises(ValueError, match="mask must be a 2-D array"):
        prepare_image(DATA, mask=[[1, 0], [1]])


@pytest.mark.parametrize("value", ["bad", DATA, MASK.astype(complex), MASK.astype(object)])
def test_masks_of_wrong_types_are_type_errors(value) -> None:
    with pytest.raises(TypeError, match="mask must hold booleans, or 0 and 1"):
        prepare_image(DATA, mask=value)


def test_quality_bits_are_not_taken_for_a_mask() -> None:
    quality = np.zeros((3, 4), dtype=int)
    quality[2, 1] = 4
    with pytest.raises(ValueError, match=r"0 and 1, found 4 at \(y, x\) = \(2, 1\)"):
        prepare_image(DATA, mask=quality)


def test_numbers_beyond_float64_are_bad_pixels() -> None:
    data = DATA.astype(np.longdouble)
    data[0, 0] = np.longdouble("1e400")
    if not np.isfinite(data[0, 0]):
        pytest.skip("long double is no wider than double here")
    with pytest.warns(AstropyUserWarning, match="1 with non-finite data"):
        assert not prepare_image(data).good[0, 0]


@pytest.mark.parametrize(
    ("header", "keyword"),
    [
        (None, None),
        ({"GAIN": 2.0, "DRIZCORR": "COMPLETE", "S_RESAMP": "SKIPPED"}, None),
        ({"NDRIZIM": 4}, "NDRIZIM"),
        ({"D001PIXF": 0.8, "D001KERN": "square"}, "D001PIXF"),
        ({"RESAMPT1": "LANCZOS3"}, "RESAMPT1"),
        ({"S_RESAMP": "COMPLETE"}, "S_RESAMP"),
    ],
)
def test_a_header_says_whether_the_image_was_resampled(header, keyword) -> None:
    assert find_resampling(header) == keyword


def test_clean_input_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_image(DATA * u.adu, error=1 * u.adu, mask=MASK)


@pytest.mark.parametrize(("data", "error"), [(1e160, 1.0), (5.0, 1e160), (5.0, 1e-160)])
def test_numbers_whose_squares_are_none_are_masked_with_a_word(data, error) -> None:
    with pytest.warns(AstropyUserWarning, match=r"masked 1 pixel: 1 with data or error beyond"):
        image = prepare_image([[1.0, data]], error=[[1.0, error]])
    assert image.good.tolist() == [[True, False]]
