"""One more source in a group: against exact integrals and refits in plain numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.special import erf

import bayesphot as bp
from bayesphot.catalog import read_positions
from bayesphot.execute import Workers
from bayesphot.image import prepare_image
from bayesphot.ladder import sample_odds
from bayesphot.loop import LoopPlan, run_loop
from bayesphot.one_more import make_grid, weigh_one_more
from bayesphot.patch import cut_batch
from bayesphot.target import Target

SIGMA, NOISE, SKY, SKY_ERROR, SIDE, BOX = 1.6, 4.0, 30.0, 0.4, 33, 15
FWHM = 2.354820045 * SIGMA
FLUX_ERROR = 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
PRIOR = bp.Normal(400.0, 250.0)


def render_unit(x, y, shape=(SIDE, SIDE)) -> np.ndarray:
    """Return the image of a star of flux 1."""
    row, col = (np.arange(n) for n in shape)
    scale = np.sqrt(2.0) * SIGMA
    along = [
        0.5 * (erf((pixel - c + 0.5) / scale) - erf((pixel - c - 0.5) / scale))
        for pixel, c in ((row, y), (col, x))
    ]
    return np.outer(*along)


def fit_stars(stars, n_known: int, *, fixed: bool = False, priors=None, seed: int = 1):
    """Return image, target and optimum of the group of the first stars of a scene."""
    rng = np.random.default_rng(seed)
    stars = np.array(stars)
    image = sum(flux * render_unit(x, y) for x, y, flux in stars) + SKY
    image = image + rng.normal(0.0, NOISE, image.shape)
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.x_0.fixed = psf.y_0.fixed = fixed
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=BOX,
        group_maker=lambda x, y: np.ones(x.size, dtype=int),
        bkg_estimator=lambda data: bp.background.SkyLevel(SKY, SKY_ERROR),
        priors=priors,
    )
    settings = phot._make_settings()
    plan = LoopPlan(
        settings, None, phot.group_maker, phot.bkg_estimator, None, 1, None, None, Workers()
    )
    known = stars[:n_known]
    start = {"x_0": known[:, 0], "y_0": known[:, 1], "flux_0": known[:, 2]}
    scene = run_loop(
        prepare_image(image, error=NOISE), read_positions(start, shape=image.shape), plan
    ).scene
    grouped = scene.grouped
    data = cut_batch(
        scene.pixels, scene.model, scene.sources, grouped.member, grouped.start, settings
    )
    target = Target(data, 0, settings.layout(n_known, sampling=False))
    return image, target, scene.fit.source, scene.fit.shared[0]


def list_pixels(image, target):
    """Return rows, columns and data of the group's pixels."""
    n_row, n_col, first_row, first_col = target.data.batch.rows[0]
    use = target.data.batch.weight.reshape(n_row, n_col) > 0.0
    row, col = np.nonzero(use)
    row, col = row + first_row, col + first_col
    return row, col, image[row, col] - SKY


def log_evidence(data, columns, sd, mean) -> float:
    """Return the log density of data = columns . N(mean, sd^2) + noise."""
    covariance = NOISE**2 * np.eye(data.size) + (columns * sd[:, None] ** 2).T @ columns
    off = data - mean @ columns
    return -0.5 * (off @ np.linalg.solve(covariance, off) + np.linalg.slogdet(covariance)[1])


def test_bayes_factor_of_a_linear_group_is_the_exact_ratio_of_evidences():
    stars = [(15.3, 16.1, 900.0), (18.9, 16.6, 500.0), (16.8, 18.2, 150.0)]
    image, target, source, shared = fit_stars(stars, 2, fixed=True, priors={"flux": PRIOR})
    row, col, data = list_pixels(image, target)
    x, y = np.array([16.8, 12.25, 17.1]), np.array([18.2, 20.5, 16.3])
    new = bp.Normal(100.0, 60.0)
    told = weigh_one_more(target, source, shared, x, y, new)
    columns = [render_unit(*star[:2])[row, col] for star in stars[:2]] + [np.ones(row.size)]
    sd, mean = [PRIOR.sd, PRIOR.sd, SKY_ERROR], [PRIOR.mean, PRIOR.mean, 0.0]
    without = log_evidence(data, np.array(columns), np.array(sd), np.array(mean))
    for k in range(3):
        more = np.array([*columns, render_unit(x[k], y[k])[row, col]])
        with_one = log_evidence(data, more, np.array([*sd, new.sd]), np.array([*mean, new.mean]))
        # Tabulated profiles are good to 1e-9.
        assert told.log_bayes_factor[k] == pytest.approx(with_one - without, abs=1e-5)


@pytest.mark.parametrize("separation", [0.5, 0.75, 1.0])
def test_faint_companion_has_the_flux_and_the_error_of_a_refit(separation):
    place = 15.2 + separation * FWHM
    stars = [(15.2, 16.0, 150.0 * FLUX_ERROR), (place, 16.3, 6.0 * FLUX_ERROR)]
    image, target, source, shared = fit_stars(stars, 1)
    row, col, data = list_pixels(image, target)
    told = weigh_one_more(target, source, shared, place, 16.3, bp.PowerLaw(-2.0, FLUX_ERROR))

    def find_residuals(p):
        model = p[2] * render_unit(p[0], p[1]) + p[4] * render_unit(place, 16.3)
        return np.append((data - model[row, col] - p[3]) / NOISE, p[3] / SKY_ERROR)

    start = [*source[0, :3], 0.0, 0.0]
    fit = least_squares(find_residuals, start, x_scale=[1, 1, 1e3, 1, 1e3], method="lm")
    error = np.sqrt(np.linalg.inv(fit.jac.T @ fit.jac)[4, 4])
    # What Laplace leaves out is the product of two shifts of the star's place.
    assert abs(told.flux - fit.x[4]) < 0.3 * error
    assert told.flux_err == pytest.approx(error, rel=0.1)


def test_map_peaks_at_the_companion_between_the_pixels():
    stars = [(15.2, 16.0, 60.0 * FLUX_ERROR), (15.2 + 1.1 * FWHM, 17.4, 15.0 * FLUX_ERROR)]
    _, target, source, shared = fit_stars(stars, 1)
    x, y = make_grid(target, 0.25, border=2.0)
    told = weigh_one_more(target, source, shared, x, y, bp.LogUniform(FLUX_ERROR, 1e6))
    assert told.flux.shape == x.shape
    row, col = told.peak
    assert np.hypot(x[row, col] - stars[1][0], y[row, col] - stars[1][1]) < 0.5
    assert told.z[row, col] > 8.0
    assert told.log_bayes_factor[row, col] > 20.0
    # At the star itself nothing can be told apart from it.
    at_star = weigh_one_more(target, source, shared, *source[0, :2], bp.Normal(0.0, 1.0))
    assert np.isnan(at_star.flux)
    assert at_star.log_bayes_factor == 0.0


@pytest.mark.parametrize("flux", [1e6, 1e7, 1e8])
def test_error_of_the_flux_does_not_depend_on_how_bright_a_mate_is(flux):
    _, target, source, shared = fit_stars([(15.2, 16.0, flux), (18.0, 17.0, 500.0)], 2)
    told = weigh_one_more(target, source, shared, 19.5, 18.5, bp.Normal(0.0, 100.0))
    # Columns of the bright star that are cut off leave errors smaller by more than this.
    assert told.flux_err == pytest.approx(48.68, abs=0.3)


def test_score_of_noise_is_a_standard_normal_beside_a_star():
    z = []
    for seed in range(200):
        _, target, source, shared = fit_stars([(15.2, 16.0, 80.0 * FLUX_ERROR)], 1, seed=seed)
        place = (15.2 + 0.8 * FWHM, 16.0)
        z.append(float(weigh_one_more(target, source, shared, *place, bp.Normal(0.0, 1.0)).z))
    # Chance of 1e-4 each: chi-squared of 200 degrees of freedom, and a mean.
    assert 0.81 < np.std(z) < 1.21
    assert abs(np.mean(z)) < 3.9 / np.sqrt(200)


def test_bad_input_is_refused_by_name():
    _, target, source, shared = fit_stars([(15.2, 16.0, 3000.0)], 1)
    prior = bp.Normal(0.0, 100.0)
    with pytest.raises(ValueError, match="proper prior"):
        weigh_one_more(target, source, shared, 12.0, 12.0, bp.Uniform(0.0))
    with pytest.raises(ValueError, match="x and y must have one shape"):
        weigh_one_more(target, source, shared, [12.0, 13.0], [12.0], prior)
    with pytest.raises(ValueError, match="x and y must be finite"):
        weigh_one_more(target, source, shared, np.nan, 12.0, prior)
    with pytest.raises(ValueError, match=r"source must be \(1, 4\)"):
        weigh_one_more(target, source[:, :3], shared, 12.0, 12.0, prior)
    with pytest.raises(ValueError, match="step must be positive"):
        make_grid(target, 0.0)
    with pytest.raises(TypeError, match="step must be a number, found 'fine'"):
        make_grid(target, "fine")
    with pytest.raises(ValueError, match="border must be finite and >= 0, found -1"):
        make_grid(target, 1.0, border=-1.0)


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        ({"x": 500.0}, ValueError, "x must lie inside the image, from -0.5 to 32.5, found 500.0"),
        ({"y": 500.0}, ValueError, "y must lie inside the image, from -0.5 to 32.5, found 500.0"),
        ({"x": -0.6}, ValueError, "x must lie inside the image"),
        ({"x": np.nan}, ValueError, "x must be finite, found nan"),
        ({"y": "12"}, TypeError, "y must be a number, found '12'"),
        ({"flux": -5.0}, ValueError, "flux must be positive and finite, found -5.0"),
        ({"flux": np.nan}, ValueError, "flux must be positive and finite, found nan"),
        ({"seed": -1}, ValueError, "seed must be at least 0, found -1"),
    ],
)
def test_odds_are_not_sampled_where_no_source_can_start(wrong, kind, text):
    scene = SimpleNamespace(model=np.zeros((SIDE, SIDE)))
    given = {"x": 12.0, "y": 12.0, "flux": 100.0, "seed": 1} | wrong
    with pytest.raises(kind, match=text):
        sample_odds(scene, None, None, **given)
