"""Simulation-based calibration (Talts et al. 2018): truth from the prior, ranks in the posterior.

Every prior is proper and the same in simulation and fit: starts first, then places in the discs
(in the order of the starts where discs meet), normal fluxes, a log-normal width for each group, a
normal sky for each group. Ranks among draws thinned to near independence are uniform if, and only
if, the posterior is right; coverage is averaged over the prior. All groups count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from bands import rank_p_value
from many_groups import (
    FWHM_PER_SIGMA,
    draw_in_disc,
    draws_by_group,
    list_starts,
    make_field,
    place_cells,
)

import bayesphot as bp

SIGMA, NOISE, FIT_SHAPE, PITCH = 1.5, 3.0, 11, 40
FWHM = SIGMA * FWHM_PER_SIGMA
SHAPE_WIDTH = 0.2
SKY, SKY_SD = 50.0, 1.0
N_RANK, N_BIN = 100, 20
#: Number of stars, separation of the starts in FWHM, radius of the discs in FWHM, flux prior in
#: units of the flux error of a lone star (mean, sd).
DESIGNS = {
    "single": (1, 0.0, 1.0, (12.0, 4.0)),
    "faint single": (1, 0.0, 1.0, (3.0, 3.0)),
    "pair at 1.0 FWHM": (2, 1.0, 0.5, (25.0, 8.0)),
    "pair at 0.7 FWHM": (2, 0.7, 0.5, (25.0, 8.0)),
}


@dataclass(frozen=True)
class Scatter:
    """A noise model: what is fitted, what is simulated, and the sky it stands on.

    ``noise`` is the scatter of a pixel of bare sky, or the scale of models that take an error.
    """

    model: object = None
    draw: Callable | None = None
    noise: float = NOISE
    sky: float = SKY
    sky_sd: float = SKY_SD
    gives_error: bool = True


def _draw_ccd(rng, mean):
    return rng.normal(mean, np.sqrt(4.0 + np.maximum(mean, 0.0) / 8.0))


def _draw_contaminated(rng, mean):
    wide = np.where(rng.random(mean.shape) < 0.02, 15.0, 1.0)
    return mean + NOISE * wide * rng.standard_normal(mean.shape)


SCATTERS = {
    "normal": Scatter(),
    # 4 + 50/8 = 3.2 squared.
    "ccd": Scatter(bp.CCDNoise(8.0, 16.0), _draw_ccd, 3.2, gives_error=False),
    "poisson": Scatter(
        bp.PoissonNoise(), lambda rng, mean: rng.poisson(mean) * 1.0, 1.73, 3.0, 0.2, False
    ),
    "student": Scatter(
        bp.StudentTNoise(3.0), lambda rng, mean: mean + NOISE * rng.standard_t(3.0, mean.shape)
    ),
    "contaminated": Scatter(bp.ContaminatedGaussian(0.02, 15.0), _draw_contaminated),
}

#: Flux priors: from the unit, mean and sd of a design to the distribution and draws of it.
FLUX_PRIORS = {
    "normal": (
        lambda unit, mean, sd: bp.Normal(unit * mean, unit * sd),
        lambda rng, prior, shape: rng.normal(prior.mean, prior.sd, shape),
    ),
    "power law": (
        lambda unit, mean, sd: bp.PowerLaw(-1.5, 0.3 * unit * mean, 3.0 * unit * mean),
        lambda rng, prior, shape: (
            (prior.low**-0.5 + (prior.high**-0.5 - prior.low**-0.5) * rng.random(shape)) ** -2.0
        ),
    ),
    "half-normal": (
        lambda unit, mean, sd: bp.HalfNormal(unit * mean),
        lambda rng, prior, shape: np.abs(rng.normal(0.0, prior.sd, shape)),
    ),
    "log-normal": (
        lambda unit, mean, sd: bp.LogNormal(unit * mean, 0.5),
        lambda rng, prior, shape: prior.median * np.exp(prior.width * rng.standard_normal(shape)),
    ),
}


@dataclass(frozen=True, eq=False)
class CalibrationOutcome:
    """Ranks of the truth, 0 .. N_RANK - 1, of each parameter (group, ...); share of flags."""

    rank: dict[str, np.ndarray]
    flagged: float

    def p_values(self) -> dict[str, float]:
        """Return the p-value of uniform ranks for each parameter."""
        return {name: rank_p_value(rank, N_RANK, N_BIN) for name, rank in self.rank.items()}

    def coverage(self, name: str, level: float) -> float:
        """Return how often the truth is in the central interval of a parameter."""
        place = (self.rank[name] + 0.5) / N_RANK
        return float(np.mean(np.abs(place - 0.5) <= 0.5 * level))


def draw_places(rng, n_group: int, separation: float, radius: float, n_star: int):
    """Return starts and places (group, star, 2) from the prior."""
    cell = place_cells(rng, n_group, PITCH)
    angle = rng.uniform(0.0, 2.0 * np.pi, n_group)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    side = np.linspace(-0.5, 0.5, n_star) if n_star > 1 else np.zeros(1)
    # A hair of width keeps discs that touch from meeting or not by the last bit.
    step = side[:, None] * separation * FWHM * (1.0 + 1e-9)
    start = cell[:, None] + direction[:, None] * step
    places = np.empty_like(start)
    pending = np.arange(n_group)
    while pending.size:
        places[pending] = start[pending] + draw_in_disc(rng, (pending.size, n_star), radius * FWHM)
        if n_star == 1 or separation >= 2.0 * radius:
            break
        between = places[pending, 0] - places[pending, 1]
        order = np.einsum("gc,gc->g", between, start[pending, 0] - start[pending, 1])
        pending = pending[order < 0.0]
    return start, places


def calibrate(
    design: str,
    n_group: int,
    seed: int,
    *,
    sigma_free: bool,
    sky_free: bool,
    sampler=None,
    scatter: str = "normal",
    flux_prior: str = "normal",
    fitted_as: str | None = None,
    inflation: float = 0.0,
) -> CalibrationOutcome:
    """Draw truths from the prior, simulate, fit and rank.

    ``fitted_as`` names another noise model for the fit than the one that made the data;
    ``inflation`` is the width of a log-normal factor on the noise of each group.
    """
    rng = np.random.default_rng(seed)
    law = SCATTERS[scatter]
    model = SCATTERS[fitted_as or scatter]
    n_star, separation, radius, (mean, sd) = DESIGNS[design]
    unit = 2.0 * np.sqrt(np.pi) * SIGMA * law.noise
    start, places = draw_places(rng, n_group, separation, radius, n_star)
    make_prior, draw_flux = FLUX_PRIORS[flux_prior]
    prior = make_prior(unit, mean, sd)
    flux = draw_flux(rng, prior, (n_group, n_star))
    sigma = SIGMA * np.exp(SHAPE_WIDTH * sigma_free * rng.standard_normal((n_group, 1)))
    sky = law.sky + law.sky_sd * sky_free * rng.standard_normal(n_group)
    sigmas = np.repeat(sigma, n_star, axis=1)
    draw_noise, noise = law.draw, model.model
    if inflation:
        factor = np.exp(inflation * rng.standard_normal(n_group))
        draw_noise = inflate_noise(law, factor)
        noise = replace(noise or bp.NormalNoise(), inflation=bp.LogNormal(1.0, inflation))
    field = make_field(
        rng, places, flux, sigma=sigmas, noise=law.noise, sky=sky, pitch=PITCH, scatter=draw_noise
    )
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = not sigma_free
    priors = {"position": bp.Disc(radius * FWHM), "flux": prior}
    if sigma_free:
        priors["sigma"] = bp.LogNormal(SIGMA, SHAPE_WIDTH)
    if sky_free:
        priors["background"] = bp.Normal(law.sky, law.sky_sd)
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=FIT_SHAPE,
        group_maker=bp.DAOGroup(crit_separation=8.0),
        bkg_estimator=law.sky,
        priors=priors,
        sampler=sampler,
        noise=noise,
        seed=seed,
    )
    error = field.error if model.gives_error else None
    result = phot(field.image, error, positions=list_starts(start))
    truth = {"x": field.x[:, 0], "y": field.y[:, 0], "flux": flux[:, 0]}
    drawn = {name: draws_by_group(result, name, n_star)[:, :, 0] for name in truth}
    if sigma_free:
        truth["sigma"] = sigma[:, 0]
        drawn["sigma"] = draws_by_group(result, "sigma", n_star)[:, :, 0]
    if sky_free:
        values = result.posterior["background"].values
        truth["background"], drawn["background"] = sky, values.reshape(-1, n_group)
    if inflation:
        truth["inflation"] = factor
        drawn["inflation"] = result.posterior["inflation"].values.reshape(-1, n_group)
    if n_star == 2:
        # What the blend knows best and worst.
        both = draws_by_group(result, "flux", n_star)
        truth["sum"], drawn["sum"] = flux.sum(axis=1), both.sum(axis=2)
        truth["difference"] = flux[:, 0] - flux[:, 1]
        drawn["difference"] = both[..., 0] - both[..., 1]
    rank = {name: rank_truth(drawn[name], truth[name]) for name in truth}
    return CalibrationOutcome(rank, float(np.mean(np.asarray(result["flags"]) != 0)))


def inflate_noise(law: Scatter, factor: np.ndarray) -> Callable:
    """Return the law with deviations from the mean times a factor in each group's cell."""

    def draw(rng, mean):
        drawn = law.draw(rng, mean) if law.draw else rng.normal(mean, law.noise)
        n_row, n_col = (side // PITCH for side in mean.shape)
        cells = np.ones(n_row * n_col)
        cells[: factor.size] = factor
        return mean + np.kron(cells.reshape(n_row, n_col), np.ones((PITCH, PITCH))) * (drawn - mean)

    return draw


def rank_truth(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how many of N_RANK - 1 draws, spread over all of them, lie below the truth."""
    if not np.all(np.isfinite(draws)):
        raise ValueError("every group must have been sampled")
    pick = np.linspace(0, len(draws) - 1, N_RANK - 1).round().astype(int)
    return np.sum(draws[pick] < truth, axis=0)
