"""Written results: exact round trips, and folders that are whole or not there."""

from __future__ import annotations

import json
import time

import astropy.units as u
import numpy as np
import pytest
import synthetic_result as scene
import xarray
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked

from bayesphot import storage
from bayesphot.draws import Draws
from bayesphot.result import IMAGE_NAMES, PhotometryResult

FILES = {"catalog.ecsv", "posterior.nc", "images.fits"}


def _assert_same_column(before, after):
    """Compare type, dtype, unit, mask and every value, NaN included."""
    assert type(before) is type(after)
    if isinstance(before, SkyCoord):
        assert before.frame.name == after.frame.name
        np.testing.assert_array_equal(before.ra.deg, after.ra.deg)
        np.testing.assert_array_equal(before.dec.deg, after.dec.deg)
        return
    assert before.dtype == after.dtype
    assert before.unit == after.unit
    mask = np.asarray(getattr(before, "mask", np.zeros(len(before), dtype=bool)))
    if hasattr(before, "mask"):
        np.testing.assert_array_equal(mask, after.mask)
        before, after = (
            before.unmasked if hasattr(before, "unmasked") else before.data.data,
            (after.unmasked if hasattr(after, "unmasked") else after.data.data),
        )
    np.testing.assert_array_equal(np.asarray(before)[~mask], np.asarray(after)[~mask])


def _assert_same_draws(before, after):
    for kind in ("source", "group", "stats"):
        arrays, others = getattr(before, kind), getattr(after, kind)
        assert list(arrays) == list(others)
        for name in arrays:
            assert arrays[name].dtype == others[name].dtype
            assert arrays[name].tobytes() == others[name].tobytes(), (kind, name)
    for name in ("source_id", "source_group", "group_id"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def _assert_same(before, after):
    assert before.colnames == after.colnames
    for name in before.colnames:
        _assert_same_column(before[name], after[name])
    assert before.table.meta == after.table.meta
    assert before.meta == after.meta
    if before.draws is None:
        assert after.draws is None
    else:
        _assert_same_draws(before.draws, after.draws)
    assert before.posterior.identical(after.posterior)
    for name in IMAGE_NAMES:
        one, other = getattr(before, name), getattr(after, name)
        if one is None:
            assert other is None
            continue
        assert type(one) is type(other)
        assert getattr(one, "unit", None) == getattr(other, "unit", None)
        assert one.dtype == other.dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def _make_rich_table(unit):
    """Return the table with every kind of column that is easily lost."""
    rng = np.random.default_rng(7)
    table = scene.make_table(unit=unit)
    table["single"] = rng.normal(size=5).astype(np.float32)
    table["measured"] = np.array([True, True, True, True, False])
    table["mag_median"] = MaskedColumn(rng.normal(size=5), mask=[0, 0, 1, 0, 1])
    table["whole"] = MaskedColumn(np.arange(5), mask=np.zeros(5, dtype=bool))
    table["limit"] = Masked(rng.normal(size=5) * u.mag, mask=[1, 0, 0, 0, 0])
    table["full_limit"] = Masked(rng.normal(size=5) * u.mag)
    table["comment"] = MaskedColumn(["a", "bb", "", "dddd", "e"], dtype="U9", mask=[1, 0, 0, 0, 0])
    table["blank"] = np.array([""] * 5, dtype="U6")
    table["vector"] = rng.normal(size=(5, 2))
    table["tiny"] = rng.normal(size=5) * 1e-300
    table["infinite"] = [np.inf, -np.inf, -0.0, np.nan, 0.1 + 0.2]
    table["sky_fit"] = SkyCoord(rng.uniform(0, 360, 5) * u.deg, rng.uniform(-90, 90, 5) * u.deg)
    table["tiny"].info.format = ".2f"
    table["tiny"].info.description = "a format must not cost digits"
    return table


@pytest.mark.parametrize("unit", [None, u.electron, u.MJy / u.sr, u.dimensionless_unscaled])
@pytest.mark.parametrize("sampled", [True, False])
def test_round_trip_is_exact(tmp_path, unit, sampled):
    result = scene.make_result(unit=unit, sampled=sampled, table=_make_rich_table(unit))
    result.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    _assert_same(result, PhotometryResult.read(tmp_path / "out"))


def test_a_second_round_trip_changes_nothing(tmp_path):
    result = scene.make_result(table=_make_rich_table(None))
    result.write(tmp_path / "a")
    PhotometryResult.read(tmp_path / "a").write(tmp_path / "b")
    _assert_same(result, PhotometryResult.read(tmp_path / "b"))
    catalogs = [(tmp_path / name / "catalog.ecsv").read_text() for name in "ab"]
    assert catalogs[0] == catalogs[1]


def test_missing_noise_and_other_types_of_draws_survive(tmp_path):
    flux = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
    source = {"flux": flux, "exists": flux > 0.0}
    draws = Draws(source, {}, scene.IDS, scene.GROUPS, [1, 2], {"steps": np.array([3, 4])})
    result = scene.make_result(draws=draws, noise_image=None)
    result.write(tmp_path / "out")
    _assert_same(result, PhotometryResult.read(tmp_path / "out"))


def test_an_empty_result_survives(tmp_path):
    source = {"x": np.zeros((2, 3, 0)), "flux": np.zeros((2, 3, 0))}
    draws = Draws(source, {"background": np.zeros((2, 3, 0))}, [], [], [])
    table = _make_rich_table(u.electron)[:0]
    table.remove_column("vector")  # astropy does not read an empty one back
    result = scene.make_result(unit=u.electron, table=table, draws=draws)
    result.write(tmp_path / "out")
    _assert_same(result, PhotometryResult.read(tmp_path / "out"))


def test_a_large_meta_survives(tmp_path):
    # Beyond the 64 kB that HDF5 gives to compact attributes.
    meta = {"log": ["é" * 100] * 2000, "nothing": None, "no": False, "deep": {"a": [1.5, {}]}}
    result = scene.make_result(meta=meta)
    result.write(tmp_path / "out")
    assert PhotometryResult.read(tmp_path / "out").meta == meta


def test_every_file_carries_the_schema_version(tmp_path):
    scene.make_result().write(tmp_path / "out")
    table = QTable.read(tmp_path / "out" / "catalog.ecsv")
    assert table.meta["schema_version"] == storage.SCHEMA_VERSION
    with xarray.open_datatree(tmp_path / "out" / "posterior.nc", engine="h5netcdf") as tree:
        assert tree.attrs["schema_version"] == storage.SCHEMA_VERSION
        assert tree["posterior"].attrs["schema_version"] == storage.SCHEMA_VERSION
        assert json.loads(tree.attrs["meta"]) == scene.META
    header = fits.getheader(tmp_path / "out" / "images.fits")
    assert header["schema_version"] == storage.SCHEMA_VERSION


def test_images_have_names_and_units_for_other_programs(tmp_path):
    scene.make_result(unit=u.electron).write(tmp_path / "out")
    with fits.open(tmp_path / "out" / "images.fits") as extensions:
        names = [extension.name for extension in extensions[1:]]
        assert names == ["IMAGE", "NOISE", "MODEL", "RESIDUAL", "BACKGROUND"]
        assert extensions["RESIDUAL"].header["BUNIT"] == "electron"


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        scene.make_result().write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_a_file_in_place_of_the_folder_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="found a file"):
        scene.make_result().write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_folder_is_used(tmp_path):
    scene.make_result().write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_missing_parents_are_made_and_nothing_else_is_left(tmp_path):
    returned = scene.make_result().write(tmp_path / "a" / "b")
    assert returned == tmp_path / "a" / "b"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_overwrite_replaces_the_result_and_keeps_other_files(tmp_path):
    scene.make_result().write(tmp_path / "out")
    (tmp_path / "out" / "residual.png").write_text("mine")
    scene.make_result(meta={"seed": 99}).write(tmp_path / "out", overwrite=True)
    assert PhotometryResult.read(tmp_path / "out").meta == {"seed": 99}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == FILES | {"residual.png"}


@pytest.mark.parametrize("step", ["_write_posterior", "_write_images", "_write_catalog"])
def test_a_run_that_dies_leaves_no_new_folder(tmp_path, monkeypatch, step):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, step, die)
    with pytest.raises(KeyboardInterrupt):
        scene.make_result().write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["_write_posterior", "_write_images", "_write_catalog"])
def test_a_run_that_dies_leaves_the_older_result(tmp_path, monkeypatch, step):
    result = scene.make_result()
    result.write(tmp_path / "out")

    def die(*args):
        raise OSError("disk full")

    monkeypatch.setattr(storage, step, die)
    with pytest.raises(OSError, match="disk full"):
        scene.make_result(meta={}).write(tmp_path / "out", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert PhotometryResult.read(tmp_path / "out").meta == result.meta


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        PhotometryResult.read(tmp_path / "nowhere")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(tmp_path, name):
    scene.make_result().write(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    with pytest.raises(ValueError, match=f"no complete result.*has no {name}"):
        PhotometryResult.read(tmp_path / "out")


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("content", [b"", b"no such thing\n"])
def test_a_foreign_file_is_named(tmp_path, name, content):
    scene.make_result().write(tmp_path / "out")
    (tmp_path / "out" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a readable file of a result"):
        PhotometryResult.read(tmp_path / "out")


def test_an_ecsv_table_of_other_origin_is_refused(tmp_path):
    scene.make_result().write(tmp_path / "out")
    QTable({"id": [1]}).write(tmp_path / "out" / "catalog.ecsv", overwrite=True)
    with pytest.raises(ValueError, match="schema_version must be an integer, found None"):
        PhotometryResult.read(tmp_path / "out")


def test_a_newer_layout_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SCHEMA_VERSION", 2)
    scene.make_result().write(tmp_path / "out")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="schema_version 2 is not known here"):
        PhotometryResult.read(tmp_path / "out")


def test_files_of_different_results_are_refused(tmp_path):
    scene.make_result().write(tmp_path / "a")
    scene.make_result(table=scene.make_table()[:2], draws=None).write(tmp_path / "b")
    (tmp_path / "b" / "catalog.ecsv").replace(tmp_path / "a" / "catalog.ecsv")
    with pytest.raises(ValueError, match="do not make one result"):
        PhotometryResult.read(tmp_path / "a")


def test_the_catalogue_of_5000_sources_takes_less_than_two_seconds(tmp_path):
    rng = np.random.default_rng(2)
    ids = np.arange(5000)
    table = QTable({"id": ids, "group_id": ids})
    for number in range(45):
        table[f"column_{number}"] = rng.normal(size=5000)
    start = time.process_time()
    storage._write_catalog(tmp_path / "catalog.ecsv", table)
    # Measured 0.6 s; CPU time, so that a busy machine does not fail it.
    assert time.process_time() - start < 2.0
