"""Prior densities of one parameter, by kind number."""

import math

import numpy as np

from .cache import borrowing
from .structs import (
    FLAT,
    HALF_NORMAL,
    LOG_NORMAL,
    LOG_UNIFORM,
    NORMAL,
    POWER_LAW,
    TRUNCATED_NORMAL,
    UNIFORM,
)


@borrowing
def log_prior_density(density, value):
    """Return the log density at a value, -inf outside the support.

    ``density`` begins with kind, log normalisation c and parameters a, b, ...:
    normal c - ((v - a)/b)^2/2; uniform c on [a, b]; log-normal c - (ln(v/a)/b)^2/2 - ln v;
    log-uniform c - ln v on [a, b]; power law c + a ln v on [b, ...]; half-normal
    c - (v/a)^2/2 on v >= 0; truncated normal c - ((v - a)/b)^2/2 on [p, q], the third and
    fourth parameter.
    """
    kind = int(density[0])
    if kind == FLAT:
        return 0.0
    norm = density[1]
    a = density[2]
    b = density[3]
    if kind == NORMAL:
        z = (value - a) / b
        return norm - 0.5 * z * z
    if kind == UNIFORM:
        return norm if a <= value <= b else -np.inf
    if kind == HALF_NORMAL:
        return norm - 0.5 * value * value / (a * a) if value >= 0.0 else -np.inf
    if kind == TRUNCATED_NORMAL:
        z = (value - a) / b
        return norm - 0.5 * z * z if density[4] <= value <= density[5] else -np.inf
    if not value > 0.0:
        return -np.inf
    log_value = math.log(value)
    if kind == LOG_NORMAL:
        z = (log_value - math.log(a)) / b
        return norm - 0.5 * z * z - log_value
    if kind == LOG_UNIFORM:
        return norm - log_value if a <= value <= b else -np.inf
    if kind == POWER_LAW:
        return norm + a * log_value if b <= value <= density[4] else -np.inf
    return np.nan
