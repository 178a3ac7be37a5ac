"""The result: what it shows, what it refuses, and that nothing in it can be changed."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import astropy.units as u
import numpy as np
import pytest
import synthetic_result as scene
from astropy.table import MaskedColumn, QTable

from bayesphot.draws import Draws
from bayesphot.result import PhotometryResult


def test_table_passes_through():
    result = scene.make_result()
    assert len(result) == 5
    assert result.colnames == result.table.colnames
    np.testing.assert_array_equal(result["flux_fit"], scene.FLUX)
    assert result[1]["id"] == 2


def test_table_is_shown_with_few_digits_and_keeps_all():
    flux = QTable({"id": [1], "group_id": [1], "flux_fit": [100.123456789] * u.electron})
    blank = np.zeros((5, 5))
    shown = PhotometryResult(flux, None, blank, blank, blank, blank)
    assert "100.123" in str(shown.table)
    assert "100.1234" not in str(shown.table)
    assert shown["flux_fit"][0].value == 100.123456789
    result = scene.make_result()
    assert result["x_fit"].info.format == ".4f"


def test_posterior_has_the_dimensions_and_coordinates_of_the_contract():
    result = scene.make_result(unit=u.electron)
    posterior = result.posterior
    for name in ("x", "y", "flux", "sigma"):
        assert posterior[name].dims == ("chain", "draw", "source")
    assert posterior["background"].dims == ("chain", "draw", "group")
    assert posterior.sizes == {"chain": 4, "draw": 300, "source": 5, "group": 2}
    np.testing.assert_array_equal(posterior["source"], scene.IDS)
    np.testing.assert_array_equal(posterior["group"], [1, 2])
    np.testing.assert_array_equal(
        posterior["flux"].sel(source=7), result.draws.source["flux"][:, :, 3]
    )


def test_posterior_carries_units_and_positions_none():
    posterior = scene.make_result(unit=u.electron).posterior
    assert u.Unit(posterior["flux"].attrs["units"]) == u.electron * u.pix
    assert u.Unit(posterior["background"].attrs["units"]) == u.electron
    assert "units" not in posterior["x"].attrs
    assert "units" not in scene.make_result().posterior["flux"].attrs


def test_posterior_shares_the_memory_of_the_draws():
    result = scene.make_result()
    for name, array in (result.draws.source | result.draws.group).items():
        assert np.shares_memory(result.posterior[name].values, array)


def test_posterior_is_built_once_also_when_threads_ask_together():
    result = scene.make_result()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: result.posterior, range(32)))
    assert len({id(posterior) for posterior in found}) == 1


def test_posterior_without_draws_is_empty_with_the_right_coordinates():
    posterior = scene.make_result(sampled=False).posterior
    assert not posterior.data_vars
    np.testing.assert_array_equal(posterior["source"], scene.IDS)
    np.testing.assert_array_equal(posterior["group"], [1, 2])
    assert posterior.sizes["chain"] == posterior.sizes["draw"] == 0


def test_source_selects_its_draws_and_its_background():
    result = scene.make_result(unit=u.electron)
    star = result.source(7)
    assert (star.id, star.group_id) == (7, 2)
    assert list(star.draws) == ["x", "y", "flux", "sigma", "background"]
    np.testing.assert_array_equal(star.draws["flux"], result.draws.source["flux"][:, :, 3])
    np.testing.assert_array_equal(
        star.draws["background"], result.draws.group["background"][:, :, 1]
    )
    assert star.row["flux_fit"] == 3000.0 * u.electron * u.pix
    assert u.Unit(star.units["flux"]) == u.electron * u.pix


def test_source_summary_is_that_of_its_draws_at_the_interval_of_the_run():
    star = scene.make_result().source(1)
    assert star.ci_prob == 0.9
    flat = star.draws["flux"].ravel()
    summary = star.summary["flux"]
    assert summary.median == np.median(flat)
    assert summary.sd == pytest.approx(np.std(flat, ddof=1), rel=1e-12)
    np.testing.assert_allclose((summary.lo, summary.hi), np.quantile(flat, [0.05, 0.95]))


def test_source_interval_is_the_default_where_meta_does_not_say():
    assert scene.make_result(meta={}).source(1).ci_prob == 0.6827


def test_covariance_spans_the_group_and_shows_the_blend():
    result = scene.make_result()
    names, matrix = result.source(1).covariance
    assert names[:4] == ("x[1]", "y[1]", "flux[1]", "sigma[1]")
    assert names[4:8] == ("x[2]", "y[2]", "flux[2]", "sigma[2]")
    assert names[-1] == "background"
    assert len(names) == 13
    source = result.draws.source
    columns = [source["flux"][:, :, 0].ravel(), source["flux"][:, :, 1].ravel()]
    i, j = names.index("flux[1]"), names.index("flux[2]")
    np.testing.assert_allclose(matrix[np.ix_([i, j], [i, j])], np.cov(columns), rtol=1e-12)
    # By construction -0.8 · 15 / hypot(0.8 · 15, 5) = -0.92; 1200 draws scatter it by 0.005.
    assert matrix[i, j] / np.sqrt(matrix[i, i] * matrix[j, j]) == pytest.approx(-0.92, abs=0.03)


def test_fixed_parameters_have_no_error_and_no_covariance():
    star = scene.make_result(draws=scene.make_draws(free_sigma=False)).source(1)
    assert star.summary["sigma"] == (2.0, 0.0, 2.0, 2.0)
    assert not any(name.startswith("sigma") for name in star.covariance.names)


def test_an_unmeasured_source_has_nan_and_no_covariance():
    star = scene.make_result().source(9)
    assert star.group_id == -1
    assert "background" not in star.draws
    assert np.all(np.isnan(star.summary["flux"]))
    assert star.covariance.names == ()
    assert star.covariance.matrix.shape == (0, 0)


def test_unmeasured_sources_are_not_each_others_group_mates():
    draws = dataclasses.replace(scene.make_draws(), source_group=[1, 1, -1, 2, -1])
    assert scene.make_result(draws=draws).source(5).covariance.names == (
        "x[5]",
        "y[5]",
        "flux[5]",
        "sigma[5]",
    )


def test_source_without_draws_has_its_row_only():
    star = scene.make_result(sampled=False).source(2)
    assert (dict(star.draws), dict(star.summary)) == ({}, {})
    assert star.row["flux_fit"] == 500.0
    assert "no draws" in repr(star)


@pytest.mark.parametrize("kind", [ValueError, KeyError])
def test_unknown_id_names_the_id_and_the_range(kind):
    with pytest.raises(kind) as caught:
        scene.make_result().source(3)
    assert str(caught.value) == "no source with id 3: the 5 ids run from 1 to 9"


def test_attributes_cannot_be_assigned():
    result = scene.make_result()
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.table = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.source(1).id = 4


@pytest.mark.parametrize(
    "get",
    [
        lambda result: result["id"],
        lambda result: result["flux_fit"],
        lambda result: result["engine"],
        lambda result: result.image,
        lambda result: result.model_image,
        lambda result: result.residual_image,
        lambda result: result.noise_image,
        lambda result: result.posterior["flux"].values,
        lambda result: result.draws.group["background"],
        lambda result: result.draws.source_id,
        lambda result: result.source(1).draws["flux"],
        lambda result: result.source(1).covariance.matrix,
    ],
)
@pytest.mark.parametrize("unit", [None, u.electron])
def test_arrays_of_the_result_are_read_only(get, unit):
    array = get(scene.make_result(unit=unit))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = array[0]


def test_arrays_given_to_the_result_stay_writable():
    table, images, draws = scene.make_table(), scene.make_images(), scene.make_draws()
    flux = np.ones((4, 300, 5))
    PhotometryResult(table, dataclasses.replace(draws, source={"flux": flux}), **images)
    table["flux_fit"][0] = 1.0
    images["image"][0, 0] = 1.0
    flux[0, 0, 0] = 2.0
    assert "schema_version" not in table.meta


def test_masked_columns_are_read_only_and_not_shared():
    table = scene.make_table()
    table["note"] = MaskedColumn(np.arange(5.0), mask=[0, 1, 0, 0, 0])
    result = scene.make_result(table=table)
    table["note"].mask[0] = True
    np.testing.assert_array_equal(result["note"].mask, [0, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="read-only"):
        result["note"][0] = 3.0


def test_a_copy_of_the_table_can_be_changed():
    result = scene.make_result()
    table = result.table.copy()
    table["flux_fit"][0] = 1.0
    assert result["flux_fit"][0] == 800.0


def test_meta_becomes_plain_and_is_not_shared():
    meta = {"fitshape": (11, 11), "threshold": np.float64(2.5), 3: None, "psf": u.m, "on": True}
    result = scene.make_result(meta=meta)
    meta["fitshape"] = 0
    plain = {"fitshape": [11, 11], "threshold": 2.5, "3": None, "psf": "m", "on": True}
    assert result.meta == plain
    assert type(result.meta["threshold"]) is float
    assert result.meta["on"] is True


def test_integer_images_become_float():
    result = scene.make_result(image=np.ones(scene.SHAPE, dtype=np.int16))
    assert result.image.dtype == np.float64


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_are_whole(copied):
    result = scene.make_result(unit=u.electron)
    _ = result.posterior
    other = copied(result)
    np.testing.assert_array_equal(other.draws.source["x"], result.draws.source["x"])
    assert other.posterior.identical(result.posterior)
    assert other.image.unit == u.electron
    with pytest.raises(ValueError, match="read-only"):
        other["id"][0] = 3


def test_to_arviz_without_draws_says_why():
    with pytest.raises(ValueError, match=r"to_arviz needs posterior draws.*sampler=False"):
        scene.make_result(sampled=False).to_arviz()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_image": np.zeros((3, 3))}, r"model_image must have the shape of image \(36, 56\)"),
        ({"table": QTable({"id": [1]})}, "table must have the column 'group_id'"),
        ({"table": QTable({"id": [1, 1], "group_id": [1, 1]})}, "unique ids, found 1 twice"),
        ({"table": scene.make_table()[::-1]}, "in the order of its rows"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        scene.make_result(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": {"x": np.zeros((4, 300, 2))}}, r"source\['x'\] must have shape"),
        ({"source": {"x": np.zeros((2, 300, 5))}}, "must have shape"),
        ({"source": {"x": np.zeros(5)}}, r"source\['x'\] must have 3 axes, found 1"),
        ({"stats": {"acceptance": np.zeros(3)}}, r"stats\['acceptance'\] must have one value"),
        ({"source_group": [1]}, "one value for each source_id"),
        ({"group_id": [1, 1]}, "group_id must be one-dimensional and unique"),
    ],
)
def test_draws_of_wrong_shape_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(scene.make_draws(), **changes)


def test_draws_leave_room_for_existence_and_an_image_dimension():
    source = {"exists": np.ones((2, 3, 4), dtype=bool), "flux": np.zeros((2, 3, 4, 5))}
    draws = Draws(source, {}, np.arange(4), np.zeros(4), [0])
    table = QTable({"id": np.arange(4), "group_id": np.zeros(4, dtype=int)})
    result = scene.make_result(table=table, draws=draws)
    assert result.posterior["exists"].dtype == bool
    assert result.posterior["flux"].dims == ("chain", "draw", "source", "image")
    assert result.source(2).draws["flux"].shape == (2, 3, 5)


def test_a_result_without_sources_works():
    table, draws = scene.make_table()[:0], scene.make_draws()
    source = {name: array[:, :, :0] for name, array in draws.source.items()}
    group = {"background": draws.group["background"][:, :, :0]}
    empty = scene.make_result(table=table, draws=Draws(source, group, [], [], []))
    assert len(empty) == 0
    assert empty.posterior["x"].shape == (4, 300, 0)
    assert "0 sources in 0 groups" in repr(empty)
    with pytest.raises(ValueError, match="no source with id 1: the result has no sources"):
        empty.source(1)


def test_repr_counts_sources_groups_flags_and_draws():
    expected = "<PhotometryResult: 5 sources in 2 groups, 1 flagged; 4 chains x 300 draws"
    assert repr(scene.make_result()) == f"{expected} (emcee, independence)>"
    assert repr(scene.make_result(sampled=False)).endswith("1 flagged; no draws>")


def test_repr_of_a_source_is_a_table_of_its_parameters():
    lines = repr(scene.make_result(unit=u.electron).source(7)).splitlines()
    assert lines[0] == "<SourcePosterior: source 7 in group 2, 4 chains x 300 draws"
    assert "90 % interval" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["x", "y", "flux", "sigma", "background"]
    assert lines[4].endswith("electron pix")


def test_html_has_a_heading_and_a_limited_number_of_rows():
    ids = np.arange(1000)
    table = QTable({"id": ids, "group_id": ids, "flags": np.zeros(1000, dtype=int)})
    html = scene.make_result(table=table, draws=None)._repr_html_()
    assert "1000 sources in 1000 groups, 0 flagged" in html
    assert 10 < html.count("<tr>") < 40
