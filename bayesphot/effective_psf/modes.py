"""How stars differ from their mean PSF: over the detector, and from star to star.

Differences are sums of Hermite functions of the PSF's width (shapelets; Refregier 2003), orders 2
to 4: width, elongation, coma and what is next. Each star's amplitudes have an error of their own;
what scatters beyond it is a normal distribution, found by the EM algorithm (Dempster et al. 1977),
about a polynomial of the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.polynomial.hermite_e import hermeval

__all__ = ["Amplitudes", "Spread", "evaluate_shapes", "find_spread", "measure_amplitudes"]

#: (order in x, order in y) of the functions.
ORDERS = tuple((m - n, n) for m in (2, 3, 4) for n in range(m + 1))
#: Rounds of the EM algorithm.
ROUNDS = 60


def evaluate_shapes(dx, dy, sigma: float) -> np.ndarray:
    """Return the functions (12, ...) at distances from the centre; unit flux, as the PSF."""
    u, v = np.asarray(dx) / sigma, np.asarray(dy) / sigma
    bell = np.exp(-0.5 * (u**2 + v**2)) / (2.0 * np.pi * sigma**2)
    rows = []
    for m, n in ORDERS:
        norm = np.sqrt(float(factorial(m) * factorial(n)))
        rows.append(bell * hermeval(u, [0.0] * m + [1.0]) * hermeval(v, [0.0] * n + [1.0]) / norm)
    return np.array(rows)


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Amplitudes of stars: ``value`` (n, 12) and ``covariance`` (n, 12, 12) of their errors."""

    value: np.ndarray
    covariance: np.ndarray


def measure_amplitudes(star, residual, variance, shapes, nuisance) -> Amplitudes:
    """Return each star's amplitudes, its flux, place and sky being free.

    Parameters
    ----------
    star : (n,) int array
        Star of each pixel, from 0, none left out.
    residual, variance : (n,) arrays
        Value over flux less the PSF, and its variance.
    shapes : (12, n) array
        The functions at the pixels.
    nuisance : (4, n) array
        PSF, its derivatives by x and by y, and ones.
    """
    n_star, n_shape = int(star.max()) + 1, len(shapes)
    design = np.concatenate([shapes, nuisance])
    value = np.zeros((n_star, n_shape))
    covariance = np.zeros((n_star, n_shape, n_shape))
    order = np.argsort(star, kind="stable")
    edge = np.searchsorted(star[order], np.arange(n_star + 1))
    for s in range(n_star):
        here = order[edge[s] : edge[s + 1]]
        weighted = design[:, here] / variance[here]
        normal = weighted @ design[:, here].T
        # A prior of order 1, far above what stars do, keeps what a few pixels cannot tell.
        normal += np.diag(np.r_[np.ones(n_shape), np.zeros(len(nuisance))])
        inverse = np.linalg.pinv(normal, hermitian=True)
        value[s] = (inverse @ (weighted @ residual[here]))[:n_shape]
        covariance[s] = inverse[:n_shape, :n_shape]
    return Amplitudes(value, covariance)


@dataclass(frozen=True, eq=False)
class Spread:
    """Distribution of the amplitudes: N(terms @ mean, covariance) of each star.

    ``mean`` (n_term, 12), ``covariance`` (12, 12), ``score`` the log likelihood less the
    information criterion's price of the means (Schwarz 1978).
    """

    degree: int
    mean: np.ndarray
    covariance: np.ndarray
    score: float


def list_terms(x, y, degree: int) -> np.ndarray:
    """Return 1, x, y, x^2, x y, y^2 ... (n, n_term) of places in units of the image."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rows = [x ** (d - k) * y**k for d in range(degree + 1) for k in range(d + 1)]
    return np.stack(rows, axis=-1)


def find_spread(amplitudes: Amplitudes, x, y, degree: int) -> Spread:
    """Return the distribution of stars' amplitudes about a polynomial of their places.

    Parameters
    ----------
    amplitudes : Amplitudes
        Of n stars.
    x, y : (n,) arrays
        Places, from -1 to 1 over the image.
    degree : int
        Of the polynomial.
    """
    terms = list_terms(x, y, degree)
    n, n_term = terms.shape
    value, noise = amplitudes.value, amplitudes.covariance
    n_shape = value.shape[1]
    covariance = np.diag(np.maximum(np.var(value, axis=0), 1e-12))
    for _round in range(ROUNDS):
        total = np.linalg.inv(noise + covariance)
        mean = _fit_terms(terms, value, total)
        rest = value - terms @ mean
        gain = covariance @ total
        posterior = np.einsum("sij,sj->si", gain, rest)
        left = covariance - gain @ covariance
        # The mean takes n_term of n degrees of freedom.
        moment = np.einsum("si,sj->ij", posterior, posterior) * n / max(n - n_term, 1)
        covariance = (moment + left.sum(axis=0)) / n
        covariance = 0.5 * (covariance + covariance.T)
    total = noise + covariance
    chi2 = np.einsum("si,sij,sj->", rest, np.linalg.inv(total), rest)
    log_like = -0.5 * (chi2 + np.linalg.slogdet(total)[1].sum())
    return Spread(degree, mean, covariance, log_like - 0.5 * n_term * n_shape * np.log(n))


def _fit_terms(terms, value, precision) -> np.ndarray:
    """Return the polynomials' coefficients (n_term, n_shape) of largest likelihood."""
    n_term, n_shape = terms.shape[1], value.shape[1]
    pairs = terms[:, :, None] * terms[:, None, :]
    normal = np.tensordot(pairs, precision, axes=(0, 0)).transpose(0, 2, 1, 3)
    right = terms.T @ np.matmul(precision, value[:, :, None])[:, :, 0]
    size = n_term * n_shape
    solution = np.linalg.lstsq(normal.reshape(size, size), right.ravel(), rcond=None)[0]
    return solution.reshape(n_term, n_shape)
