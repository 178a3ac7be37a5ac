"""``bayesphot run`` and ``demo``: photometry of an image, and of a simulated one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bayesphot as bp

from .inputs import check_images, open_image
from .noise import scale_noise
from .options import (
    SIGMA_RADIUS,
    choose_psf,
    choose_psf_error,
    choose_sampler,
    choose_varying_sky,
    configure,
)
from .outputs import check_output, describe_memory, name_output
from .refusals import UsageError, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["run_demo", "run_image"]


def run_image(arguments: Namespace) -> None:
    """Photometry of one FITS image."""
    name = arguments.out or name_output(arguments.image)
    folder = Path(name).expanduser()
    check_output(folder, overwrite=arguments.overwrite, kind="folder")
    image, error, mask, noise, saturation, notes = open_image(arguments)
    with refuse_bad_use(ValueError):
        noise = scale_noise(noise, arguments)
    data = image.to_nddata()
    with refuse_bad_use(ValueError):
        photometry = _configure_run(arguments, noise=noise, saturation=saturation)
        check_images(data, error, mask)
    if not arguments.quiet:
        print("\n".join(notes))
    _measure(photometry, data, folder, arguments, error=error, mask=mask)


def _configure_run(arguments: Namespace, *, noise: Any, saturation: float | None = None) -> Any:
    """Return the photometry that the options describe."""
    psf_error = choose_psf_error(arguments)
    if psf_error is not None and psf_error.width and arguments.fit_sigma:
        raise UsageError(
            "--psf-error is the error of a known width and --fit-sigma fits it: give one"
        )
    psf_model = choose_psf(arguments)
    level: dict[str, Any] = {"nsigma": arguments.nsigma}
    if arguments.threshold is not None:
        level = {"threshold": arguments.threshold}
    has_sky, varying = arguments.background != "none", choose_varying_sky(arguments)
    separation = arguments.crit_separation
    return configure(
        psf_model=psf_model,
        fitshape=arguments.fitshape,
        finder=bp.DAOStarFinder(fwhm=psf_model.fwhm, sigma_radius=SIGMA_RADIUS, **level),
        crit_separation=separation,
        bkg_estimator=(varying or bp.MMMBackground()) if has_sky else None,
        fit_background=arguments.background if has_sky else False,
        sampler=choose_sampler(arguments),
        noise=noise,
        psf_error=psf_error,
        saturation=saturation,
        shape=arguments.shape,
        niters=arguments.niters,
        max_group_size=arguments.max_group_size,
        zero_point=arguments.zero_point,
        n_jobs=arguments.jobs,
        progress_bar=not arguments.quiet,
        seed=arguments.seed,
    )


def run_demo(arguments: Namespace) -> None:
    """Simulate a crowded field, run it and compare."""
    folder = Path(arguments.out).expanduser()
    check_output(folder, overwrite=arguments.overwrite, kind="folder")
    sigma = 2.0
    # 0.13 stars per FWHM squared: two of three are fitted together with a neighbour.
    scene = bp.simulate_scene(
        (160, 160), n_sources=150, sigma=sigma, background=20.0, noise=5.0, border=6.0,
        seed=arguments.seed,
    )  # fmt: skip
    if not arguments.quiet:
        print(f"simulated {len(scene.truth)} stars on 160 x 160 pixels, PSF sigma {sigma}")
    psf_model = bp.IntegratedGaussianPRF(sigma=sigma)
    photometry = configure(
        psf_model=psf_model,
        finder=bp.DAOStarFinder(fwhm=psf_model.fwhm, sigma_radius=SIGMA_RADIUS, nsigma=5.0),
        bkg_estimator=bp.MMMBackground(),
        n_jobs=arguments.jobs,
        progress_bar=not arguments.quiet,
        seed=arguments.seed,
    )
    result = _measure(photometry, scene.image, folder, arguments, error=scene.error)
    from ..report import describe_comparison

    # The comparison is what the demo is for: --quiet leaves it.
    print(describe_comparison(result, scene.truth, radius=0.5 * psf_model.fwhm))


def _measure(photometry: Any, image: Any, folder: Path, arguments: Namespace, **planes: Any) -> Any:
    """Run, write and summarise; return the result. An interrupted run is written, then ends."""
    begin = time.perf_counter()
    try:
        result = photometry(image, **planes)
    except bp.InterruptedRun as stop:
        _write(stop.result, time.perf_counter() - begin, folder, arguments)
        raise
    _write(result, time.perf_counter() - begin, folder, arguments)
    return result


def _write(result: Any, seconds: float, folder: Path, arguments: Namespace) -> None:
    """Write and summarise a result."""
    from ..report import describe_result, write_report

    with refuse_bad_use(FileExistsError, PermissionError):
        files = write_report(result, folder, overwrite=arguments.overwrite)
    if not arguments.quiet:
        print(describe_result(result))
        print(f"time {seconds:.1f} s{describe_memory()}")
        print(f"written to {folder}: {', '.join(files)}")
