"""A companion by the samplers: agreement with the map, and what the confirmation holds."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS
from companion_scene import FWHM, MODEL, SKY, simulate

import bayesphot as bp

TARGET = (20.3, 19.8, 12000.0)
COMPANION = (17.4, 21.5, 1500.0)
NEIGHBOUR = (29.0, 27.0, 6000.0)


@pytest.fixture(scope="module")
def pair():
    image, error = simulate(TARGET, COMPANION, seed=8)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    return found, found.confirm(seed=1)


def test_the_result_holds_target_and_companion(pair):
    _, confirmed = pair
    table = confirmed.result.table
    assert list(table["id"]) == [1, confirmed.companion]
    assert set(table["group_id"]) == {1}
    assert not np.any(table["flags"])
    for row, truth in zip(table, (TARGET, COMPANION), strict=True):
        for name, value in zip(("x", "y", "flux"), truth, strict=True):
            # Six numbers, one in 10 000 of them all by chance.
            assert abs(row[f"{name}_median"] - value) < 4.4 * row[f"{name}_err"]
    assert confirmed.result.posterior.sizes["draw"] == 500


def test_the_evidence_is_that_of_the_map(pair):
    found, confirmed = pair
    assert 0.0 < confirmed.log_evidence_ratio_err < 0.1
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.3)
    assert confirmed.p_companion == pytest.approx(found.p_companion, abs=1e-6)


@pytest.mark.parametrize(
    ("apart", "magnitudes", "flux"),
    [(1.09, 0.64, 6e3), (0.98, 0.34, 1.5e4), (1.19, 1.4, 8e5), (1.09, 0.39, 4e5), (1.6, 2.4, 6e5)],
)
def test_the_evidence_is_that_of_the_map_however_bright_the_pair_is(apart, magnitudes, flux):
    """The target alone is a bad fit then: its image must be exact, its curvature the true one."""
    move = apart * FWHM * np.array([np.cos(0.7), np.sin(0.7)])
    second = (*(20.2 + move), 10.0 ** (-0.4 * magnitudes) * flux)
    image, error = simulate((20.2, 20.2, flux), second, seed=21)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    assert found.confirm(seed=1).log_evidence_ratio == pytest.approx(
        found.log_evidence_ratio, abs=0.1
    )


def test_a_brighter_companion_leaves_the_target_where_it_is_found():
    """The fainter of the two is the companion, and the target a FWHM from where it was looked for.

    It was beyond the disc of its place: samplers stuck at its edge, for seconds.
    """
    one, two = (20.3, 19.8, 92000.0), (23.3, 21.8, 93500.0)
    image, error = simulate(one, two, seed=5)
    prior = bp.CompanionPrior(flux_ratio=bp.LogUniform(1e-2, 1.0))
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, prior=prior)
    confirmed = found.confirm(seed=1)
    assert np.hypot(found.best.x - one[0], found.best.y - one[1]) < 0.1
    target, companion = confirmed.result.table
    assert not np.any(confirmed.result["flags"])
    for row, truth in ((target, two), (companion, one)):
        for name, value in zip(("x", "y", "flux"), truth, strict=True):
            assert abs(row[f"{name}_median"] - value) < 4.4 * row[f"{name}_err"]
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.1)


@pytest.mark.parametrize(("apart", "ratio"), [(2.44, 1.15), (1.82, 1.08), (2.98, 1.15)])
def test_a_target_alone_is_the_brighter_of_two_stars_apart(apart, ratio):
    """It was the one at which the fit began, and evidence was that of another star."""
    move = apart * FWHM * np.array([np.cos(2.1), np.sin(2.1)])
    one, two = (20.2, 20.1, 50000.0), (20.2 + move[0], 20.1 + move[1], 50000.0 * ratio)
    image, error = simulate(one, two, seed=31)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    assert found.target[:2] == pytest.approx(two[:2], abs=0.6)
    confirmed = found.confirm(seed=1)
    assert not np.any(confirmed.result["flags"])
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.3)


def test_the_pair_is_that_of_the_map(pair):
    found, confirmed = pair
    by_map, by_draws = found.pair(4000, seed=2), confirmed.pair()
    assert by_draws.resolved
    for name in ("separation", "flux_ratio"):
        one, two = getattr(by_map, name), getattr(by_draws, name)
        # Means of 4000 and of at least 400 effective draws.
        error = float(two.std())
        assert abs(float(one.mean() - two.mean())) < 4.0 * error * np.hypot(400**-0.5, 4000**-0.5)
        assert float(one.std()) == pytest.approx(error, rel=4.0 * np.sqrt(0.5 / 400))


def test_the_same_seed_has_the_same_draws(pair):
    found, confirmed = pair
    again, other = found.confirm(seed=1), found.confirm(seed=2)
    assert again.log_evidence_ratio == confirmed.log_evidence_ratio
    here, there = (each.result.posterior["flux"].values for each in (again, confirmed))
    np.testing.assert_array_equal(here, there)
    assert not np.array_equal(other.result.posterior["flux"].values, here)


@pytest.mark.parametrize("sky", [False, "prior", "flat", "plane"])
def test_evidences_have_the_same_sky_with_and_without_a_companion(sky):
    image, error = simulate(TARGET, COMPANION, seed=18)
    estimator = SKY if sky is False else bp.MMMBackground()
    found = bp.companion_map(
        image, MODEL, (20.0, 20.0), error=error, fit_background=sky, bkg_estimator=estimator
    )
    confirmed = found.confirm(seed=1)
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.3)


def test_a_target_alone_is_not_confirmed():
    image, error = simulate(TARGET, seed=9)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    confirmed = found.confirm(seed=1)
    assert confirmed.p_companion < 0.5
    # The best place is one of many: the map counts them all.
    assert confirmed.log_evidence_ratio < found.log_evidence_ratio + 0.3


def test_neighbours_are_sampled_too():
    image, error = simulate(TARGET, COMPANION, NEIGHBOUR, seed=10)
    neighbours = {"x_0": [NEIGHBOUR[0]], "y_0": [NEIGHBOUR[1]]}
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, neighbours=neighbours)
    confirmed = found.confirm(seed=1)
    assert list(confirmed.result.table["id"]) == [1, 2, 3]
    assert confirmed.companion == 3
    row = confirmed.result.table[1]
    assert abs(row["flux_median"] - NEIGHBOUR[2]) < 4.0 * row["flux_err"]
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, abs=0.3)


def test_the_noise_is_that_of_the_gain():
    image, _ = simulate(TARGET, COMPANION, seed=11)
    found = bp.companion_map(
        image, MODEL, (20.0, 20.0), noise=bp.CCDNoise(gain=1.0, read_noise=0.0), bkg_estimator=SKY
    )
    confirmed = found.confirm(seed=1)
    row = confirmed.result.table[-1]
    assert abs(row["flux_median"] - COMPANION[2]) < 4.0 * row["flux_err"]
    # By the likelihood itself, where the map has the normal with the variance of its fit.
    assert confirmed.log_evidence_ratio == pytest.approx(found.log_evidence_ratio, rel=0.1)


def test_directions_come_from_the_image():
    image, error = simulate(TARGET, COMPANION, seed=12)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cdelt = (20.0, 20.0), (83.0, 10.0), (-1e-5, 1e-5)
    from astropy.nddata import NDData, StdDevUncertainty

    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=wcs)
    pair = bp.companion_map(data, MODEL, (20.0, 20.0)).confirm(seed=1).pair()
    dx, dy = COMPANION[0] - TARGET[0], COMPANION[1] - TARGET[1]
    # East is on the left.
    angle = np.degrees(np.arctan2(-dx, dy)) % 360.0
    row = pair.summary()[0]
    assert abs(row["position_angle_median"].value - angle) < 4.0 * row["position_angle_err"].value
    assert row["separation_arcsec_median"].value == pytest.approx(0.036 * np.hypot(dx, dy), rel=0.1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"draws": 5}, "draws"), ({"chains": 1}, "chains"), ({"seed": -1}, "seed")],
)
def test_numbers_out_of_range_are_refused(pair, given, problem):
    with pytest.raises(ValueError, match=problem):
        pair[0].confirm(**given)
