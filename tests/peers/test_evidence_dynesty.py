"""The evidence of groups of one, two and three stars, against nested sampling by dynesty.

dynesty sees likelihoods and priors written down here in plain numpy: the linear parameters
integrated out through the covariance they give the pixels, or as parameters like the others.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from astropy.table import Table
from scipy.special import erf
from scipy.stats import norm
from scipy.stats import t as student

import bayesphot as bp

SIGMA, NOISE, SKY, SKY_SD, SIDE, BOX = 1.4, 2.0, 10.0, 0.5, 25, 11
FLUX = bp.Normal(300.0, 120.0)
#: Starts, in FWHM about the middle; stars are 0.3 pixels away from them.
PLACES = {
    1: [(0.0, 0.0)],
    2: [(-0.45, 0.0), (0.45, 0.1)],
    3: [(-0.5, -0.3), (0.5, -0.25), (0.05, 0.55)],
}
FWHM = 2.3548 * SIGMA
RADIUS = 0.5 * FWHM
#: Errors that both evidences must reach.
MOST_ERROR = 0.07


def integrate_axis(pixel, center):
    """Return the share of a unit normal that falls on each pixel of one axis."""
    scale = 1.0 / (np.sqrt(2.0) * SIGMA)
    return 0.5 * (erf((pixel + 0.5 - center) * scale) - erf((pixel - 0.5 - center) * scale))


def make_data(n_star: int, noise=None):
    """Return image and starts."""
    rng = np.random.default_rng(70 + n_star)
    start = SIDE // 2 + FWHM * np.array(PLACES[n_star])
    place = start + 0.3 * rng.standard_normal((n_star, 2)).clip(-1, 1)
    pixel = np.arange(SIDE)
    image = np.full((SIDE, SIDE), SKY + 0.2)
    for (x, y), flux in zip(place, [320.0, 180.0, 400.0], strict=False):
        image += flux * np.outer(integrate_axis(pixel, y), integrate_axis(pixel, x))
    scatter = rng.standard_normal if noise is None else functools.partial(rng.standard_t, noise.dof)
    return image + NOISE * scatter(size=image.shape), start


def make_pair(seed: int):
    """Return image and starts of a pair of any separation from 0.6 to 1.6 FWHM, any angle."""
    rng = np.random.default_rng([71, seed])
    angle, apart = rng.uniform(0.0, 2.0 * np.pi), FWHM * rng.uniform(0.6, 1.6)
    half = 0.5 * apart * np.array([np.cos(angle), np.sin(angle)])
    place = SIDE // 2 + np.array([-half, half]) + rng.uniform(-0.5, 0.5, 2)
    pixel = np.arange(SIDE)
    image = np.full((SIDE, SIDE), SKY + 0.2)
    for (x, y), flux in zip(place, rng.uniform(150.0, 450.0, 2), strict=True):
        image += flux * np.outer(integrate_axis(pixel, y), integrate_axis(pixel, x))
    start = place + 0.3 * rng.standard_normal(place.shape).clip(-1, 1)
    return image + NOISE * rng.standard_normal(image.shape), start


def run_package(image, start, sampler, *, flux, noise=None):
    """Return log evidence and error of the one group, and its engine."""
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = True
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=BOX,
        group_maker=lambda x, y: np.ones(x.size, dtype=int),
        priors={
            "position": bp.Disc(RADIUS),
            "flux": flux,
            "background": bp.Normal(SKY, SKY_SD),
        },
        noise=noise,
        sampler=sampler,
        seed=5,
    )
    positions = {"x_0": start[:, 0], "y_0": start[:, 1]}

    result = phot(image, np.full(image.shape, NOISE), positions=Table(positions))
    assert len(set(result["log_z"])) == 1
    return float(result["log_z"][0]), float(result["log_z_err"][0]), str(result["engine"][0])


class Group:
    """Pixels of the union of the boxes, and the columns of the model."""

    def __init__(self, image, start):
        self.start = start
        corner = np.floor(start + 0.5).astype(int) - BOX // 2
        use = np.zeros(image.shape, dtype=bool)
        for c, r in corner:
            use[r : r + BOX, c : c + BOX] = True
        self.row, self.col = np.nonzero(use)
        self.data = image[use]

    def place(self, unit):
        """Return places (n, 2) of uniform numbers: uniform in the discs."""
        a, b = 2.0 * unit.reshape(-1, 2).T - 1.0
        # The concentric map (Shirley & Chiu 1997): in polar coordinates the middle of the disc,
        # where the stars are, would be an edge, and the angle would wrap.
        wide = np.abs(a) > np.abs(b)
        with np.errstate(invalid="ignore", divide="ignore"):
            angle = np.where(wide, 0.25 * np.pi * b / a, 0.5 * np.pi - 0.25 * np.pi * a / b)
        radius = RADIUS * np.where(wide, a, b)
        return self.start + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def keeps_order(self, place) -> bool:
        """Return whether stars whose discs meet stand in the order of their starts."""
        for k in range(len(place)):
            for m in range(k):
                apart = self.start[k] - self.start[m]
                near = np.hypot(*apart) < 2.0 * RADIUS
                if near and np.dot(place[k] - place[m], apart) < 0.0:
                    return False
        return True

    def columns(self, place):
        """Return unit stars (n, pixel)."""
        return np.stack(
            [integrate_axis(self.col, x) * integrate_axis(self.row, y) for x, y in place]
        )

    def log_order_share(self) -> float:
        """Return the log of the share of the discs that keeps the order."""
        rng = np.random.default_rng(1)
        n = 40_000 if len(self.start) > 1 else 1
        kept = [self.keeps_order(self.place(rng.random(2 * len(self.start)))) for _ in range(n)]
        return np.log(np.mean(kept))


def run_dynesty(log_likelihood, transform, n_dim: int, n_live: int):
    """Return log evidence and error."""
    dynesty = pytest.importorskip("dynesty", reason="dynesty is the referee")
    sampler = dynesty.NestedSampler(
        log_likelihood,
        transform,
        n_dim,
        nlive=n_live,
        sample="unif",
        rstate=np.random.default_rng(3),
    )
    sampler.run_nested(dlogz=0.01, print_progress=False)
    results = sampler.results
    return results.logz[-1], results.logzerr[-1]


def collapse_likelihood(group: Group):
    """Return the log likelihood of places, fluxes and sky in the covariance of the pixels."""
    n = len(group.start)

    def log_likelihood(place):
        place = place.reshape(-1, 2)
        if not group.keeps_order(place):
            return -1e300
        phi = np.vstack([group.columns(place), np.ones(group.data.size)])
        prior_sd = np.r_[np.full(n, FLUX.sd), SKY_SD]
        residual = group.data - np.r_[np.full(n, FLUX.mean), SKY] @ phi
        # log N(r; 0, s^2 I + Phi^T S0 Phi) by the matrix inversion lemma.
        scaled = phi * prior_sd[:, None] / NOISE
        inner = np.eye(n + 1) + scaled @ scaled.T
        z = residual / NOISE
        b = scaled @ z
        quadratic = z @ z - b @ np.linalg.solve(inner, b)
        size = z.size * np.log(2.0 * np.pi * NOISE**2)
        return -0.5 * (quadratic + size + np.linalg.slogdet(inner)[1])

    return log_likelihood


def integrate_collapsed(group: Group, n_live: int):
    """Return dynesty's evidence of the places."""
    log_z, error = run_dynesty(
        collapse_likelihood(group),
        lambda unit: group.place(unit).ravel(),
        2 * len(group.start),
        n_live,
    )
    return log_z - group.log_order_share(), error


def integrate_outliers(group: Group, flux: bp.PowerLaw, dof: float, n_live: int):
    """Return dynesty's evidence of one star under Student t noise and a power law of fluxes."""
    power = flux.index + 1.0

    def log_likelihood(theta):
        model = theta[2] * group.columns(theta[None, :2])[0] + theta[3]
        z = (group.data - model) / NOISE
        return float(np.sum(student.logpdf(z, dof)) - z.size * np.log(NOISE))

    def transform(unit):
        low, high = flux.low**power, flux.high**power
        light = (low + unit[2] * (high - low)) ** (1.0 / power)
        return np.r_[group.place(unit[:2]).ravel(), light, norm.ppf(unit[3], SKY, SKY_SD)]

    return run_dynesty(log_likelihood, transform, 4, n_live)


def test_evidence_of_a_lone_star_is_that_of_a_sum_over_its_disc() -> None:
    image, start = make_data(1)
    log_likelihood = collapse_likelihood(Group(image, start))
    step = np.linspace(-RADIUS, RADIUS, 101)
    inside = [(a, b) for a in step for b in step if np.hypot(a, b) < RADIUS]
    log_p = np.array([log_likelihood(start + np.array([place])) for place in inside])
    expected = np.log(np.mean(np.exp(log_p - log_p.max()))) + log_p.max()
    for engine in ("independence", "tempered"):
        log_z, error, _ = run_package(image, start, bp.Sampler(engine=engine), flux=FLUX)
        assert error < 0.02
        assert abs(log_z - expected) < 4.0 * error


def assert_agree(ours, theirs) -> None:
    """Three combined errors, and both errors small: the figures that were asked."""
    assert 0.0 < ours[1] <= MOST_ERROR
    assert 0.0 < theirs[1] <= MOST_ERROR
    assert abs(ours[0] - theirs[0]) < 3.0 * np.hypot(ours[1], theirs[1])


@pytest.mark.slow
@pytest.mark.parametrize(("n_star", "n_live"), [(1, 1200), (2, 2400), (3, 4000)])
def test_evidence_of_normal_noise(n_star, n_live) -> None:
    image, start = make_data(n_star)
    theirs = integrate_collapsed(Group(image, start), n_live)
    for engine in ("independence", "tempered"):
        *ours, used = run_package(image, start, bp.Sampler(engine=engine), flux=FLUX)
        assert used.startswith(engine)
        assert_agree(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_evidence_of_pairs(seed) -> None:
    image, start = make_pair(seed)
    theirs = integrate_collapsed(Group(image, start), 2400)
    *ours, _ = run_package(image, start, bp.Sampler(), flux=FLUX)
    assert_agree(ours, theirs)


@pytest.mark.slow
def test_evidence_of_a_lone_star_among_outliers() -> None:
    noise, flux = bp.StudentTNoise(4.0), bp.PowerLaw(-1.5, 50.0, 2000.0)
    image, start = make_data(1, noise)
    theirs = integrate_outliers(Group(image, start), flux, noise.dof, 2500)
    for engine in ("independence", "tempered"):
        sampler = bp.Sampler(engine=engine)
        *ours, _ = run_package(image, start, sampler, flux=flux, noise=noise)
        assert_agree(ours, theirs)


@pytest.mark.parametrize("flux", [None, bp.Uniform(0.0)])
def test_improper_priors_have_no_evidence(flux) -> None:
    image, start = make_data(1)
    priors = {"position": bp.Disc(RADIUS)} | ({} if flux is None else {"flux": flux})
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    phot = bp.BasicPSFPhotometry(psf_model=psf, fitshape=BOX, priors=priors, seed=1)

    result = phot(image - SKY, NOISE, positions=Table({"x_0": start[:, 0], "y_0": start[:, 1]}))
    assert np.isnan(result["log_z"]).all()
    assert np.isnan(result["log_z_err"]).all()
