"""The engine for clumps: independent tempered swarms as chains, which also give the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels import batches, tempered
from bayesphot.kernels.structs import Swarm
from bayesphot.kernels.swarm import N_NUMBER
from bayesphot.layout import Layout
from bayesphot.patch import GroupData
from bayesphot.sampling.budget import BatchDraws, Budget, allocate_draws
from bayesphot.sampling.independence import DOF, WIDEN
from bayesphot.sampling.store import store_vectors
from bayesphot.target import Target

__all__ = ["SwarmOptions", "sample_tempered"]

#: R-hat of the first attempt, and of the second, from which a further one would be wasted.
HOPELESS = (2.0, 1.1)
#: Standard error of the log evidence above which swarms differ in what they have found: modes that
#: most of them missed hardly show in R-hat.
UNSURE = 0.2


@dataclass(frozen=True)
class SwarmOptions:
    """How swarms run.

    Parameters
    ----------
    particles : int
        Particles of each swarm.
    sweeps : int
        Moves of each particle between two stages; four times as many after the last. A group that
        falls short is run again with four times the sweeps, twice at most.
    """

    particles: int = 2000
    sweeps: int = 3


def sample_tempered(
    data: GroupData,
    budget: Budget,
    seeds: np.ndarray,
    guess: np.ndarray,
    *,
    shape_free: bool,
    options: SwarmOptions,
    layouts: list[Layout],
) -> BatchDraws:
    """Sample every group of a batch by tempered sequential Monte Carlo, one swarm a chain.

    Parameters
    ----------
    data, budget, seeds, guess, shape_free
        As for `sample_independence`.
    options : SwarmOptions
        How swarms run.
    layouts : list of Layout
        Where each group's parameters sit.
    """
    draws = allocate_draws(data, budget, shape_free=shape_free)
    for g in range(data.batch.rows.shape[0]):
        target = Target(data, g, layouts[g])
        here = slice(data.batch.free_start[g], data.batch.free_start[g + 1])
        _sample_group(draws, target, budget, int(seeds[g]), guess[here], options)
    return draws


def _sample_group(draws: BatchDraws, target: Target, budget: Budget, seed, guess, options) -> None:
    """Run the swarms of a group, with more sweeps where they fall short."""
    spent = 0
    some = False
    for attempt, hopeless in enumerate((*HOPELESS, 0.0)):
        sweeps = options.sweeps * 4**attempt
        chains = [
            _run_swarm(target, budget, _mix_seed(seed, chain, attempt), guess, options, sweeps)
            for chain in range(budget.chains)
        ]
        numbers = np.array([n for _, n in chains])
        spent += int(numbers[:, tempered.EVALUATIONS].sum())
        arrived = bool(np.isfinite(numbers[:, tempered.LOG_Z]).all())
        if some and not arrived:
            # The draws of the attempt before are better than none.
            draws.stats[target.group, batches.EVALUATIONS] = spent
            return
        some = arrived
        vectors = np.concatenate([v for v, _ in chains], axis=1) if arrived else None
        store_vectors(
            draws,
            target,
            budget,
            vectors,
            acceptance=float(numbers[:, tempered.ACCEPTANCE].mean()) if arrived else -1.0,
            evaluations=spent,
        )
        stats = draws.stats[target.group]
        if arrived:
            stats[[batches.LOG_Z, batches.LOG_Z_ERROR]] = _join_evidence(numbers[:, tempered.LOG_Z])
        # Swarms that are far from agreeing need more than a few times the moves.
        unsure = stats[batches.LOG_Z_ERROR] > UNSURE
        done = budget.holds(stats) and not unsure
        if arrived and (done or stats[batches.WORST_R_HAT] > hopeless):
            break
    if some and unsure:
        # Four swarms of which one has most of the evidence are not four times as many draws.
        stats[[batches.WORST_BULK, batches.WORST_TAIL]] = 0.0


def _run_swarm(target: Target, budget: Budget, seed: np.uint64, guess, options, sweeps: int):
    """Return the draws (D + L, n) of one swarm, and its numbers."""
    n = max(options.particles, budget.draws)
    swarm, spare = (_allocate_swarm(n, target) for _ in range(2))
    numbers = np.empty(tempered.N_TEMPERED)
    tempered.temper_group(
        target.data.batch,
        target.group,
        seed,
        np.ascontiguousarray(guess),
        DOF,
        WIDEN,
        sweeps,
        4 * sweeps,
        swarm,
        spare,
        numbers,
    )
    # Copies of one particle stand side by side: evenly spread draws share few ancestors.
    pick = np.linspace(0, n - 1, budget.draws).round().astype(int)
    return np.concatenate([swarm.theta[pick].T, swarm.linear[pick].T]), numbers


def _allocate_swarm(n: int, target: Target) -> Swarm:
    """Return room for n particles."""
    return Swarm(
        np.zeros((n, target.n_nonlinear)),
        np.zeros((n, target.n_linear)),
        np.zeros((n, target.n_linear)),
        np.zeros((n, N_NUMBER)),
    )


def _mix_seed(seed: int, chain: int, attempt: int) -> np.uint64:
    """Return the seed of one swarm of a group."""
    words = [seed & 0xFFFFFFFF, seed >> 32, chain, attempt]
    return np.random.SeedSequence(words).generate_state(1, np.uint64)[0]


def _join_evidence(log_z: np.ndarray) -> tuple[float, float]:
    """Return the log of the mean evidence of independent swarms, and its standard error."""
    top = log_z.max()
    z = np.exp(log_z - top)
    return top + np.log(z.mean()), z.std(ddof=1) / np.sqrt(z.size) / z.mean()
