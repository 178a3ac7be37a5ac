"""The odds of one more source, asked of the samplers: what `accept` approximates.

The loop decides by Laplace's evidence at the optimum. Here a group is sampled with and without a
source at some place, on the same pixels, and the two evidences are compared: slow, and exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bayesphot.accept import choose_odds
from bayesphot.boxes import list_half_sides, make_boxes
from bayesphot.catalog import Catalog, build_catalog
from bayesphot.checks import check_integer, check_number
from bayesphot.collect import Places, Sampled
from bayesphot.kernels.batches import LOG_Z, LOG_Z_ERROR
from bayesphot.kernels.structs import CENTER_X, FLAT, NORMAL_NOISE, UNIFORM
from bayesphot.patch import Pixels
from bayesphot.plan import LoopPlan
from bayesphot.populate import place_sources
from bayesphot.priors import ScenePrior
from bayesphot.priors.expectation import log_mass
from bayesphot.refit import fit_scene
from bayesphot.render import render_sources
from bayesphot.sample import SamplingPlan, sample_scene
from bayesphot.scene import Scene
from bayesphot.settings import ModelSettings
from bayesphot.starts import find_flux_errors
from bayesphot.vacant import fit_sky

__all__ = ["Compared", "SampledOdds", "compare_counts", "sample_odds"]

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class SampledOdds:
    """Posterior odds of one more source by the evidence of the samplers.

    Parameters
    ----------
    log_odds : float
        ln of the odds, the prior odds included; NaN where the sky has no proper prior.
    error : float
        Its standard error.
    log_z, log_z_without : float
        The two evidences.
    engine : str
        The engine that sampled the group with the source.
    """

    log_odds: float
    error: float
    log_z: float
    log_z_without: float
    engine: str


def sample_odds(
    scene: Scene,
    plan: LoopPlan,
    sampling: SamplingPlan,
    *,
    x: float,
    y: float,
    flux: float,
    seed: int,
) -> SampledOdds:
    """Sample the group of a place with and without a source there.

    Parameters
    ----------
    scene : Scene
        A fitted scene, e.g. at the end of the loop.
    plan : LoopPlan
        Its stages and model. Without a `ScenePrior` the default one of `bayesphot.accept` is taken,
        for all members of the group.
    sampling : SamplingPlan
        Engines and their budget.
    x, y, flux : float
        The source's start, such as the peak of `bayesphot.one_more`; inside the image, positive.
    seed : int
        Seed of the sampling.

    Returns
    -------
    SampledOdds
        The odds with their error, and the two evidences.

    Raises
    ------
    TypeError
        If `x`, `y` or `flux` is not a number, or `seed` not an integer.
    ValueError
        If the place lies outside the image, the flux is not positive, or the seed negative.

    Examples
    --------
    >>> import numpy as np
    >>> import bayesphot as bp
    >>> from bayesphot.catalog import read_positions
    >>> from bayesphot.execute import Workers
    >>> from bayesphot.image import prepare_image
    >>> from bayesphot.ladder import sample_odds
    >>> from bayesphot.loop import LoopPlan, run_loop
    >>> from bayesphot.sample import SamplingPlan
    >>> from bayesphot.sampling import Budget
    >>> data = bp.simulate_scene(
    ...     (25, 25), sources={"x_0": [9.0, 14.0], "y_0": [12.0, 12.0], "flux": [3000.0, 900.0]},
    ...     sigma=1.5, noise=5.0, seed=2)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11,
    ...     group_maker=bp.DAOGroup(7.0), priors=bp.ScenePrior(1e-3, bp.PowerLaw(-2.0, 60.0)))
    >>> plan = LoopPlan(
    ...     phot._make_settings(), None, phot.group_maker, None, None, 1, None, None, Workers())
    >>> start = read_positions(data.truth[:1], shape=(25, 25))
    >>> scene = run_loop(prepare_image(data.image, error=5.0), start, plan).scene
    >>> sampling = SamplingPlan(Budget(max_thin=64), engines=("independence", "tempered"))
    >>> odds = sample_odds(scene, plan, sampling, x=14.0, y=12.0, flux=900.0, seed=1)
    >>> odds.log_odds > 20.0
    True
    """
    _check_start(scene.model.shape, x, y, flux)
    check_integer("seed", seed, least=0)
    new = build_catalog([x], [y], flux=[flux], id=[int(scene.catalog.id.max(initial=0)) + 1])
    plan = _complete_priors(scene, plan, x, y)
    return compare_counts(scene, plan, sampling, new, seed, kept=0).odds


@dataclass(frozen=True, eq=False)
class Compared:
    """A group sampled with and without one more source.

    Parameters
    ----------
    odds : SampledOdds
        The odds of the source.
    scene : Scene
        The group with it, all other sources subtracted.
    settings : ModelSettings
        The model of that scene.
    places : Places
        Its rows: members in their order, the new source last.
    sampled : Sampled
        What its sampling left.
    """

    odds: SampledOdds
    scene: Scene
    settings: ModelSettings
    places: Places
    sampled: Sampled


def compare_counts(
    scene: Scene,
    plan: LoopPlan,
    sampling: SamplingPlan,
    new: Catalog,
    seed: int,
    *,
    kept: int | None = None,
) -> Compared:
    """Sample the group of a new source with and without it, on the same pixels.

    Parameters
    ----------
    scene : Scene
        A fitted scene.
    plan : LoopPlan
        Its stages and model, with a `ScenePrior`.
    sampling : SamplingPlan
        Engines and their budget.
    new : Catalog
        The source, alone in its catalogue.
    seed : int
        Seed of the sampling.
    kept : int, optional
        Draws of each chain that are kept; None: all.
    """
    joint = Catalog.concatenate([scene.catalog, new])
    sources, grouped = place_sources(joint, scene.pixels, plan, scene)
    mates = np.flatnonzero(grouped.labels == grouped.labels[-1])
    # Boxes are about the means of the priors of places.
    pixels, plan = _share_pixels(sources.prior[mates, CENTER_X : CENTER_X + 2], scene, plan)
    whole = _single_out(scene, joint.select(mates), pixels, plan)
    sampled, places = _sample_alone(whole, plan, sampling, seed, kept)
    log_z, error = (float(sampled.stats[0, i]) for i in (LOG_Z, LOG_Z_ERROR))
    if mates.size > 1:
        rest = _single_out(scene, joint.select(mates[:-1]), pixels, plan)
        stats = _sample_alone(rest, plan, sampling, seed, 0)[0].stats[0]
        without, without_error = float(stats[LOG_Z]), float(stats[LOG_Z_ERROR])
    else:
        without, without_error = _integrate_sky(whole, plan), 0.0
    error, engine = math.hypot(error, without_error), str(sampled.engine[0])
    odds = SampledOdds(log_z - without, error, log_z, without, engine)
    return Compared(odds, whole, plan.settings, places, sampled)


def _share_pixels(centers: np.ndarray, scene: Scene, plan: LoopPlan) -> tuple[Pixels, LoopPlan]:
    """Return the pixels of boxes about centres (n, 2), and the plan with boxes that each hold all.

    Pixels then do not depend on who is there.
    """
    shape, saturated = scene.model.shape, scene.pixels.saturated
    own = (*centers.T, plan.settings.fit_shape, shape, saturated)
    pixels = _keep_union(scene.pixels, make_boxes(*own))
    reach = int(math.ceil(np.ptp(centers, axis=0).max())) + 1
    # Saturated cores have larger boxes.
    larger = list_half_sides(own[0], own[1], own[2], saturated) - np.array(own[2]) // 2
    reach += int(larger.max())
    rows, cols = (side + 2 * reach for side in plan.settings.fit_shape)
    return pixels, replace(plan, settings=replace(plan.settings, fit_shape=(rows, cols)))


def _check_start(shape: tuple[int, int], x: float, y: float, flux: float) -> None:
    """Raise unless a source can start there."""
    for name, value, size in (("x", x, shape[1]), ("y", y, shape[0])):
        if not -0.5 <= check_number(name, value) < size - 0.5:
            raise ValueError(
                f"{name} must lie inside the image, from -0.5 to {size - 0.5}, found {value!r}"
            )
    check_number("flux", flux, above=0.0)


def _complete_priors(scene: Scene, plan: LoopPlan, x: float, y: float) -> LoopPlan:
    """Return the plan with a prior of the scene."""
    settings = plan.settings
    if settings.priors.scene is not None:
        return plan
    n_good = int((scene.pixels.weight > 0.0).sum())
    odds = choose_odds(None, n_good, settings.psf.sigma)
    error = find_flux_errors(np.array([[x, y]]), settings.psf.sigma, scene.pixels)[0]
    prior = ScenePrior(odds.density, odds.flux_pdf(float(error)))
    priors = replace(settings.priors, scene=prior, flux=prior.flux_pdf)
    return replace(plan, settings=replace(settings, priors=priors))


def _keep_union(pixels: Pixels, boxes: np.ndarray) -> Pixels:
    """Return the pixels with those outside a union of boxes left out."""
    use = np.zeros(pixels.data.shape, dtype=bool)
    for r0, r1, c0, c1 in boxes:
        use[r0:r1, c0:c1] = True
    return replace(pixels, weight=np.where(use, pixels.weight, 0.0))


def _single_out(scene: Scene, catalog: Catalog, pixels: Pixels, plan: LoopPlan) -> Scene:
    """Return a fitted scene of one group, all other sources subtracted from its pixels."""
    shape, psf = scene.model.shape, plan.settings.psf
    mates = np.isin(scene.catalog.id, catalog.id)
    others = render_sources(shape, scene.sources.value[~mates], psf)
    pixels = replace(pixels, data=np.where(pixels.weight > 0.0, pixels.data - others, 0.0))
    together = replace(catalog, group_id=np.zeros(len(catalog), dtype=np.int64))
    sources, grouped = place_sources(together, pixels, plan, scene)
    model = render_sources(shape, sources.value, psf)
    part = Scene(pixels, together, sources, grouped, None, model)
    return fit_scene(part, plan.settings, plan.workers)


def _sample_alone(
    part: Scene, plan: LoopPlan, sampling: SamplingPlan, seed: int, kept: int | None
) -> tuple[Sampled, Places]:
    """Return what the sampling of a scene of one group left, and its rows."""
    n = len(part.catalog)
    places = Places.find(part.grouped, np.arange(n), n)
    workers = plan.workers
    sampled = sample_scene(part, plan.settings, sampling, seed, workers, places=places, kept=kept)
    return sampled, places


def _integrate_sky(part: Scene, plan: LoopPlan) -> float:
    """Return the log evidence of the pixels of a scene of one source without it.

    A prior with bounds counts by its mass between them under the posterior of the sky without
    them. NaN where the sky's prior is improper, or the noise is not normal.
    """
    data = part.cut(plan.settings)
    batch = data.batch
    if batch.noise_kind[0] != NORMAL_NOISE:
        return math.nan
    sky, value, gram = fit_sky(data, 0)
    log_z = sky.log_rest - 0.5 * sky.chi2
    log_z += 0.5 * float(np.sum(np.log(batch.weight[batch.weight > 0.0]) - _LOG_2PI))
    log_z += _log_sky_norm(batch.shared_prior[0], value, gram)
    return float(log_z) if math.isfinite(log_z) else math.nan


def _log_sky_norm(prior: np.ndarray, value: np.ndarray, gram: np.ndarray) -> float:
    """Return the log norms of the priors of sky and nuisances, NaN where one is improper.

    Of them only the level, the first, can have bounds.
    """
    total = 0.0
    for row in prior:
        if row[2] == FLAT:
            total += 0.5 * (math.log(row[1]) - _LOG_2PI) if row[1] > 0.0 else math.nan
            continue
        kind, norm, low, high = row[2:6]
        proper = kind == UNIFORM and (row[1] > 0.0 or math.isfinite(high - low))
        total += norm if proper else math.nan
        sd = math.sqrt(np.linalg.pinv(gram, hermitian=True)[0, 0])
        total += float(log_mass((low - value[0]) / sd, (high - value[0]) / sd))
    return total
