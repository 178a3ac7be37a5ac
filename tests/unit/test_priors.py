"""Prior distributions check their numbers; a mapping becomes one set of priors."""

from __future__ import annotations

import math

import pytest

from bayesphot.priors import Disc, LogNormal, Normal, PriorSet, Uniform, normalise_priors

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


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0)])
def test_bounds_must_be_in_order(low, high) -> None:
    with pytest.raises(ValueError, match="low must be below high"):
        Uniform(low, high)


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
    found = normalise_priors(
        {
            "position": Disc(1.5),
            "y": Normal(0.0, 0.2),
            "flux": Normal(100.0, 30.0),
            "sigma": LogNormal(2.0, 0.1),
            "background": Normal(7.0, 0.5),
        },
        ("sigma",),
    )
    assert found == PriorSet(
        radius=1.5,
        position_sd=(math.inf, 0.2),
        flux=Normal(100.0, 30.0),
        shape=LogNormal(2.0, 0.1),
        background=Normal(7.0, 0.5),
    )


def test_an_unbounded_uniform_flux_is_the_flat_default() -> None:
    assert normalise_priors({"flux": Uniform()}, ()) == PriorSet()


@pytest.mark.parametrize("bounds", [(0.0, math.inf), (-math.inf, 5.0), (0.0, 1.0)])
def test_a_bounded_uniform_flux_is_refused(bounds) -> None:
    with pytest.raises(ValueError, match=r"priors\['flux'\] takes Uniform without bounds"):
        normalise_priors({"flux": Uniform(*bounds)}, ())


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="no parameter 'sigm'") as caught:
        normalise_priors({"sigm": LogNormal(1.0, 0.1)}, ("sigma",))
    assert "'sigma'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "prior", "kinds"),
    [
        ("position", Normal(0.0, 1.0), "Disc"),
        ("x", Disc(1.0), "Normal"),
        ("flux", LogNormal(1.0, 1.0), "Normal or Uniform"),
        ("sigma", Normal(1.0, 0.1), "LogNormal"),
        ("background", 3.0, "Normal"),
    ],
)
def test_a_distribution_the_parameter_cannot_take_is_refused(name, prior, kinds) -> None:
    with pytest.raises(ValueError, match=rf"priors\['{name}'\] must be {kinds}, found"):
        normalise_priors({name: prior}, ("sigma",))


def test_an_offset_must_be_about_the_start() -> None:
    with pytest.raises(ValueError, match=r"priors\['x'\] is an offset .* mean 0"):
        normalise_priors({"x": Normal(1.0, 0.5)}, ())


@pytest.mark.parametrize("priors", [[("flux", Normal(0.0, 1.0))], Disc(1.0), "flux"])
def test_what_is_not_a_mapping_is_a_type_error(priors) -> None:
    with pytest.raises(TypeError, match="priors must map"):
        normalise_priors(priors, ())
