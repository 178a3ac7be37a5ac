"""A star with a masked core has its flux from the wings, and its neighbours theirs."""

from __future__ import annotations

import numpy as np
import pytest
from bands import FALSE_ALARM, mean_band, per_test, sd_band
from saturated import N_NEIGHBOUR, ImageTruth, MoffatTruth, measure_scenes, search_scenes

N_SCENE = 30
#: Four numbers of two PSFs.
RATE = per_test(8, FALSE_ALARM)


@pytest.mark.parametrize(("truth", "bleeds"), [(ImageTruth, False), (MoffatTruth, True)])
def test_fluxes_of_saturated_stars_and_of_their_neighbours_are_within_errors(truth, bleeds):
    outcome = measure_scenes(N_SCENE, 491, truth(), bleeds=bleeds)
    assert outcome.n_flagged == N_SCENE
    assert outcome.neighbour.size + outcome.hidden.size == N_NEIGHBOUR * N_SCENE
    for pull in (outcome.saturated, outcome.neighbour):
        assert abs(pull.mean()) < mean_band(pull.size, false_alarm=RATE)
        low, high = sd_band(pull.size, RATE)
        assert low < np.sqrt(np.mean(pull**2)) < high
    # Of 200 000 to 2 000 000 counts at the peak: its wings alone have some 1e5 photons.
    assert np.median(outcome.error) < 0.01


@pytest.mark.parametrize("bleeds", [False, True])
def test_a_core_with_wings_is_a_source_that_nobody_need_give(bleeds):
    search = search_scenes(N_SCENE, 492, ImageTruth(), bleeds=bleeds)
    assert search.found.all()
    # Pixels are whole: a centroid of them is good to a third of one.
    assert np.median(search.offset) < 0.3
    # Neighbours add light to the wings, a few percent.
    assert 0.9 < np.median(search.ratio) < 1.2
