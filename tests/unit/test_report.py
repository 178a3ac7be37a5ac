"""What the command line says of a result, and the folder it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from bayesphot import Flag, PhotometryResult
from bayesphot.report import (
    PICTURE,
    describe_comparison,
    describe_result,
    match_truth,
    write_report,
)

FILES = ["catalog.ecsv", "images.fits", PICTURE, "posterior.nc"]


def make_result(
    x: list[float], y: list[float], flux: list[float], *, error: float = 0.1, **columns: list
) -> PhotometryResult:
    """Return a result of given positions and fluxes, each star a group of its own."""
    number = len(x)
    table = QTable({"id": np.arange(1, number + 1), "group_id": np.arange(1, number + 1)})
    for name, values in (("x", x), ("y", y), ("flux", flux)):
        center = np.array(values, dtype=float)
        for kind, shift in (("fit", 0.0), ("median", 0.0), ("lo", -error), ("hi", error)):
            table[f"{name}_{kind}"] = center + shift
        table[f"{name}_err"] = np.full(number, error)
    defaults = {"group_size": 1, "flags": 0, "engine": "independence", "r_hat": 1.001}
    for name, value in (defaults | {"ess_bulk": 900.0, "ess_tail": 700.0}).items():
        table[name] = columns.get(name, [value] * number)
    blank = np.zeros((32, 32))
    return PhotometryResult(table, None, blank, blank, blank, blank, blank + 1.0)


def make_truth(x: list[float], y: list[float], flux: list[float]) -> QTable:
    """Return a table of true stars."""
    return QTable({"id": np.arange(1, len(x) + 1), "x_0": x, "y_0": y, "flux": flux})


def test_the_summary_counts_sources_groups_flags_and_engines() -> None:
    flags = [int(Flag.TRUNCATED), int(Flag.OFF_IMAGE), 0]
    result = make_result(
        [5, 50, 9], [5, 5, 9], [1, 1, 1], flags=flags, engine=["independence", "", "emcee"]
    )
    text = describe_result(result)
    assert "3 sources in 3 groups (largest: 1 source); 1 not measured, 2 flagged" in text
    assert "flags: OFF_IMAGE 1, TRUNCATED 1" in text
    assert "emcee 1" in text
    assert "R-hat 1.0010, effective draws 700" in text


def test_the_summary_of_an_empty_result_says_so() -> None:
    assert describe_result(make_result([], [], [])) == "no sources found"


def test_the_summary_without_sampling_has_no_diagnostics() -> None:
    result = make_result([5.0], [5.0], [1.0], r_hat=[np.nan], engine=["least_squares"])
    assert "R-hat" not in describe_result(result)


def test_matching_is_one_to_one_and_finds_the_missed_and_the_false() -> None:
    truth = make_truth([5, 6, 20, 28], [5, 5, 20, 28], [1, 1, 1, 1])
    result = make_result([5.1, 20, np.nan, 12], [5, 20.2, 28, 12], [1, 1, 1, 1])
    match = match_truth(result, truth, radius=2.0)
    assert match.row.tolist() == [0, 1]
    assert match.star.tolist() == [0, 2]
    assert match.missed.tolist() == [1, 3]
    assert match.false.tolist() == [3]
    # The star at x = 5 hides the missed one at x = 6.
    assert match.resolved.tolist() == [False, True]


@pytest.mark.parametrize(("n_stars", "n_rows"), [(0, 2), (2, 0), (0, 0)])
def test_matching_nothing_is_no_error(n_stars: int, n_rows: int) -> None:
    truth = make_truth([5.0] * n_stars, [5.0] * n_stars, [1.0] * n_stars)
    result = make_result([5.0] * n_rows, [5.0] * n_rows, [1.0] * n_rows)
    match = match_truth(result, truth, radius=2.0)
    assert (match.row.size, match.missed.size, match.false.size) == (0, n_stars, n_rows)


def test_the_comparison_has_coverage_pulls_and_rows() -> None:
    # Offsets of half and of twice the error: half of the truths lie inside, pulls of +-0.5, +-2.
    places = [5.0, 10.0, 15.0, 20.0]
    truth = make_truth(places, places, [100.0] * 4)
    offset = np.array([0.05, -0.05, 0.2, -0.2])
    result = make_result(
        list(places + offset), list(places + offset), list(100 + offset), error=0.1
    )
    text = describe_comparison(result, truth, radius=2.0)
    expected = np.std([0.5, -0.5, 2.0, -2.0], ddof=1)
    assert "4 true stars: 4 found, 0 missed, 0 false sources" in text
    assert text.count("50.0%") == 6
    assert text.count(f"{expected:.2f}") == 6
    assert text.count("100 ± 0") == 4


def test_the_comparison_with_nothing_found_is_one_line() -> None:
    text = describe_comparison(make_result([], [], []), make_truth([5], [5], [1]), radius=2.0)
    assert text == "1 true star: 0 found, 1 missed, 0 false sources"


def test_a_report_is_the_three_files_and_a_picture(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    assert write_report(make_result([5.0], [6.0], [7.0]), folder) == sorted(FILES)
    assert (folder / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert PhotometryResult.read(folder)["x_fit"][0] == 5.0
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_a_report_that_exists_is_kept_unless_overwritten(tmp_path: Path) -> None:
    write_report(make_result([5.0], [6.0], [7.0]), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    newer = make_result([9.0], [6.0], [7.0])
    with pytest.raises(FileExistsError):
        write_report(newer, tmp_path / "out")
    assert PhotometryResult.read(tmp_path / "out")["x_fit"][0] == 5.0
    write_report(newer, tmp_path / "out", overwrite=True)
    assert PhotometryResult.read(tmp_path / "out")["x_fit"][0] == 9.0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("existed", [False, True])
def test_a_picture_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    folder = tmp_path / "out"
    if existed:
        write_report(make_result([5.0], [6.0], [7.0]), folder)

    def fail(self: PhotometryResult, **settings: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(PhotometryResult, "plot", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(make_result([9.0], [6.0], [7.0]), folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * existed
    if existed:
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        assert PhotometryResult.read(folder)["x_fit"][0] == 5.0
