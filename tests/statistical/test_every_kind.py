"""Every kind of PSF under every noise model by every engine: one bright star each.

This package's kinds, and others' models as the adapter takes them. The least squares and the
independence sampler see all pairs, the slower engines fewer. The image is rendered by the model's
own values, whose referees are others: this asks that nothing is missing between a kind, a noise
and an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D, Moffat2D
from astropy.nddata import NDData
from astropy.table import Table
from bands import normal_limit, per_test
from calibration import SCATTERS

import bayesphot as bp
from bayesphot.calibration.pixel_noise import scatter_pixels
from bayesphot.psf.adapter import make_light

SIDE, FIT_SHAPE, PLACE, SNR = 19, 13, (9.3, 8.8), 200.0
STEP = 3
CORNERS = [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)]
#: Draws that count, at the least (the gate of the samplers): a mean is known to a twentieth of its
#: error, and an error to a twenty-eighth of itself.
ESS = 400
SAMPLERS = {
    "independence": bp.Sampler(draws=250, engine="independence", min_ess=ESS),
    "tempered": bp.Sampler(draws=250, engine="tempered", min_ess=ESS),
    "emcee": bp.EmceeSampler(draws=150, steps=150, max_steps=300),
}


def make_table(width: float) -> np.ndarray:
    """Return an oversampled image of a round PSF with wings."""
    side = np.arange(-8 * STEP, 8 * STEP + 1) / STEP
    image = (1.0 + (side**2 + side[:, None] ** 2) / width**2) ** -3.0
    return image * STEP**2 / image.sum()


def make_stamps(width: float) -> np.ndarray:
    """Return the stamps (s, s, n, n) of that PSF, a star in the middle of each part of a pixel."""
    part = (np.arange(STEP) + 0.5) / STEP - 0.5
    side = np.arange(-7, 8)[None, :] - part[:, None]
    r2 = side[:, None, :, None] ** 2 + side[None, :, None, :] ** 2
    return (1.0 + r2 / width**2) ** -3.0 * 2.0 / (np.pi * width**2)


def import_photutils():
    """Return photutils' PSF models, or skip."""
    return pytest.importorskip("photutils.psf", reason="photutils' models are the subject")


def make_grid():
    """Return photutils' grid of two widths."""
    narrow, wide = make_table(2.2), make_table(2.7)
    meta = {"grid_xypos": CORNERS, "oversampling": STEP}
    data = NDData(np.array([narrow, wide, wide, narrow]), meta=meta)
    return import_photutils().GriddedPSFModel(data)


def make_polynomial():
    """Return a polynomial of the place between two widths."""
    narrow, wide = make_table(2.2), make_table(2.7)
    slopes = [narrow, 0.2 * (wide - narrow), 0.1 * (narrow - wide)]
    middle = {"middle": (SIDE / 2, SIDE / 2), "scale": (SIDE, SIDE)}
    return bp.PolynomialPSF(slopes, oversampling=STEP, **middle)


#: A model of each kind, all shapes but those below fixed, so that analytic ones become tables.
MAKERS: dict[str, Callable] = {
    "IntegratedGaussianPRF": lambda: bp.IntegratedGaussianPRF(sigma=1.3),
    "GaussianPRF": lambda: bp.GaussianPRF(x_fwhm=3.4, y_fwhm=2.6, theta=20.0),
    "MoffatPRF": lambda: bp.MoffatPRF(alpha=2.4, beta=3.0),
    "AiryDiskPRF": lambda: bp.AiryDiskPRF(radius=3.5),
    "ImagePSF": lambda: bp.ImagePSF(make_table(2.2), oversampling=STEP),
    "GriddedPSF": lambda: bp.GriddedPSF(
        [make_table(width) for width in (2.2, 2.7, 2.7, 2.2)], CORNERS, oversampling=STEP
    ),
    "PolynomialPSF": make_polynomial,
    "DiscretePRF": lambda: bp.DiscretePRF(make_stamps(2.4), subsampling=STEP),
    "Gaussian2D": lambda: Gaussian2D(3.0, x_stddev=1.5, y_stddev=1.2, theta=0.3),
    "two components": lambda: Gaussian2D(1, 0, 0, 1.4, 1.4) + Moffat2D(0.1, 0, 0, 3.3, 4.765),
    "photutils GaussianPRF": lambda: import_photutils().GaussianPRF(
        x_fwhm=3.4, y_fwhm=2.6, theta=20.0
    ),
    "photutils MoffatPSF": lambda: import_photutils().MoffatPSF(alpha=3.3, beta=4.765),
    "photutils ImagePSF": lambda: import_photutils().ImagePSF(make_table(2.2), oversampling=STEP),
    "photutils GriddedPSFModel": make_grid,
}
KINDS = tuple(MAKERS)
#: Its table, which each photometry makes anew, takes four times as long as all else here: one
#: engine only, whose optimum is that of the least squares.
DEAR = "AiryDiskPRF"
#: Those that see all other pairs.
ENGINES = ("independence", "tempered")
#: A shape of each kind that can be free: of those given as images a factor on their width.
SHAPES = {
    "IntegratedGaussianPRF": "sigma",
    "GaussianPRF": "x_fwhm",
    "MoffatPRF": "alpha",
    "AiryDiskPRF": "radius",
    "ImagePSF": "width",
    "GriddedPSF": "width",
    "PolynomialPSF": "width",
    "DiscretePRF": "width",
}
#: Pairs that emcee sees.
SLOW = [("ImagePSF", "poisson"), ("GriddedPSF", "student"), ("IntegratedGaussianPRF", "ccd")]
#: Pairs of kind and noise: the flux by the least squares and two engines, and the engines by mean
#: and error. With a free shape two fluxes and the shape. By emcee the flux, mean and error.
N_TEST = 5 * len(KINDS) * len(SCATTERS) + 3 * len(SHAPES) * len(SCATTERS) + 3 * len(SLOW)
LIMIT = normal_limit(per_test(N_TEST))


@cache
def make_kind(kind: str):
    """Return the model of a kind; of others' models all that is neither flux nor place is fixed."""
    model = MAKERS[kind]()
    for name in model.param_names:
        if not name.startswith(("flux", "amplitude", "x_0", "y_0", "x_mean", "y_mean")):
            model.fixed[name] = True
    return model


@cache
def measure(kind: str, scatter: str, engine: str | None, shape: str | None = None):
    """Return the result of one star, and its true flux; engine None: least squares only."""
    model, law = make_kind(kind).copy(), SCATTERS[scatter]
    y, x = np.indices((SIDE, SIDE), dtype=float)
    unit = make_light(model)(x, y, *PLACE)
    if shape is not None:
        getattr(model, shape).fixed = False
    flux = SNR * law.noise / np.sqrt(np.sum(unit**2))
    rng = np.random.default_rng([7, KINDS.index(kind), list(SCATTERS).index(scatter)])
    image = scatter_pixels(law.sky + flux * unit, law.model, law.noise, rng)
    phot = bp.BasicPSFPhotometry(
        psf_model=model,
        fitshape=FIT_SHAPE,
        bkg_estimator=law.sky,
        fit_background=False,
        noise=law.model,
        sampler=False if engine is None else SAMPLERS[engine],
        seed=3,
    )
    start = Table([[PLACE[0] + 0.2], [PLACE[1] - 0.2]], names=["x_0", "y_0"])
    return phot(image, error=law.error, positions=start), flux


@pytest.mark.parametrize("scatter", SCATTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_fluxes_are_within_their_errors_whatever_the_kind_and_the_noise(kind, scatter) -> None:
    fitted, flux = measure(kind, scatter, None if kind != DEAR else "independence")
    assert fitted["flux_fit_err"][0] < 0.05 * flux
    assert abs(fitted["flux_fit"][0] - flux) < LIMIT * fitted["flux_fit_err"][0]
    means, errors = [], []
    for engine in ENGINES:
        if (kind, engine) == (DEAR, "tempered"):
            continue
        result, _ = measure(kind, scatter, engine)
        # With a plus where it ran longer.
        assert result["engine"][0].rstrip("+") == engine
        # Outliers are sharp: that they are said is right.
        assert int(result["flags"][0]) & ~int(bp.Flag.COSMIC_RAY) == 0
        draws = result.posterior["flux"].values
        means.append(draws.mean())
        errors.append(draws.std())
        assert abs(means[-1] - flux) < LIMIT * errors[-1]
    # Two means of so many draws; two errors, each to 1 / sqrt(2 n).
    assert abs(means[0] - means[-1]) < LIMIT * np.sqrt(2.0 / ESS) * errors[0]
    assert abs(np.log(errors[0] / errors[-1])) < LIMIT * np.sqrt(1.0 / ESS)


@pytest.mark.parametrize("scatter", SCATTERS)
@pytest.mark.parametrize(("kind", "shape"), SHAPES.items())
def test_fluxes_and_free_shapes_are_within_their_errors(kind, shape, scatter) -> None:
    fitted, flux = measure(kind, scatter, None, shape)
    assert abs(fitted["flux_fit"][0] - flux) < LIMIT * fitted["flux_fit_err"][0]
    result, _ = measure(kind, scatter, "independence", shape)
    assert int(result["flags"][0]) & ~int(bp.Flag.COSMIC_RAY) == 0
    assert abs(result["flux_median"][0] - flux) < LIMIT * result["flux_err"][0]
    # Known to a few thousandths, where the prior, a fifth wide about the start, would not help.
    true, error = float(getattr(make_kind(kind), shape).value), result[f"{shape}_err"][0]
    assert 0.0 < error < 0.05 * true
    assert abs(result[f"{shape}_median"][0] - true) < LIMIT * error


@pytest.mark.parametrize(("kind", "scatter"), SLOW)
def test_emcee_agrees_with_the_compiled_engines(kind, scatter) -> None:
    result, flux = measure(kind, scatter, "emcee")
    compiled, _ = measure(kind, scatter, "independence")
    assert result["engine"][0] == "emcee"
    draws, other = (each.posterior["flux"].values for each in (result, compiled))
    assert abs(draws.mean() - flux) < LIMIT * draws.std()
    ess = min(result["ess_bulk"][0], result["ess_tail"][0], ESS)
    assert abs(draws.mean() - other.mean()) < LIMIT * np.sqrt(2.0 / ess) * draws.std()
    assert abs(np.log(draws.std() / other.std())) < LIMIT * np.sqrt(1.0 / ess)
