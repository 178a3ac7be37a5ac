"""Options of ``bayesphot psf``."""

from __future__ import annotations

from typing import Any

from .shared import add_image, add_noise, add_overwrite, add_quiet, add_varying_sky
from .values import read_count, read_odd, read_positive

__all__ = ["add_build"]


def add_build(commands: Any) -> None:
    """Add ``bayesphot psf``."""
    build = commands.add_parser(
        "psf",
        help="the PSF of a FITS image from its own stars",
        description="Choose bright, isolated stars of a FITS image, solve for their PSF, and write "
        "it, its error and its modes (FITS, to be given as --psf of run) and a picture (PNG).",
    )
    add_image(build)
    add_noise(build)
    stars = build.add_argument_group("stars and PSF")
    stars.add_argument("--fwhm", type=read_positive, metavar="F", help="pixels (default: measured)")
    stars.add_argument(
        "--stars", type=read_count, default=100, metavar="N", help="at most (default: 100)"
    )
    stars.add_argument(
        "--oversampling",
        type=read_count,
        metavar="N",
        help="pixels of its image to one of the data (default: 5 to a FWHM)",
    )
    stars.add_argument(
        "--size", type=read_odd, metavar="N", help="side of the PSF, pixels, odd (default: 10 FWHM)"
    )
    stars.add_argument(
        "--degree",
        type=int,
        choices=(0, 1, 2),
        help="of the variation over the image (default: what the stars' criterion prefers)",
    )
    add_varying_sky(stars, default="tiles of 15 FWHM, at least 48 pixels")
    output = build.add_argument_group("output")
    output.add_argument("--out", metavar="FILE.fits", help="(default: IMAGE's name_psf.fits)")
    add_overwrite(output)
    add_quiet(output)
    build.set_defaults(command="build_psf")
