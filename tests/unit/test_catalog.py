"""Tables of positions of every kind become one catalog, or a clear error."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from bayesphot.catalog import (
    POSITION_SPELLINGS,
    Catalog,
    build_catalog,
    read_positions,
    sort_order,
    translate_columns,
)
from bayesphot.flags import Flag

COLUMNS = {
    "id": np.array([7, 3, 12]),
    "x_0": np.array([1.5, 2.0, 3.25]),
    "y_0": np.array([4.0, 5.5, 6.0]),
    "flux_0": np.array([10.0, np.nan, 30.0]),
    "group_id": np.array([5, 5, 9]),
}


def _make_structured(columns: dict) -> np.ndarray:
    table = Table(columns)
    return table.as_array()


def _make_big_endian(columns: dict) -> np.ndarray:
    array = _make_structured(columns)
    return array.astype(array.dtype.newbyteorder(">"))


def _make_frame(columns: dict):
    pandas = pytest.importorskip("pandas", reason="data frames are the subject")
    return pandas.DataFrame(columns)


def _make_nullable_frame(columns: dict):
    return _make_frame(columns).convert_dtypes()


FORMS = {
    "Table": Table,
    "QTable": QTable,
    "masked Table": lambda columns: Table(columns, masked=True),
    "dict of arrays": dict,
    "dict of lists": lambda columns: {name: list(value) for name, value in columns.items()},
    "structured array": _make_structured,
    "big-endian": _make_big_endian,
    "data frame": _make_frame,
    "nullable data frame": _make_nullable_frame,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_table_gives_the_same_catalog(form) -> None:
    catalog = read_positions(form(COLUMNS))
    for name in ("id", "group_id", "iter_detected", "flags"):
        assert getattr(catalog, name).dtype == np.int64
    for name, theirs in (("x", "x_0"), ("y", "y_0"), ("flux", "flux_0")):
        column = getattr(catalog, name)
        assert column.dtype == np.float64
        assert column.dtype.isnative
        np.testing.assert_array_equal(column, COLUMNS[theirs])
    np.testing.assert_array_equal(catalog.id, COLUMNS["id"])
    np.testing.assert_array_equal(catalog.group_id, COLUMNS["group_id"])
    np.testing.assert_array_equal(catalog.iter_detected, 1)
    np.testing.assert_array_equal(catalog.flags, 0)
    np.testing.assert_array_equal(catalog.start_shape("sigma", 1.5), 1.5)
    assert len(catalog) == 3


def test_the_catalog_does_not_share_memory_with_the_table() -> None:
    columns = {name: value.copy() for name, value in COLUMNS.items()}
    catalog = read_positions(columns)
    for column in catalog.columns().values():
        assert not any(np.shares_memory(column, value) for value in columns.values())


@pytest.mark.parametrize("spelling", [*POSITION_SPELLINGS, "X_0", "XCENTROID"])
def test_every_spelling_of_a_position_is_understood(spelling) -> None:
    other = spelling.replace("x", "y").replace("X", "Y")
    catalog = read_positions({other: [2.0], spelling: [1.0]})
    assert (catalog.x[0], catalog.y[0]) == (1.0, 2.0)


def test_of_several_spellings_the_documented_order_decides_for_whole_pairs() -> None:
    pairs = {
        f"{axis}{end}": [number]
        for number, end in enumerate(("_fit", "_init", "centroid"))
        for axis in "xy"
    }
    assert read_positions(pairs).x[0] == 1
    assert read_positions(pairs | {"x_0": [8.0], "y_0": [9.0]}).x[0] == 8
    half = read_positions(pairs | {"x_0": [8.0]})
    assert (half.x[0], half.y[0]) == (1, 1)


@pytest.mark.parametrize("name", ["flux_0", "flux_init", "flux", "flux_fit"])
def test_every_spelling_of_flux_is_understood(name) -> None:
    assert read_positions({"x": [1.0], "y": [2.0], name: [3]}).flux[0] == 3


def test_missing_positions_say_which_spellings_are_understood() -> None:
    with pytest.raises(ValueError, match=r"x_0 and y_0.*x_init.*xcentroid.*found ra, dec"):
        read_positions({"ra": [1.0], "dec": [2.0]})
    with pytest.raises(ValueError, match="found x_0"):
        read_positions({"x_0": [1.0]})
    with pytest.raises(ValueError, match="found none"):
        read_positions({})


@pytest.mark.parametrize(
    "value",
    [None, 3, "stars.ecsv", [(1.0, 2.0)], np.ones((3, 2))],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_table_is_a_type_error(value) -> None:
    with pytest.raises(TypeError, match=f"positions must be a table.*found {type(value).__name__}"):
        read_positions(value)


@pytest.mark.parametrize(
    "table",
    [
        Table(names=["x_0", "y_0"]),
        Table(names=["x_0", "y_0", "id", "flux_0"], dtype=[str, str, str, str]),
        {"x": [], "y": []},
    ],
)
def test_an_empty_table_is_an_empty_catalog(table) -> None:
    catalog = read_positions(table, shape=(5, 5))
    assert len(catalog) == 0
    assert catalog.id.dtype == np.int64
    assert catalog.x.dtype == np.float64


def test_missing_ids_count_from_one_and_groups_are_unknown() -> None:
    catalog = read_positions({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    np.testing.assert_array_equal(catalog.id, [1, 2])
    np.testing.assert_array_equal(catalog.group_id, [-1, -1])


def test_large_ids_are_kept_to_the_last_digit() -> None:
    ids = np.array([2**62 + 1, 2**62], dtype=np.uint64)
    np.testing.assert_array_equal(
        read_positions({"x": [1.0, 2], "y": [1.0, 2], "id": ids}).id, ids.astype(np.int64)
    )


@pytest.mark.parametrize("ids", [[4, 7, 4], [1.0, 2.0, 1.0]])
def test_a_repeated_id_is_named(ids) -> None:
    with pytest.raises(ValueError, match=f"id must be unique, found {ids[0]:g}"):
        read_positions({"x": [1.0, 2, 3], "y": [1.0, 2, 3], "id": ids})


@pytest.mark.parametrize("name", ["id", "group_id"])
@pytest.mark.parametrize("value", [1.5, np.inf, 2.0**54, np.uint64(2**63)])
def test_what_is_no_integer_is_refused(name, value) -> None:
    with pytest.raises(
        ValueError, match=f"{name} must hold 64-bit integers, found {re.escape(str(value))}"
    ):
        read_positions({"x": [1.0], "y": [1.0], name: np.array([value])})


@pytest.mark.parametrize("name", ["x_0", "flux_0", "id", "group_id"])
@pytest.mark.parametrize("value", ["a", 1j, True, [1]], ids=["str", "complex", "bool", "nested"])
def test_columns_without_numbers_are_named(name, value) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name} must hold"):
        read_positions({"x_0": [1.0], "y_0": [1.0]} | {name: [value]})


def test_masked_ids_continue_after_the_largest_and_masked_groups_are_unknown() -> None:
    column = MaskedColumn([9, 0, 4, 0], mask=[False, True, False, True])
    table = Table({"x": [1.0, 2, 3, 4], "y": [1.0, 2, 3, 4], "id": column, "group_id": column})
    catalog = read_positions(table)
    np.testing.assert_array_equal(catalog.id, [9, 10, 4, 11])
    np.testing.assert_array_equal(catalog.group_id, [9, -1, 4, -1])
    frame = _make_frame({"x": [1.0, 2], "y": [1.0, 2], "id": [5.0, np.nan]})
    np.testing.assert_array_equal(read_positions(frame).id, [5, 6])


MASKED_X = {
    "NaN": np.array([1.0, np.nan]),
    "infinite": np.array([1.0, -np.inf]),
    "None": [1.0, None],
    "masked array": np.ma.array([1.0, 2.0], mask=[False, True]),
    "masked int": np.ma.array([1, 2], mask=[False, True]),
    "Masked": Masked(np.array([1.0, 2.0]), mask=[False, True]),
    "masked quantity": Masked([1.0, 2.0] * u.pix, mask=[False, True]),
}


@pytest.mark.parametrize("x", MASKED_X.values(), ids=MASKED_X)
def test_rows_without_a_position_are_flagged(x) -> None:
    catalog = read_positions({"x_0": x, "y_0": [1.0, 1.0]}, shape=(5, 5))
    np.testing.assert_array_equal(catalog.flags, [0, Flag.NO_POSITION])
    assert catalog.x[0] == 1
    assert not np.isfinite(catalog.x[1])


def test_positions_outside_the_image_are_flagged_if_its_shape_is_known() -> None:
    x = [-0.5, -0.51, 3.49, 3.5, 1.0, 1.0, 1.0]
    y = [0.0, 0.0, 0.0, 0.0, 9.49, 9.51, -9.0]
    table = {"x_0": x, "y_0": y}
    off = Flag.OFF_IMAGE
    np.testing.assert_array_equal(
        read_positions(table, shape=(10, 4)).flags, [0, off, 0, off, 0, off, off]
    )
    np.testing.assert_array_equal(read_positions(table).flags, 0)


def test_later_rows_at_exactly_the_same_position_are_duplicates() -> None:
    x = [1.0, 2.0, 1.0, 0.0, np.nan, 1.0, -0.0, np.nan, np.nextafter(1, 2)]
    y = [5.0, 5.0, 5.0, 3.0, 1.0, 5.0, 3.0, 1.0, 5.0]
    flags = read_positions({"x_0": x, "y_0": y}).flags
    same, none = Flag.DUPLICATE, Flag.NO_POSITION
    np.testing.assert_array_equal(flags, [0, 0, same, 0, none, same, same, none, 0])


@pytest.mark.parametrize("form", [QTable, Table, dict])
def test_a_flux_with_a_unit_is_converted_to_the_unit_of_the_image(form) -> None:
    table = form({"x_0": [1.0] * u.pix, "y_0": [2.0] * u.pix, "flux_0": [3.0] * u.mJy})
    assert read_positions(table, unit=u.uJy).flux[0] == pytest.approx(3000, rel=1e-15)


def test_a_flux_times_pixel_is_a_flux() -> None:
    table = {"x": [1.0], "y": [2.0], "flux": [3.0] * u.adu * u.pix}
    assert read_positions(table, unit=u.adu).flux[0] == 3
    assert read_positions({"x": [1.0], "y": [2.0], "flux": [3.0] * u.pix}).flux[0] == 3
    assert read_positions({"x": [1.0], "y": [2.0], "flux": [3.0]}, unit=u.adu).flux[0] == 3


@pytest.mark.parametrize(
    ("column", "unit", "words"),
    [
        ({"flux_0": [1.0] * u.s}, u.adu, "flux_0 has the unit 's'.*convert to adu"),
        ({"flux_0": [1.0] * u.adu}, None, "flux_0 has the unit 'adu'.*image has no unit"),
        ({"x_0": [1.0] * u.deg}, None, "x_0 has the unit 'deg'.*convert to pix"),
    ],
)
def test_units_that_do_not_fit_are_named(column, unit, words) -> None:
    with pytest.raises(ValueError, match=words):
        read_positions({"x_0": [1.0], "y_0": [1.0]} | column, unit=unit)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="y_0 must have 2 rows like x, found 3"):
        read_positions({"x_0": [1.0, 2], "y_0": [1.0, 2, 3]})


def test_sigma_is_read_and_must_be_positive() -> None:
    table = {"x": [1.0, 2], "y": [1.0, 2], "sigma_0": [1.5, np.nan]}
    np.testing.assert_array_equal(read_positions(table).start_shape("sigma", 2.0), [1.5, 2.0])
    with pytest.raises(ValueError, match=r"sigma_0 must be positive.*found -2\.0 in row 1"):
        read_positions(table | {"sigma_0": [1.5, -2]})


def test_an_infinite_flux_is_an_unknown_flux() -> None:
    assert np.isnan(read_positions({"x": [1.0], "y": [1.0], "flux": [np.inf]}).flux[0])


def test_prior_columns_travel_along_and_all_others_are_ignored() -> None:
    table = Table(COLUMNS)
    table["x_prior_sd"] = [0.1, 0.2, 0.3]
    table["flux_prior_mean"] = [1.0, 2.0, 3.0] * u.mJy
    table["iter_detected"] = [4, 5, 6]
    table["name"] = ["a", "b", "c"]
    catalog = read_positions(table, unit=u.uJy)
    assert set(catalog.extra) == {"x_prior_sd", "flux_prior_mean"}
    np.testing.assert_allclose(catalog.extra["flux_prior_mean"], [1e3, 2e3, 3e3], rtol=1e-15)
    np.testing.assert_array_equal(catalog.iter_detected, 1)
    np.testing.assert_array_equal(catalog.select([2, 0]).extra["x_prior_sd"], [0.3, 0.1])


@pytest.mark.parametrize("index", [[2, 0], np.array([True, False, True]), slice(1, None)])
def test_select_takes_the_same_rows_of_every_column(index) -> None:
    catalog = read_positions(COLUMNS)
    part = catalog.select(index)
    for name, column in catalog.columns().items():
        np.testing.assert_array_equal(part.columns()[name], column[index])


def test_concatenate_keeps_order_and_fills_extra_columns() -> None:
    first = build_catalog([1.0], [2.0], id=[4], extra={"x_prior_sd": [0.5]})
    second = build_catalog([3.0, 5.0], [4.0, 6.0], id=[5, 6], iter_detected=2)
    joined = Catalog.concatenate([first, second])
    np.testing.assert_array_equal(joined.x, [1, 3, 5])
    np.testing.assert_array_equal(joined.id, [4, 5, 6])
    np.testing.assert_array_equal(joined.iter_detected, [1, 2, 2])
    np.testing.assert_array_equal(joined.extra["x_prior_sd"], [0.5, np.nan, np.nan])
    assert len(Catalog.concatenate([])) == 0


def test_a_catalog_is_frozen_and_its_columns_equally_long() -> None:
    catalog = read_positions(COLUMNS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.x = catalog.y
    with pytest.raises(ValueError, match="columns of a catalog must be equally long"):
        dataclasses.replace(catalog, y=np.zeros(2))


def test_sorted_rows_do_not_depend_on_their_order() -> None:
    rng = np.random.default_rng(4)
    # Few values: many ties in x, y and flux, some of it unknown.
    x, y = rng.integers(0, 3, (2, 60)).astype(float)
    flux = np.where(rng.random(60) < 0.3, np.nan, rng.integers(0, 2, 60))
    catalog = build_catalog(x, y, flux=flux, id=rng.permutation(60))
    ordered = catalog.select(sort_order(catalog))
    shuffled = catalog.select(rng.permutation(60))
    again = shuffled.select(sort_order(shuffled))
    for name, column in ordered.columns().items():
        np.testing.assert_array_equal(again.columns()[name], column)
    assert (np.diff(ordered.x) >= 0).all()


def test_a_finders_table_is_translated_and_units_dropped() -> None:
    table = QTable({"id": [1], "x_centroid": [3.5], "y_centroid": [4.5], "flux": [7.0] * u.adu})
    columns = translate_columns(table)
    assert set(columns) == {"x", "y", "flux"}
    assert [columns[name][0] for name in ("x", "y", "flux")] == [3.5, 4.5, 7.0]
    assert set(translate_columns({"x_peak": [1], "y_peak": [2], "peak_value": [9]})) == {"x", "y"}
    with pytest.raises(ValueError, match="must have columns for x and y"):
        translate_columns(Table({"flux": [1.0]}))


@pytest.mark.parametrize("name", ["flux_prior_std", "flux_prior", "Prior_flux", "prior"])
def test_misspelt_prior_columns_are_refused(name) -> None:
    with pytest.raises(ValueError, match=f"no prior column '{name}'.*flux_prior_sd"):
        read_positions({"x_0": [3.0], "y_0": [4.0], name: [1.0]})


def test_other_columns_are_ignored() -> None:
    assert len(read_positions({"x_0": [3.0], "y_0": [4.0], "priority": [1.0]})) == 1
