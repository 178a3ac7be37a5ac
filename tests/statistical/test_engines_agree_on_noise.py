"""The compiled engines and emcee agree for every noise model and prior, on one blended pair.

Chains and ensembles are independent replicates: means and variances of all parameters are
compared by Welch's t over them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bands import per_test, welch_p_values
from calibration import FLUX_PRIORS, SCATTERS, SIGMA
from many_groups import list_starts, render_stars

import bayesphot as bp
from bayesphot.calibration.pixel_noise import scatter_pixels

SIDE = 31
PARAMETERS = ("x", "y", "flux", "sigma")
REFEREE = bp.EmceeSampler(draws=600, chains=12, steps=300, max_steps=300)
ENGINES = (
    bp.Sampler(draws=1500, chains=16, engine="independence"),
    # Swarms are replicates whatever their moves: one attempt is as good as two.
    bp.Sampler(draws=1000, chains=12, engine="tempered", max_r_hat=9.0, min_ess=1.0),
)
#: Noise, flux prior, prior of the offset in x, error of the PSF (whose width is then fixed), prior
#: of a factor on the noise.
CASES = [
    ("ccd", "normal", None, None, None),
    ("poisson", "half-normal", bp.Normal(0.1, 0.3), None, None),
    ("student", "log-normal", None, None, None),
    ("contaminated", "power law", bp.Uniform(-0.8, 0.9), None, None),
    ("normal", "power law", bp.TruncatedNormal(0.0, 0.4, -0.3, 1.0), None, None),
    ("poisson", "normal", None, bp.PSFError(0.1), None),
    ("normal", "normal", None, bp.PSFError(0.1, 0.03), bp.LogNormal(1.3, 0.3)),
    ("student", "normal", None, None, bp.LogUniform(0.5, 3.0)),
]
#: The other combinations.
MORE = [
    ("ccd", "power law", None, bp.PSFError(0.1, 0.03), None),
    ("student", "normal", None, bp.PSFError(0.1, 0.03), None),
    ("contaminated", "normal", None, bp.PSFError(0.1), None),
    ("normal", "power law", None, None, bp.Uniform(0.5, 1.1)),
    ("ccd", "normal", None, None, bp.LogNormal(1.3, 0.3)),
    ("contaminated", "normal", bp.Normal(0.1, 0.3), None, bp.HalfNormal(2.0)),
    ("normal", "normal", None, bp.PSFError(0.1, 0.03), None),
]


def make_pair(scatter: str):
    """Return the image of a pair, its error and starts; the law it was drawn from."""
    law = SCATTERS[scatter]
    rng = np.random.default_rng(900 + list(SCATTERS).index(scatter))
    xy = np.array([[13.6, 15.2], [17.0, 15.9]])
    unit = 2.0 * np.sqrt(np.pi) * SIGMA * law.noise
    mean = render_stars((SIDE, SIDE), *xy.T, unit * np.array([25.0, 15.0]), SIGMA) + law.sky
    image = scatter_pixels(mean, law.model, law.noise, rng)
    start = xy + rng.uniform(-0.3, 0.3, xy.shape)
    return image, law.error, start, law, unit


def stack_parameters(result) -> np.ndarray:
    """Return the draws of all parameters as (chain, draw, parameter)."""
    names = [name for name in PARAMETERS if name in result.posterior]
    columns = [result.posterior[name].values[..., k] for name in names for k in range(2)]
    shared = [
        name for name in ("background", "psf_width_error", "inflation") if name in result.posterior
    ]
    columns += [result.posterior[name].values[..., 0] for name in shared]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    ("scatter", "flux_prior", "offset", "psf_error", "inflation"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)],
)
def test_compiled_engines_and_emcee_agree(
    scatter, flux_prior, offset, psf_error, inflation
) -> None:
    image, error, start, law, unit = make_pair(scatter)
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = psf_error is not None
    priors = {"flux": FLUX_PRIORS[flux_prior](unit, 20.0, 8.0)}
    priors["background"] = bp.Normal(law.sky, law.sky_sd)
    if psf_error is None:
        priors["sigma"] = bp.TruncatedNormal(SIGMA, 0.2, 1.0, 2.0)
    if offset is not None:
        priors["x"] = offset
    noise = law.model
    if inflation is not None:
        noise = replace(noise or bp.NormalNoise(), inflation=inflation)
    draws = []
    for engine in (REFEREE, *ENGINES):
        phot = bp.BasicPSFPhotometry(
            psf_model=psf,
            fitshape=11,
            group_maker=bp.DAOGroup(8.0),
            bkg_estimator=law.sky,
            priors=priors,
            noise=noise,
            psf_error=psf_error,
            sampler=engine,
            seed=31,
        )
        draws.append(stack_parameters(phot(image, error, positions=list_starts(start[None]))))
    center = draws[0].mean(axis=(0, 1))
    scale = draws[0].std(axis=(0, 1))
    expected, *found = (
        np.concatenate([z.mean(axis=1), (z**2).mean(axis=1)], axis=1)
        for z in ((d - center) / scale for d in draws)
    )
    for moments in found:
        p_values = welch_p_values(moments, expected)
        # A shape shared by the group is one parameter, there twice.
        assert p_values.min() > per_test(p_values.size * len(found))
