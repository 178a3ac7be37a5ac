"""The pixel-integrated Gaussian of the kernels against erf and its differences."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_scene import open_kernel
from oracle import integrate_axis

from bayesphot.kernels import gaussian

normal_cdf = open_kernel(gaussian.normal_cdf)
profile_into = open_kernel(gaussian.profile_into)
profile_gradient_into = open_kernel(gaussian.profile_gradient_into)

#: Documented error of the normal integral; a pixel is the difference of two.
TABLE_ERROR = 1e-9

#: Centre, sigma, first pixel.
CASES = [
    (7.3, 1.3, 0),
    (0.0, 0.3, 0),
    (12.5, 2.0, 5),
    (-2.2, 4.0, 0),
    (5.5, 0.1, 3),
    (9.0, 30.0, 0),
]


def fill_gradient(center, sigma, first, n):
    rows = np.full((3, n), np.nan)
    profile_gradient_into(center, sigma, first, n, rows[0], rows[1], rows[2])
    return rows


@pytest.mark.parametrize(("center", "sigma", "first"), CASES)
def test_profile_equals_erf(center, sigma, first) -> None:
    value = np.full(17, np.nan)
    profile_into(center, sigma, first, 17, value)
    expected = integrate_axis(first + np.arange(17), center, sigma)
    np.testing.assert_allclose(value, expected, rtol=0, atol=2 * TABLE_ERROR)


def test_normal_integral_is_odd_monotone_and_ends_at_one_half() -> None:
    u = np.linspace(-9.0, 9.0, 3001)
    value = np.array([normal_cdf(v) for v in u])
    np.testing.assert_array_equal(value, [-normal_cdf(-v) for v in u])
    # Monotone to rounding: interpolation may ripple in the last bits of the flat tail.
    assert np.diff(value).min() > -1e-15
    assert value[0] == -0.5
    assert normal_cdf(1e300) == 0.5
    assert normal_cdf(-np.inf) == -0.5


def test_profile_far_from_its_center_is_zero() -> None:
    value = np.full(5, np.nan)
    profile_into(1e6, 1.0, 0, 5, value)
    np.testing.assert_array_equal(value, 0.0)


def test_profile_of_a_wide_window_sums_to_one() -> None:
    value = np.empty(60)
    profile_into(29.7, 1.7, 0, 60, value)
    assert value.sum() == pytest.approx(1.0, abs=2 * TABLE_ERROR)


def test_only_the_asked_pixels_are_filled() -> None:
    value = np.full(9, -7.0)
    profile_into(3.0, 1.0, 0, 6, value)
    np.testing.assert_array_equal(value[6:], -7.0)


@pytest.mark.parametrize(("center", "sigma", "first"), CASES)
def test_values_with_gradient_equal_values_without(center, sigma, first) -> None:
    value = np.empty(17)
    profile_into(center, sigma, first, 17, value)
    rows = fill_gradient(center, sigma, first, 17)
    np.testing.assert_allclose(rows[0], value, rtol=0, atol=2 * TABLE_ERROR)


@pytest.mark.parametrize(("center", "sigma", "first"), CASES)
def test_derivatives_equal_central_differences_of_erf(center, sigma, first) -> None:
    pixel = first + np.arange(17)
    rows = fill_gradient(center, sigma, first, 17)
    # A complex step has no truncation error; closed-form derivatives are good to rounding,
    # the bound allows for interpolated ones as well.
    h = 1e-30
    by_center = integrate_axis(pixel, center + 1j * h, sigma).imag / h
    by_log_sigma = integrate_axis(pixel, center, sigma * np.exp(1j * h)).imag / h
    scale = 1.0 / sigma
    np.testing.assert_allclose(rows[1], by_center, rtol=0, atol=1e-7 * scale)
    np.testing.assert_allclose(rows[2], by_log_sigma, rtol=0, atol=1e-7)


def test_derivatives_equal_central_differences_of_the_kernel_itself() -> None:
    center, sigma, h = 6.2, 1.4, 1e-3
    rows = fill_gradient(center, sigma, 0, 13)
    up = fill_gradient(center + h, sigma, 0, 13)[0]
    down = fill_gradient(center - h, sigma, 0, 13)[0]
    # Truncation h^2 f'''/6 < 1e-7; the table's error enters as TABLE_ERROR / h.
    np.testing.assert_allclose(rows[1], (up - down) / (2 * h), atol=2e-7 + TABLE_ERROR / h)
    up = fill_gradient(center, sigma * np.exp(h), 0, 13)[0]
    down = fill_gradient(center, sigma * np.exp(-h), 0, 13)[0]
    np.testing.assert_allclose(rows[2], (up - down) / (2 * h), atol=2e-7 + TABLE_ERROR / h)
