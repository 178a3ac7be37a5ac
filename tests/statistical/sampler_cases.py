"""Groups of one, two and four stars under every option, for the samplers and their oracle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from importance import Problem, cut_problem
from many_groups import list_starts, render_stars

import bayesphot as bp
from bayesphot.background import SkyLevel

SIGMA = 1.3
NOISE = 4.0
SKY, SKY_ERROR = 30.0, 0.6
FIT_SHAPE = 9
SHAPE_SIDE = 45
#: Starts of "two" are 0.8 FWHM apart: discs meet, the order of stars is live; those of the faint
#: pair 0.7, and one of its stars is not there: its floor holds a good part of the posterior.
PLACES = {
    "one": [(0.0, 0.0)],
    "two": [(-1.2, 0.0), (1.0, 0.6)],
    "four": [(-2.9, -2.0), (1.1, -2.4), (2.0, 1.9), (-1.8, 2.6)],
    "faint one": [(0.0, 0.0)],
    "faint two": [(-1.1, 0.0), (1.0, 0.4)],
}
FLUXES = {
    "one": [400.0],
    "two": [1500.0, 900.0],
    "four": [1500.0, 900.0, 1200.0, 2000.0],
    "faint one": [90.0],
    "faint two": [200.0, 0.0],
}

SKIES = {"none": False, "prior": "prior", "flat": "flat", "plane": "plane"}
SHAPES = {"fixed": "fixed", "group": "shared", "image": "shared", "source": "own"}
MATRIX = tuple(product(SKIES, SHAPES, ("free", "fixed")))


@dataclass(frozen=True)
class KnownSky:
    """A sky estimator that says the same of any data."""

    level: float
    error: float

    def __call__(self, data, mask=None):
        return SkyLevel(self.level, self.error)


@dataclass(frozen=True, eq=False)
class Case:
    """An image of one group, and its starts."""

    image: np.ndarray
    error: np.ndarray
    start: np.ndarray


def make_case(name: str) -> Case:
    """Simulate a group; noise and starts depend on its name alone."""
    rng = np.random.default_rng(8100 + list(PLACES).index(name))
    shape = (SHAPE_SIDE, SHAPE_SIDE)
    xy = np.array(PLACES[name]) + SHAPE_SIDE // 2
    start = xy + rng.uniform(-0.3, 0.3, xy.shape)
    error = NOISE * rng.uniform(0.8, 1.25, shape)
    image = render_stars(shape, *xy.T, np.array(FLUXES[name]), SIGMA)
    image = image + SKY + 0.4 + rng.normal(0.0, 1.0, shape) * error
    return Case(image, error, start)


def run_package(case: Case, sampler, sky: str, sigma: str, positions: str):
    """Return the result of the package for a case."""
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = sigma == "fixed"
    psf.x_0.fixed = psf.y_0.fixed = positions == "fixed"
    phot = bp.BasicPSFPhotometry(
        psf_model=psf,
        fitshape=FIT_SHAPE,
        group_maker=bp.DAOGroup(crit_separation=6.0),
        bkg_estimator=KnownSky(SKY, SKY_ERROR),
        sampler=sampler,
        fit_background=SKIES[sky],
        shape="group" if sigma == "fixed" else sigma,
        seed=29,
    )
    return phot(case.image, case.error, positions=list_starts(case.start[None]))


def pose_problem(case: Case, sky: str, sigma: str, positions: str) -> Problem:
    """Return the same case for the oracle."""
    known = SKY if sky == "none" else 0.0
    return cut_problem(
        case.image - known,
        case.error,
        case.start,
        FIT_SHAPE,
        sigma=SIGMA,
        free_positions=positions == "free",
        shape=SHAPES[sigma],
        sky=sky,
        sky_level=SKY,
        sky_error=SKY_ERROR,
    )


def stack_draws(result, sky: str, sigma: str, positions: str) -> np.ndarray:
    """Return the package's draws as (chain, draw, parameter) in the oracle's order."""
    posterior = result.posterior
    columns = []
    n_star = posterior.sizes["source"]
    if positions == "free":
        for k in range(n_star):
            columns += [posterior["x"].values[..., k], posterior["y"].values[..., k]]
    if sigma != "fixed":
        last = n_star if sigma == "source" else 1
        columns += [np.log(posterior["sigma"].values[..., k]) for k in range(last)]
    columns += [posterior["flux"].values[..., k] for k in range(n_star)]
    if sky != "none":
        columns.append(posterior["background"].values[..., 0])
    if sky == "plane":
        columns += [posterior[name].values[..., 0] for name in ("background_dx", "background_dy")]
    return np.stack(columns, axis=-1)
