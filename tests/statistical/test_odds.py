"""The odds that the loop decides by, against the evidence of the samplers."""

from __future__ import annotations

import numpy as np
import pytest
from many_groups import FWHM_PER_SIGMA, render_stars
from scipy.stats import norm

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


def make_case(
    stars, seed: int, *, priors=None, shape="group", free_sigma=False, columns=None, noise=None
):
    """Return the fitted scene of all stars but the last, and its plan."""
    rng = np.random.default_rng(seed)
    stars = np.array(stars) * [1.0, 1.0, FLUX_ERROR]
    image = render_stars((31, 31), *stars.T, SIGMA) + SKY + rng.normal(0.0, NOISE, (31, 31))
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = not free_sigma
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        shape=shape,
        fitshape=13,
        group_maker=bp.DAOGroup(2.0 * FWHM),
        bkg_estimator=lambda data: bp.background.SkyLevel(SKY, SKY_ERROR),
        priors={"scene": PRIOR, **(priors or {})},
        noise=noise,
    )
    settings = phot._make_settings()
    estimator = phot.bkg_estimator
    plan = LoopPlan(settings, None, phot.group_maker, estimator, noise, 1, None, None, Workers())
    known = {"x_0": stars[:-1, 0], "y_0": stars[:-1, 1], "flux_0": stars[:-1, 2]}
    positions = read_positions({**known, **(columns or {})}, shape=image.shape)
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
    trials.find_more(
        scene, trials.prepare_doubt(scene, plan.settings), plan, np.empty((0, 2)), good
    )
    assert len(seen) == 1
    return seen[0]


def ask_samplers(scene, plan, star):
    """Return the odds of a star by the evidence of the samplers."""
    sampling = SamplingPlan(Budget(max_thin=64), engines=("independence", "tempered"))
    x, y, flux = star
    return sample_odds(scene, plan, sampling, x=x, y=y, flux=flux, seed=1)


@pytest.mark.parametrize("name", CASES)
def test_odds_of_the_loop_are_those_of_the_samplers(name, monkeypatch):
    scene, plan, star, good = make_case(CASES[name], seed=3)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    theirs = ask_samplers(scene, plan, star)
    assert theirs.error < 0.1
    assert abs(ours - theirs.log_odds) < APPROXIMATE + 4.0 * theirs.error


@pytest.mark.parametrize("noise", [bp.StudentTNoise(4.0), bp.ContaminatedGaussian(0.02, 30.0)])
@pytest.mark.parametrize("name", [name for name, stars in CASES.items() if len(stars) > 1])
def test_odds_agree_where_the_noise_has_outliers(name, noise, monkeypatch):
    """Each of the two fits has outliers of its own: to one, the other's star is nothing else."""
    scene, plan, star, good = make_case(CASES[name], seed=3, noise=noise)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    theirs = ask_samplers(scene, plan, star)
    assert abs(ours - theirs.log_odds) < APPROXIMATE + 4.0 * theirs.error


BESIDE = CASES["beside a star 10 times brighter"]


@pytest.mark.parametrize("sd", [None, 0.3, 0.1])
def test_odds_agree_where_places_have_priors_of_their_own(sd, monkeypatch):
    priors = {} if sd is None else {"x": bp.Normal(0.0, sd), "y": bp.Normal(0.0, sd)}
    scene, plan, star, good = make_case(BESIDE, seed=3, priors=priors)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    theirs = ask_samplers(scene, plan, star)
    assert abs(ours - theirs.log_odds) < 1.0


def test_odds_do_not_depend_on_how_far_the_mean_of_the_prior_of_a_place_is():
    """Boxes are about the means, and pixels have to be the same with the star and without."""
    stars = np.array(BESIDE)
    odds = []
    for far in (0.0, 4.0):
        columns = {"x_prior_mean": stars[:1, 0] - far, "x_prior_sd": [8.0]}
        scene, plan, star, _ = make_case(
            BESIDE, seed=3, priors={"position": bp.Disc(6.0)}, columns=columns
        )
        odds.append(ask_samplers(scene, plan, star))
    # The boxes are larger, and the sky, known to 0.3, is another: a third of an error of the star's
    # flux, which is ten errors. Pixels that only one of the two fits has are worth 1.4 each.
    assert abs(odds[1].log_odds - odds[0].log_odds) < 3.0


@pytest.mark.parametrize("priors", [{"x": bp.Uniform(-0.4, 0.4)}, {"y": bp.Normal(0.1, 0.2)}])
def test_odds_agree_where_the_fit_does_not_know_the_prior_of_a_place(priors, monkeypatch):
    scene, plan, star, good = make_case(BESIDE, seed=3, priors=priors)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    theirs = ask_samplers(scene, plan, star)
    assert abs(ours - theirs.log_odds) < 1.0


@pytest.mark.parametrize(
    "make_prior",
    [
        lambda width: bp.LogNormal(SIGMA, width),
        lambda width: bp.TruncatedNormal(SIGMA, SIGMA * width, 1.0, 2.0),
        lambda width: bp.LogUniform(SIGMA * np.exp(-width), SIGMA * np.exp(width)),
    ],
    ids=["LogNormal", "TruncatedNormal", "LogUniform"],
)
def test_odds_of_ever_narrower_priors_of_the_width_are_those_of_a_known_width(
    make_prior, monkeypatch
):
    stars = CASES["alone, bright"]
    known = find_log_odds(*make_case(stars, seed=3), monkeypatch)
    free = [
        find_log_odds(
            *make_case(stars, seed=3, priors={"sigma": make_prior(width)}, free_sigma=True),
            monkeypatch,
        )
        for width in (1e-2, 1e-4)
    ]
    # A log-normal is a normal to the fit; the others count by means over the normal of the fit.
    assert free == pytest.approx([known, known], abs=0.1)


@pytest.mark.parametrize("sd", [1e2, 1.0])
def test_odds_leave_a_mate_to_the_prior_of_its_own_flux(sd, monkeypatch):
    flux = BESIDE[0][2] * FLUX_ERROR
    columns = {"flux_prior_mean": [flux], "flux_prior_sd": [sd]}
    scene, plan, star, good = make_case(BESIDE, seed=3, columns=columns)
    ours = find_log_odds(scene, plan, star, good, monkeypatch)
    theirs = ask_samplers(scene, plan, star)
    assert abs(ours - theirs.log_odds) < 1.0


def weigh_empty_sky(background) -> float:
    """Return the log evidence of pixels without their only star, under a prior of the sky."""
    scene, plan, star, _ = make_case(
        [(8.0, 8.0, 50.0), (23.0, 23.0, 9.0)], seed=3, priors={"background": background}
    )
    return ask_samplers(scene, plan, star).log_z_without


def test_evidence_of_a_bounded_sky_is_that_of_its_parts():
    whole = weigh_empty_sky(bp.Normal(SKY, SKY_ERROR))
    edge = SKY - 0.3
    below = weigh_empty_sky(bp.TruncatedNormal(SKY, SKY_ERROR, -np.inf, edge))
    above = weigh_empty_sky(bp.TruncatedNormal(SKY, SKY_ERROR, edge, np.inf))
    share = norm.logcdf(edge, SKY, SKY_ERROR)
    parts = np.logaddexp(share + below, np.log1p(-np.exp(share)) + above)
    assert whole == pytest.approx(parts, abs=1e-6)
    # Bounds that are left out would make all three the same.
    assert abs(above - below) > 0.1


def test_evidence_of_a_sky_in_a_box_is_that_of_a_wide_normal():
    box = weigh_empty_sky(bp.Uniform(SKY - 500.0, SKY + 500.0))
    wide = weigh_empty_sky(bp.Normal(SKY, 1000.0))
    assert box - wide == pytest.approx(0.5 * np.log(2.0 * np.pi), abs=1e-4)
    # Nearly all of it lies inside of a smaller box too: the density there is larger.
    small = weigh_empty_sky(bp.Uniform(SKY - 5.0, SKY + 5.0))
    assert small - box == pytest.approx(np.log(100.0), abs=1e-4)


def test_evidence_of_a_sky_with_one_bound_does_not_exist():
    assert np.isnan(weigh_empty_sky(bp.Uniform(0.0)))


def test_the_prior_of_a_sources_own_flux_stands_in_place_of_that_of_the_scene():
    columns = {"flux_prior_mean": [900.0, np.nan], "flux_prior_sd": [50.0, np.nan]}
    stars = [(9.0, 9.0, 50.0), (21.0, 21.0, 50.0), (15.0, 15.0, 9.0)]
    scene, plan, _, good = make_case(stars, seed=3, columns=columns)
    for prior, expected in ((PRIOR, [bp.Normal(900.0, 50.0), PRIOR.flux_pdf]), (None, None)):
        odds = accept.choose_odds(prior, int(good.sum()), SIGMA)
        is_new = np.zeros(2, dtype=bool)
        chosen = trials._choose_pdfs(scene, plan.settings, np.arange(2), is_new, odds)
        assert chosen == (expected or [bp.Normal(900.0, 50.0), None])
