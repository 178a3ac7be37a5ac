"""Diagnostics of the kernels against ArviZ and numpy."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from arviz_numbers import read_arviz, read_pareto_k, tail_size_is_shared
from kernel_scene import INTERPRETED, normal_scores, open_kernel

from bayesphot.kernels import diagnostics
from bayesphot.kernels.diagnostics import summarise_into

pareto_k = open_kernel(diagnostics.pareto_k)

NEW_ARVIZ = importlib.util.find_spec("arviz_stats") is not None

N_DRAW = 60 if INTERPRETED else 500


def summarise(draws, tail=0.15865):
    draws = np.ascontiguousarray(draws)
    before = draws.copy()
    row = np.full(diagnostics.N_SUMMARY, np.nan)
    n_chain, n_draw = draws.shape
    summarise_into(draws.ravel(), n_chain, n_draw, tail, normal_scores(draws.size), row)
    np.testing.assert_array_equal(draws, before)
    return row


def draw_ar1(rng, n_chain, n_draw, rho):
    """Return a stationary autoregression of first order."""
    out = np.empty((n_chain, n_draw))
    out[:, 0] = rng.normal(size=n_chain)
    noise = rng.normal(size=(n_chain, n_draw)) * np.sqrt(1 - rho * rho)
    for t in range(1, n_draw):
        out[:, t] = rho * out[:, t - 1] + noise[:, t]
    return out


def repeat_draws(rng, draws, share):
    """Return draws of which a share repeats the one before, as rejected proposals do."""
    out = draws.copy()
    for t in range(1, out.shape[1]):
        stay = rng.random(out.shape[0]) < share
        out[stay, t] = out[stay, t - 1]
    return out


def make_chains(kind, seed, n_chain=4, n_draw=N_DRAW):
    rng = np.random.default_rng(seed)
    independent = rng.normal(3.0, 0.5, (n_chain, n_draw))
    if kind == "independent":
        return independent
    if kind == "correlated":
        return 100.0 + draw_ar1(rng, n_chain, n_draw, 0.8)
    if kind == "very correlated":
        return draw_ar1(rng, n_chain, n_draw, 0.995)
    if kind == "alternating":
        return draw_ar1(rng, n_chain, n_draw, -0.7)
    if kind == "repeated":
        return repeat_draws(rng, independent, 0.3)
    if kind == "mostly repeated":
        return repeat_draws(rng, independent, 0.95)
    if kind == "correlated and repeated":
        return repeat_draws(rng, draw_ar1(rng, n_chain, n_draw, 0.6), 0.4)
    if kind == "apart":
        return independent + np.arange(n_chain)[:, None]
    if kind == "unequal widths":
        return (independent - 3.0) * (1 + np.arange(n_chain))[:, None]
    if kind == "whole numbers":
        return rng.poisson(4.0, (n_chain, n_draw)).astype(float)
    if kind == "one stuck chain":
        independent[1] = 3.1
        return independent
    if kind == "drifting":
        return independent + np.linspace(0, 2, n_draw)
    if kind == "heavy tails":
        return rng.standard_cauchy((n_chain, n_draw))
    raise ValueError(kind)


KINDS = [
    "independent",
    "correlated",
    "very correlated",
    "alternating",
    "repeated",
    "mostly repeated",
    "correlated and repeated",
    "apart",
    "unequal widths",
    "whole numbers",
    "one stuck chain",
    "drifting",
    "heavy tails",
]


@pytest.mark.parametrize("seed", range(1 if INTERPRETED else 4))
@pytest.mark.parametrize("kind", KINDS)
def test_rank_r_hat_and_effective_sizes_equal_arviz(kind, seed) -> None:
    draws = make_chains(kind, seed)
    row = summarise(draws)
    expected = read_arviz(draws)
    mine = row[[diagnostics.R_HAT, diagnostics.ESS_BULK, diagnostics.ESS_TAIL]]
    np.testing.assert_allclose(mine, expected, rtol=1e-8)


@pytest.mark.parametrize(("n_chain", "n_draw"), [(2, 10), (2, 50), (3, 100), (4, 40), (8, 64)])
@pytest.mark.parametrize("kind", ["independent", "correlated", "repeated"])
def test_other_numbers_of_chains_and_draws_equal_arviz(kind, n_chain, n_draw) -> None:
    for seed in range(1 if INTERPRETED else 5):
        draws = make_chains(kind, seed, n_chain, n_draw)
        row = summarise(draws)
        mine = row[[diagnostics.R_HAT, diagnostics.ESS_BULK, diagnostics.ESS_TAIL]]
        np.testing.assert_allclose(mine, read_arviz(draws), rtol=1e-8)


@pytest.mark.parametrize(("kind", "seed"), [("repeated", 4), ("repeated", 54), ("independent", 52)])
def test_a_sequence_cut_off_by_the_chains_end_ends_as_arvizs(kind, seed) -> None:
    # Its last even lag counts whatever its sign; cut off by a negative pair only if positive.
    draws = make_chains(kind, seed, 4, 22)
    row = summarise(draws)
    expected = read_arviz(draws)
    assert row[diagnostics.ESS_BULK] == pytest.approx(expected[1], rel=1e-8)
    assert row[diagnostics.ESS_TAIL] == pytest.approx(expected[2], rel=1e-8)


def test_the_two_middle_draws_are_equally_far_from_the_median_where_numpys_are() -> None:
    # The mean of the two is not always the lower plus half their distance, to the last bit.
    draws = make_chains("alternating", 17, 4, 22)
    r_hat = summarise(draws)[diagnostics.R_HAT]
    assert r_hat == pytest.approx(read_arviz(draws)[0], rel=1e-8)


@pytest.mark.parametrize("tail", [0.15865, 0.025, 0.25])
@pytest.mark.parametrize("kind", ["independent", "repeated", "whole numbers", "heavy tails"])
def test_median_spread_and_interval_equal_numpys(kind, tail) -> None:
    draws = make_chains(kind, 7)
    row = summarise(draws, tail)
    expected = np.quantile(draws, [0.5, tail, 1 - tail])
    places = [diagnostics.MEDIAN, diagnostics.LOW, diagnostics.HIGH]
    np.testing.assert_allclose(row[places], expected, rtol=1e-13)
    assert row[diagnostics.SD] == pytest.approx(draws.std(ddof=1), rel=1e-12)


def test_summary_depends_on_the_draws_order_only_through_mixing() -> None:
    draws = make_chains("correlated", 8)
    ordered = np.sort(draws.ravel()).reshape(draws.shape)
    mixed, sorted_row = summarise(draws), summarise(ordered)
    # Sums in another order: rounding only.
    np.testing.assert_allclose(mixed[:4], sorted_row[:4], rtol=1e-12)
    assert sorted_row[diagnostics.R_HAT] > 2.0
    assert sorted_row[diagnostics.ESS_BULK] < mixed[diagnostics.ESS_BULK]


@pytest.mark.parametrize("value", [0.0, -3.7, 1e12])
def test_constant_draws_have_no_diagnostics(value) -> None:
    row = summarise(np.full((4, 50), value))
    np.testing.assert_array_equal(row[[diagnostics.MEDIAN, diagnostics.LOW]], value)
    assert row[diagnostics.HIGH] == value
    assert row[diagnostics.SD] == pytest.approx(0.0, abs=1e-12 * abs(value))
    assert np.all(np.isnan(row[4:]))


def test_chains_that_each_stand_still_do_not_look_mixed() -> None:
    draws = np.repeat([[1.0], [2.0], [3.0], [4.0]], 50, axis=1)
    row = summarise(draws)
    assert not row[diagnostics.R_HAT] <= 1.01


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 18, 100, 1000])
@pytest.mark.parametrize(
    "kind", ["random", "ordered", "reversed", "equal", "few values", "organ pipe"]
)
def test_sorting_equals_numpys_and_carries_the_order(n, kind) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    if kind == "ordered":
        values.sort()
    elif kind == "reversed":
        values = np.sort(values)[::-1].copy()
    elif kind == "equal":
        values[:] = 2.5
    elif kind == "few values":
        values = rng.integers(0, 3, n).astype(float)
    elif kind == "organ pipe":
        values = -np.abs(np.arange(n) - n / 2.0)
    before, order = values.copy(), np.arange(n, dtype=np.int32)
    open_kernel(diagnostics.sort_with_order)(values, order, np.empty(256, np.int64))
    np.testing.assert_array_equal(values, np.sort(before))
    np.testing.assert_array_equal(before[order], values)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def draw_log_weights(kind, n, seed):
    rng = np.random.default_rng(seed)
    if kind == "light":
        return rng.normal(0.0, 0.3, n)
    if kind == "normal":
        return rng.normal(0.0, 1.5, n)
    if kind == "heavy":
        return rng.standard_exponential(n) * 0.8
    if kind == "bounded":
        return -rng.random(n)
    if kind == "far away":
        return -5000.0 + rng.normal(0.0, 1.0, n)
    if kind == "wide":
        return rng.normal(0.0, 200.0, n)
    if kind == "outside the support":
        weight = rng.normal(0.0, 1.0, n)
        weight[rng.random(n) < 0.2] = -np.inf
        return weight
    raise ValueError(kind)


SIZES = [100, 400, 2500] if NEW_ARVIZ else [100, 226, 400, 2000, 2500]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "kind", ["light", "normal", "heavy", "bounded", "far away", "outside the support"]
)
def test_pareto_k_equals_arviz(kind, n) -> None:
    if NEW_ARVIZ:
        assert tail_size_is_shared(n)
    for seed in range(1 if INTERPRETED else 3):
        weight = draw_log_weights(kind, n, seed)
        assert pareto_k(weight) == pytest.approx(read_pareto_k(weight), rel=1e-8, abs=1e-8)


def test_pareto_k_takes_unused_weights_for_absent() -> None:
    weight = draw_log_weights("normal", 400, 3)
    padded = np.full(500, np.nan)
    padded[np.sort(np.random.default_rng(1).choice(500, 400, replace=False))] = weight
    assert pareto_k(padded) == pytest.approx(pareto_k(weight), rel=1e-12)


def test_pareto_k_of_pareto_weights_is_their_shape() -> None:
    n = 400 if INTERPRETED else 40000
    k = 0.6
    weight = -k * np.log(np.random.default_rng(5).random(n))
    # Variance of the estimate is (1 + k)^2 over the 3 sqrt(n) largest weights; 4 sigma.
    bound = 4 * (1 + k) / np.sqrt(3 * np.sqrt(n))
    assert pareto_k(weight) == pytest.approx(k, abs=bound)


def test_equal_or_missing_weights_tell_nothing() -> None:
    assert pareto_k(np.zeros(500)) == np.inf
    assert pareto_k(np.full(500, np.nan)) == np.inf
    assert pareto_k(np.full(500, -np.inf)) == np.inf
    assert pareto_k(np.zeros(3)) == np.inf


def test_one_weight_above_all_others_is_alarming() -> None:
    weight = np.random.default_rng(6).normal(0.0, 0.1, 2500)
    weight[17] = 300.0
    assert not pareto_k(weight) < 0.7
