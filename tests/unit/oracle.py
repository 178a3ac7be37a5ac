"""The readable, slow twin of the kernels: one group in plain numpy and scipy.

Nothing here comes from the package: pixels are found from the boxes, profiles from erf,
derivatives by complex steps, optima by scipy. A joint vector holds (fluxes, sky, nonlinear).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import erf

CENTER = slice(0, 2)
RADIUS = 2
POSITION_PRECISION = slice(3, 5)
FLUX_MEAN, FLUX_PRECISION, FLUX_FLOOR, SHAPE_MEAN, SHAPE_PRECISION = 5, 6, 7, 26, 27


def integrate_axis(pixel, center, sigma):
    """Return the integral of a unit normal over pixels of one axis; complex arguments pass."""
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    return 0.5 * (erf((pixel + 0.5 - center) * scale) - erf((pixel - 0.5 - center) * scale))


def render_source(x, y, source):
    """Return a source (x, y, flux, ln sigma) over pixels at x, y."""
    sigma = np.exp(source[3])
    return source[2] * integrate_axis(x, source[0], sigma) * integrate_axis(y, source[1], sigma)


def render_image(shape, sources):
    """Return an image of sources (n, 4)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for source in sources:
        image += render_source(x, y, source)
    return image


@dataclass(frozen=True, eq=False)
class OracleGroup:
    """Good pixels of one group, each once, and everything its posterior needs.

    ``data`` are less the neighbours; ``free`` names the nonlinear parameters as ("x", k),
    ("y", k), ("shape", k, 0), or ("shape", None, 0) where all sources share one.
    """

    x: np.ndarray
    y: np.ndarray
    data: np.ndarray
    weight: np.ndarray
    sky: np.ndarray
    shared_prior: np.ndarray
    state: np.ndarray
    prior: np.ndarray
    free: tuple
    free_flux: bool = True

    @property
    def n_source(self):
        return len(self.state)

    @property
    def n_linear(self):
        return self.n_source * self.free_flux + self.sky.shape[1]


def cut_group(image, weight, boxes, n_sky, **others):
    """Return the group over the union of boxes (r0, r1, c0, c1); bad pixels have weight 0."""
    inside = np.zeros(image.shape, bool)
    for r0, r1, c0, c1 in boxes:
        inside[r0:r1, c0:c1] = True
    rows, cols = np.nonzero(inside & (weight > 0))
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    middle_row, middle_col = (low[0] + high[1] - 1) / 2, (low[2] + high[3] - 1) / 2
    columns = np.stack([np.ones(rows.size), cols - middle_col, rows - middle_row], axis=1)
    return OracleGroup(
        x=cols.astype(float),
        y=rows.astype(float),
        data=image[rows, cols],
        weight=weight[rows, cols],
        sky=columns[:, :n_sky],
        **others,
    )


def start_theta(group):
    """Return the free nonlinear parameters of the group's state."""
    column = {"x": 0, "y": 1, "shape": 3}
    return np.array([group.state[k or 0, column[name]] for name, k, *_ in group.free])


def place_sources(group, theta):
    """Return the (n, 4) sources with the nonlinear parameters put in."""
    state = np.array(group.state, dtype=np.result_type(theta, float))
    column = {"x": 0, "y": 1, "shape": 3}
    for value, (name, k, *_) in zip(theta, group.free, strict=True):
        state[slice(None) if k is None else k, column[name]] = value
    return state


def build_design(group, theta):
    """Return the design matrix: unit sources, then sky columns."""
    unit = place_sources(group, theta)
    unit[:, 2] = 1.0
    return np.stack([render_source(group.x, group.y, s) for s in unit] + list(group.sky.T), axis=1)


def build_system(group, theta):
    """Return (M, M mu, data less known fluxes) of the free linear parameters."""
    design = build_design(group, theta)
    data = group.data
    precision = group.shared_prior[:, 1]
    mean = group.shared_prior[:, 0]
    if group.free_flux:
        precision = np.concatenate([group.prior[:, FLUX_PRECISION], precision])
        mean = np.concatenate([group.prior[:, FLUX_MEAN], mean])
    else:
        n = group.n_source
        data = data - design[:, :n] @ group.state[:, 2]
        design = design[:, n:]
    matrix = design.T @ (group.weight[:, None] * design) + np.diag(precision)
    return matrix, design.T @ (group.weight * data) + precision * mean, data


def solve_linear(group, theta):
    """Return the exact normal posterior of the linear parameters: mean and covariance."""
    matrix, rhs, _ = build_system(group, theta)
    covariance = np.linalg.inv(matrix)
    return covariance @ rhs, covariance


def log_prior(group, theta):
    """Return the log prior of positions and shapes, -inf outside discs and orders."""
    state = place_sources(group, theta)
    center = group.prior[:, CENTER]
    offset = state[:, :2] - center
    if np.any(np.hypot(*offset.T) > group.prior[:, RADIUS]):
        return -np.inf
    for k in range(group.n_source):
        for m in range(k):
            between = center[k] - center[m]
            meet = np.hypot(*between) < group.prior[k, RADIUS] + group.prior[m, RADIUS] < np.inf
            if meet and (state[k, :2] - state[m, :2]) @ between < 0:
                return -np.inf
    value = -0.5 * np.sum(offset**2 * group.prior[:, POSITION_PRECISION])
    for name, k, *_ in group.free:
        if name == "shape":
            k = k or 0
            off = state[k, 3] - group.prior[k, SHAPE_MEAN]
            value -= 0.5 * off**2 * group.prior[k, SHAPE_PRECISION]
    return value


def log_density(group, theta):
    """Return the collapsed log posterior of the nonlinear parameters, less its constants."""
    prior = log_prior(group, theta)
    if prior == -np.inf:
        return prior
    matrix, rhs, data = build_system(group, theta)
    quadratic = 0.5 * rhs @ np.linalg.solve(matrix, rhs) if rhs.size else 0.0
    # The data's own sum of squares is constant but where known fluxes move.
    quadratic -= 0.5 * np.sum(group.weight * data**2)
    return quadratic - 0.5 * np.linalg.slogdet(matrix)[1] + prior


def profile_log_likelihood(group, theta):
    """Return the log density without its determinant: minus half the least chi-squared."""
    matrix, _, _ = build_system(group, theta)
    return log_density(group, theta) + 0.5 * np.linalg.slogdet(matrix)[1]


def residuals(group, joint):
    """Return weighted residuals of the pixels, then of the normal priors; complex passes."""
    n, m = group.n_source, group.n_linear
    theta = joint[m:]
    state = place_sources(group, theta)
    fluxes = joint[:n] if group.free_flux else group.state[:, 2]
    sky = joint[n * group.free_flux : m]
    model = build_design(group, theta) @ np.concatenate([fluxes, sky])
    rows = [np.sqrt(group.weight) * (model - group.data)]
    if group.free_flux:
        rows.append(np.sqrt(group.prior[:, FLUX_PRECISION]) * (fluxes - group.prior[:, FLUX_MEAN]))
    rows.append(np.sqrt(group.shared_prior[:, 1]) * (sky - group.shared_prior[:, 0]))
    offset = state[:, :2] - group.prior[:, CENTER]
    rows.append((np.sqrt(group.prior[:, POSITION_PRECISION]) * offset).ravel())
    for name, k, *_ in group.free:
        if name == "shape":
            k = k or 0
            root = np.sqrt(group.prior[k, SHAPE_PRECISION])
            rows.append(np.atleast_1d(root * (state[k, 3] - group.prior[k, SHAPE_MEAN])))
    return np.concatenate(rows)


def differentiate_residuals(group, joint):
    """Return the Jacobian of the residuals by complex steps: exact to rounding."""
    columns = []
    for p in range(joint.size):
        moved = joint.astype(complex)
        moved[p] += 1e-30j
        columns.append(residuals(group, moved).imag / 1e-30)
    return np.stack(columns, axis=1)


def build_fisher(group, joint):
    """Return the joint Fisher matrix, priors included."""
    jacobian = differentiate_residuals(group, joint)
    return jacobian.T @ jacobian


def fit_group(group):
    """Return the joint optimum by scipy's least squares, started at the state."""
    theta = start_theta(group)
    linear, _ = solve_linear(group, theta)
    fit = least_squares(
        lambda p: residuals(group, p),
        np.concatenate([linear, theta]),
        jac=lambda p: differentiate_residuals(group, p),
        x_scale="jac",
        method="lm",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    return fit.x


def sum_chi2(group, joint):
    """Return the chi-squared of the pixels alone."""
    return np.sum(residuals(group, joint)[: group.data.size] ** 2)


def invert_conditional(group, fisher, k):
    """Return the variance of flux k with its mates' fluxes and positions held fixed."""
    n, m = group.n_source, group.n_linear
    keep = [k, *range(n, m)]
    keep += [m + a for a, (name, owner, *_) in enumerate(group.free) if owner in (k, None)]
    return np.linalg.inv(fisher[np.ix_(keep, keep)])[0, 0]


@dataclass(frozen=True)
class Moments:
    """Means and standard deviations of x, y and flux of a lone source."""

    mean: np.ndarray
    sd: np.ndarray


def integrate_positions(group, n_grid=61):
    """Return the moments of a lone source of known shape by a grid over its disc.

    A floor of the flux truncates its conditional normal at every place of the grid.
    """
    from scipy.stats import norm

    center, radius = group.prior[0, CENTER], group.prior[0, RADIUS]
    line = (np.arange(n_grid) + 0.5) / n_grid * 2 * radius - radius
    offsets = [(u, v) for u in line for v in line if u * u + v * v < radius * radius]
    places = center + np.array(offsets)
    log_weight, flux = np.empty(len(places)), np.empty((len(places), 2))
    for i, theta in enumerate(places):
        mu, covariance = solve_linear(group, theta)
        sd = np.sqrt(covariance[0, 0])
        low = (group.prior[0, FLUX_FLOOR] - mu[0]) / sd
        above = norm.sf(low)
        hazard = norm.pdf(low) / above
        flux[i, 0] = mu[0] + sd * hazard
        flux[i, 1] = sd**2 * (1 + (low * hazard if np.isfinite(low) else 0.0) - hazard**2)
        log_weight[i] = log_density(group, theta) + np.log(above)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    values = np.column_stack([places, flux[:, 0]])
    mean = weight @ values
    variance = weight @ (values - mean) ** 2
    variance[2] += weight @ flux[:, 1]
    return Moments(mean, np.sqrt(variance))


def draw_truncated(group, theta, n_draw, rng):
    """Return (n_draw, L) linear parameters above the flux floors, by rejection."""
    mean, covariance = solve_linear(group, theta)
    kept = np.empty((0, mean.size))
    while len(kept) < n_draw:
        draws = rng.multivariate_normal(mean, covariance, size=n_draw)
        inside = np.all(draws[:, : group.n_source] >= group.prior[:, FLUX_FLOOR], axis=1)
        kept = np.concatenate([kept, draws[inside]])
    return kept[:n_draw]


@dataclass(frozen=True)
class WeightedDraws:
    """Draws of (linear, nonlinear) parameters with normalised weights."""

    value: np.ndarray
    weight: np.ndarray

    @property
    def mean(self):
        return self.weight @ self.value

    @property
    def sd(self):
        return np.sqrt(self.weight @ (self.value - self.mean) ** 2)

    def errors(self):
        """Return the sampling errors of mean and sd (delta method for ratio estimates)."""
        offset = self.value - self.mean
        square = self.weight**2
        of_mean = np.sqrt(square @ offset**2)
        of_sd = np.sqrt(square @ (offset**2 - self.sd**2) ** 2) / (2 * self.sd)
        return of_mean, of_sd


def draw_weighted(group, n_draw, rng, dof=5.0, widen=1.2):
    """Return the posterior by importance sampling from a Student t about the optimum."""
    joint = fit_group(group)
    m = group.n_linear
    factor = np.linalg.cholesky(np.linalg.inv(build_fisher(group, joint))[m:, m:]) * widen
    normal = rng.normal(size=(n_draw, joint.size - m))
    normal *= np.sqrt(dof / rng.chisquare(dof, n_draw))[:, None]
    log_weight = np.full(n_draw, -np.inf)
    value = np.zeros((n_draw, joint.size))
    for i, z in enumerate(normal):
        theta = joint[m:] + factor @ z
        log_posterior = log_density(group, theta)
        if log_posterior == -np.inf:
            continue
        mean, covariance = solve_linear(group, theta)
        linear = rng.multivariate_normal(mean, covariance)
        if group.free_flux and np.any(linear[: group.n_source] < group.prior[:, FLUX_FLOOR]):
            continue
        log_weight[i] = log_posterior + 0.5 * (dof + z.size) * np.log1p(z @ z / dof)
        value[i] = np.concatenate([linear, theta])
    weight = np.exp(log_weight - log_weight.max())
    return WeightedDraws(value, weight / weight.sum())
