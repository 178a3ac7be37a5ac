"""Small scenes and configurations that the whole-scene tests share."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from scipy.special import erf

import bayesphot as bp

SIGMA = 1.8
SKY = 20.0
NOISE = 3.0


def render_gaussians(shape, x, y, flux, sigma) -> np.ndarray:
    """Image of circular Gaussians integrated over the pixels, written down independently."""
    image = np.zeros(shape)
    rows, columns = (np.arange(n) for n in shape)
    for x_0, y_0, total, width in np.broadcast(x, y, flux, sigma):
        scale = np.sqrt(2.0) * width
        along_x = erf((columns - x_0 + 0.5) / scale) - erf((columns - x_0 - 0.5) / scale)
        along_y = erf((rows - y_0 + 0.5) / scale) - erf((rows - y_0 - 0.5) / scale)
        image += 0.25 * total * np.outer(along_y, along_x)
    return image


def make_positions(x, y, **columns) -> Table:
    """Table of starts."""
    return Table({"x_0": np.array(x, dtype=float), "y_0": np.array(y, dtype=float)} | columns)


def make_trio(seed: int = 5):
    """Image, error and starts of a pair 5 px apart and a star alone, on a sky of 20."""
    x, y = [12.3, 17.1, 31.6], [14.8, 15.9, 24.2]
    flux = [1500.0, 900.0, 1200.0]
    random = np.random.default_rng(seed)
    image = render_gaussians((36, 44), x, y, flux, SIGMA) + SKY
    image = image + random.normal(0.0, NOISE, image.shape)
    error = np.full(image.shape, NOISE)
    return image, error, make_positions(x, y, flux_0=np.array(flux) * 0.9)


def free_sigma(sigma: float = SIGMA) -> bp.IntegratedGaussianPRF:
    """A Gaussian whose width is fitted."""
    model = bp.IntegratedGaussianPRF(sigma=sigma)
    model.sigma.fixed = False
    return model


def configure(kind=bp.BasicPSFPhotometry, **changes):
    """Photometry of the trio; changes win."""
    settings = {
        "psf_model": bp.IntegratedGaussianPRF(sigma=SIGMA),
        "fitshape": (11, 11),
        "group_maker": bp.DAOGroup(8.0),
        "bkg_estimator": bp.MMMBackground(),
        "seed": 1,
    }
    return kind(**(settings | changes))


def configure_loop(**changes):
    """The iteration with a finder for the trio; changes win."""
    settings = {"finder": bp.DAOStarFinder(fwhm=2.3548 * SIGMA, nsigma=5.0), "niters": 3}
    return configure(bp.IterativelySubtractedPSFPhotometry, **(settings | changes))
