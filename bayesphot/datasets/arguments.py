"""The border of the package: tables, shapes and numbers read and checked once."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def read_shape(shape) -> tuple[int, int]:
    """Return (ny, nx) as a tuple of positive integers."""
    try:
        ny, nx = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be (ny, nx), found {shape!r}") from None
    for value in (ny, nx):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"shape must be two positive integers (ny, nx), found {shape!r}")
    return int(ny), int(nx)


def read_random_state(random_state):
    """Return something with numpy's ``normal`` and ``poisson``."""
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    if random_state is not None and not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be None, an integer, a RandomState or a Generator, "
            f"found {random_state!r}"
        )
    return np.random.RandomState(None if random_state is None else int(random_state))


def column_names(table) -> list[str]:
    """Return the column names of a table or mapping."""
    names = getattr(table, "colnames", None)
    if names is None and hasattr(table, "keys"):
        names = list(table.keys())
    if names is None:
        raise TypeError(f"sources must be a table or a mapping of columns, found {table!r}")
    return names


def read_column(table, name: str, unit: str | None = None) -> np.ndarray:
    """Return one column as finite float64 values, a Quantity's in its own or the given unit."""
    if name not in column_names(table):
        raise ValueError(f"no column {name}; the columns are {column_names(table)}")
    column = table[name]
    if unit is not None and getattr(column, "unit", None) is not None:
        from astropy.units import Quantity

        column = Quantity(column).to(unit)
    values = np.array(getattr(column, "value", column), dtype=np.float64, ndmin=1)
    if not np.all(np.isfinite(values)):
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{name} must be finite, found {values[row]} in row {row}")
    return values


def read_pixel_values(name: str, values, shape) -> np.ndarray:
    """Return a scalar or one finite value per pixel as float64."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers, found {values!r}")
    if array.ndim > 0 and array.shape != shape:
        raise ValueError(f"{name} must be a number or of shape {shape}, found {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array.astype(np.float64)


def check_count(name: str, value) -> None:
    """Refuse what is not an integer >= 0."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, found {value!r}")
