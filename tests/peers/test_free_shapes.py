"""Free shapes of models that the kernels do not know: the referee is the kind that they do.

Each model here is the same function as a kind of this package, by other means: a table, stepped
from shape to shape, against derivatives in the kernels. Data and starts are the same, and the
default priors too wide to tell: what differs is the method alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from astropy.modeling import Fittable2DModel, Parameter

import bayesphot as bp

psf = pytest.importorskip("photutils.psf", reason="photutils' models are the subject")

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
NOISE, BOX = 3.0, 15
#: The first two are blended, and a group; each of the others is one.
PLACES = np.array(
    [(12.3, 11.8), (17.2, 13.1), (38.1, 12.4), (61.7, 13.6), (24.4, 38.2), (52.9, 36.3)]
)
FLUXES = np.array([9e3, 4e3, 2e4, 6e3, 1.2e4, 3e3])
Y, X = np.mgrid[:50, :75]
#: Of some 300 comparisons with normal errors one in a thousand runs has one that is further off.
FAR = 5.0


class Round(psf.CircularGaussianPRF):
    """photutils' model under another name, by which it is not known to be a Gaussian."""


class Stretched(Fittable2DModel):
    """photutils' elliptical Gaussian by two shapes that lean on each other: a width and a ratio."""

    flux = Parameter(default=1.0)
    x_0 = Parameter(default=0.0)
    y_0 = Parameter(default=0.0)
    width = Parameter(default=3.0)
    ratio = Parameter(default=1.0)

    def evaluate(self, x, y, flux, x_0, y_0, width, ratio):
        """Return the light."""
        return psf.GaussianPRF().evaluate(x, y, flux, x_0, y_0, width, width * ratio, 0.0)


def free(model, *names):
    """Free some shapes of a model and hold the others."""
    for name in model.param_names:
        if name not in ("flux", "x_0", "y_0"):
            model.fixed[name] = name not in names
    return model


def make_round(truth: bool):
    """Return the kind of a round Gaussian, at the truth or the start."""
    return free(bp.IntegratedGaussianPRF(sigma=1.6 if truth else 1.75), "sigma")


def make_long(truth: bool):
    """Return the kind of an elongated Gaussian, at the truth or the start."""
    x_fwhm, y_fwhm = (3.2, 4.1) if truth else (3.6, 3.6)
    return free(bp.GaussianPRF(x_fwhm=x_fwhm, y_fwhm=y_fwhm), "x_fwhm", "y_fwhm")


#: The kind; the model at the same start; the kind's shapes from those of the model.
CASES: dict[str, tuple[Callable, Callable, dict[str, Callable]]] = {
    "round": (
        make_round,
        lambda: free(Round(fwhm=1.75 * FWHM), "fwhm"),
        {"sigma": lambda get: get("fwhm") / FWHM},
    ),
    "long": (
        make_long,
        lambda: free(psf.GaussianPRF(x_fwhm=3.6, y_fwhm=3.6), "x_fwhm", "y_fwhm"),
        {"x_fwhm": lambda get: get("x_fwhm"), "y_fwhm": lambda get: get("y_fwhm")},
    ),
    "stretched": (
        make_long,
        lambda: free(Stretched(width=3.6, ratio=1.0), "width", "ratio"),
        {"x_fwhm": lambda get: get("width"), "y_fwhm": lambda get: get("width") * get("ratio")},
    ),
}
BOTH = pytest.mark.parametrize(
    ("name", "n_star"), [(name, n_star) for name in CASES for n_star in (len(PLACES), 1)]
)


@cache
def make_image(kind: Callable, n_star: int) -> np.ndarray:
    """Return stars of a kind at its truth, and noise."""
    model = kind(True)
    image = np.random.default_rng(71).normal(0.0, NOISE, X.shape)
    for (x, y), flux in zip(PLACES[:n_star], FLUXES[:n_star], strict=True):
        model.x_0, model.y_0, model.flux = x, y, flux
        image += model(X, Y)
    return image


@cache
def run(name: str, own: bool, n_star: int) -> bp.PhotometryResult:
    """Return the photometry of an image by the kind, or by the model."""
    kind, make_model, _ = CASES[name]
    phot = bp.BasicPSFPhotometry(
        psf_model=kind(False) if own else make_model(),
        fitshape=BOX,
        group_maker=bp.DAOGroup(8.0),
        shape="image",
        fit_background=False,
        sampler=bp.Sampler(draws=1000),
        seed=4,
    )
    places = PLACES[:n_star]
    stars = {"x_0": places[:, 0], "y_0": places[:, 1], "flux_0": FLUXES[:n_star]}
    return phot(make_image(kind, n_star), NOISE, positions=stars)


def count_draws(*results) -> np.ndarray:
    """Return how many draws count of each row, of the worst of some results."""
    return np.min([np.minimum(r["ess_bulk"], r["ess_tail"]) for r in results], axis=0)


def correlate(draws, result, i: int) -> float:
    """Return the correlation of the draws of a shape in row i with those of its flux."""
    flux = result.posterior["flux"]
    return np.corrcoef(np.ravel(draws[..., i]), np.ravel(flux[..., i]))[0, 1]


@BOTH
def test_the_optimum_is_that_of_the_kind(name, n_star) -> None:
    own, other = run(name, True, n_star), run(name, False, n_star)
    assert not other["flags"].any()
    # The last step of the shapes is under a tenth of their errors, and the next its square: 0.01.
    # A prior 0.2 wide pulls a shape of the error s, off by d from the start, by s d / 0.2**2 of s,
    # of another quantity by as much less or more: of a lone star, s = 0.003 and d = 0.25, 0.02.
    near = 0.03
    for shape, read in CASES[name][2].items():
        found = read(lambda column: np.asarray(other[f"{column}_fit"]))
        assert np.ptp(found) == 0.0
        assert np.all(np.abs(found - own[f"{shape}_fit"]) < near * own[f"{shape}_err"])
    for p in ("x", "y", "flux"):
        assert np.all(np.abs(other[f"{p}_fit"] - own[f"{p}_fit"]) < near * own[f"{p}_err"])


@BOTH
def test_draws_are_as_wide_as_those_of_the_kind_and_where_they_are(name, n_star) -> None:
    own, other = run(name, True, n_star), run(name, False, n_star)
    far = FAR / np.sqrt(count_draws(own, other))
    pairs = {p: (other.posterior[p], own.posterior[p]) for p in ("x", "y", "flux")}
    for shape, read in CASES[name][2].items():
        pairs[shape] = read(lambda column: other.posterior[column]), own.posterior[shape]
    for p, (found, expected) in pairs.items():
        found, expected = (np.asarray(v).reshape(-1, n_star) for v in (found, expected))
        width = expected.std(axis=0)
        # Of two widths of n draws each the ratio's ln has the variance 1 / n; of two means 2 / n.
        assert np.all(np.abs(np.log(found.std(axis=0) / width)) < far), p
        off = (found.mean(axis=0) - expected.mean(axis=0)) / width
        assert np.all(np.abs(off) < np.sqrt(2.0) * far), p


@BOTH
def test_draws_of_shape_and_flux_are_joint(name, n_star) -> None:
    own, other = run(name, True, n_star), run(name, False, n_star)
    far = FAR * np.sqrt(2.0 / count_draws(own, other))
    for shape, read in CASES[name][2].items():
        found = read(lambda column: other.posterior[column])
        for i in range(n_star):
            # Fisher's z has the variance 1 / n.
            leaning = correlate(found, other, i), correlate(own.posterior[shape], own, i)
            assert abs(np.subtract(*np.arctanh(leaning))) < far[i], (shape, i)


@BOTH
def test_the_table_has_the_normal_of_the_draws(name, n_star) -> None:
    other = run(name, False, n_star)
    far = FAR / np.sqrt(count_draws(other))
    free_shapes = [p for p, fixed in CASES[name][1]().fixed.items() if not fixed]
    for shape in set(free_shapes) - {"x_0", "y_0", "flux"}:
        draws = np.asarray(other.posterior[shape]).reshape(-1, n_star)
        error = np.asarray(other[f"{shape}_err"])
        assert np.ptp(error) == 0.0
        assert np.all(np.abs(np.log(draws.std(axis=0) / error)) < far)
        assert np.all(np.abs(draws.mean(axis=0) - other[f"{shape}_median"]) < far * error)
        # One standard deviation each way, but for the exponential's bend.
        span = np.asarray(other[f"{shape}_hi"] - other[f"{shape}_lo"])
        np.testing.assert_allclose(span, 2.0 * error, rtol=1e-3)


def fit_one_star(caplog, noise: float):
    """Return the least squares of a lone star, and what the log says of the shapes."""
    phot = bp.BasicPSFPhotometry(
        psf_model=CASES["round"][1](), fitshape=BOX, shape="image", sampler=False
    )
    stars = {"x_0": PLACES[:1, 0], "y_0": PLACES[:1, 1], "flux_0": FLUXES[:1]}
    with caplog.at_level(logging.INFO, logger="bayesphot"):
        result = phot(make_image(make_round, 1), noise, positions=stars)
    return result, [r.getMessage() for r in caplog.records if "shapes" in r.getMessage()]


def test_the_log_says_what_is_done(caplog) -> None:
    result, lines = fit_one_star(caplog, NOISE)
    assert np.isnan(result["fwhm_median"]).all()
    assert len(lines) > 1
    assert all(line.startswith("Round has free shapes") for line in lines)
    assert f"fwhm = {result['fwhm_fit'][0]:.6g} +- {result['fwhm_fit_err'][0]:.2g}" in lines[-1]


def test_the_log_warns_of_a_posterior_too_wide_for_a_normal(caplog) -> None:
    # Known to 0.2 % under the true noise: to 8 % under 40 times as much.
    result, lines = fit_one_star(caplog, 40.0 * NOISE)
    share = 100.0 * result["fwhm_fit_err"][0] / result["fwhm_fit"][0]
    assert lines[-1].startswith(f"the shapes of Round are known to {share:.0f} % only")
