"""Stars with photon noise on a small image: what the tests of companions search."""

from __future__ import annotations

import numpy as np

import bayesphot as bp

SIGMA = 1.5
FWHM = 2.3548 * SIGMA
SKY = 100.0
SIDE = 41
MODEL = bp.IntegratedGaussianPRF(sigma=SIGMA)
ROW, COLUMN = np.mgrid[:SIDE, :SIDE].astype(float)


def render(x: float, y: float, flux: float) -> np.ndarray:
    """Return the light of a star."""
    return MODEL.evaluate(COLUMN, ROW, flux, x, y, SIGMA)


def simulate(*sources, seed: int):
    """Return image and error of sources (x, y, flux) with photon noise."""
    image = SKY + sum(render(*source) for source in sources)
    error = np.sqrt(image)
    return image + np.random.default_rng(seed).normal(0.0, error), error
