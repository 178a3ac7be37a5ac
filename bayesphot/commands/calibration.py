"""``bayesphot calibrate``: are the uncertainties of a set-up true?"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.stats import gaussian_sigma_to_fwhm

import bayesphot as bp

from .noise import choose_noise
from .options import choose_psf, choose_sampler, configure
from .outputs import check_output, count_cores, describe_memory
from .refusals import UsageError, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["run_calibration"]


def run_calibration(arguments: Namespace) -> None:
    """Test the uncertainties of a set-up on simulations from its priors."""
    folder = Path(arguments.out).expanduser()
    check_output(folder, overwrite=arguments.overwrite, kind="folder")
    if len(arguments.background) > 2:
        raise UsageError(f"--background is LEVEL or LEVEL SD, found {len(arguments.background)}")
    noise = choose_noise(arguments, {})
    begin = time.perf_counter()
    with refuse_bad_use(ValueError):
        photometry = _configure_calibration(arguments, noise=noise)
        level, *spread = arguments.background
        result = bp.calibrate(
            photometry,
            n_simulations=arguments.simulations,
            flux=bp.PowerLaw(arguments.flux_index, *arguments.flux),
            background=bp.Normal(level, *spread) if spread else level,
            error=arguments.error,
            n_sources=arguments.sources,
            separation=arguments.separation,
            density=arguments.density,
            min_separation=arguments.min_separation,
            truth=_choose_truth(photometry, arguments),
            true_error=arguments.true_error,
            seed=arguments.seed,
            n_jobs=arguments.jobs or count_cores(),
        )
    seconds = time.perf_counter() - begin
    with refuse_bad_use(FileExistsError, PermissionError):
        result.write(folder, overwrite=arguments.overwrite)
    if not arguments.quiet:
        print(result.summary())
        print(f"time {seconds:.1f} s{describe_memory()}")
        print(f"written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _configure_calibration(arguments: Namespace, *, noise: Any) -> Any:
    """Return the photometry whose uncertainties are tested."""
    return configure(
        psf_model=choose_psf(arguments),
        fitshape=arguments.fitshape,
        finder=bp.DAOStarFinder(fwhm=3.0, nsigma=5.0),
        crit_separation=arguments.crit_separation,
        sampler=choose_sampler(arguments),
        noise=noise,
        max_group_size=arguments.max_group_size,
    )


def _choose_truth(photometry: Any, arguments: Namespace) -> Any:
    """Return the set-up of the data where it is another than that of the fit, else None."""
    from argparse import Namespace

    changed: dict[str, Any] = {}
    if arguments.true_fwhm is not None:
        sigma = arguments.true_fwhm / gaussian_sigma_to_fwhm
        changed["psf_model"] = bp.IntegratedGaussianPRF(sigma=sigma)
    if arguments.true_noise is not None:
        if arguments.true_noise.startswith("ccd"):
            raise UsageError("--true-noise must not be ccd: give the CCD as --noise")
        named = Namespace(noise=arguments.true_noise, gain=None, read_noise=None, error=None)
        try:
            changed["noise"] = choose_noise(named, {})
        except UsageError as problem:
            raise UsageError(str(problem).replace("--noise", "--true-noise")) from problem
    return replace(photometry, **changed) if changed else None
