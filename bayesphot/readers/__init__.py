"""FITS files: images, planes of errors and quality, numbers of the header."""

from bayesphot.readers.files import shorten_problem, split_path
from bayesphot.readers.header import (
    SATURATION_KEYWORDS,
    CCDNumbers,
    ReadError,
    header_value,
    read_ccd,
)
from bayesphot.readers.images import (
    FitsImage,
    read_fits_image,
    read_fits_mask,
    read_fits_plane,
    read_image,
)
from bayesphot.readers.quality import mask_bits

__all__ = [
    "SATURATION_KEYWORDS",
    "CCDNumbers",
    "FitsImage",
    "ReadError",
    "header_value",
    "mask_bits",
    "read_ccd",
    "read_fits_image",
    "read_fits_mask",
    "read_fits_plane",
    "read_image",
    "shorten_problem",
    "split_path",
]
