"""Cosmic rays on one pixel in a hundred spoil what a normal noise measures, not a robust one."""

from __future__ import annotations

import numpy as np
import pytest
from cosmic_rays import SHARE, draw_rays, measure_under_rays

import bayesphot as bp

N_STAR = 800


def test_rays_hit_the_share_of_pixels() -> None:
    rays = draw_rays(np.random.default_rng(1), (1000, 1000))
    assert 0.95 * SHARE < np.mean(rays > 0.0) <= SHARE


@pytest.mark.parametrize(
    ("noise", "seed"),
    [
        (bp.StudentTNoise(3.0), 471),
        pytest.param(bp.ContaminatedGaussian(0.02, 100.0), 472, marks=pytest.mark.slow),
    ],
)
def test_robust_noise_measures_stars_under_cosmic_rays(noise, seed) -> None:
    outcome = measure_under_rays(20.0, N_STAR, seed, noise=noise)
    assert abs(outcome.pull.mean()) < 0.1
    assert 0.66 < outcome.inside.mean() < 0.76


def test_normal_noise_does_not() -> None:
    outcome = measure_under_rays(20.0, N_STAR, 473, noise=None)
    assert abs(np.median(outcome.pull)) > 0.3
    assert outcome.inside.mean() < 0.6
