"""``bayesphot simulate`` and ``warmup``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.stats import gaussian_sigma_to_fwhm

import bayesphot as bp

from .outputs import check_output
from .refusals import refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["warm_up", "write_simulation"]


def write_simulation(arguments: Namespace) -> None:
    """Write a simulated field to a FITS file."""
    path = Path(arguments.out).expanduser()
    check_output(path, overwrite=arguments.overwrite, kind="file")
    sigma = arguments.sigma or (arguments.fwhm / gaussian_sigma_to_fwhm if arguments.fwhm else 2.0)
    with refuse_bad_use(ValueError):
        scene = bp.simulate_scene(
            tuple(arguments.size),
            n_sources=arguments.sources,
            sigma=sigma,
            flux_range=tuple(arguments.flux),
            background=arguments.background,
            noise=arguments.noise,
            gain=arguments.gain,
            min_separation=arguments.min_separation,
            seed=arguments.seed,
        )
    _write_scene(scene, path, sigma=sigma)
    if not arguments.quiet:
        print(f"written to {path}: {len(scene.truth)} stars, PSF sigma {sigma:g} pixels")


def _write_scene(scene: Any, path: Path, *, sigma: float) -> None:
    """Write image, error and truth, whole or not at all."""
    from astropy.io import fits

    primary = fits.PrimaryHDU(scene.image)
    primary.header["PSFSIGMA"] = (sigma, "standard deviation of the Gaussian PSF, pixels")
    columns = [
        fits.Column(name, "K" if name == "id" else "D", array=scene.truth[name])
        for name in ("id", "x_0", "y_0", "flux")
    ]
    extensions = [
        primary,
        fits.ImageHDU(scene.error, name="ERROR"),
        fits.BinTableHDU.from_columns(columns, name="TRUTH"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        fits.HDUList(extensions).writeto(partial, overwrite=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def warm_up(arguments: Namespace) -> None:
    """Compile everything once."""
    begin = time.perf_counter()
    bp.warmup()
    if not arguments.quiet:
        print(f"compiled in {time.perf_counter() - begin:.1f} s")
