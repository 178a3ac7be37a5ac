"""Both samplers against importance sampling in plain numpy, under every option.

Chains of the samplers and batches of the oracle are independent replicates: means and covariances
of all free parameters are compared by Welch's t over the replicates.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from bands import per_test, welch_p_values
from importance import estimate_moments, sample_posterior
from sampler_cases import MATRIX, PLACES, make_case, pose_problem, run_package, stack_draws

import bayesphot as bp

N_BATCH = 16
SAMPLERS = {
    "compiled": bp.Sampler(draws=2000, chains=16),
    # Burn-in as long as the run; few long ensembles would leave nothing to compare with.
    "emcee": bp.EmceeSampler(draws=600, chains=12, steps=150, max_steps=150),
    "emcee, long": bp.EmceeSampler(draws=2000, chains=12, steps=600, max_steps=600),
}
#: Every pair of options occurs among these.
QUICK = {
    ("compiled", "one", "none", "fixed", "free"),
    ("compiled", "one", "plane", "source", "free"),
    ("compiled", "faint one", "prior", "group", "free"),
    ("compiled", "faint one", "flat", "image", "fixed"),
    ("compiled", "two", "prior", "group", "free"),
    ("compiled", "two", "flat", "source", "free"),
    ("compiled", "two", "plane", "image", "fixed"),
    ("compiled", "two", "none", "group", "fixed"),
    ("compiled", "faint two", "none", "fixed", "free"),
    ("compiled", "four", "flat", "fixed", "free"),
    ("compiled", "four", "prior", "image", "free"),
    ("compiled", "four", "plane", "source", "fixed"),
    ("emcee", "one", "prior", "group", "free"),
    ("emcee", "two", "flat", "fixed", "free"),
    ("emcee", "two", "plane", "source", "fixed"),
    ("emcee", "two", "none", "image", "free"),
}


def list_cases() -> list:
    """Return every engine and option; all but the quick ones are marked slow."""
    cases = []
    for engine in SAMPLERS:
        for group in PLACES:
            for options in MATRIX:
                case = (engine, group, *options)
                short = engine == "emcee" or group.startswith("faint")
                if short and engine != "compiled" and case not in QUICK:
                    continue
                marks = [] if case in QUICK else [pytest.mark.slow]
                cases.append(pytest.param(*case, marks=marks, id="-".join(case)))
    return cases


@lru_cache(maxsize=4)
def consult_oracle(group, sky, sigma, positions):
    """Return each batch's moments by the oracle, and the location and scale they refer to."""
    rng = np.random.default_rng(4_000_003)
    problem = pose_problem(make_case(group), sky, sigma, positions)
    # The posterior of a star that may not be there is far from any Student t.
    m = 12000 if group == "faint two" and positions == "free" else 1500
    vectors, weight = sample_posterior(problem, rng, n_batch=N_BATCH, m=m)
    mean = np.einsum("bm,bmi->i", weight, vectors) / N_BATCH
    sd = np.sqrt(np.einsum("bm,bmi->i", weight, (vectors - mean) ** 2) / N_BATCH)
    return estimate_moments(vectors, weight, mean, sd), mean, sd


@pytest.mark.parametrize(("engine", "group", "sky", "sigma", "positions"), list_cases())
def test_sampler_has_the_means_and_covariances_of_the_oracle(engine, group, sky, sigma, positions):
    expected, mean, sd = consult_oracle(group, sky, sigma, positions)
    result = run_package(make_case(group), SAMPLERS[engine], sky, sigma, positions)
    draws = stack_draws(result, sky, sigma, positions)
    weight = np.full(draws.shape[:2], 1.0 / draws.shape[1])
    found = estimate_moments(draws, weight, mean, sd)
    p_value = welch_p_values(found, expected)
    assert p_value.min() > per_test(p_value.size)
