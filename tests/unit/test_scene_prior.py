"""The prior of a scene: refused where it is none, and integrals of flux priors."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from scipy.integrate import quad

import bayesphot as bp
from bayesphot.priors import draw_prior, normalise_priors
from bayesphot.priors.expectation import log_expectation, log_integral, log_mean_density

PRIORS = [
    bp.PowerLaw(-2.0, 50.0),
    bp.PowerLaw(-1.5, 50.0, 5000.0),
    bp.PowerLaw(0.5, 50.0, 5000.0),
    bp.LogUniform(1.0, 1e5),
    bp.LogNormal(100.0, 1.0),
    bp.LogNormal(300.0, 0.05),
    bp.Normal(100.0, 50.0),
    bp.HalfNormal(300.0),
    bp.TruncatedNormal(100.0, 50.0, 10.0, 300.0),
    bp.Uniform(0.0, 1000.0),
]
#: Flux and error that the data tell.
TOLD = [(0.0, 20.0), (100.0, 20.0), (-60.0, 20.0), (400.0, 30.0), (100.0, 500.0)]


def find_density(prior, value):
    """Return the density by a normalised histogram-free formula, from the definitions."""
    kinds = {
        bp.PowerLaw: lambda: value**prior.index,
        bp.LogUniform: lambda: 1.0 / value,
        bp.LogNormal: lambda: (
            np.exp(-0.5 * (np.log(value / prior.median) / prior.width) ** 2) / value
        ),
        bp.Normal: lambda: np.exp(-0.5 * ((value - prior.mean) / prior.sd) ** 2),
        bp.HalfNormal: lambda: np.exp(-0.5 * (value / prior.sd) ** 2),
        bp.TruncatedNormal: lambda: np.exp(-0.5 * ((value - prior.mean) / prior.sd) ** 2),
        bp.Uniform: lambda: np.ones_like(value),
    }
    return kinds[type(prior)]()


def integrate(function, prior, centre: float, width: float) -> float:
    """Return the integral over the prior's support, by scipy between many breakpoints."""
    low, high = prior.support()
    spread = np.geomspace(1e-4, 1e7, 120)
    edges = np.concatenate([spread, -spread, centre + width * np.linspace(-9.0, 9.0, 61)])
    ends = [end for end in (low, high) if np.isfinite(end)]
    edges = np.unique(np.clip([*edges, *ends], max(low, -1e5), min(high, 1e7)))
    return sum(quad(function, a, b)[0] for a, b in zip(edges[:-1], edges[1:], strict=True))


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@pytest.mark.parametrize(("flux", "error"), TOLD)
def test_log_integral_is_that_of_scipy(prior, flux, error):
    score, information = flux / error**2, 1.0 / error**2

    def weigh(value):
        exponent = score * value - 0.5 * information * value**2
        return find_density(prior, value) * np.exp(exponent - 100.0)

    norm = integrate(lambda v: find_density(prior, v), prior, 0.0, 1.0)
    expected = np.log(integrate(weigh, prior, flux, error) / norm) + 100.0
    assert log_integral(prior, score, information) == pytest.approx(expected, abs=2e-5, rel=1e-4)


def test_integrals_stand_in_arrays_and_without_information_say_nothing():
    prior = bp.PowerLaw(-2.0, 50.0)
    told = log_integral(prior, [[0.0, 1.0], [2.0, 3.0]], 1e-3)
    assert told.shape == (2, 2)
    assert np.all(np.diff(told.ravel()) > 0.0)
    assert log_integral(prior, 3.0, 0.0) == 0.0
    # Far in the lower tail, where the integrand is 1e-200, it is still a number.
    assert np.isfinite(log_integral(prior, -1.0, 0.01))
    assert np.isfinite(log_integral(bp.HalfNormal(10.0), -30.0, 0.01))


def test_mean_of_a_bayes_factor_under_noise_is_one():
    rng = np.random.default_rng(4)
    for prior in (bp.PowerLaw(-2.0, 2.0, 50.0), bp.HalfNormal(1.0), bp.LogNormal(2.0, 0.3)):
        # Drawn about fluxes of the prior and weighted back, for the mean has a heavy tail.
        flux = draw_prior(prior, rng, 40_000)
        factor = np.exp(-log_integral(prior, flux + rng.standard_normal(flux.size), 1.0))
        assert abs(factor.mean() - 1.0) < 4.0 * factor.std() / 200.0


def test_expectation_leaves_out_the_normal_part_of_a_prior():
    prior = bp.Normal(3.0, 2.0)
    expected = -np.log(2.0) - 0.5 * np.log(2.0 * np.pi)
    assert log_expectation(prior, 1.0, 4.0) == pytest.approx(expected)


def find_log_kernel(prior, u, flux, error):
    """Return ln of the unnormalised density of u = ln(f) times the normal's kernel."""
    value = np.exp(u)
    if isinstance(prior, bp.LogNormal):
        density = -0.5 * ((u - np.log(prior.median)) / prior.width) ** 2
    else:
        density = (prior.index + 1.0) * u
    return density - 0.5 * ((value - flux) / error) ** 2


def integrate_densely(prior, flux: float, error: float) -> float:
    """Return ln of the mean of the density under a normal, on grids that close in on its mass."""
    if isinstance(prior, bp.LogNormal):
        low, high = np.log(prior.median) - 40.0, np.log(max(prior.median, flux)) + 4.0
        norm = -np.log(prior.width) - 0.5 * np.log(2.0 * np.pi)
    else:
        low, high = np.log(prior.low), np.log(prior.high)
        power = prior.index + 1.0
        norm = -np.log((prior.high**power - prior.low**power) / power)
    for _zoom in range(8):
        u = np.linspace(low, high, 100_001)
        kernel = find_log_kernel(prior, u, flux, error)
        inside = np.flatnonzero(kernel > kernel.max() - 60.0)
        low, high = u[max(inside[0] - 1, 0)], u[min(inside[-1] + 1, u.size - 1)]
    u = np.linspace(low, high, 100_001)
    kernel = find_log_kernel(prior, u, flux, error)
    area = np.trapezoid(np.exp(kernel - kernel.max()), u)
    return norm + kernel.max() + np.log(area) - 0.5 * np.log(2.0 * np.pi) - np.log(error)


@pytest.mark.parametrize(
    ("prior", "flux", "error"),
    [
        (bp.PowerLaw(-2.0, 1.0, 1000.0), 1100.0, 10.0),
        (bp.PowerLaw(-2.0, 100.0, 1e5), 1.2e5, 100.0),
        (bp.PowerLaw(1.5, 100.0, 1e5), 2e5, 3e4),
        (bp.PowerLaw(-2.0, 100.0, 1e5), -500.0, 3.0),
        (bp.LogNormal(100.0, 0.5), 0.0, 0.01),
        (bp.LogNormal(100.0, 0.5), 1.0, 0.01),
        (bp.LogNormal(100.0, 0.5), -50.0, 0.1),
        (bp.LogNormal(100.0, 0.05), 1000.0, 10.0),
        (bp.LogNormal(100.0, 0.05), 1000.0, 60.0),
        (bp.LogNormal(100.0, 0.3), 1e4, 1.0),
    ],
    ids=repr,
)
def test_expectation_where_normal_and_prior_are_far_apart(prior, flux, error):
    expected = integrate_densely(prior, flux, error)
    assert log_expectation(prior, flux, error**2) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_mean_density_under_a_normal_is_that_of_scipy(prior):
    norm = integrate(lambda v: find_density(prior, v), prior, 0.0, 1.0)

    def weigh(value):
        normal = np.exp(-0.5 * ((value - 100.0) / 20.0) ** 2) / (20.0 * np.sqrt(2.0 * np.pi))
        return find_density(prior, value) * normal

    expected = np.log(integrate(weigh, prior, 100.0, 20.0) / norm)
    assert log_mean_density(prior.whole(), 100.0, 400.0) == pytest.approx(expected, abs=2e-5)


SIGMA, SKY, NOISE = 1.5, 50.0, 5.0
SPREAD = {"x": bp.Normal(0.0, 0.3), "y": bp.Normal(0.0, 0.3)}
#: Fixed coordinates, priors, and columns of single sources.
PLACED = {
    "discs": ((), {}, {}),
    "normal": ((), SPREAD, {}),
    "normal about another place": ((), {"x": bp.Normal(0.1, 0.3)}, {}),
    "in a box": ((), {"x": bp.Uniform(-0.5, 0.5)}, {}),
    "columns": ((), {}, {"x_prior_sd": [0.2, np.nan], "y_prior_sd": [0.2, np.nan]}),
    "one fixed": (("x_0",), {}, {}),
    "both fixed": (("x_0", "y_0"), {}, {}),
    "one fixed, one normal": (("x_0",), {"y": SPREAD["y"]}, {}),
}
PAIR = {"x_0": [10.2, 14.4], "y_0": [12.3, 13.1], "flux_0": [900.0, 500.0]}


def measure_pair(density: float, fixed=(), priors=None, columns=None):
    """Return the result of two stars in one group."""
    scene = bp.simulate_scene(
        (25, 25),
        sources={"x_0": PAIR["x_0"], "y_0": PAIR["y_0"], "flux": PAIR["flux_0"]},
        sigma=SIGMA,
        background=SKY,
        noise=NOISE,
        seed=2,
    )
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    for name in fixed:
        psf.fixed[name] = True
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=11,
        group_maker=bp.DAOGroup(8.0),
        bkg_estimator=lambda data: bp.background.SkyLevel(SKY, 0.5),
        priors={"scene": bp.ScenePrior(density, bp.PowerLaw(-2.0, 60.0, 1e6)), **(priors or {})},
        seed=1,
    )
    return phot(scene.image, error=scene.error, positions=Table({**PAIR, **(columns or {})}))


@pytest.mark.parametrize("name", PLACED)
def test_evidence_counts_the_density_once_for_each_source(name):
    few, many = (measure_pair(density, *PLACED[name])["log_z"][0] for density in (1e-3, 1e-2))
    assert many - few == pytest.approx(2.0 * np.log(10.0), abs=1e-9)


def test_evidence_of_ever_narrower_priors_of_places_is_that_of_fixed_ones():
    fixed = measure_pair(1e-3, *PLACED["both fixed"])
    narrow = {"x": bp.Normal(0.0, 1e-3), "y": bp.Normal(0.0, 1e-3)}
    narrow = measure_pair(1e-3, (), narrow)
    error = np.hypot(fixed["log_z_err"][0], narrow["log_z_err"][0])
    assert abs(fixed["log_z"][0] - narrow["log_z"][0]) < 0.02 + 4.0 * error


def test_meta_leaves_out_the_defaults_that_are_replaced():
    text = measure_pair(1e-3, (), SPREAD).meta["priors"]
    assert "ScenePrior" in text
    assert "flux flat" not in text
    assert "even odds" not in text
    assert "position uniform in a disc" in text
    text = measure_pair(1e-3, (), {"position": bp.Disc(1.0)}).meta["priors"]
    assert "uniform in a disc" not in text


@pytest.mark.parametrize(
    ("density", "flux_pdf", "kind", "match"),
    [
        (0.0, bp.Normal(0.0, 1.0), ValueError, "density must be positive"),
        (-1e-3, bp.Normal(0.0, 1.0), ValueError, "density must be positive"),
        (np.nan, bp.Normal(0.0, 1.0), ValueError, "density must be positive"),
        ("many", bp.Normal(0.0, 1.0), TypeError, "density must be a number"),
        (1e-3, bp.Uniform(0.0), ValueError, "flux_pdf must be proper"),
        (1e-3, bp.Uniform(), ValueError, "flux_pdf must be proper"),
        (1e-3, bp.Uniform(-10.0, -1.0), ValueError, "flux_pdf must reach above 0.*found Uniform"),
        (1e-3, bp.TruncatedNormal(0.0, 1.0, -5.0, 0.0), ValueError, "must reach above 0"),
        (1e-3, 100.0, TypeError, "flux_pdf must be one of"),
        (1e-3, bp.Disc(1.0), TypeError, "flux_pdf must be one of"),
        (1e-3, bp.HalfNormal, TypeError, r"write HalfNormal\(...\)"),
    ],
)
def test_what_is_no_prior_of_a_scene_is_refused(density, flux_pdf, kind, match):
    with pytest.raises(kind, match=match):
        bp.ScenePrior(density, flux_pdf)


def test_a_scene_sets_the_prior_of_all_fluxes():
    scene = bp.ScenePrior(1e-3, bp.PowerLaw(-2.0, 10.0))
    for given in (scene, {"scene": scene}):
        chosen = normalise_priors(given, ("sigma",))
        assert chosen.scene == scene
        assert chosen.flux == scene.flux_pdf
        assert chosen.has_flux
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=2.0), fitshape=9, priors=scene
    )
    assert phot.priors == {"scene": scene}
    assert "ScenePrior" in repr(phot)


def test_a_scene_beside_another_prior_of_the_flux_is_refused():
    scene = bp.ScenePrior(1e-3, bp.PowerLaw(-2.0, 10.0))
    with pytest.raises(ValueError, match="give one of them"):
        normalise_priors({"scene": scene, "flux": bp.HalfNormal(1.0)}, ("sigma",))
    with pytest.raises(TypeError, match="must be a ScenePrior"):
        normalise_priors({"scene": bp.HalfNormal(1.0)}, ("sigma",))
