"""Ranks of the truth are uniform, and coverage is what it claims, when truth is from the prior."""

from __future__ import annotations

import numpy as np
import pytest
from calibration import calibrate

N_GROUP = 400
LEVEL = 0.68
CASES = [
    ("single", False, True, 401),
    ("single", True, False, 402),
    ("faint single", True, True, 403),
    ("pair at 1.0 FWHM", False, False, 404),
    ("pair at 1.0 FWHM", True, True, 405),
    ("pair at 0.7 FWHM", False, True, 406),
    ("pair at 0.7 FWHM", True, False, 407),
]


@pytest.mark.parametrize(("design", "sigma_free", "sky_free", "seed"), CASES)
def test_ranks_of_the_truth_are_uniform(design, sigma_free, sky_free, seed):
    outcome = calibrate(design, N_GROUP, seed, sigma_free=sigma_free, sky_free=sky_free)
    for table in (outcome.uniformity(), outcome.coverage((LEVEL,))):
        assert np.all(table["holds"]), str(table)


#: Design, sigma free, sky free, noise, flux prior, seed.
NOISES = [
    ("single", False, True, "ccd", "normal", 421),
    ("pair at 1.0 FWHM", True, True, "ccd", "normal", 422),
    ("single", True, True, "poisson", "positive", 423),
    ("pair at 1.0 FWHM", False, True, "poisson", "positive", 424),
    ("single", False, False, "student", "normal", 425),
    ("pair at 1.0 FWHM", True, True, "student", "normal", 426),
    ("single", True, True, "contaminated", "normal", 427),
    ("pair at 1.0 FWHM", False, True, "contaminated", "normal", 428),
    ("single", False, True, "normal", "power law", 431),
    ("pair at 0.7 FWHM", False, True, "normal", "half-normal", 432),
    ("faint single", True, False, "normal", "log-normal", 433),
    ("pair at 1.0 FWHM", True, True, "ccd", "power law", 434),
]
#: The others are marked slow.
QUICK = (421, 423, 425, 431, 433)


@pytest.mark.parametrize(
    ("design", "sigma_free", "sky_free", "scatter", "flux_prior", "seed"),
    [pytest.param(*case, marks=[] if case[-1] in QUICK else pytest.mark.slow) for case in NOISES],
)
def test_ranks_are_uniform_for_every_noise_and_prior(
    design, sigma_free, sky_free, scatter, flux_prior, seed
):
    outcome = calibrate(
        design,
        N_GROUP,
        seed,
        sigma_free=sigma_free,
        sky_free=sky_free,
        scatter=scatter,
        flux_prior=flux_prior,
    )
    for table in (outcome.uniformity(), outcome.coverage((LEVEL,))):
        assert np.all(table["holds"]), str(table)


#: Design, sigma and sky free, noise, seed; the factor on the noise has a width of 0.3.
INFLATED = [
    ("single", True, "normal", 451),
    ("pair at 1.0 FWHM", False, "normal", 452),
    ("single", False, "ccd", 453),
    ("single", True, "student", 454),
    ("single", False, "contaminated", 455),
    ("pair at 1.0 FWHM", True, "ccd", 456),
]


@pytest.mark.parametrize(
    ("design", "free", "scatter", "seed"),
    [pytest.param(*case, marks=[] if case[-1] < 454 else pytest.mark.slow) for case in INFLATED],
)
def test_ranks_are_uniform_where_the_scale_of_the_noise_is_sampled(design, free, scatter, seed):
    outcome = calibrate(
        design,
        N_GROUP,
        seed,
        sigma_free=free,
        sky_free=free,
        scatter=scatter,
        inflation=0.3,
    )
    assert "inflation" in outcome.ranks
    for table in (outcome.uniformity(), outcome.coverage((LEVEL,))):
        assert np.all(table["holds"]), str(table)


#: Design, sky free, noise, seed.
OWN = [
    ("bright single", False, "ccd", 461),
    ("bright single", True, "ccd", 462),
    ("single", False, "poisson", 463),
]
#: The same and outliers: through a normal noise that is right where there is only sky.
WRONG = [
    ("bright single", True, "ccd", 443),
    ("single", False, "poisson", 444),
    ("single", True, "student", 441),
    ("single", True, "contaminated", 442),
]


def calibrate_counts(design, sky_free, scatter, seed, *, fitted_as=None):
    """Calibrate one of these; counts cannot be expected to be negative."""
    return calibrate(
        design,
        N_GROUP,
        seed,
        sigma_free=False,
        sky_free=sky_free,
        scatter=scatter,
        flux_prior="positive" if scatter == "poisson" else "normal",
        fitted_as=fitted_as,
    )


@pytest.mark.parametrize(("design", "sky_free", "scatter", "seed"), OWN)
def test_photon_noise_is_calibrated_at_high_and_low_counts(design, sky_free, scatter, seed):
    """A CCD at an SNR of 300, and Poisson counts on a sky of 3 per pixel."""
    outcome = calibrate_counts(design, sky_free, scatter, seed)
    for table in (outcome.uniformity(), outcome.coverage((LEVEL,))):
        assert np.all(table["holds"]), str(table)


@pytest.mark.parametrize(("design", "sky_free", "scatter", "seed"), WRONG)
def test_other_noise_through_normal_noise_fails(design, sky_free, scatter, seed):
    """The experiment can tell: the same data fitted as if their noise were normal."""
    outcome = calibrate_counts(design, sky_free, scatter, seed, fitted_as="normal")
    row = outcome.coverage((LEVEL,))
    row = row[row["parameter"] == "flux"][0]
    assert row["coverage"] < row["low"]
