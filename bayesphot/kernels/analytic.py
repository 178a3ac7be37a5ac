"""Analytic PSFs integrated over the pixel: Gauss and Legendre's sums over nodes inside it.

With (dx, dy) from the centre and r^2 = dx^2 + dy^2, all of unit flux:

    Gauss   exp(-(u^2 / a^2 + v^2 / b^2) / 2) / (2 pi a b), (u, v) = (dx, dy) turned by -theta,
    Moffat  (beta - 1) / (pi alpha^2) (1 + r^2 / alpha^2)^-beta,
    Airy    pi q^2 / 4 (2 J1(z) / z)^2, z = pi q r, q = 1.2197 / radius of the first dark ring.
"""

import math

from .cache import apart, borrowing
from .shapes import read_shape
from .structs import ELLIPTICAL, MOFFAT, N_NODE, PSF_TABLE, SHAPE, X, Y

#: Sigma of a Gaussian of unit FWHM.
SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))
#: First zero of J1, over pi.
RING = 1.2196698912665045
#: Arguments up to which Bessel's functions are summed by powers, and the terms that takes.
_POWERS_END = 12.0
_N_POWER = 32


@borrowing
def bessel(z):
    """Return J0(z) and 2 J1(z) / z for z >= 0.

    By powers near zero; beyond, Hankel's expansions, J_n = sqrt(2 / pi z) [P cos c - Q sin c] with
    c = z - (2n + 1) pi / 4 (Abramowitz & Stegun 1972, 9.1.10 and 9.2.5).
    """
    if z < _POWERS_END:
        q = -0.25 * z * z
        term = 1.0
        zero = 1.0
        one = 1.0
        for k in range(1, _N_POWER):
            term *= q / (k * k)
            zero += term
            one += term / (k + 1.0)
        return zero, one
    root = math.sqrt(2.0 / (math.pi * z))
    p, q = _sum_hankel(0.0, z)
    c = z - 0.25 * math.pi
    zero = root * (p * math.cos(c) - q * math.sin(c))
    p, q = _sum_hankel(4.0, z)
    c = z - 0.75 * math.pi
    return zero, 2.0 * root * (p * math.cos(c) - q * math.sin(c)) / z


@borrowing
def _sum_hankel(mu, z):
    """Return Hankel's sums P and Q for mu = 4 n^2."""
    p = 1.0
    q = 0.0
    term = 1.0
    for k in range(1, 13):
        term *= (mu - (2.0 * k - 1.0) ** 2) / (8.0 * k * z)
        if k % 4 == 1:
            q += term
        elif k % 4 == 2:
            p -= term
        elif k % 4 == 3:
            q -= term
        else:
            p += term
    return p, q


@borrowing
def _evaluate(kind, shape, dx, dy):
    """Return the value at a point, d/dx and d/dy, and derivatives by up to three state columns.

    ``shape`` holds the parameters; see `fill_shape`.
    """
    if kind == ELLIPTICAL:
        cos = shape[2]
        sin = shape[3]
        u = cos * dx + sin * dy
        v = cos * dy - sin * dx
        a = u / shape[0]
        b = v / shape[1]
        f = math.exp(-0.5 * (a * a + b * b)) / (2.0 * math.pi * shape[0] * shape[1])
        by_u = f * a / shape[0]
        by_v = f * b / shape[1]
        turn = u * v * (1.0 / (shape[1] * shape[1]) - 1.0 / (shape[0] * shape[0]))
        return (
            f,
            cos * by_u - sin * by_v,
            sin * by_u + cos * by_v,
            f * (a * a - 1.0),
            f * (b * b - 1.0),
            f * turn,
        )
    r2 = dx * dx + dy * dy
    if kind == MOFFAT:
        alpha2 = shape[0] * shape[0]
        beta = shape[1]
        ratio = 1.0 + r2 / alpha2
        log_ratio = math.log(ratio)
        f = (beta - 1.0) / (math.pi * alpha2) * math.exp(-beta * log_ratio)
        pull = 2.0 * beta / (alpha2 * ratio)
        return (
            f,
            f * pull * dx,
            f * pull * dy,
            f * (pull * r2 - 2.0),
            f * (1.0 - (beta - 1.0) * log_ratio),
            0.0,
        )
    q = RING / shape[0]
    scale = math.pi * q
    z = scale * math.sqrt(r2)
    zero, one = bessel(z)
    f = 0.25 * math.pi * q * q * one * one
    # d(2 J1 / z)/dz = -2 J2 / z = -2 (2 J1 / z - J0) / z.
    fall = math.pi * q * q * one * (one - zero)
    pull = fall / r2 if r2 > 1e-20 else 0.0
    return f, pull * dx, pull * dy, fall - 2.0 * f, 0.0, 0.0


@borrowing
def fill_shape(kind, source, shape):
    """Fill what `_evaluate` needs of the shapes: for the ellipse two sigmas, cosine and sine."""
    shape[0] = read_shape(kind, 0, source[SHAPE])
    if kind == ELLIPTICAL:
        shape[0] *= SIGMA_PER_FWHM
        shape[1] = read_shape(kind, 1, source[SHAPE + 1]) * SIGMA_PER_FWHM
        shape[2] = math.cos(source[SHAPE + 2])
        shape[3] = math.sin(source[SHAPE + 2])
    elif kind == MOFFAT:
        shape[1] = read_shape(kind, 1, source[SHAPE + 1])


@borrowing
def _sum_value(psf, shape, x, y):
    """Return the value over the pixel at (x, y) from the centre.

    What `_evaluate` returns beside it is not computed where nobody asks: half the time.
    """
    n = int(psf.numbers[N_NODE])
    s = 0.0
    for b in range(PSF_TABLE, PSF_TABLE + n):
        for a in range(PSF_TABLE, PSF_TABLE + n):
            w = psf.numbers[a + n] * psf.numbers[b + n]
            dx = x + psf.numbers[a]
            dy = y + psf.numbers[b]
            s += w * _evaluate(psf.kind, shape, dx, dy)[0]
    return s


@borrowing
def _sum_parts(psf, shape, x, y, total):
    """Fill value and derivatives over the pixel at (x, y) from the centre."""
    n = int(psf.numbers[N_NODE])
    for c in range(total.size):
        total[c] = 0.0
    for b in range(PSF_TABLE, PSF_TABLE + n):
        for a in range(PSF_TABLE, PSF_TABLE + n):
            w = psf.numbers[a + n] * psf.numbers[b + n]
            parts = _evaluate(psf.kind, shape, x + psf.numbers[a], y + psf.numbers[b])
            for c in range(total.size):
                total[c] += w * parts[c]


@apart
def fill_analytic(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives (C, size) of a unit source, ``n_used`` of them."""
    shape = lines[0]
    fill_shape(psf.kind, source, shape)
    total = lines[1, :n_used]
    p = 0
    for j in range(window[0], window[1]):
        for i in range(window[2], window[3]):
            if n_used == 1:
                columns[0, p] = _sum_value(psf, shape, i - source[X], j - source[Y])
            else:
                _sum_parts(psf, shape, i - source[X], j - source[Y], total)
                for c in range(n_used):
                    columns[c, p] = total[c]
            p += 1
