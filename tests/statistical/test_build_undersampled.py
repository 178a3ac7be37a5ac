"""The PSF of an image whose pixels are nearly as large as its stars."""

from __future__ import annotations

import built_psfs
import numpy as np
import pytest
from built_psfs import N_STAR, Measured
from scipy import stats

import bayesphot as bp

#: False alarms of a correct program in all tests of places here: kinds and axes.
ALPHA, N_TEST = 1e-4, 6
#: Kind, FWHM before the pixel, largest error of the PSF over its peak, of places by phase, pixels.
#: The noise of the peak is 0.1 to 0.3 %; what beyond that may be wrong is what one image does not
#: tell of an Airy disk.
CASES = {
    "Gaussian": (1.3, 0.005, 0.0),
    "double": (1.3, 0.01, 0.003),
    "Airy": (1.8, 0.01, 0.005),
}


@pytest.fixture(scope="module", params=CASES)
def built(request) -> tuple[str, bp.PSFBuild, Measured]:
    kind = request.param
    fwhm = CASES[kind][0]
    scene = built_psfs.simulate(kind, fwhm)
    build = bp.build_psf(scene[0], error=scene[1], degree=0)
    return kind, build, built_psfs.measure_build(kind, fwhm, build, scene)


def test_the_psf_is_that_of_the_stars(built) -> None:
    kind, build, measured = built
    assert measured.off < CASES[kind][1]
    assert 1e-4 < measured.quoted < CASES[kind][1]
    assert build.psf.enclosed_fraction == pytest.approx(1.0, abs=1e-3)
    assert build.change < 0.002
    assert measured.reduced_chi2 < 1.2


def test_neither_places_nor_fluxes_follow_the_phase_of_the_pixel(built) -> None:
    kind, _, measured = built
    # The square of an amplitude over its error is distributed as chi2 of two.
    band = np.sqrt(stats.chi2.isf(ALPHA / N_TEST, 2))
    assert np.all(measured.scatter < 0.006)
    assert np.all(measured.phase < CASES[kind][2] + band * measured.phase_error)
    # Stars of a signal to noise of 70 to 220.
    ratio = measured.flux_ratio / np.median(measured.flux_ratio)
    assert np.std(ratio) < 0.006


@pytest.mark.parametrize("built", ["Gaussian", "double"], indirect=True)
def test_fluxes_are_those_within_the_stamp(built) -> None:
    # Five errors of a median of stars of 0.4 %, and the wings beyond the stamp.
    within = 5 * 1.25 * 0.004 / np.sqrt(N_STAR) + 0.001
    assert np.median(built[2].flux_ratio) == pytest.approx(1.0, abs=within)


def test_stars_of_a_pixel_without_wings_do_not_let_the_first_guess_run_away() -> None:
    image, error, _ = built_psfs.simulate("Gaussian", 1.0)
    build = bp.build_psf(image, error=error, degree=0)
    offset = np.arange(-32, 33) / 8
    values = built_psfs.integrate("Gaussian", offset, offset[:, None], 1.0)
    truth = bp.ImagePSF(values, oversampling=8)
    # As far as 1 % of the peak, above, moves the half maximum.
    assert build.fwhm == pytest.approx(truth.fwhm, rel=0.02)
    assert build.n_used > 0.6 * N_STAR
    assert "undersampled: the sharper features of its core are not known" in build.summary()


def test_oversampling_is_how_finely_the_same_psf_is_tabulated() -> None:
    image, error, _ = built_psfs.simulate("Gaussian")
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
