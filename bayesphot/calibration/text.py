"""What a calibration says of itself in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.table import QTable

    from bayesphot.calibration.result import CalibrationResult

__all__ = ["describe_calibration"]

#: Bins out of their band that are named.
SHOWN = 4


def describe_calibration(result: CalibrationResult) -> str:
    """Return the verdict, a table of ranks and coverage, and the bins that are out.

    Parameters
    ----------
    result : CalibrationResult
        What to describe.

    Returns
    -------
    str
        Lines without a final newline.
    """
    uniformity, coverage = result.uniformity(), result.coverage()
    scatter, bias = result.scatter(), result.bias()
    flagged = np.count_nonzero(np.asarray(result.table["flags"]))
    lines = [
        f"{len(result)} sources in {result.n_groups} groups, seed {result.meta.get('seed')}; "
        f"{flagged} flagged, all counted",
        *_describe_left_out(result),
        "",
        *_tabulate(uniformity, coverage),
        "",
        _describe_bins("scatter over error", "scatter", scatter, asked=1.0),
        _describe_bins("bias over error", "bias", bias, asked=0.0),
    ]
    if result.passed():
        return "\n".join([*lines, "calibrated: every number is in its band"])
    lines.append("NOT CALIBRATED: * marks what a correct program shows once in 10 000 runs")
    return "\n".join([*lines, *_describe_trusted(result)])


def _describe_trusted(result: CalibrationResult) -> list[str]:
    """Return a line on the groups without a warning, none where there is no warning."""
    try:
        trusted = result.trusted()
    except ValueError:
        return ["next to all groups carry a flag that warns of their draws"]
    if trusted.n_groups == result.n_groups:
        return []
    n = result.n_groups - trusted.n_groups
    verdict = "calibrated" if trusted.passed() else "not calibrated either"
    return [f"without the {n} groups whose flags warn of their draws: {verdict}"]


def _describe_left_out(result: CalibrationResult) -> list[str]:
    """Return a line on sources of groups that were too large, none where there are none."""
    share = result.meta.get("left_out") or 0.0
    if share == 0.0:
        return []
    return [f"left out: {share:.1%} of the field's sources, in groups above max_group_size"]


def _tabulate(uniformity: QTable, coverage: QTable) -> list[str]:
    """Return one line a parameter: number, p-value of uniform ranks, coverages."""
    levels = list(dict.fromkeys(coverage["level"].tolist()))
    heads = "".join(f"{f'in {level:.3g}':>10}" for level in levels)
    lines = [f"{'parameter':<16}{'n':>7}{'p(ranks)':>11}{heads}"]
    for row in uniformity:
        own = coverage[coverage["parameter"] == row["parameter"]]
        cells = "".join(f"{one['coverage']:>9.3f}{_mark(one['holds'])}" for one in own)
        p_value = f"{row['p_value']:>10.2g}{_mark(row['holds'])}"
        lines.append(f"{row['parameter']:<16}{row['n']:>7}{p_value}{cells}")
    n = int(coverage["n"].max())
    own = coverage[(coverage["n"] == n) & (coverage["parameter"] == coverage["parameter"][0])]
    band = "".join(f"{row['low']:.3f}-{row['high']:.3f}".rjust(13) for row in own)
    lines.append(f"bands of coverage, n = {n}:{band}; p(ranks) at least {row['limit']:.1g}")
    return lines


def _mark(holds: bool) -> str:
    return " " if holds else "*"


def _describe_bins(title: str, name: str, table: QTable, *, asked: float) -> str:
    """Return the range over the bins that have a band, and which are out."""
    judged = table[np.isfinite(table["high"])]
    if not len(judged):
        return f"{title}: no bin has enough sources"
    values = judged[name]
    text = (
        f"{title}, {len(judged)} bins: {values.min():.3f} to {values.max():.3f} (asked {asked:g})"
    )
    out = judged[~judged["holds"]]
    places = [
        f"{row['parameter']} at {row['by']} {row['from']:.3g} to {row['to']:.3g}" for row in out
    ]
    if len(places) > SHOWN:
        places = [*places[:SHOWN], f"and {len(places) - SHOWN} more"]
    return text if not places else f"{text}; *out of band: {', '.join(places)}"
