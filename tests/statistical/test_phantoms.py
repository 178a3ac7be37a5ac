"""Phantoms stay out of fields with tilted skies and saturated stars; faint stars stay in."""

from __future__ import annotations

import numpy as np
import pytest
from bands import FALSE_ALARM, least_fraction
from many_groups import render_stars
from phantoms import configure, count_phantom_fields, make_sky, measure_completeness
from scipy import stats

import bayesphot as bp
from bayesphot.accept import ALPHA, NOISE_SHARE, choose_odds, find_threshold

N_FIELD, N_STAR = 50, 256


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("tilted", [False, True])
def test_fields_have_phantoms_as_seldom_as_promised(tilted, saturated):
    spurious, found = count_phantom_fields(N_FIELD, 51, tilted=tilted, saturated=saturated)
    assert spurious <= stats.binom.isf(FALSE_ALARM, N_FIELD, ALPHA)
    # Stars of 5 to 500 times their error: a tenth of them is fainter than 8.
    assert found > 0.9


@pytest.mark.parametrize(("snr", "separation"), [(11.0, None), (13.0, 1.0), (11.0, 1.5)])
def test_stars_beyond_the_threshold_are_found(snr, separation):
    share = measure_completeness(snr, N_STAR, 52, separation=separation)
    assert share >= least_fraction(N_STAR, 0.99)


def test_threshold_is_that_of_peaks_of_noise():
    for n_beam in (1.0, 100.0, 1e6):
        z = find_threshold(int(4.0 * np.pi * n_beam), 1.0)
        peaks = n_beam * z * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        assert peaks == pytest.approx(NOISE_SHARE * ALPHA, rel=0.05)


# Images without a star are the subject: that none is found is the right answer.
@pytest.mark.filterwarnings("ignore:no source was found")
def test_a_prior_of_the_scene_sets_how_deep_the_loop_goes():
    rng = np.random.default_rng(5)
    # Four stars of an SNR of about 5.
    sky = make_sky(rng, tilted=False)
    x, y = np.array([[20.0, 20.0, 70.0, 70.0], [20.0, 70.0, 20.0, 70.0]])
    image = rng.poisson(sky + render_stars(sky.shape, x, y, 300.0, 1.5)).astype(float)
    counts = []
    for density in (1e-8, 1e-3, 1e-1):
        scene = bp.ScenePrior(density, bp.PowerLaw(-2.0, low=150.0))
        assert choose_odds(scene, image.size, 1.5).density == density
        result = configure(priors=scene, noise=bp.PoissonNoise())(image)
        counts.append(len(result))
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] > 0
