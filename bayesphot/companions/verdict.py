"""Do the draws show two stars at two places? Told by where zero lies among them."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["TAIL", "has_flux", "is_separated"]

#: Probability outside 3 sigma: what separation zero, or flux zero, must lie beyond.
TAIL = math.erfc(3.0 / math.sqrt(2.0))
#: Most draws that densities are estimated from: a tail of 0.0027 has 10 of them.
N_MOST = 4000
#: Share of the draws in the ball that gives a density: its radius has an error of 1/sqrt(2 n).
SHARE = 0.02


def has_flux(flux: np.ndarray) -> bool:
    """Whether zero is below the 3-sigma range of a star's flux (one-sided, 0.00135)."""
    return float(np.mean(flux <= 0.0)) < 0.5 * TAIL


def is_separated(dx: np.ndarray, dy: np.ndarray) -> bool:
    """
    Whether separation zero is outside the 3-sigma region of highest density of (dx, dy).

    The order of close stars' names (see `docs/posteriors.md`) cuts the plane of (dx, dy) through
    zero, so that a component of it never changes sign, even of a pair at one place. The draws are
    therefore unfolded: with each goes its negative, which is the same pair by its other names.
    Densities are compared by the distance to the nearest draws; a draw counts as inside where
    that is less than it is at zero.
    """
    step = np.stack([np.ravel(dx), np.ravel(dy)], axis=1)
    step = step[:: max(1, math.ceil(len(step) / N_MOST))]
    if np.all(step == step[0]):
        return bool(np.any(step[0] != 0.0))
    from scipy.spatial import cKDTree

    tree = cKDTree(np.concatenate([step, -step]))
    nearest = [min(max(20, round(SHARE * len(step))), 2 * len(step))]
    at_zero = tree.query(np.zeros((1, 2)), k=nearest)[0].item()
    at_draws = tree.query(step, k=nearest)[0][:, 0]
    return float(np.mean(at_draws >= at_zero)) < TAIL
