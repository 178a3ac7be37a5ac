"""emcee: independent ensembles over the compiled joint density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.diagnostics import ESS_BULK, ESS_TAIL, R_HAT
from bayesphot.layout import Layout
from bayesphot.patch import GroupData
from bayesphot.sampling.budget import BatchDraws, Budget, allocate_draws
from bayesphot.sampling.store import store_vectors, summarise_vectors
from bayesphot.target import Target

__all__ = ["EnsembleOptions", "sample_ensemble"]

#: Autocorrelation times a run must last before its estimate of them can be trusted.
TRUSTED_LENGTH = 50


@dataclass(frozen=True)
class EnsembleOptions:
    """How emcee runs.

    Parameters
    ----------
    walkers : int or None
        Walkers of each ensemble, even; None: four for each parameter, at least 32.
    steps : int
        Steps of the first run after the burn-in, which is as long.
    max_steps : int
        A run that is too short is continued up to this many steps.
    """

    walkers: int | None = None
    steps: int = 500
    max_steps: int = 8000


def sample_ensemble(
    data: GroupData,
    budget: Budget,
    seeds: np.ndarray,
    covariances: list[np.ndarray],
    *,
    linear: list[np.ndarray],
    shape_free: bool,
    options: EnsembleOptions,
    layouts: list[Layout],
    functions: tuple = (),
) -> BatchDraws:
    """Sample every group of a batch with emcee, one ensemble a chain.

    Parameters
    ----------
    data, budget, seeds, shape_free
        As for `sample_independence`.
    covariances : list of arrays
        Joint covariance of each group, nonlinear parameters first: spreads the first walkers.
    linear : list of arrays
        Linear parameters at each group's optimum.
    options : EnsembleOptions
        How emcee runs.
    layouts : list of Layout
        Where each group's parameters sit.
    functions : tuple of (name, callable)
        Log priors in Python.
    """
    draws = allocate_draws(data, budget, shape_free=shape_free)
    for g in range(data.batch.rows.shape[0]):
        target = Target(data, g, layouts[g], functions)
        vectors, acceptance, count, trusted = _run_group(
            target, budget, int(seeds[g]), covariances[g], linear[g], options
        )
        store_vectors(
            draws,
            target,
            budget,
            vectors,
            acceptance=acceptance,
            evaluations=count,
            trusted=trusted,
        )
    return draws


def _run_group(target, budget, seed, covariance, linear, options):
    """Return draws (parameter, chain * draw), acceptance, evaluations, whether trusted."""
    n_dim = target.n_nonlinear + target.n_linear
    if n_dim == 0:
        return np.empty((0, budget.total)), 1.0, 0, True
    n_walker = options.walkers or max(32, 4 * n_dim)
    n_walker = max(n_walker + n_walker % 2, 2 * n_dim + 2)
    start = np.concatenate([target.start(), linear])
    ensembles = []
    for chain in range(budget.chains):
        random = np.random.RandomState(
            np.random.SeedSequence([seed & 0xFFFFFFFF, seed >> 32, chain]).generate_state(4)
        )
        walkers = _spread_walkers(target, start, covariance, n_walker, random)
        if walkers is None:
            return None, -1.0, 0, False
        ensembles.append(_open_ensemble(target, n_walker, n_dim, walkers, random))
    steps = options.steps
    while True:
        for sampler, state in ensembles:
            _advance(sampler, state, options.steps + steps)
        vectors = np.concatenate([_thin(s, steps, budget.draws) for s, _ in ensembles], axis=1)
        trusted = _is_trusted(ensembles, steps)
        summary = summarise_vectors(vectors, budget)
        good = (
            trusted
            and np.nanmax(summary[:, R_HAT]) <= budget.max_r_hat
            and np.nanmin(summary[:, [ESS_BULK, ESS_TAIL]]) >= budget.min_ess
        )
        if good or steps >= options.max_steps:
            acceptance = float(np.mean([s.acceptance_fraction.mean() for s, _ in ensembles]))
            count = n_walker * sum(s.iteration for s, _ in ensembles)
            return vectors, acceptance, count, trusted
        steps = min(2 * steps, options.max_steps)


def _open_ensemble(target, n_walker, n_dim, walkers, random):
    """Return an emcee sampler over the compiled density and its initial state."""
    import emcee

    # A tenth of the steps jump by a whole difference of walkers: from one mode to another.
    moves = [(emcee.moves.DEMove(), 0.9), (emcee.moves.DEMove(gamma0=1.0), 0.1)]
    sampler = emcee.EnsembleSampler(n_walker, n_dim, target.log_joint, moves=moves, vectorize=True)
    # An integer seed would be ignored without a word: emcee wants the state of a generator.
    return sampler, emcee.State(walkers, random_state=random.get_state())


def _advance(sampler, state, length: int) -> None:
    """Run until the chain holds ``length`` steps."""
    done = sampler.iteration
    sampler.run_mcmc(state if done == 0 else None, length - done, progress=False)


def _spread_walkers(target, start, covariance, n_walker, random):
    """Return walkers of finite density about the optimum, None if there are none."""
    n_dim = start.size
    spread = np.where(np.isfinite(covariance), covariance, 0.0)
    spread = spread + np.diag(np.where(np.diag(spread) > 0.0, 0.0, 1e-2))
    values, directions = np.linalg.eigh(spread)
    root = directions * np.sqrt(np.maximum(values, 0.0))
    walkers = np.empty((0, n_dim))
    scale = 1.0
    for _attempt in range(60):
        trial = start + scale * random.standard_normal((4 * n_walker, n_dim)) @ root.T
        walkers = np.concatenate([walkers, trial[np.isfinite(target.log_joint(trial))]])
        if walkers.shape[0] >= n_walker:
            return walkers[:n_walker]
        scale *= 0.8
    return None


def _thin(sampler, steps: int, n_draw: int) -> np.ndarray:
    """Return (parameter, draw): equally spaced steps of all walkers, walker after walker.

    Walker by walker, the autocorrelation along a walker stays visible to R-hat and ESS.
    """
    chain = sampler.get_chain()[-steps:]
    n_walker = chain.shape[1]
    n_step = int(np.ceil(n_draw / n_walker))
    pick = np.linspace(0, steps - 1, n_step + 1)[1:].astype(int)
    flat = chain[pick].transpose(1, 0, 2).reshape(n_walker * n_step, -1)
    keep = np.linspace(0, flat.shape[0] - 1, n_draw).astype(int)
    return flat[keep].T


def _is_trusted(ensembles, steps: int) -> bool:
    """Return whether every ensemble ran for fifty autocorrelation times."""
    import emcee

    for sampler, _ in ensembles:
        chain = sampler.get_chain()[-steps:]
        # A walker that never moved has no autocorrelation time: NaN, and with that no trust.
        with np.errstate(invalid="ignore"):
            times = emcee.autocorr.integrated_time(chain, tol=0)
        if not steps >= TRUSTED_LENGTH * np.max(times):
            return False
    return True
