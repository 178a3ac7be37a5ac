"""Options of ``bayesphot calibrate`` and ``simulate``."""

from __future__ import annotations

from typing import Any

from .shared import NOISE_HELP, add_linking, add_overwrite, add_psf, add_quiet, add_sampling
from .values import read_count, read_not_negative, read_number, read_positive, read_seed

__all__ = ["add_calibrate", "add_simulate"]


def add_calibrate(commands: Any) -> None:
    """Add ``bayesphot calibrate``."""
    calibrate = commands.add_parser(
        "calibrate",
        help="test by simulation whether the uncertainties of a set-up are true",
        description="Draw stars from the priors of a set-up, simulate and fit them, and tell "
        "whether the posteriors are right: ranks of the truth, coverage, scatter over the quoted "
        "error, bias. Writes a table (ECSV), a picture (PNG) and the summary to a folder.",
    )
    add_psf(calibrate)

    noise = calibrate.add_argument_group("noise: one of --error and --gain, or --noise poisson")
    noise.add_argument("--error", type=read_positive, help="1-sigma noise per pixel, or its scale")
    noise.add_argument("--gain", type=read_positive, help="electrons per unit of the image")
    noise.add_argument("--read-noise", type=read_not_negative, metavar="R", help="electrons")
    noise.add_argument("--noise", metavar="NAME", help=NOISE_HELP)

    priors = calibrate.add_argument_group("priors, of the truths and of the fit")
    priors.add_argument(
        "--flux", nargs=2, type=read_positive, required=True, metavar=("MIN", "MAX"), help="range"
    )
    priors.add_argument(
        "--flux-index", type=read_number, default=-1.0, metavar="A",
        help="the density of fluxes falls as flux^A (default: -1, even in magnitudes)",
    )  # fmt: skip
    priors.add_argument(
        "--background", nargs="+", type=read_number, default=(0.0,), metavar=("LEVEL", "SD"),
        help="sky level, known; with a standard deviation: drawn and fitted (default: 0)",
    )  # fmt: skip

    groups = calibrate.add_argument_group("groups (default: stars alone)")
    groups.add_argument("--simulations", type=read_count, default=1000, metavar="N", help="(1000)")
    groups.add_argument(
        "--sources", nargs="+", type=read_count, default=(1,), metavar="N",
        help="of each group: one number, or the least and the largest (default: 1)",
    )  # fmt: skip
    groups.add_argument(
        "--separation",
        nargs="+",
        type=read_positive,
        metavar="PX",
        help="of mates: one number, or two",
    )
    groups.add_argument(
        "--density",
        type=read_positive,
        metavar="D",
        help="or a random field, stars per square pixel",
    )
    groups.add_argument(
        "--min-separation", type=read_not_negative, metavar="PX", help="in it (default: FWHM / 2)"
    )
    add_linking(groups)

    wrong = calibrate.add_argument_group("data that the set-up does not describe")
    wrong.add_argument("--true-fwhm", type=read_positive, metavar="F", help="the data's PSF")
    wrong.add_argument("--true-error", type=read_positive, metavar="E", help="the data's noise")
    wrong.add_argument(
        "--true-noise", metavar="NAME", help="kind of the data's noise, as --noise (not ccd)"
    )

    add_sampling(calibrate)
    output = calibrate.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", default="bayesphot_calibration", help="(default: %(default)s)"
    )
    add_overwrite(output)
    add_quiet(output)
    calibrate.set_defaults(command="run_calibration")


def add_simulate(commands: Any) -> None:
    """Add ``bayesphot simulate``."""
    simulate = commands.add_parser(
        "simulate",
        help="write a simulated field to a FITS file",
        description="Write a simulated field: the image, and the extensions ERROR (true 1-sigma "
        "noise) and TRUTH (id, x_0, y_0, flux; 0-based pixels).",
    )
    simulate.add_argument("--out", metavar="FILE.fits", required=True)
    simulate.add_argument(
        "--size",
        nargs=2,
        type=read_count,
        default=(256, 256),
        metavar=("NY", "NX"),
        help="(256 256)",
    )
    simulate.add_argument("--sources", type=read_count, default=150, metavar="N", help="(150)")
    simulate.add_argument(
        "--flux", nargs=2, type=read_positive, default=(500.0, 5000.0), metavar=("MIN", "MAX"),
        help="uniform in between (500 5000)",
    )  # fmt: skip
    width = simulate.add_mutually_exclusive_group()
    width.add_argument("--sigma", type=read_positive, help="of the Gaussian PSF, pixels (2)")
    width.add_argument("--fwhm", type=read_positive, help="or its full width at half maximum")
    simulate.add_argument("--background", type=read_number, default=20.0, help="sky level (20)")
    simulate.add_argument(
        "--noise", type=read_not_negative, default=5.0, help="Gaussian scatter (5)"
    )
    simulate.add_argument(
        "--gain", type=read_positive, help="adds photon noise, electrons per unit"
    )
    simulate.add_argument("--min-separation", type=read_not_negative, metavar="PX")
    simulate.add_argument("--seed", type=read_seed)
    add_overwrite(simulate)
    add_quiet(simulate)
    simulate.set_defaults(command="write_simulation")
