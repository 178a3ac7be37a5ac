"""The blend experiment: equal stars of 5000 counts, FWHM 3, noise 5 known, boxes of 11 x 11.

Starts as the prior has it: each star's start is drawn uniformly in a disc of 0.5 FWHM about its
place, the radius of blended sources, so that given the starts the places are uniform in the
discs; sets of starts that break another line of the prior (further apart than 2 FWHM, or stars in
the wrong order where discs meet) are drawn again. ``starts="finder"`` gives no positions; its
roundness limits are wide, for what a fit of one star leaves of an unresolved pair is not round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bands import binomial_band, sd_band
from many_groups import (
    FWHM_PER_SIGMA,
    list_starts,
    make_field,
)
from scipy import stats

import bayesphot as bp
from bayesphot.calibration.designs import place_cells
from bayesphot.calibration.truths import draw_in_disc

FWHM, FLUX, NOISE, FIT_SHAPE, PITCH = 3.0, 5000.0, 5.0, 11, 40
SIGMA = FWHM / FWHM_PER_SIGMA
SIDE = 4.0
LAYOUTS = {
    "single": np.zeros((1, 2)),
    "pair at 4 px": np.array([[-2.0, 0.0], [2.0, 0.0]]),
    "pair at 2 px": np.array([[-1.0, 0.0], [1.0, 0.0]]),
    "triple, side 4 px": SIDE
    / np.sqrt(3.0)
    * np.stack([np.cos([0.5, 2.594, 4.689]), np.sin([0.5, 2.594, 4.689])], axis=1),
}


@dataclass(frozen=True, eq=False)
class BlendOutcome:
    """Pulls of the flux and whether intervals hold the truth, arrays (group, star).

    ``joint`` is the probability of each group's Mahalanobis distance of all fluxes; ``n_group``
    counts all groups simulated, also those in which the finder saw another number of stars.
    """

    n_group: int
    pull: np.ndarray
    position_pull: np.ndarray
    inside68: np.ndarray
    inside95: np.ndarray
    joint: np.ndarray
    flagged: float

    def summarise(self) -> dict[str, tuple[float, tuple[float, float]]]:
        """Return what was measured and its band; stars of a group count as one trial."""
        n = len(self.pull)
        return {
            "pull sd, flux": (float(np.sqrt(np.mean(self.pull**2))), sd_band(n)),
            "68 % coverage": (float(self.inside68.mean()), binomial_band(n, 0.6827)),
            "95 % coverage": (float(self.inside95.mean()), binomial_band(n, 0.95)),
            "joint 68 % coverage": (
                float(np.mean(self.joint < 0.6827)),
                binomial_band(n, 0.6827),
            ),
            "pull sd, position": (float(np.sqrt(np.mean(self.position_pull**2))), sd_band(n)),
        }


def turn_layout(rng, layout: np.ndarray, n_group: int) -> np.ndarray:
    """Return the layout turned at random, (n_group, star, 2)."""
    angle = rng.uniform(0.0, 2.0 * np.pi, n_group)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1)
    return np.einsum("gij,kj->gki", turn.reshape(-1, 2, 2), layout)


def draw_starts(rng, xy: np.ndarray, fwhm: float = FWHM) -> np.ndarray:
    """Return starts (group, star, 2) of which the places are draws from the default prior."""
    n_group, n_star = xy.shape[:2]
    radius = 0.5 * fwhm if n_star > 1 else fwhm
    start = np.empty_like(xy)
    pending = np.arange(n_group)
    while pending.size:
        start[pending] = xy[pending] + draw_in_disc(rng, (pending.size, n_star), radius)
        pending = pending[~_obey_prior(start[pending], xy[pending], radius, fwhm)]
    return start


def _obey_prior(start, xy, radius: float, fwhm: float) -> np.ndarray:
    """Return which groups' stars are blended by their starts, and in order where discs meet."""
    n_star = xy.shape[1]
    good = np.ones(len(xy), dtype=bool)
    blended = np.full((len(xy), n_star), n_star == 1)
    for i in range(n_star):
        for j in range(i):
            between = start[:, i] - start[:, j]
            separation = np.hypot(*between.T)
            near = separation < 2.0 * fwhm
            blended[:, i] |= near
            blended[:, j] |= near
            swapped = np.einsum("gc,gc->g", xy[:, i] - xy[:, j], between) < 0.0
            good &= ~(swapped & (separation < 2.0 * radius))
    return good & blended.all(axis=1)


def run_blends(layout: str, n_group: int, seed: int, *, starts: str = "prior") -> BlendOutcome:
    """Simulate, measure and compare with the truth."""
    rng = np.random.default_rng(seed)
    xy = place_cells(rng, n_group, PITCH)[:, None] + turn_layout(rng, LAYOUTS[layout], n_group)
    start = draw_starts(rng, xy)
    n_star = xy.shape[1]
    flux = np.full((n_group, n_star), FLUX)
    field = make_field(rng, xy, flux, sigma=SIGMA, noise=NOISE, pitch=PITCH)
    common = {
        "psf_model": bp.IntegratedGaussianPRF(sigma=SIGMA),
        "fitshape": FIT_SHAPE,
        "group_maker": bp.DAOGroup(crit_separation=12.0),
        "seed": seed,
    }
    if starts == "prior":
        result = bp.BasicPSFPhotometry(**common)(
            field.image, field.error, positions=list_starts(start)
        )
        rows = np.arange(n_group * n_star).reshape(n_group, n_star)
        kept = np.arange(n_group)
    else:
        finder = bp.DAOStarFinder(threshold=5.0 * NOISE, fwhm=FWHM, roundlo=-5.0, roundhi=5.0)
        phot = bp.IterativelySubtractedPSFPhotometry(finder=finder, niters=3, **common)
        result = phot(field.image, field.error)
        rows, kept = match_groups(result, xy)
    return compare(result, rows, xy[kept], flux[kept], n_group)


def match_groups(result, xy: np.ndarray):
    """Return the rows of each group of the right number, and which groups those are."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    place = np.stack([np.asarray(result[name]) for name in ("x_fit", "y_fit")], axis=1)
    tree = cKDTree(place)
    rows, kept = [], []
    for g, stars in enumerate(xy):
        near = tree.query_ball_point(stars.mean(axis=0), 10.0)
        if len(near) == len(stars):
            distance = np.hypot(*np.moveaxis(place[near][None] - stars[:, None], 2, 0))
            rows.append(np.array(near)[linear_sum_assignment(distance)[1]])
            kept.append(g)
    return np.array(rows), np.array(kept)


def compare(result, rows, xy, flux, n_group: int) -> BlendOutcome:
    """Return pulls and coverages of the groups whose rows (group, star) are given."""
    column = {name: np.asarray(result[name])[rows] for name in result.colnames if "_" in name}
    draws = result.posterior["flux"].values
    draws = draws.reshape(-1, draws.shape[2])[:, rows]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    off = draws.mean(axis=0) - flux
    distance = np.empty(len(rows))
    for g in range(len(rows)):
        covariance = np.atleast_2d(np.cov(draws[:, g], rowvar=False))
        distance[g] = off[g] @ np.linalg.solve(covariance, off[g])
    position_pull = [
        (column[f"{name}_median"] - xy[..., c]) / column[f"{name}_err"]
        for c, name in enumerate("xy")
    ]
    return BlendOutcome(
        n_group=n_group,
        pull=(column["flux_median"] - flux) / column["flux_err"],
        position_pull=np.stack(position_pull),
        inside68=(column["flux_lo"] <= flux) & (flux <= column["flux_hi"]),
        inside95=(low <= flux) & (flux <= high),
        joint=stats.chi2.cdf(distance, rows.shape[1]),
        flagged=float(np.mean(np.asarray(result["flags"])[rows].any(axis=1))),
    )
