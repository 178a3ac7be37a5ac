"""Exact likelihoods of pixels where the noise is not normal with a known variance.

The linear parameters are drawn as if the noise were normal, with the variance that the weights
stand for; what is kept is decided by the ratio of the exact density to that one.
"""

import math

import numpy as np

from .cache import borrowing
from .priors import log_prior_density
from .structs import (
    CCD_NOISE,
    DATA,
    FLUX_DENSITY,
    INFLATED,
    KNOWN,
    NEIGHBOURS,
    NORMAL_NOISE,
    PIXEL_WEIGHT,
    POISSON_NOISE,
    SCALED_NOISE,
    SHARED_MEAN,
    SHARED_PRECISION,
    STUDENT_NOISE,
    TRUE_DATA,
)

#: Between these a product can take one more factor.
_SMALL = 1e-150
_LARGE = 1e150


@borrowing
def ccd_variance(noise, mean, known):
    """Return the variance of a CCD's pixel: see ``split_pixel_likelihood``."""
    return max(noise[0] + max(mean + known, 0.0) * noise[1], noise[2])


@borrowing
def find_power(kind, noise):
    """Return the power c of the factors that ``split_pixel_likelihood`` returns."""
    if kind == CCD_NOISE:
        return -0.5
    if kind == STUDENT_NOISE:
        return -0.5 * (noise[0] + 1.0)
    return 1.0


@borrowing
def split_pixel_likelihood(kind, noise, data, mean, known):
    """Return s and f > 0 of a pixel's log likelihood s + c ln f, c = ``find_power()`` for all.

    Less what depends on the data alone. One logarithm then does for the product of many f.

    CCD: normal about the mean with variance v = n0 + max(mean + known, 0) n1, at least n2, where
    n0 = (read noise / gain)^2, n1 = 1 / gain and known is the level taken out of data and mean
    before; s = -r^2 / 2v, f = v. Poisson: s = k ln m - m with m = mean + known, k = data + known.
    In the others z^2 = r^2 known, known being 1 / scale^2. Normal: s = -z^2 / 2. Student t of n0
    degrees of freedom: -(n0 + 1) / 2 ln(1 + z^2 / n0). A normal of which a share n0 is n1 times
    wider: ln[(1 - n0) exp(-z^2 / 2) + n0 / n1 exp(-z^2 / 2 n1^2)].
    """
    r = data - mean
    if kind == CCD_NOISE:
        variance = ccd_variance(noise, mean, known)
        return -0.5 * r * r / variance, variance
    if kind == POISSON_NOISE:
        expected = mean + known
        counts = data + known
        if expected <= 0.0:
            return -np.inf, 1.0
        return counts * math.log(expected) - expected, 1.0
    chi2 = r * r * known
    if kind == SCALED_NOISE:
        return -0.5 * chi2, 1.0
    if kind == STUDENT_NOISE:
        return 0.0, 1.0 + chi2 / noise[0]
    # Contaminated: the wide normal, which is never 0 beside the other, taken out.
    wide = 0.5 * chi2 / (noise[1] * noise[1])
    core = (1.0 - noise[0]) * math.exp(wide - 0.5 * chi2)
    return -wide, core + noise[0] / noise[1]


@borrowing
def log_pixel_likelihood(kind, noise, data, mean, known):
    """Return the log likelihood of a pixel: see `split_pixel_likelihood`."""
    s, factor = split_pixel_likelihood(kind, noise, data, mean, known)
    return s + find_power(kind, noise) * math.log(factor)


@borrowing
def fill_model(group, work, neighbours, linear, model):
    """Fill the model of a patch from the unit sources in the scratch and (fluxes, shared)."""
    for p in range(model.size):
        model[p] = neighbours[p]
    for e in range(group.n_shared):
        value = linear[group.n_source + e]
        column = group.columns[e]
        for p in range(model.size):
            model[p] += value * column[p]
    for k in range(group.n_source):
        first = group.window[k, 2]
        width = group.window[k, 3] - first
        for j in range(group.window[k, 1] - group.window[k, 0]):
            p = (group.window[k, 0] + j) * group.width + first
            row = model[p : p + width]
            unit = work.unit[k, j * width : (j + 1) * width]
            for i in range(width):
                row[i] += linear[k] * unit[i]


@borrowing
def log_exact_over_normal(group, work, linear):
    """Return the log ratio of the exact density to the one the linear parameters came from.

    Over the good pixels: exact likelihood over exp(-w r^2 / 2); over the linear parameters:
    priors that are neither flat nor normal. ``work.unit`` holds the unit sources. A sampled scale
    s of the noise divides residuals, p(r; s) = p(r / s) / s; its logarithm was drawn from the
    normal of its column's prior, which gives way to the prior of s.
    """
    s = 0.0
    n_shared = group.n_shared
    log_scale = 0.0
    if group.noise[INFLATED] > 0.0:
        n_shared -= 1
        log_scale = linear[group.n_source + n_shared]
        off = log_scale - group.shared[n_shared, SHARED_MEAN]
        s += 0.5 * off * off * group.shared[n_shared, SHARED_PRECISION] + log_scale
        s += log_prior_density(group.shared_density[n_shared], math.exp(log_scale))
    if group.n_density > 0:
        if group.flux_free == 1:
            for k in range(group.n_source):
                s += log_prior_density(group.prior[k, FLUX_DENSITY:], linear[k])
        for e in range(n_shared):
            s += log_prior_density(group.shared_density[e], linear[group.n_source + e])
    if group.noise_kind == NORMAL_NOISE or s == -np.inf:
        return s
    model = work.model
    fill_model(group, work, group.pixels[NEIGHBOURS], linear, model)
    shrink = math.exp(-log_scale)
    power = find_power(group.noise_kind, group.noise)
    product = 1.0
    for p in range(model.size):
        w = group.pixels[PIXEL_WEIGHT, p]
        if w > 0.0:
            r = group.pixels[DATA, p] - model[p]
            exact, factor = split_pixel_likelihood(
                group.noise_kind,
                group.noise,
                model[p] + shrink * (group.pixels[TRUE_DATA, p] - model[p]),
                model[p],
                group.pixels[KNOWN, p],
            )
            s += exact + 0.5 * w * r * r - log_scale
            product *= factor
            # Far from what a number can hold.
            if not _SMALL < product < _LARGE:
                s += power * math.log(product)
                product = 1.0
    return s + power * math.log(product)


@borrowing
def is_exact(group):
    """Return whether draws of the linear parameters need no correction."""
    return group.noise_kind == NORMAL_NOISE and group.n_density == 0
