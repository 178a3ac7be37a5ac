"""The noise of an image beyond its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.structs import INFLATED, NORMAL_NOISE, SCALED_NOISE
from bayesphot.noise.model import NoiseModel

__all__ = ["PixelNoise"]


@dataclass(frozen=True, eq=False)
class PixelNoise:
    """The noise of an image beyond its weights.

    Parameters
    ----------
    model : noise model or None
        None: normal noise, of which the weights say all.
    known : (ny, nx) array or None
        What the model's likelihood needs of each pixel.
    data, weight : (ny, nx) arrays or None
        The data and the fit's weights, where those of the normal approximation are others.
    """

    model: NoiseModel | None = None
    known: np.ndarray | None = None
    data: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def kind(self) -> int:
        """Noise kind of `bayesphot.kernels.structs`."""
        if self.model is None:
            return NORMAL_NOISE
        if self.is_inflated and self.model.kind == NORMAL_NOISE:
            return SCALED_NOISE
        return self.model.kind

    @property
    def has_outliers(self) -> bool:
        """Whether weights depend on what a model takes for outliers."""
        return self.model is not None and self.model.has_outliers

    def scale_weights(self, weight: np.ndarray) -> np.ndarray:
        """Return the weights (ny, nx) of good pixels before any of them is taken for an outlier."""
        if not self.has_outliers or self.known is None:
            return weight
        return np.where(weight > 0.0, self.known, 0.0)

    @property
    def is_inflated(self) -> bool:
        """Whether the scale of the noise is sampled."""
        return self.model is not None and self.model.inflation is not None

    @property
    def light_variance(self) -> float:
        """Variance that one unit of light adds to that of a pixel; 0 where that is not known."""
        return 0.0 if self.model is None else self.model.light_variance

    @property
    def correlation(self) -> float:
        """Factor on the noise of the pixels."""
        return 1.0 if self.model is None else self.model.correlation

    @property
    def numbers(self) -> np.ndarray:
        """The (4,) numbers of the kind."""
        if self.model is None:
            return np.zeros(4)
        numbers = self.model.numbers()
        numbers[INFLATED] = float(self.is_inflated)
        return numbers

    def expand(
        self, data: np.ndarray, mean: np.ndarray, scale: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return pseudo-data and weights whose normal has the likelihood's slope and curvature.

        About the expected values m the log likelihood of a pixel is
        g (v - m) - w (v - m)^2 / 2 + ..., with g its slope and w minus its curvature: a normal
        of weight w about m + g / w.

        Parameters
        ----------
        data, mean : (ny, nx) arrays
            Data and expected values, both less the reference sky.
        scale : (ny, nx) array or float
            Factor on the noise.

        Raises
        ------
        ValueError
            For normal noise, which is its own expansion.
        """
        if self.model is None or self.known is None:
            raise ValueError("normal noise needs no expansion")
        slope, curvature, floor = self.model.expand(data - mean, mean, self.known, scale)
        weight = np.maximum(curvature, floor)
        return mean + slope / weight, weight
