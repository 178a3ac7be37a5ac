"""Upper limits of a pair that is not resolved: how far apart, and how bright at what separation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy import units as u

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = [
    "LIMIT",
    "PairLimit",
    "count_dark_bright",
    "find_magnitude",
    "find_quantile",
    "find_ratio_quantiles",
    "limit_jointly",
    "order_fluxes",
]

#: Probability of limits where none is asked for.
LIMIT = 0.95
#: Bins of separation in a joint limit, and draws that each should have.
N_BIN, N_DRAW = 8, 50


class PairLimit(NamedTuple):
    """
    What a pair is limited to.

    Attributes
    ----------
    prob : float
        Probability of each limit, and of the joint one.
    separation : float
        Pixels: the pair is closer.
    separation_arcsec : float or None
        The same on the sky.
    flux_ratio : float
        Companion over primary: it is fainter. Infinite where too many draws leave the primary
        no flux.
    delta_mag : float
        The same in magnitudes, which are larger.
    faint_ratio : float
        The fainter of the two over the brighter, whichever that is: what an unresolved pair is
        limited to where both could be the dark one.
    joint : QTable
        One row a bin of separation: ``separation_lo``, ``separation_hi`` (or
        ``separation_arcsec_lo``, ``_hi``), below ``flux_ratio``, above ``delta_mag``, below
        ``faint_ratio``, ``n_draws``. All rows together hold `prob` of the draws, by either ratio.
    """

    prob: float
    separation: float
    separation_arcsec: float | None
    flux_ratio: float
    delta_mag: float
    faint_ratio: float
    joint: QTable


def find_quantile(values: np.ndarray, prob: float) -> float:
    """Return the smallest of the draws that `prob` of them do not exceed; they may be infinite."""
    return float(np.quantile(values, prob, method="inverted_cdf"))


def count_dark_bright(ratio: np.ndarray) -> np.ndarray:
    """Return flux ratios in a row, infinite where the primary has no flux: no limit holds there."""
    return np.where(np.isnan(ratio), np.inf, ratio).ravel()


def order_fluxes(share: np.ndarray) -> np.ndarray:
    """Return ratios of the fainter to the brighter flux, in a row, from the companion's share.

    Negative where one is; infinite where both are nothing together.
    """
    faint = np.minimum(share, 1.0 - share).ravel()
    return np.where(np.isnan(faint), np.inf, faint / (1.0 - faint))


def find_ratio_quantiles(ratio: np.ndarray, probs) -> np.ndarray:
    """Return quantiles of flux ratios, those of a primary without flux the largest."""
    flat = count_dark_bright(ratio)
    if np.all(np.isfinite(flat)):
        return np.quantile(flat, probs)
    # Between a finite and an infinite draw there is nothing to interpolate.
    return np.quantile(flat, probs, method="inverted_cdf")


def find_magnitude(ratio):
    """Return the difference in magnitudes of flux ratios; NaN where they are not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -2.5 * np.log10(np.where(np.greater(ratio, 0.0), ratio, np.nan))


def limit_jointly(
    separation: np.ndarray, bright: np.ndarray, faint: np.ndarray, prob: float, *, name: str, unit
) -> QTable:
    """
    Return a table of the upper limits of both flux ratios, in a row each, in bins of separation.

    Of a share sqrt(prob) of the draws, the closest, each bin of equal numbers keeps a share
    sqrt(prob), the faintest: the region under the staircase holds `prob` of all draws.
    """
    from astropy.table import QTable

    share = math.sqrt(prob)
    flat, order = separation.ravel(), np.argsort(separation, axis=None, kind="stable")
    inside = order[: max(1, round(share * flat.size))]
    n_bin = 1 if np.ptp(flat[inside]) == 0.0 else int(np.clip(inside.size // N_DRAW, 1, N_BIN))
    parts = np.array_split(inside, n_bin)
    highest, faint = (
        np.array([find_quantile(values[part], share) for part in parts])
        for values in (bright, faint)
    )
    edges = [flat[part[-1]] for part in parts]
    lowest = 0.0 if np.ptp(flat) > 0.0 else edges[0]
    table = QTable(
        {
            f"{name}_lo": np.array([lowest, *edges[:-1]]) * unit,
            f"{name}_hi": np.array(edges) * unit,
            "flux_ratio": highest,
            "delta_mag": find_magnitude(highest) * u.mag,
            "faint_ratio": faint,
            "n_draws": [part.size for part in parts],
        }
    )
    for column in table.colnames[:-1]:
        table[column].info.format = ".4g"
    return table
