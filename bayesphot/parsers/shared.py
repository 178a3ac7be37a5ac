"""Options that several commands have."""

from __future__ import annotations

from typing import Any

from .values import (
    read_count,
    read_not_negative,
    read_odd,
    read_positive,
    read_psf_error,
    read_seed,
)

__all__ = [
    "NOISE_HELP",
    "add_image",
    "add_linking",
    "add_noise",
    "add_overwrite",
    "add_psf",
    "add_psf_error",
    "add_quiet",
    "add_sampling",
    "add_varying_sky",
]

NOISE_HELP = (
    "normal, ccd (with --gain, or GAIN and RDNOISE of the header), poisson (the image is in "
    "counts), student:DOF or contaminated:FRACTION,WIDTH (outliers; the scale is --error); "
    "default: ccd where --gain is given, else normal"
)


def add_image(parser: Any) -> None:
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


def add_noise(parser: Any) -> Any:
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


def add_psf(parser: Any, *, shared: bool = False, fixed: bool = False) -> Any:
    """Add the PSF; unless it is fixed the fit box and whether its width is fitted, and, where that
    is a choice, who shares it.

    Returns the group of arguments.
    """
    psf = parser.add_argument_group("PSF, a Gaussian integrated over the pixels, or of a file")
    width = psf.add_mutually_exclusive_group(required=True)
    width.add_argument(
        "--sigma", type=read_positive, metavar="S", help="standard deviation in pixels"
    )
    width.add_argument(
        "--fwhm", type=read_positive, metavar="F", help="or full width at half maximum"
    )
    width.add_argument(
        "--psf",
        metavar="FILE",
        help="or a PSF of STDPSF, STPSF, PSFEx or DAOPHOT, or a FITS image of one",
    )
    psf.add_argument(
        "--psf-oversampling",
        type=read_positive,
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
        type=read_odd,
        metavar="N",
        help="side of the fit box in pixels, odd (default: 11, or 2.5 FWHM where that is more)",
    )
    return psf


def add_psf_error(parser: Any, *, note: str) -> None:
    """Add the error of the PSF, which is marginalised."""
    parser.add_argument(
        "--psf-error",
        type=read_psf_error,
        metavar="WIDTH|FILE",
        help=f"relative error of the width (standard deviation, e.g. 0.01), {note}; or the file "
        "of `bayesphot psf`, which holds the error of its PSF: marginalised",
    )


def add_varying_sky(parser: Any, *, default: str) -> None:
    """Add the estimators of a sky that varies."""
    sky = parser.add_mutually_exclusive_group()
    sky.add_argument(
        "--mesh", type=read_count, metavar="N",
        help="the sky varies: its level in tiles of N pixels, splines between "
        f"(default: {default})",
    )  # fmt: skip
    sky.add_argument(
        "--annulus", nargs=2, type=read_positive, metavar=("INNER", "OUTER"),
        help="or its level between two radii about each place, pixels",
    )  # fmt: skip


def add_linking(parser: Any) -> None:
    """Add what makes groups."""
    parser.add_argument(
        "--crit-separation",
        type=read_not_negative,
        metavar="PX",
        help="stars closer than this are fitted together (default: 1.5 FWHM)",
    )
    parser.add_argument(
        "--max-group-size", type=read_count, default=20, metavar="N", help="(default: 20)"
    )


def add_sampling(parser: Any, *, can_skip: bool = False) -> None:
    """Add the sampler, the seed and the threads."""
    skip = ", or none: least squares only" if can_skip else ""
    sampling = parser.add_argument_group("posterior")
    sampling.add_argument(
        "--sampler",
        choices=("independence", "emcee", *(("none",) if can_skip else ())),
        default="independence",
        help=f"compiled independence sampler (default) or emcee{skip}",
    )
    sampling.add_argument("--draws", type=read_count, default=500, help="per chain (default: 500)")
    sampling.add_argument("--chains", type=read_count, default=4, help="(default: 4)")
    sampling.add_argument("--seed", type=read_seed, help="same seed, same answer, for any --jobs")
    sampling.add_argument("--jobs", type=read_count, help="threads (default: all cores)")


def add_overwrite(parser: Any) -> None:
    """Add whether an older result may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace an older result")


def add_quiet(parser: Any) -> None:
    """Add whether nothing is shown."""
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no summary")
