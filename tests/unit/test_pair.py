"""The posterior of a pair: exact on made draws, astropy's on the sky, limits where blended."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import synthetic_result as scene
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import NDData
from astropy.table import QTable, vstack
from astropy.wcs import WCS, Sip

import bayesphot as bp
from bayesphot.celestial import describe_wcs, find_sky, rebuild_wcs
from bayesphot.draws import Draws

PNG = b"\x89PNG"
SHAPE = (64, 64)


def make_pair(dx, dy, primary=None, companion=None, *, at=(30.0, 33.0), groups=(1, 1), meta=None):
    """Return a result of two sources, 1 and 2, whose draws are these (chain, draw)."""
    dx, dy = np.broadcast_arrays(np.atleast_2d(dx), np.atleast_2d(dy))
    one, two = (
        np.broadcast_to(1000.0 if flux is None else flux, dx.shape) for flux in (primary, companion)
    )
    rng = np.random.default_rng(9)
    x, y = at[0] + 0.1 * rng.normal(size=dx.shape), at[1] + 0.1 * rng.normal(size=dx.shape)
    source = {"x": (x, x + dx), "y": (y, y + dy), "flux": (one, two)}
    source = {name: np.stack(pair, axis=2) for name, pair in source.items()}
    draws = Draws(source, {}, [1, 2], groups, sorted(set(groups)))
    blank = np.zeros(SHAPE)
    table = QTable({"id": [1, 2], "group_id": list(groups)})
    return bp.PhotometryResult(table, draws, blank, blank, blank, blank, meta=meta or {})


def scatter(mean, sd, *, seed=1, shape=(4, 500)):
    return mean + sd * np.random.default_rng(seed).normal(size=shape)


def make_blob(dx, dy, sd, **fluxes):
    """Return a result whose companion is at (dx, dy) with an error of `sd` in both."""
    return make_pair(scatter(dx, sd, seed=1), scatter(dy, sd, seed=2), **fluxes)


def make_wcs(*, rotation=30.0, parity=-1.0, center=(10.0, 20.0), distorted=False) -> WCS:
    """Return a tangential projection of 0.36 arcsec a pixel; parity -1 has east left of north."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], center, [32.5, 32.5]
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    wcs.wcs.cd = 1e-4 * np.array([[parity * cos, -parity * sin], [sin, cos]])
    if distorted:
        a, b = np.zeros((3, 3)), np.zeros((3, 3))
        a[2, 0], b[0, 2] = 1e-4, -1e-4
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
        wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.set()
    return wcs


# --- draws ---


def test_draws_are_those_of_companion_minus_primary():
    dx, dy = scatter(3.0, 0.1), scatter(4.0, 0.1, seed=2)
    pair = make_pair(dx, dy, primary=1000.0, companion=100.0).pair(1, 2)
    np.testing.assert_allclose(pair.dx, dx, atol=1e-12)
    np.testing.assert_allclose(pair.separation, np.hypot(dx, dy), rtol=1e-12)
    np.testing.assert_allclose(pair.delta_mag, 2.5, rtol=1e-12)
    np.testing.assert_allclose(pair.flux_ratio, 0.1, rtol=1e-12)
    np.testing.assert_allclose(pair.flux_share, 1.0 / 11.0, rtol=1e-12)
    assert {values.shape for values in pair.draws.values()} == {(4, 500)}
    assert pair.separation_arcsec is None
    assert "separation_arcsec" not in pair.draws


def test_the_primary_is_the_one_that_was_named_first_whichever_is_brighter():
    result = make_blob(3.0, 1.0, 0.1, primary=100.0, companion=1000.0)
    pair, back = result.pair(1, 2), result.pair(2, 1)
    np.testing.assert_allclose(pair.delta_mag, -2.5, rtol=1e-12)
    np.testing.assert_allclose(back.delta_mag, 2.5, rtol=1e-12)
    np.testing.assert_allclose((back.position_angle - pair.position_angle) % 360.0, 180.0)


def test_joint_draws_keep_what_they_know_of_each_other():
    """The total of the fluxes is known, each is not: their ratio moves by what both do."""
    shift = scatter(0.0, 50.0)
    result = make_blob(3.0, 0.0, 0.1, primary=1000.0 + shift, companion=1000.0 - shift)
    # d(f2 / f1) = -2 shift / 1000 to first order; the next one is 5 %.
    np.testing.assert_allclose(np.std(result.pair(1, 2).flux_ratio), 0.1, rtol=0.1)


def test_draws_cannot_be_changed_and_a_pair_can_be_pickled():
    pair = make_blob(3.0, 0.0, 0.1).pair(1, 2)
    for values in (pair.separation, pair.dx, pair.position_angle, pair.flux_ratio):
        assert not values.flags.writeable
    with pytest.raises(AttributeError):
        pair.primary = 3
    again = pickle.loads(pickle.dumps(pair))
    np.testing.assert_array_equal(again.separation, pair.separation)


# --- angles and scale ---


@pytest.mark.parametrize(
    ("step", "angle"), [((0, 1), 0), ((-1, 0), 90), ((0, -1), 180), ((1, 0), 270), ((-1, 1), 45)]
)
def test_angles_without_north_are_counterclockwise_from_up(step, angle):
    pair = make_pair(*(np.full((1, 5), float(value)) for value in step)).pair(1, 2)
    np.testing.assert_allclose(pair.position_angle, angle, atol=1e-9)
    assert pair.angle_from == "from +y, counterclockwise"


@pytest.mark.parametrize(
    ("north", "flipped", "angle"),
    [
        (0.0, False, 90),
        (90.0, False, 0),
        (100 * u.deg, False, 350),
        (0.0, True, 270),
        (30, True, 300),
    ],
)
def test_angles_are_from_north_through_east(north, flipped, angle):
    """The companion is on the left; east is left of north unless flipped."""
    result = make_pair(np.full((1, 5), -2.0), np.zeros((1, 5)))
    pair = result.pair(1, 2, north=north, flipped=flipped)
    np.testing.assert_allclose(pair.position_angle, angle, atol=1e-9)
    assert pair.angle_from == "from north through east"


@pytest.mark.parametrize(
    "scale", [0.2, 0.2 * u.arcsec, 0.2 * u.arcsec / u.pix, (200.0 * u.mas / u.pix)]
)
def test_a_scale_gives_arcsec(scale):
    pair = make_blob(3.0, 4.0, 0.01).pair(1, 2, pixel_scale=scale)
    np.testing.assert_allclose(pair.separation_arcsec, 0.2 * pair.separation, rtol=1e-12)
    row = pair.summary()
    assert row["separation_arcsec_median"].unit == u.arcsec
    assert row["separation_median"].unit == u.pix


@pytest.mark.parametrize("center", [(10.0, 20.0), (0.0, -60.0), (120.0, 89.999)])
@pytest.mark.parametrize("parity", [-1.0, 1.0])
@pytest.mark.parametrize("distorted", [False, True])
def test_a_wcs_gives_what_astropy_says(center, parity, distorted):
    wcs = make_wcs(center=center, parity=parity, distorted=distorted)
    result = make_blob(3.0, -2.0, 0.3)
    pair = result.pair(1, 2, wcs=wcs)
    xy = result.draws.source
    sky = [
        SkyCoord.from_pixel(xy["x"][..., i].ravel(), xy["y"][..., i].ravel(), wcs) for i in (0, 1)
    ]
    np.testing.assert_allclose(
        pair.separation_arcsec.ravel(), sky[0].separation(sky[1]).arcsec, rtol=1e-6
    )
    turn = pair.position_angle.ravel() - sky[0].position_angle(sky[1]).deg
    # A millionth of a radian.
    assert np.max(np.abs((turn + 180.0) % 360.0 - 180.0)) < np.rad2deg(1e-6)


@pytest.mark.parametrize(("parity", "flipped"), [(-1.0, False), (1.0, True)])
def test_a_wcs_agrees_with_its_scale_north_and_parity(parity, flipped):
    """Near the reference of a tangential projection its matrix is all there is to it."""
    wcs = make_wcs(rotation=30.0, parity=parity)
    # North is where the matrix sends (x, y) to (0, 1), which is along its inverse's second column.
    x, y = np.linalg.inv(wcs.wcs.cd) @ [0.0, 1.0]
    north = np.rad2deg(np.arctan2(-x, y))
    result = make_blob(3.0, -2.0, 0.3)
    on_sky = result.pair(1, 2, wcs=wcs)
    plain = result.pair(1, 2, pixel_scale=0.36, north=north, flipped=flipped)
    np.testing.assert_allclose(on_sky.separation_arcsec, plain.separation_arcsec, rtol=1e-6)
    # 5 pixels from the reference, at dec 20, a meridian is turned by 5e-4 tan(20) degrees.
    np.testing.assert_allclose(on_sky.position_angle, plain.position_angle, rtol=0.0, atol=2e-4)


def test_angles_are_those_of_icrs_where_the_wcs_is_galactic():
    wcs = make_wcs()
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    wcs.wcs.set()
    result = make_blob(3.0, -2.0, 0.3)
    pair = result.pair(1, 2, wcs=wcs)
    xy = result.draws.source
    one, two = (find_sky(wcs, xy["x"][..., i].ravel(), xy["y"][..., i].ravel()) for i in (0, 1))
    angle = one.icrs.position_angle(two.icrs).deg
    np.testing.assert_allclose(pair.position_angle.ravel(), angle, atol=1e-6)
    assert abs(angle[0] - one.position_angle(two).deg[0]) > 1.0


def measure_with(wcs):
    stars = {"x_0": [30.0, 34.0], "y_0": [30.0, 30.0], "flux": [4000.0, 1000.0]}
    image = bp.simulate_scene(SHAPE, sources=stars, sigma=1.5, noise=2.0, seed=1)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11, group_maker=bp.DAOGroup(8.0),
        seed=1,
    )  # fmt: skip
    data = NDData(image.image, wcs=wcs)
    return phot(data, error=image.error, positions=image.truth)


def test_a_run_keeps_its_wcs_through_files(tmp_path):
    wcs = make_wcs(distorted=True)
    result = measure_with(wcs)
    result.write(tmp_path / "out")
    pairs = [
        result.pair(1, 2),
        bp.PhotometryResult.read(tmp_path / "out").pair(1, 2),
        result.pair(1, 2, wcs=wcs),
    ]
    for pair in pairs:
        assert pair.angle_from == "from north through east"
        # Headers keep 12 digits: 4e-7 arcsec in the right ascension, common to both stars.
        np.testing.assert_allclose(pair.separation_arcsec, pairs[-1].separation_arcsec, rtol=1e-8)
    given = result.pair(1, 2, pixel_scale=0.5)
    np.testing.assert_allclose(given.separation_arcsec, 0.5 * given.separation)


def test_a_wcs_that_no_header_holds_is_not_kept_and_the_pair_says_so():
    wcs = make_wcs()
    from astropy.wcs import DistortionLookupTable

    table = np.full((2, 2), 3.0, dtype=np.float32)
    wcs.cpdis1 = DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), (63.0, 63.0))
    assert describe_wcs(wcs, SHAPE) is None
    assert describe_wcs(object(), SHAPE) is None
    pair = measure_with(wcs).pair(1, 2)
    assert pair.separation_arcsec is None
    assert "give it as wcs" in pair.note


def test_a_kept_wcs_comes_back():
    wcs = make_wcs(distorted=True)
    again = rebuild_wcs(describe_wcs(wcs, SHAPE))
    x = y = np.array([0.0, 30.0, 63.0])
    assert np.max(find_sky(wcs, x, y).separation(find_sky(again, x, y)).arcsec) < 1e-6


# --- summaries ---


def test_summary_is_a_row_with_units_and_the_intervals_of_the_result():
    result = make_blob(3.0, 4.0, 0.1, meta={"ci_prob": 0.9})
    pair = result.pair(1, 2, pixel_scale=0.1)
    table = pair.summary()
    assert isinstance(table, QTable)
    assert len(table) == 1
    lo, median, hi = np.quantile(pair.separation, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(table["separation_median"].to_value(u.pix), median)
    np.testing.assert_allclose(table["separation_lo"].to_value(u.pix), lo)
    np.testing.assert_allclose(table["separation_hi"].to_value(u.pix), hi)
    np.testing.assert_allclose(table["dx_err"].to_value(u.pix), np.std(pair.dx, ddof=1))
    assert table["position_angle_median"].unit == u.deg
    assert table["delta_mag_median"].unit == u.mag
    assert table["resolved"][0]
    assert table["note"][0] == ""
    assert np.isnan(table["separation_limit"][0])
    assert table.meta == {"ci_prob": 0.9, "angle_from": pair.angle_from}


def test_summaries_of_resolved_and_other_pairs_stack():
    tables = [make_blob(dx, 0.0, 0.3).pair(1, 2).summary() for dx in (5.0, 0.0)]
    assert list(vstack(tables)["resolved"]) == [True, False]


@pytest.mark.parametrize("north", [0.0, 2.0, -2.0, 90.0, 179.0])
def test_angles_across_north_are_summarised_by_the_way_round(north):
    """Up within 0.1 / 4 radian: the interval does not know where the circle is cut."""
    result = make_blob(0.0, 4.0, 0.1)
    row = result.pair(1, 2, north=north).summary()
    plain = result.pair(1, 2, north=-90.0).summary()
    median = row["position_angle_median"][0].value
    assert 0.0 <= median < 360.0
    off = median - plain["position_angle_median"][0].value + 90.0 + north
    assert abs((off + 180.0) % 360.0 - 180.0) < 1e-9
    for name in ("err", "lo", "hi"):
        ends = [table[f"position_angle_{name}"][0].value for table in (row, plain)]
        shift = 0.0 if name == "err" else median - plain["position_angle_median"][0].value
        assert ends[0] - shift == pytest.approx(ends[1], abs=1e-9)
    # The error of the angle is 0.1 / 4 radian; 2000 draws know it to 1.6 %, five times that.
    assert row["position_angle_err"][0].value == pytest.approx(np.rad2deg(0.025), rel=0.08)


def test_covariance_is_that_of_the_draws_without_a_jump_at_north():
    pair = make_blob(0.0, 4.0, 0.1, companion=scatter(500.0, 20.0, seed=3)).pair(1, 2)
    names, matrix = pair.covariance
    assert names == ("separation", "position_angle", "delta_mag", "flux_ratio")
    angle = (pair.position_angle + 180.0) % 360.0
    expected = np.cov([pair.separation.ravel(), angle.ravel(), pair.delta_mag.ravel()])
    np.testing.assert_allclose(matrix[:3, :3], expected, rtol=1e-9, atol=1e-12)
    assert not matrix.flags.writeable
    on_sky = make_blob(0.0, 4.0, 0.1).pair(1, 2, pixel_scale=0.1).covariance
    # Fluxes are fixed there.
    assert on_sky.names == ("separation_arcsec", "position_angle")


def test_draws_without_flux_have_no_magnitude_and_a_limit_is_given():
    companion = scatter(30.0, 30.0, seed=3)
    pair = make_blob(4.0, 0.0, 0.1, companion=companion).pair(1, 2)
    assert pair.n_without_mag == np.count_nonzero(companion <= 0.0)
    assert np.isnan(pair.delta_mag).sum() == pair.n_without_mag > 0
    assert not pair.detected
    assert pair.separated
    assert not pair.resolved
    row = pair.summary()[0]
    assert np.isnan(row["delta_mag_median"])
    np.testing.assert_allclose(row["flux_ratio_median"], np.median(companion) / 1000.0)
    limit = pair.limit()
    assert np.mean(companion / 1000.0 <= limit.flux_ratio) == pytest.approx(0.95, abs=1e-3)
    assert limit.delta_mag == pytest.approx(-2.5 * np.log10(limit.flux_ratio))
    assert row["n_without_mag"] == pair.n_without_mag
    assert row["delta_mag_limit"].value == limit.delta_mag
    assert "consistent with none" in row["note"]


def test_a_primary_without_flux_limits_nothing_but_the_fainter_of_the_two():
    primary = scatter(20.0, 30.0, seed=3)
    pair = make_blob(4.0, 0.0, 0.1, primary=primary, companion=1000.0).pair(1, 2)
    dark = primary <= 0.0
    np.testing.assert_array_equal(np.isnan(pair.flux_ratio), dark)
    limit = pair.limit(0.9)
    assert limit.flux_ratio == np.inf
    assert limit.delta_mag == -np.inf
    assert np.mean(primary / 1000.0 <= limit.faint_ratio) == pytest.approx(0.9, abs=1e-3)
    assert np.isinf(pair.summary()["flux_ratio_hi"][0])
    assert "flux_ratio" in repr(pair)


def test_two_sources_without_light_are_no_pair_and_have_no_share():
    primary, companion = scatter(0.0, 30.0, seed=3), scatter(0.0, 30.0, seed=4)
    pair = make_blob(4.0, 0.0, 0.1, primary=primary, companion=companion).pair(1, 2)
    np.testing.assert_array_equal(np.isnan(pair.flux_share), primary + companion <= 0.0)
    assert not pair.resolved
    row = pair.summary()[0]
    assert np.isnan(row["flux_share_median"])
    assert np.isnan(row["flux_share_err"])
    assert pair.limit().faint_ratio == np.inf
    assert pair.covariance.names == ("dx", "dy")


# --- resolved or not ---


def fold(dx, dy):
    """Return draws in the half-plane dx >= 0, as the order of close stars' names leaves them."""
    sign = np.where(dx < 0.0, -1.0, 1.0)
    return sign * dx, sign * dy


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("away", "separated"), [(0.0, False), (2.0, False), (5.0, True)])
def test_a_pair_is_separated_where_zero_is_off_its_draws(folded, away, separated):
    sd = 0.4
    dx, dy = scatter(0.6 * away * sd, sd), scatter(0.8 * away * sd, sd, seed=2)
    if folded:
        dx, dy = fold(dx, dy)
    assert make_pair(dx, dy).pair(1, 2).separated is separated


def test_a_pair_of_known_separation_and_unknown_angle_is_separated():
    angle = np.random.default_rng(3).uniform(0.0, 2.0 * np.pi, (4, 500))
    radius = scatter(3.0, 0.2)
    pair = make_pair(radius * np.cos(angle), radius * np.sin(angle)).pair(1, 2)
    assert pair.resolved
    assert "more than one way" in pair.note
    row = pair.summary()[0]
    width = row["position_angle_hi"] - row["position_angle_lo"]
    # A uniform circle: 68.27 % of 360 degrees, known to 3 % from 2000 draws, five times that.
    assert width.value == pytest.approx(0.6827 * 360.0, rel=0.15)


def test_an_unresolved_pair_has_limits_and_no_angle():
    dx, dy = fold(scatter(0.0, 0.5), scatter(0.0, 0.5, seed=2))
    share = np.random.default_rng(4).uniform(0.0, 1.0, dx.shape)
    result = make_pair(dx, dy, primary=1000.0 * (1.0 - share), companion=1000.0 * share)
    pair = result.pair(1, 2, pixel_scale=0.1, north=0.0)
    assert not pair.resolved
    row = pair.summary()[0]
    assert np.isnan(row["separation_median"])
    assert np.isnan(row["position_angle_median"])
    assert (row["position_angle_lo"].value, row["position_angle_hi"].value) == (0.0, 360.0)
    assert row["separation_lo"].value == 0.0
    inside = np.mean(pair.separation <= row["separation_hi"].value)
    assert inside == pytest.approx(0.6827, abs=1e-3)
    assert np.mean(pair.separation <= row["separation_limit"].value) == pytest.approx(
        0.95, abs=1e-3
    )
    assert row["separation_arcsec_limit"].value == pytest.approx(
        0.1 * row["separation_limit"].value
    )
    assert "not resolved" in row["note"]
    assert "not resolved" in repr(pair)
    assert pair.covariance.names == ("dx", "dy", "flux_share")


@pytest.mark.parametrize("name", ["flux_ratio", "faint_ratio"])
@pytest.mark.parametrize("prob", [0.5, 0.95])
def test_the_joint_limit_holds_its_probability(name, prob):
    dx, dy = fold(scatter(0.0, 0.5), scatter(0.0, 0.5, seed=2))
    # The closer, the less is known of the ratio.
    ratio = np.abs(scatter(0.0, 1.0, seed=3)) / (0.1 + np.hypot(dx, dy))
    pair = make_pair(dx, dy, companion=1000.0 * ratio).pair(1, 2)
    joint = pair.limit(prob).joint
    faint = np.minimum(ratio, 1.0 / ratio)
    values = ratio if name == "flux_ratio" else faint
    highest = joint["separation_hi"].value
    place = np.searchsorted(highest, pair.separation)
    inside = place < len(joint)
    inside[inside] = values[inside] <= joint[name][place[inside]] * (1.0 + 1e-12)
    # Each bin rounds by less than a draw, of 244.
    assert inside.mean() == pytest.approx(prob, abs=0.01)
    if name == "flux_ratio":
        assert joint[name][0] > 1.5 * joint[name][-1]
    assert joint["separation_lo"][0].value == 0.0
    np.testing.assert_array_equal(joint["separation_lo"][1:], joint["separation_hi"][:-1])


# --- what is known beforehand ---


def test_fixed_positions_are_given_not_measured():
    fixed = np.zeros((4, 500))
    result = make_pair(3.0 + fixed, 4.0 + fixed, companion=scatter(500.0, 20.0))
    draws = result.draws
    place = {name: np.tile([[[10.0, 13.0]]], (4, 500, 1)) for name in ("x", "y")}
    held = Draws({**draws.source, **place}, {}, [1, 2], [1, 1], [1])
    blank = np.zeros(SHAPE)
    pair = bp.PhotometryResult(result.table, held, blank, blank, blank, blank).pair(1, 2)
    assert pair.given
    assert pair.resolved
    assert "given, not measured" in pair.note
    row = pair.summary()[0]
    assert row["separation_median"].value == pytest.approx(3.0 * np.sqrt(2.0))
    assert row["separation_err"].value == 0.0
    assert row["position_angle_err"].value == 0.0
    assert pair.covariance.names == ("delta_mag", "flux_ratio")


def test_fixed_positions_at_one_place_have_no_angle():
    blank, zero = np.zeros(SHAPE), np.zeros((4, 50))
    place = np.full((4, 50, 2), 20.0)
    flux = np.stack([scatter(100.0, 1.0, shape=zero.shape)] * 2, axis=2)
    draws = Draws({"x": place, "y": place, "flux": flux}, {}, [1, 2], [1, 1], [1])
    table = QTable({"id": [1, 2], "group_id": [1, 1]})
    pair = bp.PhotometryResult(table, draws, blank, blank, blank, blank).pair(1, 2)
    assert np.all(np.isnan(pair.position_angle))
    assert not pair.resolved
    assert pair.summary()["position_angle_hi"][0].value == 360.0


def test_a_companion_without_flux_at_a_given_place_keeps_its_place():
    result = make_pair(np.full((4, 500), 3.0), np.zeros((4, 500)), companion=scatter(5.0, 30.0))
    source = {**result.draws.source, "x": np.tile([10.0, 13.0], (4, 500, 1))}
    source["y"] = np.full((4, 500, 2), 10.0)
    blank = np.zeros(SHAPE)
    held = Draws(source, {}, [1, 2], [1, 1], [1])
    pair = bp.PhotometryResult(result.table, held, blank, blank, blank, blank).pair(1, 2)
    row = pair.summary()[0]
    assert not row["resolved"]
    assert row["separation_median"].value == 3.0
    assert np.isnan(row["delta_mag_median"])
    assert len(pair.limit().joint) == 1


def test_sources_of_different_groups_are_paired_by_independent_draws():
    result = scene.make_result()
    pair = result.pair(1, 7)
    assert "different groups" in pair.note
    assert pair.resolved
    expected = np.hypot(scene.X[3] - scene.X[0], scene.Y[3] - scene.Y[0])
    # Positions have errors of 0.03 a draw: the median is known to a twentieth of that.
    assert np.median(pair.separation) == pytest.approx(expected, abs=0.01)


def test_flags_of_the_sources_are_noted():
    table = scene.make_table()
    table["flags"][1] = int(bp.Flag.HIGH_R_HAT | bp.Flag.AT_BOUND)
    pair = scene.make_result(table=table).pair(1, 2)
    assert pair.note == "source 2 has AT_BOUND, HIGH_R_HAT"


# --- what is refused ---


@pytest.mark.parametrize(("primary", "companion"), [(1, 33), (33, 1)])
def test_unknown_ids_are_refused_as_by_source(primary, companion):
    for kind in (ValueError, KeyError):
        with pytest.raises(kind, match="no source with id 33"):
            scene.make_result().pair(primary, companion)


def test_a_pair_needs_two_sources_that_were_sampled():
    with pytest.raises(
        ValueError, match="companion must be another source than primary, found 2 twice"
    ):
        scene.make_result().pair(2, 2)
    with pytest.raises(ValueError, match="source 9 was not sampled"):
        scene.make_result().pair(1, 9)
    with pytest.raises(ValueError, match="pair needs posterior draws"):
        scene.make_result(sampled=False).pair(1, 2)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"pixel_scale": 0.0}, ValueError, "pixel_scale must be positive"),
        ({"pixel_scale": "0.1"}, TypeError, "pixel_scale must be a number"),
        ({"pixel_scale": 0.1 * u.s}, ValueError, "pixel_scale must be in arcsec / pix"),
        ({"north": np.nan}, ValueError, "north must be finite"),
        ({"north": 3.0 * u.m}, ValueError, "north must be in deg"),
        ({"north": [1.0, 2.0]}, TypeError, "north must be a number"),
        ({"north": 0.0, "flipped": "yes"}, TypeError, "flipped must be True or False"),
        ({"flipped": True}, ValueError, "flipped is the parity about north"),
        ({"wcs": make_wcs(), "pixel_scale": 0.1}, ValueError, "wcs holds scale and north"),
        ({"wcs": make_wcs(), "north": 0.1}, ValueError, "wcs holds scale and north"),
        ({"wcs": WCS(naxis=2)}, ValueError, "wcs must have celestial axes"),
    ],
)
def test_wrong_arguments_are_named(options, error, text):
    with pytest.raises(error, match=text):
        make_blob(3.0, 0.0, 0.1).pair(1, 2, **options)


@pytest.mark.parametrize(
    ("prob", "error"), [(0.0, ValueError), (1.0, ValueError), (1.2, ValueError), ("a", TypeError)]
)
def test_wrong_probabilities_are_refused(prob, error):
    with pytest.raises(error, match="prob must be"):
        make_blob(3.0, 0.0, 0.1).pair(1, 2).limit(prob)


# --- pictures and text ---


def test_corner_plot_shows_what_the_covariance_names(tmp_path):
    result = make_blob(0.0, 4.0, 0.1, companion=scatter(500.0, 20.0, seed=3))
    figure = result.pair(1, 2, pixel_scale=0.2).plot_corner(
        truths={"position_angle": 0.0}, path=tmp_path / "corner.png"
    )
    labels = {axes.get_xlabel().replace("\n", " ") for axes in figure.axes} - {""}
    assert labels == {
        "separation_arcsec (arcsec)", "position_angle (deg)", "delta_mag (mag)", "flux_ratio",
    }  # fmt: skip
    assert (tmp_path / "corner.png").read_bytes().startswith(PNG)


def test_corner_plot_of_an_unresolved_pair_shows_steps_and_shares():
    pair = make_blob(0.0, 0.0, 0.5, companion=scatter(500.0, 100.0, seed=3)).pair(1, 2)
    labels = {axes.get_xlabel().replace("\n", " ") for axes in pair.plot_corner().axes} - {""}
    assert labels == {"dx (pix)", "dy (pix)", "flux_share"}


def test_corner_plot_names_unknown_truths():
    pair = make_blob(0.0, 4.0, 0.1).pair(1, 2)
    with pytest.raises(ValueError, match="truths must name one of"):
        pair.plot_corner(truths={"size": 1.0})


def test_repr_says_what_was_measured():
    text = repr(make_blob(3.0, 4.0, 0.01).pair(1, 2, pixel_scale=0.1, north=0.0))
    assert text.startswith("<PairPosterior: companion 2 of primary 1, resolved, 4 chains x 500")
    assert "arcsec" in text
    assert "from north through east" in text
    assert "nan" not in text
