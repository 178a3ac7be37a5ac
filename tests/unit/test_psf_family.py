"""Models of others whose shape is free: what is free, its columns, and derivatives by it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D, Moffat2D

import bayesphot as bp
from bayesphot.psf import list_foreign, read_family


def make_bell(**held):
    """Return an elongated Gaussian, all its shapes free but those held."""
    model = Gaussian2D(3.0, x_stddev=1.5, y_stddev=2.0, theta=0.3)
    for name in held:
        model.fixed[name] = True
    return model


def test_shapes_are_what_is_neither_light_nor_place() -> None:
    assert list_foreign(make_bell()) == ("x_stddev", "y_stddev", "theta")
    assert list_foreign(make_bell(theta=True, y_stddev=True)) == ("x_stddev",)
    assert list_foreign(bp.MoffatPRF()) == ()
    assert read_family(make_bell(x_stddev=True, y_stddev=True, theta=True)) is None


def test_columns_are_logarithms_of_lengths_and_radians_of_angles() -> None:
    columns = read_family(make_bell()).columns
    np.testing.assert_allclose(columns.columns_start, [np.log(1.5), np.log(2.0), 0.3])
    np.testing.assert_allclose(columns.read_columns(columns.columns_start), [1.5, 2.0, 0.3])
    np.testing.assert_allclose(columns.find_slopes(columns.columns_start), [1.5, 2.0, 1.0])


def test_modes_are_the_derivatives_of_a_model_of_unit_light() -> None:
    family = read_family(make_bell(theta=True))
    model = family.model
    model.theta = 0.0
    modes, step = family.find_modes(family.columns.columns_start)
    half = modes.shape[-1] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / step
    bell = np.exp(-0.5 * (x**2 / 2.25 + y**2 / 4.0)) / (2.0 * np.pi * 3.0)
    for mode, u in zip(modes, (x / 1.5, y / 2.0), strict=True):
        # phi ~ exp(-u^2 / 2) / s: d phi / d ln s = (u^2 - 1) phi. The difference errs by STEP^2 / 6
        # of the third derivative, of which no Gaussian has over 12 of its peak.
        np.testing.assert_allclose(mode, (u**2 - 1.0) * bell, atol=2e-6 * bell.max())


def test_what_is_tied_to_a_shape_moves_with_it() -> None:
    model = Gaussian2D(1.0, x_stddev=1.5, y_stddev=1.5)
    model.theta.fixed = True
    model.y_stddev.tied = lambda bell: bell.x_stddev.value
    family = read_family(model)
    assert family.columns.names == ("x_stddev",)
    moved = family.make_model(np.log([1.8]))
    assert (moved.x_stddev.value, moved.y_stddev.value) == pytest.approx((1.8, 1.8))
    assert model.x_stddev.value == 1.5
    assert family.describe(np.log([1.8])).fwhm == pytest.approx(1.8 * 2.3548, rel=0.01)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            Gaussian2D(1.0, x_stddev=2.0, y_stddev=2.0),
            "psf_model.theta is free and changes nothing",
        ),
        (Moffat2D(1.0, gamma=-2.0, alpha=3.0), "psf_model.gamma is free and must start above 0"),
    ],
)
def test_shapes_that_cannot_be_stepped_are_refused(model, text) -> None:
    with pytest.raises(ValueError, match=text):
        bp.BasicPSFPhotometry(psf_model=model, fitshape=9, shape="image")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "shape must be 'image' where psf_model.x_stddev of Gaussian2D is free, found 'group'"),
        ({"shape": "source"}, "shape must be 'image' where .* found 'source'"),
        ({"shape": "image", "fitter": print}, "fitter must be None where psf_model.x_stddev"),
        ({"shape": "image", "psf_error": bp.PSFError()}, "psf_error must be None where"),
        (
            {"shape": "image", "priors": {"x_stddev": bp.LogNormal(2.0, 0.1)}},
            r"priors\['x_stddev'\] cannot be given for Gaussian2D",
        ),
    ],
)
def test_what_does_not_go_with_such_shapes_is_refused(given, text) -> None:
    with pytest.raises(ValueError, match=text):
        bp.BasicPSFPhotometry(psf_model=make_bell(), fitshape=9, **given)


def test_elsewhere_a_free_shape_is_refused_with_what_works() -> None:
    with pytest.raises(ValueError, match="fitted by a photometry with shape='image' alone"):
        bp.aperture_correction(make_bell(), 3.0)
