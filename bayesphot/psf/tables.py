"""Sampled PSFs as the kernels take them: spline coefficients in phases."""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.structs import (
    DEGREE,
    ENVELOPE,
    N_CELL,
    N_PLACE,
    N_RING,
    ORIGIN,
    OVERSAMPLING,
    PSF_REACH,
    PSF_TABLE,
    PSF_WIDTH,
)

__all__ = ["build_table", "find_fwhm", "find_sigma"]

#: Pixels of nothing about an image: the spline's ringing at an edge that is not dark falls by 3.7
#: with each.
MARGIN = 8


def build_table(
    images: np.ndarray,
    oversampling: tuple[int, int],
    origin: tuple[float, float],
    places: tuple[np.ndarray, np.ndarray],
    degree: int = 0,
) -> np.ndarray:
    """Return the numbers of a sampled PSF for the kernels.

    Parameters
    ----------
    images : (gy, gx, ny, nx) array
        The PSF's value at unit flux at each place of the detector.
    oversampling : (int, int)
        Pixels of an image to one of the data, along y and x.
    origin : (float, float)
        Pixel (y, x) of an image on which the source's position falls.
    places : (gy,) and (gx,) arrays
        Coordinates y and x on the detector; for a polynomial middle and scale of y and of x, and
        from where to where it holds, in units of the scale from the middle.
    degree : int
        Above 0: ``images`` (1, n, ny, nx) are the coefficients of a polynomial of this degree.

    Returns
    -------
    (n,) array
        Header, places and, for each place, the coefficients of cubic B-splines (Unser 1999) in
        phases: those an oversampling apart side by side.
    """
    from scipy.ndimage import spline_filter

    n_y, n_x = images.shape[-2:]
    sides, before = [], []
    for side, step in ((n_y, oversampling[0]), (n_x, oversampling[1])):
        # A cell more on each side, so that pixels that miss one coefficient miss nothing.
        front = -(-(MARGIN + step) // step) * step
        total = -(-(front + side + MARGIN + step) // step) * step
        before.append(front)
        sides.append(total)
    cells = sides[0] // oversampling[0], sides[1] // oversampling[1]
    parts = []
    for image in images.reshape(-1, n_y, n_x):
        padded = np.zeros(sides)
        padded[before[0] : before[0] + n_y, before[1] : before[1] + n_x] = image
        coefficients = spline_filter(padded, order=3, mode="mirror")
        phases = coefficients.reshape(cells[0], oversampling[0], cells[1], oversampling[1])
        parts.append(phases.transpose(1, 3, 0, 2).ravel())
    head = np.zeros(PSF_TABLE)
    head[OVERSAMPLING : OVERSAMPLING + 2] = oversampling
    head[ORIGIN : ORIGIN + 2] = origin[0] + before[0], origin[1] + before[1]
    head[N_CELL : N_CELL + 2] = cells
    head[N_PLACE : N_PLACE + 2] = places[0].size, places[1].size
    head[DEGREE] = degree
    head[PSF_WIDTH] = 1.0
    bounds = _bound_terms(places, degree) if degree > 0 else None
    reach, envelope = _find_envelope(images, oversampling, origin, bounds)
    head[PSF_REACH] = reach
    head[ENVELOPE : ENVELOPE + N_RING] = envelope
    return np.concatenate([head, places[0], places[1], *parts])


def _bound_terms(places, degree: int) -> np.ndarray:
    """Return the largest size (n,) of each term u^i v^j of a polynomial where it holds."""
    v, u = (np.abs(place[2:]).max() for place in places)
    return np.array([u ** (n - j) * v**j for n in range(degree + 1) for j in range(n + 1)])


def _find_envelope(images, oversampling, origin, bounds) -> tuple[float, np.ndarray]:
    """Return the radius that holds the images, pixels, and the largest values outside rings.

    ``bounds`` (n,) are those of a polynomial's terms, None where it is none.
    """
    n_y, n_x = images.shape[-2:]
    dy = (np.arange(n_y) - origin[0]) / oversampling[0]
    dx = (np.arange(n_x) - origin[1]) / oversampling[1]
    # Square windows: a ring is a square's rim.
    distance = np.maximum(np.abs(dy)[:, None], np.abs(dx)[None, :])
    reach = float(distance.max()) + 1.0
    size = np.abs(images)
    largest = size.max(axis=(0, 1)) if bounds is None else np.tensordot(bounds, size[0], axes=1)
    ring = np.minimum((distance / reach * N_RING).astype(int), N_RING - 1)
    rims = np.zeros(N_RING)
    np.maximum.at(rims, ring.ravel(), largest.ravel())
    return reach, np.maximum.accumulate(rims[::-1])[::-1]


def find_sigma(image: np.ndarray, oversampling: tuple[int, int]) -> float:
    """Return the sigma, in pixels, of the Gaussian that is as noisy to fit as an image.

    The flux of a source of known place has the error ``noise / sqrt(sum phi^2)``, for a Gaussian
    ``2 sqrt(pi) sigma noise`` (King 1983: the noise-equivalent area is 1 / sum phi^2).
    """
    square = np.sum(image**2) / (oversampling[0] * oversampling[1])
    return float(1.0 / np.sqrt(4.0 * np.pi * square))


def find_fwhm(image: np.ndarray, oversampling: tuple[int, int]) -> float:
    """Return the FWHM, in pixels, of the circle as large as the part above half the maximum."""
    from scipy.ndimage import zoom

    fine = 4
    # By pixels, not from the first middle to the last: the steps are 1 / fine for any size.
    finer = zoom(image, fine, order=3, mode="nearest", grid_mode=True)
    above = np.count_nonzero(finer > 0.5 * image.max())
    area = above / (fine**2 * oversampling[0] * oversampling[1])
    return float(2.0 * np.sqrt(area / np.pi))
