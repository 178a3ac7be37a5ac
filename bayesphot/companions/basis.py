"""Inner products of a stamp: of the target's polynomial, what else is free, and companions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.companions.moving import MovingImage, render_units
from bayesphot.companions.stamp import Stamp
from bayesphot.kernels.structs import SHAPE

__all__ = ["Basis", "Crossed", "cross_places", "make_basis"]


@dataclass(frozen=True, eq=False)
class Basis:
    """Inner products of a stamp's rows: the target's N_TERM, then the linear columns.

    ``rows`` (K, P) are weighted by the square root of W, ``data`` (P,) too; ``gram`` (K, K),
    ``dot`` (K,) with the data, ``total`` of the data with themselves. ``place`` holds the mean in
    units of the polynomial's half side, and the precision, of the normal prior of the target's u
    and v; ``precision`` (K - N_TERM,) of the linear parameters.
    """

    stamp: Stamp
    moving: MovingImage
    rows: np.ndarray
    data: np.ndarray
    gram: np.ndarray
    dot: np.ndarray
    total: float
    place: tuple[float, float, float]
    precision: np.ndarray

    def change_data(self, data: np.ndarray) -> Basis:
        """Return the inner products with other weighted data (P,)."""
        return replace(self, data=data, dot=self.rows @ data, total=float(data @ data))


@dataclass(frozen=True, eq=False)
class Crossed:
    """Companions at M places: weighted ``light`` (M, P), and its products with the rows of a basis,
    ``cross`` (M, K), with itself, ``own`` (M,), and with the data, ``dot`` (M,).
    """

    light: np.ndarray
    cross: np.ndarray
    own: np.ndarray
    dot: np.ndarray

    def change_data(self, data: np.ndarray) -> Crossed:
        """Return the products with other weighted data (P,)."""
        return replace(self, dot=self.light @ data)


def make_basis(stamp: Stamp, anchor, half: float, place_sd: float) -> Basis:
    """Return the inner products of a stamp with the target expanded about an anchor.

    Parameters
    ----------
    stamp : Stamp
        The pixels.
    anchor : (float, float)
        x and y, image pixels.
    half : float
        Half side of the square on which the expansion holds, pixels.
    place_sd : float
        Of the normal prior of the target's x and of its y about the stamp's start, pixels.
    """
    moving = MovingImage.expand(stamp.psf, anchor, half, stamp.window, stamp.target[SHAPE:])
    root = np.sqrt(stamp.weight)
    rows = np.concatenate([moving.images, stamp.columns]) * root
    data = stamp.data * root
    mean = (np.array(stamp.start) - anchor) / half
    place = (float(mean[0]), float(mean[1]), (half / place_sd) ** 2)
    return Basis(
        stamp, moving, rows, data, rows @ rows.T, rows @ data, float(data @ data), place,
        stamp.precision,
    )  # fmt: skip


def cross_places(basis: Basis, x: np.ndarray, y: np.ndarray) -> Crossed:
    """Return the inner products of companions at places that fit into memory together."""
    stamp = basis.stamp
    light = render_units(
        stamp.psf.data, np.column_stack([x, y]), stamp.window, stamp.target[SHAPE:]
    )
    light *= np.sqrt(stamp.weight)
    own = np.einsum("mp,mp->m", light, light)
    return Crossed(light, light @ basis.rows.T, own, light @ basis.data)
