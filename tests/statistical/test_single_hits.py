"""Cosmic rays are flagged by their sharpness; clean stars, even badly fitted ones, are not."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from bands import least_fraction
from many_groups import render_stars
from single_hits import flag_stars

import bayesphot as bp

N_STAR = 900


@pytest.mark.parametrize("snr", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize(
    ("sigma", "noise", "sky"),
    [(0.6, None, 100.0), (1.5, None, 100.0), (0.8, bp.PoissonNoise(), 1.0)],
)
def test_clean_stars_are_not_flagged(sigma, noise, sky, snr) -> None:
    flagged, _ = flag_stars(N_STAR, 481, sigma=sigma, snr=snr, hit=0.0, noise=noise, sky=sky)
    # A normal pixel in 1e9 is 6 sigma above its model: of 121 pixels of each star none is.
    assert not flagged.any()


@pytest.mark.parametrize("noise", [None, bp.PoissonNoise()])
@pytest.mark.parametrize("snr", [10.0, 100.0])
def test_hits_of_twenty_sigma_are_flagged(snr, noise) -> None:
    flagged, _ = flag_stars(N_STAR, 482, sigma=1.5, snr=snr, hit=20.0, noise=noise)
    assert flagged.mean() >= least_fraction(N_STAR, 0.999)


def test_a_psf_that_is_too_wide_is_no_cosmic_ray() -> None:
    flagged, _ = flag_stars(N_STAR, 483, sigma=1.5, snr=300.0, hit=0.0, fitted_sigma=1.5 * 1.05)
    assert not flagged.any()


@pytest.mark.parametrize(("length", "step"), [(1, (0, 1)), (4, (0, 1)), (4, (1, 0))])
def test_a_track_in_line_stands_out_by_its_sides(length, step) -> None:
    assert flag_star(track=length, step=step) == [True, False]


@pytest.mark.parametrize("companion", [600.0, 1500.0, 2400.0])
def test_a_star_that_the_model_lacks_is_no_cosmic_ray(companion) -> None:
    assert flag_star(companion=companion) == [False, False]


def flag_star(*, track: int = 0, step=(0, 1), companion: float = 0.0) -> list[bool]:
    """Return the flags of two stars, something beside the first."""
    x, y, flux = np.array([[20.2, 19.7, 3000.0], [45.0, 20.0, 3000.0], [24.4, 21.3, companion]]).T
    image = render_stars((40, 65), x, y, flux, 1.2)
    image += np.random.default_rng(1).normal(0.0, 5.0, image.shape)
    for k in range(track):
        image[22 + k * step[0], 17 + k * step[1]] += 150.0
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.2), fitshape=11, sampler=False
    )
    result = phot(image, error=5.0, positions=Table([x[:2], y[:2]], names=["x_0", "y_0"]))
    return [bool(value & bp.Flag.COSMIC_RAY) for value in result["flags"].tolist()]
