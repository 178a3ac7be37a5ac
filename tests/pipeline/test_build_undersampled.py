"""The PSF of an image whose pixels are nearly as large as its stars."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from numpy.polynomial.legendre import leggauss
from scipy import stats

import bayesphot as bp

SKY, GAIN, SIDE, N_STAR = 50.0, 2.0, 400, 81
#: False alarms of a correct program in all tests of places here: two kinds, two axes, two terms.
ALPHA, N_TEST = 1e-4, 8
NODE, WEIGHT = leggauss(8)


def integrate(kind: str, dx, dy, fwhm: float = 1.3) -> np.ndarray:
    """Return a round PSF, its mean over pixels."""
    total = np.zeros(np.broadcast(dx, dy).shape)
    for u, a in zip(0.5 * NODE, 0.5 * WEIGHT, strict=True):
        for v, b in zip(0.5 * NODE, 0.5 * WEIGHT, strict=True):
            r2 = (dx + u) ** 2 + (dy + v) ** 2
            if kind == "Gaussian":
                variance = (fwhm / 2.3548) ** 2
                value = np.exp(-0.5 * r2 / variance) / (2 * np.pi * variance)
            else:
                alpha2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
                value = 2.0 / (np.pi * alpha2) * (1.0 + r2 / alpha2) ** -3
            total += a * b * value
    return total


def simulate(kind: str, fwhm: float = 1.3):
    """Return kind, image, its error and its stars, at all phases of the pixel."""
    rng = np.random.default_rng(1)
    row, column = np.divmod(np.arange(N_STAR), 9)
    x = (column + rng.uniform(0.25, 0.75, N_STAR)) * SIDE / 9
    y = (row + rng.uniform(0.25, 0.75, N_STAR)) * SIDE / 9
    flux = 10 ** rng.uniform(4.0, 5.0, N_STAR)
    image = np.full((SIDE, SIDE), SKY)
    for a, b, f in zip(x, y, flux, strict=True):
        i, j = np.arange(SIDE), np.arange(SIDE)
        i, j = i[np.abs(i - a) < 16], j[np.abs(j - b) < 16]
        image[np.ix_(j, i)] += f * integrate(kind, i - a, (j - b)[:, None], fwhm)
    error = np.sqrt(image / GAIN + 9.0)
    stars = Table({"x_0": x, "y_0": y, "flux_0": flux})
    return kind, image + rng.normal(0.0, error), error, stars


@pytest.fixture(scope="module", params=["Gaussian", "Moffat"])
def scene(request):
    return simulate(request.param)


@pytest.fixture(scope="module")
def build(scene) -> bp.PSFBuild:
    _, image, error, _ = scene
    return bp.build_psf(image, error=error, degree=0)


def test_the_psf_is_that_of_the_stars(scene, build) -> None:
    step, n = build.oversampling, build.image.shape[0]
    offset = (np.arange(n) - n // 2) / step
    truth = integrate(scene[0], offset, offset[:, None])
    # The Moffat function that is nearest to a Gaussian is 0.7 % off; the peak's noise is 0.1 %.
    assert np.abs(build.image - truth).max() < 0.01 * truth.max()
    assert build.psf.enclosed_fraction == pytest.approx(1.0, abs=1e-3)
    assert build.change < 0.002
    assert "undersampled: right where stars are Moffat functions" in build.summary()


def test_neither_places_nor_fluxes_follow_the_phase_of_the_pixel(scene, build) -> None:
    _, image, error, stars = scene
    phot = bp.BasicPSFPhotometry(
        psf_model=build.psf, fitshape=7, bkg_estimator=bp.MMMBackground(), sampler=False
    )
    table = phot(image, error=error, positions=stars).table
    band = stats.norm.isf(0.5 * ALPHA / N_TEST)
    for axis in "xy":
        true = np.asarray(stars[f"{axis}_0"])
        off = np.asarray(table[f"{axis}_fit"]) - true
        turn = 2 * np.pi * true
        design = np.column_stack([np.ones(N_STAR), np.sin(turn), np.cos(turn)])
        found = np.linalg.lstsq(design, off, rcond=None)[0]
        scatter = np.std(off - design @ found, ddof=3)
        assert scatter < 0.006
        sd = scatter * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
        assert np.all(np.abs(found[1:]) < band * sd[1:])
    ratio = np.asarray(table["flux_fit"]) / np.asarray(stars["flux_0"])
    # Five errors of a median of stars of 0.4 %, and the wings beyond the stamp.
    assert np.median(ratio) == pytest.approx(1.0, abs=5 * 1.25 * 0.004 / np.sqrt(N_STAR) + 0.001)
    assert np.median(np.asarray(table["reduced_chi2"])) < 1.2


def test_stars_of_a_pixel_without_wings_do_not_let_the_first_guess_run_away() -> None:
    _, image, error, _ = simulate("Gaussian", 1.0)
    build = bp.build_psf(image, error=error, degree=0)
    offset = np.arange(-32, 33) / 8
    truth = bp.ImagePSF(integrate("Gaussian", offset, offset[:, None], 1.0), oversampling=8)
    # As far as 1 % of the peak, above, moves the half maximum.
    assert build.fwhm == pytest.approx(truth.fwhm, rel=0.02)
    assert build.n_used > 0.6 * N_STAR


def test_oversampling_is_how_finely_the_same_psf_is_tabulated() -> None:
    _, image, error, _ = simulate("Gaussian")
    coarse, fine = (
        bp.build_psf(image, error=error, degree=0, n_iter=3, oversampling=step) for step in (2, 6)
    )
    assert (coarse.oversampling, fine.oversampling) == (2, 6)
    for name in ("x", "y", "flux"):
        np.testing.assert_array_equal(coarse.stars[name], fine.stars[name])
    for name in ("image", "error"):
        # To the rounding of sums.
        np.testing.assert_allclose(
            getattr(fine, name)[::3, ::3], getattr(coarse, name), rtol=1e-9, atol=1e-15
        )
    assert "2 to a pixel" in coarse.summary().splitlines()[0]
