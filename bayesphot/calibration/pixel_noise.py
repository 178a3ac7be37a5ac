"""Pixels that scatter about the expected light as a noise model says."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesphot.noise import ContaminatedGaussian, PoissonNoise, StudentTNoise

__all__ = ["scatter_pixels"]


def scatter_pixels(
    mean: np.ndarray, noise: Any, error: float | None, random: np.random.Generator
) -> np.ndarray:
    """Return an image drawn from the likelihood of a noise model.

    Parameters
    ----------
    mean : ndarray, (ny, nx)
        Expected light, sky included, in data units.
    noise : noise model or None
        None: normal noise.
    error : float or None
        Scale of the models that take one.
    random : Generator
        Where the randomness comes from.

    Raises
    ------
    ValueError
        If counts are asked for where the expected light is negative.
    """
    if isinstance(noise, PoissonNoise):
        if np.any(mean < 0.0):
            y, x = (int(i) for i in np.argwhere(mean < 0.0)[0])
            raise ValueError(
                "PoissonNoise needs expected counts >= 0 in every pixel: give flux and background "
                f"priors without negative values, found {mean[y, x]:g} at (y, x) = ({y}, {x})"
            )
        return random.poisson(mean).astype(np.float64)
    if noise is not None and not noise.takes_error:
        # A CCD's variance hangs on the expected light alone.
        sd = np.sqrt(noise.variance(np.zeros_like(mean), mean, 0.0))
        return random.normal(mean, sd)
    if error is None:
        raise ValueError(f"error must be given where noise is {noise!r}")
    if noise is not None:
        error *= noise.correlation
    if isinstance(noise, StudentTNoise):
        return mean + error * random.standard_t(noise.dof, mean.shape)
    if isinstance(noise, ContaminatedGaussian):
        wide = np.where(random.random(mean.shape) < noise.fraction, noise.width, 1.0)
        return mean + error * wide * random.standard_normal(mean.shape)
    return random.normal(mean, error)
