"""Options of ``bayesphot companions``."""

from __future__ import annotations

from typing import Any

from .shared import add_image, add_noise, add_overwrite, add_psf, add_psf_error, add_quiet
from .values import read_count, read_number, read_odd, read_positive, read_seed

__all__ = ["add_companions"]


def add_companions(commands: Any) -> None:
    """Add ``bayesphot companions``."""
    search = commands.add_parser(
        "companions",
        help="is there a second source near a target, where, how bright, and how faint could it be",
        description="Try a second source at every place about a target of a FITS image, and write "
        "a map of the evidence (FITS), the posterior of the pair and the limits against separation "
        "(ECSV) and a picture (PNG) to a folder.",
    )
    add_image(search)
    target = search.add_argument_group("target and region")
    place = target.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--target", nargs=2, type=read_number, metavar=("X", "Y"),
        help="pixels, the first pixel's middle is 0",
    )  # fmt: skip
    place.add_argument(
        "--target-sky", nargs=2, type=read_number, metavar=("RA", "DEC"),
        help="or degrees, ICRS, by the image's WCS",
    )  # fmt: skip
    target.add_argument(
        "--radius", type=read_positive, metavar="PX", help="half side searched (default: 3 FWHM)"
    )
    target.add_argument(
        "--step", type=read_positive, metavar="PX", help="of the places (default: FWHM / 10)"
    )
    target.add_argument(
        "--box", type=read_odd, metavar="PX",
        help="side of the box that is fitted, odd (default: the region and 2 FWHM around it)",
    )  # fmt: skip
    target.add_argument(
        "--pixel-scale", type=read_positive, metavar="A",
        help="arcsec per pixel; with this or --north the image's WCS, where it has one, does not "
        "count: give both",
    )  # fmt: skip
    target.add_argument(
        "--north", type=read_number, metavar="DEG",
        help="direction of north, degrees counterclockwise from +y; east is 90 degrees further",
    )  # fmt: skip
    psf = add_psf(search, fixed=True)
    add_psf_error(psf, note="a mode of the PSF")
    add_noise(search)
    prior = search.add_argument_group("prior and checks")
    prior.add_argument(
        "--probability", type=read_positive, default=0.5, metavar="P",
        help="that there is a companion in the region (default: 0.5)",
    )  # fmt: skip
    prior.add_argument(
        "--flux-ratio", nargs=2, type=read_positive, default=(1e-3, 1.0), metavar=("MIN", "MAX"),
        help="companion over target, even in magnitudes (default: 0.001 1)",
    )  # fmt: skip
    prior.add_argument(
        "--false-positives", type=read_count, metavar="N",
        help="search N simulated images without a companion, too: how often do they look as much "
        "like having one?",
    )  # fmt: skip
    prior.add_argument(
        "--confirm", action="store_true",
        help="sample target and most likely companion together, and the target alone: the evidence "
        "ratio with its error; the pair is then that of the draws",
    )  # fmt: skip
    output = search.add_argument_group("output")
    output.add_argument("--seed", type=read_seed, default=0, help="of the draws (default: 0)")
    output.add_argument("--jobs", type=read_count, help="threads (default: all cores)")
    output.add_argument("--out", metavar="DIR", help="folder (default: IMAGE's name_companions)")
    add_overwrite(output)
    add_quiet(output)
    search.set_defaults(command="map_companions", fit_sigma=False)
