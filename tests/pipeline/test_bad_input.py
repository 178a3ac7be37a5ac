"""Bad input: the right exception, naming the argument, the value and the place."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling.models import Gaussian2D
from astropy.nddata import NDData, StdDevUncertainty
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_array_equal
from pipeline_scenes import SIGMA, configure, configure_loop, make_positions, make_trio
from scipy import stats

import bayesphot as bp


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


def tie_position() -> bp.IntegratedGaussianPRF:
    """A model whose x_0 hangs on another parameter."""
    model = bp.IntegratedGaussianPRF(sigma=2.0)
    model.x_0.tied = lambda model: model.y_0
    return model


def free_sigma() -> bp.IntegratedGaussianPRF:
    """A model of free width."""
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.sigma.fixed = False
    return model


SETTINGS = [
    ({"fitshape": 10}, ValueError, "fitshape must be odd, found 10"),
    ({"fitshape": (11, 10)}, ValueError, r"fitshape must be odd, found \(11, 10\)"),
    ({"fitshape": (11, 11, 11)}, ValueError, "fitshape must be one or two integers"),
    ({"fitshape": -3}, ValueError, "fitshape must be at least 1, found -3"),
    ({"fitshape": "11"}, TypeError, "fitshape must be .* found '11'"),
    ({"fitshape": 11.0}, TypeError, r"fitshape must be an integer, found 11\.0"),
    ({"fitshape": None}, TypeError, "fitshape must be an integer, found None"),
    ({"psf_model": bp.IntegratedGaussianPRF}, TypeError, "psf_model .* found the class Integr"),
    ({"psf_model": 2.0}, TypeError, r"psf_model must be an astropy model, found 2\.0"),
    ({"psf_model": None}, TypeError, "psf_model must be an astropy model, found None"),
    ({"psf_model": Gaussian2D()}, ValueError, "shape must be .image. where psf_model.x_stddev of"),
    (
        {"psf_model": bp.IntegratedGaussianPRF(sigma=-1.0)},
        ValueError,
        r"psf_model\.sigma must be positive and finite, found -1\.0",
    ),
    (
        {"psf_model": bp.IntegratedGaussianPRF(sigma=np.nan)},
        ValueError,
        r"psf_model\.sigma must be positive and finite, found nan",
    ),
    ({"psf_model": tie_position()}, ValueError, r"psf_model\.x_0 must not be tied"),
    ({"finder": "dao"}, TypeError, "finder must be a callable object or None, found 'dao'"),
    ({"finder": bp.DAOStarFinder}, TypeError, "finder .* found the class DAOStarFinder"),
    ({"group_maker": 8.0}, TypeError, r"group_maker must be a callable .* found 8\.0"),
    ({"group_maker": bp.DAOGroup}, TypeError, "group_maker .* found the class DAOGroup"),
    ({"bkg_estimator": "mmm"}, TypeError, "bkg_estimator must be .* found 'mmm'"),
    ({"bkg_estimator": bp.MMMBackground}, TypeError, "bkg_estimator .* the class MMMBackgr"),
    ({"bkg_estimator": np.nan}, ValueError, "bkg_estimator must be finite, found nan"),
    ({"fitter": "lm"}, TypeError, "fitter must be a callable object or None, found 'lm'"),
    ({"sampler": "emcee"}, TypeError, "sampler must be .* found 'emcee'"),
    ({"sampler": True}, TypeError, "sampler must be .* found True"),
    ({"sampler": bp.Sampler}, TypeError, "sampler must be .* found <class"),
    ({"priors": [1]}, TypeError, r"priors must map parameter names .* found \[1\]"),
    ({"priors": bp.ScenePrior}, TypeError, r"priors .* write ScenePrior\(\.\.\.\)"),
    ({"priors": {"fluxx": bp.Normal(0, 1)}}, ValueError, "priors: no parameter 'fluxx'"),
    ({"priors": {"flux": bp.Disc(1)}}, ValueError, r"priors\['flux'\] .* found Disc"),
    ({"priors": {"sigma": bp.Uniform(5.0, 6.0)}}, ValueError, "excludes the start, 1.8"),
    (
        {"priors": {"flux": stats.norm(9.0, 2.0)}, "sampler": bp.Sampler(engine="tempered")},
        ValueError,
        "sampler.engine='tempered' .* cannot take .* found one for 'flux' .* EmceeSampler",
    ),
    (
        {
            "priors": {"sigma": lambda sigma: -sigma, "x": stats.norm()},
            "sampler": bp.Sampler(engine="independence"),
            "psf_model": free_sigma(),
        },
        ValueError,
        "sampler.engine='independence' .* found one for 'sigma', 'x' in priors",
    ),
    ({"noise": 3.0}, TypeError, r"noise must be one of CCDNoise, .*, or None, found 3\.0"),
    ({"fit_background": True}, ValueError, "fit_background must be .* found True"),
    ({"fit_background": "x"}, ValueError, "fit_background must be .* found 'x'"),
    ({"fit_background": None}, ValueError, "fit_background must be .* found None"),
    ({"shape": "star"}, ValueError, "shape must be 'group', .* found 'star'"),
    ({"aperture_radius": 0}, ValueError, "aperture_radius must be positive .* found 0"),
    ({"aperture_radius": "3"}, TypeError, "aperture_radius must be a number, found '3'"),
    ({"max_group_size": 0}, ValueError, "max_group_size must be at least 1, found 0"),
    ({"max_group_size": 2.5}, TypeError, r"max_group_size must be an integer, found 2\.5"),
    ({"ci_prob": 68}, ValueError, "ci_prob must lie between 0 and 1, found 68"),
    ({"zero_point": np.nan}, ValueError, "zero_point must be finite, found nan"),
    ({"zero_point": "25"}, TypeError, "zero_point must be a number, found '25'"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1, or -1 for all cores, found 0"),
    ({"n_jobs": -2}, ValueError, "n_jobs must be at least 1, or -1 .* found -2"),
    ({"n_jobs": 2.0}, TypeError, r"n_jobs must be an integer, found 2\.0"),
    ({"executor": 4}, TypeError, "executor must be a concurrent.futures.Executor, .*found 4"),
    ({"progress_bar": "yes"}, TypeError, "progress_bar must be True or False, found 'yes'"),
    ({"seed": -1}, ValueError, "seed must be at least 0, found -1"),
    ({"seed": 1.5}, TypeError, r"seed must be an integer, found 1\.5"),
    ({"seed": 2**64}, ValueError, r"seed must be below 2\*\*64, found 18446744073709551616"),
    ({"niters": 2}, TypeError, "niters"),
]


@pytest.mark.parametrize(("settings", "error", "message"), SETTINGS)
def test_wrong_settings_are_refused_at_the_construction(settings, error, message):
    """Argument, value and what would be right."""
    with pytest.raises(error, match=message):
        configure(**settings)


def test_iteration_refuses_what_it_cannot_iterate():
    """No finder, no rounds."""
    with pytest.raises(ValueError, match="finder must be given"):
        configure(bp.IterativelySubtractedPSFPhotometry)
    with pytest.raises(ValueError, match="niters must be at least 1, found 0"):
        configure_loop(niters=0)
    with pytest.raises(TypeError, match=r"niters must be an integer, found 2\.5"):
        configure_loop(niters=2.5)
    with pytest.raises(TypeError, match="n_iters"):
        configure_loop(n_iters=2)


def test_daophot_refuses_the_stages_it_sets():
    """And wrong values of its own arguments, by their names."""
    model = bp.IntegratedGaussianPRF(sigma=2.0)
    with pytest.raises(TypeError, match="finder is what this class sets"):
        bp.DAOPhotPSFPhotometry(8, 9, 4, model, 11, finder=None)
    with pytest.raises(ValueError, match="crit_separation must be finite and >= 0, found -8"):
        bp.DAOPhotPSFPhotometry(-8, 9, 4, model, 11)
    with pytest.raises(ValueError, match="fwhm must be positive, found -4"):
        bp.DAOPhotPSFPhotometry(8, 9, -4, model, 11)


SAMPLERS = [
    (bp.Sampler, {"draws": 0}, ValueError, "draws must be at least 20, found 0"),
    (bp.Sampler, {"draws": 50.0}, TypeError, r"draws must be an integer, found 50\.0"),
    (bp.Sampler, {"chains": 1}, ValueError, "chains must be at least 4, found 1"),
    (bp.Sampler, {"keep": "none"}, ValueError, "keep must be 'all', 'summary' .* 'none'"),
    (bp.Sampler, {"keep": 0}, ValueError, "keep must be at least 1, found 0"),
    (bp.Sampler, {"max_r_hat": 1.0}, ValueError, "max_r_hat must be finite and above 1"),
    (bp.Sampler, {"engine": "emcee"}, ValueError, "engine must be 'independence', .* 'emcee'"),
    (bp.Sampler, {"engine": np.array(["a", "b"])}, ValueError, r"engine must be .* array\(\['a'"),
    (
        bp.Sampler,
        {"draws": 10**12},
        ValueError,
        "chains x draws must be at most 10000000, found 4 x 1000000000000 = 4000000000000",
    ),
    (bp.EmceeSampler, {"chains": 10**6}, ValueError, "chains x draws .* found 1000000 x 500"),
    (
        bp.Sampler,
        {"draws": 20, "min_ess": 1e9},
        ValueError,
        r"min_ess must be at most chains x draws = 80, .* found 1000000000\.0",
    ),
    (bp.EmceeSampler, {"min_ess": 2001}, ValueError, "min_ess must be at most .* = 2000, .* 2001"),
    (bp.Sampler, {"fallback": "emcee"}, TypeError, "fallback must be .* found 'emcee'"),
    (bp.EmceeSampler, {"walkers": 1}, ValueError, "walkers must be at least 4, found 1"),
    (bp.EmceeSampler, {"steps": 5}, ValueError, "steps must be at least 20, found 5"),
    (bp.EmceeSampler, {"max_steps": 30}, ValueError, "max_steps must be at least 500, found 30"),
    (bp.CCDNoise, {"gain": -1, "read_noise": 2}, ValueError, "gain must be positive .* -1"),
    (bp.CCDNoise, {"gain": "a", "read_noise": 2}, TypeError, "gain must be a number, found 'a'"),
    (bp.CCDNoise, {"gain": 1, "read_noise": -2}, ValueError, "read_noise must be .* found -2"),
]


@pytest.mark.parametrize(("kind", "settings", "error", "message"), SAMPLERS)
def test_wrong_settings_of_samplers_and_noise_are_refused(kind, settings, error, message):
    """At their construction."""
    with pytest.raises(error, match=message):
        kind(**settings)


def spoil_error() -> np.ndarray:
    """One negative number."""
    _, error, _ = make_trio()
    error[12, 40] = -1.0
    return error


IMAGE, ERROR, _ = make_trio()
CALLS = [
    ({"image": IMAGE[0]}, ValueError, r"image must be 2-D and not empty, found shape \(44,\)"),
    ({"image": IMAGE[None]}, ValueError, r"image must be 2-D .* found shape \(1, 36, 44\)"),
    ({"image": np.zeros((0, 5))}, ValueError, r"image must be 2-D .* found shape \(0, 5\)"),
    ({"image": "m92.fits"}, TypeError, "image must hold real numbers, found str: read the file"),
    ({"image": None}, TypeError, "image must hold real numbers, found NoneType"),
    ({"image": IMAGE + 0j}, TypeError, "image must hold real numbers, found dtype complex128"),
    ({"image": IMAGE > 3}, TypeError, "image must hold real numbers, found dtype bool"),
    ({"error": ERROR.T}, ValueError, r"error must have the shape of the image \(36, 44\)"),
    (
        {"error": spoil_error()},
        ValueError,
        r"error must be positive, found -1\.0 at \(y, x\) = \(12, 40\)",
    ),
    ({"error": -2}, ValueError, r"error must be positive, found -2\.0"),
    ({"error": "poisson"}, TypeError, "error must hold real numbers, found str"),
    ({"error": ERROR * u.adu}, ValueError, "error must be in the unit of the image: .* 'adu'"),
    (
        {"image": IMAGE * u.adu, "error": ERROR * u.s},
        ValueError,
        "error must be in the unit of the image: error has 's', image 'adu'",
    ),
    (
        {"image": NDData(IMAGE, uncertainty=StdDevUncertainty(spoil_error())), "error": None},
        ValueError,
        r"error must be positive, found -1\.0 at \(y, x\) = \(12, 40\)",
    ),
    ({"mask": IMAGE.T > 0}, ValueError, r"mask must have the shape of the image \(36, 44\)"),
    ({"mask": IMAGE}, TypeError, "mask must hold booleans, or 0 and 1, found dtype float64"),
    (
        {"mask": np.full(IMAGE.shape, 2)},
        ValueError,
        r"mask must hold booleans, or 0 and 1, found 2 at \(y, x\) = \(0, 0\)",
    ),
    ({"positions": None}, ValueError, "positions must be given where there is no finder"),
    ({"positions": [(1, 2)]}, TypeError, "positions must be a table .* found list"),
    ({"positions": np.zeros((3, 2))}, TypeError, "positions must be a table .* found ndarray"),
    (
        {"positions": Table({"ra": [1.0], "dec": [2.0]})},
        ValueError,
        "positions are on the sky and the image has no celestial WCS: give it as NDData",
    ),
    (
        {"positions": Table({"alpha": [1.0], "dec": [2.0]})},
        ValueError,
        "positions must have columns for x and y, spelled x_0 and y_0 .* found alpha, dec",
    ),
    (
        {"positions": Table({"x_0": ["a"], "y_0": [2.0]})},
        TypeError,
        "x_0 must hold real numbers",
    ),
    ({"positions": {"x_0": [1.0, 2], "y_0": [1.0]}}, ValueError, "y_0 must have 2 rows like x"),
    (
        {"positions": make_positions([1, 2], [3, 4], id=[1, 1])},
        ValueError,
        "id must be unique, found 1 more than once",
    ),
    (
        {"positions": make_positions([1, 2], [3, 4], id=[1.5, 2])},
        ValueError,
        r"id must hold 64-bit integers, found 1\.5",
    ),
    (
        {"positions": make_positions([1, 2], [3, 4], sigma_0=[1.0, -2.0])},
        ValueError,
        r"sigma_0 must be positive and finite, found -2\.0 in row 1",
    ),
    (
        {"positions": make_positions([1, 2], [3, 4], flux_0=[1, 2] * u.Jy)},
        ValueError,
        "flux_0 has the unit 'Jy'",
    ),
    (
        {"positions": Table({"x_0": [1] * u.arcsec, "y_0": [1] * u.arcsec})},
        ValueError,
        "x_0 has the unit 'arcsec', which does not convert to pix",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), CALLS)
def test_wrong_arguments_of_the_call_are_refused(trio, changes, error, message):
    """Shapes, types, units, values; and the configuration can be used again."""
    image, noise, positions = trio
    phot = configure(sampler=False)
    arguments = {"image": image, "error": noise, "positions": positions} | changes
    with pytest.raises(error, match=message):
        phot(**arguments)
    assert len(phot(image, error=noise, positions=positions)) == 3


def test_two_sources_of_noise_are_one_too_many(trio):
    """An error array and a CCD's noise."""
    image, error, positions = trio
    with pytest.raises(ValueError, match="error and noise both .* give one of them"):
        configure(noise=bp.CCDNoise(2.0, 3.0))(image, error=error, positions=positions)


def test_fixed_flux_needs_a_flux(trio):
    """There is nothing to hold it at."""
    image, error, positions = trio
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.flux.fixed = True
    with pytest.raises(ValueError, match="positions must have flux_0 .* none in row 0"):
        configure(psf_model=model)(image, error=error, positions=positions["x_0", "y_0"])


STAGES = [
    ({"finder": lambda data: np.zeros((3, 2))}, TypeError, "finder must return a table or None"),
    ({"finder": lambda data: Table({"a": [1]})}, ValueError, "table of finder .* found a"),
    ({"group_maker": lambda table: 3}, TypeError, "must return a table with a column group_id"),
    ({"group_maker": lambda x, y: [1]}, ValueError, r"labels of group_maker .* shape \(1,\)"),
    ({"bkg_estimator": lambda data: np.zeros(3)}, ValueError, r"sky level from .* \(3,\)"),
    ({"bkg_estimator": lambda data: np.nan}, ValueError, "sky level .* must be finite, found nan"),
    ({"bkg_estimator": lambda data: "a"}, TypeError, "sky level .* must be real numbers, .* 'a'"),
]


@pytest.mark.parametrize(("settings", "error", "message"), STAGES)
def test_what_stages_of_users_return_is_checked(trio, settings, error, message):
    """The stage is named."""
    image, noise, _ = trio
    with pytest.raises(error, match=message):
        configure_loop(sampler=False, **settings)(image, error=noise)


def test_exceptions_of_users_stages_come_through(trio):
    """Unchanged."""
    image, noise, _ = trio

    def fail(data, mask=None):
        raise RuntimeError("the user's own trouble")

    with pytest.raises(RuntimeError, match="the user's own trouble"):
        configure_loop(finder=fail)(image, error=noise)


def test_unusable_pixels_are_masked_with_one_warning(trio):
    """Non-finite data, zero and non-finite errors; all told in one line."""
    image, error, positions = trio
    spoilt, noise = image.copy(), error.copy()
    spoilt[3, 4], spoilt[3, 5] = np.nan, np.inf
    noise[20, 20], noise[20, 21], noise[20, 22] = 0.0, np.nan, np.inf
    with pytest.warns(AstropyUserWarning, match="masked 5 pixels: 2 .* 3 with zero") as caught:
        result = configure(sampler=False)(spoilt, error=noise, positions=positions)
    assert len(caught) == 1
    mask = np.zeros(image.shape, dtype=bool)
    mask[3, 4:6] = mask[20, 20:23] = True
    plain = configure(sampler=False)(image, error=error, mask=mask, positions=positions)
    assert_array_equal(result["flux_fit"], plain["flux_fit"])


def test_masked_pixels_are_not_warned_of(trio):
    """The user knows; a negative error there is no error either."""
    image, error, positions = trio
    spoilt, noise = image.copy(), error.copy()
    spoilt[3, 4], noise[3, 4] = np.nan, -1.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[3, 4] = True
    result = configure(sampler=False)(spoilt, error=noise, mask=mask, positions=positions)
    assert len(result) == 3


def test_folders_with_results_are_not_overwritten(trio, tmp_path):
    """Unless asked; what is there stays as it was."""
    image, error, positions = trio
    result = configure(sampler=False)(image, error=error, positions=positions)
    folder = result.write(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite=True"):
        result.write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    result.write(folder, overwrite=True)


def test_reading_what_is_not_there_names_it(tmp_path):
    """A folder, and a result in it."""
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        bp.PhotometryResult.read(tmp_path / "nothing_here")
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="empty"):
        bp.PhotometryResult.read(tmp_path / "empty")


def test_negative_counts_are_refused():
    image = np.full((21, 21), 4.0)
    image[3, 5] = -1.0
    phot = configure(noise=bp.PoissonNoise(), sampler=False)
    positions = {"x_0": [10.0], "y_0": [10.0]}
    with pytest.raises(ValueError, match=r"must hold counts.* found -1\.0 at \(y, x\) = \(3, 5\)"):
        phot(image, positions=Table(positions))
    mask = np.zeros(image.shape, dtype=bool)
    mask[3, 5] = True
    assert len(phot(image, mask=mask, positions=Table(positions))) == 1


@pytest.mark.parametrize("noise", [bp.CCDNoise(1.0, 1.0), bp.PoissonNoise()])
def test_noise_that_knows_its_variance_takes_no_error(noise):
    image = np.full((21, 21), 4.0)
    phot = configure(noise=noise, sampler=False)
    with pytest.raises(ValueError, match="error and noise both say"):
        phot(image, error=2.0, positions=Table({"x_0": [10.0], "y_0": [10.0]}))


@pytest.mark.parametrize("noise", [bp.StudentTNoise(4.0), bp.ContaminatedGaussian(0.01, 20.0)])
def test_outliers_need_no_error_and_say_where_their_scale_is_from(noise):
    rng = np.random.default_rng(8)
    image = 50.0 + rng.normal(0.0, 2.0, (41, 41))
    phot = configure(noise=noise, sampler=False, bkg_estimator=bp.MMMBackground())
    result = phot(image, positions=Table({"x_0": [20.0], "y_0": [20.0]}))
    assert repr(noise) in result.meta["noise"]
    assert "estimated" in result.meta["noise"]
