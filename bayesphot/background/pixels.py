"""The good pixels of an image, and what sigma clipping does to them."""

from __future__ import annotations

import math

import numpy as np

#: 1 / inverse normal cdf(3/4): the standard deviation of a Gaussian per median absolute deviation.
_STD_PER_MAD = 1.482602218505602
#: Variance of the median over the variance of the mean, many Gaussian numbers.
MEDIAN_VARIANCE = math.pi / 2


def read_pixels(data, mask):
    """Return (float64 values, bad pixels, unit or None) of an image of any spelling."""
    unit = getattr(data, "unit", None)
    values = np.ma.getdata(data.value if unit is not None else data)
    values = read_floats(values, "data")
    bad = ~np.isfinite(values)
    if isinstance(data, np.ma.MaskedArray):
        bad |= np.ma.getmaskarray(data)
    if mask is not None:
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != values.shape:
            raise ValueError(f"mask has shape {mask.shape}, but data has shape {values.shape}")
        bad |= mask
    return values, bad, unit


def read_floats(values, name) -> np.ndarray:
    """Return the values as float64, or say what they are instead."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        found = f"dtype {array.dtype}" if array.ndim else repr(values)
        raise TypeError(f"{name} must be real numbers, found {found}")
    return array.astype(np.float64)


def clip_pixels(pixels: np.ndarray, sigma: float, maxiters: int | None) -> np.ndarray:
    """Return the pixels (1-D, finite) that astropy's sigma clipping leaves."""
    from astropy.stats import SigmaClip

    if pixels.size == 0 or maxiters == 0:
        return pixels
    # Along an axis astropy clips in compiled code, three times as fast, and marks by NaN.
    clipped = SigmaClip(sigma=sigma, maxiters=maxiters)(pixels, axis=0, masked=False)
    return clipped[np.isfinite(clipped)]


def find_median_error(pixels: np.ndarray) -> float:
    """Return the standard error of the median, scatter and number taken after clipping."""
    pixels = clip_pixels(pixels, 3.0, 10)
    if pixels.size < 2:
        return np.inf
    return float(mad_std(pixels) * np.sqrt(MEDIAN_VARIANCE / pixels.size))


def clip_rows(rows: np.ndarray, sigma: float, maxiters: int | None):
    """Return what clipping leaves of each row, and its median, mean and standard deviation.

    The rows (n, k) are sorted in place, infinities at their ends. What is left of one, the same
    pixels as `clip_pixels` leaves, is a window of it: from ``low`` to before ``high``, which come
    first in the answer.
    """
    rows.sort(axis=1)
    low = np.zeros(len(rows), dtype=np.intp)
    high = np.isfinite(rows).sum(axis=1)
    median, mean, std = _describe_windows(rows, low, high)
    moving = np.arange(len(rows))
    rounds = 0
    while moving.size and (maxiters is None or rounds < maxiters):
        rounds += 1
        some, reach = rows[moving], sigma * std[moving]
        first = (some < (median[moving] - reach)[:, None]).sum(axis=1)
        last = (some <= (median[moving] + reach)[:, None]).sum(axis=1)
        first, last = np.maximum(first, low[moving]), np.minimum(last, high[moving])
        changed = (first != low[moving]) | (last != high[moving])
        moving = moving[changed]
        low[moving], high[moving] = first[changed], last[changed]
        found = _describe_windows(some[changed], low[moving], high[moving])
        median[moving], mean[moving], std[moving] = found
    return low, high, median, mean, std


def _find_inside(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return where the columns of rows are from low to before high."""
    column = np.arange(rows.shape[1])
    return (column >= low[:, None]) & (column < high[:, None])


def _describe_windows(rows: np.ndarray, low: np.ndarray, high: np.ndarray):
    """Return median, mean and standard deviation of sorted rows from low to before high."""
    count = high - low
    each, last = np.arange(len(rows)), rows.shape[1] - 1
    lower = rows[each, np.minimum(low + np.maximum(count - 1, 0) // 2, last)]
    upper = rows[each, np.minimum(low + count // 2, last)]
    median = np.where(count > 0, 0.5 * (lower + upper), np.nan)
    inside = _find_inside(rows, low, high)
    # From the median: sums of squares lose nothing to a level that is large.
    off = np.where(inside, rows - np.nan_to_num(median)[:, None], 0.0)
    n = np.maximum(count, 1)
    shift = off.sum(axis=1) / n
    std = np.sqrt(np.maximum(np.einsum("ij,ij->i", off, off) / n - shift**2, 0.0))
    return median, median + shift, std


def mad_std(pixels: np.ndarray) -> float:
    """Return 1.4826 median absolute deviations."""
    return float(_STD_PER_MAD * np.median(np.abs(pixels - np.median(pixels))))


def mad_std_rows(rows: np.ndarray, sigma: float, maxiters: int | None) -> np.ndarray:
    """Return 1.4826 median absolute deviations of what clipping leaves of each row.

    The rows are what `clip_rows` takes; NaN for one without pixels.
    """
    low, high, median, _, _ = clip_rows(rows, sigma, maxiters)
    off = np.where(_find_inside(rows, low, high), np.abs(rows - median[:, None]), np.inf)
    off.sort(axis=1)
    return _STD_PER_MAD * _describe_windows(off, np.zeros_like(low), high - low)[0]


def find_error_factor(a: float, b: float, sigma: float, maxiters: int | None) -> float:
    """Return sqrt(n) / s times the error of ``a * median + b * mean`` of clipped Gaussian noise.

    n pixels with standard deviation s are left by a clipping that ends at +-c in units of the
    true scatter: c = sigma at first, then sigma * sqrt(A/P), with P = P(|x| < c) the share that
    is left, p = phi(c) the density at the cut and A = P - 2 c p the integral of x^2 phi inside.
    Inside the cut, with p0 = phi(0), the influence functions are

        median   sign(x) / (2 p0) * g    g = 1 / (1 - p/p0), as the window follows the median
        mean     x / P + q * median      q = 2 c p / P, as the window shifts the mean

    so that the level is alpha sign(x) / (2 p0) + beta x with alpha = (a + b q) g, beta = b / P,
    and its variance times the number of pixels before clipping, n / P, is

        V = alpha^2 P / (4 p0^2) + beta^2 A + 2 alpha beta (p0 - p) / p0 .

    The true variance is s^2 P / A; the factor is sqrt(V P^2 / A).
    """
    cut = 40.0 if maxiters == 0 else min(float(sigma), 40.0)  # phi(40) is 0 in double precision
    for _ in range(50 if maxiters is None else max(maxiters - 1, 0)):
        inside, within, _ = _cut_gaussian(cut)
        cut = min(sigma * math.sqrt(within / inside), 40.0)
        if cut < 0.1:  # a clipping below sqrt(3) sigma never settles: real pixels run out first
            break
    inside, within, at_cut = _cut_gaussian(cut)
    p0 = 1.0 / math.sqrt(2.0 * math.pi)
    beta = b / inside
    alpha = (a + 2.0 * cut * at_cut * beta) / (1.0 - at_cut / p0)
    variance = (
        alpha**2 * inside / (4.0 * p0**2)
        + beta**2 * within
        + 2.0 * alpha * beta * (p0 - at_cut) / p0
    )
    return inside * math.sqrt(variance / within)


def _cut_gaussian(cut: float) -> tuple[float, float, float]:
    """Return the integrals of phi and x^2 phi over +-cut, and phi(cut)."""
    at_cut = math.exp(-0.5 * cut * cut) / math.sqrt(2.0 * math.pi)
    inside = math.erf(cut / math.sqrt(2.0))
    return inside, inside - 2.0 * cut * at_cut, at_cut
