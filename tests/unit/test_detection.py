"""The finders and the adapter for foreign ones."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

import bayesphot.detection as detection
from bayesphot.detection import DAOStarFinder, Detections, IRAFStarFinder, find_sources
from bayesphot.detection.peaks import find_peaks, list_disc_offsets, list_footprint_offsets
from bayesphot.detection.starkernel import build_star_kernel, convolve_image

SIGMA = 1.5
FWHM = SIGMA * 2.3548200450309493
STARS = ((10.3, 12.2, 80.0), (30.4, 30.1, 50.0), (50.0, 8.25, 120.0))


def make_image(stars=STARS, *, shape=(45, 60), noise=0.0, sigma=SIGMA):
    """Gaussian stars (x, y, height) sampled at the pixel centres, with seeded noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.random.default_rng(7).normal(0.0, noise, shape) if noise else np.zeros(shape)
    for x_0, y_0, height in stars:
        image += height * np.exp(-0.5 * ((x - x_0) ** 2 + (y - y_0) ** 2) / sigma**2)
    return image


@pytest.fixture(
    params=[DAOStarFinder(threshold=10.0, fwhm=FWHM), IRAFStarFinder(threshold=10.0, fwhm=FWHM)],
    ids=["dao", "iraf"],
)
def finder(request):
    return request.param


# --- finding -----------------------------------------------------------------------------


def test_stars_are_found_in_row_order_near_their_positions(finder):
    found = finder.find(make_image(noise=0.3))
    expected = sorted(STARS, key=lambda star: star[1])
    assert len(found) == 3
    # Truncated kernels shrink moments towards the peak pixel: 0.15 px; a wrong axis gives more.
    np.testing.assert_allclose(found.x, [s[0] for s in expected], atol=0.15)
    np.testing.assert_allclose(found.y, [s[1] for s in expected], atol=0.15)


def test_flux_estimate_is_the_flux_of_a_star_of_the_finders_width(finder):
    heights = np.array([120.0, 80.0, 50.0])
    found = finder.find(make_image())
    # A star between pixels loses up to exp(-0.25 / 2 sigma^2) = 5 % per axis at its peak pixel.
    np.testing.assert_allclose(found.flux, heights * 2 * np.pi * SIGMA**2, rtol=0.1)


def test_flux_estimate_ignores_a_constant_sky():
    # Beyond the border the image is taken as zero, a step next to a sky of 500.
    finder = DAOStarFinder(threshold=10.0, fwhm=FWHM, exclude_border=True)
    image = make_image()
    np.testing.assert_allclose(finder.find(image + 500.0).flux, finder.find(image).flux)


def test_call_returns_the_columns_of_photutils():
    dao = "id x_centroid y_centroid sharpness roundness1 roundness2 n_pixels peak flux mag"
    iraf = "id x_centroid y_centroid fwhm sharpness roundness orientation n_pixels peak flux mag"
    table = DAOStarFinder(threshold=10.0, fwhm=FWHM)(make_image())
    assert " ".join(table.colnames) == f"{dao} daofind_mag"
    table = IRAFStarFinder(threshold=10.0, fwhm=FWHM)(make_image())
    assert " ".join(table.colnames) == iraf


def test_call_and_find_give_the_same_stars(finder):
    image = make_image(noise=0.5)
    table, found = finder(image), finder.find(image)
    np.testing.assert_array_equal(table["x_centroid"], found.x)
    np.testing.assert_array_equal(table["y_centroid"], found.y)
    np.testing.assert_array_equal(table["peak"], found.peak)
    np.testing.assert_array_equal(table["sharpness"], found.sharpness)
    assert list(table["id"]) == [1, 2, 3]


def test_nothing_found_is_none_from_the_call_and_empty_from_find(finder):
    flat = np.zeros((20, 20))
    assert finder(flat) is None
    found = finder.find(flat)
    assert len(found) == 0
    assert found.x.dtype == np.float64


def test_image_smaller_than_the_kernel_is_searched(finder):
    assert len(finder.find(np.zeros((2, 3)))) == 0


def test_empty_image_has_no_stars(finder):
    assert len(finder.find(np.zeros((0, 5)))) == 0


def test_many_stars_are_measured_in_batches_with_the_same_result(finder, monkeypatch):
    image = make_image(noise=0.5)
    whole = finder.find(image)
    monkeypatch.setattr("bayesphot.detection.starfinder.STAMP_PIXELS_AT_ONCE", 1)
    parts = finder.find(image)
    np.testing.assert_array_equal(whole.x, parts.x)
    np.testing.assert_array_equal(whole.flux, parts.flux)


# --- thresholds --------------------------------------------------------------------------


def test_kernel_measures_the_height_of_a_star_on_any_sky():
    kernel = build_star_kernel(FWHM)
    image = 37.0 + make_image([(20.0, 20.0, 80.0)], shape=(41, 41))
    assert convolve_image(image, kernel)[20, 20] == pytest.approx(80.0, rel=1e-12)


@pytest.mark.parametrize("fwhm", [3.0, 30.0], ids=["direct", "fft"])
def test_relative_error_is_the_scatter_of_the_convolved_noise(fwhm):
    kernel = build_star_kernel(fwhm, 0.7, theta=30.0)
    noise = np.random.default_rng(3).normal(0.0, 1.0, (400, 400))
    half = max(kernel.half_size)
    scatter = convolve_image(noise, kernel)[half:-half, half:-half].std()
    # 160000 pixels correlated over some kernel areas: 2 % for the small, 8 % for the large one.
    assert scatter == pytest.approx(kernel.relative_error, rel=0.02 if fwhm < 10 else 0.08)


def test_fft_and_direct_convolution_agree(monkeypatch):
    kernel = build_star_kernel(FWHM, 0.8, theta=20.0)
    image = make_image(noise=1.0)
    direct = convolve_image(image, kernel)
    monkeypatch.setattr("bayesphot.detection.starkernel.LARGEST_DIRECT_KERNEL", 0)
    np.testing.assert_allclose(convolve_image(image, kernel), direct, atol=1e-11)


def test_threshold_is_scaled_by_the_relative_error_and_strict():
    image = make_image([(20.0, 20.0, 80.0)], shape=(41, 41))
    kernel = build_star_kernel(FWHM)
    limit = convolve_image(image, kernel)[20, 20] / kernel.relative_error
    assert len(DAOStarFinder(threshold=limit * (1 - 1e-9), fwhm=FWHM).find(image)) == 1
    assert len(DAOStarFinder(threshold=limit * (1 + 1e-9), fwhm=FWHM).find(image)) == 0


def test_iraf_threshold_is_the_height_itself():
    image = make_image([(20.0, 20.0, 80.0)], shape=(41, 41))
    assert len(IRAFStarFinder(threshold=80.0 * (1 - 1e-9), fwhm=FWHM).find(image)) == 1
    assert len(IRAFStarFinder(threshold=80.0 * (1 + 1e-9), fwhm=FWHM).find(image)) == 0


@pytest.mark.parametrize("finder_class", [DAOStarFinder, IRAFStarFinder])
def test_nsigma_with_a_noise_level_is_the_threshold_in_data_units(finder_class):
    image = make_image(noise=1.0)
    by_noise = finder_class(nsigma=4.0, fwhm=FWHM).find(image, noise=2.5)
    by_level = finder_class(threshold=10.0, fwhm=FWHM).find(image)
    np.testing.assert_array_equal(by_noise.x, by_level.x)


def test_noise_map_raises_the_threshold_where_it_is_high():
    image = make_image()
    noise = np.ones(image.shape)
    noise[:, 40:] = 100.0
    found = DAOStarFinder(nsigma=5.0, fwhm=FWHM).find(image, noise=noise)
    assert len(found) == 2
    assert found.x.max() < 40


def test_nsigma_without_noise_takes_the_scatter_of_the_data():
    image = make_image(noise=1.0)
    finder = DAOStarFinder(nsigma=5.0, fwhm=FWHM)
    assert len(finder.find(image)) == 3
    np.testing.assert_array_equal(finder.find(image).x, finder(image)["x_centroid"])
    # The threshold follows the data: a thousandfold image gives the same stars.
    np.testing.assert_allclose(finder.find(1000 * image).x, finder.find(image).x)


def test_estimated_noise_of_masked_pixels_is_left_out():
    image = make_image(noise=1.0)
    image[:, 25:] *= 50.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[:, 25:] = True
    assert len(DAOStarFinder(nsigma=5.0, fwhm=FWHM).find(image, mask=mask)) == 1


def test_non_finite_noise_masks_its_pixels():
    noise = np.ones((45, 60))
    noise[5:20, 5:20] = np.nan
    found = DAOStarFinder(nsigma=5.0, fwhm=FWHM).find(make_image(), noise=noise)
    assert found.x.min() > 20


# --- masks and kinds of input ------------------------------------------------------------


def test_stars_under_the_mask_are_not_found(finder):
    mask = np.zeros((45, 60), dtype=bool)
    mask[5:20, 5:20] = True
    assert finder.find(make_image(), mask=mask).x.min() > 20
    assert finder(make_image(), mask=mask)["x_centroid"].min() > 20


@pytest.mark.parametrize("value", [1e6, -1e6, np.nan, np.inf])
def test_values_under_the_mask_do_not_matter(finder, value):
    mask = np.zeros((45, 60), dtype=bool)
    mask[13, 12] = mask[40, 50] = True
    image = make_image(noise=0.5)
    clean, bad = np.where(mask, 0.0, image), np.where(mask, value, image)
    np.testing.assert_array_equal(finder.find(clean, mask=mask).x, finder.find(bad, mask=mask).x)


def test_non_finite_pixels_count_as_masked(finder):
    image = make_image(noise=0.5)
    mask = np.zeros(image.shape, dtype=bool)
    mask[13, 12] = mask[40, 50] = True
    expected = finder.find(image, mask=mask)
    image[mask] = np.nan
    np.testing.assert_array_equal(finder.find(image).x, expected.x)


def test_all_masked_image_has_no_stars(finder):
    image = make_image()
    assert len(finder.find(image, mask=np.ones(image.shape, dtype=bool))) == 0
    nsigma = DAOStarFinder(nsigma=5.0, fwhm=FWHM)
    assert nsigma(image, mask=np.ones(image.shape, dtype=bool)) is None


def convert_masked(image):
    """A masked array of which one pixel is bad."""
    masked = np.ma.array(image)
    masked[0, 0] = np.ma.masked
    return masked


CONVERSIONS = {
    "integer": lambda image: image.astype(np.int32),
    "unsigned": lambda image: (image + 5).astype(np.uint16),
    "float32": lambda image: image.astype(np.float32),
    "big-endian": lambda image: image.astype(">f8"),
    "fortran": np.asfortranarray,
    "reversed": lambda image: image[::-1, ::-1],
    "masked array": convert_masked,
    "list": lambda image: image.tolist(),
    "quantity": lambda image: image * u.electron,
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_every_kind_of_array_gives_the_stars_of_its_values(finder, kind):
    given = CONVERSIONS[kind](make_image(noise=0.5))
    plain = np.array(np.ma.getdata(getattr(given, "value", given)), dtype=np.float64)
    mask = np.ma.getmaskarray(given) if kind == "masked array" else None
    expected = finder.find(plain, mask=mask)
    found = finder.find(given)
    assert len(found) >= 3
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.flux, expected.flux)


def test_read_only_input_is_accepted_and_never_modified(finder):
    image, mask = make_image(noise=0.5), np.zeros((45, 60), dtype=int)
    image[3, 3], mask[13, 12] = np.nan, 1
    before = image.copy(), mask.copy()
    image.flags.writeable = mask.flags.writeable = False
    finder(image, mask)
    finder.find(image, mask=mask, noise=np.ones(image.shape))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_calls_leave_no_trace_in_the_finder(finder):
    before = repr(finder), hash(finder)
    first = finder.find(make_image(noise=1.0))
    second = finder.find(make_image(noise=1.0))
    assert (repr(finder), hash(finder)) == before
    np.testing.assert_array_equal(first.x, second.x)


# --- units -------------------------------------------------------------------------------


def test_quantity_data_give_quantity_peak_and_flux(finder):
    table = finder(make_image() * u.electron)
    assert table["flux"].unit == u.electron
    assert table["peak"].unit == u.electron
    np.testing.assert_array_equal(table["flux"].value, finder(make_image())["flux"])


class PlainFinder:
    """A finder of others: it wants data in the very unit of its threshold."""

    def __init__(self, threshold, fwhm) -> None:
        self.threshold = threshold
        self.inner = DAOStarFinder(threshold=threshold.value, fwhm=fwhm)

    def __call__(self, data, mask=None):
        assert data.unit == self.threshold.unit
        return self.inner(data.value, mask=mask)


def test_threshold_with_a_unit_is_converted_to_that_of_the_data():
    image = make_image() * 1000.0 * u.mJy
    in_jansky = DAOStarFinder(threshold=10.0 * u.Jy, fwhm=FWHM, peakmax=100 * u.Jy).find(image)
    in_data = DAOStarFinder(threshold=10000.0, fwhm=FWHM, peakmax=100000.0).find(image)
    assert len(in_jansky) == 2
    np.testing.assert_array_equal(in_jansky.x, in_data.x)


@pytest.mark.parametrize("make", [DAOStarFinder, PlainFinder])
def test_a_threshold_with_a_unit_gets_the_image_with_its_unit(make):
    """As the loop calls finders: data without a unit, and the image's beside them."""
    image = make_image() * 1000.0
    finder = make(threshold=10.0 * u.Jy, fwhm=FWHM)
    expected = DAOStarFinder(threshold=10000.0, fwhm=FWHM).find(image)
    found = find_sources(finder, image, unit=u.mJy)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)
    with pytest.raises(ValueError, match="must be in the unit of the image, electron, found Jy"):
        find_sources(finder, image, unit=u.electron)
    with pytest.raises(ValueError, match="has the unit Jy, but the image has none"):
        find_sources(finder, image)


@pytest.mark.parametrize(
    ("data_unit", "threshold_unit", "message"),
    [
        (u.electron, u.Jy, "threshold must be in the unit of data, electron, found Jy"),
        (u.dimensionless_unscaled, None, None),
        (None, u.Jy, "threshold has the unit Jy but data has none"),
    ],
)
def test_mismatched_units_are_an_error(data_unit, threshold_unit, message):
    image = make_image() if data_unit is None else make_image() * data_unit
    threshold = 10.0 if threshold_unit is None else 10.0 * threshold_unit
    finder = DAOStarFinder(threshold=threshold, fwhm=FWHM)
    if message is None:
        assert len(finder.find(image)) == 3
    else:
        with pytest.raises(ValueError, match=message):
            finder.find(image)


def test_noise_in_another_unit_is_an_error():
    finder = DAOStarFinder(nsigma=5.0, fwhm=FWHM)
    with pytest.raises(ValueError, match="noise must be in the unit of data"):
        finder.find(make_image() * u.Jy, noise=1.0 * u.electron)


# --- limits ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sharplo", "sharphi", "roundlo", "roundhi"])
def test_limits_are_strict(name):
    image = make_image([(20.3, 20.1, 80.0)], shape=(41, 41), noise=0.5)
    wide = {"sharplo": -9.0, "sharphi": 9.0, "roundlo": -9.0, "roundhi": 9.0}
    row = DAOStarFinder(threshold=20.0, fwhm=FWHM, **wide)(image)[0]
    if name.startswith("sharp"):
        value = float(row["sharpness"])
    else:
        both = float(row["roundness1"]), float(row["roundness2"])
        value = min(both) if name == "roundlo" else max(both)
    step = 1e-9 if name.endswith("hi") else -1e-9
    for limit, found in ((value, 0), (value + step, 1)):
        finder = DAOStarFinder(threshold=20.0, fwhm=FWHM, **(wide | {name: limit}))
        assert len(finder.find(image)) == found


def test_peakmax_is_strict(finder):
    image = make_image()
    peaks = finder(image)["peak"]
    kind, settings = type(finder), {"threshold": 10.0, "fwhm": FWHM}
    highest = float(peaks.max())
    assert len(kind(**settings, peakmax=highest).find(image)) == 2
    assert len(kind(**settings, peakmax=highest * (1 + 1e-12)).find(image)) == 3


def test_perfectly_round_star_passes_the_default_limits_of_iraf():
    image = make_image([(20.0, 20.0, 80.0)], shape=(41, 41))
    assert len(IRAFStarFinder(threshold=10.0, fwhm=FWHM).find(image)) == 1


def test_cosmic_ray_is_sharper_than_a_star():
    image = make_image()
    image[35, 20] = 200.0
    assert len(DAOStarFinder(threshold=10.0, fwhm=FWHM).find(image)) == 3
    assert len(DAOStarFinder(threshold=10.0, fwhm=FWHM, sharphi=10.0).find(image)) == 4


def test_roundness_is_negative_along_x_and_positive_along_y():
    y, x = np.mgrid[:31, :31]
    along_x = 100.0 * np.exp(-0.5 * ((x - 15) ** 2 / 2.2**2 + (y - 15) ** 2 / 1.3**2))
    finder = DAOStarFinder(threshold=10.0, fwhm=FWHM)
    for name in ("roundness1", "roundness2"):
        assert finder(along_x)[name][0] < -0.1
        assert finder(along_x.T)[name][0] > 0.1


def test_orientation_is_counter_clockwise_from_x():
    y, x = np.mgrid[:31, :31] - 15
    across, along = (y - x) / np.sqrt(2), (x + y) / np.sqrt(2)
    image = 100.0 * np.exp(-0.5 * (along**2 / 2.2**2 + across**2 / 1.3**2))
    table = IRAFStarFinder(threshold=10.0, fwhm=FWHM, roundhi=1.0)(image)
    assert table["orientation"][0].to_value(u.deg) == pytest.approx(45.0)


def test_brightest_keeps_the_largest_fluxes_in_their_order(finder):
    kind = type(finder)
    table = kind(threshold=10.0, fwhm=FWHM, brightest=2)(make_image())
    np.testing.assert_allclose(table["x_centroid"], [50.0, 10.3], atol=0.15)
    assert list(table["id"]) == [1, 2]


def test_exclude_border_leaves_out_peaks_within_half_a_kernel(finder):
    image = make_image([(1.0, 20.0, 80.0), (2.0, 30.0, 80.0), (20.0, 20.0, 80.0)], shape=(45, 45))
    kind, settings = type(finder), {"threshold": 10.0, "fwhm": FWHM, "roundhi": 0.9}
    assert len(kind(**settings).find(image)) == 3
    assert len(kind(**settings, exclude_border=True).find(image)) == 2


# --- peaks -------------------------------------------------------------------------------


def test_min_separation_keeps_the_highest_of_close_peaks():
    image = make_image([(20.0, 20.0, 80.0), (27.0, 20.0, 60.0)], shape=(41, 50))
    settings = {"threshold": 10.0, "fwhm": FWHM}
    assert len(DAOStarFinder(**settings).find(image)) == 2
    assert len(DAOStarFinder(**settings, min_separation=6.9).find(image)) == 2
    assert len(DAOStarFinder(**settings, min_separation=7.0).find(image)) == 1


def test_minsep_fwhm_keeps_the_highest_of_close_peaks():
    image = make_image([(20.0, 20.0, 80.0), (27.0, 20.0, 60.0)], shape=(41, 50))
    settings = {"threshold": 10.0, "fwhm": FWHM}
    assert len(IRAFStarFinder(**settings, minsep_fwhm=1.8).find(image)) == 2
    assert len(IRAFStarFinder(**settings, minsep_fwhm=2.0).find(image)) == 1


def test_star_between_two_pixels_is_one_star():
    # Two equal pixels, and one alone: the convolved image has a tie between the two.
    image = np.zeros((41, 42))
    image[20, 20:22] = image[20, 30] = 80.0
    wide = {"sharphi": 99.0, "roundlo": -99.0, "roundhi": 99.0}
    assert len(DAOStarFinder(threshold=10.0, fwhm=4.0, **wide).find(image)) == 2


def test_only_a_zero_separation_keeps_all_ties():
    kept = [
        DAOStarFinder(threshold=1.0, fwhm=3.0, min_separation=separation).keeps_ties
        for separation in (None, 0, 2.0)
    ]
    assert kept == [False, True, False]


def test_plateau_is_one_peak_at_its_centre():
    image = np.zeros((15, 15))
    image[5:8, 4:9] = 3.0
    settings = {"offsets": list_disc_offsets(3.0), "good": np.ones((15, 15), dtype=bool)}
    y, x = find_peaks(image, 1.0, **settings)
    assert (y.tolist(), x.tolist()) == ([6], [6])
    assert find_peaks(image, 1.0, keep_ties=True, **settings)[0].size == 15


def test_peaks_are_those_of_a_maximum_filter():
    from scipy import ndimage

    image = np.random.default_rng(5).normal(0.0, 1.0, (80, 90))
    footprint = build_star_kernel(5.0, 0.5, theta=40.0).footprint
    highest = ndimage.maximum_filter(image, footprint=footprint, mode="constant", cval=0.0)
    expected = np.argwhere((image == highest) & (image > 0.5))
    y, x = find_peaks(
        image,
        0.5,
        offsets=list_footprint_offsets(footprint),
        good=np.ones(image.shape, dtype=bool),
    )
    assert len(expected) > 50
    np.testing.assert_array_equal(np.column_stack([y, x]), expected)


def test_bad_pixels_are_no_peaks_and_suppress_none():
    image = np.zeros((15, 15))
    image[7, 7], image[7, 8] = 5.0, 9.0
    good = np.ones(image.shape, dtype=bool)
    good[7, 8] = False
    y, x = find_peaks(image, 1.0, offsets=list_disc_offsets(3.0), good=good)
    assert (y.tolist(), x.tolist()) == ([7], [7])


# --- settings ----------------------------------------------------------------------------


@pytest.mark.parametrize("finder_class", [DAOStarFinder, IRAFStarFinder])
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fwhm": 3.0}, ValueError, "exactly one of threshold .* and nsigma"),
        ({"fwhm": 3.0, "threshold": 1.0, "nsigma": 5.0}, ValueError, "exactly one of"),
        ({"threshold": 1.0}, ValueError, "fwhm .* must be given"),
        ({"threshold": 1.0, "fwhm": 0.0}, ValueError, "fwhm must be positive, found 0.0"),
        ({"threshold": 1.0, "fwhm": np.nan}, ValueError, "fwhm must be finite, found nan"),
        ({"threshold": 1.0, "fwhm": "3"}, TypeError, "fwhm must be a number, found '3'"),
        ({"threshold": -1.0, "fwhm": 3.0}, ValueError, "threshold must be >= 0, found -1.0"),
        ({"threshold": [1.0], "fwhm": 3.0}, TypeError, "threshold must be a number"),
        ({"threshold": [1.0] * u.Jy, "fwhm": 3.0}, TypeError, "threshold must be a scalar"),
        ({"nsigma": 0.0, "fwhm": 3.0}, ValueError, "nsigma must be positive, found 0.0"),
        ({"threshold": 1.0, "fwhm": 3.0, "sigma_radius": -1}, ValueError, "sigma_radius must"),
        ({"threshold": 1.0, "fwhm": 3.0, "sharplo": 5.0}, ValueError, "sharplo must be below"),
        ({"threshold": 1.0, "fwhm": 3.0, "roundhi": None}, TypeError, "roundhi must be a num"),
        ({"threshold": 1.0, "fwhm": 3.0, "brightest": 0}, ValueError, "brightest must be at"),
        ({"threshold": 1.0, "fwhm": 3.0, "brightest": 2.5}, TypeError, "brightest must be an"),
        ({"threshold": 1.0, "fwhm": 3.0, "peakmax": np.nan}, ValueError, "peakmax must be fin"),
    ],
)
def test_bad_settings_are_clear_errors(finder_class, settings, error, message):
    with pytest.raises(error, match=message):
        finder_class(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 0.0}, "ratio must be positive"),
        ({"ratio": 1.1}, "ratio must be at most 1"),
        ({"theta": np.inf}, "theta must be finite"),
        ({"min_separation": -1}, "min_separation must be >= 0"),
    ],
)
def test_bad_settings_of_dao_alone_are_clear_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        DAOStarFinder(threshold=1.0, fwhm=3.0, **settings)


def test_finders_are_immutable(finder):
    with pytest.raises(AttributeError):
        finder.fwhm = 9.0


def test_repr_is_the_call_that_builds_the_finder():
    finder = DAOStarFinder(10.0, 4.7, sharphi=2.0, brightest=5)
    assert repr(finder) == "DAOStarFinder(threshold=10.0, fwhm=4.7, sharphi=2.0, brightest=5)"
    assert eval(repr(finder)) == finder
    finder = IRAFStarFinder(nsigma=5.0, fwhm=4.7)
    assert repr(finder) == "IRAFStarFinder(fwhm=4.7, nsigma=5.0)"


@pytest.mark.parametrize(
    ("data", "mask", "error", "message"),
    [
        (np.zeros(5), None, ValueError, r"data must be a 2-D image, found shape \(5,\)"),
        (np.zeros((3, 3), dtype=complex), None, TypeError, "data must be real numbers"),
        (np.zeros((3, 3)), np.zeros((2, 3), bool), ValueError, r"mask .* found \(2, 3\)"),
        (np.zeros((3, 3)), np.zeros((3, 3)), TypeError, "mask must be boolean"),
    ],
)
def test_bad_data_are_clear_errors(finder, data, mask, error, message):
    with pytest.raises(error, match=message):
        finder(data, mask)


def test_bad_noise_is_a_clear_error():
    finder = DAOStarFinder(nsigma=5.0, fwhm=3.0)
    noise = np.ones((20, 20))
    noise[4, 7] = -2.0
    with pytest.raises(ValueError, match=r"found -2.0 at \(y, x\) = \(4, 7\)"):
        finder.find(np.zeros((20, 20)), noise=noise)
    with pytest.raises(ValueError, match="noise must be a number or have the shape"):
        finder.find(np.zeros((20, 20)), noise=np.ones(20))
    with pytest.raises(ValueError, match="noise must be finite"):
        finder.find(np.zeros((20, 20)), noise=-1.0)


# --- detections --------------------------------------------------------------------------


def test_detections_must_be_equally_long():
    with pytest.raises(ValueError, match="equally long"):
        Detections([1.0], [1.0, 2.0], [1.0], [1.0], [1.0], [1.0])


def test_detections_do_not_share_or_expose_writable_arrays():
    x = np.zeros(2)
    found = Detections(x, x, x, x, x, x)
    x[0] = 9.0
    assert found.x[0] == 0.0
    assert not found.y.flags.writeable


# --- the adapter -------------------------------------------------------------------------


def test_adapter_hands_our_finders_the_whole_scene():
    image, noise = make_image(), np.ones((45, 60))
    noise[:, 40:] = 100.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[5:20, 5:20] = True
    found = find_sources(DAOStarFinder(nsigma=5.0, fwhm=FWHM), image, noise=noise, mask=mask)
    assert len(found) == 1


def test_adapter_takes_any_object_with_a_scene_aware_find():
    seen = {}

    class SceneFinder:
        def __call__(self, data, mask=None):
            raise AssertionError("find comes first")

        def find(self, data, *, noise, mask, model):
            seen.update(noise=noise, model=model)
            return Detections([1.0, np.nan], [2.0, 2.0], *np.ones((4, 2)))

    found = find_sources(SceneFinder(), np.zeros((5, 5)), noise=2.0, model=np.ones((5, 5)))
    assert found.x.tolist() == [1.0]
    assert seen["noise"] == 2.0
    assert seen["model"].sum() == 25


@pytest.mark.parametrize(
    ("finder", "message"),
    [
        (lambda data, mask=None: 5, "returned int: 5"),
        (lambda data, mask=None: [(1.0, 2.0)], "returned list"),
        (lambda data, mask=None: np.zeros((2, 2)), "returned ndarray"),
        ("DAOStarFinder", "finder must be callable, found 'DAOStarFinder'"),
    ],
)
def test_what_is_no_finder_is_a_type_error(finder, message):
    with pytest.raises(TypeError, match=message):
        find_sources(finder, np.zeros((5, 5)))


def test_error_inside_a_finder_is_not_hidden():
    def broken(data, mask=None):
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        find_sources(broken, np.zeros((5, 5)))


def test_foreign_finder_gets_a_copy_with_zeros_on_bad_pixels():
    image = make_image()
    image[3, 3] = np.nan
    image.flags.writeable = False
    seen = {}

    def vandal(data, mask=None):
        seen.update(data=data.copy(), mask=mask)
        data[:] = -1.0

    assert len(find_sources(vandal, image)) == 0
    assert seen["data"][3, 3] == 0.0
    assert np.argwhere(seen["mask"]).tolist() == [[3, 3]]
    assert np.nanmin(image) >= 0.0


def test_mask_is_kept_from_finders_that_do_not_take_one():
    calls = []

    def data_only(data):
        calls.append(data)

    def any_keyword(data, **options):
        calls.append(options["mask"])

    mask = np.eye(5, dtype=bool)
    find_sources(data_only, np.ones((5, 5)), mask=mask)
    find_sources(any_keyword, np.ones((5, 5)), mask=mask)
    assert calls[0].trace() == 0.0
    np.testing.assert_array_equal(calls[1], mask)


def test_foreign_finder_sees_the_unit_of_the_data():
    units = []
    find_sources(lambda data: units.append(data.unit), np.zeros((5, 5)) * u.Jy)
    assert units == [u.Jy]


@pytest.mark.parametrize(
    ("x_name", "y_name"),
    [
        ("xcentroid", "ycentroid"),
        ("x_centroid", "y_centroid"),
        ("x_0", "y_0"),
        ("x_init", "y_init"),
        ("x_fit", "y_fit"),
        ("x", "y"),
    ],
)
def test_tables_of_any_spelling_become_detections(x_name, y_name):
    table = Table({x_name: [1.0, np.nan, 3.0], y_name: [2.0, 2.0, np.inf], "peak": [7, 8, 9]})
    found = find_sources(lambda data: table, np.zeros((5, 5)))
    assert (found.x.tolist(), found.y.tolist(), found.peak.tolist()) == ([1.0], [2.0], [7.0])
    assert np.isnan(found.flux).all()
    assert np.isnan(found.sharpness).all()


def test_mapping_and_structured_array_become_detections():
    columns = {"x": [1.0, 2.0], "y": [3.0, 4.0], "flux": [5.0, 6.0] * u.Jy}
    assert find_sources(lambda data: columns, np.zeros((5, 5))).flux.tolist() == [5.0, 6.0]
    rows = np.array([(1.0, 3.0)], dtype=[("x", float), ("y", float)])
    assert find_sources(lambda data: rows, np.zeros((5, 5))).y.tolist() == [3.0]


def test_table_without_positions_is_an_error():
    with pytest.raises(ValueError, match="x"):
        find_sources(lambda data: Table({"flux": [1.0]}), np.zeros((5, 5)))


def test_public_names_are_those_documented():
    assert set(detection.__all__) == {
        "DAOStarFinder",
        "Detections",
        "IRAFStarFinder",
        "find_sources",
    }
