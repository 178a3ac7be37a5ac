"""The configuration: arguments, defaults, what is fixed, what cannot be changed afterwards."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import (
    SIGMA,
    configure,
    configure_loop,
    free_sigma,
    make_trio,
    render_gaussians,
)

import bayesphot as bp

DEFAULTS = {
    "fitter": None,
    "priors": None,
    "noise": None,
    "saturation": None,
    "fit_background": "prior",
    "shape": "group",
    "aperture_radius": None,
    "max_group_size": 20,
    "ci_prob": 0.6827,
    "zero_point": None,
    "n_jobs": 1,
    "executor": None,
    "progress_bar": False,
    "seed": None,
}


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


def test_defaults_are_those_of_the_contract():
    """And niters 3, sampler Sampler(draws=500, chains=4)."""
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=2.0),
        fitshape=(11, 11),
        finder=bp.DAOStarFinder(threshold=10.0, fwhm=4.7),
    )
    assert {name: getattr(phot, name) for name in DEFAULTS} == DEFAULTS
    assert phot.niters == 3
    assert phot.sampler == bp.Sampler(draws=500, chains=4)


def test_configuration_refuses_changes(trio):
    """Attributes cannot be set; what was given may change without effect."""
    image, error, positions = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    phot = configure(psf_model=model, sampler=False)
    with pytest.raises(AttributeError):
        phot.fitshape = (5, 5)
    before = phot(image, error=error, positions=positions)
    model.sigma = 3.0
    model.x_0.fixed = True
    after = phot(image, error=error, positions=positions)
    assert_array_equal(before["flux_fit"], after["flux_fit"])


def test_model_held_by_the_configuration_cannot_change_it(trio):
    """Values and flags were read at the construction."""
    image, error, positions = trio
    phot = configure(sampler=False)
    before = phot(image, error=error, positions=positions)
    phot.psf_model.sigma = 3.0
    phot.psf_model.x_0.fixed = True
    after = phot(image, error=error, positions=positions)
    assert_array_equal(before["flux_fit"], after["flux_fit"])


def test_repr_shows_what_differs_from_the_defaults():
    """Readable, on one line."""
    text = repr(configure_loop(max_group_size=7))
    assert text.startswith("IterativelySubtractedPSFPhotometry(psf_model=IntegratedGaussianPRF(")
    for part in ("fitshape=(11, 11)", "DAOGroup(crit_separation=8.0", "max_group_size=7", "1.8"):
        assert part in text
    assert "ci_prob" not in text
    assert "\n" not in text


def test_configuration_can_be_copied_and_sent_to_other_processes(trio):
    """deepcopy, pickle, dataclasses.replace."""
    image, error, positions = trio
    phot = configure_loop(sampler=False)
    expected = phot(image, error=error)["flux_fit"]
    for other in (copy.deepcopy(phot), pickle.loads(pickle.dumps(phot))):
        assert_array_equal(other(image, error=error)["flux_fit"], expected)
    assert dataclasses.replace(phot, niters=1).niters == 1


def test_one_configuration_serves_many_threads(trio):
    """Four calls at once give the answer of one."""
    image, error, positions = trio
    phot = configure(psf_model=free_sigma())
    expected = phot(image, error=error, positions=positions)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(phot, image, error, None, positions) for _ in range(4)]
        for future in futures:
            assert_array_equal(future.result().posterior["flux"], expected.posterior["flux"])


@pytest.mark.parametrize("make", [configure, configure_loop])
def test_residual_image_is_asked_of_the_result(make):
    """The message says where it is."""
    with pytest.raises(AttributeError, match=r"result\.residual_image"):
        make().get_residual_image()


def test_daophot_takes_the_documented_arguments_in_order(trio):
    """Positions of the arguments, and the stages they make."""
    phot = bp.DAOPhotPSFPhotometry(
        8.0, 9.0, 4.2, bp.IntegratedGaussianPRF(sigma=SIGMA), (11, 11), 2.5, 0.9, 0.1, 1.4,
        0.1, 1.1, -0.9, 0.9, 2, seed=1, sampler=False,
    )  # fmt: skip
    finder = phot.finder
    assert isinstance(finder, bp.DAOStarFinder)
    assert (finder.threshold, finder.fwhm, finder.ratio, finder.theta) == (9.0, 4.2, 0.9, 0.1)
    assert (finder.sigma_radius, finder.sharplo, finder.sharphi) == (1.4, 0.1, 1.1)
    assert (finder.roundlo, finder.roundhi) == (-0.9, 0.9)
    assert phot.group_maker.crit_separation == 8.0
    assert phot.bkg_estimator == bp.MMMBackground(sigma=2.5)
    assert phot.niters == 2
    image, error, _ = trio
    assert len(phot(image, error=error)) == 3


def test_daophot_takes_all_arguments_by_keyword():
    """With the documented defaults."""
    phot = bp.DAOPhotPSFPhotometry(
        crit_separation=8.0,
        threshold=9.0,
        fwhm=4.2,
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=11,
    )
    assert phot.niters == 3
    assert phot.bkg_estimator == bp.MMMBackground(sigma=3.0)
    assert phot.fitshape == (11, 11)
    assert (phot.finder.sharplo, phot.finder.sharphi) == (0.2, 1.0)
    assert "DAOPhotPSFPhotometry(" in repr(phot)


def test_daophot_finds_what_the_iteration_with_its_stages_finds(trio):
    """It is a preset and nothing else."""
    image, error, _ = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    preset = bp.DAOPhotPSFPhotometry(8.0, 15.0, 4.2, model, 11, seed=1)
    stages = configure_loop(finder=bp.DAOStarFinder(threshold=15.0, fwhm=4.2))
    first, second = preset(image, error=error), stages(image, error=error)
    assert_array_equal(first["flux_median"], second["flux_median"])


def test_fixed_positions_are_kept_exactly(trio):
    """Forced photometry: x_fit == x_0, no error, and fluxes at the truth."""
    image, error, positions = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.x_0.fixed = model.y_0.fixed = True
    result = configure(psf_model=model)(image, error=error, positions=positions)
    for name in ("x", "y"):
        for kind in ("0", "fit", "median", "lo", "hi"):
            assert_array_equal(result[f"{name}_{kind}"], positions[f"{name}_0"])
        assert_array_equal(result[f"{name}_err"], 0.0)
        assert np.all(result.posterior[name] == np.asarray(positions[f"{name}_0"]))
    pull = (result["flux_median"] - [1500.0, 900.0, 1200.0]) / result["flux_err"]
    assert np.all(np.abs(pull) < 4.5)
    assert_array_equal(result["flags"], 0)


def test_one_fixed_coordinate_leaves_the_other_free(trio):
    """x is kept, y is fitted."""
    image, error, positions = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.x_0.fixed = True
    result = configure(psf_model=model)(image, error=error, positions=positions)
    assert_array_equal(result["x_fit"], positions["x_0"])
    assert_array_equal(result["x_err"], 0.0)
    assert np.all(result["y_err"] > 0.0)
    assert np.all(result["y_fit"] != positions["y_0"])


def test_fixed_flux_is_kept_exactly(trio):
    """Positions are fitted, flux_fit == flux_0."""
    image, error, positions = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.flux.fixed = True
    positions = positions.copy()
    positions["flux_0"] = [1500.0, 900.0, 1200.0]
    result = configure(psf_model=model)(image, error=error, positions=positions)
    for kind in ("0", "fit", "median", "lo", "hi"):
        assert_array_equal(result[f"flux_{kind}"], positions["flux_0"])
    assert_array_equal(result["flux_err"], 0.0)
    pull = (result["x_median"] - positions["x_0"]) / result["x_err"]
    assert np.all(np.abs(pull) < 4.5)
    assert np.all(result.posterior["flux"] == np.asarray(positions["flux_0"]))


def test_fixed_sigma_keeps_its_columns(trio):
    """Start and fit the model's, error zero, the same in all rows."""
    image, error, positions = trio
    result = configure(sampler=False)(image, error=error, positions=positions)
    assert_array_equal(result["sigma_0"], SIGMA)
    assert_array_equal(result["sigma_fit"], SIGMA)
    assert_array_equal(result["sigma_err"], 0.0)
    assert "sigma" not in result.posterior


@pytest.mark.parametrize("shape", ["group", "image", "source"])
def test_free_sigma_is_shared_as_asked(trio, shape):
    """By the group, the image, or nobody; near the truth in all cases."""
    image, error, positions = trio
    phot = configure(psf_model=free_sigma(SIGMA * 1.15), shape=shape)
    result = phot(image, error=error, positions=positions)
    first, second, alone = result["sigma_fit"]
    assert (first == second) == (shape != "source")
    assert (first == alone) == (shape == "image")
    pull = (result["sigma_median"] - SIGMA) / result["sigma_err"]
    assert np.all(np.abs(pull) < 4.5)
    assert_array_equal(result["sigma_0"], SIGMA * 1.15)


def test_starts_of_sigma_come_from_the_positions(trio):
    """A fixed sigma may differ from star to star."""
    image, error, positions = trio
    positions = positions.copy()
    positions["sigma_0"] = [1.8, 1.8, 2.4]
    result = configure(sampler=False)(image, error=error, positions=positions)
    assert_array_equal(result["sigma_fit"], [1.8, 1.8, 2.4])
    assert_array_equal(result["sigma_0"], [1.8, 1.8, 2.4])
    assert result["reduced_chi2"][2] > result["reduced_chi2"][0] + 0.5


@pytest.mark.parametrize("background", [False, "prior", "flat", "plane"])
def test_each_way_to_treat_the_sky_measures_the_stars(trio, background):
    """Fluxes at the truth; a fixed sky has no error."""
    image, error, positions = trio
    result = configure(fit_background=background)(image, error=error, positions=positions)
    pull = (result["flux_median"] - [1500.0, 900.0, 1200.0]) / result["flux_err"]
    assert np.all(np.abs(pull) < 4.5)
    assert_allclose(result["background_fit"], 20.0, atol=1.5)
    assert np.all((result["background_err"] == 0.0) == (background is False))
    spread = result.posterior["background"].std(("chain", "draw"))
    assert np.all((spread < 1e-9) == (background is False))


def test_sky_prior_without_estimator_is_no_sky(trio):
    """The image is taken as free of sky."""
    image, error, positions = trio
    result = configure(bkg_estimator=None)(image - 20.0, error=error, positions=positions)
    assert_array_equal(result["background_fit"], 0.0)
    pull = (result["flux_median"] - [1500.0, 900.0, 1200.0]) / result["flux_err"]
    assert np.all(np.abs(pull) < 4.5)


def test_unknown_sky_makes_fluxes_less_certain(trio):
    """fixed < prior < flat < plane in the flux error of the star alone, to Monte Carlo."""
    image, error, positions = trio
    spread = [
        configure(fit_background=kind, sampler=False)(image, error=error, positions=positions)[
            "flux_fit_err"
        ][2]
        for kind in (False, "prior", "flat", "plane")
    ]
    assert spread[0] < spread[1] < spread[2] <= spread[3]


def test_ccd_noise_weighs_by_the_model_of_the_scene():
    """Photon noise of gain 2: pulls are sane, and the noise is told in the meta."""
    scene = bp.simulate_scene(
        (40, 40),
        sources={"x_0": [12.0, 27.4], "y_0": [14.2, 25.0], "flux": [20000.0, 2000.0]},
        sigma=SIGMA,
        background=50.0,
        gain=2.0,
        read_noise=5.0,
        seed=3,
    )
    noise = bp.CCDNoise(gain=2.0, read_noise=5.0)
    result = configure(noise=noise)(scene.image, positions=scene.truth)
    pull = (result["flux_median"] - scene.truth["flux"]) / result["flux_err"]
    assert np.all(np.abs(pull) < 4.5)
    assert "CCDNoise" in result.meta["noise"]
    exact = configure(sampler=False)(scene.image, error=scene.error, positions=scene.truth)
    assert_allclose(result["flux_fit_err"], exact["flux_fit_err"], rtol=0.02)


def test_priors_are_heeded(trio):
    """A narrow flux prior moves the flux; a narrow disc bounds the position."""
    image, error, positions = trio
    pulled = configure(priors={"flux": bp.Normal(1000.0, 1.0)})
    result = pulled(image, error=error, positions=positions)
    assert_allclose(result["flux_median"], 1000.0, atol=10.0)
    bounded = configure(priors={"position": bp.Disc(0.5)})
    moved = positions.copy()
    moved["x_0"] += 1.0
    result = bounded(image, error=error, positions=moved)
    distance = np.hypot(result["x_fit"] - moved["x_0"], result["y_fit"] - moved["y_0"])
    assert_allclose(distance, 0.5, rtol=1e-3)
    assert all("AT_BOUND" in names for names in bp.decode_flags(result["flags"]))


def test_emcee_agrees_with_the_compiled_sampler(trio):
    """Medians and errors of all parameters of a star within Monte-Carlo bands."""
    image, error, positions = trio
    alone = positions[2:]
    independence = configure()(image, error=error, positions=alone)
    sampler = bp.EmceeSampler(min_ess=100.0, max_r_hat=1.05)
    emcee = configure(sampler=sampler)(image, error=error, positions=alone)
    assert set(emcee["engine"]) == {"emcee"}
    assert_array_equal(emcee["flags"], 0)
    for name in ("x", "y", "flux", "background"):
        # ESS of 100 and 400: the difference of medians scatters by about 0.14 errors.
        difference = emcee[f"{name}_median"] - independence[f"{name}_median"]
        assert np.all(np.abs(difference) < 0.6 * independence[f"{name}_err"]), name
        assert_allclose(emcee[f"{name}_err"], independence[f"{name}_err"], rtol=0.3)


def test_aperture_radius_sets_the_start_fluxes(trio):
    """A start flux is what the aperture says; the answer does not hang on it."""
    image, error, positions = trio
    bare = positions["x_0", "y_0"]
    small, large = (
        configure(aperture_radius=radius, sampler=False)(image, error=error, positions=bare)
        for radius in (2.0, 5.0)
    )
    for result in (small, large):
        # The light of the mate counts in the pair.
        assert_allclose(result["flux_0"], [1500.0, 900.0, 1200.0], rtol=0.8)
        assert_allclose(result["flux_0"][2], 1200.0, rtol=0.1)
    assert np.all(small["flux_0"] != large["flux_0"])
    assert_allclose(small["flux_fit"], large["flux_fit"], rtol=1e-4)


def test_astropy_fitter_finds_the_same_optimum(trio):
    """Any astropy fitter may take the place of the compiled least squares; it sees flat priors."""
    from astropy.modeling.fitting import TRFLSQFitter

    image, error, positions = trio
    flat = {"sampler": False, "fit_background": "flat"}
    ours = configure(**flat)(image, error=error, positions=positions)
    theirs = configure(fitter=TRFLSQFitter(), **flat)(image, error=error, positions=positions)
    for name in ("x", "y", "flux"):
        difference = theirs[f"{name}_fit"] - ours[f"{name}_fit"]
        assert np.all(np.abs(difference) < 1e-3 * ours[f"{name}_fit_err"]), name


def test_astropy_fitter_is_really_called(trio):
    """Not silently ignored."""
    from astropy.modeling.fitting import TRFLSQFitter

    calls = []

    class Counting(TRFLSQFitter):
        """Counts its calls."""

        def __call__(self, *args, **kwargs):
            calls.append(1)
            return super().__call__(*args, **kwargs)

    image, error, positions = trio
    configure(sampler=False, fitter=Counting())(image, error=error, positions=positions)
    assert calls


def test_scene_of_the_helpers_is_what_the_package_renders():
    """The independent rendering of these tests equals the public model."""
    y, x = np.mgrid[:21, :25]
    ours = bp.IntegratedGaussianPRF(flux=100.0, x_0=11.3, y_0=9.8, sigma=1.7)(x, y)
    assert_allclose(render_gaussians((21, 25), 11.3, 9.8, 100.0, 1.7), ours, atol=1e-12)


@pytest.mark.parametrize("engine", [None, "independence", "tempered"])
def test_nothing_free_is_a_picture_of_the_given(trio, engine):
    image, error, starts = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.x_0.fixed = model.y_0.fixed = model.flux.fixed = True
    phot = bp.BasicPSFPhotometry(
        psf_model=model, fitshape=11, fit_background=False, sampler=bp.Sampler(engine=engine)
    )
    given = starts.copy()
    given["flux_0"] = 500.0
    result = phot(image, error, positions=given)
    assert_array_equal(result["x_fit"], starts["x_0"])
    assert_array_equal(result["flux_fit"], 500.0)
    assert_array_equal(result["flux_err"], 0.0)
