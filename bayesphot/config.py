"""The public configuration: check, normalise, show. Objects are immutable; results are returned."""

from __future__ import annotations

import copy
import logging
import math
import operator
import platform
import re
import secrets
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from bayesphot.assemble import Report, assemble_result
from bayesphot.background import MMMBackground
from bayesphot.catalog import read_positions
from bayesphot.detection import DAOStarFinder
from bayesphot.execute import Workers
from bayesphot.grouping import DAOGroup
from bayesphot.image import Image, prepare_image
from bayesphot.loop import LoopPlan, LoopResult, run_loop
from bayesphot.noise import NOISE_MODELS, PoissonNoise, takes_error
from bayesphot.priors import normalise_priors
from bayesphot.psf import describe_psf
from bayesphot.result import PhotometryResult
from bayesphot.sample import EMCEE, SamplingPlan, sample_scene
from bayesphot.sampling import Budget, EnsembleOptions
from bayesphot.settings import ModelSettings

__all__ = [
    "BasicPSFPhotometry",
    "DAOPhotPSFPhotometry",
    "EmceeSampler",
    "IterativelySubtractedPSFPhotometry",
    "Sampler",
]

log = logging.getLogger("bayesphot")

#: Packages whose versions a result records.
_DEPENDENCIES = ("numpy", "scipy", "astropy", "numba", "emcee", "arviz")
#: The address in the default text of an object, which differs from run to run.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_BACKGROUNDS = {False: "none", "prior": "prior", "flat": "flat", "plane": "plane"}


def _require_integer(name: str, value: Any, least: int) -> int:
    """Return an integer that is at least ``least``, or raise."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, found {value!r}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, found {number}")
    return number


def _require_number(name: str, value: Any, *, positive: bool = True) -> float:
    """Return a finite (positive) number, or raise."""
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} must be a number, found {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, found {value!r}") from None
    if not math.isfinite(number) or (positive and number <= 0.0):
        kind = "positive and finite" if positive else "finite"
        raise ValueError(f"{name} must be {kind}, found {value!r}")
    return number


def _require_keep(value: Any) -> Any:
    """Return a valid ``keep``."""
    if isinstance(value, str):
        if value in ("all", "summary"):
            return value
        raise ValueError(f"keep must be 'all', 'summary' or a number of draws, found {value!r}")
    return _require_integer("keep", value, 1)


@dataclass(frozen=True)
class EmceeSampler:
    """Sampling with emcee: independent ensembles as chains, over the compiled joint density.

    Walkers move by differential evolution (Ter Braak 2006), a tenth of the time by a whole
    difference of two walkers, which reaches other modes. Runs are continued until they last
    fifty autocorrelation times and pass the gates below, or reach ``max_steps``.

    Parameters
    ----------
    draws : int
        Draws kept from each chain.
    chains : int
        Independent ensembles, at least 4: walkers of one ensemble are not independent.
    walkers : int, optional
        Walkers of each ensemble, two for each parameter at least; default four for each, and 32
        at least.
    steps : int
        Steps of the first run, after a burn-in as long.
    max_steps : int
        Steps at which a group is given up and flagged.
    min_ess : float, optional
        Bulk and tail effective sample size every parameter must reach; default 400, or a fifth
        of all draws where that is less.
    max_r_hat : float
        Rank-normalised split R-hat no parameter may exceed.
    keep : "all", "summary" or int
        Which draws the result keeps: all, none (summaries only), or so many of each chain.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.EmceeSampler(draws=250).chains
    4
    """

    draws: int = 500
    chains: int = 4
    walkers: int | None = None
    steps: int = 500
    max_steps: int = 8000
    min_ess: float | None = None
    max_r_hat: float = 1.01
    keep: Any = "all"

    def __post_init__(self) -> None:
        _check_sampler(self)
        _require_integer("steps", self.steps, 20)
        _require_integer("max_steps", self.max_steps, self.steps)
        if self.walkers is not None:
            _require_integer("walkers", self.walkers, 4)

    def plan(self, tail: float) -> SamplingPlan:
        """Return what the engines need."""
        options = EnsembleOptions(self.walkers, self.steps, self.max_steps)
        budget = Budget(
            self.chains, self.draws, _choose_min_ess(self), self.max_r_hat, max_thin=1, tail=tail
        )
        return SamplingPlan(budget, first=EMCEE, ensemble=options)


@dataclass(frozen=True)
class Sampler:
    """The compiled sampler: independence Metropolis-Hastings on the collapsed posterior.

    Fluxes and sky are integrated out exactly; positions and shapes are proposed from a Student
    t about the mode (Tierney 1994). A group that fails a gate is sampled again, up to
    ``max_extend`` times longer, from a proposal that has learnt from the first run; what fails
    then goes to ``fallback`` or is flagged.

    Parameters
    ----------
    draws : int
        Draws kept from each chain.
    chains : int
        Chains, at least 4.
    min_ess : float, optional
        Bulk and tail effective sample size every parameter must reach; default 400, or a fifth
        of all draws where that is less.
    max_r_hat : float
        Rank-normalised split R-hat no parameter may exceed (Vehtari et al. 2021).
    max_extend : int
        How many times longer a run may become; its draws are thinned to ``draws``.
    fallback : EmceeSampler, optional
        Samples the groups that still fail.
    keep : "all", "summary" or int
        Which draws the result keeps: all, none (summaries only), or so many of each chain.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.Sampler(draws=1000).draws
    1000
    """

    draws: int = 500
    chains: int = 4
    min_ess: float | None = None
    max_r_hat: float = 1.01
    max_extend: int = 64
    fallback: EmceeSampler | None = None
    keep: Any = "all"

    def __post_init__(self) -> None:
        _check_sampler(self)
        _require_integer("max_extend", self.max_extend, 1)
        if self.fallback is not None and not isinstance(self.fallback, EmceeSampler):
            raise TypeError(f"fallback must be an EmceeSampler or None, found {self.fallback!r}")

    def plan(self, tail: float) -> SamplingPlan:
        """Return what the engines need."""
        budget = Budget(
            self.chains, self.draws, _choose_min_ess(self), self.max_r_hat, self.max_extend, tail
        )
        if self.fallback is None:
            return SamplingPlan(budget)
        second = self.fallback.plan(tail)
        # The draws of both engines share one array.
        fallback = replace(second.budget, chains=self.chains, draws=self.draws)
        return SamplingPlan(budget, fallback=fallback, ensemble=second.ensemble)


def _choose_min_ess(sampler) -> float:
    """Return the effective sample size asked for, or what so many draws can be asked."""
    if sampler.min_ess is not None:
        return float(sampler.min_ess)
    return min(400.0, 0.2 * sampler.chains * sampler.draws)


def _count_kept(sampler) -> int | None:
    """Return how many draws of each chain are kept, None for all."""
    if sampler.keep == "all":
        return None
    return 0 if sampler.keep == "summary" else min(int(sampler.keep), sampler.draws)


def _check_sampler(sampler) -> None:
    """Check what both samplers have in common."""
    _require_integer("draws", sampler.draws, 20)
    _require_integer("chains", sampler.chains, 4)
    if sampler.min_ess is not None:
        _require_number("min_ess", sampler.min_ess)
    if _require_number("max_r_hat", sampler.max_r_hat) <= 1.0:
        raise ValueError(f"max_r_hat must be above 1, found {sampler.max_r_hat!r}")
    _require_keep(sampler.keep)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BasicPSFPhotometry:
    """PSF photometry in one pass: find (or take positions), group, fit, sample.

    Parameters
    ----------
    psf_model : astropy.modeling.Fittable2DModel
        `IntegratedGaussianPRF` or photutils' circular Gaussian PRFs. Values and ``fixed`` flags
        are read now: fixed ``x_0`` and ``y_0`` mean forced photometry, a free ``sigma`` is
        fitted and sampled.
    fitshape : int or (int, int)
        Rows and columns of the box of pixels around each source, odd.
    finder : callable, optional
        `DAOStarFinder`, `IRAFStarFinder`, a photutils finder or ``(data, mask=None) -> table or
        None``. Neither needed nor asked when ``positions`` are given in the call.
    group_maker : callable, optional
        `DAOGroup`, `DBSCANGroup`, ``table -> table with group_id`` or ``(x, y) -> labels``;
        None: every source alone.
    bkg_estimator : callable or number, optional
        `MMMBackground` or another estimator, ``data -> scalar or array``, or a level; None: the
        image is free of sky.
    fitter : astropy fitter, optional
        None: the compiled least squares. Any astropy fitter works, slower.
    sampler : Sampler, EmceeSampler or False, optional
        None: ``Sampler()``. False: least squares only; posterior columns are NaN.
    priors : mapping, optional
        From parameter names to distributions: see `bayesphot.priors.normalise_priors`.
    noise : CCDNoise, PoissonNoise, StudentTNoise or ContaminatedGaussian, optional
        How pixels scatter. The first two have their variance from the fitted model, the others
        their scale from ``error``. None: normal noise from ``error``, or estimated from the
        image.
    fit_background : {"prior", "flat", "plane", False}
        The sky of each group: known to the estimator's error, unknown, an unknown plane, or
        fixed at the estimator's level. Without an estimator "prior" is False.
    shape : {"group", "image", "source"}
        Who shares a free shape parameter.
    aperture_radius : float, optional
        Radius, in pixels, of the aperture that gives start fluxes; default 2 sigma.
    max_group_size : int, optional
        Larger groups are split, and flagged FROZEN_NEIGHBOURS; None: no limit.
    ci_prob : float
        Probability of the intervals ``_lo`` to ``_hi``.
    zero_point : float, optional
        Magnitude of unit flux: adds magnitude columns.
    n_jobs : int
        Threads over batches of groups; -1: all cores. Results do not depend on it.
    executor : concurrent.futures.Executor, optional
        Used instead of threads.
    progress_bar : bool
        Show progress of what lasts longer than two seconds.
    seed : int, optional
        Seed of the sampling; None draws one and records it in the result's meta.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; the message names it.

    Examples
    --------
    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((40, 40), n_sources=3, sigma=1.5, noise=1.0, seed=1)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
    >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
    >>> len(result)
    3
    """

    psf_model: Any
    fitshape: Any
    finder: Callable | None = None
    group_maker: Callable | None = None
    bkg_estimator: Any = None
    fitter: Any = None
    sampler: Any = None
    priors: Mapping | None = None
    noise: Any = None
    fit_background: Any = "prior"
    shape: str = "group"
    aperture_radius: float | None = None
    max_group_size: int | None = 20
    ci_prob: float = 0.6827
    zero_point: float | None = None
    n_jobs: int = 1
    executor: Executor | None = None
    progress_bar: bool = False
    seed: int | None = None
    # What a run uses: changes of the public model, too, have no effect.
    _model: Any = field(init=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        _refuse_class("psf_model", self.psf_model)
        if not hasattr(self.psf_model, "param_names"):
            raise TypeError(f"psf_model must be an astropy model, found {self.psf_model!r}")
        set_field(self, "psf_model", copy.deepcopy(self.psf_model))
        set_field(self, "_model", copy.deepcopy(self.psf_model))
        describe_psf(self._model)
        set_field(self, "fitshape", _read_fitshape(self.fitshape))
        for name in ("finder", "group_maker", "fitter"):
            value = getattr(self, name)
            _refuse_class(name, value)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a callable object or None, found {value!r}")
        _check_estimator(self.bkg_estimator)
        set_field(self, "sampler", _read_sampler(self.sampler))
        if self.priors is not None:
            normalise_priors(self.priors, describe_psf(self._model).shape_names)
            set_field(self, "priors", dict(self.priors))
        _refuse_class("noise", self.noise)
        if self.noise is not None and not isinstance(self.noise, NOISE_MODELS):
            kinds = ", ".join(kind.__name__ for kind in NOISE_MODELS)
            raise TypeError(f"noise must be one of {kinds}, or None, found {self.noise!r}")
        if not isinstance(self.fit_background, (str, bool)) or (
            self.fit_background not in _BACKGROUNDS
        ):
            raise ValueError(
                "fit_background must be False, 'prior', 'flat' or 'plane', "
                f"found {self.fit_background!r}"
            )
        if self.shape not in ("group", "image", "source"):
            raise ValueError(f"shape must be 'group', 'image' or 'source', found {self.shape!r}")
        if self.aperture_radius is not None:
            radius = _require_number("aperture_radius", self.aperture_radius)
            set_field(self, "aperture_radius", radius)
        if self.zero_point is not None:
            number = _require_number("zero_point", self.zero_point, positive=False)
            set_field(self, "zero_point", number)
        if self.max_group_size is not None:
            _require_integer("max_group_size", self.max_group_size, 1)
        if not 0.0 < _require_number("ci_prob", self.ci_prob) < 1.0:
            raise ValueError(f"ci_prob must lie between 0 and 1, found {self.ci_prob!r}")
        if _require_integer("n_jobs", self.n_jobs, -(2**31)) < 1 and self.n_jobs != -1:
            raise ValueError(f"n_jobs must be at least 1, or -1 for all cores, found {self.n_jobs}")
        if self.executor is not None and not hasattr(self.executor, "submit"):
            raise TypeError(f"executor must have a submit method, found {self.executor!r}")
        if not isinstance(self.progress_bar, (bool, np.bool_)):
            raise TypeError(f"progress_bar must be True or False, found {self.progress_bar!r}")
        if self.seed is not None and _require_integer("seed", self.seed, 0) >= 2**64:
            raise ValueError(f"seed must be below 2**64, found {self.seed}")

    def __repr__(self) -> str:
        """Show the arguments that differ from their defaults."""
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "psf_model":
                parts.append(f"psf_model={_show_model(self._model)}")
            elif item.init and value is not item.default and value != item.default:
                parts.append(f"{item.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def _rounds(self) -> int | None:
        """Rounds of finding."""
        return 1

    def __call__(self, image, error=None, mask=None, positions=None) -> PhotometryResult:
        """Measure an image.

        Parameters
        ----------
        image : (ny, nx) array, Quantity, NDData or CCDData
            Data; NDData bring error, mask, unit and WCS along.
        error : (ny, nx) array, Quantity or number, optional
            Total 1-sigma error of each pixel.
        mask : (ny, nx) array, optional
            True where a pixel is bad.
        positions : Table, optional
            Starts ``x_0, y_0`` and optionally ``flux_0``, ``id``, ``group_id``, ``sigma_0``, and
            normal priors of single sources: ``x_prior_mean``, ``x_prior_sd``, the same of ``y``,
            ``flux`` and ``sigma``.

        Returns
        -------
        PhotometryResult
            Catalogue, draws and images.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape, unit or value.
        """
        begin = time.perf_counter()
        prepared = prepare_image(image, error, mask, stacklevel=3)
        if self.noise is not None and not takes_error(self.noise) and prepared.error is not None:
            raise ValueError(
                "error and noise both say how large the noise is: give one of them, found an "
                f"error array and {self.noise!r}"
            )
        if isinstance(self.noise, PoissonNoise):
            _check_counts(prepared)
        catalog = None
        if positions is not None:
            catalog = read_positions(positions, shape=prepared.shape, unit=prepared.unit)
            _check_prior_columns(catalog)
            _check_known_fluxes(catalog, self._model)
        elif self.finder is None:
            raise ValueError("positions must be given where there is no finder")
        settings = self._make_settings()
        workers = Workers(_count_jobs(self.n_jobs), self.executor, self.progress_bar)
        plan = LoopPlan(
            settings,
            self.finder,
            self.group_maker,
            self.bkg_estimator,
            self.noise,
            self._rounds,
            self.max_group_size,
            self.aperture_radius,
            workers,
        )
        looped = run_loop(prepared, catalog, plan)
        fitted = time.perf_counter()
        return self._sample(prepared, looped, settings, workers, begin, fitted)

    def get_residual_image(self):
        """Raise AttributeError: the residual belongs to the result."""
        raise AttributeError(
            "a configuration holds no results: use result.residual_image of the result that "
            "the call returned"
        )

    def _make_settings(self) -> ModelSettings:
        """Return the model of the run."""
        psf = describe_psf(self._model)
        name = psf.shape_names[0]
        background = _BACKGROUNDS[self.fit_background]
        if background == "prior" and self.bkg_estimator is None:
            background = "none"
        priors = normalise_priors(self.priors, psf.shape_names)
        if priors.background is not None and background == "none":
            background = "prior"
        sigma = float(psf.shape_start[0])
        return ModelSettings(
            psf_kind=psf.kind,
            shape_names=psf.shape_names,
            shape_start=sigma,
            fwhm=sigma * _FWHM_PER_SIGMA,
            free_x=not psf.fixed["x_0"],
            free_y=not psf.fixed["y_0"],
            free_flux=not psf.fixed["flux"],
            shape="fixed" if psf.fixed[name] else self.shape,
            fit_shape=self.fitshape,
            background=background,
            priors=priors,
            fitter=self.fitter,
        )

    def _sample(self, image: Image, looped: LoopResult, settings, workers, begin, fitted):
        """Sample the final scene and return the result."""
        seed = self.seed
        if seed is None:
            seed = secrets.randbits(63)
        draws = engine = plan = kept = None
        n_group = looped.scene.grouped.n_group
        if self.sampler is not False and n_group:
            plan = self._make_plan(settings)
            kept = _count_kept(self.sampler)
            draws, engine = sample_scene(looped.scene, settings, plan, seed, workers, kept=kept)
        done = time.perf_counter()
        if len(looped.catalog) == 0:
            _warn("no source was found: the table is empty", depth=2)
        meta = self._describe(looped, settings, seed, begin, fitted, done)
        report = Report(
            image,
            looped.catalog,
            looped.row,
            looped.scene,
            draws,
            engine,
            None if plan is None else plan.budget,
            settings,
            kept,
            self.zero_point,
            meta,
        )
        return assemble_result(report)

    def _make_plan(self, settings: ModelSettings) -> SamplingPlan:
        """Return what the engines need; priors in Python make emcee the engine."""
        plan = self.sampler.plan(0.5 * (1.0 - self.ci_prob))
        if settings.priors.functions and plan.first != EMCEE:
            names = ", ".join(name for name, _ in settings.priors.functions)
            log.info("the prior of %s is a Python function: emcee samples", names)
            sampler = EmceeSampler(
                self.sampler.draws,
                self.sampler.chains,
                min_ess=self.sampler.min_ess,
                max_r_hat=self.sampler.max_r_hat,
            )
            return sampler.plan(0.5 * (1.0 - self.ci_prob))
        return plan

    def _describe(self, looped: LoopResult, settings, seed, begin, fitted, done) -> dict:
        """Return the meta of a result."""
        from bayesphot import __version__

        arguments = {
            item.name: repr(getattr(self, item.name))
            for item in fields(self)
            if item.init and item.name != "psf_model"
        }
        arguments["psf_model"] = _show_model(self._model)
        return {
            "class": type(self).__name__,
            "arguments": arguments,
            "ci_prob": self.ci_prob,
            "seed": seed,
            "noise": looped.noise_origin,
            "rounds": looped.n_round,
            "seconds": {"least_squares": fitted - begin, "sampling": done - fitted},
            "versions": {
                "bayesphot": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in _DEPENDENCIES},
            },
            "priors": _describe_priors(self, settings),
        }


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IterativelySubtractedPSFPhotometry(BasicPSFPhotometry):
    """PSF photometry that finds again in the residual until nothing new is accepted.

    New detections join their neighbours' group; the whole group is refitted from the
    unsubtracted image and the detection stays only if the data prefer it. The posterior is
    sampled once, when the scene is final.

    Parameters
    ----------
    niters : int or None
        Rounds of finding, given positions being the first; None: until nothing is found.
    **others
        As for `BasicPSFPhotometry`; ``finder`` is required.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.IterativelySubtractedPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=2.0), fitshape=(11, 11),
    ...     finder=bp.DAOStarFinder(threshold=10.0, fwhm=4.7), niters=3)
    >>> phot.niters
    3
    """

    niters: int | None = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finder is None:
            raise ValueError("finder must be given: the iteration finds in the residual")
        if self.niters is not None:
            _require_integer("niters", self.niters, 1)

    @property
    def _rounds(self) -> int | None:
        """Rounds of finding."""
        return self.niters


class DAOPhotPSFPhotometry(IterativelySubtractedPSFPhotometry):
    """The iteration with DAOPHOT's stages (Stetson 1987): DAOFIND, GROUP and the MMM sky.

    Parameters
    ----------
    crit_separation : float
        Sources nearer than this, in pixels, are in one group.
    threshold : float
        Detection threshold in data units.
    fwhm : float
        FWHM of the finder's kernel, pixels.
    psf_model, fitshape
        As for `BasicPSFPhotometry`.
    sigma : float
        Clipping of the sky estimate, in standard deviations.
    ratio, theta, sigma_radius, sharplo, sharphi, roundlo, roundhi
        As for `DAOStarFinder`.
    niters : int or None
        Rounds of finding.
    **others
        As for `BasicPSFPhotometry`.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.DAOPhotPSFPhotometry(8.0, 10.0, 4.7, bp.IntegratedGaussianPRF(sigma=2.0), 11)
    >>> phot.group_maker.crit_separation
    8.0
    """

    def __init__(
        self,
        crit_separation,
        threshold,
        fwhm,
        psf_model,
        fitshape,
        sigma=3.0,
        ratio=1.0,
        theta=0.0,
        sigma_radius=1.5,
        sharplo=0.2,
        sharphi=1.0,
        roundlo=-1.0,
        roundhi=1.0,
        niters=3,
        **others,
    ):
        for name in ("finder", "group_maker", "bkg_estimator"):
            if name in others:
                raise TypeError(f"{name} is what this class sets; use the class it derives from")
        super().__init__(
            psf_model=psf_model,
            fitshape=fitshape,
            finder=DAOStarFinder(
                threshold=threshold,
                fwhm=fwhm,
                ratio=ratio,
                theta=theta,
                sigma_radius=sigma_radius,
                sharplo=sharplo,
                sharphi=sharphi,
                roundlo=roundlo,
                roundhi=roundhi,
            ),
            group_maker=DAOGroup(crit_separation),
            bkg_estimator=MMMBackground(sigma=sigma),
            niters=niters,
            **others,
        )


def _refuse_class(name: str, value: Any) -> None:
    """Raise TypeError for a class where an object is meant."""
    if isinstance(value, type):
        raise TypeError(
            f"{name} must be an object, found the class {value.__name__}: write "
            f"{value.__name__}(...)"
        )


def _check_estimator(value: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a sky estimator."""
    _refuse_class("bkg_estimator", value)
    if value is None or callable(value):
        return
    if isinstance(value, (str, bool)) or np.ndim(value) > 0:
        raise TypeError(
            f"bkg_estimator must be None, a level, or a callable data -> level, found {value!r}"
        )
    _require_number("bkg_estimator", getattr(value, "value", value), positive=False)


def _check_counts(image: Image) -> None:
    """Raise ValueError where an image cannot be counts."""
    wrong = np.argwhere(image.good & (image.data < 0.0))
    if wrong.size:
        y, x = wrong[0]
        raise ValueError(
            "image must hold counts, nothing subtracted, where noise is PoissonNoise; "
            f"found {image.data[y, x]} at (y, x) = ({y}, {x})"
        )


#: Prior columns of the positions: of single sources, normal; NaN where there is none.
_PRIOR_COLUMNS = tuple(
    f"{name}_prior_{what}" for name in ("x", "y", "flux", "sigma") for what in ("mean", "sd")
)


def _check_prior_columns(catalog) -> None:
    """Raise ValueError for prior columns that are unknown, incomplete or out of range."""
    for name, column in catalog.extra.items():
        if name not in _PRIOR_COLUMNS:
            raise ValueError(f"no prior column {name!r}; there are {', '.join(_PRIOR_COLUMNS)}")
        wrong = np.flatnonzero(np.isinf(column) | ((column <= 0.0) & name.endswith("_sd")))
        if wrong.size:
            kind = "positive" if name.endswith("_sd") else "finite"
            raise ValueError(
                f"{name} must be {kind}, or NaN for no prior, "
                f"found {column[wrong[0]]} in row {wrong[0]}"
            )
    for name in ("x", "y", "flux", "sigma"):
        mean, sd = f"{name}_prior_mean", f"{name}_prior_sd"
        if mean in catalog.extra and sd not in catalog.extra:
            raise ValueError(f"{mean} needs {sd} beside it")
        if sd in catalog.extra and mean not in catalog.extra and name in ("flux", "sigma"):
            raise ValueError(f"{sd} needs {mean} beside it")
    if "sigma_prior_mean" in catalog.extra:
        means = catalog.extra["sigma_prior_mean"]
        wrong = np.flatnonzero(means <= 0.0)
        if wrong.size:
            raise ValueError(
                f"sigma_prior_mean must be positive, found {means[wrong[0]]} in row {wrong[0]}"
            )


def _check_known_fluxes(catalog, model) -> None:
    """Raise ValueError where a flux is fixed and not given."""
    unknown = np.flatnonzero(~np.isfinite(catalog.flux) & (catalog.flags == 0))
    if model.fixed["flux"] and unknown.size:
        raise ValueError(
            "positions must have flux_0 in every row, for psf_model.flux is fixed; "
            f"found none in row {unknown[0]}"
        )


def _read_fitshape(value: Any) -> tuple[int, int]:
    """Return odd (rows, columns)."""
    if isinstance(value, str) or (np.ndim(value) not in (0, 1)):
        raise TypeError(f"fitshape must be an odd integer or a pair of them, found {value!r}")
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2:
        raise ValueError(f"fitshape must be one or two integers, found {value!r}")
    rows, columns = (_require_integer("fitshape", item, 1) for item in pair)
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(f"fitshape must be odd, found {value!r}")
    return rows, columns


def _read_sampler(value: Any):
    """Return a sampler, or False."""
    if value is None:
        return Sampler()
    if value is False or isinstance(value, (Sampler, EmceeSampler)):
        return value
    raise TypeError(f"sampler must be a Sampler, an EmceeSampler, False or None, found {value!r}")


def _count_jobs(n_jobs: int) -> int:
    """Return the number of threads."""
    import os

    return (os.cpu_count() or 1) if n_jobs == -1 else n_jobs


def _show_model(model) -> str:
    """Return a one-line text of a PSF model: its parameters, the free ones marked."""
    values = []
    for name in model.param_names:
        free = "" if model.fixed[name] else ", free"
        values.append(f"{name}={np.asarray(getattr(model, name).value).item():g}{free}")
    return f"{type(model).__name__}({'; '.join(values)})"


def _describe_priors(phot: BasicPSFPhotometry, settings: ModelSettings) -> str:
    """Return a text of the priors in force."""
    given = "; ".join(f"{name} ~ {prior!r}" for name, prior in (phot.priors or {}).items())
    default = (
        "position uniform in a disc about its start (1 FWHM alone, 0.5 FWHM blended); flux flat, "
        "at least -5 times its error where discs of group mates meet; sigma log-normal about its "
        f"start; sky {settings.background}"
    )
    return f"{given}; else {default}" if given else default


def _warn(text: str, *, depth: int) -> None:
    """Warn the user at the line that called the photometry, ``depth`` calls above the caller."""
    from astropy.utils.exceptions import AstropyUserWarning

    warnings.warn(text, AstropyUserWarning, stacklevel=2 + depth)
