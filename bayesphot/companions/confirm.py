"""A companion by the samplers: evidence with it and without, and the joint posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.assemble import Report, assemble_result
from bayesphot.catalog import Catalog, build_catalog
from bayesphot.companions.stamp import find_target, keep_stamp
from bayesphot.config import BasicPSFPhotometry, Sampler
from bayesphot.config.describe import describe_run
from bayesphot.config.run import Fitted
from bayesphot.config.samplers import plan_sampling
from bayesphot.ladder import compare_counts
from bayesphot.priors import ScenePrior

if TYPE_CHECKING:
    from bayesphot.companions.map import Companion
    from bayesphot.companions.pair import PairPosterior
    from bayesphot.companions.prior import CompanionPrior
    from bayesphot.result import PhotometryResult

__all__ = ["Confirmation", "confirm_companion"]

#: Width of the normal prior of the flux of target and neighbours, in their fluxes: as good as flat.
WIDE = 100.0
#: A target this far from its start has the disc of its place about itself, FWHM.
HALF_WAY = 0.5


@dataclass(frozen=True, eq=False)
class Confirmation:
    """
    Target and companion sampled together, and the target alone, on the same pixels.

    Attributes
    ----------
    log_evidence_ratio, log_evidence_ratio_err : float
        ln of the evidence with a companion near the best place over that without one, its prior
        spread over the region searched, and its standard error.
    p_companion : float
        Posterior probability that there is one, from that and ``prior.probability``.
    result : PhotometryResult
        Of target (id 1), neighbours and companion (the largest id): table, draws, images.
    companion : int
        The companion's id.

    Examples
    --------
    >>> import bayesphot as bp
    >>> pair = bp.simulate_scene(
    ...     (41, 41), sources={"x_0": [20.2, 23.1], "y_0": [19.8, 21.0], "flux": [8000.0, 800.0]},
    ...     sigma=1.5, background=50.0, noise=7.0, seed=3)
    >>> found = bp.companion_map(
    ...     pair.image, bp.IntegratedGaussianPRF(sigma=1.5), (20.0, 20.0), error=pair.error)
    >>> confirmed = found.confirm(seed=1)
    >>> isinstance(confirmed, bp.Confirmation), confirmed.p_companion > 0.999
    (True, True)
    >>> abs(confirmed.log_evidence_ratio - found.log_evidence_ratio) < 0.3
    True
    >>> confirmed.pair().resolved
    True
    """

    log_evidence_ratio: float
    log_evidence_ratio_err: float
    p_companion: float
    result: PhotometryResult
    companion: int

    def __repr__(self) -> str:
        row = self.result.table[np.flatnonzero(self.result["id"] == self.companion)[0]]
        return (
            f"Confirmation(p_companion {self.p_companion:.3g}, ln(evidence ratio) "
            f"{self.log_evidence_ratio:.2f} +- {self.log_evidence_ratio_err:.2f}; companion at "
            f"({row['x_median']:.2f}, {row['y_median']:.2f}), engine {row['engine']})"
        )

    def summary(self) -> str:
        """Return what the samplers say, one line of text."""
        return (
            f"by sampling: p_companion {self.p_companion:.4g}, ln(evidence ratio) "
            f"{self.log_evidence_ratio:.2f} +- {self.log_evidence_ratio_err:.2f}"
        )

    def pair(
        self, *, pixel_scale=None, north=None, flipped: bool = False, wcs=None
    ) -> PairPosterior:
        """
        Return the posterior of target and companion, given that there is one.

        Parameters
        ----------
        pixel_scale, north, flipped, wcs
            As for `PhotometryResult.pair`.

        Returns
        -------
        PairPosterior
        """
        return self.result.pair(
            1, self.companion, pixel_scale=pixel_scale, north=north, flipped=flipped, wcs=wcs
        )


def confirm_companion(
    phot: BasicPSFPhotometry,
    fitted: Fitted,
    best: Companion,
    prior: CompanionPrior,
    *,
    target: tuple[float, float, float],
    alone: tuple[float, float, float],
    area: float,
    fwhm: float,
    sampler: Sampler,
    seed: int,
) -> Confirmation:
    """Return the comparison of a target alone and with a companion at the best place of a map.

    Parameters
    ----------
    phot, fitted
        The configuration, and its fits of the target alone.
    best : Companion
        Where the companion starts.
    prior : CompanionPrior
        Of the companion; a flux ratio is taken over that of `target`.
    target : (float, float, float)
        x, y and flux that the target has beside `best`.
    alone : (float, float, float)
        x, y and flux that it has without.
    area : float
        The region searched, square pixels.
    fwhm : float
        Of the PSF, pixels: the discs of the places, and the spread of the target's.
    sampler : Sampler
        What draws.
    seed : int
        Seed of the sampling.
    """
    from scipy.special import expit, logit

    if prior.flux is None and not target[2] > 0.0:
        raise ValueError(
            f"the target has no flux ({target[2]:g} beside the companion), and the prior is one of "
            "flux ratios: give prior=CompanionPrior(flux=...)"
        )
    looped = fitted.looped
    k = find_target(looped)
    scene = replace(looped.scene, pixels=keep_stamp(looped, k))
    start = np.array([scene.catalog.x[k], scene.catalog.y[k]])
    place = np.array(target[:2])
    # The disc of its place is about the mean of its prior. A companion as bright as the target may
    # be where the search began, and the target beside it: beyond the disc.
    middle = start if math.dist(start, place) < HALF_WAY * fwhm else place
    scene = replace(
        scene, catalog=_widen(scene.catalog, scene.sources.value[:, 2], k, middle, fwhm)
    )
    value = scene.sources.value.copy()
    value[k, :3] = alone
    scene = replace(scene, sources=replace(scene.sources, value=value))
    radius = max(fwhm, math.dist(alone[:2], middle) + HALF_WAY * fwhm)
    pdf = prior.flux if prior.flux is not None else prior.flux_ratio.scaled(target[2])
    density = ScenePrior(1.0 / area, pdf)
    settings = looped.settings
    priors = replace(settings.priors, scene=density, flux=pdf, radius=radius)
    plan = replace(fitted.plan, settings=replace(settings, priors=priors))
    new = build_catalog([best.x], [best.y], flux=[best.flux], id=[int(scene.catalog.id.max()) + 1])
    new = replace(new, group_id=scene.catalog.group_id[:1])
    sampling = plan_sampling(sampler, (), 0.5 * (1.0 - phot.ci_prob))
    compared = compare_counts(scene, plan, replace(sampling, flat_sky=True), new, seed)
    # The normal about the start over that about the middle, with a companion less without.
    ratio = compared.odds.log_odds + float((place - alone[:2]) @ (start - middle)) / fwhm**2
    meta = describe_run(phot, looped, compared.settings, seed, {}) | fitted.about
    result = assemble_result(
        Report(
            fitted.image,
            compared.scene.catalog,
            compared.places,
            compared.scene,
            compared.sampled,
            compared.settings,
            phot.zero_point,
            meta | {"interrupted": compared.sampled.interrupted},
            chosen=True,
        )
    )
    return Confirmation(
        ratio,
        compared.odds.error,
        float(expit(ratio + logit(prior.probability))),
        result,
        int(new.id[0]),
    )


def _widen(catalog: Catalog, flux: np.ndarray, k: int, middle: np.ndarray, fwhm: float) -> Catalog:
    """Return the catalogue with wide priors of the fluxes, and that of the place of target k."""
    n = len(catalog)
    columns: dict[str, np.ndarray] = {
        f"{name}_prior_{part}": np.full(n, np.nan) for name in "xy" for part in ("mean", "sd")
    }
    columns |= {"flux_prior_mean": flux.copy(), "flux_prior_sd": WIDE * np.abs(flux)}
    for name, value in zip("xy", middle, strict=True):
        columns[f"{name}_prior_mean"][k], columns[f"{name}_prior_sd"][k] = value, fwhm
    return replace(catalog, extra={**catalog.extra, **columns})
