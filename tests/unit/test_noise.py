"""Variance of CCD pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bayesphot.noise import CCDNoise, ccd_variance


def test_variance_is_read_noise_and_photons_in_data_units() -> None:
    noise = CCDNoise(gain=2.0, read_noise=6.0, sky=10.0)
    expected = np.array([[0.0, 30.0], [-4.0, 1000.0]])
    np.testing.assert_allclose(
        ccd_variance(noise, expected), [[9.0 + 5.0, 9.0 + 20.0], [9.0 + 3.0, 9.0 + 505.0]]
    )


def test_negative_light_adds_nothing() -> None:
    noise = CCDNoise(gain=2.0, read_noise=6.0)
    np.testing.assert_allclose(ccd_variance(noise, np.array([-50.0, -1e9])), 9.0)


def test_no_pixel_has_no_variance() -> None:
    noise = CCDNoise(gain=4.0, read_noise=0.0)
    np.testing.assert_allclose(ccd_variance(noise, np.array([0.0, -3.0])), 0.1 / 16.0)


def test_variance_is_that_of_simulated_photons() -> None:
    rng, n, gain, read_noise, level = np.random.default_rng(1), 200_000, 3.0, 4.0, 12.0
    electrons = rng.poisson(level * gain, n) + rng.normal(0.0, read_noise, n)
    variance = np.var(electrons / gain)
    # Relative scatter of a variance is sqrt(2/n) but for the Poisson's kurtosis; 4.5 of them.
    expected = ccd_variance(CCDNoise(gain, read_noise), np.array([level]))[0]
    assert variance == pytest.approx(expected, rel=4.5 * math.sqrt(2.1 / n))


def test_the_expected_image_is_not_changed() -> None:
    expected = np.array([-1.0, 5.0])
    expected.setflags(write=False)
    assert ccd_variance(CCDNoise(1.0, 1.0), expected).shape == (2,)


@pytest.mark.parametrize("gain", [0.0, -1.0, math.inf, math.nan])
def test_gain_must_be_positive_and_finite(gain) -> None:
    with pytest.raises(ValueError, match="gain must be positive and finite, found"):
        CCDNoise(gain=gain, read_noise=1.0)


@pytest.mark.parametrize("read_noise", [-0.1, math.inf, math.nan])
def test_read_noise_must_be_finite_and_not_negative(read_noise) -> None:
    with pytest.raises(ValueError, match="read_noise must be finite and >= 0, found"):
        CCDNoise(gain=1.0, read_noise=read_noise)


@pytest.mark.parametrize("sky", [math.inf, math.nan])
def test_sky_must_be_finite(sky) -> None:
    with pytest.raises(ValueError, match="sky must be finite, found"):
        CCDNoise(gain=1.0, read_noise=1.0, sky=sky)


def test_noise_is_immutable_with_a_readable_repr() -> None:
    noise = CCDNoise(gain=2.0, read_noise=5.0)
    assert repr(noise) == "CCDNoise(gain=2.0, read_noise=5.0, sky=0.0)"
    with pytest.raises(AttributeError):
        noise.gain = 3.0
