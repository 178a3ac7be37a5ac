"""The free parameters of some sources, as the columns of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..source_posterior import is_free
from .figure import find_rows

if TYPE_CHECKING:
    from ..result import Contents

MAX_PARAMETERS = 12
#: Parameters measured in pixels, which the table leaves without a unit.
PIXEL_PARAMETERS = frozenset({"x", "y", "sigma", "x_fwhm", "y_fwhm", "alpha", "radius"})


class Parameter(NamedTuple):
    """One free parameter to plot."""

    names: tuple[str, ...]
    label: str
    values: np.ndarray


def collect_parameters(
    result: Contents,
    ids: int | Iterable[int],
    asker: str,
    *,
    names: str | Iterable[str] | None = None,
) -> list[Parameter]:
    """Return the free parameters of sources and of their groups, shared ones once."""
    draws = result.require_draws(asker)
    rows = find_rows(result, ids)
    wanted = _read_names(names, (*draws.source, *draws.group))
    columns = [
        (name, int(draws.source_id[row]), array[:, :, row])
        for row in rows
        for name, array in draws.source.items()
        if array.ndim == 3 and name in wanted
    ]
    groups = dict.fromkeys(draws.source_group[rows].tolist())
    suffix = {group: f" of group {group}" if len(groups) > 1 else "" for group in groups}
    free: dict[bytes, tuple[str, list[int], np.ndarray]] = {}
    for name, source, values in columns:
        if is_free(values):
            # A shape parameter shared by a group has the same draws in each of its sources.
            _, sources, _ = free.setdefault(name.encode() + values.tobytes(), (name, [], values))
            sources.append(source)
    units = result.units
    parameters = [
        Parameter(
            tuple(f"{name}[{source}]" for source in sources),
            _label(f"{name}[{', '.join(map(str, sources))}]", name, units),
            values.astype(np.float64),
        )
        for name, sources, values in free.values()
    ]
    for name, array in draws.group.items():
        if name not in wanted:
            continue
        for position in np.flatnonzero(np.isin(draws.group_id, list(groups))):
            values = array[:, :, position]
            if is_free(values):
                full = name + suffix[int(draws.group_id[position])]
                parameters.append(Parameter((full,), _label(full, name, units), values))
    if not 1 <= len(parameters) <= MAX_PARAMETERS:
        raise ValueError(
            f"{asker} draws 1 to {MAX_PARAMETERS} parameters, but "
            f"ids {result['id'][rows].tolist()} have {len(parameters)} free ones"
            + ("; choose fewer ids or names" if parameters else " (not sampled, or all fixed)")
        )
    return parameters


def _read_names(names: str | Iterable[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of parameters to show, all of them by default."""
    if names is None:
        return known
    wanted = (names,) if isinstance(names, str) else tuple(names)
    for name in wanted:
        if name not in known:
            raise ValueError(f"names must be among {list(known)}, found {name!r}")
    return wanted


def _label(text: str, name: str, units: Mapping[str, str]) -> str:
    """Return an axis label with the parameter's unit."""
    unit = units.get(name) or ("pixel" if name in PIXEL_PARAMETERS else "")
    return f"{text} ({unit})" if unit else text
