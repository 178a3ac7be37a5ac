"""A PSF and its error from the images of several reference stars."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesphot.checks import check_integer
from bayesphot.psf.error import PSFError
from bayesphot.psf.sampled import ImagePSF, read_images, read_oversampling

__all__ = ["combine_psfs"]

#: Fewest images whose scatter says something.
FEWEST = 3
#: Share of the scatter that the modes explain, and how many there are at most.
EXPLAINED, MOST_MODES = 0.99, 6
#: Times the largest variance that noise gives a component, above which it is one of the PSF.
SIGNIFICANT = 1.3


def combine_psfs(
    images: Any, *, error: Any = None, oversampling: int = 1, n_modes: int | None = None
) -> tuple[ImagePSF, PSFError]:
    r"""
    Return the mean of reference stars' PSFs, and how they differ from it.

    Their scatter about the mean is a sum of principal components (Jee et al. 2007, PASP 119, 1403):
    those that hold 99 % of it are coherent modes, the rest a white remainder. Of n images, the PSF
    of another star differs from their mean by :math:`1 + 1/n` times their variance. Noise of
    variance :math:`s^2` in p pixels gives components of variances up to
    :math:`s^2 (1 + \sqrt{p / (n - 1)})^2` (Marchenko & Pastur 1967), and adds
    :math:`s^2 p / (n - 1)` to those of the PSF.

    Parameters
    ----------
    images : (n, ny, nx) array
        PSFs of unit flux, centred on the middle pixel of odd sides, three or more.
    error : (n, ny, nx) array or number, optional
        Standard errors of their pixels: what they scatter by noise alone is left out. Default: they
        have no noise.
    oversampling : int
        Pixels of these images to one of the data.
    n_modes : int, optional
        Modes at most. Default 6.

    Returns
    -------
    psf : ImagePSF
        The mean.
    psf_error : PSFError
        Modes and white remainder, for ``psf_error=`` of a photometry or of `companion_map`.

    Raises
    ------
    TypeError, ValueError
        If there are too few images, they are no PSFs of odd sides and one shape, they do not differ
        by more than their noise, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import bayesphot as bp
    >>> y, x = np.mgrid[-8:9, -8:9]
    >>> stars = [np.exp(-0.5 * (x**2 + y**2) / s**2) / (2 * np.pi * s**2)
    ...          for s in (1.47, 1.48, 1.52, 1.53)]
    >>> psf, psf_error = bp.combine_psfs(stars)
    >>> [round(sd, 3) for sd in psf_error.sds]
    [0.031]
    """
    cube = read_images("images", images, 3)
    n, n_y, n_x = cube.shape
    if n < FEWEST:
        raise ValueError(f"images must be at least {FEWEST} to tell how they differ, found {n}")
    if n_y % 2 == 0 or n_x % 2 == 0:
        raise ValueError(f"images must have odd sides, found {n_y} x {n_x}")
    steps = read_oversampling(oversampling)
    if steps[0] != steps[1]:
        raise ValueError(f"oversampling must be one integer here, found {oversampling!r}")
    most = MOST_MODES if n_modes is None else check_integer("n_modes", n_modes, least=0)
    variance = _read_variance(error, cube.shape)
    mean = cube.mean(axis=0)
    rest = (cube - mean).reshape(n, -1)
    _, singular, vectors = np.linalg.svd(rest, full_matrices=False)
    power = singular[: n - 1] ** 2 / (n - 1)
    vectors = vectors[: n - 1]
    signal = np.maximum(power - variance.sum() / (n - 1), 0.0)
    real = power > SIGNIFICANT * _find_edge(variance, n - 1)
    total = float(signal[real].sum())
    if not total > 0.0:
        raise ValueError(
            "images must differ by more than their noise to tell the PSF's error, found no "
            "component that does"
        )
    share = np.cumsum(np.where(real, signal, 0.0)) / total
    count = min(int(np.searchsorted(share, EXPLAINED)) + 1, most, int(real.sum()))
    norm = float(np.sqrt(np.sum(mean**2)))
    # Of the norm of the PSF, so that a standard deviation is a share of the flux.
    modes = (vectors[:count] * norm).reshape(count, n_y, n_x)
    widening = 1.0 + 1.0 / n
    sds = np.sqrt(widening * signal[:count]) / norm
    left = widening * float(signal[real][count:].sum())
    white = float(np.sqrt(left) / norm)
    pairs = list(zip(modes, sds.tolist(), strict=True))
    psf_error = PSFError(width=0.0, white=white, modes=pairs, oversampling=steps[0])
    return ImagePSF(mean, oversampling=steps[0]), psf_error


def _find_edge(variance: np.ndarray, n: int) -> float:
    """Return the largest variance of a component of noise alone, n of them."""
    total, square = float(variance.sum()), float(np.sum(variance**2))
    if total == 0.0:
        return 0.0
    # As many pixels of one variance as have the same scatter of it.
    n_pixel = total**2 / square
    return total / n_pixel * (1.0 + np.sqrt(n_pixel / n)) ** 2


def _read_variance(error: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mean variance (ny, nx) of the pixels of images."""
    if error is None:
        return np.zeros(shape[1:])
    try:
        sd = np.broadcast_to(np.asarray(error, dtype=float), shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"error must be a number or an array of shape {shape}, found shape {np.shape(error)}"
        ) from None
    if not (np.isfinite(sd).all() and (sd >= 0.0).all()):
        raise ValueError("error must be finite and not negative")
    return np.mean(np.square(sd), axis=0)
