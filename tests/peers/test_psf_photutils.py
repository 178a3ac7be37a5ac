"""photutils' PSF models plug in unchanged: what is rendered is what they evaluate to."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D, Moffat2D
from astropy.nddata import NDData

import bayesphot as bp
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources

psf = pytest.importorskip("photutils.psf", reason="photutils' models are the subject")

PLACE = (20.3, 19.6)


def make_bell(fwhm, side=61, oversampling=4):
    """Return an image whose values sum to oversampling squared."""
    offset = (np.arange(side) - side // 2) / oversampling
    bell = np.exp(-4 * np.log(2) * (offset[:, None] ** 2 + offset**2) / fwhm**2)
    return bell * oversampling**2 / bell.sum()


def make_grid():
    """Return photutils' grid of four widths."""
    images = np.array([make_bell(fwhm) for fwhm in (2.4, 2.6, 2.8, 3.2)])
    corners = [(0, 0), (40, 0), (0, 40), (40, 40)]
    return psf.GriddedPSFModel(NDData(images, meta={"grid_xypos": corners, "oversampling": 4}))


MODELS = {
    "GaussianPSF": lambda: psf.GaussianPSF(x_fwhm=3, y_fwhm=4, theta=20),
    "GaussianPRF": lambda: psf.GaussianPRF(x_fwhm=3, y_fwhm=4, theta=20),
    "CircularGaussianPSF": lambda: psf.CircularGaussianPSF(fwhm=3),
    "MoffatPSF": lambda: psf.MoffatPSF(alpha=3, beta=2.5),
    "AiryDiskPSF": lambda: psf.AiryDiskPSF(radius=4),
    "ImagePSF": lambda: psf.ImagePSF(make_bell(2.5), oversampling=4),
    "ImagePSF off its middle": lambda: psf.ImagePSF(
        make_bell(2.5), oversampling=4, origin=(31.0, 29.5)
    ),
    "GriddedPSFModel": make_grid,
    "Gaussian2D": lambda: Gaussian2D(3.0, x_stddev=1.5, y_stddev=1.2, theta=0.3),
    "two components": lambda: Gaussian2D(1, 0, 0, 1.5, 1.5) + Moffat2D(0.1, 0, 0, 4, 3),
}


def fix_shapes(model):
    """Hold everything but flux and position."""
    for name in model.param_names:
        if not name.startswith(("flux", "amplitude", "x_0", "y_0", "x_mean", "y_mean")):
            model.fixed[name] = True
    return model


def move(model, place):
    """Put a model at a place."""
    for name in model.param_names:
        for start, value in (("x", place[0]), ("y", place[1])):
            if name.startswith((f"{start}_0", f"{start}_mean")):
                setattr(model, name, value)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_rendered_as_it_evaluates(name) -> None:
    model = fix_shapes(MODELS[name]())
    config = describe_psf(model)
    y, x = np.mgrid[:41, :41]
    expected = move(model, PLACE)(x, y)
    if "flux" not in model.param_names:
        expected = expected / expected.sum()
    found = render_sources((41, 41), np.array([[*PLACE, 1.0, 0.0]]), config)
    # Tables are made to 1e-5 of the peak; splines of images differ at edges that are not dark, and
    # the far wings of two components lie outside the sum here.
    atol = 1e-3 if name == "two components" else 3e-5
    np.testing.assert_allclose(found, expected, atol=atol * expected.max())


@pytest.mark.parametrize("name", ["ImagePSF", "GriddedPSFModel", "MoffatPSF"])
def test_photometry_with_a_model_of_photutils(name) -> None:
    model = fix_shapes(MODELS[name]())
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:41, :41]
    truth = np.array([[12.3, 11.8, 2000.0], [26.9, 12.4, 900.0], [20.2, 29.1, 1500.0]])
    image = rng.normal(0.0, 1.0, (41, 41))
    for place in truth:
        star = move(model.copy(), place[:2])
        star.flux = place[2]
        image += star(x, y)
    result = bp.BasicPSFPhotometry(psf_model=model, fitshape=11, seed=1)(
        image, error=1.0, positions={"x_0": truth[:, 0] + 0.2, "y_0": truth[:, 1] - 0.1}
    )
    for column, values in zip(("x", "y", "flux"), truth.T, strict=True):
        pull = (result[f"{column}_median"] - values) / result[f"{column}_err"]
        # Nine normal deviates: 4.4 is left once in 10 000 times.
        assert np.abs(pull).max() < 4.4
    np.testing.assert_array_equal(result["width_fit"], 1.0)
    assert not result["flags"].any()


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: Gaussian2D(), ValueError, "psf_model.x_stddev of Gaussian2D is free"),
        (
            lambda: fix_shapes(Gaussian2D(1, 0, 0, 1, 1) + Gaussian2D(1, 3, 0, 1, 1)),
            ValueError,
            "the components of psf_model must have one centre",
        ),
        (
            lambda: fix_shapes(Gaussian2D(-1.0, x_stddev=2, y_stddev=2)),
            ValueError,
            "the total of the values of Gaussian2D must be positive",
        ),
        (
            lambda: fix_shapes(Gaussian2D(np.nan, x_stddev=2, y_stddev=2)),
            ValueError,
            "the values of Gaussian2D must be finite",
        ),
    ],
)
def test_models_that_are_no_psf_are_refused(make, kind, text) -> None:
    with pytest.raises(kind, match=text):
        bp.BasicPSFPhotometry(psf_model=make(), fitshape=9)


def test_a_model_without_a_place_is_refused() -> None:
    from astropy.modeling.models import Gaussian1D, Polynomial2D

    for model in (Gaussian1D(), Polynomial2D(1)):
        with pytest.raises(TypeError, match="a model of x and y with parameters for its"):
            bp.BasicPSFPhotometry(psf_model=model, fitshape=9)
