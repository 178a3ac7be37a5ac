"""The free shapes of a model that is not this package's: tables, and Newton steps between them.

The compiled fits know the model by a table at some shapes. Its derivatives by the shapes are modes
of the PSF's error there, marginalised in each group: what a group's amplitudes say of the shapes,
everything else of the group projected out, adds over the groups to a Newton step of the shapes that
all share. When the steps have ended, what all groups but one say of the shapes is the prior of
that one's amplitudes in its last fit and in the sampling, as for a shape that the kernels know.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from bayesphot.catalog import Catalog
from bayesphot.image import Image
from bayesphot.loop import LoopResult, run_loop
from bayesphot.plan import LoopPlan
from bayesphot.priors import SHAPE_WIDTH
from bayesphot.psf import FittedShapes, PSFError, ShapeFamily
from bayesphot.refit import fit_scene, trust_groups
from bayesphot.settings import ModelSettings

__all__ = ["search_shapes"]

log = logging.getLogger("bayesphot")

#: Runs of the loop; from 20 % off the steps end in three to five.
MAX_RUNS = 10
#: A step under this share of the shapes' errors is the last: the next would be its square.
SMALL = 0.1
#: Largest step of a column.
LARGEST = 0.3
#: Error of a column from which a normal is off: of one star, known to 6 %, by 0.12 sd, and its flux
#: by 0.19.
LOOSE = 0.05


def search_shapes(
    image: Image, positions: Catalog | None, plan: LoopPlan, family: ShapeFamily
) -> LoopResult:
    """Run the loop with tables of a family until its shapes stand still.

    Parameters
    ----------
    image, positions, plan
        As for `bayesphot.loop.run_loop`.
    family : ShapeFamily
        The model, its shapes to be those of the whole image.

    Returns
    -------
    LoopResult
        Of the last run; its settings have the fitted shapes, its scene the priors of the modes.
    """
    prior = np.full(len(family.columns.names), SHAPE_WIDTH)
    column, factor = family.columns.columns_start, np.diag(prior)
    for number in range(1, MAX_RUNS + 1):
        settings = _set_table(plan.settings, family, column, factor)
        looped = run_loop(image, positions, replace(plan, settings=settings))
        score, information = _read_amplitudes(looped, prior.size)
        # The prior of the columns, in amplitudes.
        precision = factor.T @ np.diag(prior**-2.0) @ factor
        about = np.linalg.solve(factor, family.columns.columns_start - column)
        total = information.sum(axis=0) + precision
        total_score = score.sum(axis=0) + precision @ about
        step = np.linalg.solve(total, total_score)
        covariance = factor @ np.linalg.inv(total) @ factor.T
        size = float(np.sqrt(step @ total @ step))
        _log_shapes(family, number, column + factor @ step, covariance)
        # The last run has modes that are as wide as the shapes' own posterior.
        if number == MAX_RUNS or (size < SMALL and number > 1):
            break
        column = column + np.clip(factor @ step, -LARGEST, LARGEST)
        factor = np.linalg.cholesky(covariance)
    _warn_of_shapes(type(family.model).__name__, size, covariance)
    shapes = FittedShapes(family.columns, column, factor, column + factor @ step, covariance)
    modes = _leave_out(total_score - score, total - information)
    scene = fit_scene(replace(looped.scene, modes=modes), looped.settings, plan.workers)
    return replace(looped, scene=scene, settings=replace(looped.settings, shapes=shapes))


def _set_table(
    settings: ModelSettings, family: ShapeFamily, column: np.ndarray, factor: np.ndarray
) -> ModelSettings:
    """Return the model with the table of some shapes, and modes along the columns of ``factor``."""
    derivatives, oversampling = family.find_modes(column)
    modes = [(image, 1.0) for image in np.tensordot(factor.T, derivatives, axes=1)]
    return replace(
        settings,
        psf=family.describe(column),
        psf_error=PSFError(width=0.0, modes=modes, oversampling=oversampling),
        nuisance_sd=(*(1.0 for _ in modes), *settings.nuisance_sd),
    )


def _read_amplitudes(looped: LoopResult, n_mode: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's scores (G, J) and information (G, J, J) of the modes' amplitudes.

    The amplitudes a of a group have the marginal covariance C, their prior of unit width included:
    the group by itself has the information C^-1 - 1 and, at amplitudes 0, the score C^-1 a.
    """
    settings, scene = looped.settings, looped.scene
    grouped = scene.grouped
    score = np.zeros((grouped.n_group, n_mode))
    information = np.zeros((grouped.n_group, n_mode, n_mode))
    if grouped.n_group == 0:
        return score, information
    trust = trust_groups(scene, scene.cut(settings))
    for g, n in enumerate(np.diff(grouped.start)):
        place = settings.layout(int(n), sampling=False).places("nuisance")[:n_mode]
        covariance = scene.fitted.covariance_of(g)[np.ix_(place, place)]
        if not np.isfinite(covariance).all():
            continue
        inverse = np.linalg.inv(covariance)
        amplitude = scene.fitted.shared[g, settings.n_sky : settings.n_sky + n_mode]
        score[g] = trust[g] * (inverse @ amplitude)
        information[g] = trust[g] * (inverse - np.eye(n_mode))
    return score, information


def _leave_out(score: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Return means and precisions (G, J, 2) of the amplitudes, of what all but a group say.

    The modes are those of the posterior: what correlation is left comes from groups that say
    something else than all do, and no place of the shared priors has it.
    """
    mean = np.linalg.solve(information, score[..., None])[..., 0]
    variance = np.diagonal(np.linalg.inv(information), axis1=1, axis2=2)
    return np.stack([mean, 1.0 / variance], axis=-1)


def _log_shapes(
    family: ShapeFamily, number: int, column: np.ndarray, covariance: np.ndarray
) -> None:
    """Say what the shapes are after a run."""
    names = family.columns.names
    error = np.sqrt(np.diag(covariance)) * family.columns.find_slopes(column)
    found = ", ".join(
        f"{name} = {value:.6g} +- {sd:.2g}"
        for name, value, sd in zip(names, family.columns.read_columns(column), error, strict=True)
    )
    log.info(
        "%s has free shapes, which the compiled fits do not know: run %d, by a new table: %s",
        type(family.model).__name__,
        number,
        found,
    )


def _warn_of_shapes(name: str, size: float, covariance: np.ndarray) -> None:
    """Warn of shapes that still move, by the size of their last step, and of loose ones."""
    if not size < SMALL:
        log.warning("the shapes of %s have not settled", name)
    loosest = float(np.sqrt(np.diag(covariance).max()))
    if loosest > LOOSE:
        log.warning(
            "the shapes of %s are known to %.0f %% only: their posterior, taken as a normal, may "
            "be off by a tenth of its width or more",
            name,
            100.0 * loosest,
        )
