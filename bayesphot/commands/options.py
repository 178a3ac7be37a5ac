"""What the options of several commands ask for: PSF, sky, sampler, and the photometry of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astropy.stats import gaussian_sigma_to_fwhm

import bayesphot as bp

from .outputs import count_cores
from .refusals import UsageError, refuse_argument

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = [
    "SIGMA_RADIUS",
    "choose_psf",
    "choose_psf_error",
    "choose_sampler",
    "choose_varying_sky",
    "configure",
]

#: A wider kernel than DAOFIND's: its shape measurements lose fewer faint stars (4 % at S/N 14-30).
SIGMA_RADIUS = 2.5


def choose_psf(arguments: Namespace) -> Any:
    """Return the PSF of the options."""
    if arguments.psf is None:
        if arguments.psf_oversampling is not None:
            raise UsageError("--psf-oversampling is of the image in --psf, which is not given")
        if arguments.psf_detector is not None:
            raise UsageError("--psf-detector is one of the file in --psf, which is not given")
        sigma = arguments.sigma or arguments.fwhm / gaussian_sigma_to_fwhm
        psf_model: Any = bp.IntegratedGaussianPRF(sigma=sigma)
    else:
        try:
            psf_model = bp.read_psf(
                arguments.psf,
                oversampling=arguments.psf_oversampling,
                detector=arguments.psf_detector,
            )
        except (OSError, ValueError) as problem:
            raise UsageError(f"argument --psf: {problem}") from problem
    psf_model.fixed[psf_model.param_names[-1]] = not arguments.fit_sigma
    return psf_model


def choose_psf_error(arguments: Namespace) -> Any:
    """Return the error of the PSF that the options tell, None without any."""
    given = arguments.psf_error
    if given is None:
        return None
    if not isinstance(given, str):
        return bp.PSFError(width=given)
    try:
        return bp.read_psf_error(given)
    except FileNotFoundError as problem:
        raise UsageError(
            f"argument --psf-error: must be a number or a file, found {given!r}, and no such file"
        ) from problem
    except (OSError, ValueError) as problem:
        raise UsageError(f"argument --psf-error: {problem}") from problem


def choose_varying_sky(arguments: Namespace) -> Any:
    """Return the estimator of a sky that varies, None where no option asks for one."""
    if arguments.annulus is not None:
        with refuse_argument("--annulus"):
            return bp.AnnulusBackground(*arguments.annulus)
    if arguments.mesh is not None:
        with refuse_argument("--mesh"):
            return bp.MeshBackground(arguments.mesh)
    return None


def choose_sampler(arguments: Namespace) -> Any:
    """Return the sampler of the options; False: least squares only."""
    if arguments.sampler == "none":
        return False
    kind = bp.Sampler if arguments.sampler == "independence" else bp.EmceeSampler
    return kind(draws=arguments.draws, chains=arguments.chains)


def configure(
    *,
    psf_model: Any,
    fitshape: int | None = None,
    crit_separation: float | None = None,
    n_jobs: int | None = None,
    **settings: Any,
) -> Any:
    """Return the photometry, with the defaults that hang on the width of the PSF."""
    fwhm = float(psf_model.fwhm)
    if fitshape is None:
        fitshape = max(11, 2 * int(1.25 * fwhm) + 1)
    if crit_separation is None:
        crit_separation = 1.5 * fwhm
    return bp.IterativelySubtractedPSFPhotometry(
        psf_model=psf_model,
        fitshape=(fitshape, fitshape),
        group_maker=bp.DAOGroup(crit_separation=crit_separation),
        n_jobs=n_jobs or count_cores(),
        **settings,
    )
