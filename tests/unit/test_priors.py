"""Prior distributions check their numbers; a mapping becomes one set of priors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_scene import open_kernel
from scipy import stats

import bayesphot as bp
from bayesphot.kernels.priors import log_prior_density
from bayesphot.priors import (
    Disc,
    HalfNormal,
    LogNormal,
    LogUniform,
    Normal,
    PowerLaw,
    PriorSet,
    ScenePrior,
    TruncatedNormal,
    Uniform,
    normalise_priors,
)

BAD = [0.0, -1.0, math.nan, math.inf]


@pytest.mark.parametrize("value", BAD)
def test_widths_must_be_positive_and_finite(value) -> None:
    for make, name in [
        (lambda: Disc(value), "radius"),
        (lambda: Normal(0.0, value), "sd"),
        (lambda: LogNormal(1.0, value), "width"),
        (lambda: LogNormal(value, 1.0), "median"),
    ]:
        with pytest.raises(ValueError, match=f"{name} must be positive and finite, found"):
            make()


@pytest.mark.parametrize("mean", [math.nan, math.inf])
def test_the_mean_of_a_normal_must_be_finite(mean) -> None:
    with pytest.raises(ValueError, match="mean must be finite"):
        Normal(mean, 1.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.inf, math.inf)])
def test_bounds_must_be_in_order(low, high) -> None:
    with pytest.raises(ValueError, match="low must be below high"):
        Uniform(low, high)


@pytest.mark.parametrize(
    "value", ["a", None, False, np.True_, 1j, np.complex64(1.0), np.zeros(2), np.ones(1), [1.0]]
)
def test_bounds_must_be_real_numbers(value) -> None:
    for make, name in [
        (lambda: Uniform(value, 1.0), "low"),
        (lambda: Uniform(0.0, value), "high"),
        (lambda: Uniform(value, value), "low"),
        (lambda: LogUniform(1.0, value), "high"),
        (lambda: PowerLaw(-2.0, 1.0, value), "high"),
        (lambda: TruncatedNormal(0.0, 1.0, value, 2.0), "low"),
        (lambda: TruncatedNormal(0.0, 1.0, 0.0, value), "high"),
    ]:
        with pytest.raises(TypeError, match=f"{name} must be a number, found"):
            make()


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "low must be a number or infinite, found nan"), (10**400, "low must be a number")],
)
def test_bounds_must_be_floating_point_numbers(value, text) -> None:
    with pytest.raises(ValueError, match=text):
        Uniform(value, 1.0)


def test_distributions_are_immutable_and_compare_by_value() -> None:
    prior = Normal(0.0, 1.0)
    with pytest.raises(AttributeError):
        prior.sd = 2.0
    assert prior == Normal(0.0, 1.0)
    assert repr(Disc(1.5)) == "Disc(radius=1.5)"


def test_no_mapping_means_the_defaults() -> None:
    assert normalise_priors(None, ("sigma",)) == PriorSet()
    assert normalise_priors({}, ("sigma",)) == PriorSet()


def test_each_name_finds_its_place() -> None:
    given = {
        "position": Disc(1.5),
        "y": Normal(0.1, 0.2),
        "flux": PowerLaw(-2.0, 10.0),
        "sigma": LogNormal(2.0, 0.1),
        "background": Normal(7.0, 0.5),
    }
    assert normalise_priors(given, ("sigma",)) == PriorSet(
        radius=1.5,
        y=given["y"],
        flux=given["flux"],
        shapes={0: given["sigma"]},
        background=given["background"],
    )


@pytest.mark.parametrize(
    ("flux", "informs"), [(Uniform(), False), (Uniform(0.0), True), (Normal(0.0, 1.0), True)]
)
def test_a_flat_flux_is_no_prior(flux, informs) -> None:
    assert normalise_priors({"flux": flux}, ()).has_flux == informs


DISTRIBUTIONS = [
    (Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
    (LogNormal(3.0, 0.4), stats.lognorm(0.4, scale=3.0)),
    (LogUniform(0.5, 20.0), stats.loguniform(0.5, 20.0)),
    (PowerLaw(-2.5, 1.5), stats.pareto(1.5, scale=1.5)),
    (PowerLaw(-1.0, 0.5, 20.0), stats.loguniform(0.5, 20.0)),
    (PowerLaw(2.0, 1e-9, 4.0), stats.powerlaw(3.0, scale=4.0)),
    (PowerLaw(-200.0, 1e-3), stats.pareto(199.0, scale=1e-3)),
    (PowerLaw(-200.0, 1e5), stats.pareto(199.0, scale=1e5)),
    (PowerLaw(200.0, 1e-9, 1e5), stats.powerlaw(201.0, scale=1e5)),
    (LogUniform(1e-170, 1e150), stats.loguniform(1e-170, 1e150)),
    (HalfNormal(2.0), stats.halfnorm(scale=2.0)),
    (TruncatedNormal(1.0, 2.0), stats.truncnorm(-0.5, np.inf, 1.0, 2.0)),
    (TruncatedNormal(0.0, 1.0, 8.0, 9.0), stats.truncnorm(8.0, 9.0, 0.0, 1.0)),
]


@pytest.mark.parametrize(("prior", "referee"), DISTRIBUTIONS, ids=lambda p: type(p).__name__)
def test_densities_are_those_of_scipy(prior, referee) -> None:
    """Normalised: evidences are compared across priors."""
    log_density = open_kernel(log_prior_density)
    low, high = prior.support()
    values = np.r_[referee.ppf(np.linspace(0.001, 0.999, 25)), low - 0.1, high + 0.1, -2.0, 0.0]
    values = values[np.isfinite(values)]
    mine = [log_density(prior.whole(), v) for v in values]
    expected = referee.logpdf(values)
    np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-10)
    assert prior.is_proper
    mean, precision = prior.normal()
    kernel = -0.5 * precision * (values - mean) ** 2
    split = [log_density(prior.density(), v) for v in values] + kernel
    np.testing.assert_allclose(split, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("prior", "referee"), [*DISTRIBUTIONS, (Normal(1.0, 2.0), stats.norm(1.0, 2.0))],
    ids=lambda p: type(p).__name__,
)  # fmt: skip
def test_a_prior_in_another_unit_is_the_same(prior, referee) -> None:
    log_density, factor = open_kernel(log_prior_density), 7.5
    scaled = prior.scaled(factor)
    assert type(scaled) is type(prior)
    values = referee.ppf(np.linspace(0.01, 0.99, 9))
    mine = [log_density(scaled.whole(), factor * v) for v in values]
    expected = referee.logpdf(values) - np.log(factor)
    np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prior", [Uniform(-1.0, 3.0), TruncatedNormal(1.0, 2.0, -4.0, 7.0)])
def test_a_density_of_the_level_is_moved_by_the_reference(prior) -> None:
    log_density = open_kernel(log_prior_density)
    reference = np.array([0.5, -2.0])
    for row, level in zip(prior.shift(reference), reference, strict=True):
        for value in (-3.9, -0.5, 2.5, 6.9):
            assert log_density(row, value - level) == pytest.approx(
                log_density(prior.density(), value), abs=1e-12
            )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LogUniform(0.0, 1.0), "low must be positive"),
        (lambda: LogUniform(2.0, 1.0), "low must be below high"),
        (lambda: LogUniform(1.0, math.inf), "high must be positive and finite"),
        (lambda: PowerLaw(-2.0, 0.0), "low must be positive"),
        (lambda: PowerLaw(-0.5, 1.0), "needs a finite high"),
        (lambda: PowerLaw(math.nan, 1.0, 2.0), "index must be finite"),
        (lambda: PowerLaw(-1e308, 1e5), "index must leave a density that can be computed"),
        (lambda: Normal(0.0, 1e-200), "sd must lie between 1e-150 and 1e.150, found 1e-200"),
        (lambda: Normal(0.0, 1e200), "sd must lie between 1e-150 and 1e.150, found 1e.200"),
        (lambda: Normal(-1e200, 1.0), "mean must lie between -1e.150 and 1e.150, found -1e.200"),
        (lambda: TruncatedNormal(0.0, 1e-200), "sd must lie between"),
        (lambda: HalfNormal(1e-200), "sd must lie between"),
        (lambda: LogNormal(1.0, 1e-200), "width must lie between 1e-12 and 50, found 1e-200"),
        (lambda: LogNormal(1.0, 100.0), "width must lie between 1e-12 and 50, found 100.0"),
        (lambda: HalfNormal(-1.0), "sd must be positive"),
        (lambda: TruncatedNormal(0.0, 1.0, 60.0, 70.0), "nothing of the normal"),
        (lambda: TruncatedNormal(0.0, 1.0, 2.0, 1.0), "low must be below high"),
    ],
)
def test_impossible_distributions_are_refused(make, text) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("given", [stats.gamma(2.0), lambda v: -np.abs(v)])
def test_scipy_and_callables_become_functions(given) -> None:
    found = normalise_priors({"flux": given, "sigma": given}, ("sigma",))
    assert [name for name, _ in found.functions] == ["flux", 0]
    assert found.flux is None
    assert found.has_flux
    value = found.functions[0][1](np.array([1.5]))
    expected = given.logpdf(1.5) if hasattr(given, "logpdf") else -1.5
    np.testing.assert_allclose(value, expected)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="no parameter 'sigm'") as caught:
        normalise_priors({"sigm": LogNormal(1.0, 0.1)}, ("sigma",))
    assert "'sigma'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "prior", "text"),
    [
        ("position", Normal(0.0, 1.0), "must be Disc"),
        ("x", Disc(1.0), "must be Normal or Uniform or TruncatedNormal"),
        ("x", LogNormal(1.0, 1.0), "must be Normal or Uniform or TruncatedNormal"),
        ("x", Uniform(0.5, 1.0), "excludes the start"),
        ("flux", Disc(1.0), "must be Uniform, Normal, "),
        ("flux", 3.0, "must be one of Uniform"),
        ("sigma", Uniform(0.0), "must be proper"),
        ("sigma", TruncatedNormal(0.0, 1.0, -2.0, 0.0), "must allow positive values"),
        ("background", 3.0, "must be one of Uniform"),
        ("background", PowerLaw(-2.0, 1.0), "must be Normal or Uniform or TruncatedNormal"),
        ("background", stats.norm(), "cannot be a function"),
    ],
)
def test_a_distribution_the_parameter_cannot_take_is_refused(name, prior, text) -> None:
    with pytest.raises(ValueError, match=rf"priors\['{name}'\].* {text}"):
        normalise_priors({name: prior}, ("sigma",))


@pytest.mark.parametrize("priors", [[("flux", Normal(0.0, 1.0))], Disc(1.0), "flux"])
def test_what_is_not_a_mapping_is_a_type_error(priors) -> None:
    with pytest.raises(TypeError, match="priors must map"):
        normalise_priors(priors, ())


@pytest.mark.parametrize(
    ("priors", "name"), [(ScenePrior, "priors"), ({"scene": ScenePrior}, r"priors\['scene'\]")]
)
def test_the_class_of_a_scene_is_no_prior(priors, name) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be .*: write ScenePrior\(\.\.\.\)"):
        normalise_priors(priors, ())


@pytest.mark.parametrize(
    ("name", "prior", "text"),
    [
        ("x", stats.uniform(1.0, 1.0), "excludes the start 0, where its log density is -inf"),
        ("sigma", stats.uniform(3.0, 1.0), "excludes the start 2, where"),
        ("flux", lambda: 0.0, "raises TypeError"),
        ("flux", lambda values: 0.0, "must return one log density for each value"),
        ("sigma", Normal(200.0, 1.0), "excludes the start, which is 198 sd away"),
        ("y", Normal(-40.0, 1.0), "excludes the start, which is 40 sd away"),
    ],
)
def test_priors_that_exclude_the_start_or_fail_are_refused(name, prior, text) -> None:
    with pytest.raises(ValueError, match=rf"priors\['{name}'\].*{text}"):
        normalise_priors({name: prior}, ("sigma",), [2.0])


@pytest.mark.parametrize(("name", "parameter"), [("x", "x_0"), ("sigma", "sigma")])
def test_priors_of_fixed_parameters_are_refused(name, parameter) -> None:
    psf = bp.IntegratedGaussianPRF(sigma=2.0)
    psf.x_0.fixed = True
    prior = Normal(0.0 if name == "x" else 2.0, 0.1)
    with pytest.raises(ValueError, match=f"set psf_model.{parameter}.fixed = False"):
        bp.BasicPSFPhotometry(psf_model=psf, fitshape=11, priors={name: prior})


def test_a_disc_wider_than_the_box_needs_a_prior_of_the_flux() -> None:
    psf = bp.IntegratedGaussianPRF(sigma=2.0)
    wide = {"position": Disc(30.0)}
    with pytest.raises(ValueError, match=r"Disc\(30\) lets a source leave .* at most 11.5"):
        bp.BasicPSFPhotometry(psf_model=psf, fitshape=11, priors=wide)
    priors = {**wide, "flux": Normal(500.0, 300.0)}
    assert bp.BasicPSFPhotometry(psf_model=psf, fitshape=11, priors=priors).priors == priors
