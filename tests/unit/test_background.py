"""Sky level, its error, and the pixel noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy import units as u

from bayesphot.background import (
    MADStdBackgroundRMS,
    MeanBackground,
    MedianBackground,
    MMMBackground,
    ModeEstimatorBackground,
    SkyLevel,
    SkyMap,
    StdBackgroundRMS,
    estimate_noise,
    estimate_sky,
)
from bayesphot.background.pixels import find_error_factor

LEVELS = (MeanBackground, MedianBackground, ModeEstimatorBackground, MMMBackground)
SCATTERS = (StdBackgroundRMS, MADStdBackgroundRMS)


def make_sky(seed: int = 1, shape: tuple[int, int] = (60, 50)) -> np.ndarray:
    """Return a sky of level 100 and scatter 5 with a few bright pixels."""
    image = np.random.default_rng(seed).normal(100.0, 5.0, shape)
    image[10:12, 20:22] += 1000.0
    return image


def test_levels_weigh_median_and_mean() -> None:
    data = [0.0, 1.0, 2.0, 7.0, 10.0]  # median 2, mean 4, nothing to clip
    assert MeanBackground()(data) == 4.0
    assert MedianBackground()(data) == 2.0
    assert MMMBackground()(data) == -2.0
    assert ModeEstimatorBackground(median_factor=2.5, mean_factor=1.5)(data) == -1.0


def test_scatters_are_standard_and_median_absolute_deviation() -> None:
    data = [0.0, 1.0, 2.0, 7.0, 10.0]
    assert StdBackgroundRMS()(data) == pytest.approx(np.sqrt(74 / 5), rel=1e-14)
    assert MADStdBackgroundRMS()(data) == pytest.approx(2 * 1.4826022185056018, rel=1e-14)


def test_rounds_of_clipping_change_the_level_and_zero_rounds_clip_nothing() -> None:
    image = make_sky()
    unclipped = MeanBackground(maxiters=0)(image)
    assert unclipped == pytest.approx(image.mean(), rel=1e-14)
    assert abs(MeanBackground()(image) - 100.0) < 0.5 < unclipped - 100.0
    assert MeanBackground(maxiters=None)(image) == pytest.approx(MeanBackground(maxiters=50)(image))


@pytest.mark.parametrize("estimator", [cls() for cls in LEVELS + SCATTERS], ids=repr)
def test_masked_and_non_finite_pixels_are_left_out(estimator) -> None:
    image = make_sky()
    mask = np.zeros(image.shape, dtype=bool)
    mask[:20] = True
    expected = estimator(image[20:])
    spoilt = image.copy()
    spoilt[:10] = np.nan
    spoilt[10:20] = 1e9
    before = spoilt.copy()
    assert estimator(spoilt, mask) == expected
    assert estimator(spoilt, mask.astype(int)) == expected
    assert estimator(np.ma.MaskedArray(spoilt, mask)) == expected
    np.testing.assert_array_equal(spoilt, before)


@pytest.mark.parametrize("estimator", [cls() for cls in LEVELS + SCATTERS], ids=repr)
def test_memory_layout_and_byte_order_do_not_matter(estimator) -> None:
    image = np.round(make_sky())
    expected = estimator(image)
    frozen = image.copy()
    frozen.flags.writeable = False
    for same in (frozen, image.astype(">f8"), image.astype(np.int32), image.astype(np.float32)):
        assert estimator(same) == expected
    # Another order of the pixels: the sums round differently.
    assert estimator(np.asfortranarray(image)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("cls", LEVELS)
def test_a_quantity_gives_a_quantity(cls) -> None:
    image = make_sky()
    plain, sky = cls().estimate(image), cls().estimate(image * u.adu)
    assert cls()(image * u.adu) == plain.level * u.adu
    assert (sky.level, sky.error) == (plain.level * u.adu, plain.error * u.adu)


@pytest.mark.parametrize("cls", SCATTERS)
def test_a_quantity_gives_a_scatter_with_unit(cls) -> None:
    assert cls()(make_sky() * u.adu) == cls()(make_sky()) * u.adu


def test_without_pixels_the_level_is_unknown() -> None:
    sky = MMMBackground().estimate(np.full((3, 3), np.nan))
    assert np.isnan(sky.level)
    assert sky.error == np.inf
    assert MMMBackground().estimate([4.0]) == SkyLevel(4.0, np.inf)
    assert np.isnan(MADStdBackgroundRMS()([np.nan]))


@pytest.mark.parametrize(("cls", "a", "b"), [(MMMBackground, 3, -2), (MedianBackground, 1, 0)])
def test_unclipped_error_is_the_textbook_formula(cls, a: int, b: int) -> None:
    image = make_sky()
    expected = image.std() * np.sqrt((a * a * np.pi / 2 + b * b + 2 * a * b) / image.size)
    assert cls(maxiters=0).estimate(image).error == pytest.approx(expected, rel=1e-12)


def test_clipping_far_out_changes_no_error() -> None:
    for a, b in ((0.0, 1.0), (1.0, 0.0), (3.0, -2.0)):
        expected = np.sqrt(a * a * np.pi / 2 + b * b + 2 * a * b)
        for sigma in (7.0, 1e3, np.inf):
            assert find_error_factor(a, b, sigma, 10) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("sigma", [3.0, 2.0])
@pytest.mark.parametrize("cls", [MeanBackground, MedianBackground, MMMBackground])
def test_quoted_error_is_the_scatter_of_the_level(cls, sigma: float) -> None:
    """Root mean square of level / quoted error over fresh Gaussian skies is 1.

    The mean square of N unit normals scatters by sqrt(2/N), its root by sqrt(1/(2N)). The band
    is 3.9 of these (a false alarm in 1e4) plus 0.02 for the asymptotic formula at 400 pixels:
    leaving the clipping out would put the mean at 2 sigma at 1.95, leaving the covariance of
    median and mean out would put MMM at 0.58.
    """
    n_skies, n_pixels = 1500, 400
    estimator = cls(sigma=sigma)
    random = np.random.default_rng(20)
    skies = [estimator.estimate(random.normal(size=n_pixels)) for _ in range(n_skies)]
    pull = np.sqrt(np.mean([(sky.level / sky.error) ** 2 for sky in skies]))
    assert abs(pull - 1.0) < 3.9 / np.sqrt(2 * n_skies) + 0.02


def test_estimators_are_frozen_and_readable() -> None:
    assert repr(MMMBackground()) == "MMMBackground(sigma=3.0, maxiters=10)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        MMMBackground().sigma = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sigma": 0.0}, ValueError, "sigma must be positive, found 0.0"),
        ({"sigma": np.nan}, ValueError, "sigma must be positive, found nan"),
        ({"sigma": "3"}, TypeError, "sigma must be a number, found '3'"),
        ({"maxiters": -1}, ValueError, "maxiters must not be negative, found -1"),
        ({"maxiters": 2.5}, TypeError, "maxiters must be an integer or None, found 2.5"),
    ],
)
@pytest.mark.parametrize("cls", LEVELS + SCATTERS)
def test_wrong_settings_are_named(cls, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        cls(**settings)


def test_wrong_data_are_named() -> None:
    with pytest.raises(ValueError, match=r"mask has shape \(3,\), but data has shape \(2, 2\)"):
        MMMBackground()(np.ones((2, 2)), np.zeros(3))
    with pytest.raises(TypeError, match="data must be real numbers"):
        MMMBackground()(["a", "b"])
    with pytest.raises(ValueError, match="median_factor must be a finite number"):
        ModeEstimatorBackground(median_factor=np.nan)


# estimate_sky


def test_no_estimator_and_a_number_are_known_exactly() -> None:
    image = make_sky()
    assert estimate_sky(None, image) == _Like(0.0, 0.0)
    assert estimate_sky(7, image) == _Like(7.0, 0.0)
    assert estimate_sky(np.float32(7.5), image) == _Like(7.5, 0.0)
    assert estimate_sky(7 * u.adu, image * u.adu) == _Like(7.0, 0.0)


class _Like:
    """Equal to a `SkyMap` with this level and this error."""

    def __init__(self, level: float, error: float) -> None:
        self.level, self.error = level, error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SkyMap) and (self.level, self.error) == (other.level, other.error)

    __hash__ = None  # type: ignore[assignment]


def test_our_estimator_brings_its_own_error() -> None:
    image = make_sky()
    sky = MMMBackground().estimate(image)
    assert estimate_sky(MMMBackground(), image) == _Like(sky.level, sky.error)
    assert estimate_sky(MMMBackground(), image * u.adu) == _Like(sky.level, sky.error)


def test_a_function_gets_the_error_of_a_median() -> None:
    image = np.random.default_rng(2).normal(100.0, 5.0, (80, 80))
    sky = estimate_sky(np.mean, image)
    assert sky.level == image.mean()
    # The MAD scatter of 6400 numbers is known to 1.17 / sqrt(6400) = 1.5 %: 4 of these.
    assert sky.error == pytest.approx(5.0 * np.sqrt(np.pi / 2) / 80, rel=0.06)


def test_a_map_stays_a_map_and_its_error_is_that_of_the_difference() -> None:
    y, x = np.indices((80, 60))
    ramp = 100.0 + 0.5 * x
    image = np.random.default_rng(2).normal(ramp, 5.0)
    sky = estimate_sky(lambda data: ramp, image)
    np.testing.assert_array_equal(sky.level, ramp)
    assert sky.level is not ramp
    # 4 times the 1.17 / sqrt(4800) that the MAD scatter is known to; the ramp itself spans 30.
    assert sky.error == pytest.approx(5.0 * np.sqrt(np.pi / 2 / 4800), rel=0.07)


def test_a_function_that_ignores_masks_is_not_misled_by_bad_pixels() -> None:
    image = np.full((6, 6), 3.0)
    image[0], image[1] = np.nan, 1e9
    mask = image > 1e8
    seen = []

    def read(data):
        seen.append(data)
        return np.median(np.asarray(data))

    assert estimate_sky(read, image, mask).level == 3.0
    np.testing.assert_array_equal(np.ma.getmaskarray(seen[0]), mask | np.isnan(image))


def test_a_function_with_a_mask_argument_gets_the_mask() -> None:
    image = make_sky()
    mask = image > 500

    def read(data, mask):
        return data[~mask].mean()

    assert estimate_sky(read, image, mask).level == image[~mask].mean()


def test_a_function_cannot_change_the_image() -> None:
    image = make_sky()
    before = image.copy()

    def spoil(data):
        data[:] = 0.0
        return 1.0

    estimate_sky(spoil, image)
    np.testing.assert_array_equal(image, before)


def test_a_function_may_set_its_own_error() -> None:
    assert estimate_sky(lambda data: SkyLevel(5.0, 0.25), make_sky()) == _Like(5.0, 0.25)
    with pytest.raises(ValueError, match=r"error .* must be >= 0, found -1\.0"):
        estimate_sky(lambda data: SkyLevel(5.0, -1.0), make_sky())


def test_without_good_pixels_nothing_is_known_and_nobody_is_asked() -> None:
    image = np.full((4, 4), np.nan)
    assert estimate_sky(MMMBackground(), image) == _Like(0.0, np.inf)
    assert estimate_sky(lambda data: 1 / 0, image) == _Like(0.0, np.inf)


def test_a_map_may_be_undefined_on_bad_pixels_only() -> None:
    image = make_sky(shape=(40, 30))
    mask = np.zeros(image.shape, dtype=bool)
    mask[3, 4] = True
    level = np.full(image.shape, 100.0)
    level[3, 4] = np.nan
    assert estimate_sky(lambda data: level, image, mask).level[3, 4] == 100.0
    hidden = np.ma.MaskedArray(np.full(image.shape, 100.0), mask)
    assert np.all(estimate_sky(lambda data: hidden, image, mask).level == 100.0)
    with pytest.raises(ValueError, match=r"must be finite, found nan at \(y, x\) = \(3, 4\)"):
        estimate_sky(lambda data: level, image)


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (lambda data: np.nan, ValueError, "must be finite, found nan"),
        (lambda data: np.ones(3), ValueError, r"scalar or of shape \(60, 50\), found \(3,\)"),
        (lambda data: "high", TypeError, "must be real numbers, found 'high'"),
        (lambda data: None, TypeError, "must be real numbers, found None"),
        (lambda data: 3 * u.adu, ValueError, "unit adu, but the data have no unit"),
        (MMMBackground, TypeError, r"found the class MMMBackground: write MMMBackground\(\)"),
        ("mmm", TypeError, "background estimator must be None, a number, or a callable"),
        (True, TypeError, "background estimator must be None, a number, or a callable"),
        (np.inf, ValueError, "the background must be finite, found inf"),
    ],
)
def test_a_wrong_estimator_is_named(estimator, error, message) -> None:
    with pytest.raises(error, match=message):
        estimate_sky(estimator, make_sky())


# estimate_noise


def test_noise_is_the_scatter_of_the_good_pixels() -> None:
    image = make_sky()
    mask = image > 500
    assert estimate_noise(image, mask) == MADStdBackgroundRMS()(image[~mask])
    assert estimate_noise(image, mask, StdBackgroundRMS()) == StdBackgroundRMS()(image[~mask])
    assert estimate_noise(image, None, lambda data: 3) == 3.0
    assert estimate_noise(np.ones((4, 4))) == 0.0
    assert np.isnan(estimate_noise(np.full((4, 4), np.nan)))


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (lambda data: -1.0, ValueError, r"finite and >= 0, found -1\.0"),
        (lambda data: np.nan, ValueError, "finite and >= 0, found nan"),
        (lambda data: data, ValueError, r"must be one number, found shape \(60, 50\)"),
        (3.0, TypeError, r"noise estimator must be callable, found 3\.0"),
        (StdBackgroundRMS, TypeError, "found the class StdBackgroundRMS"),
    ],
)
def test_a_wrong_noise_estimator_is_named(estimator, error, message) -> None:
    with pytest.raises(error, match=message):
        estimate_noise(make_sky(), None, estimator)


def test_errors_name_estimators_in_one_short_line():
    for estimator in (np.zeros((50, 50)), lambda data: np.zeros((3, 3))):
        with pytest.raises((TypeError, ValueError)) as caught:
            estimate_sky(estimator, np.ones((50, 50)))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 220
