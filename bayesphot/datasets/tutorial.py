"""The made-up images of photutils' first PSF photometry tutorial, to the last digit."""

from __future__ import annotations

import numpy as np

from bayesphot.checks import check_number

from .arguments import (
    column_names,
    read_column,
    read_random_state,
    read_shape,
)
from .scene import SimulatedScene, make_truth


def make_gaussian_sources(shape, table) -> np.ndarray:
    """Return an image of elliptical Gaussians, each sampled at the pixel centres.

    The value of a pixel is the density at its centre, not the integral over the pixel:
    ``flux / (2 pi x_stddev y_stddev) exp(-u^2/(2 x_stddev^2) - v^2/(2 y_stddev^2))`` with (u, v)
    the offset from the centre along the axes of the Gaussian. For stars use `simulate_scene`.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    table : Table or mapping
        Columns ``flux`` or ``amplitude`` (peak height), ``x_mean``, ``y_mean``, ``x_stddev``,
        ``y_stddev`` in pixels and, optionally, ``theta``, the angle from the x axis to the axis
        of ``x_stddev``, counterclockwise, in radians or as a Quantity.

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        A Quantity if flux or amplitude has a unit.

    Raises
    ------
    ValueError
        If a column is missing or holds values that are not finite, or a width is not positive.

    Examples
    --------
    >>> from bayesphot import make_gaussian_sources
    >>> star = {"flux": [100.0], "x_mean": [10], "y_mean": [8], "x_stddev": [2], "y_stddev": [2]}
    >>> image = make_gaussian_sources((17, 21), star)
    >>> round(float(image[8, 10]), 4)
    3.9789
    """
    shape = read_shape(shape)
    columns = {
        name: read_column(table, name) for name in ("x_mean", "y_mean", "x_stddev", "y_stddev")
    }
    for name in ("x_stddev", "y_stddev"):
        if np.any(columns[name] <= 0):
            raise ValueError(f"{name} must be positive, found {columns[name].min()}")
    height_name = "flux" if "flux" in column_names(table) else "amplitude"
    height = read_column(table, height_name)
    if height_name == "flux":
        height = height / (2.0 * np.pi * columns["x_stddev"] * columns["y_stddev"])
    theta = np.zeros(height.size)
    if "theta" in column_names(table):
        theta = read_column(table, "theta", unit="rad")
    image = np.zeros(shape)
    y, x = np.indices(shape)
    rows = zip(height, *columns.values(), theta, strict=True)
    for peak, x_mean, y_mean, x_stddev, y_stddev, angle in rows:
        dx, dy = x - x_mean, y - y_mean
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / x_stddev
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / y_stddev
        image += peak * np.exp(-0.5 * (u**2 + v**2))
    unit = getattr(table[height_name], "unit", None)
    return image if unit is None else image * unit


def make_noise_image(
    shape, type="gaussian", *, mean=None, stddev=None, random_state=None
) -> np.ndarray:
    """Return an image of independent Gaussian or Poisson numbers.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    type : {"gaussian", "poisson"}, optional
        The distribution.
    mean : float
        Mean of either distribution. Required.
    stddev : float
        Standard deviation of the Gaussian; required for it and refused for Poisson.
    random_state : None, int, RandomState or Generator, optional
        An integer seeds numpy's legacy ``RandomState``, so that published images come out again
        to the last digit.

    Returns
    -------
    ndarray of float64, shape (ny, nx)

    Raises
    ------
    TypeError, ValueError
        If an argument is missing, of a wrong type or outside its range.

    Examples
    --------
    >>> from bayesphot import make_noise_image
    >>> make_noise_image((2, 2), "poisson", mean=6.0, random_state=1).tolist()
    [[2.0, 3.0], [7.0, 7.0]]
    """
    shape = read_shape(shape)
    random = read_random_state(random_state)
    check_number("mean", mean)
    if type == "gaussian":
        check_number("stddev", stddev, least=0.0)
        return random.normal(mean, stddev, shape)
    if type == "poisson":
        check_number("mean", mean, least=0.0)
        if stddev is not None:
            raise ValueError(f"stddev has no meaning for Poisson noise, found {stddev!r}")
        return random.poisson(mean, shape).astype(np.float64)
    raise ValueError(f"type must be 'gaussian' or 'poisson', found {type!r}")


def make_four_stars(random_state=1) -> SimulatedScene:
    """Return four overlapping stars: 32 x 32 pixels, sigma 2, fluxes 700, 800, 700, 800.

    Point-sampled Gaussians at (12, 15), (17, 15), (12, 20), (17, 20) on Poisson noise of mean 6
    plus Gaussian noise of scatter 2; the stars have no photon noise of their own.

    Parameters
    ----------
    random_state : int, RandomState or Generator, optional
        1 gives the image of photutils' first tutorial on PSF photometry. An integer seeds both
        kinds of noise anew; a generator is drawn from for one after the other.

    Returns
    -------
    SimulatedScene
        ``truth.meta`` holds the ``background`` (6) and ``sigma`` (2).

    Examples
    --------
    >>> from bayesphot.datasets import make_four_stars
    >>> round(float(make_four_stars().image.sum()), 6)
    9207.062987
    """
    return _make_tutorial_scene(
        [700.0, 800.0, 700.0, 800.0], [12, 17, 12, 17], [15, 15, 20, 20], random_state
    )


def make_bright_pair(random_state=1) -> SimulatedScene:
    """Return a star of flux 10000 and one of 1000, 5.4 pixels apart: 32 x 32 pixels, sigma 2.

    Point-sampled Gaussians at (18, 17) and (13, 19); noise and argument as in `make_four_stars`.

    Parameters
    ----------
    random_state : int, RandomState or Generator, optional
        1 gives the image of photutils' tutorial on fitting the width of the PSF.

    Returns
    -------
    SimulatedScene

    Examples
    --------
    >>> from bayesphot.datasets import make_bright_pair
    >>> round(float(make_bright_pair().image[17, 18]), 6)
    404.72032
    """
    return _make_tutorial_scene([10000.0, 1000.0], [18, 13], [17, 19], random_state)


def _make_tutorial_scene(flux, x, y, random_state) -> SimulatedScene:
    """Return point-sampled Gaussians of sigma 2 on the tutorial's noise."""
    shape, sigma, sky, scatter = (32, 32), 2.0, 6.0, 2.0
    width = [sigma] * len(flux)
    table = {"flux": flux, "x_mean": x, "y_mean": y, "x_stddev": width, "y_stddev": width}
    image = make_gaussian_sources(shape, table)
    image = image + make_noise_image(shape, "poisson", mean=sky, random_state=random_state)
    image = image + make_noise_image(
        shape, "gaussian", mean=0.0, stddev=scatter, random_state=random_state
    )
    ids = np.arange(1, len(flux) + 1, dtype=np.int64)
    x, y, flux = (np.array(values, dtype=np.float64) for values in (x, y, flux))
    truth = make_truth(ids, x, y, flux, {"background": sky, "sigma": sigma})
    return SimulatedScene(image, np.full(shape, np.sqrt(sky + scatter**2)), truth)
