"""The posterior of one source: its draws, their summary, the covariance with its group mates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .draws import CI_PROB, Draws, view_readonly

if TYPE_CHECKING:
    from astropy.table import Row

__all__ = [
    "Covariance",
    "ParameterSummary",
    "SourcePosterior",
    "UnknownSourceError",
    "find_row",
    "is_free",
    "select_source",
]


class UnknownSourceError(ValueError, KeyError):
    """No source has this id."""

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0]) if self.args else ""


class ParameterSummary(NamedTuple):
    """Median, standard deviation and central interval of one parameter's draws."""

    median: float
    sd: float
    lo: float
    hi: float


class Covariance(NamedTuple):
    """Covariance matrix of the free parameters of a group, and their names in its order."""

    names: tuple[str, ...]
    matrix: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class SourcePosterior:
    """What ``result.source(id)`` returns.

    Attributes
    ----------
    id, group_id : int
        As in the table.
    draws : dict of str to ndarray, (chain, draw)
        The source's parameters and its group's background; empty if the run kept no draws.
        The same chain and draw is one joint state, here and in the group mates' draws.
    summary : dict of str to ParameterSummary
        ``median, sd, lo, hi`` of each of the `draws`; the interval holds `ci_prob`.
    covariance : Covariance
        ``names`` ("x[3]", ..., "background") and ``matrix`` over all free parameters of the
        group. Fixed parameters are left out.
    units : dict of str to str
        Units of those draws that have one.
    ci_prob : float
        Probability of the interval.
    row : astropy.table.Row
        The source's row of the table.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.draws import Draws
    >>> from bayesphot.source_posterior import select_source
    >>> flux = np.random.default_rng(1).normal(100, 5, (4, 500, 1))
    >>> star = select_source(Draws({"flux": flux}, {}, [7], [1], [1]), row={"id": 7, "group_id": 1})
    >>> star.draws["flux"].shape, round(star.summary["flux"].sd)
    ((4, 500), 5)
    """

    id: int
    group_id: int
    draws: Mapping[str, np.ndarray]
    summary: Mapping[str, ParameterSummary]
    covariance: Covariance
    units: Mapping[str, str]
    ci_prob: float
    row: Row

    def __repr__(self) -> str:
        head = f"<SourcePosterior: source {self.id} in group {self.group_id}"
        if not self.draws:
            return f"{head}, no draws>"
        n_chains, n_draws = next(iter(self.draws.values())).shape[:2]
        lines = [f"{head}, {n_chains} chains x {n_draws} draws"]
        width = max(len(name) for name in self.draws)
        interval = f"{100 * self.ci_prob:.3g} % interval"
        lines.append(f"  {'':{width}} {'median':>12} {'sd':>12}   {interval}")
        for name, (median, sd, lo, hi) in self.summary.items():
            line = f"  {name:{width}} {median:12.6g} {sd:12.4g}   {lo:.6g} .. {hi:.6g}"
            lines.append(f"{line} {self.units.get(name, '')}".rstrip())
        return "\n".join(lines) + ">"


def find_row(source_id: np.ndarray, wanted: int) -> int:
    """Return the row of a source.

    Raises
    ------
    UnknownSourceError
        A ValueError and KeyError that names the id and the range of the known ones.
    """
    rows = np.flatnonzero(np.asarray(source_id) == wanted)
    if rows.size:
        return int(rows[0])
    if len(source_id) == 0:
        raise UnknownSourceError(f"no source with id {wanted!r}: the result has no sources")
    raise UnknownSourceError(
        f"no source with id {wanted!r}: the {len(source_id)} ids run from "
        f"{np.min(source_id)} to {np.max(source_id)}"
    )


def select_source(
    draws: Draws | None,
    *,
    row: Row,
    units: Mapping[str, str] | None = None,
    ci_prob: float = CI_PROB,
) -> SourcePosterior:
    """Collect the posterior of the source in one row of the table.

    Parameters
    ----------
    draws : Draws or None
        Of all groups; None makes a posterior without draws.
    row : astropy.table.Row or mapping
        With ``id`` and ``group_id``.
    units : mapping of str to str, optional
        Units of the parameters that have one.
    ci_prob : float
        Probability of the summary's interval.

    Returns
    -------
    SourcePosterior

    Raises
    ------
    UnknownSourceError
        If the draws do not have the row's id.
    """
    wanted = int(row["id"])
    chosen: dict[str, np.ndarray] = {}
    covariance = Covariance((), view_readonly(np.zeros((0, 0))))
    if draws is not None:
        index = find_row(draws.source_id, wanted)
        chosen = {name: array[:, :, index] for name, array in draws.source.items()}
        chosen |= _select_group(draws, index)
        covariance = _measure_covariance(draws, index)
    return SourcePosterior(
        id=wanted,
        group_id=int(row["group_id"]),
        draws=chosen,
        summary={
            name: _summarise(values, ci_prob) for name, values in chosen.items() if values.ndim == 2
        },
        covariance=covariance,
        units={name: unit for name, unit in (units or {}).items() if name in chosen},
        ci_prob=ci_prob,
        row=row,
    )


def _select_group(draws: Draws, index: int) -> dict[str, np.ndarray]:
    """Return the draws of the parameters of a source's group; none if it is in no group."""
    position = np.flatnonzero(draws.group_id == draws.source_group[index])
    if not position.size:
        return {}
    return {name: array[:, :, position[0]] for name, array in draws.group.items()}


def _summarise(values: np.ndarray, ci_prob: float) -> ParameterSummary:
    """Summarise all draws of a parameter; NaN where there are none."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size < 2 or not np.all(np.isfinite(flat)):
        return ParameterSummary(np.nan, np.nan, np.nan, np.nan)
    tail = 0.5 * (1.0 - ci_prob)
    lo, median, hi = np.quantile(flat, [tail, 0.5, 1.0 - tail])
    # The rounding of the mean would give a fixed parameter an error of 1e-15.
    sd = np.std(flat, ddof=1) if np.ptp(flat) > 0.0 else 0.0
    return ParameterSummary(float(median), float(sd), float(lo), float(hi))


def _measure_covariance(draws: Draws, index: int) -> Covariance:
    """Return the covariance of everything free in the group of a source."""
    members = np.array([index])
    if draws.source_group[index] in draws.group_id:
        members = np.flatnonzero(draws.source_group == draws.source_group[index])
    columns = {
        f"{name}[{draws.source_id[member]}]": array[:, :, member]
        for member in members
        for name, array in draws.source.items()
        if array.ndim == 3
    } | _select_group(draws, index)
    free = {name: values.ravel() for name, values in columns.items() if is_free(values)}
    if not free:
        return Covariance((), view_readonly(np.zeros((0, 0))))
    matrix = np.atleast_2d(np.cov(np.stack(list(free.values())).astype(np.float64)))
    return Covariance(tuple(free), view_readonly(matrix))


def is_free(values: np.ndarray) -> bool:
    """Return whether the draws of a parameter are there and differ."""
    return values.size > 1 and bool(
        np.all(np.isfinite(values)) and np.any(values != values.flat[0])
    )
