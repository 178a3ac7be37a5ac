"""The PSF of an image from its own stars: found, with its errors; and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

import bayesphot as bp
from bayesphot.cli import main

SKY, GAIN = 50.0, 2.0


@dataclass(frozen=True)
class Field:
    """An image of stars with a PSF that the package does not know, and the truth."""

    image: np.ndarray
    error: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


def evaluate_psf(dx, dy) -> np.ndarray:
    """Return an elongated core, and a halo off its centre; FWHM 2.4 pixels, point-sampled."""
    u, v = dx + 0.3 * dy, dy - 0.1 * dx
    core = np.exp(-0.5 * (u**2 + v**2) / 0.95**2) / (2 * np.pi * 0.95**2) * (1.0 + 0.03)
    r2 = ((dx - 0.3) ** 2 + dy**2) / 2.5**2
    return 0.85 * core + 0.15 * 1.5 / (np.pi * 2.5**2) * (1.0 + r2) ** -2.5


def integrate_psf(dx, dy, n: int = 5) -> np.ndarray:
    """Return its mean over pixels."""
    step = (np.arange(n) + 0.5) / n - 0.5
    return np.mean([evaluate_psf(dx + a, dy + b) for a in step for b in step], axis=0)


def simulate_field(
    seed: int = 11, side: int = 320, n_bright: int = 60, n_faint: int = 120
) -> Field:
    """Return bright stars on a jittered grid, and faint ones anywhere."""
    rng = np.random.default_rng(seed)
    cell = side / np.ceil(np.sqrt(n_bright))
    row, column = np.divmod(np.arange(n_bright), int(np.ceil(np.sqrt(n_bright))))
    x = np.r_[(column + rng.uniform(0.25, 0.75, n_bright)) * cell, rng.uniform(0, side, n_faint)]
    y = np.r_[(row + rng.uniform(0.25, 0.75, n_bright)) * cell, rng.uniform(0, side, n_faint)]
    flux = np.r_[10 ** rng.uniform(4.0, 5.0, n_bright), 10 ** rng.uniform(2.5, 3.3, n_faint)]
    image = np.full((side, side), SKY)
    for a, b, f in zip(x, y, flux, strict=True):
        r, c = int(round(b)), int(round(a))
        rows = slice(max(r - 20, 0), min(r + 21, side))
        columns = slice(max(c - 20, 0), min(c + 21, side))
        j, i = np.mgrid[rows, columns]
        image[rows, columns] += f * integrate_psf(i - a, j - b)
    error = np.sqrt(image / GAIN + 9.0)
    return Field(image + rng.normal(0.0, error), error, x, y, flux)


@pytest.fixture(scope="module")
def field() -> Field:
    return simulate_field()


@pytest.fixture(scope="module")
def build(field) -> bp.PSFBuild:
    return bp.build_psf(field.image, error=field.error)


def fit_bright(field: Field, build: bp.PSFBuild, **settings) -> Table:
    """Fit the bright stars of a field, all sources started at the truth."""
    phot = bp.BasicPSFPhotometry(
        psf_model=build.psf,
        fitshape=11,
        group_maker=bp.DAOGroup(4.0),
        bkg_estimator=bp.MMMBackground(),
        sampler=False,
        **settings,
    )
    starts = Table({"x_0": field.x, "y_0": field.y, "flux_0": field.flux})
    return phot(field.image, error=field.error, positions=starts).table[:60]


def test_isolated_bright_stars_make_it(build, field) -> None:
    used = build.stars[build.stars["used"]]
    # Of the 60 bright ones some have a faint one beside them; of the faint ones some are isolated.
    assert np.count_nonzero(used["flux"] > 9000.0) >= 40
    assert build.n_used == len(used) <= 100
    distance = np.hypot(field.x - used["x"][:, None], field.y - used["y"][:, None]).min(axis=1)
    # All are stars: 0.6 FWHM / 30 is the error of the faintest, and five times that.
    assert distance.max() < 5 * 0.6 * 2.4 / 30
    assert "signal to noise below 30" in set(build.stars["reason"])
    assert build.change < 0.005
    assert "undersampled" not in build.summary()


def test_it_is_the_psf_of_the_image(build) -> None:
    assert isinstance(build.psf, bp.ImagePSF)
    step = build.oversampling
    n = build.image.shape[0]
    off = (np.arange(n) - n // 2) / step
    dx, dy = np.meshgrid(off, off)
    truth = integrate_psf(dx, dy)
    assert build.psf.enclosed_fraction == pytest.approx(truth.sum() / step**2, abs=0.01)
    # The place of a star in a PSF that is not even is a convention: the best shift is taken out.
    shifts = [
        integrate_psf(dx + a, dy + b)
        for a in np.arange(-0.12, 0.13, 0.02)
        for b in np.arange(-0.12, 0.13, 0.02)
    ]
    off = min(np.abs(build.image - one).max() for one in shifts) / truth.max()
    # Half the spacing of the shifts is 0.6 % of the peak, three errors of the peak are 1 %.
    assert off < 0.02


def test_fluxes_and_places_with_it_are_the_stars_own(build, field) -> None:
    table = fit_bright(field, build)
    ratio = np.asarray(table["flux_fit"]) / field.flux[:60]
    phase = field.x[:60] - np.round(field.x[:60])
    scatter = 1.4826 * np.median(np.abs(ratio - np.median(ratio)))
    # 0.3 to 0.7 % are the noise of such stars.
    assert scatter < 0.01
    # All light within 12 pixels of 13.
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    # Neither flux nor place follows the phase: five standard errors of a mean of 20 stars.
    dx = np.asarray(table["x_fit"]) - field.x[:60]
    dx -= np.median(dx)
    for low, high in ((-0.5, -0.17), (-0.17, 0.17), (0.17, 0.5)):
        here = (phase >= low) & (phase < high)
        assert abs(np.median(ratio[here]) - np.median(ratio)) < 5 * 0.008 / np.sqrt(here.sum())
        assert abs(np.median(dx[here])) < 5 * 0.01 / np.sqrt(here.sum())


def test_its_error_can_be_given_to_a_fit(build, field) -> None:
    assert 0 < len(build.psf_error.sds) <= 4
    table = fit_bright(field, build, psf_error=build.psf_error)
    assert np.isfinite(np.asarray(table["flux_fit"])).all()


def test_what_is_written_is_read_again(build, tmp_path) -> None:
    build.write(tmp_path / "psf.fits")
    psf = bp.read_psf(tmp_path / "psf.fits")
    np.testing.assert_array_equal(psf.data, build.psf.data)
    assert psf.oversampling == build.psf.oversampling
    with fits.open(tmp_path / "psf.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "ERROR", "MODES", "STARS"]
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        build.write(tmp_path / "psf.fits")
    assert build.plot(path=tmp_path / "psf.png") is not None
    assert (tmp_path / "psf.png").stat().st_size > 10_000


def test_a_psf_that_varies_is_written_as_a_polynomial(field, tmp_path) -> None:
    build = bp.build_psf(field.image, error=field.error, degree=1, n_iter=3)
    build.write(tmp_path / "psf.fits")
    psf = bp.read_psf(tmp_path / "psf.fits")
    assert isinstance(psf, bp.PolynomialPSF)
    assert (psf.degree, psf.middle, psf.scale) == (1, (159.5, 159.5), (160.0, 160.0))
    np.testing.assert_array_equal(psf.data, build.psf.data)
    used = build.stars[build.stars["used"]]
    for place, (low, high) in zip((used["x"], used["y"]), build.psf.domain, strict=True):
        # A bit beyond the stars, and on the image.
        assert -0.5 <= low < place.min() < place.max() < high <= 319.5
    assert psf.domain == build.psf.domain


def test_given_positions_are_the_only_stars(field) -> None:
    chosen = Table({"x_0": field.x[:30], "y_0": field.y[:30]})
    build = bp.build_psf(field.image, error=field.error, positions=chosen, n_iter=3)
    assert build.n_used <= 30
    assert "not among the positions" in set(build.stars["reason"])


def test_saturated_stars_do_not_make_it(field) -> None:
    build = bp.build_psf(field.image, error=field.error, saturation=3000.0, n_iter=3)
    used = build.stars[build.stars["used"]]
    high = field.image[np.rint(used["y"]).astype(int), np.rint(used["x"]).astype(int)]
    assert high.max() < 3000.0
    assert "saturated or bad pixels in the core" in set(build.stars["reason"])


def test_without_a_usable_star_it_says_why() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="image must have stars: none stands out of the noise"):
        bp.build_psf(rng.normal(10.0, 1.0, (80, 80)), error=1.0)
    with pytest.raises(ValueError, match="no source stands out of the noise by 5 standard"):
        bp.build_psf(np.full((80, 80), 5.0), error=1.0, fwhm=3.0)
    field = simulate_field(side=120, n_bright=1, n_faint=3)
    with pytest.raises(ValueError, match=r"of \d+ sources none is \(.*saturated or bad pixels"):
        bp.build_psf(field.image, error=field.error, saturation=200.0, fwhm=2.4)
    with pytest.raises(ValueError, match=r"none stands out .*; \d+ saturated cores are masked"):
        bp.build_psf(field.image, error=field.error, saturation=200.0)
    galaxy = {"x_0": [100.0], "y_0": [100.0], "flux": [2e7]}
    scene = bp.simulate_scene((200, 200), sources=galaxy, sigma=30.0, noise=3.0, seed=2)
    with pytest.raises(ValueError, match=r"of \d+ sources none is .*without the width of a star"):
        bp.build_psf(scene.image, error=3.0)


def test_a_degree_needs_as_many_stars_as_it_has_terms() -> None:
    star = {"x_0": [40.0], "y_0": [40.0], "flux": [3e4]}
    scene = bp.simulate_scene((80, 80), sources=star, sigma=1.5, noise=3.0, seed=1)
    with pytest.raises(ValueError, match="degree=2 needs at least 6 stars, found 1"):
        bp.build_psf(scene.image, error=3.0, degree=2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_stars": 0}, "n_stars must be"),
        ({"size": 10}, "size must be odd, found 10"),
        ({"oversampling": 40}, "oversampling must be at most 12, found 40"),
        ({"degree": 3}, "degree must be 0, 1 or 2, found 3"),
        ({"fwhm": -1.0}, "fwhm must be"),
        ({"fwhm": 1e5}, r"fwhm must lie between 0.5 and \d+ pixels"),
        ({"fwhm": 0.1}, r"fwhm must lie between 0.5 and \d+ pixels"),
        ({"saturation": -5.0}, "saturation must be positive"),
        ({"noise": bp.CCDNoise(gain=2.0, read_noise=3.0)}, "error and noise both say"),
        ({"mask": np.ones((320, 320), dtype=bool)}, "image must have good pixels: all"),
        ({"positions": SkyCoord([10.0], [20.0], unit="deg")}, "has no celestial WCS"),
        ({"n_iter": 2}, "n_iter must be"),
        ({"positions": Table({"x_0": [np.nan], "y_0": [1.0]})}, "at least one finite position"),
    ],
)
def test_wrong_arguments_are_refused(field, changes, text) -> None:
    with pytest.raises(ValueError, match=text):
        bp.build_psf(field.image, error=field.error, **changes)


def refuse_to_replace(folder, capsys) -> None:
    """Neither the image, nor a picture unasked, nor a file of another kind."""
    (folder / "picture.png").write_text("mine")
    (folder / "notes.fits").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for out, said in (
        ("image.fits --overwrite", "--out would replace image.fits, which is read"),
        ("picture.fits", "exists: picture.png"),
        ("notes.fits --overwrite", "--out is no PSF that this command made"),
    ):
        assert main(["psf", "image.fits", "--out", *out.split()]) == 2
        assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_hot_pixels_are_no_stars_and_bring_no_warning() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(0.0, 2.0, (120, 120))
    image.ravel()[rng.choice(image.size, 60, replace=False)] += 500.0
    with pytest.raises(ValueError, match="image must have a usable star"):
        bp.build_psf(image, error=2.0)


def test_few_stars_are_said_to_tell_of_no_error(tmp_path) -> None:
    scene = bp.simulate_scene(
        (60, 60), n_sources=1, sigma=1.5, flux_range=(1e4, 2e4), noise=3.0, border=25, seed=3
    )
    build = bp.build_psf(scene.image, error=scene.error)
    assert build.psf_error is None
    assert "too few stars (1 of 10) to tell how they differ: no psf_error" in build.summary()
    build.write(tmp_path / "psf.fits")
    with pytest.raises(ValueError, match="A PSF of fewer than 10 stars has none"):
        bp.read_psf_error(tmp_path / "psf.fits")


def test_the_command_line_writes_psf_and_picture(field, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    hdus = [fits.PrimaryHDU(field.image), fits.ImageHDU(field.error, name="ERR")]
    fits.HDUList(hdus).writeto("image.fits")
    assert main(["psf", "image.fits", "--degree", "0"]) == 0
    said = capsys.readouterr().out
    assert said.count("PSF of ") == 1
    assert "image_psf.fits and image_psf.png" in said
    assert bp.read_psf("image_psf.fits").fwhm == pytest.approx(2.4, abs=0.3)
    assert main(["psf", "image.fits"]) == 2
    assert "exists: image_psf.fits" in capsys.readouterr().err
    refuse_to_replace(tmp_path, capsys)
    fits.writeto("nothing.fits", np.full((64, 64), np.nan))
    assert main(["psf", "nothing.fits"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    fits.writeto("flat.fits", np.random.default_rng(2).normal(5.0, 1.0, (64, 64)))
    assert main(["psf", "flat.fits"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "image must have stars" in error
