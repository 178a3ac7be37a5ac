"""The find-group-fit-subtract iteration: what it finds, what it refuses, that it ends."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import (
    SIGMA,
    configure,
    configure_loop,
    free_sigma,
    make_positions,
    make_trio,
    render_gaussians,
)

import bayesphot as bp
from bayesphot.datasets import make_bright_pair, make_four_stars

FWHM = 2.3548 * SIGMA


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


def run_tutorial(scene, *, separation, niters, free=False):
    """The tutorial's settings."""
    phot = bp.DAOPhotPSFPhotometry(
        crit_separation=separation,
        threshold=10.0,
        fwhm=4.7,
        psf_model=free_sigma(2.0) if free else bp.IntegratedGaussianPRF(sigma=2.0),
        fitshape=(11, 11),
        niters=niters,
        seed=1,
    )
    return phot(scene.image)


def assert_near_truth(result, truth):
    """Each true star has one row within 4.5 errors of position and flux."""
    assert len(result) == len(truth)
    for star in truth:
        distance = np.hypot(result["x_fit"] - star["x_0"], result["y_fit"] - star["y_0"])
        row = result.table[distance.argmin()]
        for name, value in (("x", star["x_0"]), ("y", star["y_0"]), ("flux", star["flux"])):
            assert abs(row[f"{name}_median"] - value) < 4.5 * row[f"{name}_err"], name


def nearest_pair(result) -> float:
    """Smallest distance between two rows' starts."""
    x, y = np.asarray(result["x_0"]), np.asarray(result["y_0"])
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    return distance[np.triu_indices(len(x), 1)].min(initial=np.inf)


@pytest.mark.parametrize("niters", [1, 2, 3, None])
def test_four_overlapping_stars_are_one_group_at_the_truth(niters):
    """All four in one joint posterior."""
    scene = make_four_stars()
    result = run_tutorial(scene, separation=9.0, niters=niters)
    assert result["group_size"].tolist() == [4] * 4
    assert_near_truth(result, scene.truth)


@pytest.mark.parametrize("niters", [2, 3, None])
@pytest.mark.parametrize("free", [True, False])
def test_bright_star_with_a_companion_is_two_rows(niters, free):
    """Found in rounds 1 and 2, at the truth; no third row, no negative flux."""
    scene = make_bright_pair()
    result = run_tutorial(scene, separation=9.0, niters=niters, free=free)
    assert result["iter_detected"].tolist() == [1, 2]
    assert result["group_size"].tolist() == [2, 2]
    if free:
        # With sigma fixed at 2 the point-sampled stars are a little too narrow for the PRF.
        assert_near_truth(result, scene.truth)
        # Point-sampled Gaussians look narrower than integrated ones: s^2 - 1/12 at 2 pixels.
        expected = np.sqrt(4.0 - 1.0 / 12.0)
        assert abs(result["sigma_median"][0] - expected) < 4.5 * result["sigma_err"][0]


def test_sequential_numbers_do_not_come_out():
    """Fluxes of fits that never see both stars at once: 10478.18 and 772.88."""
    result = run_tutorial(make_bright_pair(), separation=9.0, niters=2, free=True)
    bright, faint = result["flux_fit"]
    assert abs(bright - 10478.18) > 200.0
    assert abs(faint - 772.88) > 100.0


def test_detection_refits_its_whole_group_from_the_image():
    """Both rows are those of a fit started with both stars; the first has moved."""
    scene = make_bright_pair()
    found = run_tutorial(scene, separation=9.0, niters=3)
    alone = run_tutorial(scene, separation=9.0, niters=1)
    settings = {
        "psf_model": bp.IntegratedGaussianPRF(sigma=2.0),
        "fitshape": (11, 11),
        "group_maker": bp.DAOGroup(9.0),
        "bkg_estimator": bp.MMMBackground(),
        "sampler": False,
    }
    given = make_positions(found["x_0"], found["y_0"], flux_0=np.asarray(found["flux_0"]))
    joint = bp.BasicPSFPhotometry(**settings)(scene.image, positions=given)
    # The scatter that stands for the error is that of slightly different residuals.
    assert_allclose(found["flux_fit"], joint["flux_fit"], rtol=2e-3)
    assert abs(alone["flux_fit"][0] / found["flux_fit"][0] - 1.0) > 4e-3


def test_groups_that_did_not_change_keep_their_fit(trio):
    """A companion found in one group leaves the other group's fit alone."""
    image, error, positions = trio
    few = positions[[0, 2]]
    before = configure(sampler=False, bkg_estimator=20.0, fit_background=False)(
        image, error=error, positions=few
    )
    after = configure_loop(sampler=False, bkg_estimator=20.0, fit_background=False)(
        image, error=error, positions=few
    )
    assert len(after) == 3
    assert_array_equal(after["iter_detected"], [1, 1, 2])
    assert_allclose(after["flux_fit"][1], before["flux_fit"][1], rtol=1e-6)
    assert abs(after["flux_fit"][0] / before["flux_fit"][0] - 1.0) > 0.01


def test_one_pass_measures_given_positions_only(trio):
    """A finder is not asked where positions are given, by the one-pass class or in one round."""
    image, error, positions = trio
    finder = bp.DAOStarFinder(fwhm=FWHM, nsigma=5.0)
    settings = {"finder": finder, "sampler": False}
    assert len(configure(**settings)(image, error=error, positions=positions[:1])) == 1
    assert len(configure_loop(niters=1, sampler=False)(image, error, None, positions[:1])) == 1
    assert len(configure(**settings)(image, error=error)) == 3


@pytest.mark.parametrize("shape", ["group", "image", "source"])
def test_iteration_with_free_sigma_ends_with_the_stars(trio, shape):
    """Until nothing is found."""
    image, error, _ = trio
    phot = configure_loop(psf_model=free_sigma(), shape=shape, niters=None)
    result = phot(image, error=error)
    truth = Table({"x_0": [12.3, 17.1, 31.6], "y_0": [14.8, 15.9, 24.2], "flux": [1500, 900, 1200]})
    assert_near_truth(result, truth)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("width", [1.2, 1.8, 2.6])
def test_iteration_ends_where_the_psf_is_wrong(width, free):
    """A bright star under a PSF too narrow or too wide: no row on top of another."""
    image = render_gaussians((60, 60), [28.3, 45.0], [30.1, 12.0], [2e5, 3e3], 1.8)
    image = image + np.random.default_rng(2).normal(20.0, 3.0, image.shape)
    model = free_sigma(width) if free else bp.IntegratedGaussianPRF(sigma=width)
    phot = configure_loop(psf_model=model, niters=None, sampler=False, max_group_size=8)
    # Compiled before the clock runs.
    phot(image[18:43, 16:41], error=3.0)
    start = time.process_time()
    result = phot(image, error=3.0)
    assert time.process_time() - start < 20.0
    assert nearest_pair(result) >= 0.5 * 2.3548 * width * 0.99
    assert np.all(result["flux_fit"] > 0.0)
    if free:
        # A free width explains the star: nothing is left to be found.
        assert len(result) == 2


@pytest.mark.parametrize("nsigma", [1.0, 2.0, 5.0])
def test_iteration_ends_on_pure_noise(nsigma):
    """With a finder that fires everywhere; later rounds add nothing that is not there."""
    image = np.random.default_rng(4).normal(20.0, 3.0, (40, 40))
    finder = bp.DAOStarFinder(fwhm=FWHM, nsigma=nsigma)
    with warnings.catch_warnings():
        # At 5 sigma nothing is found, and the run says so: test_contract checks that it does.
        warnings.filterwarnings("ignore", "no source was found", AstropyUserWarning)
        once = configure_loop(finder=finder, niters=1, sampler=False)(image, error=3.0)
        result = configure_loop(finder=finder, niters=None, sampler=False)(image, error=3.0)
    assert len(result) - len(once) <= 1
    if nsigma == 5.0:
        assert len(result) == 0


class Mischief:
    """Finders that give the loop no rest."""

    def __init__(self, kind: str):
        self.kind = kind
        self.random = np.random.default_rng(1)
        self.calls = 0

    def __call__(self, data, mask=None):
        self.calls += 1
        ny, nx = data.shape
        if self.kind == "same place":
            x, y = [12.3], [14.8]
        elif self.kind == "random places":
            x, y = self.random.uniform(0, nx - 1, 40), self.random.uniform(0, ny - 1, 40)
        elif self.kind == "everywhere":
            y, x = (grid.ravel().astype(float) for grid in np.mgrid[0:ny:3, 0:nx:3])
        elif self.kind == "creeping":
            x, y = [12.3 + 2.0 * self.calls], [14.8]
        else:
            x, y = [np.nan, -50.0, 1e9, 31.6], [3.0, 4.0, 5.0, 24.2]
        return Table({"xcentroid": x, "ycentroid": y})


@pytest.mark.parametrize(
    "kind", ["same place", "random places", "everywhere", "creeping", "outside"]
)
def test_iteration_ends_with_finders_that_never_stop(trio, kind):
    """Every round must bring news; phantoms of negative flux are no news."""
    image, error, positions = trio
    finder = Mischief(kind)
    # Compiled before the clock runs.
    configure_loop(niters=2, sampler=False)(image, error=error, positions=positions)
    start = time.process_time()
    result = configure_loop(finder=finder, niters=None, sampler=False)(
        image, error=error, positions=positions
    )
    assert time.process_time() - start < 20.0
    # The three stars are all there is.
    assert len(result) == 3
    assert finder.calls < 200


def test_phantoms_of_negative_flux_are_not_kept(trio):
    """A detection on a hole: real in chi-squared, but no source."""
    image, error, positions = trio
    holed = image - render_gaussians(image.shape, [36.0], [8.0], [1500.0], SIGMA)
    finder = Table({"xcentroid": [36.0], "ycentroid": [8.0]})
    result = configure_loop(finder=lambda data: finder, niters=None, sampler=False)(
        holed, error=error, positions=positions
    )
    assert len(result) == 3


def test_detection_on_top_of_a_source_is_refused(trio):
    """A start within half a FWHM of a source is covered by it."""
    image, error, positions = trio
    table = Table({"xcentroid": positions["x_0"] + 0.4 * FWHM, "ycentroid": positions["y_0"]})
    result = configure_loop(finder=lambda data: table, niters=None, sampler=False)(
        image, error=error, positions=positions
    )
    assert len(result) == 3


def test_groups_given_by_the_user_are_kept(trio):
    """Apart though near, together though far; gaps in their numbers do not matter."""
    image, error, positions = trio
    positions = positions.copy()
    positions["group_id"] = [900, 5, 900]
    for maker in (None, bp.DAOGroup(8.0)):
        result = configure(group_maker=maker, sampler=False)(
            image, error=error, positions=positions
        )
        assert result["group_id"].tolist() == [1, 2, 1]
        assert result["group_size"].tolist() == [2, 1, 2]


def test_missing_group_ids_are_made(trio):
    """-1: wherever the group maker puts it."""
    image, error, positions = trio
    positions = positions.copy()
    positions["group_id"] = [40, -1, 40]
    result = configure(sampler=False)(image, error=error, positions=positions)
    assert result["group_size"].tolist() == [3, 3, 3]


def test_new_sources_elsewhere_do_not_change_groups_given_by_the_user(trio):
    """The pair stays apart when the third star is found."""
    image, error, positions = trio
    given = positions[:2]
    given["group_id"] = [2, 1]
    result = configure_loop(sampler=False)(image, error=error, positions=given)
    assert len(result) == 3
    assert result["group_size"].tolist() == [1, 1, 1]


def test_new_sources_join_the_group_of_their_neighbour(trio):
    """The pair's second star is found beside the first, which was given a group."""
    image, error, positions = trio
    given = positions[[0, 2]]
    given["group_id"] = [2, 1]
    result = configure_loop(sampler=False)(image, error=error, positions=given)
    assert result["group_size"].tolist() == [2, 1, 2]


def test_without_group_maker_every_source_is_alone(trio):
    """Neighbours are subtracted, not fitted together."""
    image, error, positions = trio
    result = configure(group_maker=None, sampler=False)(image, error=error, positions=positions)
    assert result["group_size"].tolist() == [1, 1, 1]
    joint = configure(sampler=False)(image, error=error, positions=positions)
    difference = result["flux_fit"] - joint["flux_fit"]
    # Alternating fits settle where the joint fit is, to the tolerance of the wings.
    assert np.all(np.abs(difference) < 0.5 * joint["flux_fit_err"])


def test_large_groups_are_split_and_say_so():
    """Nine stars, four at most: smaller groups, flagged, and still at the truth."""
    y, x = (grid.ravel() for grid in np.mgrid[12.0:31.0:7.0, 12.0:31.0:7.0])
    flux = np.linspace(1500.0, 3000.0, 9)
    image = render_gaussians((44, 44), x, y, flux, SIGMA)
    image = image + np.random.default_rng(3).normal(20.0, 3.0, image.shape)
    positions = make_positions(x, y)
    whole = configure()(image, error=3.0, positions=positions)
    assert whole["group_size"].tolist() == [9] * 9
    assert_array_equal(whole["flags"] & bp.Flag.FROZEN_NEIGHBOURS, 0)
    split = configure(max_group_size=4)(image, error=3.0, positions=positions)
    assert split["group_size"].max() <= 4
    assert np.all(split["flags"] & bp.Flag.FROZEN_NEIGHBOURS)
    assert_allclose(split["flux_fit"], whole["flux_fit"], atol=0.5 * whole["flux_fit_err"].max())
    limited = configure(max_group_size=None)(image, error=3.0, positions=positions)
    assert_array_equal(limited["flux_median"], whole["flux_median"])
