"""The Gaussian integrated over pixels: values and derivatives of its separable profiles.

Along one axis, with edges u_i = (i - 1/2 - c)/sigma,
    f_i = Phi(u_{i+1}) - Phi(u_i),
    df_i/dc = -(phi(u_{i+1}) - phi(u_i))/sigma,
    df_i/dln(sigma) = -(u_{i+1} phi(u_{i+1}) - u_i phi(u_i)).
"""

import math

import numpy as np

from .cache import borrowing

_STEPS = 64
_REACH = 8
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


def _build_table():
    """Return Hermite's cubics (m, 4) of Phi - 1/2 on the steps of [0, reach], then a constant."""
    u = np.arange(_REACH * _STEPS + 1) / _STEPS
    value = np.array([0.5 * math.erf(v / math.sqrt(2.0)) for v in u])
    slope = np.exp(-0.5 * u * u) * _INV_SQRT_2PI / _STEPS
    rise = np.diff(value)
    left, right = slope[:-1], slope[1:]
    table = np.zeros((u.size, 4))
    table[:, 0] = value
    table[:-1, 1] = left
    table[:-1, 2] = 3.0 * rise - 2.0 * left - right
    table[:-1, 3] = left + right - 2.0 * rise
    table[-1, 0] = 0.5
    return table


_TABLE = _build_table()
_LAST = _TABLE.shape[0] - 1.0


@borrowing
def normal_cdf(u):
    """Return Phi(u) - 1/2 from a table of cubics (error < 1e-9)."""
    place = abs(u) * _STEPS
    # Written so that NaN has a place in the table, too.
    place = place if place < _LAST else _LAST
    k = np.int64(place)
    t = place - k
    value = _TABLE[k, 0] + t * (_TABLE[k, 1] + t * (_TABLE[k, 2] + t * _TABLE[k, 3]))
    return math.copysign(value, u)


@borrowing
def profile_into(center, sigma, first, n, value):
    """Fill f for the pixels first .. first + n - 1."""
    scale = 1.0 / sigma
    before = normal_cdf((first - 0.5 - center) * scale)
    for i in range(n):
        after = normal_cdf((first + i + 0.5 - center) * scale)
        value[i] = after - before
        before = after


@borrowing
def profile_gradient_into(center, sigma, first, n, value, by_center, by_log_sigma):
    """Fill f, df/dc and df/dln(sigma) for the pixels first .. first + n - 1."""
    scale = 1.0 / sigma
    u = (first - 0.5 - center) * scale
    before = normal_cdf(u)
    pdf_before = math.exp(-0.5 * u * u) * _INV_SQRT_2PI
    u_before = u
    for i in range(n):
        u = (first + i + 0.5 - center) * scale
        after = normal_cdf(u)
        pdf = math.exp(-0.5 * u * u) * _INV_SQRT_2PI
        value[i] = after - before
        by_center[i] = -(pdf - pdf_before) * scale
        by_log_sigma[i] = -(u * pdf - u_before * pdf_before)
        before = after
        pdf_before = pdf
        u_before = u
