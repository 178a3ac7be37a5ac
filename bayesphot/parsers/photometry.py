"""Options of ``bayesphot run`` and ``demo``."""

from __future__ import annotations

from typing import Any

from .shared import (
    add_image,
    add_linking,
    add_noise,
    add_overwrite,
    add_psf,
    add_psf_error,
    add_quiet,
    add_sampling,
    add_varying_sky,
)
from .values import (
    read_count,
    read_count_or_none,
    read_least_one,
    read_number,
    read_positive,
    read_seed,
)

__all__ = ["add_demo", "add_run"]


def add_run(commands: Any) -> None:
    """Add ``bayesphot run``."""
    run = commands.add_parser(
        "run",
        help="photometry of a FITS image",
        description="Find the stars of a FITS image, fit them in groups, sample every group, and "
        "write catalogue (ECSV), draws (NetCDF), images (FITS) and a picture (PNG) to a folder. "
        "FILE[EXT] names an extension by name or number.",
    )
    add_image(run)

    psf = add_psf(run, shared=True)
    add_psf_error(psf, note="a mode of the PSF in each group, not with --fit-sigma")

    noise = add_noise(run)
    noise.add_argument(
        "--correlation",
        type=read_least_one,
        default=1.0,
        metavar="R",
        help="factor on the noise of the pixels of a resampled (drizzled) image, for what their "
        "correlation adds to a sum over the PSF (default: 1)",
    )
    noise.add_argument(
        "--inflation",
        type=read_positive,
        metavar="W",
        help="sample a factor on the noise of each group, log-normal about 1 of this width, e.g. "
        "0.3",
    )

    search = run.add_argument_group("search and groups")
    level = search.add_mutually_exclusive_group()
    level.add_argument(
        "--nsigma", type=read_positive, default=5.0, help="smallest significance (default: 5)"
    )
    level.add_argument("--threshold", type=read_positive, help="or smallest height, in image units")
    search.add_argument(
        "--niters",
        type=read_count_or_none,
        default=3,
        metavar="N|none",
        help="rounds of search (default: 3); none: until nothing is found",
    )
    add_linking(search)
    search.add_argument(
        "--background",
        choices=("prior", "flat", "plane", "none"),
        default="prior",
        help="sky of a group: free with the estimator's error as prior (default), free and flat, "
        "a free plane, or none (subtracted already)",
    )
    add_varying_sky(search, default="one level")

    add_sampling(run, can_skip=True)

    output = run.add_argument_group("output")
    output.add_argument(
        "--zero-point", type=read_number, metavar="ZP", help="adds magnitudes ZP - 2.5 log10(flux)"
    )
    output.add_argument("--out", metavar="DIR", help="folder (default: IMAGE's name_bayesphot)")
    add_overwrite(output)
    add_quiet(output)
    run.set_defaults(command="run_image")


def add_demo(commands: Any) -> None:
    """Add ``bayesphot demo``."""
    demo = commands.add_parser(
        "demo",
        help="simulate a crowded field, run it, compare truth and posterior",
        description="Simulate a crowded field, run it, print truth against posterior, and write "
        "catalogue, draws, images and a picture.",
    )
    demo.add_argument(
        "--out", metavar="DIR", default="bayesphot_demo", help="(default: %(default)s)"
    )
    demo.add_argument("--seed", type=read_seed, default=1, help="(default: 1)")
    demo.add_argument("--jobs", type=read_count, help="threads (default: all cores)")
    add_overwrite(demo)
    add_quiet(demo)
    demo.set_defaults(command="run_demo")
