"""PSF photometry in one pass, and what all photometry classes share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from astropy import units as u

from bayesphot.checks import check_integer, check_number, refuse_class
from bayesphot.config.arguments import (
    check_estimator,
    check_foreign,
    check_noise,
    check_psf_error,
    check_saturation,
    read_fitshape,
    read_sampler,
)
from bayesphot.config.describe import show_model
from bayesphot.config.run import measure_image
from bayesphot.config.samplers import check_engine
from bayesphot.draws import CI_PROB
from bayesphot.execute import Workers, count_jobs
from bayesphot.priors import ScenePrior, normalise_priors
from bayesphot.psf import describe_psf, read_family
from bayesphot.result import PhotometryResult
from bayesphot.settings import ModelSettings

__all__ = ["BasicPSFPhotometry"]

#: How far engines that spread states about the fit spread ln(scale) of the noise.
INFLATION_SD = 0.1
#: Sigma of the PSF beyond the edge of its box at which a source has left it.
LEAVES = 3.0
_BACKGROUNDS = {False: "none", "prior": "prior", "flat": "flat", "plane": "plane"}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BasicPSFPhotometry:
    """PSF photometry in one pass: find (or take positions), group, fit, sample.

    Parameters
    ----------
    psf_model : astropy.modeling.Fittable2DModel
        `IntegratedGaussianPRF`, `GaussianPRF`, `MoffatPRF`, `AiryDiskPRF`, `ImagePSF`,
        `GriddedPSF`, `PolynomialPSF`, `DiscretePRF`, photutils' PSF models, or any other model,
        whose shapes may be free with ``shape="image"``. Values and ``fixed`` flags are read now:
        fixed ``x_0`` and ``y_0`` mean forced photometry, a free shape, such as ``sigma``, is
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
        `MMMBackground` or another estimator, ``data -> scalar or array``, photutils'
        ``Background2D`` or ``sep.Background``, or a level; None: the image is free of sky.
    fitter : astropy fitter, optional
        None: the compiled least squares. Any astropy fitter works, slower.
    sampler : Sampler, EmceeSampler or False, optional
        None: ``Sampler()``. False: least squares only; posterior columns are NaN.
    priors : mapping or ScenePrior, optional
        From parameter names to distributions: see `bayesphot.priors.normalise_priors`. A
        `ScenePrior` is the prior of all sources, ``{"scene": it}``.
    noise : CCDNoise, PoissonNoise, StudentTNoise, ContaminatedGaussian or NormalNoise, optional
        How pixels scatter. The first two have their variance from the fitted model, the others
        their scale from ``error``. None: normal noise from ``error``, or estimated from the
        image.
    psf_error : PSFError, optional
        How far the PSF may be from the stars: coherent modes, marginalised, and a white
        remainder. None: the PSF is exact.
    saturation : number, Quantity or "header", optional
        Level, in data units, from which on a pixel is saturated; "header": that of SATURATE or
        SATLEVEL in the image's header. Such pixels and those beside them are masked; a star whose
        core they are is measured from its wings, in a larger box, and flagged SATURATED. None: a
        plateau at the top of the image is looked for.
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
    priors: Any = None
    noise: Any = None
    psf_error: Any = None
    saturation: Any = None
    fit_background: Any = "prior"
    shape: str = "group"
    aperture_radius: float | None = None
    max_group_size: int | None = 20
    ci_prob: float = CI_PROB
    zero_point: float | None = None
    n_jobs: int = 1
    executor: Executor | None = None
    progress_bar: bool = False
    seed: int | None = None
    # What a run uses: changes of the public model, too, have no effect.
    _model: Any = field(init=False)
    _psf: Any = field(init=False)
    _family: Any = field(init=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        refuse_class("psf_model", self.psf_model)
        if not hasattr(self.psf_model, "param_names"):
            raise TypeError(f"psf_model must be an astropy model, found {self.psf_model!r}")
        set_field(self, "psf_model", copy.deepcopy(self.psf_model))
        set_field(self, "_model", copy.deepcopy(self.psf_model))
        check_foreign(self._model, self)
        family = read_family(self._model)
        psf = describe_psf(self._model) if family is None else family.describe_start()
        set_field(self, "_psf", psf)
        set_field(self, "_family", family)
        set_field(self, "fitshape", read_fitshape(self.fitshape))
        for name in ("finder", "group_maker", "fitter"):
            value = getattr(self, name)
            refuse_class(name, value)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a callable object or None, found {value!r}")
        check_estimator(self.bkg_estimator)
        set_field(self, "sampler", read_sampler(self.sampler))
        if self.priors is not None:
            chosen = normalise_priors(self.priors, psf.shape_names, psf.shape_start.tolist())
            check_engine(self.sampler, chosen.functions, psf.shape_names)
            given = self.priors
            given = {"scene": given} if isinstance(given, ScenePrior) else dict(given)
            _refuse_priors_of_fixed(given, psf.fixed)
            if not (
                chosen.has_flux or psf.fixed["flux"] or (psf.fixed["x_0"] and psf.fixed["y_0"])
            ):
                _check_disc(chosen.radius, self.fitshape, psf.sigma)
            set_field(self, "priors", given)
        check_noise(self.noise)
        check_psf_error(self.psf_error, psf, self.noise)
        check_saturation(self.saturation)
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
            radius = check_number("aperture_radius", self.aperture_radius, above=0.0)
            set_field(self, "aperture_radius", radius)
        if self.zero_point is not None:
            point: Any = self.zero_point
            if getattr(point, "unit", None) in (u.mag, u.ABmag):
                point = point.value
            number = check_number("zero_point", point)
            set_field(self, "zero_point", number)
        if self.max_group_size is not None:
            check_integer("max_group_size", self.max_group_size, least=1)
        if not 0.0 < check_number("ci_prob", self.ci_prob, above=0.0) < 1.0:
            raise ValueError(f"ci_prob must lie between 0 and 1, found {self.ci_prob!r}")
        count_jobs(self.n_jobs)
        if self.executor is not None and not isinstance(self.executor, Executor):
            raise TypeError(
                "executor must be a concurrent.futures.Executor, such as ProcessPoolExecutor(2) or "
                f"client.get_executor() of a dask client, found {self.executor!r}"
            )
        if not isinstance(self.progress_bar, (bool, np.bool_)):
            raise TypeError(f"progress_bar must be True or False, found {self.progress_bar!r}")
        if self.seed is not None and check_integer("seed", self.seed, least=0) >= 2**64:
            raise ValueError(f"seed must be below 2**64, found {self.seed}")

    def __repr__(self) -> str:
        """Show the arguments that differ from their defaults."""
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "psf_model":
                parts.append(f"psf_model={show_model(self._model)}")
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
        positions : Table or SkyCoord, optional
            Starts ``x_0, y_0``, or, where the image has a WCS, ``ra, dec`` (ICRS; degrees without
            a unit) or a column that is a SkyCoord; pixels win where a table has both. Optionally
            ``flux_0``, ``id``, ``group_id``, that of a shape, such as ``sigma_0``, and normal
            priors of single sources: ``x_prior_mean``, ``x_prior_sd``, the same of ``y`` and
            ``flux``, log-normal ones of a length: see `bayesphot.priors.check_prior_columns`; on
            the sky also ``ra_prior_sd``, ``dec_prior_sd``, angles (`bayesphot.place_catalog` makes
            priors of a catalogue's errors).

        Returns
        -------
        PhotometryResult
            Catalogue, draws and images.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape, unit or value.
        InterruptedRun
            On Ctrl-C while groups are sampled: what is finished is its ``result``. Before that
            there is nothing to keep, and the KeyboardInterrupt itself is raised.
        """
        return measure_image(self, image, error, mask, positions)

    def _make_workers(self) -> Workers:
        """Return who does the work."""
        return Workers(count_jobs(self.n_jobs), self.executor, self.progress_bar)

    def get_residual_image(self):
        """Raise AttributeError: the residual belongs to the result."""
        raise AttributeError(
            "a configuration holds no results: use result.residual_image of the result that "
            "the call returned"
        )

    def _make_settings(self) -> ModelSettings:
        """Return the model of the run."""
        psf = self._psf
        background = _BACKGROUNDS[self.fit_background]
        if background == "prior" and self.bkg_estimator is None:
            background = "none"
        priors = normalise_priors(self.priors, psf.shape_names)
        if priors.background is not None and background == "none":
            background = "prior"
        modes = () if self.psf_error is None else self.psf_error.amplitude_sd
        inflation = None if self.noise is None else self.noise.inflation
        return ModelSettings(
            psf=psf,
            free_x=not psf.fixed["x_0"],
            free_y=not psf.fixed["y_0"],
            free_flux=not psf.fixed["flux"],
            shape=self.shape if psf.free_shapes else "fixed",
            fit_shape=self.fitshape,
            background=background,
            priors=priors,
            fitter=self.fitter,
            nuisance_sd=modes if inflation is None else (*modes, INFLATION_SD),
            psf_error=self.psf_error,
            inflation=inflation,
        )


def _refuse_priors_of_fixed(priors: Mapping, fixed: Mapping[str, bool]) -> None:
    """Raise ValueError for a prior of a parameter that the PSF model holds fixed."""
    names = {"x": "x_0", "y": "y_0"}
    for name, prior in priors.items():
        parameter = names.get(name, name)
        if fixed.get(parameter, False):
            raise ValueError(
                f"priors[{name!r}] says nothing of a parameter that is fixed, found {prior!r}: set "
                f"psf_model.{parameter}.fixed = False, or leave it out"
            )


def _check_disc(radius: float | None, fit_shape: tuple[int, int], sigma: float) -> None:
    """Raise ValueError for a disc in which a source leaves its fit box altogether.

    Nothing there holds its flux: with a flat prior the posterior has no integral.
    """
    reach = 0.5 * min(fit_shape) + LEAVES * sigma
    if radius is not None and radius > reach:
        raise ValueError(
            f"priors['position']=Disc({radius:g}) lets a source leave its fit box, where nothing "
            f"holds a flat flux: with fitshape={fit_shape} the radius must be at most {reach:g}, "
            "or priors['flux'] not flat"
        )
