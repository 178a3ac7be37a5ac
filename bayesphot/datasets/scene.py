"""Simulated fields of stars with noise of known size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.checks import check_number

from .arguments import (
    column_names,
    read_column,
    read_pixel_values,
    read_shape,
)
from .positions import draw_positions

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(frozen=True, eq=False)
class SimulatedScene:
    """A simulated image and the truth behind it.

    Attributes
    ----------
    image : ndarray of float64, shape (ny, nx)
        Sources, background and noise.
    error : ndarray of float64, shape (ny, nx)
        True 1-sigma noise of each pixel, photon noise included; 0 in a scene without noise.
    truth : QTable
        Columns ``id``, ``x_0``, ``y_0``, ``flux``; the other ingredients in its ``meta``.
    """

    image: np.ndarray
    error: np.ndarray
    truth: QTable


def simulate_scene(
    shape,
    *,
    n_sources: int | None = None,
    sources=None,
    psf_model=None,
    sigma: float | None = None,
    flux_range: tuple[float, float] = (500.0, 5000.0),
    power_law: float | None = None,
    background=0.0,
    noise=0.0,
    gain: float | None = None,
    read_noise: float | None = None,
    min_separation: float | None = None,
    border: float = 0.0,
    seed=None,
) -> SimulatedScene:
    """Simulate an image of stars.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    n_sources : int, optional
        Number of stars with random positions and fluxes; or
    sources : Table or mapping, optional
        The stars: columns ``x_0``, ``y_0``, ``flux`` and, optionally, ``id``. Exactly one of the
        two has to be given; with ``sources``, ``min_separation``, ``border`` and ``power_law``
        are refused.
    psf_model : astropy 2-D model, optional
        With parameters ``x_0``, ``y_0`` and ``flux``, taken over the whole image; or
    sigma : float, optional
        Width in pixels of a circular Gaussian integrated over the pixels. Exactly one of the
        two has to be given.
    flux_range : tuple of float, optional
        Smallest and largest flux of random stars.
    power_law : float, optional
        Index a of dN/dflux ~ flux^-a within ``flux_range``; default uniform.
    background : float or array_like, shape (ny, nx), optional
        Sky level in the unit of the image.
    noise : float or array_like, shape (ny, nx), optional
        Scatter of Gaussian noise, in the unit of the image.
    gain : float, optional
        Electrons per unit of the image: adds the photon noise of sources and background.
    read_noise : float, optional
        In electrons, Gaussian; needs ``gain``.
    min_separation, border : float, optional
        As in `draw_positions`.
    seed : None, int or Generator, optional
        For ``numpy.random.default_rng``.

    Returns
    -------
    SimulatedScene
        ``error**2 = noise**2 + (read_noise/gain)**2 + mean/gain``, ``mean`` the image without
        noise.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or shape, is outside its range, or does not go with the
        others; if the stars do not fit (`draw_positions`); if photon noise is asked for where
        the mean is negative.

    Examples
    --------
    >>> from bayesphot import simulate_scene
    >>> scene = simulate_scene((64, 64), n_sources=10, sigma=2.0, noise=5.0, border=8, seed=1)
    >>> scene.image.shape, len(scene.truth), scene.truth.colnames
    ((64, 64), 10, ['id', 'x_0', 'y_0', 'flux'])
    """
    shape = read_shape(shape)
    if (n_sources is None) == (sources is None):
        raise ValueError("give exactly one of n_sources and sources")
    if (psf_model is None) == (sigma is None):
        raise ValueError("give exactly one of psf_model and sigma")
    if read_noise is not None and gain is None:
        raise ValueError(f"read_noise is in electrons and needs gain, found {read_noise!r} alone")
    if gain is not None:
        check_number("gain", gain, above=0.0)
    if read_noise is not None:
        check_number("read_noise", read_noise, least=0.0)
    sky = read_pixel_values("background", background, shape)
    scatter = read_pixel_values("noise", noise, shape)
    if np.any(scatter < 0):
        raise ValueError(f"noise must not be negative, found {scatter.min()}")

    random = np.random.default_rng(seed)
    if n_sources is None:
        only_random = {
            "power_law": power_law is not None,
            "min_separation": min_separation is not None,
            "border": border != 0,
        }
        given = [name for name, is_given in only_random.items() if is_given]
        if given:
            raise ValueError(f"{' and '.join(given)} cannot be combined with sources")
        ids, x, y, flux = _read_sources(sources)
    else:
        apart = 0.0 if min_separation is None else min_separation
        x, y = draw_positions(n_sources, shape, min_separation=apart, border=border, seed=random)
        flux = _draw_fluxes(n_sources, flux_range, power_law, random)
        ids = np.arange(1, n_sources + 1, dtype=np.int64)

    stars = (
        _render_gaussians(shape, x, y, flux, sigma)
        if psf_model is None
        else _render_model(shape, x, y, flux, psf_model)
    )
    image, error = _add_noise(stars + sky, scatter, gain, read_noise, random)
    meta = {
        "background": sky if sky.ndim else float(sky),
        "noise": scatter if scatter.ndim else float(scatter),
        "sigma": sigma,
        "gain": gain,
        "read_noise": read_noise,
    }
    meta = {name: value for name, value in meta.items() if value is not None}
    return SimulatedScene(image, error, make_truth(ids, x, y, flux, meta))


def make_truth(ids, x, y, flux, meta) -> QTable:
    """Return the table of what was put into a scene."""
    from astropy.table import QTable

    return QTable({"id": ids, "x_0": x, "y_0": y, "flux": flux}, meta=meta)


def _draw_fluxes(n_sources: int, flux_range, power_law, random) -> np.ndarray:
    """Draw fluxes, uniform or from a power law, by the inverse of their distribution."""
    try:
        low, high = (float(value) for value in flux_range)
    except (TypeError, ValueError):
        raise TypeError(f"flux_range must be two numbers, found {flux_range!r}") from None
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"flux_range must be finite and ascending, found {flux_range!r}")
    share = random.uniform(size=n_sources)
    if power_law is None:
        return low + share * (high - low)
    check_number("power_law", power_law)
    if low <= 0:
        raise ValueError(f"flux_range must be positive for a power law, found {flux_range!r}")
    if power_law == 1:
        return low * (high / low) ** share
    index = 1.0 - power_law
    return low * (1.0 + share * ((high / low) ** index - 1.0)) ** (1.0 / index)


def _render_gaussians(shape, x, y, flux, sigma) -> np.ndarray:
    """Return an image of circular Gaussians integrated over the pixels.

    A pixel holds flux times (Phi(right edge) - Phi(left edge)) in x times the same in y.
    """
    from scipy.special import ndtr

    check_number("sigma", sigma, above=0.0)
    ny, nx = shape
    image = np.zeros(shape)
    reach = 9.0 * sigma + 1.0  # Phi(-9) = 1e-19: nothing is cut that double precision could hold
    for x_0, y_0, amount in zip(x, y, flux, strict=True):
        x_first, x_last = np.clip([np.floor(x_0 - reach), np.ceil(x_0 + reach) + 1], 0, nx)
        y_first, y_last = np.clip([np.floor(y_0 - reach), np.ceil(y_0 + reach) + 1], 0, ny)
        if x_first == x_last or y_first == y_last:
            continue
        in_x = np.diff(ndtr((np.arange(x_first, x_last + 1) - 0.5 - x_0) / sigma))
        in_y = np.diff(ndtr((np.arange(y_first, y_last + 1) - 0.5 - y_0) / sigma))
        window = np.s_[int(y_first) : int(y_last), int(x_first) : int(x_last)]
        image[window] += amount * in_y[:, None] * in_x
    return image


def _render_model(shape, x, y, flux, psf_model) -> np.ndarray:
    """Return an image of sources with the PSF of an astropy model."""
    names = getattr(psf_model, "param_names", None)
    if names is None:
        raise TypeError(f"psf_model must be an astropy model, found {psf_model!r}")
    missing = [name for name in ("x_0", "y_0", "flux") if name not in names]
    if missing:
        raise ValueError(f"psf_model has no parameter {missing[0]}; its parameters are {names}")
    model = psf_model.copy()
    y_pixels, x_pixels = np.indices(shape, dtype=np.float64)
    image = np.zeros(shape)
    for x_0, y_0, amount in zip(x, y, flux, strict=True):
        model.x_0, model.y_0, model.flux = x_0, y_0, amount
        image += model(x_pixels, y_pixels)
    return image


def _add_noise(mean, scatter, gain, read_noise, random) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with the noise asked for, and the true error of its pixels."""
    variance = np.broadcast_to(np.square(scatter), mean.shape).astype(np.float64)
    image = mean
    if gain is not None:
        if np.any(mean < 0):
            y, x = (int(i) for i in np.argwhere(mean < 0)[0])
            raise ValueError(
                "photon noise needs a mean >= 0: raise background or leave gain out, "
                f"found {mean[y, x]} at (y, x) = ({y}, {x})"
            )
        image = random.poisson(mean * gain) / gain
        variance = variance + (0.0 if read_noise is None else (read_noise / gain) ** 2)
    image = image + np.sqrt(variance) * random.standard_normal(mean.shape)
    if gain is not None:
        variance = variance + mean / gain
    return image, np.sqrt(variance)


def _read_sources(sources) -> tuple[np.ndarray, ...]:
    """Return (id, x, y, flux) of the sources of a table."""
    x, y, flux = (read_column(sources, name) for name in ("x_0", "y_0", "flux"))
    if getattr(sources["flux"], "unit", None) is not None:
        raise ValueError(f"flux must not have a unit, found {sources['flux'].unit}")
    if not x.size == y.size == flux.size:
        raise ValueError("x_0, y_0 and flux must be equally long")
    if "id" not in column_names(sources):
        return np.arange(1, x.size + 1, dtype=np.int64), x, y, flux
    ids = np.array(sources["id"])
    if ids.dtype.kind not in "iu":
        raise TypeError(f"id must hold integers, found dtype {ids.dtype}")
    return ids.astype(np.int64), x, y, flux
