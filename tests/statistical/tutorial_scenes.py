"""The two tutorial scenes with new noise each time: are claims about the truth kept?

The stars are point-sampled Gaussians of sigma 2; the pixel-integrated Gaussian nearest to them
has the variance less that of a pixel, sigma^2 = 4 - 1/12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import render_stars
from scipy import stats
from scipy.optimize import least_squares

import bayesphot as bp
from bayesphot.datasets import make_bright_pair, make_four_stars

SIGMA = np.sqrt(4.0 - 1.0 / 12.0)
SKY = 6.0
VARIANCE = 10.0
PAIR = {"x": [18.0, 13.0], "y": [17.0, 19.0], "flux": [10000.0, 1000.0]}
FOUR = {
    "x": [12.0, 17.0, 12.0, 17.0],
    "y": [15.0, 15.0, 20.0, 20.0],
    "flux": [700.0, 800.0, 700.0, 800.0],
}


@dataclass(frozen=True, eq=False)
class SceneOutcome:
    """What reruns of a scene gave.

    ``n_row`` counts rows of each rerun; the others are of the reruns with the right number:
    probability of the truth under each marginal (rerun, parameter), whether each is in its 68 %
    interval, and the probability of the truth's Mahalanobis distance under the joint posterior.
    """

    names: tuple[str, ...]
    n_row: np.ndarray
    place: np.ndarray
    joint: np.ndarray
    ended: np.ndarray

    def coverage(self, level: float) -> np.ndarray:
        """Return each parameter's fraction of reruns with the truth in the central interval."""
        return np.mean(np.abs(self.place - 0.5) <= 0.5 * level, axis=0)

    def joint_coverage(self, level: float) -> float:
        """Return the fraction of reruns with the truth in the joint ellipsoid."""
        return float(np.mean(self.joint <= level))


def configure_pair(niters, finder="iraf"):
    """Return the configuration of the second scene: sigma free, everything found."""
    psf = bp.IntegratedGaussianPRF(sigma=2.05)
    psf.sigma.fixed = False
    if finder == "iraf":
        # 2.5 times the sky's level, as in the tutorial.
        found = bp.IRAFStarFinder(threshold=2.5 * SKY, fwhm=4.5)
    else:
        found = bp.DAOStarFinder(nsigma=5.0, fwhm=4.7)
    return {
        "psf_model": psf,
        "fitshape": (11, 11),
        "finder": found,
        "group_maker": bp.DAOGroup(crit_separation=8.0),
        "bkg_estimator": bp.MMMBackground(),
        "niters": niters,
    }


def rerun_pair(n: int, seed: int, *, niters, finder: str = "iraf") -> SceneOutcome:
    """Measure the second scene n times."""
    rng = np.random.default_rng(seed)
    results = []
    for i in range(n):
        scene = make_bright_pair(rng)
        phot = bp.IterativelySubtractedPSFPhotometry(
            **configure_pair(niters, finder), seed=seed + i
        )
        results.append(phot(scene.image, scene.error))
    return gather(results, PAIR, ("sigma",))


def rerun_four(n: int, seed: int, *, centroids: str) -> SceneOutcome:
    """Measure the first scene n times, centroids "free" (and found) or "fixed" at the truth."""
    rng = np.random.default_rng(seed)
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.x_0.fixed = psf.y_0.fixed = centroids == "fixed"
    common = {
        "psf_model": psf,
        "fitshape": (11, 11),
        "group_maker": bp.DAOGroup(crit_separation=2.0 * 2.0 * 2.3548),
        "bkg_estimator": bp.MMMBackground(),
    }
    results = []
    for i in range(n):
        scene = make_four_stars(rng)
        if centroids == "fixed":
            phot = bp.BasicPSFPhotometry(**common, seed=seed + i)
            results.append(phot(scene.image, scene.error, positions=scene.truth))
        else:
            phot = bp.IterativelySubtractedPSFPhotometry(
                **common, finder=find_four(scene.image), niters=3, seed=seed + i
            )
            results.append(phot(scene.image, scene.error))
    return gather(results, FOUR, ())


def find_four(image):
    """Return the tutorial's finder of the first scene."""
    return bp.IRAFStarFinder(
        threshold=3.5 * bp.MADStdBackgroundRMS()(image),
        fwhm=4.7,
        minsep_fwhm=0.01,
        roundhi=5.0,
        roundlo=-5.0,
        sharplo=0.0,
        sharphi=2.0,
    )


def gather(results, truth: dict, shapes: tuple[str, ...]) -> SceneOutcome:
    """Return the outcome of some results against the truth."""
    n_row = np.array([len(result) for result in results])
    place, joint = [], []
    names: tuple[str, ...] = ()
    for result in results:
        if len(result) == len(truth["x"]):
            names, draws, target = stack_parameters(result, truth, shapes)
            place.append(np.mean(draws < target, axis=0))
            off = draws.mean(axis=0) - target
            covariance = np.cov(draws, rowvar=False)
            joint.append(stats.chi2.cdf(off @ np.linalg.solve(covariance, off), target.size))
    ended = np.array([result.meta["rounds"] for result in results])
    return SceneOutcome(names, n_row, np.array(place), np.array(joint), ended)


def stack_parameters(result, truth: dict, shapes: tuple[str, ...]):
    """Return names, draws (draw, parameter) and truth of the free parameters of one group."""
    from scipy.optimize import linear_sum_assignment

    x, y = (np.asarray(result[name])[None] for name in ("x_fit", "y_fit"))
    distance = np.hypot(x - np.array(truth["x"])[:, None], y - np.array(truth["y"])[:, None])
    order = linear_sum_assignment(distance)[1]
    names, draws, target = [], [], []
    for name in ("x", "y", "flux"):
        values = result.posterior[name].values
        values = values.reshape(-1, values.shape[2])[:, order]
        if np.all(values == values[0]):
            continue
        for k in range(order.size):
            names.append(f"{name}[{k + 1}]")
            draws.append(values[:, k])
            target.append(truth[name][k])
    for name in shapes:
        names.append(name)
        draws.append(result.posterior[name].values[..., 0].ravel())
        target.append(SIGMA)
    names.append("background")
    draws.append(result.posterior["background"].values[..., 0].ravel())
    target.append(SKY)
    return tuple(names), np.stack(draws, axis=1), np.array(target)


def fit_with_scipy(image, xy, flux, *, fit_shape: int | None, sigma: float | None = 2.0):
    """Return parameters (x, y, flux of each star, sigma, sky) and their errors.

    Pixels are the union of the boxes around the starts (None: the whole frame), each once;
    ``sigma`` is where a free sigma starts, None: fixed.
    """
    inside = np.ones(image.shape, dtype=bool)
    if fit_shape is not None:
        half = fit_shape // 2
        inside[:] = False
        for x, y in np.floor(np.asarray(xy) + 0.5).astype(int):
            inside[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1] = True
    n = len(xy)

    def residuals(p):
        stars = p[: 3 * n].reshape(n, 3)
        width = p[3 * n] if sigma is not None else SIGMA
        model = render_stars(image.shape, *stars.T, width) + p[-1]
        return ((image - model) / np.sqrt(VARIANCE))[inside]

    start = np.column_stack([xy, flux]).ravel()
    start = np.concatenate([start, [] if sigma is None else [sigma], [SKY]])
    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14}
    fit = least_squares(residuals, start, jac="3-point", x_scale="jac", method="lm", **tight)
    return fit.x, np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
