"""A swarm of particles: weights of a step from one density to the next, resampling, spread.

A particle's numbers are log p of its place (the linear parameters integrated out), log r of the
exact density over the normal one, log q of the start density, and log |L| of its linear system.
"""

import math

import numpy as np

from .cache import borrowing
from .linalg import factor_cholesky_into, fill_moments
from .random import draw_uniform

#: Columns of a particle's numbers.
TARGET = 0
RATIO = 1
START = 2
SCALE = 3
N_NUMBER = 4


@borrowing
def _log_step(numbers, n):
    """Return the log weight that a whole unit of b gives particle n."""
    return numbers[n, TARGET] + numbers[n, RATIO] - numbers[n, START]


@borrowing
def fill_weights(numbers, step, weight):
    """Fill weights of a step in b, the largest being 1; return (log of their mean, size)."""
    top = -np.inf
    for n in range(weight.size):
        top = max(top, step * _log_step(numbers, n))
    total = 0.0
    square = 0.0
    for n in range(weight.size):
        weight[n] = math.exp(step * _log_step(numbers, n) - top)
        total += weight[n]
        square += weight[n] * weight[n]
    return top + math.log(total / weight.size), total * total / square


@borrowing
def choose_step(numbers, room, weight):
    """Return the step in b, at most ``room``, that keeps half the effective size."""
    _, size = fill_weights(numbers, room, weight)
    if size >= 0.5 * weight.size:
        return room
    low = 0.0
    high = room
    for _halving in range(40):
        middle = 0.5 * (low + high)
        _, size = fill_weights(numbers, middle, weight)
        if size >= 0.5 * weight.size:
            low = middle
        else:
            high = middle
    return low


@borrowing
def copy_particle(swarm, n, other, m):
    """Copy particle n of a swarm over particle m of another."""
    for i in range(swarm.theta.shape[1]):
        other.theta[m, i] = swarm.theta[n, i]
    for i in range(swarm.score.shape[1]):
        other.score[m, i] = swarm.score[n, i]
        other.linear[m, i] = swarm.linear[n, i]
    for i in range(N_NUMBER):
        other.numbers[m, i] = swarm.numbers[n, i]


@borrowing
def resample(swarm, spare, weight, stream):
    """Replace particles by copies in proportion to their weights (systematic resampling)."""
    n_particle = weight.size
    total = 0.0
    for n in range(n_particle):
        total += weight[n]
    first = draw_uniform(stream) / n_particle
    k = 0
    reached = weight[0] / total
    for n in range(n_particle):
        while reached < first + n / n_particle and k < n_particle - 1:
            k += 1
            reached += weight[k] / total
        copy_particle(swarm, k, spare, n)
    for n in range(n_particle):
        copy_particle(spare, n, swarm, n)


@borrowing
def fill_spread(theta, row, spread, factor):
    """Fill the Cholesky factor of the particles' covariance; return whether it has one."""
    n_free = theta.shape[1]
    fill_moments(theta, row[0, :n_free], spread)
    for i in range(n_free):
        spread[i, i] += 1e-14
    return factor_cholesky_into(spread, n_free, factor)
