"""An astropy model whose shape is free, as a family of tables: one for each of its shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesphot.psf.adapter import describe_values, find_roles, is_sampled, list_free, tabulate
from bayesphot.psf.describe import is_other
from bayesphot.psf.model import PSFConfig

__all__ = ["FittedShapes", "ShapeColumns", "ShapeFamily", "list_foreign", "read_family"]

#: What an angle is called; any other shape is a length or a power, and positive.
_ANGLE = re.compile(r"(theta|phi)(_\d+)?")
#: Half the step of the central difference by a shape, in its column: it errs by a millionth.
STEP = 1e-3
#: A derivative under this share of the peak says nothing of its shape.
NOTHING = 1e-4


@dataclass(frozen=True, eq=False)
class ShapeColumns:
    """
    Free shapes and the columns in which they are stepped, as those of this package's kinds.

    Attributes
    ----------
    names : tuple of str
        Names of the free shapes.
    start : ndarray of float (J,)
        Their values at the start.
    scale : ndarray of float (J,)
        Units of an angle to a radian, its column; NaN for a length or power, whose column is ln.
    """

    names: tuple[str, ...]
    start: np.ndarray
    scale: np.ndarray

    @property
    def columns_start(self) -> np.ndarray:
        """Columns (J,) of the start."""
        length = np.isnan(self.scale)
        return np.where(length, np.log(np.where(length, self.start, 1.0)), self.start / self.scale)

    def read_columns(self, column: np.ndarray) -> np.ndarray:
        """Return values (..., J) of the shapes from their columns."""
        return np.where(np.isnan(self.scale), np.exp(column), column * self.scale)

    def find_slopes(self, column: np.ndarray) -> np.ndarray:
        """Return d shape / d column (..., J)."""
        return np.where(np.isnan(self.scale), np.exp(column), self.scale)


@dataclass(frozen=True, eq=False)
class ShapeFamily:
    """The PSFs that a model, its shapes held fixed, makes as these change."""

    model: Any
    columns: ShapeColumns

    def make_model(self, column: np.ndarray) -> Any:
        """Return the model of some shapes, what is tied to them too."""
        model = self.model.copy()
        values = self.columns.read_columns(column)
        for name, value in zip(self.columns.names, values, strict=True):
            getattr(model, name).value = float(value)
        for name in model.param_names:
            if model.tied[name]:
                setattr(model, name, model.tied[name](model))
        return model

    def describe_start(self) -> PSFConfig:
        """Return what the fits need of the model as it was given."""
        return self.describe(self.columns.columns_start)

    def describe(self, column: np.ndarray) -> PSFConfig:
        """Return what the fits need of the model of some shapes."""
        return describe_values(self.make_model(column))

    def find_modes(self, column: np.ndarray) -> tuple[np.ndarray, int]:
        """Return d PSF / d column, images (J, side, side) at unit flux, and values to a pixel.

        A model without a flux is brought to a total of 1 at each shape, as its table is.
        """
        step, middle = tabulate(self.make_model(column))
        modes = []
        for move in STEP * np.eye(column.size):
            high, low = (
                tabulate(self.make_model(column + side), like=(step, len(middle)))[1]
                for side in (move, -move)
            )
            modes.append((high - low) / (2.0 * STEP))
        return np.stack(modes), step


@dataclass(frozen=True, eq=False)
class FittedShapes:
    """
    What the stars of an image say of the shapes of a family.

    Attributes
    ----------
    columns : ShapeColumns
        The shapes.
    table : ndarray of float (J,)
        Columns of the shapes that the table of the fits has.
    factor : ndarray of float (J, J)
        Columns are ``table + factor @ a``, where a are the amplitudes of the PSF's modes.
    mean, covariance : ndarrays of float (J,), (J, J)
        The normal posterior of the columns.
    """

    columns: ShapeColumns
    table: np.ndarray
    factor: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """Values (J,) of the shapes at the mean."""
        return self.columns.read_columns(self.mean)

    @property
    def error(self) -> np.ndarray:
        """Standard deviations (J,) of the shapes."""
        return np.sqrt(np.diag(self.covariance)) * self.columns.find_slopes(self.mean)

    def find_quantiles(self, deviate: float) -> np.ndarray:
        """Return values (J,) that lie so many standard deviations of the columns off."""
        return self.columns.read_columns(self.mean + deviate * np.sqrt(np.diag(self.covariance)))

    def read_amplitudes(self, amplitude: np.ndarray) -> np.ndarray:
        """Return values (..., J) of the shapes from amplitudes (..., J) of the modes."""
        return self.columns.read_columns(self.table + amplitude @ self.factor.T)


def list_foreign(model) -> tuple[str, ...]:
    """Return the free shapes of a model that is none of this package's."""
    if not is_other(model) or is_sampled(model):
        return ()
    return list_free(model, find_roles(model))


def read_family(model) -> ShapeFamily | None:
    """
    Return the family of a model that is none of this package's and has a free shape; else None.

    Raises
    ------
    TypeError
        If it is no model of a source in x and y.
    ValueError
        If a free shape is neither an angle nor positive, or changes nothing at its start.
    """
    names = list_foreign(model)
    if not names:
        return None
    held = model.copy()
    start = []
    for name in names:
        held.fixed[name] = True
        value = float(np.ravel(getattr(held, name).value)[0])
        if not _ANGLE.fullmatch(name) and not (np.isfinite(value) and value > 0.0):
            raise ValueError(
                f"psf_model.{name} is free and must start above 0, found {value:g}: ln({name}) is "
                "what is fitted"
            )
        start.append(value)
    scale = np.array(
        [_find_radian(held, name) if _ANGLE.fullmatch(name) else np.nan for name in names]
    )
    columns = ShapeColumns(names, np.array(start), scale)
    family = ShapeFamily(held, columns)
    modes, _ = family.find_modes(columns.columns_start)
    peak = np.abs(tabulate(held)[1]).max()
    for name, value, mode in zip(names, start, modes, strict=True):
        if not np.abs(mode).max() > NOTHING * peak:
            raise ValueError(
                f"psf_model.{name} is free and changes nothing at its start, {value:g}: start "
                "where it does (an angle from unequal widths), or set "
                f"psf_model.{name}.fixed = True"
            )
    return family


def _find_radian(model, name: str) -> float:
    """Return the units of an angle to a radian: by its unit, or by what half a turn changes."""
    unit = getattr(model, name).unit
    if unit is not None:
        return float(1.0 / unit.to("rad"))
    # Off the axes, where half a turn of any other unit shows.
    images = []
    for turn in (0.4, 0.4 + np.pi):
        turned = model.copy()
        getattr(turned, name).value = turn
        images.append(tabulate(turned, like=(2, 33))[1])
    same = np.abs(images[0] - images[1]).max() < NOTHING * np.abs(images[0]).max()
    return 1.0 if same else float(np.rad2deg(1.0))
