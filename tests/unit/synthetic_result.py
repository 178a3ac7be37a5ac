"""A result made without a run: three blended stars, a single one and one that was not measured."""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from bayesphot.draws import Draws
from bayesphot.result import PhotometryResult

IDS = np.array([1, 2, 5, 7, 9])
GROUPS = np.array([1, 1, 1, 2, -1])
X = np.array([12.2, 16.1, 14.0, 40.3, np.nan])
Y = np.array([20.4, 21.0, 25.2, 11.7, np.nan])
FLUX = np.array([800.0, 500.0, 1200.0, 3000.0, np.nan])
SHAPE = (36, 56)
SIGMA, LEVEL, NOISE = 2.0, 3.0, 2.0
META = {
    "versions": {"bayesphot": "0.1"},
    "seed": 3,
    "arguments": {"fitshape": [11, 11], "ci_prob": 0.9, "sampler": None},
    "timings": {"sample": 0.125},
}


def make_draws(*, n_chains=4, n_draws=300, free_sigma=True, seed=4):
    """Return joint normal draws in which the fluxes of sources 1 and 2 are anticorrelated."""
    rng = np.random.default_rng(seed)
    state = (n_chains, n_draws)

    def scatter(values, sd):
        return values + sd * rng.normal(size=(*state, values.size))

    flux = scatter(FLUX, 15.0)
    flux[:, :, 1] = 500.0 - 0.8 * (flux[:, :, 0] - 800.0) + 5.0 * rng.normal(size=state)
    source = {"x": scatter(X, 0.03), "y": scatter(Y, 0.02), "flux": flux}
    source["y"][:, :, 0] += 0.8 * (source["x"][:, :, 0] - X[0])
    sigma = np.full((*state, IDS.size), SIGMA)
    if free_sigma:
        sigma = sigma[:, :, 0:2] + 0.01 * rng.normal(size=(*state, 2))
        sigma = sigma[:, :, [0, 0, 0, 1, 1]]
    sigma[:, :, 4] = np.nan
    source["sigma"] = sigma
    group = {"background": scatter(np.array([LEVEL, LEVEL]), 0.1)}
    stats = {"acceptance": np.array([0.7, 0.8]), "n_evaluations": np.array([9000, 4000])}
    return Draws(source, group, IDS, GROUPS, np.array([1, 2]), stats)


def make_table(*, unit=None):
    """Return the columns that the result and its pictures look at, and some more."""
    brightness = 1.0 if unit is None else unit * u.pix
    level = 1.0 if unit is None else unit
    return QTable(
        {
            "id": IDS,
            "group_id": GROUPS,
            "iter_detected": np.ones(IDS.size, dtype=np.int64),
            "x_fit": X,
            "y_fit": Y,
            "flux_fit": FLUX * brightness,
            "flux_err": np.full(IDS.size, 15.0) * brightness,
            "background_fit": np.full(IDS.size, LEVEL) * level,
            "engine": np.array(["independence", "independence", "independence", "emcee", ""]),
            "flags": np.array([0, 0, 0, 0, 1]),
        },
        meta={"note": {"nested": [1, (2, 3)]}},
    )


def make_images(*, unit=None, seed=5):
    """Return the images of a result by their argument names."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    background = np.full(SHAPE, LEVEL)
    model = background.copy()
    for x_0, y_0, flux in zip(X[:-1], Y[:-1], FLUX[:-1], strict=True):
        shape = np.exp(-0.5 * ((x - x_0) ** 2 + (y - y_0) ** 2) / SIGMA**2)
        model += flux * shape / (2.0 * np.pi * SIGMA**2)
    image = model + NOISE * rng.normal(size=SHAPE)
    image[30, 5:9] = np.nan
    images = {
        "image": image,
        "noise_image": np.full(SHAPE, NOISE),
        "model_image": model,
        "residual_image": image - model,
        "background_image": background,
    }
    return images if unit is None else {name: array * unit for name, array in images.items()}


def make_result(*, unit=None, sampled=True, **changes):
    """Return a whole result; `changes` replace parts of it."""
    parts = {
        "table": make_table(unit=unit),
        "draws": make_draws() if sampled else None,
        "meta": META,
        **make_images(unit=unit),
        **changes,
    }
    return PhotometryResult(**parts)
