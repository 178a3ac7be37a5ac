"""A pair as a row of a table, and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.companions.limits import LIMIT
from bayesphot.companions.summary import (
    UNITS,
    UNKNOWN,
    summarise,
    summarise_angle,
    summarise_magnitude,
    summarise_ratio,
    within,
)
from bayesphot.source_posterior import ParameterSummary

if TYPE_CHECKING:
    from astropy.table import QTable

    from bayesphot.companions.pair import PairPosterior

__all__ = ["describe_pair", "tabulate_pair"]


def tabulate_pair(pair: PairPosterior) -> QTable:
    """Return one row; see `PairPosterior.summary`."""
    from astropy.table import QTable

    row: dict = {
        "primary": [pair.primary],
        "companion": [pair.companion],
        "resolved": [pair.resolved],
    }
    for name, values in _summarise_all(pair).items():
        for part, value in zip(ParameterSummary._fields, values, strict=True):
            column = f"{name}_{'err' if part == 'sd' else part}"
            row[column] = np.array([value]) * UNITS.get(name, 1)
    for name, value in _find_limits(pair).items():
        row[f"{name}_limit"] = np.array([value]) * UNITS.get(name, 1)
    table = QTable(row | {"n_without_mag": [pair.n_without_mag], "note": [pair.note]})
    for name in table.colnames:
        if name.endswith(("_median", "_err", "_lo", "_hi", "_limit")):
            table[name].info.format = ".5g"
    table.meta["ci_prob"] = pair.ci_prob
    table.meta["angle_from"] = pair.angle_from
    return table


def describe_pair(pair: PairPosterior) -> str:
    """Return medians, errors, intervals, limits and notes as text."""
    n_chains, n_draws = pair.separation.shape
    state = "resolved" if pair.resolved else "not resolved"
    lines = [
        f"companion {pair.companion} of primary {pair.primary}, {state}, "
        f"{n_chains} chains x {n_draws} draws",
        f"  {'':17} {'median':>11} {'sd':>11}   {100.0 * pair.ci_prob:.3g} % interval",
    ]
    for name, (median, sd, lo, hi) in _summarise_all(pair).items():
        unit = UNITS.get(name, "")
        line = f"  {name:17} {median:11.5g} {sd:11.3g}   {lo:.5g} .. {hi:.5g} {unit}"
        lines.append(line.rstrip())
    if not pair.resolved:
        lines.append(f"  {100.0 * LIMIT:.3g} % limits")
        for name, value in _find_limits(pair).items():
            side = "above" if name == "delta_mag" else "below"
            lines.append(f"  {name:17} {side} {value:.5g} {UNITS.get(name, '')}".rstrip())
    lines.append(f"  position angle {pair.angle_from}")
    return "\n".join([*lines, f"  {pair.note}"] if pair.note else lines)


def _summarise_all(pair: PairPosterior) -> dict[str, ParameterSummary]:
    """Return the summary of each of the draws; of what is not measured an honest interval."""
    located = pair.resolved or (pair.given and pair.separated)
    prob = pair.ci_prob
    lines = {}
    for name, draws in pair.draws.items():
        if name == "position_angle":
            whole = UNKNOWN._replace(lo=0.0, hi=360.0)
            lines[name] = summarise_angle(draws, prob) if located else whole
        elif name == "delta_mag":
            lines[name] = summarise_magnitude(pair.flux_ratio, prob) if pair.resolved else UNKNOWN
        elif name == "flux_ratio":
            lines[name] = summarise_ratio(draws, prob)
        elif name.startswith("separation") and not located:
            lines[name] = within(draws, prob)
        else:
            lines[name] = summarise(draws, prob)
    return lines


def _find_limits(pair: PairPosterior) -> dict[str, float]:
    """Return the limits of a summary by name: NaN for a resolved pair."""
    names = [name for name in pair.draws if name.startswith("separation")]
    names += ["flux_ratio", "delta_mag", "faint_ratio"]
    if pair.resolved:
        return dict.fromkeys(names, np.nan)
    limit = pair.limit(LIMIT)
    return {name: getattr(limit, name) for name in names}
