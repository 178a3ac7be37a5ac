"""What all estimators of a sky that varies have in common."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

import bayesphot as bp
from bayesphot.background import estimate_sky


@pytest.mark.parametrize(
    "estimator", [bp.MeshBackground(30), bp.AnnulusBackground(6, 10)], ids=["mesh", "annulus"]
)
def test_a_call_gives_the_level_and_a_quantity_gives_quantities(estimator) -> None:
    image = np.random.default_rng(7).normal(30.0, 1.0, (60, 90))
    plain, sky = estimator.estimate(image), estimator.estimate(image * u.adu)
    np.testing.assert_array_equal(estimator(image), plain.level)
    np.testing.assert_array_equal(estimator(image * u.adu), plain.level * u.adu)
    np.testing.assert_array_equal(sky.error, plain.error * u.adu)
    np.testing.assert_array_equal(
        estimator.estimate_rms(image * u.adu), estimator.estimate_rms(image) * u.adu
    )
    read = estimate_sky(estimator, image * u.adu)
    np.testing.assert_array_equal(read.level, plain.level)
    np.testing.assert_array_equal(read.error, plain.error)
