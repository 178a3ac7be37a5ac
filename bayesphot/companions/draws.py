"""Joint draws of companion and target, given that there is a companion."""

from __future__ import annotations

import numpy as np

from bayesphot.companions.weigh import Search, Weighed
from bayesphot.priors.expectation import log_within

__all__ = ["draw_companions"]

#: Candidates for the flux of a draw.
N_TRY = 30


def _weigh_places(places: Weighed) -> np.ndarray:
    """Return the probability (M,) of each place, given that there is a companion."""
    log = places.log_bayes_factor
    mass = places.area * np.exp(log - log.max())
    return mass / mass.sum()


def draw_companions(
    search: Search, places: Weighed, n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return draws (n,) of x, y and flux of the companion and of the target.

    A place by its probability, and within its cell; the companion's flux from its normal by its
    prior, one of N_TRY candidates by weight; the target from its normal given that flux.
    """
    chosen = rng.choice(places.x.size, size=n, p=_weigh_places(places))
    kept, which = np.unique(chosen, return_inverse=True)
    once = places.select(kept)
    slope, covariance = search.spread(once)
    drawn = once.select(which)
    flux = _draw_fluxes(search, drawn, rng)
    root = np.linalg.cholesky(covariance)[which]
    target = drawn.target + slope[which] * (flux - drawn.flux)[:, None]
    target = target + np.einsum("nij,nj->ni", root, rng.standard_normal((n, 3)))
    within = np.einsum("nij,nj->ni", drawn.cell, rng.uniform(-0.5, 0.5, (n, 2)))
    return {
        "x": drawn.x + within[:, 0],
        "y": drawn.y + within[:, 1],
        "flux": flux,
        "x_target": target[:, 0],
        "y_target": target[:, 1],
        "flux_target": target[:, 2],
    }


def _draw_fluxes(search: Search, drawn: Weighed, rng: np.random.Generator) -> np.ndarray:
    """Return fluxes (n,) of companions at their places."""
    from scipy.special import ndtr, ndtri

    n = drawn.x.size
    error = 1.0 / np.sqrt(np.maximum(drawn.information, 1e-300))
    pdf, unit = search.scale_prior(drawn.target[:, 2])
    ends = [end * unit for end in pdf.support()]
    low, high = (ndtr((end - drawn.flux) / error) for end in ends)
    tries = drawn.flux + error * ndtri(low + (high - low) * rng.uniform(size=(N_TRY, n)))
    # Beyond 38 errors nothing is left of a normal: the nearest value that the prior allows.
    tries = np.clip(tries, *ends)
    weight = np.exp(log_within(pdf, tries / unit))
    below = np.cumsum(weight, axis=0) / weight.sum(axis=0)
    return tries[(below < rng.uniform(size=n)).sum(axis=0), np.arange(n)]
