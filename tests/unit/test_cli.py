"""The command line: what it asks of the package, what it refuses, what it prints and leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import gaussian_sigma_to_fwhm
from astropy.table import QTable

import bayesphot as bp
from bayesphot.cli import main

FILES = {"catalog.ecsv", "posterior.nc", "images.fits", "photometry.png"}


class FakePhotometry:
    """Stands in for the photometry: remembers what it was given, returns one known star."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        FakePhotometry.last = self

    def __call__(self, image, error=None, mask=None, positions=None) -> bp.PhotometryResult:
        self.image, self.error, self.mask = image, error, mask
        table = QTable({"id": [1], "group_id": [1], "group_size": [1], "flags": [0]})
        table["engine"] = ["independence"]
        for name in ("x", "y", "flux"):
            for kind, value in (("fit", 9.0), ("median", 9.0), ("lo", 8.9), ("hi", 9.1)):
                table[f"{name}_{kind}"] = [value]
            table[f"{name}_err"] = [0.1]
        for name in ("r_hat", "ess_bulk", "ess_tail"):
            table[name] = [1.0]
        data = np.array(getattr(image, "data", image), dtype=float)
        blank = np.zeros(data.shape)
        return bp.PhotometryResult(table, None, blank, data, blank, data, blank + 1.0)


class FakeSampler:
    """Stands in for a sampler."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings


@pytest.fixture
def photometry(monkeypatch: pytest.MonkeyPatch) -> type[FakePhotometry]:
    """Replace photometry, samplers and drawing (0.3 s a picture), which have tests of their own."""
    FakePhotometry.last = None
    monkeypatch.setattr(bp.PhotometryResult, "plot", lambda self, path: Path(path).touch())
    monkeypatch.setitem(vars(bp), "IterativelySubtractedPSFPhotometry", FakePhotometry)
    monkeypatch.setitem(vars(bp), "Sampler", FakeSampler)
    monkeypatch.setitem(vars(bp), "EmceeSampler", type("FakeEmcee", (FakeSampler,), {}))
    return FakePhotometry


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Replace the calibration, which has tests of its own; return what it was given."""
    given: dict = {}

    class FakeResult:
        def summary(self) -> str:
            return "20 sources in 20 groups"

        def write(self, folder, *, overwrite: bool) -> None:
            Path(folder).mkdir(parents=True, exist_ok=overwrite)
            (Path(folder) / "calibration.ecsv").touch()

    def calibrate(phot: object, **settings: object) -> FakeResult:
        given.update(phot=phot, **settings)
        return FakeResult()

    monkeypatch.setitem(vars(bp), "calibrate", calibrate)
    return given


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write an image with error, quality and header; return its name in the working folder."""
    monkeypatch.chdir(tmp_path)
    primary = fits.PrimaryHDU(np.arange(400.0, dtype=">f4").reshape(20, 20))
    primary.header["GAIN"] = (9.0, "e/ADU")
    primary.header["RDNOISE"] = (1.5, "ADU")
    primary.header["RON"] = (12.0, "electrons")
    quality = np.zeros((20, 20), dtype=np.int16)
    quality[3, 4] = 8
    extensions = [
        primary,
        fits.ImageHDU(np.full((20, 20), 2.0), name="ERR"),
        fits.ImageHDU(quality, name="DQ"),
        fits.ImageHDU(np.ones((5, 5)), name="SMALL"),
        fits.ImageHDU(np.full((20, 20), -1.0), name="NEGATIVE"),
    ]
    fits.HDUList(extensions).writeto("image.fits")
    return "image.fits"


def expect_refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run what has to be refused, and return the one line on stderr."""
    try:
        code = main(arguments)
    except SystemExit as problem:
        code = problem.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("bayesphot: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_run_writes_all_files_and_says_so(
    image: str, photometry: type[FakePhotometry], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", image, "--fwhm", "3"]) == 0
    assert {path.name for path in Path("image_bayesphot").iterdir()} == FILES
    said = capsys.readouterr()
    assert "1 source in 1 group" in said.out
    assert "time " in said.out
    assert "written to image_bayesphot: catalog.ecsv, images.fits" in said.out
    assert said.err == ""


def test_quiet_run_says_nothing(
    image: str, photometry: type[FakePhotometry], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", image, "--fwhm", "3", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert photometry.last.settings["progress_bar"] is False


def test_run_with_defaults_is_a_find_group_sample_run(
    image: str, photometry: type[FakePhotometry]
) -> None:
    assert main(["run", image, "--sigma", "1.5"]) == 0
    settings = photometry.last.settings
    fwhm = 1.5 * 2.3548200
    assert settings["psf_model"].sigma.value == 1.5
    assert settings["psf_model"].sigma.fixed
    assert settings["fitshape"] == (11, 11)
    assert settings["finder"].nsigma == 5.0
    assert settings["finder"].fwhm == pytest.approx(fwhm)
    assert settings["group_maker"].crit_separation == pytest.approx(1.5 * fwhm)
    assert settings["bkg_estimator"] == bp.MMMBackground()
    assert settings["fit_background"] == "prior"
    assert settings["sampler"].settings == {"draws": 500, "chains": 4}
    assert settings["noise"] is None
    assert (settings["niters"], settings["max_group_size"], settings["seed"]) == (3, 20, None)
    assert photometry.last.error is None
    assert photometry.last.mask is None
    assert photometry.last.image.data[1, 2] == 22.0


def test_run_hands_every_option_on(image: str, photometry: type[FakePhotometry]) -> None:
    options = (
        "--fwhm 6 --fit-sigma --shape image --error 2.5 --mask image.fits[DQ] --threshold 40 "
        "--niters none --fitshape 9 --crit-separation 7 --max-group-size 5 --background plane "
        "--sampler emcee --draws 100 --chains 6 --zero-point 25 --seed 3 --jobs 1 --out new/deep"
    )
    assert main(["run", image, *options.split()]) == 0
    settings = photometry.last.settings
    assert settings["psf_model"].sigma.value == pytest.approx(6 / 2.3548200)
    assert not settings["psf_model"].sigma.fixed
    assert settings["shape"] == "image"
    assert settings["finder"].threshold == 40.0
    assert settings["finder"].nsigma is None
    assert settings["niters"] is None
    assert settings["fitshape"] == (9, 9)
    assert settings["group_maker"].crit_separation == 7.0
    assert settings["max_group_size"] == 5
    assert settings["fit_background"] == "plane"
    assert type(settings["sampler"]).__name__ == "FakeEmcee"
    assert settings["sampler"].settings == {"draws": 100, "chains": 6}
    assert (settings["zero_point"], settings["seed"], settings["n_jobs"]) == (25.0, 3, 1)
    assert photometry.last.error == 2.5
    assert np.argwhere(photometry.last.mask).tolist() == [[3, 4]]
    assert {path.name for path in Path("new/deep").iterdir()} == FILES


def test_run_reads_errors_from_an_extension_and_can_do_without_sampling_and_sky(
    image: str, photometry: type[FakePhotometry]
) -> None:
    arguments = ["--fwhm", "3", "--error", "image.fits[ERR]", "--sampler", "none"]
    assert main(["run", image, *arguments, "--background", "none"]) == 0
    assert np.all(photometry.last.error == 2.0)
    assert photometry.last.settings["sampler"] is False
    assert photometry.last.settings["bkg_estimator"] is None
    assert photometry.last.settings["fit_background"] is False


@pytest.mark.parametrize(
    ("option", "estimator"),
    [
        ("--mesh 32", bp.MeshBackground(32)),
        ("--annulus 12 20.5", bp.AnnulusBackground(12.0, 20.5)),
    ],
)
def test_run_takes_a_sky_that_varies(
    image: str, photometry: type[FakePhotometry], option: str, estimator: object
) -> None:
    assert main(["run", image, "--fwhm", "3", *option.split()]) == 0
    assert photometry.last.settings["bkg_estimator"] == estimator
    assert photometry.last.settings["fit_background"] == "prior"


@pytest.mark.parametrize("spelling", [["image.fits[ERR]"], ["image.fits", "--ext", "ERR"]])
def test_run_takes_the_extension_that_is_named(
    image: str, photometry: type[FakePhotometry], spelling: list[str]
) -> None:
    assert main(["run", *spelling, "--fwhm", "3"]) == 0
    assert np.all(photometry.last.image.data == 2.0)
    assert Path("image_bayesphot").is_dir()


@pytest.mark.parametrize(
    ("options", "noise"),
    [
        ("--noise normal", None),
        ("--noise ccd --gain 4 --read-noise 6", bp.CCDNoise(4.0, 6.0)),
        ("--noise poisson", bp.PoissonNoise()),
        ("--noise student:4", bp.StudentTNoise(4.0)),
        ("--noise contaminated:0.01,30 --error 2.5", bp.ContaminatedGaussian(0.01, 30.0)),
        ("--correlation 1.5", bp.NormalNoise(correlation=1.5)),
        ("--inflation 0.3 --error 2", bp.NormalNoise(inflation=bp.LogNormal(1.0, 0.3))),
        (
            "--noise student:4 --correlation 2 --inflation 0.2",
            bp.StudentTNoise(4.0, inflation=bp.LogNormal(1.0, 0.2), correlation=2.0),
        ),
    ],
)
def test_noise_is_chosen_by_name(image, photometry, options, noise) -> None:
    assert main(["run", image, "--fwhm", "3", *options.split()]) == 0
    assert photometry.last.settings["noise"] == noise


@pytest.mark.parametrize(
    ("option", "level"), [("800", 800.0), ("header", 390.0), ("full", 500.0), (None, None)]
)
def test_the_saturation_level_comes_from_a_number_or_the_header(image, photometry, option, level):
    with fits.open(image, mode="update") as hdus:
        hdus[0].header["SATURATE"] = 390.0
        hdus[0].header["FULL"] = 500.0
    given = [] if option is None else ["--saturation", option]
    assert main(["run", image, "--fwhm", "3", *given]) == 0
    assert photometry.last.settings["saturation"] == level


def test_the_error_of_the_psf_is_that_of_its_width(image, photometry) -> None:
    assert main(["run", image, "--fwhm", "3", "--psf-error", "0.02"]) == 0
    assert photometry.last.settings["psf_error"].amplitude_sd == (0.02,)


@pytest.mark.parametrize(
    ("options", "gain", "read_noise"),
    [
        ("--gain 4", 4.0, 0.0),
        ("--gain 4 --read-noise 6", 4.0, 6.0),
        ("--gain header", 9.0, 13.5),  # 1.5 ADU, says the comment, times the gain
        ("--gain header --read-noise 6", 9.0, 6.0),
        ("--gain 4 --read-noise header", 4.0, 6.0),
        ("--gain gain --read-noise RON", 9.0, 12.0),
        ("--noise ccd", 9.0, 13.5),
        ("--noise ccd --read-noise 6", 9.0, 6.0),
    ],
)
def test_gain_and_read_noise_come_from_numbers_or_the_header(
    image: str, photometry: type[FakePhotometry], options: str, gain: float, read_noise: float
) -> None:
    assert main(["run", image, "--fwhm", "3", *options.split()]) == 0
    assert photometry.last.settings["noise"] == bp.CCDNoise(gain=gain, read_noise=read_noise)


def test_errors_and_quality_beside_the_image_are_used_and_said(image, photometry, capsys) -> None:
    assert main(["run", image, "--fwhm", "3"]) == 0
    given = photometry.last.image
    assert np.all(given.uncertainty.array == 2.0)
    assert np.argwhere(given.mask).tolist() == [[3, 4]]
    said = capsys.readouterr().out
    assert "image: 0 PRIMARY of image.fits\n" in said
    assert "error: standard deviations of 1 ERR\n" in said
    assert "mask: 2 DQ, 0.25 % of the pixels, by bits 8 (0.25 %)\n" in said


@pytest.mark.parametrize(
    ("options", "has_error", "n_masked"),
    [
        ("--error none", False, 1),
        ("--error 3", False, 1),
        ("--mask none", True, None),
        ("--dq-ignore 8", True, 0),
        ("--dq-bits 4,16", True, 0),
        ("--dq-bits ~4", True, 1),
        ("--noise poisson", False, 1),
        ("--gain 4", False, 1),
        ("--noise student:4", True, 1),
    ],
)
def test_planes_beside_the_image_are_chosen(
    image, photometry, options, has_error, n_masked
) -> None:
    assert main(["run", image, "--fwhm", "3", *options.split()]) == 0
    given = photometry.last.image
    assert (given.uncertainty is not None) == has_error
    assert n_masked == (None if given.mask is None else np.count_nonzero(given.mask))


def test_bits_are_chosen_of_a_mask_in_another_file(image, photometry) -> None:
    assert main(["run", image, "--fwhm", "3", "--mask", "image.fits[DQ]", "--dq-ignore", "8"]) == 0
    assert not photometry.last.mask.any()


@pytest.mark.parametrize(
    ("unit", "gain", "said"),
    [
        ("ADU/S", 270.0, "270 electrons per adu / s (GAIN 9 x EXPTIME 30 s)"),
        ("ELECTRONS/S", 30.0, "30 electrons per electron / s (EXPTIME 30 s)"),
        ("electron", 1.0, "1 electrons per electron,"),
        ("ADU", 9.0, "9 electrons per adu (GAIN 9), read noise 13.5 electrons (RDNOISE in ADU)"),
    ],
)
def test_the_gain_of_the_header_is_that_of_the_unit(image, photometry, capsys, unit, gain, said):
    with fits.open(image, mode="update") as hdus:
        hdus[0].header["BUNIT"] = unit
        hdus[0].header["EXPTIME"] = 30.0
    assert main(["run", image, "--fwhm", "3", "--noise", "ccd"]) == 0
    # The read noise is 1.5 ADU, whatever the image is in.
    assert photometry.last.settings["noise"] == bp.CCDNoise(gain=gain, read_noise=13.5)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("unit", "seconds", "said"),
    [
        ("MJy/sr", 30.0, "argument --gain: the image is in MJy / sr and the header's gain is per"),
        ("nanomaggy", 30.0, "the image is in nmgy"),
        ("ADU/S", None, "the header has no EXPTIME or EXPOSURE or TEXPTIME"),
        ("ADU/S", 0.0, "EXPTIME must be positive, found 0"),
        ("ADU/S", "long", "EXPTIME in the header must be a finite number, found 'long'"),
    ],
)
def test_a_gain_that_cannot_be_had_from_the_header_is_one_line(image, capsys, unit, seconds, said):
    with fits.open(image, mode="update") as hdus:
        hdus[0].header["BUNIT"] = unit
        hdus[0].header["EXPTIME"] = seconds
        if seconds is None:
            del hdus[0].header["EXPTIME"]
    assert said in expect_refusal(capsys, "run", image, "--fwhm", "3", "--noise", "ccd")


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (np.zeros((4, 20), np.int16), "must have the shape of the image (20, 20), found (4, 20)"),
        (np.zeros((20, 20), np.float32), "2 DQ: dq must hold integers"),
    ],
)
def test_a_wrong_quality_plane_is_one_line(image, photometry, capsys, plane, said) -> None:
    with fits.open(image, mode="update") as hdus:
        hdus["DQ"].data = plane
    assert said in expect_refusal(capsys, "run", image, "--fwhm", "3")
    assert main(["run", image, "--fwhm", "3", "--mask", "none"]) == 0


# What is tested is that the warning is shown, as a line on stderr.
@pytest.mark.filterwarnings("default")
def test_a_wcs_that_cannot_be_used_is_one_line_and_the_run_goes_on(image, photometry, capsys):
    with fits.open(image, mode="update") as hdus:
        hdus[0].header.update({"CTYPE1": "RA---BAD", "CTYPE2": "DEC--BAD"})
    assert main(["run", image, "--fwhm", "3"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("bayesphot: warning: the header's WCS cannot be used (")
    assert said.count("\n") == 1


def test_a_wide_psf_gets_a_wider_odd_box(image: str, photometry: type[FakePhotometry]) -> None:
    assert main(["run", image, "--fwhm", "8"]) == 0
    assert photometry.last.settings["fitshape"] == (21, 21)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "COMMAND"),
        ("measure", "measure"),
        ("run", "IMAGE"),
        ("run image.fits", "--sigma --fwhm"),
        ("run image.fits --fwhm 3 --sigma 2", "not allowed with"),
        ("run image.fits --fwhm -3", "must be positive, found -3"),
        ("run image.fits --fwhm three", "must be a number, found 'three'"),
        ("run image.fits --fwhm nan", "must be a number, found 'nan'"),
        ("run image.fits --fwhm 3 --fitshape 10", "must be odd, found 10"),
        ("run image.fits --fwhm 3 --niters 0", "must be an integer above 0, found '0'"),
        ("run image.fits --fwhm 3 --seed -1", "--seed"),
        ("run image.fits --fwhm 3 --background curved", "curved"),
        ("run image.fits --fwhm 3 --mesh 4", "argument --mesh: box_size must be at least 8"),
        ("run image.fits --fwhm 3 --annulus 12", "--annulus"),
        ("run image.fits --fwhm 3 --annulus 20 12", "argument --annulus: outer_radius must be"),
        ("run image.fits --fwhm 3 --annulus 12 20 --mesh 64", "not allowed with"),
        ("psf image.fits --annulus 20 12", "argument --annulus: outer_radius must be"),
        ("run image.fits --fwhm 3 --crit-separation -1", "must not be negative, found -1"),
        ("run image.fits --fwhm 3 --read-noise 4", "needs --gain"),
        ("run image.fits --fwhm 3 --noise cauchy", "--noise must be one of normal"),
        ("run image.fits --fwhm 3 --noise student", "must read student:DOF"),
        ("run image.fits --fwhm 3 --noise student:x", "must read student:DOF"),
        ("run image.fits --fwhm 3 --noise student:-1", "dof must be positive"),
        ("run image.fits --fwhm 3 --noise poisson --error 2", "give one of them"),
        ("run image.fits --fwhm 3 --noise poisson --gain 2", "give one of them"),
        ("run image.fits --fwhm 3 --noise poisson --read-noise 2", "give one of them"),
        ("run image.fits --fwhm 3 --noise normal --gain 2", "give one of them"),
        ("run image.fits --fwhm 3 --noise normal:2", "must read normal, found"),
        ("calibrate --fwhm 3 --noise ccd --flux 1 2", "needs --gain"),
        ("run image.fits --fwhm 3 --dq-bits x", "dq_bits must be a sum of bits"),
        ("run image.fits --fwhm 3 --dq-bits 5,8", "not powers of two"),
        ("run image.fits --fwhm 3 --dq-bits 1 --dq-ignore 2", "not allowed with"),
        ("run image.fits --fwhm 3 --mask none --dq-bits 1", "there are none"),
        ("run image.fits --fwhm 3 --mask image.fits[ERR] --dq-bits 1", "must hold integers"),
        ("run image.fits --fwhm 3 --correlation 0.5", "must be at least 1, found 0.5"),
        ("run image.fits --fwhm 3 --saturation header", "needs SATURATE or SATLEVEL"),
        ("run image.fits --fwhm 3 --saturation WELL", "argument --saturation: 'WELL'"),
        ("run image.fits --fwhm 3 --inflation 0", "must be positive, found 0"),
        ("run image.fits --fwhm 3 --noise poisson --inflation 1", "--inflation is a factor"),
        ("run image.fits --fwhm 3 --noise poisson --correlation 2", "--correlation is a factor"),
        ("run image.fits --fwhm 3 --psf-error -1", "must be positive, found -1"),
        ("run image.fits --fwhm 3 --psf-error 0.01 --fit-sigma", "give one"),
        ("run image.fits --fwhm 3 --gain 2 --error 3", "give one of them"),
        ("run image.fits --fwhm 3 --gain 4 --error 2", "give one of them"),
        ("run image.fits --fwhm 3 --gain EGAIN2", "argument --gain: 'EGAIN2'"),
        ("run image.fits --fwhm 3 --gain -2", "gain must be positive"),
        ("run image.fits[ERR] --fwhm 3 --out image.fits", "--out must be a folder, found a file"),
        ("run image.fits --fwhm 3 --out image.fits/deep", "--out lies below a file"),
        ("run missing.fits --fwhm 3", "missing.fits"),
        ("run text.fits --fwhm 3", "text.fits"),
        ("run image.fits --fwhm 3 --ext SCI", "SCI"),
        ("run image.fits --fwhm 3 --error missing.fits", "missing.fits"),
        ("run image.fits --fwhm 3 --error image.fits[WHAT]", "WHAT"),
        ("run image.fits --fwhm 3 --error image.fits[SMALL]", "error must have the shape"),
        ("run image.fits --fwhm 3 --mask image.fits[SMALL]", "mask must have the shape"),
        ("run image.fits --fwhm 3 --error image.fits[NEGATIVE]", "error must be positive"),
        ("run image.fits --fwhm 3 --error -2", "error must be positive"),
        ("run image.fits --fwhm 3 --error 0", "argument --error: error must be positive"),
        ("run image.fits --fwhm 3 --error nan", "argument --error: error must be positive"),
        ("run image.fits --fwhm 3 --error image.fits", "--error is the image's own file"),
        ("simulate --sources 5", "--out"),
        ("simulate --out a.fits --flux 100 50", "flux_range"),
        ("simulate --out a.fits --size 20 0", "must be an integer above 0"),
        ("demo --seed x", "--seed"),
    ],
)
def test_bad_use_is_one_line_and_leaves_nothing(
    image: str,
    photometry: type[FakePhotometry],
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    said: str,
) -> None:
    Path("text.fits").write_text("this is no FITS file\n" * 200)
    before = sorted(Path().rglob("*"))
    assert said in expect_refusal(capsys, *arguments.split())
    assert sorted(Path().rglob("*")) == before


def test_calibrate_hands_every_option_on(tmp_path, monkeypatch, calibration, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    options = (
        "--fwhm 4 --fit-sigma --fitshape 13 --noise student:4 --error 2.5 --flux 100 2000 "
        "--flux-index -2 --background 20 0.5 --simulations 300 --density 0.01 "
        "--min-separation 2 --crit-separation 6 --max-group-size 5 --true-fwhm 4.1 "
        "--true-error 3 --true-noise contaminated:0.01,30 --sampler emcee --draws 100 "
        "--chains 6 --seed 3 --jobs 1 --out new/deep"
    )
    assert main(["calibrate", *options.split()]) == 0
    phot = calibration["phot"]
    assert phot.psf_model.sigma.value == pytest.approx(4 / 2.3548200)
    assert not phot.psf_model.sigma.fixed
    assert phot.fitshape == (13, 13)
    assert phot.group_maker.crit_separation == 6.0
    assert phot.max_group_size == 5
    assert phot.noise == bp.StudentTNoise(4.0)
    assert phot.sampler == bp.EmceeSampler(draws=100, chains=6)
    assert calibration["flux"] == bp.PowerLaw(-2.0, 100.0, 2000.0)
    assert calibration["background"] == bp.Normal(20.0, 0.5)
    assert (calibration["error"], calibration["true_error"]) == (2.5, 3.0)
    assert calibration["truth"].noise == bp.ContaminatedGaussian(0.01, 30.0)
    assert calibration["truth"].psf_model.sigma.value == pytest.approx(4.1 / 2.3548200)
    assert (calibration["density"], calibration["min_separation"]) == (0.01, 2.0)
    assert (calibration["n_simulations"], calibration["seed"], calibration["n_jobs"]) == (300, 3, 1)
    said = capsys.readouterr().out
    assert "20 sources in 20 groups" in said
    assert "written to new/deep: calibration.ecsv" in said


def test_calibrate_with_defaults_is_of_stars_alone(tmp_path, monkeypatch, calibration) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["calibrate", "--fwhm", "3", "--gain", "2", "--read-noise", "5"]
    command += ["--flux", "100", "2000", "--quiet"]
    assert main(command) == 0
    assert calibration["phot"].noise == bp.CCDNoise(2.0, 5.0)
    assert (calibration["error"], calibration["truth"], calibration["background"]) == (
        None,
        None,
        0,
    )
    assert (calibration["n_sources"], calibration["separation"], calibration["density"]) == (
        (1,),
        None,
        None,
    )
    assert Path("bayesphot_calibration").is_dir()


def test_no_header_keyword_for_the_gain_is_said(
    image: str, photometry: type[FakePhotometry], capsys: pytest.CaptureFixture[str]
) -> None:
    fits.writeto("plain.fits", np.ones((9, 9)))
    said = expect_refusal(capsys, "run", "plain.fits", "--fwhm", "3", "--gain", "header")
    assert "argument --gain: the header has no GAIN or EGAIN" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("calibrate --error 3 --flux 1 2", "--sigma --fwhm"),
        ("calibrate --fwhm 3 --error 3", "--flux"),
        ("calibrate --fwhm 3 --flux 100 1000", "error must be given"),
        ("calibrate --fwhm 3 --error 3 --flux 100 50", "low must be below high"),
        ("calibrate --fwhm 3 --error 3 --flux 0 50", "must be positive, found 0"),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --background 1 2 3", "--background is LEVEL or"),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --background 1 -2", "sd must be positive"),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --sources 2", "separation must be given"),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --simulations 5", "at least 20, found 5"),
        ("calibrate --fwhm 3 --error 3 --gain 2 --flux 1 2", "give one of them"),
        ("calibrate --fwhm 3 --error 3 --noise cauchy --flux 1 2", "--noise must be one of normal"),
        (
            "calibrate --fwhm 3 --error 3 --flux 1 2 --true-noise ccd",
            "--true-noise must not be ccd",
        ),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --true-noise t", "--true-noise must be one of"),
        ("calibrate --fwhm 3 --error 3 --flux 1 2 --sampler none", "--sampler"),
    ],
)
def test_bad_use_of_calibrate_is_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, said
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in expect_refusal(capsys, *arguments.split())
    assert not list(tmp_path.iterdir())


def test_a_calibration_is_not_overwritten_unasked(tmp_path, monkeypatch, calibration, capsys):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    command = ["calibrate", "--fwhm", "3", "--error", "3", "--flux", "100", "1000", "--out", "out"]
    assert "output folder exists: out" in expect_refusal(capsys, *command)
    assert not calibration
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert calibration


@pytest.mark.parametrize("command", ["run image.fits --fwhm 3", "demo"])
def test_a_folder_that_exists_is_refused_before_the_run(
    image: str,
    photometry: type[FakePhotometry],
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    Path("out").mkdir()
    assert "output folder exists: out" in expect_refusal(capsys, *command.split(), "--out", "out")
    assert photometry.last is None
    assert main([*command.split(), "--out", "out", "--overwrite", "--quiet"]) == 0
    assert {path.name for path in Path("out").iterdir()} == FILES


def test_a_run_that_dies_leaves_no_folder(
    image: str, photometry: type[FakePhotometry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FakePhotometry, *arguments: object, **planes: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(FakePhotometry, "__call__", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["run", image, "--fwhm", "3"])
    assert not Path("image_bayesphot").exists()


def test_an_interrupt_is_one_line_and_code_130(
    image: str,
    photometry: type[FakePhotometry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(self: FakePhotometry, *arguments: object, **planes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakePhotometry, "__call__", interrupt)
    assert main(["run", image, "--fwhm", "3"]) == 130
    assert capsys.readouterr().err == "bayesphot: interrupted\n"


def test_a_warning_is_one_line(
    image: str,
    photometry: type[FakePhotometry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import warnings

    plain = FakePhotometry.__call__

    def warn(self: FakePhotometry, *arguments: object, **planes: object) -> bp.PhotometryResult:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("3 pixels\nmasked", UserWarning, stacklevel=2)
        return plain(self, *arguments, **planes)

    monkeypatch.setattr(FakePhotometry, "__call__", warn)
    assert main(["run", image, "--fwhm", "3"]) == 0
    assert capsys.readouterr().err == "bayesphot: warning: 3 pixels masked\n"


def test_the_demo_compares_with_the_truth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photometry: type[FakePhotometry],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--seed", "2"]) == 0
    said = capsys.readouterr().out
    assert "simulated 150 stars" in said
    assert "150 true stars: " in said
    assert photometry.last.settings["seed"] == 2
    assert photometry.last.error.shape == photometry.last.image.shape
    assert {path.name for path in Path("bayesphot_demo").iterdir()} == FILES


def test_simulate_writes_image_error_and_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--size 30 40 --sources 7 --flux 50 90 --fwhm 3 --noise 2 --seed 1"
    assert main(["simulate", "--out", "new/field.fits", *options.split()]) == 0
    assert "7 stars" in capsys.readouterr().out
    scene = bp.simulate_scene(
        (30, 40), n_sources=7, flux_range=(50, 90), sigma=3 / gaussian_sigma_to_fwhm, noise=2.0,
        background=20.0, seed=1,
    )  # fmt: skip
    with fits.open("new/field.fits", memmap=False) as extensions:
        np.testing.assert_array_equal(extensions[0].data, scene.image)
        np.testing.assert_array_equal(extensions["ERROR"].data, scene.error)
        for name in ("id", "x_0", "y_0", "flux"):
            np.testing.assert_array_equal(extensions["TRUTH"].data[name], scene.truth[name])
    assert [path.name for path in Path("new").iterdir()] == ["field.fits"]
    assert "output file exists" in expect_refusal(capsys, "simulate", "--out", "new/field.fits")


def test_what_simulate_writes_run_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photometry: type[FakePhotometry]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "--out", "field.fits", "--size", "30", "30", "--quiet"]) == 0
    assert main(["run", "field.fits", "--sigma", "2", "--error", "field.fits[ERROR]"]) == 0
    assert photometry.last.image.data.shape == photometry.last.error.shape == (30, 30)


def test_warmup_compiles_and_says_how_long_it_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []
    monkeypatch.setitem(vars(bp), "warmup", lambda: calls.append("warm"))
    assert main(["warmup"]) == 0
    assert calls == ["warm"]
    assert capsys.readouterr().out.startswith("compiled in ")


def test_help_and_version_answer_in_a_fresh_interpreter() -> None:
    # The contract is 0.3 s; 2 s leaves room for a machine under load and catches any import of
    # numpy and astropy there, of which test_imports.py looks at the modules themselves.
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bayesphot", "--help"], capture_output=True, text=True, check=True
    )
    assert time.perf_counter() - begin < 2.0
    assert all(command in done.stdout for command in ("run", "demo", "simulate", "warmup"))
    done = subprocess.run(
        [sys.executable, "-m", "bayesphot", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"bayesphot {bp.__version__}"
