"""`bayesphot companions`: from an image to a folder, and one line for what is wrong."""

from __future__ import annotations

import pytest
from astropy.io import fits
from astropy.table import QTable

import bayesphot as bp
from bayesphot.cli import main


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    stars = {"x_0": [15.3, 12.4], "y_0": [14.8, 16.5], "flux": [12000.0, 900.0]}
    scene = bp.simulate_scene(
        (31, 31), sources=stars, sigma=1.5, background=100.0, noise=10.0, seed=8
    )
    path = tmp_path_factory.mktemp("companions") / "pair.fits"
    fits.writeto(path, scene.image)
    return path


def call(image, folder, *more) -> int:
    common = ["companions", str(image), "--target", "15", "15", "--sigma", "1.5", "--error", "10"]
    return main([*common, "--radius", "6", "--out", str(folder), *more])


def test_an_image_gives_map_pair_limits_and_picture(image, tmp_path, capsys):
    folder = tmp_path / "out"
    options = ("--pixel-scale", "0.1", "--north", "30", "--false-positives", "20", "--jobs", "1")
    assert call(image, folder, *options) == 0
    printed = capsys.readouterr().out
    assert "p_companion 1 " in printed
    assert "20 images" in printed
    names = {"map.fits", "contrast.ecsv", "companion.ecsv", "map.png"}
    assert {path.name for path in folder.iterdir()} == names
    row = QTable.read(folder / "companion.ecsv")
    assert row["resolved"][0]
    # The angle from +y, 59.6 degrees, less the direction of north; five errors of 2.4.
    assert abs(row["position_angle_median"][0].value - 29.6) < 12.0


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--target", "200", "15"), "cannot be measured"),
        (("--probability", "2"), "probability"),
        (("--flux-ratio", "1", "0.1"), "low"),
        (("--step", "100"), "step"),
        (("--north", "nan"), "north"),
    ],
)
def test_bad_use_is_one_line(image, tmp_path, capsys, more, word):
    try:
        code = call(image, tmp_path / "out", *more)
    except SystemExit as left:
        code = left.code
    assert code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert word in text


def test_a_folder_is_not_written_over(image, tmp_path, capsys):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "map.fits").write_text("mine")
    assert call(image, folder) == 2
    assert "exists" in capsys.readouterr().err
    assert (folder / "map.fits").read_text() == "mine"
