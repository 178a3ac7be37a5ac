"""Other starts of doubtful fits: what is held fixed stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources

SIGMA = 2.0
NOISE = 5.0
PSF = describe_psf(bp.IntegratedGaussianPRF(sigma=SIGMA))
#: Seeds of scenes in which the restarted fit is kept (so that the test can fail).
SEEDS = {"x_0": 1, "flux": 29}


def make_pair(seed: int):
    """Return the image of a close pair and starts a third of its width away."""
    rng = np.random.default_rng(seed)
    second = [20.0 + rng.uniform(1.0, 2.0), 20.0 + rng.uniform(-1.0, 1.0), 500.0, np.log(SIGMA)]
    truth = np.array([[20.0, 20.0, 800.0, np.log(SIGMA)], second])
    image = render_sources((40, 40), truth, PSF) + rng.normal(0.0, NOISE, (40, 40))
    x, y = truth[:, 0] + rng.normal(0.0, 0.7, 2), truth[:, 1] + rng.normal(0.0, 0.7, 2)
    return image, {"x_0": x, "y_0": y, "flux_0": truth[:, 2]}


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_restarted_fits_keep_fixed_parameters(name):
    image, positions = make_pair(SEEDS[name])
    model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    model.fixed[name] = True
    phot = bp.BasicPSFPhotometry(
        psf_model=model, fitshape=11, group_maker=bp.DAOGroup(8.0), sampler=False
    )
    result = phot(image, error=np.full(image.shape, NOISE), positions=positions)
    state = [result["x_fit"], result["y_fit"], result["flux_fit"], np.full(2, np.log(SIGMA))]
    # The table says what is fixed; the image shows what the fit used. Rounding alone divides them.
    np.testing.assert_allclose(
        result.model_image, render_sources(image.shape, np.transpose(state), PSF), atol=1e-9
    )


@pytest.mark.parametrize("limit", [1, 50])
def test_groups_above_the_limit_are_not_fitted_again(limit, monkeypatch):
    from bayesphot import restarts

    image, positions = make_pair(SEEDS["x_0"])
    repeated = []
    fit_groups = restarts.fit_groups
    monkeypatch.setattr(restarts, "fit_groups", lambda data: repeated.append(1) or fit_groups(data))
    monkeypatch.setattr(restarts, "MAX_GROUP", limit)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=11,
        group_maker=bp.DAOGroup(8.0),
        sampler=False,
    )
    phot(image, error=np.full(image.shape, NOISE), positions=positions)
    assert bool(repeated) == (limit >= 2)
