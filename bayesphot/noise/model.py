"""What every noise model knows of a pixel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from bayesphot.checks import check_number, refuse_class

__all__ = ["LARGEST", "LOG_SCALES", "NoiseModel", "check_within"]

#: Logarithms of a factor on the noise between which it is looked for.
LOG_SCALES = (-12.0, 12.0)
#: Widths of a log-normal about its median that hold all of it but 6e-5.
_REACH = 4.0
#: What a gain, a read noise or a width may be: their squares are numbers, too.
LARGEST = 1e30


def check_within(name: str, number: float, low: float = 0.0, high: float = LARGEST) -> None:
    """Raise ValueError for a number out of bounds."""
    if not low <= number <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, found {number!r}")


@dataclass(frozen=True, kw_only=True)
class NoiseModel(ABC):
    """What a noise model knows of a pixel; images are in data units.

    The least squares works with a normal of ``variance()``, renewed with the model of the scene.
    The sampling proposes from the normal that has the likelihood's slope and curvature
    (``expand()``), and corrects by the exact likelihood of ``kind``, with ``numbers()`` and what is
    ``known()`` of each pixel: `bayesphot.kernels.noise.split_pixel_likelihood`.
    """

    inflation: Any = None
    correlation: float = 1.0

    kind: ClassVar[int]
    #: Refits with a variance renewed from the model until it has settled.
    renewals: ClassVar[int] = 0
    #: Whether the scale of a pixel is the ``error`` of the call.
    takes_error: ClassVar[bool] = False
    #: Whether single pixels may lie anywhere: ``known`` is then 1 / scale^2.
    has_outliers: ClassVar[bool] = False

    def __repr__(self) -> str:
        """Show the arguments, the two factors only where they do something."""
        given = [(item, getattr(self, item.name)) for item in fields(self)]
        own = [f"{item.name}={value!r}" for item, value in given if not item.kw_only]
        own += [
            f"{item.name}={value!r}"
            for item, value in given
            if item.kw_only and value != item.default
        ]
        shown = ", ".join(own)
        return f"{type(self).__name__}({shown})"

    @property
    def light_variance(self) -> float:
        """Variance that one unit of light adds to that of a pixel; 0 where that is not known."""
        return 0.0

    def numbers(self) -> np.ndarray:
        """Return the (4,) numbers of the kind."""
        return np.zeros(4)

    @abstractmethod
    def known(self, sky: np.ndarray, scale2: np.ndarray) -> np.ndarray:
        """Return (ny, nx) what the likelihood needs of each pixel.

        ``sky`` is the reference that was taken out of the data, ``scale2`` the squared scale, or
        what is added to a variance that the model itself knows.
        """

    @abstractmethod
    def variance(self, residual: np.ndarray, mean: np.ndarray, scale2) -> np.ndarray:
        """Return the variance of the normal that stands for the model near its optimum.

        ``residual`` is data less model, ``mean`` the model with its sky; ``scale2`` as above.
        """

    def log_norm(self, data: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the log likelihood's part that depends on each pixel's data alone.

        ``data`` are less the reference sky, ``known`` as by ``known()``.
        """
        return 0.5 * np.log(known / (2.0 * np.pi))

    @abstractmethod
    def expand(self, residual: np.ndarray, mean: np.ndarray, known: np.ndarray, scale=1.0):
        """Return slope and minus curvature of the log likelihood by the mean, and its floor.

        ``mean`` is less the reference sky, ``scale`` a factor on the noise; curvatures are not let
        below the floor.
        """

    def pull(self, residual, mean, known, scale) -> np.ndarray:
        """Return 1 plus the slope of each pixel's log likelihood by the log of the scale."""
        slope, _, _ = self.expand(residual, mean, known, scale)
        return residual * slope

    def __post_init__(self) -> None:
        check_number("correlation", self.correlation, least=1.0)
        prior = self.inflation
        if prior is None:
            return
        refuse_class("inflation", prior)
        if not (hasattr(prior, "whole") and hasattr(prior, "support")):
            raise TypeError(
                "inflation must be a distribution such as LogNormal(1, 0.3), or None, "
                f"found {prior!r}"
            )
        if not (prior.is_proper and prior.support()[0] >= 0.0):
            raise ValueError(
                "inflation must be a proper distribution of positive numbers such as "
                f"LogNormal(1, 0.3), found {prior!r}"
            )
        least, most = np.exp(LOG_SCALES)
        low, high = _find_extent(prior)
        if low >= most or high <= least:
            raise ValueError(
                f"inflation must be a distribution of factors between {least:.2g} and {most:.2g}, "
                f"where they are looked for, found {prior!r}"
            )


def _find_extent(prior: Any) -> tuple[float, float]:
    """Return between which values a distribution lies: its support, or nearly all of it."""
    if not hasattr(prior, "median"):
        return prior.support()
    reach = np.exp(_REACH * prior.width)
    return prior.median / reach, prior.median * reach
