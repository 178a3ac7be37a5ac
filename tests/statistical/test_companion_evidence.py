"""The companion map against the samplers' evidence, and its draws against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from bands import binomial_band, per_test
from companions import FWHM, MODEL, find_flux, rank_pairs, simulate

import bayesphot as bp
from bayesphot.catalog import read_positions
from bayesphot.execute import Workers
from bayesphot.image import prepare_image
from bayesphot.ladder import sample_odds
from bayesphot.loop import LoopPlan, run_loop
from bayesphot.sample import SamplingPlan
from bayesphot.sampling import Budget


@pytest.mark.parametrize(
    ("separation", "magnitudes", "snr", "seed"),
    [
        (0.75, 2.0, 100.0, 1),
        (0.75, 1.0, 100.0, 2),
        (0.75, 3.0, 300.0, 5),
        (1.0, 3.0, 100.0, 1),
        (1.5, 3.0, 100.0, 3),
        (2.0, 3.5, 100.0, 4),
    ],
)
def test_the_evidence_is_that_of_the_samplers(separation, magnitudes, snr, seed):
    rng = np.random.default_rng(seed)
    angle, target = rng.uniform(0.0, 2.0 * np.pi), 20.0 + rng.uniform(-0.5, 0.5, 2)
    flux = find_flux(snr)
    move = separation * FWHM * np.array([np.cos(angle), np.sin(angle)])
    image, error = simulate(target, flux, move, 10 ** (-0.4 * magnitudes), rng)
    pdf = bp.LogUniform(1e-3 * flux, 3.0 * flux)
    found = bp.companion_map(
        image, MODEL, (20.0, 20.0), error=error, prior=bp.CompanionPrior(flux=pdf),
        fit_background=False, box=37,
    )  # fmt: skip
    # The same pixels for the samplers, whose boxes are larger.
    mask = np.ones(image.shape, dtype=bool)
    mask[2:39, 2:39] = False
    phot = bp.BasicPSFPhotometry(
        psf_model=MODEL, fitshape=35, group_maker=bp.DAOGroup(30.0), fit_background=False,
        priors=bp.ScenePrior(1e-3, pdf),
    )  # fmt: skip
    plan = LoopPlan(
        phot._make_settings(), None, phot.group_maker, None, None, 1, None, None, Workers()
    )
    start = read_positions(Table({"x_0": [20.0], "y_0": [20.0]}), shape=image.shape)
    scene = run_loop(prepare_image(image, error=error, mask=mask), start, plan).scene
    sampling = SamplingPlan(Budget(max_thin=64), engines=("independence", "tempered"))
    best = found.best
    odds = sample_odds(scene, plan, sampling, x=best.x, y=best.y, flux=best.flux, seed=1)
    assert odds.error < 0.1
    area = found._places.area.sum()
    # Both are approximate: the map is Laplace's but for the place, the sampler's disc ends.
    assert found.log_evidence_ratio == pytest.approx(odds.log_odds - np.log(1e-3 * area), abs=0.3)


@pytest.mark.parametrize("n", [25, pytest.param(2000, marks=pytest.mark.slow)])
def test_draws_cover_the_truth(n):
    rank = rank_pairs(n, 20261126)
    for share in (0.68, 0.95):
        inside = (np.abs(rank - 0.5) < 0.5 * share).mean(axis=0)
        low, high = binomial_band(n, share, per_test(6))
        assert (inside >= low).all(), (share, inside)
        assert (inside <= high).all(), (share, inside)
