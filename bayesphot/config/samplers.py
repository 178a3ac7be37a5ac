"""The samplers a run may use, as configuration."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from bayesphot.checks import check_integer, check_number
from bayesphot.sample import EMCEE, INDEPENDENCE, TEMPERED, SamplingPlan
from bayesphot.sampling import Budget, EnsembleOptions, SwarmOptions

__all__ = ["EmceeSampler", "Sampler", "check_engine", "count_kept", "plan_sampling"]

log = logging.getLogger("bayesphot")

#: Engines of the compiled sampler, cheapest first.
LADDER = (INDEPENDENCE, TEMPERED)
#: Particles of a tempered swarm, at least.
PARTICLES = 2000
#: Draws of all chains of a group, at most: 80 MB for each parameter.
MOST_DRAWS = 10_000_000


def _check_keep(value: Any) -> None:
    """Raise for a ``keep`` that is not valid."""
    if isinstance(value, str):
        if value in ("all", "summary"):
            return
        raise ValueError(f"keep must be 'all', 'summary' or a number of draws, found {value!r}")
    check_integer("keep", value, least=1)


@dataclass(frozen=True)
class EmceeSampler:
    """Sampling with emcee: independent ensembles as chains, over the compiled joint density.

    Walkers move by differential evolution (Ter Braak 2006), a tenth of the time by a whole
    difference of two walkers, which reaches other modes. Runs are continued until they last
    fifty autocorrelation times and pass the gates below, or reach ``max_steps``.

    Parameters
    ----------
    draws : int
        Draws kept from each chain; chains x draws are 10 million at most.
    chains : int
        Independent ensembles, at least 4: walkers of one ensemble are not independent.
    walkers : int, optional
        Walkers of each ensemble, two for each parameter at least; default four for each, and 32
        at least.
    steps : int
        Steps of the first run, after a burn-in as long.
    max_steps : int
        Steps at which a group is given up and flagged.
    min_ess : float, optional
        Bulk and tail effective sample size every parameter must reach, at most chains x draws;
        default 400, or a fifth of all draws where that is less.
    max_r_hat : float
        Rank-normalised split R-hat no parameter may exceed.
    keep : "all", "summary" or int
        Which draws the result keeps: all, none (summaries only), or so many of each chain.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.EmceeSampler(draws=250).chains
    4
    """

    draws: int = 500
    chains: int = 4
    walkers: int | None = None
    steps: int = 500
    max_steps: int = 8000
    min_ess: float | None = None
    max_r_hat: float = 1.01
    keep: Any = "all"

    def __post_init__(self) -> None:
        _check_sampler(self)
        check_integer("steps", self.steps, least=20)
        check_integer("max_steps", self.max_steps, least=self.steps)
        if self.walkers is not None:
            check_integer("walkers", self.walkers, least=4)

    def plan(self, tail: float) -> SamplingPlan:
        """Return what the engines need."""
        options = EnsembleOptions(self.walkers, self.steps, self.max_steps)
        budget = Budget(
            self.chains, self.draws, _choose_min_ess(self), self.max_r_hat, max_thin=1, tail=tail
        )
        return SamplingPlan(budget, engines=(EMCEE,), ensemble=options)


@dataclass(frozen=True)
class Sampler:
    """The compiled samplers, each group by the cheapest that passes every gate.

    First independence Metropolis-Hastings on the collapsed posterior: fluxes and sky are integrated
    out exactly, positions and shapes are proposed from a Student t about the mode (Tierney 1994). A
    group that fails a gate is sampled again, up to ``max_extend`` times longer, from a proposal
    that has learnt from the first run. What fails then goes to tempered swarms (sequential Monte
    Carlo; Del Moral, Doucet & Jasra 2006), then to ``fallback``, or is flagged.

    Parameters
    ----------
    draws : int
        Draws kept from each chain; chains x draws are 10 million at most.
    chains : int
        Chains, at least 4.
    min_ess : float, optional
        Bulk and tail effective sample size every parameter must reach, at most chains x draws;
        default 400, or a fifth of all draws where that is less.
    max_r_hat : float
        Rank-normalised split R-hat no parameter may exceed (Vehtari et al. 2021).
    max_extend : int
        How many times longer a run may become; its draws are thinned to ``draws``.
    engine : {"independence", "tempered"}, optional
        Use this engine alone, which priors in Python refuse; default: the ladder, each group as
        high as it needs.
    fallback : EmceeSampler, optional
        Samples the groups that still fail.
    keep : "all", "summary" or int
        Which draws the result keeps: all, none (summaries only), or so many of each chain.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.Sampler(draws=1000).draws
    1000
    """

    draws: int = 500
    chains: int = 4
    min_ess: float | None = None
    max_r_hat: float = 1.01
    max_extend: int = 64
    engine: str | None = None
    fallback: EmceeSampler | None = None
    keep: Any = "all"

    def __post_init__(self) -> None:
        _check_sampler(self)
        check_integer("max_extend", self.max_extend, least=1)
        if not (self.engine is None or (isinstance(self.engine, str) and self.engine in LADDER)):
            kinds = ", ".join(repr(name) for name in LADDER)
            raise ValueError(
                f"engine must be {kinds} or None for the ladder (for emcee use EmceeSampler), "
                f"found {self.engine!r}"
            )
        if self.fallback is not None and not isinstance(self.fallback, EmceeSampler):
            raise TypeError(f"fallback must be an EmceeSampler or None, found {self.fallback!r}")

    def plan(self, tail: float) -> SamplingPlan:
        """Return what the engines need."""
        budget = Budget(
            self.chains, self.draws, _choose_min_ess(self), self.max_r_hat, self.max_extend, tail
        )
        engines: tuple[str, ...] = LADDER if self.engine is None else (self.engine,)
        swarm = SwarmOptions(particles=max(PARTICLES, self.draws))
        if self.fallback is None:
            return SamplingPlan(budget, engines, swarm)
        return SamplingPlan(budget, (*engines, EMCEE), swarm, self.fallback.plan(tail).ensemble)


def _choose_min_ess(sampler) -> float:
    """Return the effective sample size asked for, or what so many draws can be asked."""
    if sampler.min_ess is not None:
        return float(sampler.min_ess)
    return min(400.0, 0.2 * sampler.chains * sampler.draws)


def check_engine(sampler: Any, functions: tuple, shape_names: tuple[str, ...]) -> None:
    """Raise ValueError where a compiled engine is asked for and a prior is written in Python.

    Parameters
    ----------
    sampler : Sampler, EmceeSampler or False
        As configured.
    functions : tuple of (key, callable)
        Log priors in Python.
    shape_names : tuple of str
        What users call the shapes.
    """
    if not functions or not isinstance(sampler, Sampler) or sampler.engine is None:
        return
    names = ", ".join(
        repr(shape_names[key] if isinstance(key, int) else key) for key, _ in functions
    )
    raise ValueError(
        f"sampler.engine={sampler.engine!r} is compiled and cannot take a prior that is a Python "
        f"function or of scipy, found one for {names} in priors: leave engine out or use "
        "EmceeSampler(), or give a distribution of bayesphot"
    )


def plan_sampling(sampler: Sampler | EmceeSampler, functions: tuple, tail: float) -> SamplingPlan:
    """Return what the engines need; priors in Python make emcee the engine.

    Parameters
    ----------
    sampler : Sampler or EmceeSampler
        As configured; a `Sampler` hands over to its fallback, or to emcee's defaults.
    functions : tuple of (name, callable)
        Log priors in Python.
    tail : float
        Probability below the lower and above the upper end of the central interval.
    """
    if not functions or isinstance(sampler, EmceeSampler):
        return sampler.plan(tail)
    names = ", ".join(name for name, _ in functions)
    log.info("the prior of %s is a Python function: emcee samples", names)
    engine = sampler.fallback or EmceeSampler()
    return replace(
        engine,
        draws=sampler.draws,
        chains=sampler.chains,
        min_ess=sampler.min_ess,
        max_r_hat=sampler.max_r_hat,
    ).plan(tail)


def count_kept(sampler) -> int | None:
    """Return how many draws of each chain are kept, None for all."""
    if sampler.keep == "all":
        return None
    return 0 if sampler.keep == "summary" else min(int(sampler.keep), sampler.draws)


def _check_sampler(sampler) -> None:
    """Check what both samplers have in common."""
    check_integer("draws", sampler.draws, least=20)
    check_integer("chains", sampler.chains, least=4)
    total = sampler.chains * sampler.draws
    if total > MOST_DRAWS:
        raise ValueError(
            f"chains x draws must be at most {MOST_DRAWS}, found {sampler.chains} x "
            f"{sampler.draws} = {total}"
        )
    if sampler.min_ess is not None and check_number("min_ess", sampler.min_ess, above=0.0) > total:
        raise ValueError(
            f"min_ess must be at most chains x draws = {total}, which is all that so many draws "
            f"can be worth, found {sampler.min_ess!r}"
        )
    check_number("max_r_hat", sampler.max_r_hat, above=1.0)
    _check_keep(sampler.keep)
