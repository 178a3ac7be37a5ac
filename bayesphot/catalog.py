"""The border of the package for tables of positions: every spelling of a column ends here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
from astropy import units as u

from bayesphot.columns import find_name, list_names, read_floats, read_integers
from bayesphot.flags import Flag

__all__ = ["Catalog", "build_catalog", "read_positions", "sort_order", "translate_columns"]

#: What x may be called, first found first used; y is called the same with a y. Case is ignored.
POSITION_SPELLINGS = (
    "x_0",
    "x_init",
    "xcentroid",
    "x_centroid",
    "x_fit",
    "x_peak",
    "x",
    "x_mean",
    "x0",
    "xinit",
    "xfit",
    "xpeak",
    "xcen",
    "x_cen",
    "xpos",
    "x_pos",
)
FLUX_SPELLINGS = ("flux_0", "flux_init", "flux", "flux_fit", "flux0", "fluxinit", "fluxfit")
_PRIOR = re.compile(r"(\w+)_prior_(mean|sd)", re.IGNORECASE)
_LIKE_PRIOR = re.compile(r"(?:^|_)prior(?:_|$)", re.IGNORECASE)

UNKNOWN_GROUP = -1
_PIXELS = (u.pix, u.dimensionless_unscaled)


@dataclass(frozen=True, eq=False)
class Catalog:
    """
    Sources as equally long 1-D arrays, one element per source.

    Attributes
    ----------
    id : ndarray of int64 (n,)
        Identification, unique in a run.
    x, y : ndarray of float (n,)
        Start positions in pixels, 0-based, pixel centres on integers.
    flux : ndarray of float (n,)
        Start values, NaN where unknown.
    group_id : ndarray of int64 (n,)
        Group, -1 where unknown.
    iter_detected : ndarray of int64 (n,)
        Iteration that brought the source, from 1; given positions are of iteration 1.
    flags : ndarray of int64 (n,)
        Sum of `bayesphot.flags.Flag` bits.
    extra : dict of str to ndarray of float (n,)
        Columns that travel along: starts of shapes, ``<shape>_0``, and priors,
        ``<parameter>_prior_mean`` and ``<parameter>_prior_sd``.

    Raises
    ------
    ValueError
        If the arrays are not equally long.
    """

    id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    group_id: np.ndarray
    iter_detected: np.ndarray
    flags: np.ndarray
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths."""
        shapes = {name: np.shape(column) for name, column in self.columns().items()}
        if set(shapes.values()) != {(len(self),)}:
            raise ValueError(f"columns of a catalog must be equally long, found shapes {shapes}")

    def __len__(self) -> int:
        """Number of sources."""
        return len(self.x)

    @property
    def priors(self) -> dict[str, np.ndarray]:
        """Prior columns."""
        return {name: column for name, column in self.extra.items() if _PRIOR.fullmatch(name)}

    def start_shape(self, name: str, default: float) -> np.ndarray:
        """Return where each source's shape starts: its own start, or the default."""
        own = self.extra.get(f"{name}_0")
        if own is None:
            return np.full(len(self), default)
        return np.where(np.isnan(own), default, own)

    def columns(self) -> dict[str, np.ndarray]:
        """Name and array of every column, the extra ones last."""
        own = {item.name: getattr(self, item.name) for item in fields(self)[:-1]}
        return own | dict(self.extra)

    def select(self, index) -> Catalog:
        """Return the rows at the indices, or where a boolean array is True, as a new catalog."""
        return self._from_columns(
            {name: column[index] for name, column in self.columns().items()},
        )

    @classmethod
    def concatenate(cls, catalogs: Iterable[Catalog]) -> Catalog:
        """
        Join catalogs in the order given; an extra column that one lacks is NaN there.

        Examples
        --------
        >>> from bayesphot.catalog import Catalog, build_catalog
        >>> len(Catalog.concatenate([build_catalog([1.0], [2.0]), build_catalog([], [])]))
        1
        """
        parts = list(catalogs)
        if not parts:
            return build_catalog([], [])
        names = dict.fromkeys(name for part in parts for name in part.columns())
        return cls._from_columns(
            {
                name: np.concatenate(
                    [part.columns().get(name, np.full(len(part), np.nan)) for part in parts]
                )
                for name in names
            }
        )

    @classmethod
    def _from_columns(cls, columns: dict[str, np.ndarray]) -> Catalog:
        """Catalog of its own columns, all others extra."""
        own = {item.name: columns.pop(item.name) for item in fields(cls)[:-1]}
        return cls(**own, extra=columns)


def build_catalog(
    x,
    y,
    *,
    flux=None,
    id=None,
    group_id=None,
    iter_detected: int = 1,
    flags=None,
    extra: Mapping[str, np.ndarray] | None = None,
) -> Catalog:
    """
    Make a catalog from positions; what is not given gets its value for unknown.

    Parameters
    ----------
    x, y : array_like of float (n,)
        Positions in pixels.
    flux : array_like of float (n,), optional
        Start values; NaN if not given.
    id : array_like of int (n,), optional
        Identification; 1 to n if not given.
    group_id : array_like of int (n,), optional
        Group; -1 if not given.
    iter_detected : int
        Iteration of all rows.
    flags : array_like of int (n,), optional
        Flags; 0 if not given.
    extra : mapping of str to array_like of float (n,), optional
        Columns that travel along.

    Returns
    -------
    Catalog
        New arrays.

    Examples
    --------
    >>> from bayesphot.catalog import build_catalog
    >>> build_catalog([3.0, 4.0], [1.0, 2.0]).id
    array([1, 2])
    """
    x = np.array(x, dtype=np.float64)
    n_sources = x.size
    return Catalog(
        id=np.array(np.arange(1, n_sources + 1) if id is None else id, dtype=np.int64),
        x=x,
        y=np.array(y, dtype=np.float64),
        flux=np.array(np.full(n_sources, np.nan) if flux is None else flux, dtype=np.float64),
        group_id=np.array(
            np.full(n_sources, UNKNOWN_GROUP) if group_id is None else group_id, dtype=np.int64
        ),
        iter_detected=np.full(n_sources, iter_detected, dtype=np.int64),
        flags=np.array(np.zeros(n_sources) if flags is None else flags, dtype=np.int64),
        extra={name: np.array(column, dtype=float) for name, column in (extra or {}).items()},
    )


def read_positions(
    positions,
    *,
    shape: tuple[int, int] | None = None,
    unit=None,
    shape_names: tuple[str, ...] = ("sigma",),
) -> Catalog:
    """
    Read a user's table of positions.

    Parameters
    ----------
    positions : `~astropy.table.Table`, mapping, structured array or data frame
        Columns ``x_0`` and ``y_0``, and optionally ``flux_0``, ``id`` (integers), ``group_id``
        (integers, gaps allowed, -1 for unknown), the start ``<shape>_0`` of a shape and
        ``<parameter>_prior_mean``, ``<parameter>_prior_sd``. Other spellings of position, in
        order of preference after ``x_0``: ``x_init``, ``xcentroid``, ``x_centroid``, ``x_fit``,
        ``x_peak``, ``x``, ``x_mean``, ``x0``, ``xinit``, ``xfit``, ``xpeak``, ``xcen``,
        ``x_cen``, ``xpos``, ``x_pos``; of flux after ``flux_0``: ``flux_init``, ``flux``,
        ``flux_fit``; of a shape: ``<shape>_init``. Case does not matter. Other columns are ignored.
    shape : (int, int), optional
        Shape (ny, nx) of the image: rows outside are flagged.
    unit : `~astropy.units.Unit`, optional
        Unit of the image. A flux with a unit is converted to it (or to unit times pixel).
    shape_names : tuple of str
        Shape parameters of the PSF.

    Returns
    -------
    Catalog
        One row for each row of the table, in its order. Rows with a NaN, infinite or masked
        position carry ``NO_POSITION``, those outside the image ``OFF_IMAGE``, and those at
        exactly the position of an earlier row ``DUPLICATE``.

    Raises
    ------
    TypeError
        If `positions` is not a table, or a column does not hold numbers.
    ValueError
        If columns are missing or differ in length, an id occurs twice, a unit does not fit, or
        a start of a shape is infinite, or a column names a prior in another way.

    Examples
    --------
    >>> from bayesphot.catalog import read_positions
    >>> read_positions({"x_init": [3.0, 99.0], "y_init": [4.0, 4.0]}, shape=(10, 10)).flags
    array([0, 2])
    """
    names = list_names(positions)
    _refuse_misspelt_priors(names.values())
    x, y = _read_xy(positions, names)
    n_sources = len(x)

    def read(spellings, wanted_unit):
        name = find_name(names, spellings)
        if name is None:
            return None
        return read_floats(positions, name, units=wanted_unit, n_rows=n_sources)

    groups = read_integers(positions, names, key="group_id", n_rows=n_sources)
    catalog = build_catalog(
        x,
        y,
        flux=_forget_infinite(read(FLUX_SPELLINGS, _flux_units(unit))),
        id=_read_ids(positions, names, n_sources),
        group_id=groups and groups[0],
        extra=_read_shapes(read, shape_names)
        | {
            name.lower(): read(
                (name.lower(),), _flux_units(unit) if name.lower()[:5] == "flux_" else _PIXELS
            )
            for name in names.values()
            if _PRIOR.fullmatch(name)
        },
    )
    return replace(catalog, flags=_flag_positions(x, y, shape))


def _refuse_misspelt_priors(names) -> None:
    """Raise ValueError for a column that seems to be a prior, and would be ignored."""
    for name in names:
        if _LIKE_PRIOR.search(name) and not _PRIOR.fullmatch(name):
            raise ValueError(
                f"no prior column {name!r}: priors of single sources are <parameter>_prior_mean "
                "and <parameter>_prior_sd, e.g. flux_prior_mean and flux_prior_sd"
            )


def translate_columns(table) -> dict[str, np.ndarray]:
    """
    Return position, and flux if there is one, of a finder's table under one name each.

    Parameters
    ----------
    table : `~astropy.table.Table`, mapping, structured array or data frame
        Spellings as for `read_positions`.

    Returns
    -------
    dict of str to ndarray of float (n,)
        Keys ``"x"``, ``"y"`` and, if the table has it, ``"flux"`` (the number; a unit is
        dropped). Masked elements are NaN.

    Raises
    ------
    TypeError, ValueError
        As `read_positions`.

    Examples
    --------
    >>> from bayesphot.catalog import translate_columns
    >>> sorted(translate_columns({"xcentroid": [3.0], "ycentroid": [4.0], "peak": [9.0]}))
    ['x', 'y']
    """
    names = list_names(table)
    x, y = _read_xy(table, names)
    columns = {"x": x, "y": y}
    flux_name = find_name(names, FLUX_SPELLINGS)
    if flux_name is not None:
        columns["flux"] = read_floats(table, flux_name, n_rows=len(x))
    return columns


def sort_order(catalog: Catalog) -> np.ndarray:
    """
    Return the index that sorts rows by x, y, flux and id: the same for any order of the input.

    Examples
    --------
    >>> from bayesphot.catalog import build_catalog, sort_order
    >>> sort_order(build_catalog([5.0, 1.0, 1.0], [0.0, 2.0, 1.0]))
    array([2, 1, 0])
    """
    return np.lexsort((catalog.id, catalog.flux, catalog.y, catalog.x))


def _read_xy(positions, names: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the first spelling of which the table has both x and y."""
    for x_name in POSITION_SPELLINGS:
        y_name = x_name.replace("x", "y")
        if x_name in names and y_name in names:
            x = read_floats(positions, names[x_name], units=_PIXELS)
            return x, read_floats(positions, names[y_name], units=_PIXELS, n_rows=len(x))
    raise ValueError(
        "positions must have columns for x and y, spelled x_0 and y_0 (or, with the same ending "
        f"for y, {', '.join(POSITION_SPELLINGS[1:])}), or ra and dec, "
        f"found {', '.join(names.values()) or 'none'}"
    )


def _flux_units(unit) -> tuple:
    """Units a flux may have: that of the image, alone or times pixel."""
    unit = u.dimensionless_unscaled if unit is None else u.Unit(unit)
    return unit, unit * u.pix


def _forget_infinite(flux: np.ndarray | None) -> np.ndarray | None:
    """An infinite start value is as good as none."""
    return None if flux is None else np.where(np.isfinite(flux), flux, np.nan)


def _read_shapes(read, shape_names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Starts of the shapes that are given: positive (an angle: finite), or NaN for unknown."""
    starts = {}
    for name in shape_names:
        is_angle = name == "theta"
        units = (u.deg, u.dimensionless_unscaled) if is_angle else _PIXELS
        column = read((f"{name}_0", f"{name}_init"), units)
        if column is None:
            continue
        wrong = np.flatnonzero(np.isinf(column) | ((column <= 0) & (not is_angle)))
        if wrong.size:
            must = "finite" if is_angle else "positive and finite"
            raise ValueError(f"{name}_0 must be {must}, found {column[wrong[0]]} in row {wrong[0]}")
        starts[f"{name}_0"] = column
    return starts


def _read_ids(positions, names, n_rows: int) -> np.ndarray | None:
    """Unique ids; rows without one get the next numbers after the largest."""
    column = read_integers(positions, names, key="id", n_rows=n_rows)
    if column is None:
        return None
    ids, missing = column
    values, counts = np.unique(ids[~missing], return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"id must be unique, found {values[counts > 1][0]} more than once")
    largest = max(values.max(initial=0), 0)
    ids[missing] = largest + 1 + np.arange(np.count_nonzero(missing))
    return ids


def _flag_positions(x: np.ndarray, y: np.ndarray, shape) -> np.ndarray:
    """Flags of positions that cannot be measured."""
    flags = np.zeros(len(x), dtype=np.int64)
    known = np.isfinite(x) & np.isfinite(y)
    flags[~known] |= Flag.NO_POSITION
    if shape is not None:
        n_y, n_x = shape
        # Half-open, so that every position inside belongs to one pixel.
        inside = (x >= -0.5) & (x < n_x - 0.5) & (y >= -0.5) & (y < n_y - 0.5)
        flags[known & ~inside] |= Flag.OFF_IMAGE
    rows = np.flatnonzero(known)
    # The sort is stable: of equal positions the earliest row comes first.
    order = rows[np.lexsort((y[rows], x[rows]))]
    repeated = (np.diff(x[order]) == 0) & (np.diff(y[order]) == 0)
    flags[order[1:][repeated]] |= Flag.DUPLICATE
    return flags
