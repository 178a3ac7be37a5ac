"""The command line: ``bayesphot run``, ``psf``, ``companions``, ``calibrate``, ``demo`` ...

Only argparse is imported at the top, so that ``bayesphot --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from . import __version__

__all__ = ["main"]

EXIT_BAD_USE = 2
EXIT_INTERRUPTED = 130
NOISE_HELP = (
    "normal, ccd (with --gain, or GAIN and RDNOISE of the header), poisson (the image is in "
    "counts), student:DOF or contaminated:FRACTION,WIDTH (outliers; the scale is --error); "
    "default: ccd where --gain is given, else normal"
)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2 and one line on stderr."""
        self.exit(EXIT_BAD_USE, f"bayesphot: error: {_join_lines(message)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        0 after success, 2 after bad use or unreadable input, 130 after an interrupt.

    Raises
    ------
    SystemExit
        By argparse, for ``--help``, ``--version`` (code 0) and unknown arguments (code 2).

    Examples
    --------
    >>> from bayesphot.cli import main
    >>> main(["run", "missing.fits", "--fwhm", "3"])  # complains on stderr
    2
    """
    arguments = _build_parser().parse_args(argv)
    from . import commands

    try:
        with _show_short_warnings():
            getattr(commands, arguments.command)(arguments)
    except commands.UsageError as problem:
        print(f"bayesphot: error: {_join_lines(str(problem))}", file=sys.stderr)
        return EXIT_BAD_USE
    except KeyboardInterrupt:
        print("bayesphot: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _join_lines(text: str) -> str:
    """Return the text as one line."""
    return " ".join(text.split())


@contextmanager
def _show_short_warnings() -> Iterator[None]:
    """Show each warning as one line without the place in the code."""
    import warnings

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        print(f"bayesphot: warning: {_join_lines(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="bayesphot",
        description="Probabilistic PSF photometry: joint posteriors for blended stars.",
    )
    parser.add_argument("--version", action="version", version=f"bayesphot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_build(commands)
    _add_companions(commands)
    _add_calibrate(commands)
    _add_demo(commands)
    _add_simulate(commands)
    warm = commands.add_parser(
        "warmup",
        help="compile everything once, so that later runs start at once",
        description="Compile everything once and keep it on disk.",
    )
    _add_quiet(warm)
    warm.set_defaults(command="warm_up")
    return parser


def _add_run(commands: Any) -> None:
    """Add ``bayesphot run``."""
    run = commands.add_parser(
        "run",
        help="photometry of a FITS image",
        description="Find the stars of a FITS image, fit them in groups, sample every group, and "
        "write catalogue (ECSV), draws (NetCDF), images (FITS) and a picture (PNG) to a folder. "
        "FILE[EXT] names an extension by name or number.",
    )
    _add_image(run)

    psf = _add_psf(run, shared=True)
    psf.add_argument(
        "--psf-error",
        type=_psf_error,
        metavar="WIDTH|FILE",
        help="relative error of the width (standard deviation, e.g. 0.01), a mode of the PSF that "
        "is marginalised in each group, not with --fit-sigma; or the file of `bayesphot psf`, "
        "which holds the error of its PSF",
    )

    noise = _add_noise(run)
    noise.add_argument(
        "--correlation",
        type=_least_one,
        default=1.0,
        metavar="R",
        help="factor on the noise of the pixels of a resampled (drizzled) image, for what their "
        "correlation adds to a sum over the PSF (default: 1)",
    )
    noise.add_argument(
        "--inflation",
        type=_positive,
        metavar="W",
        help="sample a factor on the noise of each group, log-normal about 1 of this width, e.g. "
        "0.3",
    )

    search = run.add_argument_group("search and groups")
    level = search.add_mutually_exclusive_group()
    level.add_argument(
        "--nsigma", type=_positive, default=5.0, help="smallest significance (default: 5)"
    )
    level.add_argument("--threshold", type=_positive, help="or smallest height, in image units")
    search.add_argument(
        "--niters",
        type=_count_or_none,
        default=3,
        metavar="N|none",
        help="rounds of search (default: 3); none: until nothing is found",
    )
    _add_linking(search)
    search.add_argument(
        "--background",
        choices=("prior", "flat", "plane", "none"),
        default="prior",
        help="sky of a group: free with the estimator's error as prior (default), free and flat, "
        "a free plane, or none (subtracted already)",
    )
    _add_varying_sky(search, default="one level")

    _add_sampling(run, can_skip=True)

    output = run.add_argument_group("output")
    output.add_argument(
        "--zero-point", type=_number, metavar="ZP", help="adds magnitudes ZP - 2.5 log10(flux)"
    )
    output.add_argument("--out", metavar="DIR", help="folder (default: IMAGE's name_bayesphot)")
    _add_overwrite(output)
    _add_quiet(output)
    run.set_defaults(command="run_image")


def _add_image(parser: Any) -> None:
    """Add the image and what is bad in it."""
    parser.add_argument("image", metavar="IMAGE", help="FITS file, also FILE[EXT]")
    parser.add_argument("--ext", help="extension of IMAGE: name or number (default: first image)")
    parser.add_argument(
        "--mask",
        metavar="FILE|none",
        help="FITS image, not zero where a pixel is bad (default: the bits of DQ and MASK in the "
        "file of IMAGE, where it has them); none: no mask",
    )
    bits = parser.add_mutually_exclusive_group()
    bits.add_argument(
        "--dq-bits",
        metavar="BITS",
        help="quality bits that make a pixel bad: 4,8 or their sum 12 (default: any)",
    )
    bits.add_argument("--dq-ignore", metavar="BITS", help="or the quality bits that do not")
    parser.add_argument(
        "--saturation",
        metavar="LEVEL|header",
        help="pixels from here on, in image units, are saturated: they are masked, and stars with "
        "such cores measured from their wings; header: SATURATE or SATLEVEL, or a keyword "
        "(default: a plateau at the top of the image is looked for)",
    )


def _add_noise(parser: Any) -> Any:
    """Add the noise of an image; returns the group of arguments."""
    noise = parser.add_argument_group("noise (default: see --error)")
    noise.add_argument(
        "--error",
        metavar="FILE|NUMBER|none",
        help="total 1-sigma error per pixel, image or number (default: ERR, UNCERT, VAR, IVAR ... "
        "in the file of IMAGE, where it has one, else estimated from the image); none: estimated",
    )
    noise.add_argument(
        "--gain",
        metavar="G|header",
        help="electrons per unit of the image, or a keyword (times the exposure time where BUNIT "
        "is per second)",
    )
    noise.add_argument(
        "--read-noise",
        metavar="R|header",
        help="electrons, or a keyword (converted where its comment says ADU or DN); default: "
        "RDNOISE with --gain header, else 0",
    )

    noise.add_argument(
        "--noise",
        metavar="NAME",
        help=NOISE_HELP,
    )
    return noise


def _add_build(commands: Any) -> None:
    """Add ``bayesphot psf``."""
    build = commands.add_parser(
        "psf",
        help="the PSF of a FITS image from its own stars",
        description="Choose bright, isolated stars of a FITS image, solve for their PSF, and write "
        "it, its error and its modes (FITS, to be given as --psf of run) and a picture (PNG).",
    )
    _add_image(build)
    _add_noise(build)
    stars = build.add_argument_group("stars and PSF")
    stars.add_argument("--fwhm", type=_positive, metavar="F", help="pixels (default: measured)")
    stars.add_argument(
        "--stars", type=_count, default=100, metavar="N", help="at most (default: 100)"
    )
    stars.add_argument(
        "--oversampling",
        type=_count,
        metavar="N",
        help="pixels of its image to one of the data (default: 5 to a FWHM)",
    )
    stars.add_argument(
        "--size", type=_odd, metavar="N", help="side of the PSF, pixels, odd (default: 10 FWHM)"
    )
    stars.add_argument(
        "--degree",
        type=int,
        choices=(0, 1, 2),
        help="of the variation over the image (default: what the stars' criterion prefers)",
    )
    _add_varying_sky(stars, default="tiles of 15 FWHM, at least 48 pixels")
    output = build.add_argument_group("output")
    output.add_argument("--out", metavar="FILE.fits", help="(default: IMAGE's name_psf.fits)")
    _add_overwrite(output)
    _add_quiet(output)
    build.set_defaults(command="build_psf")


def _add_varying_sky(parser: Any, *, default: str) -> None:
    """Add the estimators of a sky that varies."""
    sky = parser.add_mutually_exclusive_group()
    sky.add_argument(
        "--mesh", type=_count, metavar="N",
        help="the sky varies: its level in tiles of N pixels, splines between "
        f"(default: {default})",
    )  # fmt: skip
    sky.add_argument(
        "--annulus", nargs=2, type=_positive, metavar=("INNER", "OUTER"),
        help="or its level between two radii about each place, pixels",
    )  # fmt: skip


def _add_companions(commands: Any) -> None:
    """Add ``bayesphot companions``."""
    search = commands.add_parser(
        "companions",
        help="is there a second source near a target, where, how bright, and how faint could it be",
        description="Try a second source at every place about a target of a FITS image, and write "
        "a map of the evidence (FITS), the posterior of the pair and the limits against separation "
        "(ECSV) and a picture (PNG) to a folder.",
    )
    _add_image(search)
    target = search.add_argument_group("target and region")
    place = target.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--target", nargs=2, type=_number, metavar=("X", "Y"),
        help="pixels, the first pixel's middle is 0",
    )  # fmt: skip
    place.add_argument(
        "--target-sky", nargs=2, type=_number, metavar=("RA", "DEC"),
        help="or degrees, ICRS, by the image's WCS",
    )  # fmt: skip
    target.add_argument(
        "--radius", type=_positive, metavar="PX", help="half side searched (default: 3 FWHM)"
    )
    target.add_argument(
        "--step", type=_positive, metavar="PX", help="of the places (default: FWHM / 10)"
    )
    target.add_argument(
        "--pixel-scale", type=_positive, metavar="A",
        help="arcsec per pixel (default: the image's WCS, where it has one)",
    )  # fmt: skip
    target.add_argument(
        "--north", type=_number, metavar="DEG",
        help="direction of north, counterclockwise from +y; east is 90 degrees further",
    )  # fmt: skip
    psf = _add_psf(search, fixed=True)
    psf.add_argument(
        "--psf-error", type=_psf_error, metavar="WIDTH|FILE",
        help="relative error of the width (standard deviation, e.g. 0.01), or the file of "
        "`bayesphot psf`, which holds the error of its PSF: marginalised",
    )  # fmt: skip
    _add_noise(search)
    prior = search.add_argument_group("prior and checks")
    prior.add_argument(
        "--probability", type=_positive, default=0.5, metavar="P",
        help="that there is a companion in the region (default: 0.5)",
    )  # fmt: skip
    prior.add_argument(
        "--flux-ratio", nargs=2, type=_positive, default=(1e-3, 1.0), metavar=("MIN", "MAX"),
        help="companion over target, even in magnitudes (default: 0.001 1)",
    )  # fmt: skip
    prior.add_argument(
        "--false-positives", type=_count, metavar="N",
        help="search N simulated images without a companion, too: how often do they look as much "
        "like having one?",
    )  # fmt: skip
    prior.add_argument(
        "--confirm", action="store_true",
        help="sample target and most likely companion together, and the target alone: the evidence "
        "ratio with its error; the pair is then that of the draws",
    )  # fmt: skip
    output = search.add_argument_group("output")
    output.add_argument("--seed", type=_seed, default=0, help="of the draws (default: 0)")
    output.add_argument("--jobs", type=_count, help="threads (default: all cores)")
    output.add_argument("--out", metavar="DIR", help="folder (default: IMAGE's name_companions)")
    _add_overwrite(output)
    _add_quiet(output)
    search.set_defaults(command="map_companions", fit_sigma=False)


def _add_psf(parser: Any, *, shared: bool = False, fixed: bool = False) -> Any:
    """Add the PSF; unless it is fixed the fit box and whether its width is fitted, and, where that
    is a choice, who shares it.

    Returns the group of arguments.
    """
    psf = parser.add_argument_group("PSF, a Gaussian integrated over the pixels, or of a file")
    width = psf.add_mutually_exclusive_group(required=True)
    width.add_argument("--sigma", type=_positive, metavar="S", help="standard deviation in pixels")
    width.add_argument("--fwhm", type=_positive, metavar="F", help="or full width at half maximum")
    width.add_argument(
        "--psf",
        metavar="FILE",
        help="or a PSF of STDPSF, STPSF, PSFEx or DAOPHOT, or a FITS image of one",
    )
    psf.add_argument(
        "--psf-oversampling",
        type=_positive,
        metavar="N",
        help="pixels of a FITS image of the PSF to one of the data, where its header does not say",
    )
    psf.add_argument(
        "--psf-detector",
        metavar="NAME",
        help="which detector of a STDPSF file of several: WFC1, UVIS2, PC, A1 ...",
    )
    if fixed:
        return psf
    psf.add_argument(
        "--fit-sigma", action="store_true", help="fit the width as well: of a file's PSF a factor"
    )
    if shared:
        psf.add_argument(
            "--shape",
            choices=("group", "image", "source"),
            default="group",
            help="a fitted width is shared by the group (default), the image, or free per source",
        )
    psf.add_argument(
        "--fitshape",
        type=_odd,
        metavar="N",
        help="side of the fit box in pixels, odd (default: 11, or 2.5 FWHM where that is more)",
    )
    return psf


def _add_linking(parser: Any) -> None:
    """Add what makes groups."""
    parser.add_argument(
        "--crit-separation",
        type=_not_negative,
        metavar="PX",
        help="stars closer than this are fitted together (default: 1.5 FWHM)",
    )
    parser.add_argument(
        "--max-group-size", type=_count, default=20, metavar="N", help="(default: 20)"
    )


def _add_sampling(parser: Any, *, can_skip: bool = False) -> None:
    """Add the sampler, the seed and the threads."""
    skip = ", or none: least squares only" if can_skip else ""
    sampling = parser.add_argument_group("posterior")
    sampling.add_argument(
        "--sampler",
        choices=("independence", "emcee", *(("none",) if can_skip else ())),
        default="independence",
        help=f"compiled independence sampler (default) or emcee{skip}",
    )
    sampling.add_argument("--draws", type=_count, default=500, help="per chain (default: 500)")
    sampling.add_argument("--chains", type=_count, default=4, help="(default: 4)")
    sampling.add_argument("--seed", type=_seed, help="same seed, same answer, for any --jobs")
    sampling.add_argument("--jobs", type=_count, help="threads (default: all cores)")


def _add_calibrate(commands: Any) -> None:
    """Add ``bayesphot calibrate``."""
    calibrate = commands.add_parser(
        "calibrate",
        help="test by simulation whether the uncertainties of a set-up are true",
        description="Draw stars from the priors of a set-up, simulate and fit them, and tell "
        "whether the posteriors are right: ranks of the truth, coverage, scatter over the quoted "
        "error, bias. Writes a table (ECSV), a picture (PNG) and the summary to a folder.",
    )
    _add_psf(calibrate)

    noise = calibrate.add_argument_group("noise: one of --error and --gain, or --noise poisson")
    noise.add_argument("--error", type=_positive, help="1-sigma noise per pixel, or its scale")
    noise.add_argument("--gain", type=_positive, help="electrons per unit of the image")
    noise.add_argument("--read-noise", type=_not_negative, metavar="R", help="electrons")
    noise.add_argument("--noise", metavar="NAME", help=NOISE_HELP)

    priors = calibrate.add_argument_group("priors, of the truths and of the fit")
    priors.add_argument(
        "--flux", nargs=2, type=_positive, required=True, metavar=("MIN", "MAX"), help="range"
    )
    priors.add_argument(
        "--flux-index", type=_number, default=-1.0, metavar="A",
        help="the density of fluxes falls as flux^A (default: -1, even in magnitudes)",
    )  # fmt: skip
    priors.add_argument(
        "--background", nargs="+", type=_number, default=(0.0,), metavar=("LEVEL", "SD"),
        help="sky level, known; with a standard deviation: drawn and fitted (default: 0)",
    )  # fmt: skip

    groups = calibrate.add_argument_group("groups (default: stars alone)")
    groups.add_argument("--simulations", type=_count, default=1000, metavar="N", help="(1000)")
    groups.add_argument(
        "--sources", nargs="+", type=_count, default=(1,), metavar="N",
        help="of each group: one number, or the least and the largest (default: 1)",
    )  # fmt: skip
    groups.add_argument(
        "--separation", nargs="+", type=_positive, metavar="PX", help="of mates: one number, or two"
    )
    groups.add_argument(
        "--density", type=_positive, metavar="D", help="or a random field, stars per square pixel"
    )
    groups.add_argument(
        "--min-separation", type=_not_negative, metavar="PX", help="in it (default: FWHM / 2)"
    )
    _add_linking(groups)

    wrong = calibrate.add_argument_group("data that the set-up does not describe")
    wrong.add_argument("--true-fwhm", type=_positive, metavar="F", help="the data's PSF")
    wrong.add_argument("--true-error", type=_positive, metavar="E", help="the data's noise")
    wrong.add_argument(
        "--true-noise", metavar="NAME", help="kind of the data's noise, as --noise (not ccd)"
    )

    _add_sampling(calibrate)
    output = calibrate.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", default="bayesphot_calibration", help="(default: %(default)s)"
    )
    _add_overwrite(output)
    _add_quiet(output)
    calibrate.set_defaults(command="run_calibration")


def _add_demo(commands: Any) -> None:
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
    demo.add_argument("--seed", type=_seed, default=1, help="(default: 1)")
    demo.add_argument("--jobs", type=_count, help="threads (default: all cores)")
    _add_overwrite(demo)
    _add_quiet(demo)
    demo.set_defaults(command="run_demo")


def _add_simulate(commands: Any) -> None:
    """Add ``bayesphot simulate``."""
    simulate = commands.add_parser(
        "simulate",
        help="write a simulated field to a FITS file",
        description="Write a simulated field: the image, and the extensions ERROR (true 1-sigma "
        "noise) and TRUTH (id, x_0, y_0, flux; 0-based pixels).",
    )
    simulate.add_argument("--out", metavar="FILE.fits", required=True)
    simulate.add_argument(
        "--size", nargs=2, type=_count, default=(256, 256), metavar=("NY", "NX"), help="(256 256)"
    )
    simulate.add_argument("--sources", type=_count, default=150, metavar="N", help="(150)")
    simulate.add_argument(
        "--flux", nargs=2, type=_positive, default=(500.0, 5000.0), metavar=("MIN", "MAX"),
        help="uniform in between (500 5000)",
    )  # fmt: skip
    width = simulate.add_mutually_exclusive_group()
    width.add_argument("--sigma", type=_positive, help="of the Gaussian PSF, pixels (2)")
    width.add_argument("--fwhm", type=_positive, help="or its full width at half maximum")
    simulate.add_argument("--background", type=_number, default=20.0, help="sky level (20)")
    simulate.add_argument("--noise", type=_not_negative, default=5.0, help="Gaussian scatter (5)")
    simulate.add_argument("--gain", type=_positive, help="adds photon noise, electrons per unit")
    simulate.add_argument("--min-separation", type=_not_negative, metavar="PX")
    simulate.add_argument("--seed", type=_seed)
    _add_overwrite(simulate)
    _add_quiet(simulate)
    simulate.set_defaults(command="write_simulation")


def _add_overwrite(parser: Any) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace an older result")


def _add_quiet(parser: Any) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no summary")


def _number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number, found {text!r}")
    return value


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be positive, found {text}")
    return value


def _psf_error(text: str) -> float | str:
    """Return a width, or the name of a file."""
    try:
        float(text)
    except ValueError:
        return text
    return _positive(text)


def _least_one(text: str) -> float:
    value = _number(text)
    if value < 1.0:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {text}")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, found {text}")
    return value


def _seed(text: str) -> int:
    """An integer from 0 to 2**64 - 1."""
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2**64 - 1, found {text!r}")
    return int(text)


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer above 0, found {text!r}")
    return value


def _count_or_none(text: str) -> int | None:
    return None if text == "none" else _count(text)


def _odd(text: str) -> int:
    value = _count(text)
    if value % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be odd, found {text}")
    return value
