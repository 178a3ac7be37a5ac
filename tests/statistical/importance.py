"""The posterior of one group by importance sampling: plain numpy, its own density.

The density is that of the documentation, written out over pixels with scipy's erf: residuals,
discs, orders, floors, normal priors. Positions and shapes are proposed from a wide Student t that
learns from pilot rounds; fluxes and sky from a normal around their least squares. Every weight is
joint density over proposal density, so no shortcut of either enters the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import FWHM_PER_SIGMA, integrate_axis
from scipy import stats

#: The documented defaults.
RADIUS_ALONE, RADIUS_BLENDED = 1.0, 0.5
FLOOR = 5.0
SHAPE_WIDTH = 0.2


@dataclass(frozen=True, eq=False)
class Problem:
    """One group: its good pixels once, its starts, and what is free.

    ``shape`` is "fixed", "shared" or "own"; ``sky`` "none", "prior", "flat" or "plane". A joint
    vector holds x and y of each star, ln sigma, fluxes, sky.
    """

    x: np.ndarray
    y: np.ndarray
    data: np.ndarray
    error: np.ndarray
    start: np.ndarray
    sigma: float
    free_positions: bool
    shape: str
    sky: str
    sky_level: float = 0.0
    sky_error: float = np.inf

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return len(self.start)

    @property
    def n_nonlinear(self) -> int:
        """Number of free positions and widths."""
        widths = {"fixed": 0, "shared": 1, "own": self.n_star}[self.shape]
        return 2 * self.n_star * self.free_positions + widths

    @property
    def n_sky(self) -> int:
        """Number of sky columns."""
        return {"none": 0, "prior": 1, "flat": 1, "plane": 3}[self.sky]

    @property
    def fwhm(self) -> float:
        """Full width at half maximum at the start."""
        return self.sigma * FWHM_PER_SIGMA


def cut_problem(image, error, start, fit_shape: int, **others) -> Problem:
    """Return the problem over the union of the fit boxes around the starts."""
    half = fit_shape // 2
    inside = np.zeros(image.shape, dtype=bool)
    for x, y in start:
        row, col = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        inside[row - half : row + half + 1, col - half : col + half + 1] = True
    rows, cols = np.nonzero(inside)
    return Problem(
        x=cols.astype(float),
        y=rows.astype(float),
        data=image[inside],
        error=error[inside],
        start=np.asarray(start, dtype=float),
        **others,
    )


def read_nonlinear(problem: Problem, theta: np.ndarray):
    """Return places (m, n, 2) and ln sigma (m, n) of vectors (m, D)."""
    m, n = len(theta), problem.n_star
    place = np.broadcast_to(problem.start, (m, n, 2))
    used = 0
    if problem.free_positions:
        place, used = theta[:, : 2 * n].reshape(m, n, 2), 2 * n
    log_sigma = np.full((m, n), np.log(problem.sigma))
    if problem.shape != "fixed":
        log_sigma = np.broadcast_to(theta[:, used:], (m, n))
    return place, log_sigma


def build_design(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return design matrices (m, pixel, column) divided by the error: unit stars, sky columns."""
    place, log_sigma = read_nonlinear(problem, theta)
    sigma = np.exp(log_sigma)[..., None]
    # Profiles on the distinct columns and rows only: erf is what takes the time.
    across, at_x = np.unique(problem.x, return_inverse=True)
    down, at_y = np.unique(problem.y, return_inverse=True)
    profile_x = integrate_axis(across, place[..., :1], sigma)[..., at_x]
    profile_y = integrate_axis(down, place[..., 1:], sigma)[..., at_y]
    stars = np.moveaxis(profile_x * profile_y, 1, 2)
    middle_x = 0.5 * (problem.x.min() + problem.x.max())
    middle_y = 0.5 * (problem.y.min() + problem.y.max())
    sky = np.stack([np.ones_like(problem.x), problem.x - middle_x, problem.y - middle_y], axis=1)
    sky = np.broadcast_to(sky[:, : problem.n_sky], (len(theta), sky.shape[0], problem.n_sky))
    return np.concatenate([stars, sky], axis=2) / problem.error[:, None]


def find_discs(problem: Problem):
    """Return the radius of each position disc and which pairs of discs meet."""
    n = problem.n_star
    between = problem.start[:, None] - problem.start[None]
    separation = np.hypot(*np.moveaxis(between, 2, 0)) + np.diag(np.full(n, np.inf))
    blended = (separation < 2 * RADIUS_ALONE * problem.fwhm).any(axis=1)
    radius = problem.fwhm * np.where(blended, RADIUS_BLENDED, RADIUS_ALONE)
    meet = separation < radius[:, None] + radius[None]
    return radius, meet


def log_prior(problem: Problem, theta: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Return the log prior of (m, D) nonlinear and (m, L) linear vectors."""
    n = problem.n_star
    place, log_sigma = read_nonlinear(problem, theta)
    value = np.zeros(len(theta))
    if problem.free_positions:
        radius, meet = find_discs(problem)
        offset = place - problem.start
        outside = (np.hypot(offset[..., 0], offset[..., 1]) > radius).any(axis=1)
        for i, j in zip(*np.nonzero(np.triu(meet)), strict=True):
            between = problem.start[i] - problem.start[j]
            outside |= (place[:, i] - place[:, j]) @ between < 0
        noise = problem.error[
            np.argmin(
                np.hypot(
                    problem.x - np.floor(problem.start[:, :1] + 0.5),
                    problem.y - np.floor(problem.start[:, 1:] + 0.5),
                ),
                axis=1,
            )
        ]
        floor = -FLOOR * 2 * np.sqrt(np.pi) * problem.sigma * noise
        below = linear[:, :n] < np.where(meet.any(axis=1), floor, -np.inf)
        value[outside | below.any(axis=1)] = -np.inf
    if problem.shape != "fixed":
        width = log_sigma if problem.shape == "own" else log_sigma[:, :1]
        value -= 0.5 * np.sum((width - np.log(problem.sigma)) ** 2, axis=1) / SHAPE_WIDTH**2
    if problem.sky == "prior":
        value -= 0.5 * ((linear[:, n] - problem.sky_level) / problem.sky_error) ** 2
    return value


def solve_linear(problem: Problem, design: np.ndarray):
    """Return (m, L) least-squares linear parameters and the Cholesky factors of their precision."""
    n = problem.n_star
    precision = np.einsum("mpi,mpj->mij", design, design)
    rhs = np.einsum("mpi,p->mi", design, problem.data / problem.error)
    if problem.sky == "prior":
        precision[:, n, n] += problem.sky_error**-2
        rhs[:, n] += problem.sky_level * problem.sky_error**-2
    # Any normal will do as a proposal; far outside the discs the columns all but vanish.
    diagonal = np.einsum("mii->mi", precision)
    diagonal += 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-9
    return np.linalg.solve(precision, rhs[..., None])[..., 0], np.linalg.cholesky(precision)


@dataclass(frozen=True, eq=False)
class Proposal:
    """Student t of a few degrees of freedom."""

    mean: np.ndarray
    covariance: np.ndarray
    dof: float = 6.0

    def draw(self, rng, m: int):
        """Return m vectors and their log densities."""
        if self.mean.size == 0:
            return np.empty((m, 0)), np.zeros(m)
        law = stats.multivariate_t(self.mean, self.covariance, df=self.dof, seed=rng)
        theta = law.rvs(m).reshape(m, self.mean.size)
        return theta, np.atleast_1d(law.logpdf(theta))


def draw_weighted(problem: Problem, proposal: Proposal, rng, m: int):
    """Return joint vectors (m, D + L) and their log weights."""
    theta, log_q = proposal.draw(rng, m)
    design = build_design(problem, theta)
    mean, factor = solve_linear(problem, design)
    normal = rng.standard_normal(mean.shape)
    step = np.linalg.solve(np.swapaxes(factor, 1, 2), normal[..., None])[..., 0]
    linear = mean + step
    log_q += np.log(np.einsum("mii->mi", factor)).sum(axis=1) - 0.5 * np.sum(normal**2, axis=1)
    residual = problem.data / problem.error - np.einsum("mpi,mi->mp", design, linear)
    log_joint = log_prior(problem, theta, linear) - 0.5 * np.sum(residual**2, axis=1)
    return np.concatenate([theta, linear], axis=1), log_joint - log_q


def weigh(log_weight: np.ndarray) -> np.ndarray:
    """Return weights that sum to one."""
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def first_proposal(problem: Problem) -> Proposal:
    """Return a proposal about the starts, as wide as a tenth of the discs."""
    n = problem.n_star
    mean, variance = [], []
    if problem.free_positions:
        mean, variance = list(problem.start.ravel()), [(0.1 * problem.fwhm) ** 2] * (2 * n)
    n_width = problem.n_nonlinear - len(mean)
    mean += [np.log(problem.sigma)] * n_width
    variance += [0.1**2] * n_width
    return Proposal(np.array(mean), np.diag(variance))


def learn_proposal(problem: Problem, rng, *, m: int = 4000, rounds: int = 12) -> Proposal:
    """Return a proposal fitted to the posterior in pilot rounds with tempered weights."""
    proposal = first_proposal(problem)
    d = problem.n_nonlinear
    for _round in range(rounds if d else 0):
        vectors, log_weight = draw_weighted(problem, proposal, rng, m)
        theta = vectors[:, :d]
        # Temper until a fair share of the pilots carries weight.
        power = 1.0
        while 1.0 / np.sum(weigh(power * log_weight) ** 2) < 20 * d and power > 1e-3:
            power *= 0.8
        weight = weigh(power * log_weight)
        mean = weight @ theta
        covariance = (weight[:, None] * (theta - mean)).T @ (theta - mean)
        proposal = Proposal(mean, 1.2 * covariance + 1e-10 * np.eye(d))
    return proposal


def sample_posterior(problem: Problem, rng, *, n_batch: int, m: int):
    """Return vectors (n_batch, m, D + L) and weights (n_batch, m), batches independent."""
    proposal = learn_proposal(problem, rng)
    batches = [draw_weighted(problem, proposal, rng, m) for _ in range(n_batch)]
    return np.stack([v for v, _ in batches]), np.stack([weigh(w) for _, w in batches])


def estimate_moments(vectors, weight, scale_mean, scale_sd):
    """Return each batch's means and covariances in units of given means and deviations.

    ``vectors`` (batch, m, D) with weights (batch, m). Covariances are about ``scale_mean``,
    which makes them plain averages.
    """
    z = (vectors - scale_mean) / scale_sd
    mean = np.einsum("bm,bmi->bi", weight, z)
    product = np.einsum("bm,bmi,bmj->bij", weight, z, z)
    upper = np.triu_indices(z.shape[2])
    return np.concatenate([mean, product[:, upper[0], upper[1]]], axis=1)
