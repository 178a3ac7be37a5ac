"""What share of its flux each kind of PSF holds: by the model, and by the tables of the fits."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D

import bayesphot as bp
from bayesphot.psf import describe_psf

SIDE = np.arange(-20, 21) / 2


def make_image(share: float) -> np.ndarray:
    """Return an image, two pixels to one of the data, that holds a share of the flux."""
    bell = np.exp(-0.5 * (SIDE[:, None] ** 2 + SIDE**2) / 1.5**2)
    return share * 4.0 * bell / bell.sum()


def make_table(share: float) -> np.ndarray:
    """Return a table of one stamp."""
    return make_image(share)[::2, ::2] / make_image(1.0)[::2, ::2].sum()


PLACES = [(0, 0), (50, 0)]
#: Models and their shares. The images of a grid count alike; of a polynomial it is the first.
KINDS = {
    "IntegratedGaussianPRF": (lambda: bp.IntegratedGaussianPRF(sigma=1.5), 1.0),
    "GaussianPRF": (lambda: bp.GaussianPRF(x_fwhm=3.0, y_fwhm=4.0), 1.0),
    "MoffatPRF": (lambda: bp.MoffatPRF(alpha=2.0, beta=2.0), 1.0),
    "AiryDiskPRF": (lambda: bp.AiryDiskPRF(radius=3.0), 1.0),
    "ImagePSF": (lambda: bp.ImagePSF(make_image(0.9), 2), 0.9),
    "GriddedPSF": (lambda: bp.GriddedPSF([make_image(0.9), make_image(0.8)], PLACES, 2), 0.85),
    "PolynomialPSF": (
        lambda: bp.PolynomialPSF(
            [make_image(0.9), make_image(0.1), make_image(0.1)],
            middle=(9, 9),
            scale=(9, 9),
            oversampling=2,
        ),
        0.9,
    ),
    "DiscretePRF": (lambda: bp.DiscretePRF(make_table(0.7)), 1.0),
    "DiscretePRF, its own": (lambda: bp.DiscretePRF(make_table(0.7), normalization=False), 0.7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_says_which_share_of_its_flux_it_holds(kind) -> None:
    make, share = KINDS[kind]
    assert make().enclosed_fraction == pytest.approx(share, rel=1e-12)
    # The fits begin with the same: for a free shape there is no table.
    model = make()
    getattr(model, model.param_names[3]).fixed = False
    assert describe_psf(model).tabulated.enclosed_fraction == pytest.approx(share, rel=1e-12)


def test_every_kind_that_is_public_is_among_these() -> None:
    public = {name for name in bp.__all__ if name.endswith(("PRF", "PSF")) and name[0].isupper()}
    assert public == {name.split(",")[0] for name in KINDS}


def sum_within(model, half: int) -> float:
    """Return the light on the pixels out to so many of them."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return float(model(x, y).sum())


@pytest.mark.parametrize(
    ("kind", "missing"), [("GaussianPRF", 0.0), ("MoffatPRF", 1.6e-3), ("AiryDiskPRF", 6e-3)]
)
def test_the_table_of_an_analytic_kind_holds_what_lies_on_it(kind, missing) -> None:
    model = KINDS[kind][0]()
    config = describe_psf(model)
    table = config.tabulated
    assert table.kind != config.kind
    half = int(np.ceil(config.find_end(np.array([[0.0, 0.0, 1.0, *config.columns_start]]))[0]))
    share = sum_within(model, half)
    # Half a pixel of the rim more or less, where little light is: a hundredth of what is missing.
    assert table.enclosed_fraction == pytest.approx(share, abs=1e-6 + 0.02 * missing)
    assert 1.0 - share == pytest.approx(missing, rel=0.4, abs=1e-5)


def run_one(model) -> bp.PhotometryResult:
    """Return the least squares of one star."""
    y, x = np.mgrid[:21, :21]
    image = 500.0 * bp.MoffatPRF(x_0=10.0, y_0=10.0, alpha=2.0, beta=2.0)(x, y)
    phot = bp.BasicPSFPhotometry(psf_model=model, fitshape=11, sampler=False)
    return phot(image, error=1.0, positions={"x_0": [10.0], "y_0": [10.0]})


def test_a_result_says_what_its_table_holds() -> None:
    model = bp.MoffatPRF(alpha=2.0, beta=2.0)
    found = run_one(model).meta["psf"]["enclosed_fraction"]
    assert found == describe_psf(model).tabulated.enclosed_fraction
    assert 0.995 < found < 0.9995
    model.alpha.fixed = False
    assert run_one(model).meta["psf"]["enclosed_fraction"] == 1.0


def test_a_result_says_what_the_table_of_others_models_holds() -> None:
    # Without a flux of its own a model is brought to a total of 1 on its table.
    bell = Gaussian2D(3.0, x_stddev=1.5, y_stddev=1.5)
    bell.x_stddev.fixed = bell.y_stddev.fixed = bell.theta.fixed = True
    assert describe_psf(bell).enclosed_fraction == pytest.approx(1.0, rel=1e-12)
    psf = pytest.importorskip("photutils.psf", reason="photutils' models are the subject")
    model = psf.MoffatPSF(alpha=2.0, beta=2.0)
    found = run_one(model).meta["psf"]["enclosed_fraction"]
    # Its table ends 60 pixels from the centre: (1 + 30^2)^-1 lies outside the circle, and of the
    # square's corners a part less.
    assert 1.0 - 1.0 / (1.0 + 30.0**2) < found < 1.0 - 0.5 / (1.0 + 30.0**2)
