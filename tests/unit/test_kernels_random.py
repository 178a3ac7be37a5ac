"""Random streams of the kernels: distributions at a false-alarm rate of 1e-4, and bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_scene import INTERPRETED, open_kernel
from scipy import stats

from bayesphot.kernels.cache import compiled
from bayesphot.kernels.random import (
    draw_bits,
    draw_gamma,
    draw_normal,
    draw_uniform,
    mix_bits,
    seed_stream_into,
)

N = 5000 if INTERPRETED else 200_000
FALSE_ALARM = 1e-4
#: Standard deviations of a normal variate that are exceeded at that rate.
Z = stats.norm.isf(FALSE_ALARM / 2)

MASK = (1 << 64) - 1


@pytest.fixture(autouse=True)
def _let_integers_wrap():
    """Streams wrap around 64 bits, which plain numpy scalars warn of."""
    with np.errstate(over="ignore"):
        yield


@compiled
def _fill_uniform(stream, out):
    for i in range(out.size):
        out[i] = draw_uniform(stream)


@compiled
def _fill_normal(stream, out):
    for i in range(out.size):
        out[i] = draw_normal(stream)


@compiled
def _fill_gamma(stream, shape, out):
    for i in range(out.size):
        out[i] = draw_gamma(stream, shape)


def open_stream(seed):
    stream = np.empty(4, np.uint64)
    open_kernel(seed_stream_into)(np.uint64(seed), stream)
    return stream


def draw(fill, seed, *arguments, n=N):
    out = np.full(n, np.nan)
    fill(open_stream(seed), *arguments, out)
    return out


def rotate_left(x, k):
    return ((x << k) | (x >> (64 - k))) & MASK


def draw_reference_bits(state):
    """Return the next output of xoshiro256+ in Python's whole numbers."""
    result = (state[0] + state[3]) & MASK
    t = (state[1] << 17) & MASK
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= t
    state[3] = rotate_left(state[3], 45)
    return result


def test_bits_are_those_of_xoshiro256_plus() -> None:
    stream = open_stream(12345)
    state = [int(v) for v in stream]
    for _ in range(200):
        assert int(open_kernel(draw_bits)(stream)) == draw_reference_bits(state)


def test_seeding_is_splitmix64() -> None:
    # The first outputs of splitmix64 from 1234567, as its authors' program prints them.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [int(v) for v in open_stream(1234567)] == expected


def test_mixing_is_one_to_one_on_a_sample() -> None:
    mixed = {int(open_kernel(mix_bits)(np.uint64(i))) for i in range(2000)}
    assert len(mixed) == 2000


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_the_same_seed_gives_the_same_bits(seed) -> None:
    np.testing.assert_array_equal(draw(_fill_normal, seed, n=500), draw(_fill_normal, seed, n=500))
    assert np.any(open_stream(seed) != 0)


def test_streams_of_different_seeds_differ_and_do_not_correlate() -> None:
    n = N // 10
    draws = np.stack([draw(_fill_normal, seed, n=n) for seed in (0, 1, 2, 3, 2**32, 2**63)])
    for i in range(len(draws)):
        for j in range(i):
            assert not np.any(draws[i] == draws[j])
            # 15 pairs share the false-alarm rate.
            bound = stats.norm.isf(FALSE_ALARM / 30) / np.sqrt(n)
            assert abs(np.corrcoef(draws[i], draws[j])[0, 1]) < bound


def test_uniforms_are_uniform_and_exclude_both_ends() -> None:
    draws = draw(_fill_uniform, 11)
    assert draws.min() > 0.0
    assert draws.max() < 1.0
    assert stats.kstest(draws, "uniform").pvalue > FALSE_ALARM
    lag = np.corrcoef(draws[1:], draws[:-1])[0, 1]
    assert abs(lag) < Z / np.sqrt(N)


def test_uniforms_fill_the_square_evenly() -> None:
    draws = draw(_fill_uniform, 12)
    counts, _, _ = np.histogram2d(draws[::2], draws[1::2], bins=20, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > FALSE_ALARM


def check_moments(draws, mean, variance, fourth):
    """Mean and variance within Z of their sampling errors; ``fourth`` is the central moment."""
    n = draws.size
    assert abs(draws.mean() - mean) < Z * math.sqrt(variance / n)
    assert abs(np.mean((draws - mean) ** 2) - variance) < Z * math.sqrt((fourth - variance**2) / n)


def test_normals_are_normal() -> None:
    draws = draw(_fill_normal, 13)
    check_moments(draws, 0.0, 1.0, 3.0)
    assert stats.kstest(draws, "norm").pvalue > FALSE_ALARM
    assert abs(np.mean(draws**3)) < Z * math.sqrt(15 / N)
    assert abs(np.mean(draws**4) - 3) < Z * math.sqrt(96 / N)


@pytest.mark.parametrize("edge", [0.2, 1.0, 2.0, 3.0, 3.442619855899, 3.8])
def test_normals_fall_beyond_every_edge_as_often_as_they_should(edge) -> None:
    # The layers' seams and the tail beyond 3.44 are where a ziggurat goes wrong.
    draws = draw(_fill_normal, 14)
    for count in (np.sum(draws > edge), np.sum(draws < -edge)):
        assert stats.binomtest(int(count), N, stats.norm.sf(edge)).pvalue > FALSE_ALARM / 2


def test_the_tail_of_the_normals_has_the_right_shape() -> None:
    draws = np.abs(draw(_fill_normal, 15, n=N if INTERPRETED else 10 * N))
    edge = 2.0 if INTERPRETED else 3.442619855899
    tail = draws[draws > edge]
    assert tail.size > 100
    uniform = stats.norm.sf(tail) / stats.norm.sf(edge)
    assert stats.kstest(uniform, "uniform").pvalue > FALSE_ALARM


def test_signs_of_normals_do_not_follow_their_sizes() -> None:
    # Layer and value come from the same 64 bits: shared bits would tie one to the other.
    draws = draw(_fill_normal, 16)
    positive = np.abs(draws[draws > 0])
    negative = np.abs(draws[draws < 0])
    assert stats.ks_2samp(positive, negative).pvalue > FALSE_ALARM


@pytest.mark.parametrize("shape", [1.0, 2.5, 15.0, 200.0])
def test_gammas_are_gamma(shape) -> None:
    draws = draw(_fill_gamma, 17, shape, n=N // 4)
    assert draws.min() > 0.0
    check_moments(draws, shape, shape, 3 * shape**2 + 6 * shape)
    assert stats.kstest(draws, "gamma", args=(shape,)).pvalue > FALSE_ALARM


def test_student_variates_follow_from_normals_and_gammas() -> None:
    dof, stream, n = 5.0, open_stream(18), N // 4
    normal, gamma = np.empty(n), np.empty(n)
    _fill_normal(stream, normal)
    _fill_gamma(stream, 0.5 * dof, gamma)
    draws = normal * np.sqrt(0.5 * dof / gamma)
    assert stats.kstest(draws, "t", args=(dof,)).pvalue > FALSE_ALARM
