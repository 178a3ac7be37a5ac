"""Which attempt ends the runs of swarms, and whose draws a group is shown."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_scene import make_scene

from bayesphot.kernels import batches, tempered
from bayesphot.sample import EMCEE, INDEPENDENCE, TEMPERED, _is_better
from bayesphot.sampling import Budget, SwarmOptions, sample_tempered
from bayesphot.sampling import tempered as swarms

BUDGET = Budget(chains=4, draws=500, min_ess=400.0, max_r_hat=1.01, max_thin=1, tail=0.16)


def make_stats(r_hat: float, *, arrived: bool = True) -> np.ndarray:
    """Return the numbers of a group that lacks nothing but perhaps agreement."""
    stats = np.full(batches.N_SAMPLING, np.nan)
    stats[batches.ACCEPTANCE] = 0.3 if arrived else -1.0
    stats[batches.WORST_R_HAT] = r_hat
    stats[[batches.WORST_BULK, batches.WORST_TAIL]] = 1000.0
    stats[batches.THIN] = 1.0
    return stats


@pytest.mark.parametrize(
    ("again", "before", "engine", "better"),
    [
        (make_stats(1.0), make_stats(1.1), INDEPENDENCE, True),
        # What independence chains do not reach does not show in their R-hat.
        (make_stats(1.4), make_stats(1.1), INDEPENDENCE, True),
        (make_stats(1.4, arrived=False), make_stats(1.1), INDEPENDENCE, False),
        (make_stats(1.4), make_stats(1.1), TEMPERED, False),
        (make_stats(1.1), make_stats(1.4), TEMPERED, True),
        (make_stats(1.4), make_stats(1.1, arrived=False), EMCEE, True),
    ],
)
def test_draws_of_a_later_engine_are_shown_where_they_are_better(again, before, engine, better):
    assert _is_better(again, before, BUDGET, engine) is better


def count_attempts(monkeypatch, *, apart: float, evidences) -> list[int]:
    """Return the sweeps of the attempts on a lone star whose swarms lie ``apart`` (in sd)."""
    data = make_scene(3, [1]).batch()
    sweeps: list[int] = []
    calls = iter(range(100))

    def run(target, budget, seed, guess, options, n_sweep):
        call = next(calls)
        if call % budget.chains == 0:
            sweeps.append(n_sweep)
        numbers = np.zeros(tempered.N_TEMPERED)
        numbers[tempered.LOG_Z] = evidences[call % budget.chains]
        size = target.n_nonlinear + target.n_linear
        draws = np.random.default_rng(call).normal(apart * (call % 4), 1.0, (size, budget.draws))
        return draws, numbers

    monkeypatch.setattr(swarms, "_run_swarm", run)
    layout = make_scene(3, [1]).settings.layout(1, sampling=True)
    sample_tempered(
        data,
        BUDGET,
        np.array([5], dtype=np.uint64),
        np.ones(2),
        shape_free=False,
        options=SwarmOptions(),
        layouts=[layout],
    )
    return sweeps


SAME = (0.0, 0.0, 0.0, 0.0)


def test_swarms_that_agree_run_once(monkeypatch):
    assert count_attempts(monkeypatch, apart=0.0, evidences=SAME) == [3]


def test_swarms_that_disagree_run_again_longer(monkeypatch):
    assert count_attempts(monkeypatch, apart=0.2, evidences=SAME) == [3, 12, 48]


def test_swarms_that_have_nothing_in_common_are_given_up(monkeypatch):
    assert count_attempts(monkeypatch, apart=30.0, evidences=SAME) == [3]


def test_swarms_whose_evidences_disagree_run_again(monkeypatch):
    """One of four has found another mode: ln 3 more."""
    assert count_attempts(monkeypatch, apart=0.0, evidences=(0.0, 0.0, 0.0, 1.1)) == [3, 12, 48]
