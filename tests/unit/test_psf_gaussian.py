"""The integrated Gaussian as an astropy model, and its description for the kernels."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling import Fittable2DModel, Parameter
from astropy.modeling.fitting import LevMarLSQFitter, TRFLSQFitter
from scipy.integrate import dblquad

from bayesphot.kernels.structs import GAUSSIAN
from bayesphot.psf import IntegratedGaussianPRF, describe_psf

Y, X = np.mgrid[:51, :51]


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.5])
def test_a_large_image_sums_to_the_flux(sigma) -> None:
    image = IntegratedGaussianPRF(flux=123.0, x_0=25.3, y_0=24.6, sigma=sigma)(X, Y)
    assert image.sum() == pytest.approx(123.0, rel=1e-7)


@pytest.mark.parametrize(("x", "y"), [(3, 4), (4, 4), (5, 2)])
def test_a_pixel_holds_the_integral_of_the_gaussian_over_it(x, y) -> None:
    x_0, y_0, sigma = 3.3, 4.1, 0.8

    def density(v, w):
        r2 = ((w - x_0) ** 2 + (v - y_0) ** 2) / sigma**2
        return 7 * np.exp(-r2 / 2) / (2 * np.pi * sigma**2)

    expected, accuracy = dblquad(density, x - 0.5, x + 0.5, y - 0.5, y + 0.5, epsabs=1e-10)
    value = IntegratedGaussianPRF(flux=7, x_0=x_0, y_0=y_0, sigma=sigma)(x, y)
    assert value == pytest.approx(expected, abs=accuracy + 1e-12)


@pytest.mark.parametrize("parameters", [(100.0, 25.2, 24.7, 1.5), (-3.0, 25.5, 25.0, 0.4)])
def test_derivatives_equal_central_differences(parameters) -> None:
    model = IntegratedGaussianPRF()
    derivatives = model.fit_deriv(X, Y, *parameters)
    # Error of a central difference: third derivative times step^2 / 6, here below 1e-7 of 100.
    step = 1e-5
    for index, derivative in enumerate(derivatives):
        up, down = np.array(parameters), np.array(parameters)
        up[index] += step
        down[index] -= step
        difference = (model.evaluate(X, Y, *up) - model.evaluate(X, Y, *down)) / (2 * step)
        np.testing.assert_allclose(derivative, difference, atol=2e-7)


def test_parameters_have_the_documented_order_defaults_and_flags() -> None:
    model = IntegratedGaussianPRF()
    assert model.param_names == ("flux", "x_0", "y_0", "sigma")
    np.testing.assert_array_equal(model.parameters, [1, 0, 0, 1])
    assert model.fixed == {"flux": False, "x_0": False, "y_0": False, "sigma": True}
    model.x_0.fixed = True
    assert model.fixed["x_0"]
    assert not IntegratedGaussianPRF(fixed={"sigma": False}).sigma.fixed


def test_fwhm_is_the_width_at_half_maximum() -> None:
    model = IntegratedGaussianPRF(sigma=50.0)
    half = model(model.fwhm / 2, 0)
    # At 50 pixels the integration over a pixel changes the profile by 1 / (24 sigma^2).
    assert half / model(0, 0) == pytest.approx(0.5, rel=1e-4)


def test_bounding_box_holds_the_flux_and_is_ordered_y_x() -> None:
    model = IntegratedGaussianPRF(flux=10, x_0=20, y_0=30, sigma=2)
    (y_low, y_high), (x_low, x_high) = model.bounding_box.bounding_box()
    assert (y_low + y_high, x_low + x_high) == (60, 40)
    inside = (y_low < Y) & (y_high > Y) & (x_low < X) & (x_high > X)
    assert model(X, Y)[inside].sum() == pytest.approx(10, rel=4e-7)
    assert inside.sum() < 25**2


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_a_width_that_is_not_positive_gives_nan_without_warning(sigma) -> None:
    model = IntegratedGaussianPRF(sigma=sigma)
    assert np.isnan(model(X, Y)).all()
    assert np.isnan(model.fit_deriv(X, Y, *model.parameters)).all()


@pytest.mark.parametrize("fitter", [LevMarLSQFitter, TRFLSQFitter])
@pytest.mark.parametrize("unit", [1, u.adu])
def test_astropy_fitters_recover_all_parameters(fitter, unit) -> None:
    truth = IntegratedGaussianPRF(flux=100 * unit, x_0=25.2, y_0=24.7, sigma=2.0)
    start = IntegratedGaussianPRF(flux=90 * unit, x_0=25, y_0=25, sigma=1.7)
    start.sigma.fixed = False
    fit = fitter()(start, X, Y, truth(X, Y))
    # Noiseless data: the fitters stop at a relative change of 1e-7 or less.
    np.testing.assert_allclose(fit.parameters, truth.parameters, rtol=1e-6)
    assert fit.flux.unit == truth.flux.unit


def test_the_unit_of_the_flux_is_the_unit_of_the_values() -> None:
    image = IntegratedGaussianPRF(flux=5 * u.adu, x_0=25, y_0=25)(X, Y)
    assert image.unit == u.adu
    assert image.sum().value == pytest.approx(5, rel=1e-7)


def test_the_model_can_be_pickled_and_copied() -> None:
    model = IntegratedGaussianPRF(flux=3, sigma=2)
    model.sigma.fixed = False
    for twin in (pickle.loads(pickle.dumps(model)), model.copy()):
        np.testing.assert_array_equal(twin.parameters, model.parameters)
        assert not twin.sigma.fixed


def test_description_copies_values_and_flags() -> None:
    model = IntegratedGaussianPRF(sigma=2.5)
    model.sigma.fixed, model.x_0.fixed = False, True
    config = describe_psf(model)
    model.sigma, model.x_0.fixed = 9.0, False
    assert (config.kind, config.shape_names) == (GAUSSIAN, ("sigma",))
    np.testing.assert_array_equal(config.shape_start, [2.5])
    assert config.fixed == {"flux": False, "x_0": True, "y_0": False, "sigma": False}
    assert pickle.loads(pickle.dumps(config)).fixed == config.fixed


@pytest.mark.parametrize(
    ("name", "width", "value"),
    [
        ("CircularGaussianPRF", "fwhm", 2 * 2.3548200450309493),
        ("CircularGaussianSigmaPRF", "sigma", 2),
    ],
)
def test_photutils_gaussians_are_described_as_ours(name, width, value) -> None:
    models = pytest.importorskip("photutils.psf", reason="photutils' models are the subject")
    if not hasattr(models, name):
        pytest.skip(f"this photutils has no {name}")
    model = getattr(models, name)(flux=3, x_0=25.2, y_0=24.7, **{width: value})
    getattr(model, width).fixed = False
    config = describe_psf(model)
    assert config.shape_start[0] == pytest.approx(2, rel=1e-15)
    assert config.fixed == {"flux": False, "x_0": False, "y_0": False, "sigma": False}
    ours = IntegratedGaussianPRF(flux=3, x_0=25.2, y_0=24.7, sigma=config.shape_start[0])
    # Both are differences of two erf near 1: a few 1e-16 of the flux.
    np.testing.assert_allclose(ours(X, Y), model(X, Y), atol=1e-14)


class Other(Fittable2DModel):
    """A model that nobody knows."""

    flux = Parameter(default=1.0)
    linear: ClassVar[bool] = False

    @staticmethod
    def evaluate(x, y, flux):
        return flux + 0 * x


@pytest.mark.parametrize(
    "model", [Other(), 3, None, "IntegratedGaussianPRF", IntegratedGaussianPRF]
)
def test_other_models_are_refused_by_name_with_what_is_supported(model) -> None:
    with pytest.raises(TypeError, match=rf"IntegratedGaussianPRF.*found {type(model).__name__}"):
        describe_psf(model)


@pytest.mark.parametrize("sigma", [0.0, -2.0, np.nan, np.inf, [1.0, 2.0]])
def test_a_width_that_cannot_be_is_refused(sigma) -> None:
    if np.ndim(sigma):
        model = IntegratedGaussianPRF([1, 1], [0, 0], [0, 0], sigma, n_models=2)
    else:
        model = IntegratedGaussianPRF(sigma=sigma)
    with pytest.raises(ValueError, match=r"psf_model\.sigma must be positive and finite, found"):
        describe_psf(model)


def test_ties_and_foreign_units_are_refused() -> None:
    tied = IntegratedGaussianPRF(tied={"y_0": lambda model: model.x_0})
    with pytest.raises(ValueError, match=r"psf_model\.y_0 must not be tied"):
        describe_psf(tied)
    with pytest.raises(
        ValueError, match=r"psf_model\.sigma must be in pixels, found unit 'arcsec'"
    ):
        describe_psf(IntegratedGaussianPRF(sigma=2 * u.arcsec))
    assert describe_psf(IntegratedGaussianPRF(sigma=2 * u.pix)).shape_start[0] == 2
