"""Columns of any kind of table as clean arrays: astropy, mappings, structured arrays, pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from astropy import units as u

__all__ = ["find_name", "list_names", "read_floats", "read_integers", "strip_unit"]

_INT64_MAX = np.iinfo(np.int64).max


def list_names(positions) -> dict[str, str]:
    """Names of the columns, by their lower-case form; TypeError if this is no table."""
    if isinstance(positions, np.ndarray) and positions.dtype.names:
        names = positions.dtype.names
    elif isinstance(positions, Mapping):
        names = positions.keys()
    else:
        names = getattr(positions, "colnames", getattr(positions, "columns", None))
    if names is None or callable(names):
        raise TypeError(
            "positions must be a table with named columns (an astropy Table, a mapping, a "
            f"structured array or a data frame), found {type(positions).__name__}"
        )
    lowered: dict[str, str] = {}
    for name in names:
        # An exact lower-case name wins over one that differs by case only.
        if isinstance(name, str) and (name.lower() not in lowered or name.islower()):
            lowered[name.lower()] = name
    return lowered


def find_name(names: dict[str, str], spellings: Iterable[str]) -> str | None:
    """The table's name of the first spelling it has."""
    return next((names[spelling] for spelling in spellings if spelling in names), None)


def _split_column(
    positions, name: str, n_rows: int | None
) -> tuple[np.ndarray, np.ndarray, object]:
    """Values, mask and unit of a column; object columns with None or NA become floats."""
    column = positions[name]
    unit = getattr(column, "unit", None)
    if hasattr(column, "isna"):
        mask = np.asarray(column.isna())
        values = np.asarray(column.fillna(0) if mask.any() else column)
    elif hasattr(column, "unmasked"):
        mask, values = np.asarray(column.mask), np.asarray(column.unmasked)
    else:
        mask, values = np.ma.getmaskarray(column), np.asarray(np.ma.getdata(column))
    values, mask = np.atleast_1d(values), np.atleast_1d(mask)
    if values.dtype.kind == "O":
        values, mask = _read_objects(values, mask, name)
    if values.size == 0 and values.ndim == 1:
        # An empty list or column has no type to speak of.
        values = values.astype(np.int64 if values.dtype.kind not in "iuf" else values.dtype)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, found dtype {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"{name} must hold one number per row, found shape {values.shape}")
    if n_rows is not None and len(values) != n_rows:
        raise ValueError(f"{name} must have {n_rows} rows like x, found {len(values)}")
    return values, mask, unit


def _read_objects(values, mask, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of an object column; None counts as masked."""
    missing = np.array([value is None for value in values.flat]).reshape(values.shape)
    numbers = values.copy()
    numbers[missing | mask] = 0
    try:
        return np.array(numbers.tolist()), mask | missing
    except ValueError:
        raise TypeError(f"{name} must hold one real number per row") from None


def read_floats(positions, name: str, *, units=None, n_rows: int | None = None) -> np.ndarray:
    """Column as float64, NaN where masked, in the first of the units that its own converts to."""
    values, mask, unit = _split_column(positions, name, n_rows)
    with np.errstate(all="ignore"):
        column = np.array(values, dtype=np.float64)
    column[mask] = np.nan
    if unit is not None and units is not None:
        column *= _convert_unit(u.Unit(unit), units, name)
    return column


def _convert_unit(unit, wanted, name: str) -> float:
    """Factor to the first of the wanted units that fits."""
    for target in wanted:
        if unit.is_equivalent(target):
            return unit.to(target)
    expected = str(wanted[0]) or "none, as the image has no unit"
    raise ValueError(f"{name} has the unit '{unit}', which does not convert to {expected}")


def read_integers(
    positions, names: dict[str, str], *, key: str, n_rows: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Integer column and where it is missing (-1 there); None if there is no such column."""
    if key not in names:
        return None
    name = names[key]
    values, missing, _ = _split_column(positions, name, n_rows)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    known = values[~missing]
    # Above 2**53 a float is no longer one integer.
    limit = 2.0**53 if values.dtype.kind == "f" else _INT64_MAX
    wrong = (known != np.round(known)) | (known > limit) | (known < -limit)
    if wrong.any():
        raise ValueError(f"{name} must hold 64-bit integers, found {known[wrong][0]}")
    integers = np.full(n_rows, -1, dtype=np.int64)
    integers[~missing] = known
    return integers, missing


def strip_unit(column) -> np.ndarray:
    """Return a column's numbers without their unit."""
    return np.asarray(getattr(column, "value", column), dtype=float)
