"""R-hat, effective sizes and Pareto k of the installed ArviZ, old or new, from plain arrays."""

from __future__ import annotations

import numpy as np


def read_arviz(draws: np.ndarray) -> tuple[float, float, float]:
    """Return rank R-hat, bulk and tail (5 %, 95 %) effective sizes of (chain, draw) draws."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        import arviz

        numbers = [arviz.rhat(draws, method="rank"), arviz.ess(draws, method="bulk")]
        numbers.append(arviz.ess(draws, method="tail", prob=(0.05, 0.95)))
    else:
        numbers = [array_stats.rhat(draws, method="rank"), array_stats.ess(draws, method="bulk")]
        numbers.append(array_stats.ess(draws, method="tail", prob=(0.05, 0.95)))
    return tuple(float(v) for v in numbers)


def _read_ess_mean(draws: np.ndarray) -> float:
    """Return the effective number of draws for the mean."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        import arviz

        return float(arviz.ess(draws, method="mean"))
    return float(array_stats.ess(draws, method="mean"))


def read_monte_carlo_errors(draws: np.ndarray) -> tuple[float, float]:
    """Return the Monte-Carlo errors of mean and standard deviation of (chain, draw) draws."""
    square = (draws - draws.mean()) ** 2
    variance = square.mean()
    of_mean = np.sqrt(variance / _read_ess_mean(draws))
    of_variance = np.sqrt(square.var() / _read_ess_mean(square))
    return float(of_mean), float(of_variance / (2 * np.sqrt(variance)))


def read_pareto_k(log_weight: np.ndarray) -> float:
    """Return k of the Pareto-smoothed importance weights."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        import arviz

        return float(arviz.psislw(log_weight.copy())[1])
    # This one takes log likelihoods: the negative log weights.
    return float(array_stats.psislw(-log_weight)[1])


def tail_size_is_shared(n: int) -> bool:
    """Return whether min(n/5, 3 sqrt(n)) is whole: old ArviZ rounds it up, new down."""
    return float(min(n / 5, 3 * np.sqrt(n))).is_integer()
