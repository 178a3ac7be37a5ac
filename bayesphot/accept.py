"""Whether the data prefer a group with one more source: the odds of two refits.

The evidence of a group at its optimum is Laplace's, all members' parameters included,

    ln Z = -(chi^2 + prior terms) / 2 + ln|2 pi C| / 2 + ln(norms) + sum ln E[p] + n ln(density),

with C the covariance of all free parameters. The normal priors of shapes and positions, which the
fit knows, count by their norms; densities p that it does not know, of fluxes above all, by their
mean E over the normal of the fit, one parameter at a time. Each disc counts as a normal of its own
variance, so that a direction which the data do not hold is no wider than its disc. A candidate
stays where Z with it exceeds Z without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bayesphot.evidence import log_intensity_norm
from bayesphot.fitting import GroupFit
from bayesphot.kernels.batches import FIT_CHI2
from bayesphot.kernels.structs import (
    CENTER_X,
    FLAT,
    FLUX,
    N_DENSITY,
    N_SHAPE_PRIOR,
    SHAPE,
    SHAPE_DENSITY,
    SHAPE_PRECISION,
    X_DENSITY,
    Y_DENSITY,
    X,
    Y,
)
from bayesphot.layout import Layout
from bayesphot.normal_priors import list_disc_precisions, list_normal_priors
from bayesphot.patch import GroupData
from bayesphot.priors import PowerLaw, Prior, ScenePrior
from bayesphot.priors.expectation import log_expectation, log_mean_density
from bayesphot.psf.transforms import find_slope, read_column

__all__ = [
    "ALPHA",
    "FAINTEST",
    "Fitted",
    "Odds",
    "choose_odds",
    "decide",
    "find_threshold",
    "weigh_fit",
]

#: False detections allowed per image; a share of them is for peaks of noise on an empty sky, the
#: rest for skies, variances and neighbours that are not quite known.
ALPHA = 0.01
NOISE_SHARE = 0.5
#: Default prior of a new source's flux: star counts that fall as f^-2 ...
INDEX = -2.0
#: ... from so many errors of a lone star of known place; one at 2 is not told from noise.
FAINTEST = 3.0
_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Odds:
    """Prior odds of sources.

    Parameters
    ----------
    density : float
        Expected number of new sources in a pixel.
    threshold : float
        Signal to noise at which a lone star of the default prior has even odds.
    scene : ScenePrior or None
        The user's prior; None: the default.
    """

    density: float
    threshold: float
    scene: ScenePrior | None = None

    def flux_pdf(self, flux_error: float) -> Prior:
        """Return the prior of a new source's flux where a lone star has this error."""
        if self.scene is not None:
            return self.scene.flux_pdf
        return PowerLaw(INDEX, FAINTEST * flux_error)


@dataclass(frozen=True, eq=False)
class Fitted:
    """One refit as the odds need it.

    Parameters
    ----------
    chi2 : float
        Chi-squared of the pixels.
    log_rest : float
        All else of the log evidence; NaN where the fit has no covariance.
    freedom : float
        What is expected of chi-squared: pixels less free parameters.
    """

    chi2: float
    log_rest: float
    freedom: float = 1.0


def find_threshold(n_good_pixel: int, sigma: float) -> float:
    """Return the z that noise alone exceeds anywhere in an image NOISE_SHARE ALPHA times.

    Peaks of a smooth Gaussian field above z (Adler 1981): for the score of a Gaussian PSF, in
    N = good pixels / (4 pi sigma^2) beams,  N z exp(-z^2 / 2) / sqrt(2 pi) = NOISE_SHARE ALPHA.
    """
    rate = NOISE_SHARE * ALPHA
    n_beam = max(n_good_pixel / (4.0 * math.pi * sigma**2), 1.0)
    z = 4.0
    for _step in range(20):
        z = math.sqrt(2.0 * math.log(n_beam * z / (math.sqrt(2.0 * math.pi) * rate)))
    return z


def choose_odds(scene: ScenePrior | None, n_good_pixel: int, sigma: float) -> Odds:
    """Return the prior odds of sources in an image.

    Without a prior of the scene, the expected number of new sources is rate z^3 / FAINTEST, z of
    `find_threshold` at its rate of false ones: then a peak of noise of that z has even odds. For a
    lone star of signal to noise z the Bayes factor is  sqrt(2 pi) FAINTEST exp(z^2 / 2) / (N z^4):
    the likelihood at the peak, 4 pi sigma^2 / z^2 pixels of place, and sqrt(2 pi) FAINTEST / z^2 of
    the flux.
    """
    z = find_threshold(n_good_pixel, sigma)
    if scene is not None:
        return Odds(scene.density, z, scene)
    expected = NOISE_SHARE * ALPHA * z**3 / FAINTEST
    return Odds(expected / max(n_good_pixel, 1), z)


def weigh_fit(
    data: GroupData, fit: GroupFit, g: int, layout: Layout, pdfs: list[Prior | None]
) -> Fitted:
    """Return the parts of a group's log evidence but for its sources' density.

    Parameters
    ----------
    data, fit : GroupData, GroupFit
        The batch and its optimum.
    g : int
        Which of its groups.
    layout : Layout
        Where the group's parameters sit.
    pdfs : list of Prior or None
        Priors of the members' fluxes; None for a flat one, which is left out.
    """
    here = slice(data.batch.source_start[g], data.batch.source_start[g + 1])
    source, prior = fit.source[here], data.batch.prior[here]
    covariance = fit.covariance_of(g)
    freedom = max(int(data.n_pixel[g]) - layout.size, 1)
    chi2 = float(fit.group[g, FIT_CHI2])
    if not np.isfinite(covariance).all():
        return Fitted(chi2, math.nan, freedom)
    common = data.batch.shared_prior[g]
    precision, offset = list_normal_priors(prior, common, source, fit.shared[g], layout)
    rest = -0.5 * float(precision @ offset**2)
    rest += _sum_norms(prior, layout)
    within, log_det = _hold_in_discs(covariance, prior, layout)
    rest += 0.5 * (layout.size * _LOG_2PI + log_det)
    rest += _sum_densities(prior, source, np.diagonal(within), layout, int(data.batch.psf.kind))
    if layout.free_flux:
        for k, pdf in enumerate(pdfs):
            if pdf is not None:
                rest += float(log_expectation(pdf, source[k, FLUX], covariance[k, k]))
    return Fitted(chi2, rest, freedom)


def _hold_in_discs(
    covariance: np.ndarray, prior: np.ndarray, layout: Layout
) -> tuple[np.ndarray, float]:
    """Return the covariance (C^-1 + D)^-1, D the precisions of the discs, and its ln|.|."""
    discs = list_disc_precisions(prior, layout)
    narrowed = np.eye(layout.size) + covariance * discs
    log_det = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(narrowed)[1]
    return np.linalg.solve(narrowed, covariance), float(log_det)


def _sum_norms(prior: np.ndarray, layout: Layout) -> float:
    """Return the log norms of the normal priors of shapes, and of positions as intensities."""
    places = [(k or 0, N_SHAPE_PRIOR * j[0]) for name, k, *j in layout.nonlinear if j]
    precision = np.array([prior[row, SHAPE_PRECISION + place] for row, place in places])
    known = precision[precision > 0.0]
    free = np.tile([layout.free_x, layout.free_y], (len(prior), 1))
    return 0.5 * float(np.sum(np.log(known) - _LOG_2PI)) + log_intensity_norm(prior, free)


def _sum_densities(
    prior: np.ndarray, source: np.ndarray, variance: np.ndarray, layout: Layout, kind: int
) -> float:
    """Return ln E[p] of shapes and positions whose prior is more than a normal about the start.

    A shape s has the density p(s) ds/dc in its column c, in which the fit is normal.
    """
    total = 0.0
    for place, (name, k, *j) in enumerate(layout.nonlinear, start=layout.n_linear):
        row = 0 if k is None else k
        spread = float(variance[place])
        if name == "shape":
            density = prior[row, SHAPE_DENSITY + N_SHAPE_PRIOR * j[0] :]
            column = source[row, SHAPE + j[0]]
            value, slope = read_column(kind, j[0], column), float(find_slope(kind, j[0], column))
            spread, jacobian = spread * slope**2, math.log(slope)
        else:
            axis = X if name == "x" else Y
            density = prior[row, (X_DENSITY if name == "x" else Y_DENSITY) :]
            value, jacobian = source[row, axis] - prior[row, CENTER_X + axis], 0.0
        if density[0] != FLAT:
            total += float(log_mean_density(density[:N_DENSITY], value, spread)) + jacobian
    return total


def decide(with_one: Fitted, without: Fitted, flux: float, odds: Odds) -> tuple[bool, float]:
    """Return whether a candidate stays, and the log of its posterior odds.

    A misfit that both share scales chi-squared to one per degree of freedom. A phantom of negative
    flux is no source, nor is one that the data cannot tell from its mates.

    Parameters
    ----------
    with_one, without : Fitted
        Refits of the group with and without it, on the same pixels.
    flux : float
        Its fitted flux.
    odds : Odds
        Prior odds.
    """
    scale = max(with_one.chi2 / with_one.freedom, 1.0)
    gain = 0.5 * (without.chi2 - with_one.chi2) / scale
    rest = with_one.log_rest - without.log_rest
    if math.isnan(without.log_rest):
        # Without a covariance of the others there is nothing to compare but the gain.
        rest = -math.log(max(odds.density, 1e-300)) - 0.5 * odds.threshold**2
    log_odds = math.log(odds.density) + gain + rest
    if not flux > 0.0 or math.isnan(log_odds):
        log_odds = -math.inf
    return log_odds > 0.0, log_odds
