"""Simulation-based calibration (Talts et al. 2018): truth from the prior, ranks in the posterior.

Every prior is proper and the same in simulation and fit: starts first, then places in the discs
(in the order of the starts where discs meet), normal fluxes, a log-normal width for each group, a
normal sky for each group. Ranks among draws thinned to near independence are uniform if, and only
if, the posterior is right; coverage is averaged over the prior. All groups count.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    design: str, n_group: int, seed: int, *, sigma_free: bool, sky_free: bool, sampler=None
) -> CalibrationOutcome:
    """Draw truths from the prior, simulate, fit and rank."""
    rng = np.random.default_rng(seed)
    n_star, separation, radius, (mean, sd) = DESIGNS[design]
    unit = 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
    start, places = draw_places(rng, n_group, separation, radius, n_star)
    flux = unit * rng.normal(mean, sd, (n_group, n_star))
    sigma = SIGMA * np.exp(SHAPE_WIDTH * sigma_free * rng.standard_normal((n_group, 1)))
    sky = SKY + SKY_SD * sky_free * rng.standard_normal(n_group)
    sigmas = np.repeat(sigma, n_star, axis=1)
    field = make_field(rng, places, flux, sigma=sigmas, noise=NOISE, sky=sky, pitch=PITCH)
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = not sigma_free
    priors = {"position": bp.Disc(radius * FWHM), "flux": bp.Normal(unit * mean, unit * sd)}
    if sigma_free:
        priors["sigma"] = bp.LogNormal(SIGMA, SHAPE_WIDTH)
    if sky_free:
        priors["background"] = bp.Normal(SKY, SKY_SD)
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=FIT_SHAPE,
        group_maker=bp.DAOGroup(crit_separation=8.0),
        bkg_estimator=SKY,
        priors=priors,
        sampler=sampler,
        seed=seed,
    )
    result = phot(field.image, field.error, positions=list_starts(start))
    truth = {"x": field.x[:, 0], "y": field.y[:, 0], "flux": flux[:, 0]}
    drawn = {name: draws_by_group(result, name, n_star)[:, :, 0] for name in truth}
    if sigma_free:
        truth["sigma"] = sigma[:, 0]
        drawn["sigma"] = draws_by_group(result, "sigma", n_star)[:, :, 0]
    if sky_free:
        values = result.posterior["background"].values
        truth["background"], drawn["background"] = sky, values.reshape(-1, n_group)
    if n_star == 2:
        # What the blend knows best and worst.
        both = draws_by_group(result, "flux", n_star)
        truth["sum"], drawn["sum"] = flux.sum(axis=1), both.sum(axis=2)
        truth["difference"] = flux[:, 0] - flux[:, 1]
        drawn["difference"] = both[..., 0] - both[..., 1]
    rank = {name: rank_truth(drawn[name], truth[name]) for name in truth}
    return CalibrationOutcome(rank, float(np.mean(np.asarray(result["flags"]) != 0)))


def rank_truth(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how many of N_RANK - 1 draws, spread over all of them, lie below the truth."""
    if not np.all(np.isfinite(draws)):
        raise ValueError("every group must have been sampled")
    pick = np.linspace(0, len(draws) - 1, N_RANK - 1).round().astype(int)
    return np.sum(draws[pick] < truth, axis=0)
