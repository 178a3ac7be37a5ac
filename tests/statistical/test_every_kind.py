"""Every kind of PSF under every noise model by every engine: one bright star each.

The least squares and the independence sampler see all pairs, the slower engines fewer. The image is
rendered by the model's own values, whose referees are others: this asks that nothing is missing
between a kind, a noise and an engine.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from astropy.table import Table
from bands import normal_limit, per_test
from calibration import SCATTERS

import bayesphot as bp
from bayesphot.calibration.pixel_noise import scatter_pixels

SIDE, FIT_SHAPE, PLACE, SNR = 19, 13, (9.3, 8.8), 200.0
STEP = 3
#: 35 pairs of kind and noise by two engines and the least squares; 20 with a free shape by two.
LIMIT = normal_limit(per_test(145))
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


@cache
def make_kinds() -> dict:
    """Return a model of each kind; of fixed shape, so that analytic ones become tables."""
    narrow, wide = make_table(2.2), make_table(2.7)
    corners = [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)]
    middle = {"middle": (SIDE / 2, SIDE / 2), "scale": (SIDE, SIDE)}
    slopes = [narrow, 0.2 * (wide - narrow), 0.1 * (narrow - wide)]
    return {
        "IntegratedGaussianPRF": bp.IntegratedGaussianPRF(sigma=1.3),
        "GaussianPRF": bp.GaussianPRF(x_fwhm=3.4, y_fwhm=2.6, theta=20.0),
        "MoffatPRF": bp.MoffatPRF(alpha=2.4, beta=3.0),
        "AiryDiskPRF": bp.AiryDiskPRF(radius=3.5),
        "ImagePSF": bp.ImagePSF(narrow, oversampling=STEP),
        "GriddedPSF": bp.GriddedPSF([narrow, wide, wide, narrow], corners, oversampling=STEP),
        "PolynomialPSF": bp.PolynomialPSF(slopes, oversampling=STEP, **middle),
    }


KINDS = (
    "IntegratedGaussianPRF",
    "GaussianPRF",
    "MoffatPRF",
    "AiryDiskPRF",
    "ImagePSF",
    "GriddedPSF",
    "PolynomialPSF",
)
#: Its table, which each photometry makes anew, takes four times as long as all else here: one
#: engine only, whose optimum is that of the least squares.
DEAR = "AiryDiskPRF"
#: Those that see all other pairs.
ENGINES = ("independence", "tempered")
#: Of analytic kinds: a shape that can be free.
SHAPES = {
    "IntegratedGaussianPRF": "sigma",
    "GaussianPRF": "x_fwhm",
    "MoffatPRF": "alpha",
    "AiryDiskPRF": "radius",
}


@cache
def measure(kind: str, scatter: str, engine: str | None, shape: str | None = None):
    """Return the result of one star, and its true flux; engine None: least squares only."""
    model, law = make_kinds()[kind].copy(), SCATTERS[scatter]
    if shape is not None:
        getattr(model, shape).fixed = False
    y, x = np.indices((SIDE, SIDE), dtype=float)
    truth = model.copy()
    truth.x_0, truth.y_0, truth.flux = *PLACE, 1.0
    unit = truth(x, y)
    flux = SNR * law.noise / np.sqrt(np.sum(unit**2))
    rng = np.random.default_rng([7, list(make_kinds()).index(kind), list(SCATTERS).index(scatter)])
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
def test_fluxes_of_stars_of_free_shape_are_within_their_errors(kind, shape, scatter) -> None:
    fitted, flux = measure(kind, scatter, None, shape)
    assert abs(fitted["flux_fit"][0] - flux) < LIMIT * fitted["flux_fit_err"][0]
    result, _ = measure(kind, scatter, "independence", shape)
    assert int(result["flags"][0]) & ~int(bp.Flag.COSMIC_RAY) == 0
    assert result[f"{shape}_err"][0] > 0.0
    assert abs(result["flux_median"][0] - flux) < LIMIT * result["flux_err"][0]


@pytest.mark.parametrize(
    ("kind", "scatter"),
    [("ImagePSF", "poisson"), ("GriddedPSF", "student"), ("IntegratedGaussianPRF", "ccd")],
)
def test_emcee_agrees_with_the_compiled_engines(kind, scatter) -> None:
    result, flux = measure(kind, scatter, "emcee")
    compiled, _ = measure(kind, scatter, "independence")
    assert result["engine"][0] == "emcee"
    draws, other = (each.posterior["flux"].values for each in (result, compiled))
    assert abs(draws.mean() - flux) < LIMIT * draws.std()
    ess = min(result["ess_bulk"][0], result["ess_tail"][0], ESS)
    assert abs(draws.mean() - other.mean()) < LIMIT * np.sqrt(2.0 / ess) * draws.std()
    assert abs(np.log(draws.std() / other.std())) < LIMIT * np.sqrt(1.0 / ess)
