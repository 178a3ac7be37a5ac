"""What the engines leave out of a group's log evidence: constants of likelihood and priors.

The engines integrate exp(mu^T M mu / 2 - log|M| / 2) times priors without their constants. The
evidence adds those of the pixels, of the linear parameters' integral, (2 pi)^(L/2), and of every
prior; it exists only where all of these are proper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.structs import (
    FLAT,
    FLUX_DENSITY,
    FLUX_MEAN,
    FLUX_PRECISION,
    N_DENSITY,
    N_SHAPE_PRIOR,
    NORMAL_NOISE,
    PRECISION_X,
    RADIUS,
    SHAPE_DENSITY,
    SHAPE_MEAN,
    SHAPE_PRECISION,
    TRUNCATED_NORMAL,
    UNIFORM,
    X_DENSITY,
    Y_DENSITY,
)
from bayesphot.patch import GroupData
from bayesphot.priors.expectation import gauss_legendre

__all__ = ["log_constants", "log_intensity_norm"]

_LOG_2PI = math.log(2.0 * math.pi)
#: Draws of the prior that tell which share of it keeps the order of close pairs.
ORDER_DRAWS = 40_000


def log_constants(
    data: GroupData,
    model,
    *,
    has_functions: bool,
    density: float | None = None,
    flat_sky: bool = False,
) -> np.ndarray:
    """Return (G,) constants to be added to each group's log evidence, NaN where it has none.

    Parameters
    ----------
    data : GroupData
        The batch as it was sampled.
    model : noise model or None
        None: normal noise.
    has_functions : bool
        Whether there are priors in Python, whose normalisation is not known.
    density : float, optional
        Expected sources in a pixel, of a prior of the scene: a source then brings
        `log_intensity_norm` in place of the prior of its disc, and evidences of different numbers
        of sources can be compared.
    flat_sky : bool
        Whether a flat prior of the sky counts as a density of 1: such evidences can be compared
        with one another where all have the same sky.
    """
    n_group = data.batch.rows.shape[0]
    if has_functions:
        return np.full(n_group, np.nan)
    norms = np.full(n_group, np.nan)
    for g in np.flatnonzero(_may_be_proper(data, flat_sky)):
        norms[g] = _log_prior_norm(data, int(g), density, flat_sky)
        if math.isfinite(norms[g]):
            norms[g] += _log_pixels(data, int(g), model)
    return norms


def _may_be_proper(data: GroupData, flat_sky: bool) -> np.ndarray:
    """Return which groups have no flat flux and no flat sky: most have, and are done with."""
    batch = data.batch
    shared = batch.shared_prior
    flat = np.any((shared[:, :, 1] == 0.0) & (shared[:, :, 2] == FLAT), axis=1) & (not flat_sky)
    if batch.flux_free:
        prior = batch.prior
        own = (prior[:, FLUX_PRECISION] == 0.0) & (prior[:, FLUX_DENSITY] == FLAT)
        flat |= np.logical_or.reduceat(own, batch.source_start[:-1])
    return ~flat


def _log_pixels(data: GroupData, g: int, model) -> float:
    """Return the likelihood's constants: of the pixels alone."""
    batch = data.batch
    here = slice(batch.pixel_start[g], batch.pixel_start[g + 1])
    weight = batch.weight[here]
    good = weight > 0.0
    w, d = weight[good], (batch.data[here] - batch.neighbours[here])[good]
    total = -0.5 * float(np.sum(w * d * d))
    if batch.noise_kind[g] == NORMAL_NOISE:
        return total + 0.5 * float(np.sum(np.log(w) - _LOG_2PI))
    known, true_data, _ = batch.known[:, here][:, good]
    return total + float(np.sum(model.log_norm(true_data, known)))


def _log_prior_norm(data: GroupData, g: int, density: float | None, flat_sky: bool) -> float:
    """Return the log normalisation of all priors, (2 pi)^(L/2) of the integral included."""
    batch = data.batch
    members = slice(batch.source_start[g], batch.source_start[g + 1])
    prior = batch.prior[members]
    codes = set(batch.free[batch.free_start[g] : batch.free_start[g + 1]].tolist())
    n = prior.shape[0]
    total = 0.0
    if batch.flux_free:
        for row in prior:
            other = row[FLUX_DENSITY : FLUX_DENSITY + N_DENSITY]
            total += _linear_norm(row[FLUX_MEAN], row[FLUX_PRECISION], other)
    for row in batch.shared_prior[g]:
        is_flat = row[1] == 0.0 and row[2] == FLAT
        total += 0.5 * _LOG_2PI if flat_sky and is_flat else _linear_norm(row[0], row[1], row[2:])
    total += _log_shape_norm(prior, sorted(code for code in codes if code >= 2 * n), n)
    axes = [_list_axes(row, k, codes) for k, row in enumerate(prior)]
    # Sources of a Poisson process are not told apart: their order is no choice of the prior.
    if density is not None:
        free = np.array([[axis.free for axis in pair] for pair in axes])
        return total + n * math.log(density) + log_intensity_norm(prior, free)
    for row, pair in zip(prior, axes, strict=True):
        if any(axis.free for axis in pair):
            total -= _log_mass(pair, float(row[RADIUS]))
    # Not worth the draws where another prior is improper already.
    if math.isnan(total):
        return total
    return total + _log_order_share(prior, axes)


def _log_shape_norm(prior: np.ndarray, codes: list[int], n: int) -> float:
    """Return the log norms of the normal priors of free shapes, by their codes."""
    n_shape = (prior.shape[1] - SHAPE_MEAN) // N_SHAPE_PRIOR
    shared = (n_shape + 2) * n
    places = [(0, c - shared) if c >= shared else (c % n, c // n - 2) for c in codes]
    total = 0.0
    for k in {k for k, _ in places}:
        shapes = [j for row, j in places if row == k]
        normal = [j for j in shapes if prior[k, SHAPE_DENSITY + N_SHAPE_PRIOR * j] == FLAT]
        precision = np.diag([prior[k, SHAPE_PRECISION + N_SHAPE_PRIOR * j] for j in normal])
        for i, high in enumerate(normal):
            for h, low in enumerate(normal[:i]):
                place = SHAPE_MEAN + N_SHAPE_PRIOR * n_shape + high * (high - 1) // 2 + low
                precision[i, h] = precision[h, i] = prior[k, place]
        if normal:
            sign, log_det = np.linalg.slogdet(precision)
            total += 0.5 * (log_det - len(normal) * _LOG_2PI) if sign > 0.0 else math.nan
    return total


def log_intensity_norm(prior: np.ndarray, free: np.ndarray) -> float:
    """Return the log norms that turn the priors of some positions into intensities of sources.

    The intensity is the density times the normalised prior of each coordinate that has one of its
    own, times one pixel, inside the disc; a fixed coordinate is the limit of a narrow prior, and
    counts as one pixel. Nothing depends on the radius, which grows and shrinks with the mates.
    Densities bring their norms with them (that of `Uniform` with one bound is 1): what is left are
    those of normals, (p / 2 pi)^(1/2).

    Parameters
    ----------
    prior : (n, 26 + 8 J) array
        Priors of the sources.
    free : (n, 2) bool array
        Which of their coordinates are free.
    """
    precision = prior[:, [PRECISION_X, PRECISION_X + 1]]
    normal = free & (precision > 0.0) & (prior[:, [X_DENSITY, Y_DENSITY]] == FLAT)
    return 0.5 * float(np.sum(np.log(precision[normal]) - _LOG_2PI))


def _normal_norm(precision: float) -> float:
    """Return the log normalisation of a normal, NaN of a flat prior."""
    return 0.5 * (math.log(precision) - _LOG_2PI) if precision > 0.0 else math.nan


def _linear_norm(mean: float, precision: float, density: np.ndarray) -> float:
    """Return what a linear parameter adds; a density of its own has its normalisation in it."""
    total = 0.5 * _LOG_2PI - 0.5 * precision * mean * mean
    if density[0] == FLAT:
        return total + _normal_norm(precision)
    bounded = density[0] != UNIFORM or np.isfinite(density[2:4]).all() or precision > 0.0
    return total if bounded else math.nan


@dataclass(frozen=True)
class _Axis:
    """The prior of one coordinate's offset inside the disc: exp(c - p (v - m)^2 / 2) on [a, b]."""

    free: bool
    mean: float = 0.0
    precision: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    constant: float = 0.0

    def integrate(self, low, high):
        """Return the integral from low to high."""
        from scipy.special import ndtr

        low, high = np.maximum(low, self.low), np.minimum(high, self.high)
        if self.precision == 0.0:
            inside = high - low
        else:
            root = math.sqrt(self.precision)
            inside = ndtr((high - self.mean) * root) - ndtr((low - self.mean) * root)
            inside = inside * math.sqrt(2.0 * math.pi / self.precision)
        return np.maximum(inside, 0.0) * math.exp(self.constant)

    def draw(self, rng, n: int, radius: float) -> np.ndarray:
        """Return n offsets from it, those outside [a, b] NaN; flat: uniform over the disc's box."""
        if not self.free:
            return np.zeros(n)
        if self.precision > 0.0:
            value = self.mean + rng.standard_normal(n) / math.sqrt(self.precision)
        else:
            value = rng.uniform(-radius, radius, n)
        return np.where((value >= self.low) & (value <= self.high), value, np.nan)


def _list_axes(row: np.ndarray, k: int, codes: set[int]) -> tuple[_Axis, _Axis]:
    """Return the priors of a source's two coordinates."""
    axes = []
    for code, precision, place in (
        (2 * k, row[PRECISION_X], X_DENSITY),
        (2 * k + 1, row[PRECISION_X + 1], Y_DENSITY),
    ):
        density = row[place : place + N_DENSITY]
        kind, constant = int(density[0]), float(density[1])
        if code not in codes:
            axes.append(_Axis(False))
        elif kind == FLAT:
            axes.append(_Axis(True, precision=float(precision)))
        elif kind == UNIFORM:
            low, high = density[2:4]
            axes.append(_Axis(True, 0.0, float(precision), low, high, constant))
        else:
            # A normal about another place than the start, cut or not.
            low, high = density[4:6] if kind == TRUNCATED_NORMAL else (-math.inf, math.inf)
            axes.append(_Axis(True, density[2], 1.0 / density[3] ** 2, low, high, constant))
    return axes[0], axes[1]


def _log_mass(axes: tuple[_Axis, _Axis], radius: float) -> float:
    """Return the log integral of a position's prior over its disc, NaN where it diverges."""
    free = [axis for axis in axes if axis.free]
    if len(free) == 1:
        mass = float(free[0].integrate(-radius, radius))
    elif all(a.precision == 0.0 and math.isinf(a.high - a.low) for a in free):
        mass = math.exp(sum(a.constant for a in free)) * math.pi * radius**2
    elif math.isinf(radius):
        mass = float(np.prod([a.integrate(-math.inf, math.inf) for a in free]))
    else:
        mass = _integrate_disc(free[0], free[1], radius)
    return math.log(mass) if 0.0 < mass < math.inf else math.nan


def _integrate_disc(across: _Axis, down: _Axis, radius: float) -> float:
    """Return the integral over a disc: in y exactly, in x by Gauss and Legendre."""
    low, high = max(-radius, across.low), min(radius, across.high)
    if across.precision > 0.0:
        reach = 9.0 / math.sqrt(across.precision)
        low, high = max(low, across.mean - reach), min(high, across.mean + reach)
    if not low < high:
        return 0.0
    node, weight = gauss_legendre(200)
    x = 0.5 * (low + high) + 0.5 * (high - low) * node
    half = np.sqrt(np.maximum(radius**2 - x**2, 0.0))
    inner = down.integrate(-half, half)
    outer = np.exp(across.constant - 0.5 * across.precision * (x - across.mean) ** 2)
    return float(0.5 * (high - low) * np.sum(weight * outer * inner))


def _log_order_share(prior: np.ndarray, axes: list) -> float:
    """Return minus the log of the share of the positions' prior that keeps the order of pairs."""
    center, radius = prior[:, :2], prior[:, RADIUS]
    n = prior.shape[0]
    pairs = [
        (k, m)
        for k in range(n)
        for m in range(k)
        if np.hypot(*(center[k] - center[m])) < radius[k] + radius[m] < math.inf
    ]
    if not pairs:
        return 0.0
    # Always the same draws: a constant must not depend on who asks.
    rng = np.random.default_rng(0)
    keeps = np.ones(ORDER_DRAWS, dtype=bool)
    offset = np.stack([_draw_disc(rng, axes[k], float(radius[k])) for k in range(n)])
    place = offset + center[:, None]
    for k, m in pairs:
        keeps &= ((place[k] - place[m]) * (center[k] - center[m])).sum(axis=1) >= 0.0
    share = keeps.mean()
    return -math.log(share) if share > 0.0 else math.nan


def _draw_disc(rng, axes: tuple[_Axis, _Axis], radius: float) -> np.ndarray:
    """Return ORDER_DRAWS offsets (n, 2) of a source from its position's prior."""
    kept = np.empty((0, 2))
    while kept.shape[0] < ORDER_DRAWS:
        trial = np.stack([axis.draw(rng, ORDER_DRAWS, radius) for axis in axes], axis=1)
        with np.errstate(invalid="ignore"):
            kept = np.concatenate([kept, trial[(trial**2).sum(axis=1) <= radius**2]])
    return kept[:ORDER_DRAWS]
