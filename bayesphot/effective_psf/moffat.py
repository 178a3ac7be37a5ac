"""The first guess of a PSF: an elliptical Moffat function, integrated over the pixel.

It carries what is finer than a pixel. One star sees its PSF at one phase of the pixel only, and its
flux and place are free: a PSF whose structure is free at every phase would take up errors that
depend on the phase.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial.legendre import leggauss

__all__ = ["Moffat", "fit_moffat"]

#: Nodes across a pixel for the integral over it, at the least and at most: with three, a FWHM of
#: 2 pixels errs by 2e-4 of its peak; with five one of a pixel by 6e-4, one of 1.3 by 1e-4.
NODES = (3, 5)
#: Radius of the pixels that are fitted, FWHM.
REACH = 3.0
#: Of so many pixels, and twice as many, all are fitted; of more every second, every third...
MOST_PIXELS = 20_000
#: Standardised residual beyond which a pixel counts less.
SOFT = 3.0
#: The largest is a Gaussian to 1 % of the peak; that of 12 differs by 6 %.
BETA_RANGE = (1.2, 100.0)
#: Exponent of a start whose wings are as a Gaussian's.
WINGLESS = 20.0


@dataclass(frozen=True)
class Moffat:
    """``(1 + q)^-beta`` with ``q = exp(-2 size) ((1 + plus) x^2 + 2 cross x y + (1 - plus) y^2)``.

    Moffat (1969). Its total flux is 1. ``n_node``: nodes along each side of a pixel's integral.
    """

    size: float
    plus: float
    cross: float
    beta: float
    n_node: int = NODES[1]

    @classmethod
    def of_width(cls, fwhm: float, beta: float) -> Moffat:
        """Return a round one of a FWHM, pixels."""
        alpha = 0.5 * fwhm / np.sqrt(2.0 ** (1.0 / beta) - 1.0)
        n_node = int(np.clip(np.round(2.0 + 4.0 / fwhm), *NODES))
        return cls(float(np.log(alpha)), 0.0, 0.0, beta, n_node)

    def __call__(self, dx, dy) -> np.ndarray:
        """Return the mean over a pixel at distances from the centre."""
        node, weight = leggauss(self.n_node)
        total = np.zeros(np.broadcast(dx, dy).shape)
        for v, weight_v in zip(0.5 * node, 0.5 * weight, strict=True):
            for u, weight_u in zip(0.5 * node, 0.5 * weight, strict=True):
                total += weight_u * weight_v * self._evaluate(dx + u, dy + v)
        return total

    def _evaluate(self, x, y) -> np.ndarray:
        """Return the function at places."""
        scale = np.exp(-2.0 * self.size)
        q = (1.0 + self.plus) * x**2 + 2.0 * self.cross * x * y + (1.0 - self.plus) * y**2
        root = np.sqrt(1.0 - self.plus**2 - self.cross**2)
        norm = (self.beta - 1.0) / np.pi * scale * root
        return norm * (1.0 + scale * q) ** -self.beta

    def differentiate(self, dx, dy) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives by the distance along x and y."""
        step = 0.02
        by_x = (self(dx + step, dy) - self(dx - step, dy)) / (2.0 * step)
        by_y = (self(dx, dy + step) - self(dx, dy - step)) / (2.0 * step)
        return by_x, by_y


def fit_moffat(pieces, guess: Moffat, fwhm: float) -> Moffat:
    """Return the Moffat function that fits stars best, each with a flux of its own.

    Parameters
    ----------
    pieces : Pieces
        Pixels of the stars.
    guess : Moffat
        Start.
    fwhm : float
        FWHM, pixels.
    """
    from scipy.optimize import least_squares

    near = np.flatnonzero(np.hypot(pieces.dx, pieces.dy) < REACH * fwhm)
    near = near[:: max(near.size // MOST_PIXELS, 1)]
    dx, dy, value = pieces.dx[near], pieces.dy[near], pieces.value[near]
    weight = 1.0 / np.sqrt(pieces.variance[near])
    _, star = np.unique(pieces.star[near], return_inverse=True)

    def find_residual(p: np.ndarray) -> np.ndarray:
        model = replace(guess, size=p[0], plus=p[1], cross=p[2], beta=p[3])(dx, dy) * weight
        seen = value * weight
        share = np.bincount(star, model * seen) / np.bincount(star, model**2)
        return seen - share[star] * model

    def fit(start: Moffat):
        low = [start.size - 1.0, -0.6, -0.6, BETA_RANGE[0]]
        high = [start.size + 1.0, 0.6, 0.6, BETA_RANGE[1]]
        first = [start.size, start.plus, start.cross, start.beta]
        return least_squares(find_residual, first, bounds=(low, high), loss="soft_l1", f_scale=SOFT)

    # Of stars without wings a start with wings may end at a plateau that leaves their cores out.
    found = min(map(fit, (guess, Moffat.of_width(fwhm, WINGLESS))), key=lambda fitted: fitted.cost)
    size, plus, cross, beta = (float(p) for p in found.x)
    return replace(guess, size=size, plus=plus, cross=cross, beta=beta)
