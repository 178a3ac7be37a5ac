"""The odds that the loop decides by, against the evidence of the samplers."""

from __future__ import annotations

import numpy as np
import pytest
from many_groups import FWHM_PER_SIGMA, render_stars

import bayesphot as bp
from bayesphot import accept, trials
from bayesphot.catalog import read_positions
from bayesphot.execute import Workers
from bayesphot.image import prepare_image
from bayesphot.ladder import sample_odds
from bayesphot.loop import LoopPlan, run_loop
from bayesphot.sample import SamplingPlan
from bayesphot.sampling import Budget

SIGMA, NOISE, SKY, SKY_ERROR = 1.5, 5.0, 50.0, 0.5
FWHM = FWHM_PER_SIGMA * SIGMA
FLUX_ERROR = 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
PRIOR = bp.ScenePrior(density=1e-3, flux_pdf=bp.PowerLaw(-2.0, low=60.0, high=1e6))
#: Stars of the scene, then the one that is weighed: x, y, flux in errors of a lone star.
CASES = {
    "alone, faint": [(15.2, 14.7, 5.0)],
    "alone, bright": [(15.2, 14.7, 9.0)],
    "beside a star 10 times brighter": [(15.2, 14.7, 100.0), (15.2 + 1.2 * FWHM, 14.9, 10.0)],
    "beside a star twice as bright": [(15.2, 14.7, 24.0), (15.2, 14.7 + 1.1 * FWHM, 12.0)],
    "nothing there": [(15.2, 14.7, 100.0), (15.2 + 1.2 * FWHM, 14.9, 1.0)],
}
#: What Laplace's normals may be off by, beside the error of the sampling: a posterior inside its
#: disc is no normal, and half a unit of ln(odds) moves a threshold of 5 sigma by 0.1.
APPROXIMATE = 0.5


def make_case(stars, seed: int):
    """Return the fitted scene of all stars but the last, and its plan."""
    rng = np.random.default_rng(seed)
    stars = np.array(stars) * [1.0, 1.0, FLUX_ERROR]
    image = render_stars((31, 31), *stars.T, SIGMA) + SKY + rng.normal(0.0, NOISE, (31, 31))
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=13,
        group_maker=bp.DAOGroup(2.0 * FWHM),
        bkg_estimator=lambda data: bp.background.SkyLevel(SKY, SKY_ERROR),
        priors=PRIOR,
    )
    settings = phot._make_settings()
    estimator = phot.bkg_estimator
    plan = LoopPlan(settings, None, phot.group_maker, estimator, None, 1, None, None, Workers())
    positions = read_positions(
        {"x_0": stars[:-1, 0], "y_0": stars[:-1, 1], "flux_0": stars[:-1, 2]}, shape=image.shape
    )
    prepared = prepare_image(image, error=NOISE)
    scene = run_loop(prepared, positions, plan).scene
    return scene, plan, stars[-1], prepared.good


def find_log_odds(scene, plan, star, good, monkeypatch) -> float:
    """Return the log odds by which the loop decides about a star, found where it is."""
    seen = []

    def decide(*arguments):
        answer = accept.decide(*arguments)
        seen.append(answer[1])
        return answer

    monkeypatch.setattr(trials, "decide", decide)
    monkeypatch.setattr(
        trials, "detect_sources", lambda *_: (star[None, :2].copy(), star[2:].copy())
    )
    trials.find_more(scene, plan, np.empty((0, 2)), good)
    assert len(seen) == 1
    return seen[0]


@pytest.mark.parametrize("name", CASES)
def test_odds_of_the_loop_are_those_of_the_samplers(name, monkeypatch):
    scene, plan, star, good = make_case(CASES[name], seed=3)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    sampling = SamplingPlan(Budget(max_thin=64), engines=("independence", "tempered"))
    x, y, flux = star
    theirs = sample_odds(scene, plan, sampling, x=x, y=y, flux=flux, seed=1)
    assert theirs.error < 0.1
    assert abs(ours - theirs.log_odds) < APPROXIMATE + 4.0 * theirs.error
