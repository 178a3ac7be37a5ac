"""How far data lie from a state of their group, and how far data drawn from it would."""

import math

import numpy as np

from .cache import borrowing, compiled
from .group import allocate_work, unpack_group
from .noise import ccd_variance, fill_model, log_pixel_likelihood
from .psf import fill_unit
from .shapes import write_shape
from .structs import (
    CCD_NOISE,
    FLUX,
    INFLATED,
    NORMAL_NOISE,
    POISSON_NOISE,
    SCALED_NOISE,
    SHAPE,
    VALUE,
    PSFData,
)

#: Rows of ``out``: discrepancy of the data, mean and variance of that of replicated data.
OBSERVED = 0
EXPECTED = 1
SPREAD = 2


@compiled
def fill_discrepancies(batch, source, shape, shared, pick, moments, correlation, out):
    """Fill the discrepancies of all groups of a batch at some of their draws.

    Over the good pixels D = sum_i d_i, where for normal noise and a CCD d = r^2 / v, for counts
    d = r^2 / m (Pearson), and for noise with outliers d = -2 log p(r), each about the state's own
    model. Replicated data have the mean and variance per pixel (1, 2), for counts (1, 2 + 1 / m),
    and for outliers ``moments``.

    Parameters
    ----------
    batch : Batch
    source : (3, S, n)
        Draws of x, y, flux.
    shape : (J or 0, S, n)
        Draws of the shapes, where one is free.
    shared : (E, G, n)
        Draws of the shared columns.
    pick : (m)
        Which of the n draws.
    moments : (2)
        Mean and variance of d of one pixel, where they are constants of the noise kind.
    correlation : float
        Factor that was put on the noise of every pixel, and is no scatter of its own.
    out : (3, G, m)
        D, its mean and its variance over replicated data; left alone where there are no draws.
    """
    for g in range(batch.rows.shape[0]):
        group = unpack_group(batch, g)
        work = allocate_work(batch, g, group)
        first = batch.pixel_start[g]
        end = batch.pixel_start[g + 1]
        a = batch.source_start[g]
        if not math.isfinite(source[0, a, 0]):
            continue
        model = np.empty(end - first)
        for i in range(pick.size):
            m = pick[i]
            for k in range(group.n_source):
                work.state[k, 0] = source[0, a + k, m] - batch.rows[g, 3]
                work.state[k, 1] = source[1, a + k, m] - batch.rows[g, 2]
                work.vector[VALUE, k] = work.state[k, FLUX]
                if group.flux_free == 1:
                    work.vector[VALUE, k] = source[2, a + k, m]
                for j in range(shape.shape[0]):
                    column = write_shape(group.psf.kind, j, shape[j, a + k, m])
                    work.state[k, SHAPE + j] = column
                window = group.window[k]
                size = (window[1] - window[0]) * (window[3] - window[2])
                unit = work.unit[k, :size]
                numbers = group.tables[min(k, group.tables.shape[0] - 1)]
                psf = PSFData(group.psf.kind, group.psf.row, group.psf.column, numbers)
                fill_unit(psf, work.state[k], window, work.lines, unit)
            for e in range(group.n_shared):
                work.vector[VALUE, group.n_source + e] = shared[e, g, m]
            fill_model(group, work, batch.neighbours[first:end], work.vector[VALUE], model)
            stretch = correlation
            if group.noise[INFLATED] > 0.0:
                stretch /= shared[group.n_shared - 1, g, m]
            observed = 0.0
            expected = 0.0
            spread = 0.0
            for p in range(model.size):
                if batch.weight[first + p] > 0.0:
                    if group.noise_kind == NORMAL_NOISE:
                        r = stretch * (batch.data[first + p] - model[p])
                        observed += batch.weight[first + p] * r * r
                        expected += 1.0
                        spread += 2.0
                    else:
                        data = model[p] + stretch * (batch.known[1, first + p] - model[p])
                        known = batch.known[0, first + p]
                        d, mean, variance = _compare_pixel(
                            group.noise_kind, group.noise, data, model[p], known, moments
                        )
                        observed += d
                        expected += mean
                        spread += variance
            out[OBSERVED, g, i] = observed
            out[EXPECTED, g, i] = expected
            out[SPREAD, g, i] = spread


@borrowing
def _compare_pixel(kind, noise, data, mean, known, moments):
    """Return the discrepancy of a pixel, and mean and variance of that of a replicated one."""
    r = data - mean
    if kind == CCD_NOISE:
        return r * r / ccd_variance(noise, mean, known), 1.0, 2.0
    if kind == POISSON_NOISE:
        expected = max(mean + known, 1e-300)
        return r * r / expected, 1.0, 2.0 + 1.0 / expected
    if kind == SCALED_NOISE:
        return r * r * known, 1.0, 2.0
    d = -2.0 * log_pixel_likelihood(kind, noise, data, mean, known)
    return d, moments[0], moments[1]
