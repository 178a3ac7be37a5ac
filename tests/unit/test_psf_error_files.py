"""The error of a PSF in a file: the round trip, and files that hold none."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

import bayesphot as bp
from bayesphot.cli import main
from bayesphot.psf import make_error_hdu
from bayesphot.readers import ReadError

STEP = 2
GRID = np.arange(-16, 17) / STEP
BELL = np.exp(-0.5 * (GRID[:, None] ** 2 + GRID**2) / 1.5**2) / (2 * np.pi * 1.5**2)
ERROR = bp.PSFError(
    width=0.013,
    white=0.0123456789,
    modes=[(BELL * GRID, 0.031), (BELL * GRID[:, None], 1 / 30)],
    oversampling=STEP,
)


def write(path, error=ERROR, **changes) -> str:
    """Write a PSF and its error, some cards of the header changed or, with None, left out."""
    header = fits.Header({"OVERSAMP": STEP})
    hdu = make_error_hdu(error)
    for key, value in changes.items():
        if value is None:
            del hdu.header[key]
        else:
            hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(BELL, header), hdu]).writeto(path)
    return str(path)


@pytest.mark.parametrize(
    "error", [ERROR, bp.PSFError(width=0.0, white=0.02), bp.PSFError(modes=[(BELL, 0.1)])]
)
def test_the_error_comes_back_as_it_was(tmp_path, error) -> None:
    found = bp.read_psf_error(write(tmp_path / "psf.fits", error))
    assert (found.width, found.white, found.sds) == (error.width, error.white, error.sds)
    assert found.oversampling == error.oversampling
    for image, given in zip(found.images, error.images, strict=True):
        np.testing.assert_array_equal(image, given)


def test_no_digit_of_a_number_is_lost(tmp_path) -> None:
    """Of numbers of 17 digits half are longer than the 20 characters that astropy writes."""
    sds = [float(sd) for sd in 10 ** np.random.default_rng(7).uniform(-6.0, 0.0, 50)]
    error = bp.PSFError(width=1e-5, white=2e-7 / 3, modes=[(np.ones((1, 1)), sd) for sd in sds])
    found = bp.read_psf_error(write(tmp_path / "psf.fits", error))
    assert (found.width, found.white, list(found.sds)) == (1e-5, 2e-7 / 3, sds)


def test_the_file_is_that_of_the_psf(tmp_path) -> None:
    np.testing.assert_array_equal(bp.read_psf(write(tmp_path / "psf.fits")).data, BELL)


def test_the_error_of_a_built_psf_comes_back(tmp_path) -> None:
    scene = bp.simulate_scene(
        (120, 120), n_sources=16, sigma=1.5, flux_range=(5e3, 5e4), noise=3.0, border=10,
        min_separation=12, seed=3,
    )  # fmt: skip
    build = bp.build_psf(scene.image, error=scene.error, size=17)
    build.write(tmp_path / "built.fits")
    found = bp.read_psf_error(tmp_path / "built.fits")
    given = build.psf_error
    assert (found.width, found.white, found.sds) == (given.width, given.white, given.sds)
    for image, given in zip(found.images, build.psf_error.images, strict=True):
        np.testing.assert_array_equal(image, given)


def spoil(path, value):
    """Write a file whose first mode has a pixel of some value."""
    write(path)
    with fits.open(path, mode="update") as hdus:
        hdus["MODES"].data[0, 3, 4] = value
    return str(path)


def reshape(path, data):
    """Write a file whose modes are an array of another shape."""
    hdu = make_error_hdu(ERROR)
    hdu.data = data
    fits.HDUList([fits.PrimaryHDU(BELL, fits.Header({"OVERSAMP": STEP})), hdu]).writeto(path)
    return str(path)


def write_table(path):
    """Write a file in which a table has the name of the modes."""
    table = fits.BinTableHDU.from_columns([fits.Column("SD", "D", array=np.ones(3))], name="MODES")
    table.header.update({"WIDTHERR": 0.0, "WHITEERR": 0.01, "OVERSAMP": STEP, "SD1": 0.1})
    fits.HDUList([fits.PrimaryHDU(BELL, fits.Header({"OVERSAMP": STEP})), table]).writeto(path)
    return str(path)


def cut(path):
    """Write a file of which the end is missing."""
    write(path)
    path.write_bytes(path.read_bytes()[:20_000])
    return str(path)


def write_alone(path):
    """Write a PSF without its error."""
    fits.writeto(path, BELL, fits.Header({"OVERSAMP": STEP}))
    return str(path)


def write_text(path):
    """Write a file that is no FITS file."""
    path.write_text("0.01\n" * 100)
    return str(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (write_alone, "holds no error of a PSF"),
        (write_text, "no FITS file"),
        (cut, "cut short"),
        (lambda path: spoil(path, np.nan), "must be finite, found nan"),
        (lambda path: reshape(path, BELL[None, :-1]), "odd sides, found shape"),
        (lambda path: reshape(path, np.ones((2, 3, 5, 5))), "2-D with odd sides"),
        (lambda path: reshape(path, np.ones(9)), "2-D with odd sides"),
        (write_table, "must hold real numbers"),
        (lambda path: write(path, SD2=None), "lacks SD2"),
        (lambda path: write(path, SD1=-0.1), "sd of modes"),
        (lambda path: write(path, WHITEERR="a tenth"), "white"),
        (lambda path: write(path, OVERSAMP=0), "oversampling"),
    ],
)
def test_files_without_an_error_that_can_be_say_why(tmp_path, capsys, make, said) -> None:
    path = make(tmp_path / "psf.fits")
    with pytest.raises(ReadError, match=said) as caught:
        bp.read_psf_error(path)
    assert str(caught.value).startswith(path)
    image = tmp_path / "image.fits"
    fits.writeto(image, np.ones((30, 30)))
    assert main(["run", str(image), "--fwhm", "3", "--psf-error", path]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--psf-error" in line
    assert said in line or said.split()[0] in line


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        bp.read_psf_error(tmp_path / "none.fits")
    with pytest.raises(TypeError, match="path"):
        bp.read_psf_error(3)


def test_a_run_takes_the_error_of_a_file_into_account(tmp_path) -> None:
    y, x = np.mgrid[:40, :40]
    flux = 40_000.0
    star = flux * np.exp(-0.5 * ((x - 20.2) ** 2 + (y - 19.7) ** 2) / 1.5**2) / (2 * np.pi * 1.5**2)
    image = tmp_path / "star.fits"
    fits.writeto(image, 10.0 + star + np.random.default_rng(2).normal(0.0, 2.0, x.shape))
    psf = write(
        tmp_path / "psf.fits", bp.PSFError(width=0.0, modes=[(BELL, 0.03)], oversampling=STEP)
    )
    errors = []
    for more in ([], ["--psf-error", psf]):
        out = tmp_path / f"out{len(more)}"
        options = ["--psf", psf, "--seed", "1", "--quiet", "--out", str(out), *more]
        assert main(["run", str(image), *options]) == 0
        errors.append(bp.PhotometryResult.read(out)["flux_err"][0])
    # The mode is the PSF itself: 3 % of the flux.
    assert errors[0] < 0.003 * flux
    assert errors[1] == pytest.approx(0.03 * flux, rel=0.1)


def test_what_is_neither_a_number_nor_a_file_is_refused(tmp_path, capsys) -> None:
    fits.writeto(tmp_path / "image.fits", np.ones((30, 30)))
    for given in ("0,01", str(tmp_path / "none.fits")):
        assert main(["run", str(tmp_path / "image.fits"), "--fwhm", "3", "--psf-error", given]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"--psf-error: must be a number or a file, found {given!r}" in line


@pytest.mark.parametrize("of_file", [True, False])
def test_the_error_of_the_psf_reaches_the_map_of_companions(tmp_path, monkeypatch, of_file) -> None:
    """That of a file, or a number, which is the error of the width."""
    found = []

    def refuse(*_arguments, **settings):
        found.append(settings["psf_error"])
        raise ValueError("seen")

    monkeypatch.setattr(bp, "companion_map", refuse)
    image, given = str(tmp_path / "image.fits"), write(tmp_path / "psf.fits")
    fits.writeto(image, np.random.default_rng(1).normal(5.0, 1.0, (31, 31)))
    options = ["--target", "15", "15", "--sigma", "1.5", "--error", "1"]
    options += ["--psf-error", given if of_file else "0.02", "--out", str(tmp_path / "out")]
    assert main(["companions", image, *options]) == 2
    assert found[0].amplitude_sd == ((0.013, 0.031, 1 / 30) if of_file else (0.02,))
