"""The companion map against fits and bounds that are computed here, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from companion_scene import FWHM, MODEL, SIGMA, SKY, render, simulate
from scipy.optimize import least_squares
from scipy.stats import norm

import bayesphot as bp
from bayesphot.companions.basis import cross_places, make_basis
from bayesphot.companions.moving import MovingImage, evaluate_terms, render_units
from bayesphot.companions.profile import fit_alone, fit_crossed, fit_places
from bayesphot.companions.trials import open_bench
from bayesphot.companions.weigh import HALF
from bayesphot.kernels.pairs import FARTHEST
from bayesphot.psf import describe_psf

PAIR = ((20.3, 19.8, 12000.0), (17.4, 21.5, 1500.0))


@pytest.fixture(scope="module")
def pair():
    image, error = simulate(*PAIR, seed=8)
    return image, error, bp.companion_map(image, MODEL, (20.0, 20.0), error=error)


@pytest.fixture(scope="module")
def single():
    image, error = simulate(PAIR[0], seed=9)
    return image, error, bp.companion_map(image, MODEL, (20.0, 20.0), error=error)


def test_a_moving_image_is_a_polynomial_of_its_place():
    psf, window = describe_psf(MODEL), (25, 25, 3, 5)
    shape = psf.columns_start
    moving = MovingImage.expand(psf, (17.2, 15.4), 0.2 * FWHM, window, shape)
    worst = 0.0
    for u, v in ((0.0, 0.0), (0.5, -0.7), (1.0, 1.0), (-1.0, 0.3)):
        place = np.array(moving.anchor) + moving.half * np.array([u, v])
        light = render_units(psf.data, place[None], window, shape)[0]
        terms = evaluate_terms(np.array(u), np.array(v))
        left = np.linalg.norm(terms @ moving.images - light) / np.linalg.norm(light)
        worst = max(worst, float(left))
    # An eighth of the noise beside a target of SNR 1000.
    assert worst < 1.25e-4
    # No error at all about the anchor.
    light = render_units(psf.data, np.array([moving.anchor]), window, shape)[0]
    np.testing.assert_allclose(moving.images[0], light, rtol=1e-14)


@pytest.mark.parametrize("place", [(17.4, 21.5), (18.0, 20.0), (24.0, 15.0), (21.3, 19.0)])
def test_fits_at_a_place_are_those_on_the_pixels(pair, place):
    image, error, found = pair
    stamp = found._search.stamp
    rows, columns, first_row, first_column = stamp.window
    here = np.s_[first_row : first_row + rows, first_column : first_column + columns]

    def residual(p):
        x, y, flux, sky, other = p
        model = sky + render(x, y, flux) + render(*place, other)
        prior = (np.array([x, y]) - stamp.start) / FWHM
        return np.concatenate([((image - model) / error)[here].ravel(), prior])

    start = [20.3, 19.8, 12000.0, 100.0, 100.0]
    exact = least_squares(residual, start, x_scale=[0.1, 0.1, 100, 1, 100], xtol=1e-12)
    joint = fit_places(
        found._search.basis, np.array([place[0]]), np.array([place[1]]), found._search.alone.state
    )
    # The polynomial errs by 4e-4 of a target of SNR 100.
    assert 2.0 * exact.cost == pytest.approx(joint.chi2[0], abs=0.05)
    covariance = np.linalg.inv(exact.jac.T @ exact.jac)
    sd = np.sqrt(covariance[4, 4])
    assert joint.flux[0] == pytest.approx(exact.x[4], abs=0.02 * sd)
    assert joint.information[0] ** -0.5 == pytest.approx(sd, rel=0.01)
    assert joint.target[0] == pytest.approx(exact.x[:3], rel=1e-3)


def test_targets_that_would_leave_the_square_are_fitted_at_its_edge():
    # As bright as the target: where the companion is not, the target moves farther than it may.
    target, other = (20.0, 20.0, 40000.0), (23.5, 20.0, 40000.0)
    image, error = simulate(target, other, seed=12)
    found = bp.companion_map(image, MODEL, target[:2], error=error)
    stamp = found._search.stamp
    basis = make_basis(stamp, target[:2], HALF * FWHM, FWHM)
    rows, columns, first_row, first_column = stamp.window
    here = np.s_[first_row : first_row + rows, first_column : first_column + columns]
    most = FARTHEST * basis.moving.half
    x, y = np.array([16.0, 20.0, 20.0, 25.0]), np.array([20.0, 26.0, 14.0, 24.0])
    joint = fit_places(basis, x, y, np.array([target[2], 0.0, 0.0, 0.0]))
    for k in range(x.size):

        def residual(p, place=(x[k], y[k])):
            model = p[3] + render(*p[:3]) + render(*place, p[4])
            prior = (p[:2] - stamp.start) / FWHM
            return np.concatenate([((image - model) / error)[here].ravel(), prior])

        low = [20.0 - most, 20.0 - most, -np.inf, -np.inf, -np.inf]
        high = [20.0 + most, 20.0 + most, np.inf, np.inf, np.inf]
        exact = least_squares(residual, [20.0, 20.0, 4e4, 100.0, 100.0], bounds=(low, high),
                              x_scale=[0.1, 0.1, 100, 1, 100], xtol=1e-12)  # fmt: skip
        assert exact.x[0] == pytest.approx(high[0], abs=1e-4)
        assert joint.target[k, 0] == pytest.approx(high[0], abs=1e-9)
        # Nearly all of what differs is the polynomial, which errs by 1e-4 of the target there.
        sd = joint.information[k] ** -0.5
        assert joint.flux[k] == pytest.approx(exact.x[4], abs=0.03 * sd)
        assert joint.chi2[k] == pytest.approx(2.0 * exact.cost, rel=1e-4)


def test_errors_at_places_reach_the_bound_of_fisher(single):
    _, error, found = single
    stamp = found._search.stamp
    rows, columns, first_row, first_column = stamp.window
    here = np.s_[first_row : first_row + rows, first_column : first_column + columns]
    x, y, flux = PAIR[0]
    step = 1e-4
    by_x = flux * (render(x + step, y, 1.0) - render(x - step, y, 1.0)) / (2 * step)
    by_y = flux * (render(x, y + step, 1.0) - render(x, y - step, 1.0)) / (2 * step)
    for separation in (0.5, 0.75, 1.0, 2.0):
        for angle in (0.3, 2.2, 4.5):
            place = (
                x + separation * FWHM * np.cos(angle),
                y + separation * FWHM * np.sin(angle),
            )
            columns_ = [by_x, by_y, render(x, y, 1.0), np.ones_like(by_x), render(*place, 1.0)]
            design = np.stack([(c / error)[here].ravel() for c in columns_])
            bound = np.sqrt(np.linalg.inv(design @ design.T)[4, 4])
            joint = fit_places(found._search.basis, *np.array(place)[:, None],
                               found._search.alone.state)  # fmt: skip
            # A noisy image moves target and companion: 5 % at half a FWHM, 0.05 mag.
            assert joint.information[0] ** -0.5 == pytest.approx(bound, rel=0.05)


def test_a_companion_is_found_where_it_is(pair):
    *_, found = pair
    best, truth = found.best, PAIR[1]
    assert found.p_companion > 0.999
    # Five times FWHM / SNR, SNR 20 beside the target; five errors of the flux.
    assert np.hypot(best.x - truth[0], best.y - truth[1]) < 5 * 0.6 * FWHM / 20
    assert abs(best.flux - truth[2]) < 5 * best.flux_err
    assert best.separation == pytest.approx(np.hypot(2.9, 1.7), abs=0.5)
    assert best.flux_ratio == pytest.approx(0.125, abs=0.03)


def test_no_companion_is_found_where_there_is_none(single):
    *_, found = single
    assert found.p_companion < 0.5
    assert found.contrast_curve()["delta_mag"][-1] > 4.0


def test_draws_have_the_covariance_of_the_fit(pair):
    image, error, found = pair
    stamp = found._search.stamp
    rows, columns, first_row, first_column = stamp.window
    here = np.s_[first_row : first_row + rows, first_column : first_column + columns]

    def residual(p):
        model = p[6] + render(*p[:3]) + render(*p[3:6])
        return ((image - model) / error)[here].ravel()

    start = [*PAIR[0], *PAIR[1], SKY]
    exact = least_squares(residual, start, x_scale=[0.1, 0.1, 100, 0.1, 0.1, 100, 1], xtol=1e-12)
    covariance = np.linalg.inv(exact.jac.T @ exact.jac)[:6, :6]
    draws = found.draw(20000, seed=2)
    names = ("x_target", "y_target", "flux_target", "x", "y", "flux")
    sample = np.stack([np.asarray(draws[name]) for name in names])
    sd = np.sqrt(np.diag(covariance))
    # The posterior is not quite normal at SNR 20: a tenth of the errors.
    np.testing.assert_allclose(sample.mean(axis=1), exact.x[:6], atol=0.2 * sd.max() + 1, rtol=0.02)
    np.testing.assert_allclose(sample.std(axis=1), sd, rtol=0.12)
    shape = np.corrcoef(sample) - covariance / sd / sd[:, None]
    assert np.abs(shape).max() < 0.1


def test_few_places_at_a_separation_have_no_more_false_alarms(single):
    *_, found = single
    bench = open_bench(found._search, (20.0, 20.0), 2.0 * FWHM)
    n = 6
    curve = found.contrast_curve()
    assert curve["n_places"][np.argmin(np.abs(curve["separation"] - FWHM))] == n
    angle = 2.0 * np.pi * np.arange(n) / n
    x, y, _ = found.target
    ring = cross_places(bench.search.basis, x + FWHM * np.cos(angle), y + FWHM * np.sin(angle))
    n_image = 3000
    z = np.empty((n_image, n))
    for k in range(n_image):
        data = bench.simulate(np.random.default_rng([5, k]))
        basis = bench.search.basis.change_data(data)
        joint = fit_crossed(basis, ring.change_data(data), fit_alone(basis).state)
        z[k] = joint.flux * np.sqrt(joint.information)
    # A normal exceeds 3 in 24.3 of 18 000, by chance in 4.9 more or less: 4 of these.
    expected = norm.sf(3.0) * z.size
    assert abs(np.sum(z > 3.0) - expected) < 4.0 * np.sqrt(expected)


def test_upper_limits_hold_their_probability(single):
    *_, found = single
    limit = found.upper_limit(0.95)
    assert limit.shape == found.x.shape
    finite = np.isfinite(found.flux_err)
    # A place without a signal: 1.645 errors for a flux of 0, 1.96 for the half normal.
    quiet = finite & (np.abs(found.z) < 0.02)
    np.testing.assert_allclose(limit[quiet] / found.flux_err[quiet], 1.96, atol=0.03)
    assert (found.upper_limit(0.5)[finite] < limit[finite]).all()


def test_known_neighbours_are_no_companions():
    target, near = (20.0, 20.0, 12000.0), (26.0, 21.0, 9000.0)
    image, error = simulate(target, near, seed=4)
    alone = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    known = Table({"x_0": [near[0]], "y_0": [near[1]]})
    both = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, neighbours=known)
    assert alone.p_companion > 0.999
    assert both.p_companion < 0.5
    # At the neighbour's place nothing can be said.
    at = np.argmin(np.hypot(both.x - near[0], both.y - near[1]))
    assert both.flux_err.flat[at] > 5 * both.flux_err.flat[0]


def test_a_psf_that_may_be_wrong_widens_the_errors():
    image, error = simulate((20.3, 19.8, 400000.0), seed=9)
    wrong = bp.IntegratedGaussianPRF(sigma=0.98 * SIGMA)
    sure = bp.companion_map(image, wrong, (20.0, 20.0), error=error)
    modes = bp.companion_map(
        image, wrong, (20.0, 20.0), error=error, psf_error=bp.PSFError(width=0.02)
    )
    # SNR 630: the PSF is wrong by many errors, and a companion is the only way out.
    assert sure.log_evidence_ratio > 10.0
    assert modes.p_companion < 0.5
    near = (modes.separation > 0.5 * FWHM) & (modes.separation < 0.7 * FWHM)
    assert np.median(modes.flux_err[near] / sure.flux_err[near]) > 1.05


def test_the_expansion_follows_an_equal_pair():
    first, second = (18.6, 20.0, 20000.0), (21.5, 20.4, 20000.0)
    image, error = simulate(first, second, seed=5)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error)
    assert found._search.moved is not None
    best = found.best
    # Either may be called the companion.
    assert min(np.hypot(best.x - s[0], best.y - s[1]) for s in (first, second)) < 0.1
    assert best.separation == pytest.approx(np.hypot(2.9, 0.4), abs=0.1)
    assert best.flux_ratio == pytest.approx(1.0, abs=0.05)


def test_it_shows_itself(pair, tmp_path):
    *_, found = pair
    assert "p_companion 1" in repr(found)
    path = tmp_path / "map.png"
    found.plot(path=path)
    assert path.stat().st_size > 10_000
    curve = found.contrast_curve()
    assert curve.colnames == ["separation", "contrast", "delta_mag", "upper_limit", "n_places"]
    assert (np.diff(curve["separation"]) > 0.0).all()


@pytest.mark.parametrize(
    ("change", "problem", "word"),
    [
        ({"target": (200.0, 20.0)}, ValueError, "cannot be measured"),
        ({"target": (np.nan, 20.0)}, ValueError, "target x"),
        ({"target": 20.0}, TypeError, "target"),
        ({"prior": 0.5}, TypeError, "CompanionPrior"),
        ({"radius": -1.0}, ValueError, "radius"),
        ({"step": 0.0}, ValueError, "step"),
        ({"step": 50.0}, ValueError, "step"),
        ({"box": 36}, ValueError, "odd"),
        ({"box": 7}, ValueError, "box"),
        ({"neighbours": Table({"a": [1.0]})}, ValueError, "neighbours"),
        ({"neighbours": Table({"x_0": [np.nan], "y_0": [3.0]})}, ValueError, "neighbours"),
        ({"neighbours": Table({"x_0": [20.1], "y_0": [20.0]})}, ValueError, "neighbours"),
        ({"radius": 500.0}, ValueError, "too many places"),
    ],
)
def test_bad_arguments_are_refused(single, change, problem, word):
    image, error, _ = single
    target = change.pop("target", (20.0, 20.0)) if "target" in change else (20.0, 20.0)
    with pytest.raises(problem, match=word):
        bp.companion_map(image, MODEL, target, error=error, **change)


def test_a_free_shape_is_refused(single):
    image, error, _ = single
    free = bp.IntegratedGaussianPRF(sigma=SIGMA)
    free.sigma.fixed = False
    with pytest.raises(ValueError, match="fixed shape"):
        bp.companion_map(image, free, (20.0, 20.0), error=error)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"probability": 0.0}, ValueError),
        ({"probability": 1.0}, ValueError),
        ({"probability": "x"}, TypeError),
        ({"flux_ratio": 0.1}, TypeError),
        ({"flux_ratio": bp.Uniform()}, ValueError),
        ({"flux": bp.Uniform}, TypeError),
    ],
)
def test_bad_priors_are_refused(arguments, problem):
    with pytest.raises(problem):
        bp.CompanionPrior(**arguments)


def test_the_pair_is_that_of_the_draws(pair):
    *_, found = pair
    posterior = found.pair(4000, seed=1, pixel_scale=0.1, north=0.0)
    truth = np.array(PAIR[1]) - PAIR[0]
    assert posterior.resolved
    summary = posterior.summary()[0]
    # Five standard errors each.
    for name, value in (
        ("separation", np.hypot(*truth[:2])),
        ("separation_arcsec", 0.1 * np.hypot(*truth[:2])),
        ("position_angle", np.rad2deg(np.arctan2(-truth[0], truth[1]))),
        ("delta_mag", 2.5 * np.log10(8.0)),
    ):
        off = float(getattr(summary[f"{name}_median"], "value", summary[f"{name}_median"])) - value
        error = float(getattr(summary[f"{name}_err"], "value", summary[f"{name}_err"]))
        assert abs(off) < 5.0 * error, name
    assert "p_companion" in posterior.note


def test_an_unresolved_pair_has_limits(single):
    *_, found = single
    posterior = found.pair()
    assert not posterior.resolved
    assert posterior.limit(0.95).flux_ratio < 0.1


def test_a_wcs_of_the_image_gives_angles_on_the_sky():
    from astropy.nddata import NDData, StdDevUncertainty
    from astropy.wcs import WCS

    image, error = simulate(*PAIR, seed=8)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (10.0, 20.0), (21.0, 21.0)
    wcs.wcs.cdelt = -0.2 / 3600.0, 0.2 / 3600.0
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=wcs)
    posterior = bp.companion_map(data, MODEL, (20.0, 20.0)).pair()
    plain = bp.companion_map(image, MODEL, (20.0, 20.0), error=error).pair(
        pixel_scale=0.2, north=0.0
    )
    # North is up and east to the left; the projection bends nothing in ten pixels.
    np.testing.assert_allclose(posterior.position_angle, plain.position_angle, atol=1e-3)
    np.testing.assert_allclose(posterior.separation_arcsec, plain.separation_arcsec, rtol=1e-5)


def test_it_is_written_and_not_over_another(pair, tmp_path):
    from astropy.io import fits
    from astropy.table import QTable
    from astropy.wcs import WCS

    *_, found = pair
    folder = found.write(tmp_path / "search")
    with fits.open(folder / "map.fits") as file:
        np.testing.assert_array_equal(file["LOG_BF"].data, found.log_bayes_factor)
        assert file[0].header["P_COMP"] == pytest.approx(found.p_companion)
        x, y = WCS(file["LIMIT_95"].header).pixel_to_world_values(3, 5)
        assert (x, y) == pytest.approx((found.x[5, 3], found.y[5, 3]))
    curve = QTable.read(folder / "contrast.ecsv")
    assert curve.meta["schema_version"] == 1
    row = QTable.read(folder / "companion.ecsv")
    assert row.meta["p_companion"] == pytest.approx(found.p_companion)
    with pytest.raises(FileExistsError, match=r"map\.fits"):
        found.write(folder)
    found.write(folder, overwrite=True)


def test_the_summary_says_what_was_found(pair):
    text = pair[2].summary()
    assert "p_companion 1 " in text
    assert "most likely" in text
