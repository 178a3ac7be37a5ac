"""The error of a PSF in the file of the PSF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bayesphot.psf.error import PSFError
from bayesphot.psf.hdus import make_card, read_hdus
from bayesphot.readers import ReadError

#: Fewest stars that tell how stars differ from a PSF.
FEWEST = 10

__all__ = ["make_error_hdu", "read_psf_error"]

#: Name of the extension, and keywords of its header.
_NAME = "MODES"
_WIDTH, _WHITE, _SD, _OVERSAMPLING = "WIDTHERR", "WHITEERR", "SD", "OVERSAMP"


def make_error_hdu(error: PSFError) -> Any:
    """Return the extension that holds an error: images of modes of one shape, and numbers."""
    from astropy.io import fits

    hdu = fits.ImageHDU(np.stack(error.images) if error.images else None, name=_NAME)
    hdu.header.append(make_card(_WIDTH, error.width, "sd of the relative error of the width"))
    hdu.header.append(make_card(_WHITE, error.white, "error of each pixel over the PSF"))
    hdu.header[_OVERSAMPLING] = (error.oversampling, "pixels of these images to one of the data")
    for j, sd in enumerate(error.sds, start=1):
        hdu.header.append(make_card(f"{_SD}{j}", sd, f"sd of the amplitude of mode {j}"))
    return hdu


def read_psf_error(path) -> PSFError:
    """
    Read the error of a PSF from the file that `PSFBuild.write` wrote.

    Parameters
    ----------
    path : str or Path
        The FITS file: its extension ``MODES`` holds the images (n, ny, nx) of the modes; in the
        header are the standard deviations of their amplitudes, ``SD1`` and on, the error of the
        width, ``WIDTHERR``, and of each pixel, ``WHITEERR``, and ``OVERSAMP``.

    Returns
    -------
    PSFError

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ReadError
        If it is no FITS file, cut short, holds no error of a PSF, or one that cannot be.
    TypeError
        If the path is no name of a file.

    Examples
    --------
    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((120, 120), n_sources=16, sigma=1.5, flux_range=(5e3, 5e4),
    ...                           noise=3.0, border=10, min_separation=12, seed=3)
    >>> build = bp.build_psf(scene.image, error=scene.error, size=17)
    >>> build.write("built.fits", overwrite=True)
    >>> psf, psf_error = bp.read_psf("built.fits"), bp.read_psf_error("built.fits")
    >>> len(psf_error.sds) == len(build.psf_error.sds)
    True
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the name of a file, found {path!r}")
    path = Path(path)
    hdus = read_hdus(path)
    found = [(header, data) for header, data, name in hdus if name == _NAME and _WHITE in header]
    if not found:
        names = ", ".join(name or str(number) for number, (_, _, name) in enumerate(hdus))
        raise ReadError(
            f"{path}: holds no error of a PSF, an extension {_NAME} with {_WHITE} in its header; "
            f"there are {names}. A PSF of fewer than {FEWEST} stars has none"
        )
    header, data = found[0]
    images = [] if data is None else list(data if np.ndim(data) == 3 else [data])
    keys = [f"{_SD}{j + 1}" for j in range(len(images))]
    missing = [key for key in (_WIDTH, _OVERSAMPLING, *keys) if key not in header]
    if missing:
        raise ReadError(f"{path}: the header of {_NAME} lacks {', '.join(missing)}")
    try:
        return PSFError(
            width=header[_WIDTH],
            white=header[_WHITE],
            modes=[(image, header[key]) for image, key in zip(images, keys, strict=True)],
            oversampling=header[_OVERSAMPLING],
        )
    except (TypeError, ValueError) as problem:
        raise ReadError(f"{path}: {_NAME}: {problem}") from None
