"""The PSF's error: modes of known answer, what is refused, what the images hold."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from astropy.table import Table
from kernel_scene import INTERPRETED

import bayesphot as bp
from bayesphot.psf import PSFError, describe_psf
from bayesphot.render import render_mode

SIGMA, NOISE, FLUX, SIDE = 1.5, 3.0, 20_000.0, 33
BOX = slice(10, 23)
PSF = describe_psf(bp.IntegratedGaussianPRF(sigma=SIGMA))


def differentiate_width(x, y, place, sigma):
    """Return d phi / d ln(sigma) of a unit source by a complex step."""
    source = np.array([*place, 1.0, np.log(sigma) + 1e-30j])
    return oracle.render_source(x, y, source).imag / 1e-30


def measure(image, place, **options):
    """Force a lone star of known place without a sky."""
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.x_0.fixed = psf.y_0.fixed = True
    options = {"error": NOISE, "seed": 4} | options
    error = options.pop("error")
    phot = bp.BasicPSFPhotometry(psf_model=psf, fitshape=13, **options)
    return phot(image, error, positions=Table([[v] for v in place], names=("x_0", "y_0")))


def make_star(seed, place, sigma=SIGMA):
    """Return an image of one star in normal noise."""
    rng = np.random.default_rng(seed)
    image = oracle.render_image((SIDE, SIDE), [[*place, FLUX, np.log(sigma)]])
    return image + rng.normal(0.0, NOISE, image.shape)


def test_the_mode_of_the_width_is_the_derivative_of_the_psf() -> None:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    state = np.array([[15.3, 16.1, 3.0, np.log(SIGMA)], [12.0, 20.4, 5.0, np.log(SIGMA)]])
    mode = render_mode((SIDE, SIDE), state, PSF, PSFError(width=0.01), 0)
    expected = sum(s[2] * differentiate_width(x, y, s[:2], SIGMA) for s in state)
    # The kernel's profiles are good to 1e-9, over a step of 2e-3.
    np.testing.assert_allclose(mode, expected, atol=1e-5)


@pytest.mark.parametrize("oversampling", [1, 3])
def test_a_mode_given_as_an_image_follows_its_source(oversampling) -> None:
    half = 12 * oversampling
    grid = np.arange(-half, half + 1) / oversampling
    mode = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / 2.0**2) * grid
    error = PSFError(width=0.0, modes=[(mode, 0.02)], oversampling=oversampling)
    assert error.amplitude_sd == (0.02,)
    state = np.array([[15.3, 16.1, 3.0, np.log(SIGMA)], [1.2, 2.4, 5.0, np.log(SIGMA)]])
    found = render_mode((SIDE, SIDE), state, PSF, error, 0)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    expected = sum(
        f * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / 4.0) * (x - u) for u, v, f, _ in state
    )
    # Cubic splines of a bell two pixels wide: h^4 f'''' / 384, times the flux.
    np.testing.assert_allclose(found, expected, atol=0.02 / oversampling**4 + 1e-6)


@pytest.mark.skipif(INTERPRETED, reason="thousands of draws")
@pytest.mark.parametrize("width", [0.01, 0.03])
def test_the_flux_of_a_forced_star_has_the_variance_of_the_whole_covariance(width) -> None:
    """1 / (Phi^T C^-1 Phi), C = noise^2 + width^2 f^2 psi psi^T, at the fitted flux f."""
    place = (16.2, 15.7)
    image = make_star(3, place)
    result = measure(image, place, psf_error=PSFError(width=width), sampler=bp.Sampler(draws=4000))
    y, x = (v.ravel() for v in np.mgrid[BOX, BOX].astype(float))
    phi = oracle.render_source(x, y, np.array([*place, 1.0, np.log(SIGMA)]))
    psi = differentiate_width(x, y, place, SIGMA)
    flux = result["flux_fit"][0]
    whole = NOISE**2 * np.eye(phi.size) + (width * flux) ** 2 * np.outer(psi, psi)
    variance = 1.0 / (phi @ np.linalg.solve(whole, phi))
    expected = variance * (phi @ np.linalg.solve(whole, image[BOX, BOX].ravel()))
    # The column holds the flux of the fit before: alike to a few parts in a million.
    assert result["flux_fit"][0] == pytest.approx(expected, rel=1e-5)
    assert result["flux_fit_err"][0] == pytest.approx(np.sqrt(variance), rel=1e-3)
    # 16000 independent draws: five standard errors.
    assert result["flux_err"][0] == pytest.approx(np.sqrt(variance), rel=5 / np.sqrt(2 * 16000))
    shift = result["flux_median"][0] - expected
    assert abs(shift) < 5 * 1.2533 * np.sqrt(variance / 16000)
    assert result.posterior["psf_width_error"].dims == ("chain", "draw", "group")


def test_model_and_residual_hold_the_fitted_modes() -> None:
    """A PSF 3 % too narrow leaves a ring, and with its mode next to nothing."""
    place = (16.2, 15.7)
    image = make_star(5, place, sigma=1.03 * SIGMA)
    with_mode, without = (
        measure(image, place, psf_error=error, sampler=False)
        for error in (PSFError(width=0.05), None)
    )
    np.testing.assert_allclose(with_mode.model_image + with_mode.residual_image, image)
    chi2 = [np.sum((r.residual_image / NOISE) ** 2) for r in (with_mode, without)]
    # SIDE^2 degrees of freedom; the second order of 3 % of 20000 counts is under the noise.
    assert chi2[0] < SIDE**2 + 5 * np.sqrt(2.0) * SIDE
    assert chi2[1] > 2 * chi2[0]


def test_the_white_remainder_adds_to_the_variance_of_pixels_with_light() -> None:
    place = (16.2, 15.7)
    image = make_star(6, place)
    white = 0.05
    result = measure(image, place, psf_error=PSFError(width=0.0, white=white), sampler=False)
    light = oracle.render_image((SIDE, SIDE), [[*place, result["flux_fit"][0], np.log(SIGMA)]])
    expected = np.sqrt(NOISE**2 + (white * light) ** 2)
    np.testing.assert_allclose(result.noise_image, expected, rtol=1e-4)
    y, x = (v.ravel() for v in np.mgrid[BOX, BOX].astype(float))
    phi = oracle.render_source(x, y, np.array([*place, 1.0, np.log(SIGMA)]))
    variance = 1.0 / np.sum((phi / expected[BOX, BOX].ravel()) ** 2)
    assert result["flux_fit_err"][0] == pytest.approx(np.sqrt(variance), rel=1e-4)


def test_the_white_remainder_adds_to_the_variance_of_a_ccd() -> None:
    noise = bp.CCDNoise(gain=2.0, read_noise=6.0, sky=10.0)
    light, added = np.array([0.0, 30.0, 500.0]), np.array([0.0, 1.0, 40.0])
    np.testing.assert_allclose(
        noise.variance(None, light, added), noise.variance(None, light, 0.0) + added
    )
    np.testing.assert_allclose(noise.known(4.0, added), 14.0 + 2.0 * added)


def free_sigma():
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = False
    return psf


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: PSFError(width=-0.1), ValueError, "width must be finite and >= 0, found -0.1"),
        (lambda: PSFError(width="1%"), TypeError, "width must be a number, found '1%'"),
        (lambda: PSFError(white=np.nan), ValueError, "white must be finite and >= 0, found nan"),
        (lambda: PSFError(width=0.0), ValueError, "width, white or modes must say"),
        (lambda: PSFError(modes=3), TypeError, r"modes must be pairs \(image, sd\), found 3"),
        (
            lambda: PSFError(modes=[(np.ones((4, 5)), 0.1)]),
            ValueError,
            r"image of modes\[0\] must be 2-D with odd sides, found shape \(4, 5\)",
        ),
        (
            lambda: PSFError(modes=[(np.full((3, 3), np.inf), 0.1)]),
            ValueError,
            r"image of modes\[0\] must be finite, found inf at \(y, x\) = \(0, 0\)",
        ),
        (
            lambda: PSFError(modes=[([[1.0, 2.0, 3.0], [1.0]], 0.1)]),
            ValueError,
            r"image of modes\[0\] must have rows of one length, found \[\[1",
        ),
        (
            lambda: PSFError(modes=[("abc", 0.1)]),
            TypeError,
            r"image of modes\[0\] must hold real numbers, found dtype <U3",
        ),
        (
            lambda: PSFError(modes=[(None, 0.1)]),
            TypeError,
            r"image of modes\[0\] must hold real numbers, found dtype object",
        ),
        (
            lambda: PSFError(modes=[(np.ones((3, 3), dtype=complex), 0.1)]),
            TypeError,
            r"image of modes\[0\] must hold real numbers, found dtype complex128",
        ),
        (
            lambda: PSFError(modes=[(np.ones((3, 3)), 0.1), (np.zeros((3, 5)), 0.1)]),
            ValueError,
            r"image of modes\[1\] must not be zero everywhere, found zeros of shape \(3, 5\)",
        ),
        (
            lambda: PSFError(modes=[(np.ones((3, 3)), 0.0)]),
            ValueError,
            r"sd of modes\[0\] must be positive and finite, found 0.0",
        ),
        (lambda: PSFError(oversampling=0), ValueError, "oversampling must be at least 1, found 0"),
    ],
)
def test_impossible_errors_of_the_psf_are_refused(make, kind, text) -> None:
    with pytest.raises(kind, match=text):
        make()


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"psf_error": 0.01}, TypeError, "psf_error must be a PSFError or None, found 0.01"),
        ({"psf_error": PSFError}, TypeError, "psf_error must be an object, found the class"),
        (
            {"psf_error": PSFError(0.01), "psf_model": free_sigma()},
            ValueError,
            "psf_error.width is the error of a fixed sigma, found 0.01 where psf_model.sigma is",
        ),
        (
            {"psf_error": PSFError(white=0.1), "noise": bp.PoissonNoise()},
            ValueError,
            "psf_error.white adds variance.*found white=0.1",
        ),
    ],
)
def test_what_does_not_go_with_an_error_of_the_psf_is_refused(options, kind, text) -> None:
    options = {"psf_model": bp.IntegratedGaussianPRF(sigma=SIGMA), "fitshape": 11} | options
    with pytest.raises(kind, match=text):
        bp.BasicPSFPhotometry(**options)
    if isinstance(options["psf_error"], PSFError):
        # Without the part that clashes it is taken.
        bp.BasicPSFPhotometry(
            **(options | {"psf_error": PSFError(0.0, modes=[(np.ones((3, 3)), 0.1)])})
        )


def test_an_error_of_the_psf_is_shown_in_one_line() -> None:
    assert repr(PSFError(0.02)) == "PSFError(width=0.02, white=0.0)"
    text = repr(PSFError(modes=[(np.ones((3, 5)), 0.1)]))
    assert text == "PSFError(width=0.01, white=0.0, modes=[(3 x 5, 0.1)], oversampling=1)"
