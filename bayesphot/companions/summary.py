"""Medians, errors and intervals of a pair's draws, angles by the way round."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy import units as u

from bayesphot.companions.limits import find_magnitude, find_quantile, find_ratio_quantiles
from bayesphot.source_posterior import ParameterSummary

__all__ = [
    "UNITS",
    "UNKNOWN",
    "Turned",
    "summarise",
    "summarise_angle",
    "summarise_magnitude",
    "summarise_ratio",
    "turn_angles",
    "within",
]

UNITS = {
    "separation": u.pix,
    "separation_arcsec": u.arcsec,
    "position_angle": u.deg,
    "delta_mag": u.mag,
    "dx": u.pix,
    "dy": u.pix,
}
#: Of what is not measured.
UNKNOWN = ParameterSummary(np.nan, np.nan, np.nan, np.nan)


class Turned(NamedTuple):
    """Angles as offsets (-180 to 180 degrees) from their mean direction, and its length, 0 to 1."""

    offset: np.ndarray
    direction: float
    length: float


def turn_angles(angle: np.ndarray) -> Turned:
    """Return angles in degrees about the direction of their mean vector."""
    vector = np.mean(np.exp(1j * np.deg2rad(angle)))
    direction = float(np.rad2deg(np.angle(vector))) % 360.0
    offset = (angle - direction + 180.0) % 360.0 - 180.0
    return Turned(offset, direction, float(np.abs(vector)))


def _find_tails(ci_prob: float) -> list[float]:
    """Probabilities of lower end, median and upper end."""
    return [0.5 * (1.0 - ci_prob), 0.5, 0.5 * (1.0 + ci_prob)]


def summarise(values: np.ndarray, ci_prob: float) -> ParameterSummary:
    """Return median, standard deviation and central interval of draws."""
    lo, median, hi = np.quantile(values, _find_tails(ci_prob))
    # The rounding of the mean would give a constant an error of 1e-15.
    sd = np.std(values, ddof=1) if np.ptp(values) != 0.0 else 0.0
    return ParameterSummary(float(median), float(sd), float(lo), float(hi))


def within(values: np.ndarray, ci_prob: float) -> ParameterSummary:
    """Return the one-sided interval, from zero, of a separation that was not measured."""
    return ParameterSummary(np.nan, np.nan, 0.0, find_quantile(values, ci_prob))


def summarise_angle(angle: np.ndarray, ci_prob: float) -> ParameterSummary:
    """
    Return the summary of angles, their median in 0 to 360 degrees.

    The ends of the interval go on from there, below 0 or above 360 where it lies across north.
    """
    turned = turn_angles(angle)
    median, sd, lo, hi = summarise(turned.offset, ci_prob)
    place = (turned.direction + median) % 360.0
    return ParameterSummary(place, sd, place + lo - median, place + hi - median)


def summarise_ratio(ratio: np.ndarray, ci_prob: float) -> ParameterSummary:
    """Return the summary of flux ratios, which are NaN where the primary has no flux."""
    lo, median, hi = find_ratio_quantiles(ratio, _find_tails(ci_prob))
    sd = np.std(ratio, ddof=1) if np.ptp(ratio) != 0.0 else 0.0
    return ParameterSummary(float(median), float(sd), float(lo), float(hi))


def summarise_magnitude(ratio: np.ndarray, ci_prob: float) -> ParameterSummary:
    """Return the summary of differences in magnitude; NaN where a flux <= 0 weighs."""
    lo, median, hi = find_ratio_quantiles(ratio, _find_tails(ci_prob))
    if not (lo > 0.0 and np.isfinite(hi)):
        return UNKNOWN
    draws = find_magnitude(ratio)
    known = draws[np.isfinite(draws)]
    sd = np.std(known, ddof=1) if np.ptp(known) > 0.0 else 0.0
    middle, faint, bright = (float(find_magnitude(value)) for value in (median, lo, hi))
    return ParameterSummary(middle, float(sd), bright, faint)
