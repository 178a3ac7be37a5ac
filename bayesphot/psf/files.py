"""PSF files of the usual tools, told apart by what is in them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from bayesphot.checks import check_number
from bayesphot.psf.cubes import make_grid, read_cube, read_number
from bayesphot.psf.daophot import is_daophot, read_daophot
from bayesphot.psf.hdus import read_hdus
from bayesphot.psf.sampled import GriddedPSF, ImagePSF, PolynomialPSF, read_origin
from bayesphot.psf.stdpsf import read_stdpsf
from bayesphot.readers import ReadError, split_path

__all__ = ["read_psf"]

log = logging.getLogger("bayesphot")

#: Pixels of an image to one of the data (as in STPSF's files), and its inverse (as in PSFEx's).
_OVERSAMPLING = "OVERSAMP"
_SAMPLING = "PSF_SAMP"
#: Sampling of a file that is not a whole number is brought to one as fine, at most so fine.
_FINEST = 12
#: Pixels of an image to one of the data that can be meant: beyond, no array would hold the image.
_RANGE = (0.1, 1000.0)
#: Share of the light in the middle quarter of the area: a flat picture has a quarter, a Gaussian
#: on a stamp of two FWHM has half.
_LEAST_MIDDLE = 0.4


def read_psf(
    path, *, oversampling: float | None = None, origin=None, hdu=None, detector: str | None = None
):
    """
    Read a PSF from a file.

    Parameters
    ----------
    path : str or Path
        One of: a grid of empirical PSFs in the STDPSF layout (WFC3, ACS, WFPC2, JWST; Anderson
        2016); a grid of STPSF or WebbPSF; a PSFEx ``.psf`` (Bertin 2011); a DAOPHOT ``.psf``; a
        FITS image of a PSF, or a cube of them with a table of their places ``x`` and ``y``, its
        extension in brackets, ``"file.fits[PSF]"``, or as ``hdu``.
    oversampling : float, optional
        Pixels of the image to one of the data, for plain images whose header does not say
        (``OVERSAMP``, or ``PSF_SAMP``, its inverse); not a whole number: the image is resampled.
    origin : (float, float), optional
        Pixel (x, y) of a plain image on which the source falls; None: its middle.
    hdu : int or str, optional
        Extension of a plain image; None: the first with an image.
    detector : str, optional
        Detector of a STDPSF file that holds several: ``"WFC1"`` or ``"WFC2"`` (ACS), ``"UVIS1"`` or
        ``"UVIS2"`` (WFC3), ``"PC"``, ``"WF2"``, ``"WF3"`` or ``"WF4"`` (WFPC2), ``"A1"`` ...
        ``"B4"`` (NIRCam, short wavelengths). Places are in the pixels of that detector.

    Returns
    -------
    ImagePSF, GriddedPSF or PolynomialPSF
        Of the normalisation of the file: ``enclosed_fraction`` says what it sums to. One that
        plainly sums to 1 in its own pixels is brought to oversampling squared, with a message in
        the log.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ReadError
        If the file is none of these, cut short, or holds what cannot be a PSF; if it holds several
        detectors and ``detector`` is none of them.
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> import bayesphot as bp
    >>> side = np.arange(-20, 21) / 2
    >>> bell = np.exp(-0.5 * (side[:, None] ** 2 + side**2) / 1.5**2) / (2 * np.pi * 1.5**2)
    >>> fits.writeto("psf.fits", bell, fits.Header({"OVERSAMP": 2}), overwrite=True)
    >>> bp.read_psf("psf.fits").oversampling
    (2, 2)
    """
    _check_arguments(path, oversampling, origin, hdu, detector)
    path, hdu = split_path(path, hdu)
    if is_daophot(path):
        _refuse_detector(path, detector)
        _refuse_arguments(path, "a DAOPHOT PSF", oversampling, origin)
        return _build(path, lambda: read_daophot(path))
    hdus = read_hdus(path, otherwise="a PSF of DAOPHOT")
    first = hdus[0][0]
    if "NXPSFS" in first and "NYPSFS" in first:
        _refuse_arguments(path, "a STDPSF grid", oversampling, origin)
        return _build(path, lambda: read_stdpsf(path, first, hdus[0][1], detector))
    _refuse_detector(path, detector)
    for header, data, name in hdus:
        if name == "PSF_DATA" or "POLNAXIS" in header:
            _refuse_arguments(path, "a PSFEx model", oversampling, origin)
            return _build(path, lambda h=header, d=data: _read_psfex(path, h, d))
    for header, data, _ in hdus:
        if data is not None and any(key.startswith("DET_YX") for key in header):
            _refuse_arguments(path, "a STPSF grid", oversampling, origin)
            return _build(path, lambda h=header, d=data: _read_stpsf(path, h, d))
    if "POLYDEG" in first and hdu is None:
        _refuse_arguments(path, "a PSF of build_psf", oversampling, origin)
        return _build(path, lambda: _read_polynomial(path, first, hdus[0][1]))
    return _build(path, lambda: _read_plain(path, hdus, oversampling, origin, hdu))


def _check_arguments(path, oversampling, origin, hdu, detector) -> None:
    """Raise TypeError or ValueError for arguments that cannot be, whatever is in the file."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be the name of a file, found {path!r}")
    if oversampling is not None:
        check_number("oversampling", oversampling, above=0.0)
        if not _RANGE[0] <= oversampling <= _RANGE[1]:
            raise ValueError(
                f"oversampling must lie between {_RANGE[0]:g} and {_RANGE[1]:g}, "
                f"found {oversampling!r}"
            )
    if origin is not None:
        if isinstance(origin, (str, bytes)) or np.shape(origin) != (2,):
            raise TypeError(f"origin must be a pair (x, y), found {origin!r}")
        for value in origin:
            check_number("origin", value)
    if not (hdu is None or isinstance(hdu, (int, str)) or np.shape(hdu) == (2,)):
        raise TypeError(f"hdu must be the number or the name of an extension, found {hdu!r}")
    if not (detector is None or isinstance(detector, str)):
        raise TypeError(f"detector must be the name of one, such as 'UVIS1', found {detector!r}")


def _build(path: Path, make):
    """Return what ``make`` does; whatever a file's values make of it is the file's fault."""
    from astropy.io.fits import VerifyError

    try:
        model = make()
        _check_middle(path, model)
        return model
    except ReadError:
        raise
    except VerifyError as problem:
        raise ReadError(f"{path}: the header cannot be read: {problem}") from None
    except (KeyError, IndexError) as problem:
        said = str(problem.args[0] if problem.args else problem)
        raise ReadError(f"{path}: a keyword or column is missing: {said}") from None
    except (TypeError, ValueError) as problem:
        raise ReadError(f"{path}: {problem}") from None


def _check_middle(path: Path, model) -> None:
    """Raise ReadError where the light of a model is not about its source: a picture, no PSF."""
    images = np.asarray(model.data)
    image = images if images.ndim == 2 else images[0]
    x, y = (np.arange(n) - at for n, at in zip(image.shape[::-1], model.origin, strict=True))
    inside = (np.abs(y) <= 0.25 * y.size)[:, None] & (np.abs(x) <= 0.25 * x.size)
    share = float(image[inside].sum() / image.sum())
    if not share >= _LEAST_MIDDLE:
        raise ReadError(
            f"{path}: this is no PSF, or its source lies elsewhere on it: {_LEAST_MIDDLE:.0%} of "
            f"its light or more must lie about pixel (x, y) = ({model.origin[0]:g}, "
            f"{model.origin[1]:g}), in a quarter of the area, found {share:.0%}"
        )


def _refuse_arguments(path: Path, what: str, oversampling, origin) -> None:
    """Raise ValueError for arguments that the file itself answers."""
    for name, value in (("oversampling", oversampling), ("origin", origin)):
        if value is not None:
            raise ValueError(f"{name} is for plain images: {path} is {what}, which says it itself")


def _refuse_detector(path: Path, detector: str | None) -> None:
    """Raise ValueError for a detector of a file that knows none."""
    if detector is not None:
        raise ValueError(f"detector is for STDPSF files of several, found {detector!r} for {path}")


def _resample(images: np.ndarray, oversampling: float, origin) -> tuple[np.ndarray, int, tuple]:
    """Return images of a whole number of pixels to one of the data, it, and their origin."""
    from scipy.ndimage import map_coordinates

    n_y, n_x = images.shape[-2:]
    x_0, y_0 = read_origin(origin, (n_y, n_x))
    step = int(round(oversampling))
    if step >= 1 and abs(oversampling - step) < 1e-9 * step:
        return images, step, (x_0, y_0)
    step = int(np.clip(np.ceil(oversampling), 1, _FINEST))
    before = [int(np.floor(middle * step / oversampling)) for middle in (y_0, x_0)]
    after = [
        int(np.floor((side - 1 - middle) * step / oversampling))
        for side, middle in ((n_y, y_0), (n_x, x_0))
    ]
    lines = [
        middle + np.arange(-low, high + 1) * oversampling / step
        for middle, low, high in zip((y_0, x_0), before, after, strict=True)
    ]
    places = np.meshgrid(*lines, indexing="ij")
    flat = images.reshape(-1, n_y, n_x)
    new = np.array([map_coordinates(image, places, order=3, mode="nearest") for image in flat])
    shape = (*images.shape[:-2], *new.shape[1:])
    return new.reshape(shape), step, (float(before[1]), float(before[0]))


def _scale_total(path: Path, images: np.ndarray, share: float) -> np.ndarray:
    """Return images that sum to ``share``, the pixels of one of the data, where they sum to 1."""
    total = float(np.mean(images.sum(axis=(-2, -1))))
    if share > 2.0 and 0.5 < total < 1.5:
        log.info(
            "%s: images sum to %.3g: times %g, to whole pixels of the data", path, total, share
        )
        return images * share
    return images


def _read_stpsf(path: Path, header, data) -> ImagePSF | GriddedPSF:
    """Return a grid of STPSF or WebbPSF: DET_YX0 ... hold (y, x)."""
    cube = read_cube(path, data)
    step = _read_sampling(path, _OVERSAMPLING, header[_OVERSAMPLING])
    count = int(read_number(path, "NUM_PSFS", header.get("NUM_PSFS", len(cube))))
    if count != len(cube):
        raise ReadError(f"{path}: {count} images should be there (NUM_PSFS), found {len(cube)}")
    places = []
    for key in (f"DET_YX{i}" for i in range(len(cube))):
        words = str(header[key]).strip("() ").split(",")
        if len(words) < 2:
            raise ReadError(f"{path}: {key} must be a pair (y, x), found {header[key]!r}")
        y, x = (read_number(path, key, word) for word in words[:2])
        places.append((x, y))
    images, whole, origin = _resample(_scale_total(path, cube, step**2), step, None)
    return make_grid(images, places, whole, origin)


def _read_psfex(path: Path, header, data) -> ImagePSF | PolynomialPSF:
    """Return a model of PSFEx: coefficients of x^i y^j, i + j <= degree, i running first."""
    n_name = int(read_number(path, "POLNAXIS", header["POLNAXIS"]))
    names = [str(header.get(f"POLNAME{i}", "")) for i in range(1, n_name + 1)]
    degree = int(read_number(path, "POLDEG1", header["POLDEG1"])) if names else 0
    if names and header.get("POLNGRP", 1) != 1:
        raise ReadError(
            f"{path}: POLNGRP must be 1, X_IMAGE and Y_IMAGE in one group of variables, found "
            f"{header['POLNGRP']!r}"
        )
    cube = np.asarray(data["PSF_MASK"][0], dtype=float)
    cube = cube[None] if cube.ndim == 2 else cube
    needed = (degree + 1) * (degree + 2) // 2
    if cube.ndim != 3 or len(cube) != needed:
        raise ReadError(
            f"{path}: degree {degree} needs {needed} images, found an array of shape {cube.shape}"
        )
    places = ("X_IMAGE", "Y_IMAGE")
    if degree and not (len(names) == 2 and all(map(str.startswith, names, places))):
        raise ReadError(
            f"{path}: a PSF must vary with X_IMAGE and Y_IMAGE, found {', '.join(names)}"
        )
    oversampling = _read_sampling(path, _SAMPLING, header[_SAMPLING])
    # Values are light in one of its own pixels.
    images, whole, origin = _resample(cube * oversampling**2, oversampling, None)
    if degree == 0:
        return ImagePSF(images[0], oversampling=whole, origin=origin)
    theirs = [(i, j) for j in range(degree + 1) for i in range(degree + 1 - j)]
    ours = [(n - j, j) for n in range(degree + 1) for j in range(n + 1)]
    images = images[[theirs.index(powers) for powers in ours]]
    middle, scale = (
        tuple(read_number(path, key, header[key]) - first for key in (f"{name}1", f"{name}2"))
        for name, first in (("POLZERO", 1.0), ("POLSCAL", 0.0))
    )
    # PSFEx scales by the whole range of its stars.
    domain = [(m - 0.5 * s, m + 0.5 * s) for m, s in zip(middle, scale, strict=True)]
    return PolynomialPSF(
        images, middle=middle, scale=scale, domain=domain, oversampling=whole, origin=origin
    )


def _read_polynomial(path: Path, header, data) -> PolynomialPSF:
    """Return a PSF that `PSFBuild.write` wrote: coefficients of a polynomial of the place."""

    def read(key: str) -> float:
        return read_number(path, key, header[key])

    ends = [(f"POLYLOW{axis}", f"POLYHI{axis}") for axis in "XY"]
    stated = any(key in header for pair in ends for key in pair)
    model = PolynomialPSF(
        read_cube(path, data),
        middle=(read("POLYMIDX"), read("POLYMIDY")),
        scale=(read("POLYSCLX"), read("POLYSCLY")),
        domain=[tuple(map(read, pair)) for pair in ends] if stated else None,
        oversampling=read(_OVERSAMPLING),
    )
    if model.degree != read("POLYDEG"):
        raise ReadError(
            f"{path}: POLYDEG must be {model.degree} for {len(model.data)} images, found "
            f"{header['POLYDEG']!r}"
        )
    return model


def _read_plain(path: Path, hdus, oversampling, origin, hdu) -> ImagePSF | GriddedPSF:
    """Return an image, or a cube with a table of places."""
    number = _find_image(path, hdus, hdu)
    header, data, _ = hdus[number]
    cube = read_cube(path, data)
    step = _read_oversampling(path, header, hdus[0][0]) if oversampling is None else oversampling
    # Before resampling, which changes how many pixels of the image a total is taken over.
    cube = _scale_total(path, cube, step**2)
    if len(cube) == 1:
        images, whole, centre = _resample(cube, step, origin)
        return ImagePSF(images[0], oversampling=whole, origin=centre)
    places = _find_places(hdus, len(cube))
    if places is None:
        raise ReadError(
            f"{path}: a cube of {len(cube)} images needs a table of as many places, with columns "
            "x and y, in the same file"
        )
    images, whole, centre = _resample(cube, step, origin)
    return GriddedPSF(images, places, oversampling=whole, origin=centre)


def _find_image(path: Path, hdus, hdu) -> int:
    """Return which extension holds the image."""
    if hdu is not None:
        names = [name for _, _, name in hdus]
        wanted, version = hdu if isinstance(hdu, tuple) else (hdu, 1)
        if isinstance(wanted, int):
            found = [wanted] if 0 <= wanted < len(hdus) else []
        else:
            found = [number for number, name in enumerate(names) if name == str(wanted).upper()]
        if len(found) < version:
            raise ReadError(f"{path}: no extension {hdu!r}; there are {', '.join(names)}")
        return found[version - 1]
    for number, (_, data, _) in enumerate(hdus):
        if getattr(data, "dtype", np.dtype(object)).kind in "iuf" and np.ndim(data) in (2, 3):
            return number
    raise ReadError(f"{path}: holds no image")


def _read_oversampling(path: Path, *headers) -> float:
    """Return pixels of the image to one of the data, as a header says."""
    for header in headers:
        for key in (_OVERSAMPLING, _SAMPLING):
            if key in header:
                return _read_sampling(path, key, header[key])
    raise ReadError(
        f"{path}: the header does not say how the PSF is sampled ({_OVERSAMPLING} or {_SAMPLING}): "
        "give oversampling, 1 for pixels like the data's"
    )


def _read_sampling(path: Path, key: str, value) -> float:
    """Return pixels of the image to one of the data of a header's number, or of its inverse."""
    least, most = _RANGE if key == _OVERSAMPLING else (1.0 / _RANGE[1], 1.0 / _RANGE[0])
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not value > 0:
        raise ReadError(f"{path}: {key} must be a positive number, found {value!r}")
    if not least <= value <= most:
        raise ReadError(
            f"{path}: {key} must be a positive number between {least:g} and {most:g}, "
            f"found {value!r}"
        )
    return float(value) if key == _OVERSAMPLING else 1.0 / float(value)


def _find_places(hdus, n: int) -> np.ndarray | None:
    """Return the places (n, 2) in a table of a file, None without one."""
    for _, data, _ in hdus:
        names = getattr(data, "names", None) or ()
        lower = {name.lower(): name for name in names}
        if "x" in lower and "y" in lower:
            columns = [np.ravel(np.asarray(data[lower[axis]])) for axis in "xy"]
            for axis, column in zip("xy", columns, strict=True):
                if column.dtype.kind not in "iuf":
                    raise ValueError(f"places {axis} must be numbers, found {column[:1]}")
            x, y = (column.astype(float) for column in columns)
            if x.size == y.size == n:
                return np.column_stack([x, y])
    return None
