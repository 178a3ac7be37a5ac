"""A pair whose axis stands at right angles to that of its starts: two namings, two pieces.

Both are inside the order of the starts. One is the best fit; the other must be found, too.
"""

from __future__ import annotations

import numpy as np
import pytest
from bands import per_test
from many_groups import list_starts, render_stars
from scipy import stats

import bayesphot as bp

SIGMA, NOISE, SIDE = 1.5, 3.0, 29
ENGINES = {
    "independence": bp.Sampler(draws=1500, chains=16, engine="independence"),
    "tempered": bp.Sampler(draws=1500, chains=16, engine="tempered", max_r_hat=9.0, min_ess=1.0),
}


def run_pair(engine: str, flux: tuple[float, float]):
    """Return draws of y and flux of both stars, (chain, draw, star), of data without noise."""
    middle = SIDE // 2
    place = middle + np.array([[0.0, -0.9], [0.0, 0.9]])
    image = render_stars((SIDE, SIDE), *place.T, np.array(flux), SIGMA)
    start = middle + np.array([[0.8, 0.0], [-0.8, 0.0]])
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=11,
        group_maker=bp.DAOGroup(8.0),
        priors={"position": bp.Disc(2.0), "flux": bp.Normal(900.0, 500.0)},
        sampler=ENGINES[engine],
        seed=4,
    )
    result = phot(image, np.full(image.shape, NOISE), positions=list_starts(start[None]))
    return result.posterior["y"].values, result.posterior["flux"].values


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("flux", [(900.0, 900.0), (1200.0, 600.0), (400.0, 300.0)])
def test_both_pieces_have_half(engine, flux) -> None:
    """By symmetry: data and starts are their own mirror images, names exchanged."""
    y, light = run_pair(engine, flux)
    up, brighter = y[..., 0] > y[..., 1], light[..., 0] > light[..., 1]
    for share in (up.mean(axis=1), brighter.mean(axis=1)):
        error = share.std(ddof=1) / np.sqrt(share.size)
        limit = stats.t.isf(0.5 * per_test(2), share.size - 1)
        assert abs(share.mean() - 0.5) < limit * error
        assert error < 0.05
