"""Kernels as wholes and parts: how they meet Python, each other, and other compiled code."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from kernel_scene import INTERPRETED, open_kernel

from bayesphot.kernels import linalg
from bayesphot.kernels.cache import compiled, part
from bayesphot.kernels.linking import has_hooks

pytestmark = pytest.mark.skipif(
    INTERPRETED or not has_hooks(), reason="kernels are plain functions of numba here"
)


@part
def _weigh(values, power, out):
    """Fill out with values to a power, through an array of its own; return the sum."""
    room = np.zeros(values.size + 1)
    s = 0.0
    for i in range(values.size):
        room[i] = values[i] ** power
        s += room[i]
    for i in range(values.size):
        out[i] = room[i]
    return s


@compiled
def _square(values, out):
    return _weigh(values, 2, out)


@compiled
def _cube(values, out):
    return _weigh(values, 3, out)


@numba.njit
def _of_a_user(values, out):
    return _weigh(values, 4, out)


def test_every_whole_runs_its_own_copy_of_a_part() -> None:
    """A copy made for one power must not answer for another, whoever was compiled first."""
    values = np.array([1.0, 2.0, 3.0])
    for function, power in 2 * [(_square, 2), (_of_a_user, 4), (_cube, 3)]:
        out = np.full(3, np.nan)
        assert function(values, out) == np.sum(values**power)
        np.testing.assert_array_equal(out, values**power)


def test_code_compiled_elsewhere_keeps_its_own_numpy() -> None:
    """The copies of numba's own functions inside a whole are private as well."""

    @numba.njit
    def elsewhere(n):
        return np.zeros(n).sum() + np.ones((n, n)).sum()

    values = np.ones(3)
    _square(values, values.copy())
    assert elsewhere(5) == 25.0


def test_a_part_called_from_python_raises() -> None:
    matrix, factor = np.eye(2), np.zeros((2, 2))
    assert open_kernel(linalg.factor_cholesky_into)(matrix, 2, factor)
    np.testing.assert_array_equal(factor, matrix)
    with pytest.raises(TypeError):
        linalg.factor_cholesky_into(matrix, 2, factor)
