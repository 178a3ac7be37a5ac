"""Circles on pixels: how much of each pixel lies inside, exactly."""

from __future__ import annotations

import numpy as np

__all__ = ["overlap_circle"]


def overlap_circle(dx, dy, radius: float) -> np.ndarray:
    """
    Return the share of each pixel that lies in a circle.

    Parameters
    ----------
    dx, dy : array_like of float
        Centres of the pixels from that of the circle, pixels; broadcast.
    radius : float
        Radius of the circle, pixels.

    Returns
    -------
    ndarray of float
        Between 0 and 1.

    Notes
    -----
    With A(x, y) the area of the disc to the left of x and under y, a pixel has A at its upper right
    and lower left corners less A at the other two.

    Examples
    --------
    >>> from bayesphot.apertures import overlap_circle
    >>> overlap_circle([0.0, 1.0], 0.0, 1.0).round(4)
    array([1.    , 0.4566])
    """
    dx, dy = np.broadcast_arrays(np.asarray(dx, dtype=float), np.asarray(dy, dtype=float))
    left, right, low, high = dx - 0.5, dx + 0.5, dy - 0.5, dy + 0.5
    area = _area(right, high, radius) + _area(left, low, radius)
    area -= _area(left, high, radius) + _area(right, low, radius)
    # Whole and empty pixels without the rounding of the four.
    far = np.hypot(np.abs(dx) + 0.5, np.abs(dy) + 0.5) <= radius
    gap = np.hypot(np.maximum(np.abs(dx) - 0.5, 0.0), np.maximum(np.abs(dy) - 0.5, 0.0))
    return np.where(far, 1.0, np.where(gap >= radius, 0.0, np.clip(area, 0.0, 1.0)))


def _area(x, y, r: float) -> np.ndarray:
    """Area of the disc u^2 + v^2 <= r^2 where u <= x and v <= y.

    With s(u) = sqrt(r^2 - u^2), whose integral is F(u), and c = sqrt(r^2 - y^2): the height over u
    is y + s where |u| < c, else 2 s if y > 0 and nothing if y < 0.
    """
    x, y = np.clip(x, -r, r), np.clip(y, -r, r)
    c = np.sqrt(r**2 - y**2)

    def integral(u):
        # With the angle of the rounded s, an error of s cancels; that of arcsin(u / r) would not.
        s = np.sqrt(np.maximum(r**2 - u**2, 0.0))
        return 0.5 * (u * s + r**2 * np.arctan2(u, s))

    middle = np.clip(x, -c, c)
    inside = y * (middle + c) + integral(middle) - integral(-c)
    left = integral(np.minimum(x, -c)) - integral(-r)
    right = integral(np.maximum(x, c)) - integral(c)
    return inside + np.where(y > 0.0, 2.0 * (left + right), 0.0)
