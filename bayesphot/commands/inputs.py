"""The image of a command, with all that its file and the options say of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..checks import check_number
from .noise import choose_noise, knows_noise
from .refusals import UsageError, refuse_argument, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

    from ..readers import FitsImage

__all__ = ["Opened", "check_images", "open_image"]


class Opened(NamedTuple):
    """An image, what is known of its pixels, and what is to be said of where that is from."""

    image: FitsImage
    error: Any
    mask: Any
    noise: Any
    saturation: float | None
    notes: list[str]


def open_image(arguments: Namespace) -> Opened:
    """Return the image of the arguments; warn of what its file has that cannot be used."""
    notes: list[str] = []
    with refuse_bad_use(ValueError):
        image, error, mask = _read_images(arguments)
        noise = choose_noise(arguments, image.header, image.unit, notes=notes)
        saturation = _choose_saturation(arguments, image.header, notes)
    for text in image.warnings:
        warnings.warn(text, UserWarning, stacklevel=2)
    about = [f"image: {image.extension} of {arguments.image}", *image.planes.notes, *notes]
    return Opened(image, error, mask, noise, saturation, about)


def check_images(image: Any, error: Any, mask: Any) -> None:
    """Raise now what would be wrong with the images; warnings come with the run."""
    from ..image import prepare_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare_image(image, error=error, mask=mask)
    if not prepared.good.any():
        raise ValueError(
            f"image must have good pixels: all {prepared.good.size} are masked or not finite"
        )


def _read_images(arguments: Namespace) -> tuple[FitsImage, Any, Any]:
    """Return image, error (array, number or None) and mask (bool array or None)."""
    from ..readers import read_fits_image, read_fits_mask

    bits = {"dq_bits": arguments.dq_bits, "dq_ignore": arguments.dq_ignore or 0}
    image = read_fits_image(
        arguments.image,
        ext=arguments.ext,
        error=arguments.error is None and not knows_noise(arguments),
        mask=arguments.mask is None,
        **bits,
    )
    error: Any = None
    if arguments.error not in (None, "none"):
        try:
            error = float(arguments.error)
        except ValueError:
            _refuse_itself(arguments.error, arguments.image)
            error = _read_error(arguments.error, image)
        else:
            with refuse_argument("--error"):
                check_number("error", error, above=0.0)
    mask = None
    if arguments.mask not in (None, "none"):
        mask = read_fits_mask(arguments.mask, **bits)
    option = "--dq-ignore" if arguments.dq_bits is None else "--dq-bits"
    if (arguments.dq_bits or arguments.dq_ignore) and mask is None and image.planes.mask is None:
        raise UsageError(f"{option} chooses quality bits and there are none: no DQ, MASK or --mask")
    return image, error, mask


def _read_error(path: str, image: FitsImage) -> Any:
    """Return the error of each pixel in the image's unit, where both say what theirs is."""
    from astropy.units import UnitConversionError

    from ..readers import read_fits_image

    plane = read_fits_image(path, error=False, mask=False)
    if plane.unit is None or image.unit is None or plane.unit == image.unit:
        return plane.data
    try:
        return plane.data * plane.unit.to(image.unit)
    except UnitConversionError:
        raise UsageError(
            f"--error must be in the unit of the image: {path} is in '{plane.unit}', the image in "
            f"'{image.unit}'"
        ) from None


def _refuse_itself(error: str, image: str) -> None:
    """Refuse the image's own file as its errors where no extension is named."""
    paths = [Path(name.partition("[")[0]).expanduser() for name in (error, image)]
    if "[" not in error and all(path.is_file() for path in paths) and paths[0].samefile(paths[1]):
        raise UsageError(
            f"--error is the image's own file: name an extension, '{error}[ERR]', or leave the "
            "option out, and ERR, VAR or IVAR beside the image are read"
        )


def _choose_saturation(arguments: Namespace, header: Any, notes: list[str]) -> float | None:
    """Return the saturation level, given or from the header; None where nothing is said of it."""
    from ..readers import SATURATION_KEYWORDS, header_value

    if arguments.saturation is None:
        return None
    given = None if arguments.saturation == "header" else arguments.saturation
    with refuse_argument("--saturation"):
        level = header_value(header, SATURATION_KEYWORDS, given)
    if level is None:
        raise UsageError(
            f"--saturation header needs {' or '.join(SATURATION_KEYWORDS)} in the header: give the "
            "level as a number"
        )
    notes.append(f"saturation: pixels at {level:g} and above are masked")
    return level
