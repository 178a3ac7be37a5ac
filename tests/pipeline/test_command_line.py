"""The command line as it is, without stand-ins: simulate, run, demo, warmup, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal

import bayesphot as bp
from bayesphot.cli import main

FILES = {"catalog.ecsv", "posterior.nc", "images.fits", "photometry.png"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """A small simulated field."""
    path = tmp_path_factory.mktemp("field") / "field.fits"
    arguments = ["--size", "60", "50", "--sources", "8", "--sigma", "1.8", "--flux", "1500", "4000"]
    arguments += ["--min-separation", "5", "--seed", "4", "--quiet"]
    assert main(["simulate", "--out", str(path), *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def finished(simulated, tmp_path_factory) -> Path:
    """The folder of a run on it."""
    out = tmp_path_factory.mktemp("run") / "result"
    run_field(simulated, out)
    return out


def run_field(simulated: Path, out: Path, *options: str) -> None:
    """Run the field and expect success."""
    error = ["--error", f"{simulated}[ERROR]"]
    base = ["run", str(simulated), "--sigma", "1.8", *error, "--seed", "1", "--jobs", "1"]
    assert main([*base, "--quiet", "--out", str(out), *options]) == 0


def start_program(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run the program in a process of its own."""
    root = Path(bp.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "bayesphot", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment, check=False
    )


def test_simulated_field_holds_image_error_and_truth(simulated):
    """Three extensions, the size asked for."""
    with fits.open(simulated) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["ERROR", "TRUTH"]
        assert hdus[0].shape == (60, 50)
        assert len(hdus["TRUTH"].data) == 8


def test_run_finds_the_simulated_stars(simulated, finished):
    """Catalogue with posteriors, draws, images and picture; each true star once."""
    assert {path.name for path in finished.iterdir()} >= FILES
    result = bp.PhotometryResult.read(finished)
    truth = QTable.read(simulated, hdu="TRUTH")
    assert len(result) == len(truth)
    for star in truth:
        row = np.hypot(result["x_fit"] - star["x_0"], result["y_fit"] - star["y_0"]).argmin()
        for name, value in (("x", star["x_0"]), ("y", star["y_0"]), ("flux", star["flux"])):
            pull = (result[f"{name}_median"][row] - value) / result[f"{name}_err"][row]
            assert abs(pull) < 4.5
    assert result.posterior.sizes["draw"] == 500
    image = fits.getdata(simulated)
    assert_allclose(result.model_image + result.residual_image, image, rtol=1e-6)


def test_run_equals_the_python_interface(simulated, finished):
    """The defaults of the command line, written down."""
    fwhm = bp.IntegratedGaussianPRF(sigma=1.8).fwhm
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.8),
        fitshape=(11, 11),
        finder=bp.DAOStarFinder(fwhm=fwhm, sigma_radius=2.5, nsigma=5.0),
        group_maker=bp.DAOGroup(1.5 * fwhm),
        bkg_estimator=bp.MMMBackground(),
        niters=3,
        seed=1,
    )
    with fits.open(simulated) as hdus:
        expected = phot(hdus[0].data, error=hdus["ERROR"].data)
    result = bp.PhotometryResult.read(finished)
    for name in ("id", "x_fit", "flux_median", "r_hat", "flags"):
        assert_array_equal(result[name], expected[name])


def test_a_psf_of_a_file_measures_as_the_gaussian_it_holds(simulated, finished, tmp_path):
    """Sampled five times a pixel, the pixel's response put in: fluxes to a thousandth."""
    offset = np.arange(-50, 51) / 5
    y, x = np.meshgrid(offset, offset, indexing="ij")
    bell = bp.IntegratedGaussianPRF(sigma=1.8)(x, y)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(bell, name="PSF")]).writeto(tmp_path / "p.fits")
    folder = tmp_path / "out"
    options = ["--psf", f"{tmp_path / 'p.fits'}[PSF]", "--psf-oversampling", "5"]
    error = f"{simulated}[ERROR]"
    chosen = ["--error", error, "--sampler", "none", "--quiet", "--out", str(folder)]
    assert main(["run", str(simulated), *options, *chosen]) == 0
    result, expected = (bp.PhotometryResult.read(path) for path in (folder, finished))
    assert_array_equal(result["id"], expected["id"])
    np.testing.assert_allclose(result["flux_fit"], expected["flux_fit"], rtol=1e-3)


def test_number_of_jobs_changes_nothing(simulated, finished, tmp_path):
    """Same seed, same answer."""
    run_field(simulated, tmp_path / "two", "--jobs", "2")
    first, second = (bp.PhotometryResult.read(path) for path in (finished, tmp_path / "two"))
    assert_array_equal(first["flux_median"], second["flux_median"])


OPTIONS = {
    "free sigma of the image": ["--fit-sigma", "--shape", "image", "--zero-point", "25"],
    "least squares only": ["--sampler", "none", "--niters", "none", "--background", "flat"],
    "no sky": ["--background", "none", "--sampler", "none", "--nsigma", "20"],
    "threshold": ["--threshold", "40", "--niters", "1", "--draws", "100", "--chains", "5"],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_reach_the_photometry(simulated, tmp_path, name):
    """Each ends in a catalogue whose meta shows it."""
    run_field(simulated, tmp_path / "out", *OPTIONS[name])
    result = bp.PhotometryResult.read(tmp_path / "out")
    arguments = result.meta["arguments"]
    if name == "free sigma of the image":
        assert np.unique(result["sigma_fit"]).size == 1
        assert abs(result["sigma_median"][0] - 1.8) < 4.5 * result["sigma_err"][0]
        assert np.all(np.isfinite(result["mag_median"]))
    elif name == "least squares only":
        assert np.all(np.isnan(result["flux_median"]))
        assert arguments["niters"] == "None"
    elif name == "no sky":
        assert_array_equal(result["background_fit"], 0.0)
    else:
        assert result.posterior.sizes["chain"] == 5
        assert arguments["niters"] == "1"


def test_gain_and_mask_are_heeded(simulated, tmp_path):
    """Variance from the model; no star in masked pixels."""
    mask = np.zeros((60, 50), dtype=np.uint8)
    mask[:30] = 1
    fits.writeto(tmp_path / "mask.fits", mask)
    out = tmp_path / "out"
    arguments = ["run", str(simulated), "--fwhm", "4.24", "--gain", "4", "--read-noise", "10"]
    arguments += ["--mask", str(tmp_path / "mask.fits"), "--quiet", "--out", str(out)]
    assert main(arguments) == 0
    result = bp.PhotometryResult.read(out)
    assert "CCDNoise(gain=4.0" in result.meta["noise"]
    assert len(result) > 0
    assert np.all(result["y_fit"] > 29.0)


def test_finished_results_are_not_overwritten(simulated, finished, capsys):
    """One line, code 2, nothing changed; --overwrite replaces."""
    before = {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}
    arguments = ["run", str(simulated), "--sigma", "1.8", "--quiet", "--out", str(finished)]
    assert main(arguments) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert str(finished) in complaint
    assert "--overwrite" in complaint
    assert {path.name: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_overwriting_replaces_the_result(simulated, tmp_path):
    """Where it is asked for."""
    run_field(simulated, tmp_path / "out", "--sampler", "none")
    run_field(simulated, tmp_path / "out", "--sampler", "none", "--nsigma", "6", "--overwrite")
    result = bp.PhotometryResult.read(tmp_path / "out")
    assert "nsigma=6" in result.meta["arguments"]["finder"]


def make_bad_files(folder: Path) -> dict[str, list[str]]:
    """Files that are no images, and the arguments that name them."""
    (folder / "text.fits").write_text("not a FITS file\n")
    (folder / "empty.fits").write_bytes(b"")
    fits.writeto(folder / "good.fits", np.ones((20, 20)))
    fits.writeto(folder / "cube.fits", np.ones((2, 20, 20)))
    fits.writeto(folder / "other.fits", np.ones((21, 20)))
    fits.writeto(folder / "negative.fits", np.full((20, 20), -1.0))
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=[1.0])], name="CAT")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "table.fits")
    cut = (folder / "good.fits").read_bytes()[:4000]
    (folder / "cut.fits").write_bytes(cut)
    good = str(folder / "good.fits")
    return {
        "missing": [str(folder / "missing.fits")],
        "folder": [str(folder)],
        "text": [str(folder / "text.fits")],
        "empty": [str(folder / "empty.fits")],
        "cut": [str(folder / "cut.fits")],
        "table": [str(folder / "table.fits")],
        "cube": [str(folder / "cube.fits")],
        "extension": [f"{good}[SCI]"],
        "extension number": [good, "--ext", "7"],
        "shape": [good, "--error", str(folder / "other.fits")],
        "negative": [good, "--error", str(folder / "negative.fits")],
        "mask": [good, "--mask", str(folder / "other.fits")],
        "keyword": [good, "--gain", "NOSUCH"],
        "even": [good, "--fitshape", "10"],
        "chains": [good, "--chains", "2"],
        "out": [good, "--out", f"{good}/below"],
    }


NAMES = [
    "missing", "folder", "text", "empty", "cut", "table", "cube", "extension", "extension number",
    "shape", "negative", "mask", "keyword", "even", "chains", "out",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_one_line_and_code_2(tmp_path, capsys, monkeypatch, name):
    """No traceback, nothing written."""
    (tmp_path / "in").mkdir()
    (tmp_path / "work").mkdir()
    arguments = make_bad_files(tmp_path / "in")[name]
    monkeypatch.chdir(tmp_path / "work")
    try:
        code = main(["run", *arguments, "--sigma", "2"])
    except SystemExit as end:
        code = end.code
    complaint = capsys.readouterr().err
    assert code == 2
    assert complaint.startswith("bayesphot: error: ")
    assert complaint.count("\n") == 1, complaint
    assert list((tmp_path / "work").iterdir()) == []


def test_unreadable_image_in_a_process_of_its_own(tmp_path):
    """As a shell sees it."""
    (tmp_path / "text.fits").write_text("not a FITS file\n")
    done = start_program("run", "text.fits", "--fwhm", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("bayesphot: error: ")
    assert "text.fits" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_image_without_a_good_pixel_is_refused(tmp_path, capsys):
    fits.writeto(tmp_path / "nothing.fits", np.full((30, 30), np.nan))
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "nothing.fits"), "--sigma", "2", "--out", str(out)]) == 2
    assert "all 900 are masked or not finite" in capsys.readouterr().err
    assert not out.exists()


def test_blank_image_gives_an_empty_catalogue(tmp_path, capsys):
    """Success, a warning, and a result that can be read."""
    image = np.random.default_rng(1).normal(10.0, 2.0, (40, 40))
    fits.writeto(tmp_path / "blank.fits", image)
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code = main(["run", str(tmp_path / "blank.fits"), "--sigma", "2", "--out", str(out)])
    assert code == 0
    assert "no source was found" in capsys.readouterr().err
    result = bp.PhotometryResult.read(out)
    assert len(result) == 0
    assert "flux_median" in result.colnames


def test_demo_compares_truth_and_posterior_and_writes(tmp_path):
    """The README's first command, as a shell runs it; a second time it refuses."""
    done = start_program("demo", "--out", "demo", "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "demo").iterdir()} >= FILES
    assert "150 true stars" in done.stdout
    assert "sd of pulls" in done.stdout
    assert "written to demo" in done.stdout
    result = bp.PhotometryResult.read(tmp_path / "demo")
    assert 120 <= len(result) <= 160
    again = start_program("demo", "--out", "demo", cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_warmup_says_how_long_it_took(capsys):
    """And is quiet when told."""
    assert main(["warmup"]) == 0
    assert "compiled in" in capsys.readouterr().out
    assert main(["warmup", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_calibrate_writes_table_picture_and_summary(tmp_path, capsys):
    """The command and the call give the same ranks from the same seed."""
    command = "calibrate --sigma 1.5 --error 3 --flux 150 3000 --sources 2 --separation 3 4"
    out = tmp_path / "calibration"
    options = ["--simulations", "40", "--seed", "4", "--jobs", "1", "--out", str(out)]
    assert main([*command.split(), *options]) == 0
    assert "80 sources in 40 groups, seed 4" in capsys.readouterr().out
    names = {"calibration.ecsv", "calibration.png", "calibration.txt"}
    assert {path.name for path in out.iterdir()} == names
    phot = bp.BasicPSFPhotometry(psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11)
    result = bp.calibrate(
        phot, n_simulations=40, flux=bp.PowerLaw(-1.0, 150.0, 3000.0), error=3.0, n_sources=2,
        separation=(3.0, 4.0), seed=4,
    )  # fmt: skip
    assert_array_equal(
        QTable.read(out / "calibration.ecsv")["flux_rank"], result.table["flux_rank"]
    )
