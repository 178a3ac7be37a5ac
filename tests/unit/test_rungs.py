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
        # Swarms that have nothing in common say less than chains that are a little short.
        (make_stats(5.0), make_stats(1.02), INDEPENDENCE, False),
        (make_stats(1.4), make_stats(1.1), TEMPERED, False),
        (make_stats(1.1), make_stats(1.4), TEMPERED, True),
        (make_stats(1.4), make_stats(1.1, arrived=False), EMCEE, True),
    ],
)
def test_draws_of_a_later_engine_are_shown_where_they_are_better(again, before, engine, better):
    assert _is_better(again, before, BUDGET, engine) is better


def run_attempts(monkeypatch, *, apart: float, evidences, lost: tuple[int, ...] = ()):
    """Return the sweeps of the attempts on a lone star, and the numbers of its draws.

    Its swarms lie ``apart`` (in sd); those of the attempts ``lost`` do not arrive.
    """
    data = make_scene(3, [1]).batch()
    sweeps: list[int] = []
    calls = iter(range(100))

    def run(target, budget, seed, guess, options, n_sweep):
        call = next(calls)
        if call % budget.chains == 0:
            sweeps.append(n_sweep)
        numbers = np.zeros(tempered.N_TEMPERED)
        numbers[tempered.LOG_Z] = evidences[call % budget.chains]
        numbers[tempered.EVALUATIONS] = 10.0
        if len(sweeps) - 1 in lost:
            numbers[tempered.LOG_Z] = np.nan
        size = target.n_nonlinear + target.n_linear
        draws = np.random.default_rng(call).normal(apart * (call % 4), 1.0, (size, budget.draws))
        return draws, numbers

    monkeypatch.setattr(swarms, "_run_swarm", run)
    layout = make_scene(3, [1]).settings.layout(1, sampling=True)
    draws = sample_tempered(
        data,
        BUDGET,
        np.array([5], dtype=np.uint64),
        np.ones(2),
        shape_free=False,
        options=SwarmOptions(),
        layouts=[layout],
    )
    return sweeps, draws.stats[0]


SAME = (0.0, 0.0, 0.0, 0.0)
#: One of four has found another mode: ln 3 more.
ONE_MORE = (0.0, 0.0, 0.0, 1.1)


@pytest.mark.parametrize(
    ("apart", "evidences", "expected"),
    [
        pytest.param(0.0, SAME, [3], id="agree"),
        pytest.param(0.2, SAME, [3, 12, 48], id="disagree"),
        pytest.param(30.0, SAME, [3], id="have nothing in common"),
        pytest.param(0.0, ONE_MORE, [3, 12, 48], id="differ in their evidence"),
    ],
)
def test_swarms_run_again_longer_where_more_moves_may_help(monkeypatch, apart, evidences, expected):
    sweeps, stats = run_attempts(monkeypatch, apart=apart, evidences=evidences)
    assert sweeps == expected
    assert stats[batches.EVALUATIONS] == 40.0 * len(expected)
    assert BUDGET.holds(stats) == (expected == [3] and apart == 0.0)


def test_swarms_whose_evidences_disagree_do_not_pass(monkeypatch):
    _, stats = run_attempts(monkeypatch, apart=0.0, evidences=ONE_MORE)
    assert stats[batches.WORST_R_HAT] < 1.01
    assert stats[batches.WORST_BULK] == stats[batches.WORST_TAIL] == 0.0


def test_draws_of_an_earlier_attempt_stay_where_a_later_one_does_not_arrive(monkeypatch):
    sweeps, stats = run_attempts(monkeypatch, apart=0.2, evidences=SAME, lost=(1,))
    assert sweeps == [3, 12]
    assert stats[batches.ACCEPTANCE] >= 0.0
    assert stats[batches.EVALUATIONS] == 80.0
