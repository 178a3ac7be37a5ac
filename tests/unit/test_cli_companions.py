"""`bayesphot companions`: from an image to a folder, and one line for what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

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


@pytest.fixture(scope="module")
def sky_image(image):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cdelt = (16.0, 16.0), (83.0, -10.0), (-1e-5, 1e-5)
    path = image.parent / "sky.fits"
    fits.writeto(path, fits.getdata(image), wcs.to_header())
    return path


def call(image, folder, *more, target=("--target", "15", "15")) -> int:
    common = ["companions", str(image), *target, "--sigma", "1.5", "--error", "10"]
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
    assert row.meta["false_positives"]["n"] == 20
    assert row.meta["target"]["x"] == pytest.approx(15.3, abs=0.1)
    curve = QTable.read(folder / "contrast.ecsv")
    assert (curve["separation"].unit, curve["delta_mag"].unit) == ("pix", "mag")
    assert all(curve[name].info.description for name in curve.colnames)
    assert "LogUniform" in str(fits.getheader(folder / "map.fits")["COMMENT"])
    # The angle from +y, 59.6 degrees, less the direction of north; five errors of 2.4.
    assert abs(row["position_angle_median"][0].value - 29.6) < 12.0


def test_a_confirmed_companion_has_its_evidence_with_an_error(image, tmp_path, capsys):
    folder = tmp_path / "out"
    assert call(image, folder, "--confirm", "--pixel-scale", "0.1") == 0
    printed = capsys.readouterr().out
    assert "by sampling: p_companion 1, ln(evidence ratio)" in printed
    assert "given that there is a companion" not in printed
    table = QTable.read(folder / "companion.ecsv")
    by_map, by_draws = (
        table.meta[name] for name in ("log_evidence_ratio", "confirmed_log_evidence_ratio")
    )
    assert by_draws == pytest.approx(by_map, abs=0.3)
    assert 0.0 < table.meta["confirmed_log_evidence_ratio_err"] < 0.2
    assert table["separation_arcsec_median"][0].value == pytest.approx(0.34, abs=0.08)


def test_an_old_result_is_replaced_whole_or_not_at_all(image, tmp_path, capsys):
    folder = tmp_path / "out"
    assert call(image, folder) == 0
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "map.png").unlink()
    (folder / "map.png").mkdir()
    assert call(image, folder, "--overwrite") == 2
    assert "is a folder, and cannot be replaced" in capsys.readouterr().err
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(after) == set(before)
    assert all(after[name] == before[name] for name in after if name != "map.png")
    assert call(image, tmp_path / ("x" * 300)) == 2
    assert "--out cannot be written: File name too long" in capsys.readouterr().err


def test_errors_have_the_unit_of_the_image(image, tmp_path, capsys):
    data = fits.getdata(image)
    here = tmp_path / "image.fits"
    fits.writeto(here, data, fits.Header({"BUNIT": "Jy"}))
    common = ["companions", str(here), "--target", "15", "15", "--sigma", "1.5", "--radius", "6"]
    found = []
    for unit, scale in (("Jy", 1.0), ("mJy", 1e3)):
        error = tmp_path / f"{unit}.fits"
        fits.writeto(error, np.full(data.shape, 10.0 * scale), fits.Header({"BUNIT": unit}))
        assert main([*common, "--error", str(error), "--out", str(tmp_path / unit)]) == 0
        found.append(fits.getheader(tmp_path / unit / "map.fits")["LOG_EVID"])
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    error = tmp_path / "electron.fits"
    fits.writeto(error, np.full(data.shape, 10.0), fits.Header({"BUNIT": "electron"}))
    assert main([*common, "--error", str(error), "--out", str(tmp_path / "c")]) == 2
    assert "--error must be in the unit of the image" in capsys.readouterr().err


# What is tested is that the warning is shown, as a line on stderr, and stops nothing.
@pytest.mark.filterwarnings("default:not confirmed")
def test_a_map_is_kept_where_the_confirmation_fails(image, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no draws")

    monkeypatch.setattr(bp.CompanionMap, "confirm", fail)
    assert call(image, tmp_path / "out", "--confirm") == 0
    assert "not confirmed by sampling: no draws" in capsys.readouterr().err
    assert (tmp_path / "out" / "map.fits").exists()


def test_a_larger_box_reaches_the_wings_of_a_saturated_target(image, tmp_path, capsys):
    """As the error says, that asks for one."""
    deep = ("--saturation", "101")
    assert call(image, tmp_path / "small", "--box", "13", *deep) == 2
    assert "a larger box= reaches its wings" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call(image, tmp_path / "even", "--box", "14")
    assert "argument --box: must be odd, found 14" in capsys.readouterr().err
    assert call(image, tmp_path / "large", "--box", "31") == 0


def test_a_target_on_the_sky_is_that_of_its_pixels(image, sky_image, tmp_path, capsys):
    assert call(image, tmp_path / "pixels") == 0
    assert call(sky_image, tmp_path / "sky", target=("--target-sky", "83", "-10")) == 0
    one, two = (
        fits.getheader(tmp_path / name / "map.fits")["X_TARGET"] for name in ("pixels", "sky")
    )
    assert one == pytest.approx(two, abs=1e-6)


@pytest.mark.parametrize(
    ("ra", "dec", "word"),
    [
        ("83", "-100", "--target-sky"),
        ("263", "10", "must have a place"),
        ("83", "nan", "must be a number"),
        ("83.01", "-10", "off the image"),
    ],
)
def test_a_bad_target_on_the_sky_is_one_line(sky_image, tmp_path, capsys, ra, dec, word):
    try:
        code = call(sky_image, tmp_path / "out", target=("--target-sky", ra, dec))
    except SystemExit as left:
        code = left.code
    text = capsys.readouterr().err
    assert (code, text.count("\n")) == (2, 1)
    assert word in text


def test_a_target_on_the_sky_needs_a_wcs(image, tmp_path, capsys):
    assert call(image, tmp_path / "out", target=("--target-sky", "83", "-10")) == 2
    assert "no celestial WCS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--target", "200", "15"), "off the image of 31 x 31"),
        (("--target-sky", "83", "10"), "not allowed with"),
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
