"""One way to call every finder: ours, photutils' and any callable that returns a table."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from astropy import units as u

from bayesphot.catalog import translate_columns
from bayesphot.columns import find_name, list_names, read_floats
from bayesphot.detection.detections import Detections
from bayesphot.detection.frame import read_frame


def find_sources(
    finder: Any, data: Any, *, noise: Any = None, mask: Any = None, model: Any = None, unit=None
) -> Detections:
    """
    Run any finder on the residual of a scene.

    Parameters
    ----------
    finder : object or callable
        One with a method ``find(data, *, noise, mask, model) -> Detections``, such as
        `DAOStarFinder`, sees the whole scene. Anything else, photutils' finders among them, is
        called as ``finder(data, mask=...)``, or ``finder(data)`` if it takes no mask, on a copy
        of the data with zeros on the bad pixels; it returns a table or None.
    data : array-like or Quantity (ny, nx)
        Image minus sky minus the model of the stars known so far.
    noise : float or ndarray (ny, nx), optional
        Standard deviation of each pixel.
    mask : array-like of bool (ny, nx), optional
        True where the pixel is bad.
    model : ndarray (ny, nx), optional
        The model already subtracted.
    unit : UnitBase, optional
        Unit of data that have none of their own, for finders whose threshold has one.

    Returns
    -------
    Detections
        The finder's sources in its order, without those of non-finite position. Fields that a
        foreign finder does not give are NaN.

    Raises
    ------
    TypeError
        If the finder cannot be called or returns neither a table nor None.
    ValueError
        If its table has no positions, or its threshold a unit that is not the data's.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.detection import find_sources
    >>> len(find_sources(lambda data: None, np.zeros((5, 5))))
    0
    """
    if not callable(finder):
        raise TypeError(f"finder must be callable, found {finder!r}")
    data = _add_unit(finder, data, unit)
    if callable(getattr(finder, "find", None)):
        result = finder.find(data, noise=noise, mask=mask, model=model)
    else:
        with _silence_no_detections():
            result = _call_foreign(finder, data, mask)
    found = _read_result(result, finder)
    return found.select(np.isfinite(found.x) & np.isfinite(found.y))


def _add_unit(finder: Any, data: Any, unit: u.UnitBase | None) -> Any:
    """Return the data as the finder's threshold wants them: with a unit if it has one."""
    threshold = getattr(finder, "threshold", None)
    if not isinstance(threshold, u.Quantity) or isinstance(data, u.Quantity):
        return data
    if unit is None:
        raise ValueError(
            f"finder.threshold has the unit {threshold.unit}, but the image has none: give a "
            "threshold without a unit, or the image as a Quantity"
        )
    if not threshold.unit.is_equivalent(unit):
        raise ValueError(
            f"finder.threshold must be in the unit of the image, {unit}, found {threshold.unit}"
        )
    return (data * unit).to(threshold.unit)


def _call_foreign(finder: Callable, data: Any, mask: Any) -> Any:
    """The finder's answer on its own copy of the data, with the mask if it takes one."""
    frame = read_frame(data, mask)
    image = frame.data if frame.unit is None else frame.data * frame.unit
    bad = None if frame.good.all() else ~frame.good
    if _takes_mask(finder):
        return finder(image, mask=bad)
    return finder(image)


def _takes_mask(finder: Callable) -> bool:
    """Whether the callable can be given ``mask=``."""
    try:
        parameters = inspect.signature(finder).parameters.values()
    except (TypeError, ValueError):
        # Compiled callables may have no signature; the data alone is what all of them take.
        return False
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (parameter.name == "mask" and parameter.kind is not parameter.POSITIONAL_ONLY)
        for parameter in parameters
    )


@contextmanager
def _silence_no_detections() -> Iterator[None]:
    """Ignore photutils' warning that nothing was found: empty detections say it."""
    exceptions = sys.modules.get("photutils.utils.exceptions")
    with warnings.catch_warnings():
        if exceptions is not None:
            warnings.simplefilter("ignore", exceptions.NoDetectionsWarning)
        yield


def _read_result(result: Any, finder: Any) -> Detections:
    """Detections from whatever a finder may return."""
    if result is None:
        return Detections.empty()
    if isinstance(result, Detections):
        return result
    try:
        names = list_names(result)
    except TypeError:
        raise TypeError(
            f"finder must return a table or None, but {finder!r} returned "
            f"{type(result).__name__}: {result!r}"
        ) from None
    try:
        columns = translate_columns(result)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"table of finder {finder!r}: {problem}") from None
    n_rows = len(columns["x"])
    return Detections(
        x=columns["x"],
        y=columns["y"],
        flux=columns.get("flux", np.full(n_rows, np.nan)),
        peak=_read_column(result, names, ("peak",), n_rows=n_rows),
        sharpness=_read_column(result, names, ("sharpness",), n_rows=n_rows),
        roundness=_read_column(result, names, ("roundness", "roundness2"), n_rows=n_rows),
    )


def _read_column(
    table: Any, names: dict[str, str], spellings: tuple[str, ...], *, n_rows: int
) -> np.ndarray:
    """The first column there is of these, as plain numbers; NaN if there is none."""
    name = find_name(names, spellings)
    return np.full(n_rows, np.nan) if name is None else read_floats(table, name, n_rows=n_rows)
