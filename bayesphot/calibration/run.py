"""Calibration of the user's set-up: draw from its priors, simulate, fit, rank."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bayesphot.calibration.collect import Sample, collect_sample, join_samples
from bayesphot.calibration.designs import Starts, draw_crowd, draw_packs
from bayesphot.calibration.result import (
    FEWEST_GROUPS,
    LEVELS,
    CalibrationResult,
    build_result,
)
from bayesphot.calibration.setup import Setup, read_setup
from bayesphot.calibration.simulate import simulate_groups
from bayesphot.checks import check_integer, check_number

__all__ = ["calibrate"]

#: Groups of one image: its draws are 50 MB for each 1000 sources.
PER_IMAGE = 500
#: Closest starts in a crowd, in FWHM: finders do not part closer ones.
CLOSEST = 0.5


def calibrate(
    phot: Any,
    *,
    n_simulations: int = 1000,
    flux: Any = None,
    background: Any = None,
    error: float | None = None,
    n_sources: int | tuple[int, int] = 1,
    separation: Any = None,
    density: float | None = None,
    min_separation: float | None = None,
    truth: Any = None,
    true_error: float | None = None,
    n_ranks: int = 200,
    seed: int | None = None,
    n_jobs: int = 1,
) -> CalibrationResult:
    """Test by simulation whether the uncertainties of a set-up are true.

    Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): truths are drawn from
    the priors of the fit, data from its likelihood, and each truth is ranked among the draws of
    its posterior. Ranks are uniform if, and only if, the posteriors are right. Starts are fixed
    first; then places in the discs about them (in the order of the starts where discs meet),
    fluxes, free widths and sky levels; then the noise. Hundreds of groups lie in one image, each
    in a cell of its own. All of them count, whatever their engine or flags; one that could not be
    sampled counts as outside every interval, and has no rank. What is tested is the posterior of
    given groups, not the search for sources.

    Parameters
    ----------
    phot : BasicPSFPhotometry
        The set-up, of any of the photometry classes: its PSF, fit boxes, priors, noise and
        sampler are tested; its finder is not used.
    n_simulations : int
        Groups, at least 20. The band of a 68 % coverage is 0.68 ± 2.2 / sqrt(n).
    flux : distribution, optional
        Proper prior of the fluxes, in the fit too: of `bayesphot.priors` or a frozen one of
        scipy; default ``phot.priors["flux"]``.
    background : distribution or number, optional
        Proper prior of the sky level of each group, in the fit too; needed where `phot` fits the
        sky. A number: the known level, where it does not. Default ``phot.priors["background"]``.
    error : float, optional
        1-sigma noise per pixel (the scale of outlier models), in data units: needed unless
        ``phot.noise`` knows its own.
    n_sources : int or (int, int)
        Sources of each group, or the range in which each group's number is drawn.
    separation : float or (float, float), optional
        Distance of mates, pixels, or the range in which each group's is drawn: needed where
        there are several.
    density : float, optional
        Instead of the two: sources per square pixel of a random field, which
        ``phot.group_maker`` cuts into groups; those above ``max_group_size`` are left out.
    min_separation : float, optional
        Closest starts of such a field, pixels; default half a FWHM.
    truth : BasicPSFPhotometry, optional
        Makes the data instead of `phot`: its PSF, width and noise. To see what a wrong model
        does; positions, fluxes and sky are still of the priors of `phot`.
    true_error : float, optional
        Noise of the data where the fit is told another; default `error`.
    n_ranks : int
        A truth is ranked among ``n_ranks - 1`` draws, spread evenly over the chains so that they
        are nearly independent; a multiple of 20.
    seed : int, optional
        Of everything; None draws one and records it in the meta.
    n_jobs : int
        Threads; results do not depend on it.

    Returns
    -------
    CalibrationResult
        Table, ranks, coverage, scatter, bias, and their picture.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or a prior is not proper.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11)
    >>> result = bp.calibrate(phot, n_simulations=40, error=3.0, seed=1,
    ...                       flux=bp.PowerLaw(-2.0, 100.0, 5000.0))
    >>> len(result), list(result.ranks), result.passed()
    (40, ['x', 'y', 'flux'], True)
    """
    check_integer("n_simulations", n_simulations, least=FEWEST_GROUPS)
    if seed is None:
        seed = secrets.randbits(63)
    elif check_integer("seed", seed, least=0) >= 2**64:
        raise ValueError(f"seed must be below 2**64, found {seed}")
    setup = read_setup(
        phot, flux=flux, background=background, error=error, truth=truth, true_error=true_error
    )
    _check_ranks(n_ranks, setup)
    setup = replace(setup, phot=replace(setup.phot, n_jobs=n_jobs))
    random = np.random.default_rng(seed)
    starts = _draw_starts(
        random,
        n_simulations,
        setup,
        phot.group_maker,
        n_sources=n_sources,
        separation=separation,
        density=density,
        min_separation=min_separation,
    )
    sample = _run_images(random, starts, setup, n_ranks)
    meta = {
        "phot": repr(phot),
        "truth": None if truth is None else repr(truth),
        "flux": repr(setup.flux),
        "background": repr(setup.sky),
        "error": setup.error,
        "true_error": setup.true_error,
        "n_simulations": n_simulations,
        "n_sources": n_sources if density is None else None,
        "separation": separation,
        "density": density,
        "min_separation": min_separation,
        "left_out": starts.left_out,
        "n_ranks": n_ranks,
        "seed": seed,
        "versions": _list_versions(),
    }
    return build_result(sample, meta)


def _check_ranks(n_ranks: Any, setup: Setup) -> None:
    """Raise ValueError for a number of ranks that bins or draws do not allow."""
    check_integer("n_ranks", n_ranks, least=20)
    if n_ranks % 20:
        raise ValueError(f"n_ranks must be a multiple of 20, found {n_ranks}")
    n_draw = setup.phot.sampler.chains * setup.phot.sampler.draws
    if n_ranks - 1 > n_draw:
        raise ValueError(
            f"n_ranks must be at most the sampler's chains x draws + 1 = {n_draw + 1}, "
            f"found {n_ranks}"
        )


def _draw_starts(
    random, n_group: int, setup: Setup, group_maker, *, n_sources, separation, density,
    min_separation,
) -> Starts:  # fmt: skip
    """Return the starts of the design that the arguments describe."""
    limit = setup.phot.max_group_size
    sizes = _read_range("n_sources", n_sources, partial(check_integer, least=1))
    if density is None:
        if min_separation is not None:
            raise ValueError(f"min_separation needs density, found {min_separation!r} alone")
        if limit is not None and sizes[1] > limit:
            raise ValueError(
                f"n_sources must be at most phot.max_group_size={limit}, found {n_sources}"
            )
        apart = _read_separation(separation, sizes[1])
        return draw_packs(random, n_group, n_sources=sizes, separation=apart)
    if sizes != (1, 1) or separation is not None:
        raise ValueError(
            "density makes groups of all sizes: give either density or n_sources and separation, "
            f"found density={density!r}, n_sources={n_sources!r}, separation={separation!r}"
        )
    density = check_number("density", density, above=0.0)
    if group_maker is None:
        raise ValueError(
            "density needs phot.group_maker, e.g. DAOGroup(crit_separation=5.0), which cuts the "
            "field into groups; found None"
        )
    if min_separation is None:
        min_separation = CLOSEST * setup.settings.psf.fwhm
    return draw_crowd(
        random,
        n_group,
        density=density,
        min_separation=check_number("min_separation", min_separation, least=0.0),
        group_maker=group_maker,
        max_group_size=limit,
    )


def _read_range(name: str, value: Any, check: Callable) -> tuple:
    """Return the ends of a range, or one number twice; ``check(name, number)`` judges each."""
    ends = (value,) if np.ndim(value) == 0 else tuple(value)
    if len(ends) not in (1, 2):
        raise ValueError(f"{name} must be one number or (low, high), found {value!r}")
    low, high = (check(name, end) for end in (ends[0], ends[-1]))
    if low > high:
        raise ValueError(f"{name} must be (low, high) in rising order, found {value!r}")
    return low, high


def _read_separation(separation: Any, n_sources: int) -> tuple[float, float]:
    """Return the range of separations."""
    if n_sources == 1:
        if separation is not None:
            raise ValueError(
                f"separation needs n_sources of at least 2, found {separation!r} and groups of one"
            )
        return 0.0, 0.0
    if separation is None:
        raise ValueError(
            "separation must be given in pixels, a number or (low, high), where groups have up to "
            f"{n_sources} sources"
        )
    return _read_range("separation", separation, partial(check_number, above=0.0))


def _run_images(random, starts: Starts, setup: Setup, n_ranks: int) -> Sample:
    """Simulate and fit image after image."""
    samples = []
    for first in range(0, starts.n_group, PER_IMAGE):
        part = starts.select(first, min(first + PER_IMAGE, starts.n_group))
        simulation = simulate_groups(random, part, setup)
        phot = replace(setup.phot, seed=int(random.integers(2**63)))
        result = phot(simulation.image, error=setup.error, positions=simulation.list_positions())
        samples.append(
            collect_sample(random, simulation, result, setup, n_ranks=n_ranks, levels=LEVELS)
        )
    return join_samples(samples)


def _list_versions() -> dict[str, str]:
    """Return the versions that a calibration hangs on."""
    from bayesphot import __version__

    return {"bayesphot": __version__, "python": platform.python_version(), "numpy": np.__version__}
