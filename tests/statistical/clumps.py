"""Hard blends: how many pass every gate, and whether those agree with long tempered runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bands import welch_p_values
from many_groups import FWHM_PER_SIGMA, list_starts, make_field

import bayesphot as bp
from bayesphot.calibration.designs import draw_packs, place_cells

SIGMA, NOISE, PITCH, FIT_SHAPE = 1.5, 3.0, 48, 11
FWHM = SIGMA * FWHM_PER_SIGMA
#: Flux error of a lone star of known place.
UNIT = 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
SNR = (5.0, 100.0)
#: Scatter of the starts about the stars, in FWHM.
START_ERROR = 0.1
#: Stars, and FWHM from each to its nearest mate.
DESIGNS = {
    "pair at 0.7": (2, 0.7),
    "pair at 0.5": (2, 0.5),
    "triple at 0.7": (3, 0.7),
    "five at 1.0": (5, 1.0),
    "five at 0.7": (5, 0.7),
    "ten at 1.5": (10, 1.5),
    "ten at 1.0": (10, 1.0),
    "ten at 0.7": (10, 0.7),
}
#: What warns of the draws.
GATES = bp.Flag.HIGH_R_HAT | bp.Flag.LOW_ESS | bp.Flag.HIGH_PARETO_K | bp.Flag.NOT_SAMPLED


@dataclass(frozen=True, eq=False)
class Clumps:
    """Groups of one design, sampled as by default.

    Parameters
    ----------
    field : Field
        Data and truth.
    start : (G, n, 2) array
        Starts.
    result : PhotometryResult
        Of all groups.
    """

    field: object
    start: np.ndarray
    result: object

    @property
    def passes(self) -> np.ndarray:
        """Which groups carry no flag that warns of their draws."""
        flags = np.asarray(self.result["flags"]).reshape(self.start.shape[:2])
        return ~np.any(flags & int(GATES), axis=1)

    @property
    def engine(self) -> np.ndarray:
        """Engine of each group."""
        return np.asarray(self.result["engine"]).reshape(self.start.shape[:2])[:, 0]


def sample_clumps(design: str, n_group: int, seed: int) -> Clumps:
    """Simulate groups on a flat, free sky and sample them."""
    n_star, separation = DESIGNS[design]
    rng = np.random.default_rng(seed)
    apart = separation * FWHM
    packs = draw_packs(rng, n_group, n_sources=(n_star, n_star), separation=(apart, apart))
    middle = place_cells(rng, n_group, PITCH)
    place = packs.move(middle).place.reshape(n_group, n_star, 2)
    flux = UNIT * np.exp(rng.uniform(*np.log(SNR), (n_group, n_star)))
    field = make_field(rng, place, flux, sigma=SIGMA, noise=NOISE, pitch=PITCH)
    start = place + rng.normal(0.0, START_ERROR * FWHM, place.shape)
    return Clumps(field, start, run_groups(field, start, np.arange(n_group), seed=seed))


def run_groups(field, start: np.ndarray, groups: np.ndarray, *, seed: int, sampler=None):
    """Return the photometry of some of the groups."""
    n_star = start.shape[1]
    table = list_starts(start[groups])
    table["group_id"] = np.repeat(np.arange(groups.size), n_star) + 1
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=FIT_SHAPE,
        fit_background="flat",
        sampler=sampler,
        seed=seed,
    )
    return phot(field.image, error=field.error, positions=table)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Means and errors of groups beside those of the reference.

    Parameters
    ----------
    p_value : array
        Of equal means, and of equal variances, of every parameter: chains are the replicates.
    shift : array
        Difference of the means over the error.
    ratio : array
        Error over the reference's.
    trusted : (m,) array of bool
        Which references pass their own gates.
    """

    p_value: np.ndarray
    shift: np.ndarray
    ratio: np.ndarray
    trusted: np.ndarray


def compare_passing(clumps: Clumps, n_most: int, *, seed: int, swarms: int, particles: int):
    """Compare the first groups that pass with long runs of tempered swarms."""
    groups = np.flatnonzero(clumps.passes)[:n_most]
    sampler = bp.Sampler(engine="tempered", chains=swarms, draws=particles)
    reference = run_groups(clumps.field, clumps.start, groups, seed=seed, sampler=sampler)
    n_star = clumps.start.shape[1]
    members = (groups[:, None] * n_star + np.arange(n_star)).ravel()
    p_value, shift, ratio = [], [], []
    for name in ("x", "y", "flux"):
        ours = clumps.result.posterior[name].values[:, :, members]
        theirs = reference.posterior[name].values
        middle, width = theirs.mean(axis=(0, 1)), theirs.std(axis=(0, 1))
        for power in (1, 2):
            first, second = (
                (((values - middle) / width) ** power).mean(axis=1) for values in (ours, theirs)
            )
            p_value.append(welch_p_values(first, second))
        shift.append((ours.mean(axis=(0, 1)) - middle) / width)
        ratio.append(ours.std(axis=(0, 1)) / width)
    flags = np.asarray(reference["flags"]).reshape(-1, n_star)
    trusted = ~np.any(flags & int(GATES), axis=1)
    return Comparison(np.array(p_value), np.array(shift), np.array(ratio), trusted)
