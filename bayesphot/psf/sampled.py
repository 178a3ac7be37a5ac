"""PSFs given as oversampled images: one for the whole detector, or a grid of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.modeling import Fittable2DModel, Parameter

from bayesphot.checks import check_number
from bayesphot.kernels.structs import SAMPLED, PSFData
from bayesphot.psf.describe import PLACE, read_fixed, read_length
from bayesphot.psf.model import PSFConfig
from bayesphot.psf.tables import build_table, find_fwhm, find_sigma

__all__ = ["GriddedPSF", "ImagePSF", "PolynomialPSF", "SampledPSF", "describe_images"]

#: Least side of an image, in its pixels: what one cubic spline spans.
LEAST_SIDE = 4
#: Share of its peak under which an image has no light left to cut off.
DARK = 1e-5


def read_oversampling(value: Any) -> tuple[int, int]:
    """Return (along y, along x), positive integers.

    Raises
    ------
    TypeError, ValueError
        If it is neither a positive integer nor a pair of them.
    """
    if isinstance(value, (str, bytes)) or np.ndim(value) > 1:
        raise TypeError(f"oversampling must be an integer or a pair of them, found {value!r}")
    pair = np.atleast_1d(np.asarray(value))
    if pair.dtype.kind not in "iuf" or pair.size not in (1, 2):
        raise TypeError(f"oversampling must be an integer or a pair of them, found {value!r}")
    if not np.isfinite(pair).all() or np.any(pair < 1) or np.any(pair != np.floor(pair)):
        raise ValueError(f"oversampling must be a positive integer, found {value!r}")
    return int(pair[0]), int(pair[-1])


def read_images(name: str, data: Any, n_axis: int, *, n_positive: int | None = None) -> np.ndarray:
    """Return images as a read-only array of numbers, the totals of so many (default: all) positive.

    Raises
    ------
    TypeError
        If they hold no real numbers.
    ValueError
        If they have the wrong number of axes, too small sides, a value that is not finite, or a
        total that is not positive.
    """
    unit = getattr(data, "unit", None)
    if np.any(np.ma.getmaskarray(data) if isinstance(data, np.ma.MaskedArray) else False):
        raise ValueError(
            f"{name} must be known in all pixels, found {np.ma.count_masked(data)} masked"
        )
    try:
        array = np.asarray(getattr(data, "value", data) if unit is not None else data)
    except ValueError as problem:
        raise ValueError(f"{name} must be an array of real numbers: {problem}") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, found dtype {array.dtype}")
    if array.ndim != n_axis:
        raise ValueError(f"{name} must have {n_axis} axes, found shape {array.shape}")
    array = array.astype(np.float64)
    if min(array.shape[-2:]) < LEAST_SIDE or array.size == 0:
        raise ValueError(
            f"{name} must have sides of at least {LEAST_SIDE} pixels, found shape {array.shape}"
        )
    wrong = np.argwhere(~np.isfinite(array))
    if wrong.size:
        place = tuple(int(i) for i in wrong[0])
        raise ValueError(
            f"{name} must be finite, found {array[place]} at {place} and in {len(wrong)} pixels "
            "in all"
        )
    total = np.atleast_1d(array.sum(axis=(-2, -1)))[:n_positive]
    if not np.all(total > 0.0):
        where = "" if n_axis == 2 else f" of image {int(np.argmax(~(total > 0.0)))}"
        raise ValueError(f"the total{where} of {name} must be positive, found {np.min(total):g}")
    array.setflags(write=False)
    return array


def read_origin(origin: Any, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the (x, y) pixel of an image on which the source falls; None: the middle.

    Raises
    ------
    TypeError, ValueError
        If it is no pair of numbers, or outside the image.
    """
    n_y, n_x = shape
    if origin is None:
        return 0.5 * (n_x - 1), 0.5 * (n_y - 1)
    if np.shape(origin) != (2,):
        raise TypeError(f"origin must be a pair (x, y), found {origin!r}")
    x, y = (check_number("origin", value) for value in origin)
    if not (0.0 <= x <= n_x - 1 and 0.0 <= y <= n_y - 1):
        raise ValueError(f"origin must lie inside the image of {n_x} x {n_y}, found {origin!r}")
    return x, y


def describe_images(
    images: np.ndarray,
    oversampling: tuple[int, int],
    origin: tuple[float, float],
    places: tuple[np.ndarray, np.ndarray],
    fixed: dict[str, bool],
    width: float = 1.0,
    degree: int = 0,
) -> PSFConfig:
    """Return what the fits need of images of a PSF.

    Parameters
    ----------
    images : (gy, gx, ny, nx) array
        Values at unit flux.
    oversampling : (int, int)
        Pixels of an image to one of the data, along y and x.
    origin : (float, float)
        Pixel (x, y) of an image on which the source falls.
    places : (gy,) and (gx,) arrays
        Coordinates y and x of the images on the detector.
    fixed : dict of str to bool
        What is held fixed, ``width`` too.
    width : float
        Start of the width factor.
    degree : int
        Above 0: images are the coefficients of a polynomial, as in `build_table`.
    """
    # Of a polynomial the image in the middle.
    mean = images.mean(axis=(0, 1)) if degree == 0 else images[0, 0]
    share = oversampling[0] * oversampling[1]
    return PSFConfig(
        kind=SAMPLED,
        shape_names=("width",),
        shape_start=np.array([width]),
        fixed=fixed,
        sigma=find_sigma(mean, oversampling) * width,
        fwhm=find_fwhm(mean, oversampling) * width,
        numbers=build_table(images, oversampling, (origin[1], origin[0]), places, degree),
        enclosed_fraction=float(mean.sum() / share),
        stamp=width * _find_stamp(mean, oversampling, origin),
    )


def _find_stamp(
    image: np.ndarray, oversampling: tuple[int, int], origin: tuple[float, float]
) -> float:
    """Return how far from the source the nearest edge of an image is, pixels.

    Infinite where the image is dark at all its edges.
    """
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if np.abs(rim).max() <= DARK * image.max():
        return np.inf
    (n_y, n_x), (x, y) = image.shape, origin
    # An image ends with its last pixel, not in the middle of it.
    sides = [(y + 0.5, n_y - 0.5 - y), (x + 0.5, n_x - 0.5 - x)]
    return float(min(min(s) / step for s, step in zip(sides, oversampling, strict=True)))


class SampledPSF(Fittable2DModel):
    """What models given as images share."""

    flux = Parameter(default=1.0, description="Flux, in the normalisation of the image")
    x_0 = Parameter(default=0.0, description="Centre along x, pixels")
    y_0 = Parameter(default=0.0, description="Centre along y, pixels")
    width = Parameter(default=1.0, fixed=True, description="Factor on the width of the image")

    #: Degree of the polynomial whose coefficients the images are; 0: they are the images.
    degree = 0

    def _keep(self, images, places, oversampling, origin) -> None:
        """Keep what was checked, and the splines of the kernels."""
        self.oversampling = read_oversampling(oversampling)
        self.origin = read_origin(origin, images.shape[-2:])
        self._images, self._places = images, places
        self._numbers: np.ndarray | None = None

    @property
    def _table(self) -> np.ndarray:
        """The numbers of the kernels, made when they are first needed."""
        if self._numbers is None:
            origin = self.origin[1], self.origin[0]
            self._numbers = build_table(
                self._images, self.oversampling, origin, self._places, self.degree
            )
        return self._numbers

    @property
    def enclosed_fraction(self) -> float:
        """Share of the flux that falls on the stamp: its mean total over oversampling squared."""
        total = float(self._mean_image.sum())
        return total / (self.oversampling[0] * self.oversampling[1])

    @property
    def fwhm(self) -> float:
        """Full width at half maximum of the mean image, pixels."""
        return find_fwhm(self._mean_image, self.oversampling) * float(self.width.value)

    @property
    def _mean_image(self) -> np.ndarray:
        """The mean image; of a polynomial that in the middle."""
        return self._images.mean(axis=(0, 1)) if self.degree == 0 else self._images[0, 0]

    def evaluate(self, x, y, flux, x_0, y_0, width):
        """Light of each pixel; NaN where the width is not positive."""
        from bayesphot.kernels.columns import fill_places

        arrays = np.broadcast_arrays(x, y, flux, x_0, y_0, width)
        x, y, flux, x_0, y_0, width = (np.asarray(array, dtype=float) for array in arrays)
        zero = np.int64(0)
        psf = PSFData(np.int64(SAMPLED), zero, zero, self._table)
        out = np.full(x.size, np.nan)
        sets, which = np.unique(
            np.stack([x_0.ravel(), y_0.ravel(), width.ravel()]), axis=1, return_inverse=True
        )
        for i, (x_i, y_i, width_i) in enumerate(sets.T):
            if not width_i > 0.0:
                continue
            here = np.flatnonzero(which.ravel() == i)
            part = np.empty((1, here.size))
            source = np.array([x_i, y_i, 1.0, np.log(width_i)])
            fill_places(psf, source, x.ravel()[here], y.ravel()[here], part)
            out[here] = part[0]
        return out.reshape(x.shape) * flux

    def describe(self) -> PSFConfig:
        """Return what the fits need of the model."""
        return describe_images(
            self._images,
            self.oversampling,
            self.origin,
            self._places,
            read_fixed(self, (*PLACE, "width")),
            read_length(self, "width"),
            self.degree,
        )

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        """Only the flux has a unit: that of the values."""
        return {"flux": outputs_unit[self.outputs[0]]}


class ImagePSF(SampledPSF):
    r"""
    PSF given as an image, oversampled or not, interpolated by cubic B-splines.

    Its values are those of pixels of the data: the image already holds the integration over the
    pixel, as effective PSFs do (Anderson & King 2000). Flux is in the image's own normalisation:
    one whose values sum to ``oversampling`` squared holds all of it; ``enclosed_fraction`` says how
    much it holds. Outside the image there is no light.

    A ``width`` factor w other than 1 turns :math:`\phi(d)` into :math:`\phi(d / w) / w^2`, the
    response of the pixel included.

    Parameters
    ----------
    data : (ny, nx) array
        The PSF at unit flux.
    oversampling : int or (int, int)
        Pixels of the image to one of the data, along y and x.
    origin : (float, float), optional
        Pixel (x, y) of the image on which the source falls; None: the middle, which for even sides
        lies between pixels.
    **kwargs
        As for any astropy model: ``flux`` (1), the centre ``x_0`` and ``y_0`` (0) in pixels of the
        data, and ``width`` (1), a factor, fixed unless freed by ``model.width.fixed = False``.

    Raises
    ------
    TypeError, ValueError
        If the image is not 2-D, finite and of positive total, or oversampling or origin are out of
        range.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import ImagePSF
    >>> side = np.arange(-40, 41) / 4
    >>> bell = np.exp(-0.5 * (side[:, None] ** 2 + side**2) / 1.5**2) / (2 * np.pi * 1.5**2)
    >>> psf = ImagePSF(bell, oversampling=4)
    >>> print(round(psf.enclosed_fraction, 6), round(psf.fwhm, 2))
    1.0 3.53
    """

    def __init__(self, data, oversampling=1, origin=None, **kwargs):
        image = read_images("data", data, 2)
        places = np.zeros(1), np.zeros(1)
        self._keep(image[None, None], places, oversampling, origin)
        super().__init__(**kwargs)

    @property
    def data(self) -> np.ndarray:
        """The image, read-only."""
        return self._images[0, 0]


class GriddedPSF(SampledPSF):
    """
    PSF that varies over the detector: images at the places of a grid, bilinear between them.

    Beyond the outermost places the PSF is that of the edge, and sources there are flagged.

    Parameters
    ----------
    data : (n, ny, nx) array
        The PSF at each place at unit flux, as for `ImagePSF`.
    positions : (n, 2) array
        Places (x, y) on the detector, in pixels of the data, 0-based: all pairs of some x and some
        y, in any order.
    oversampling, origin, **kwargs
        As for `ImagePSF`.

    Raises
    ------
    TypeError, ValueError
        As for `ImagePSF`, and if the places do not make a grid.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import GriddedPSF
    >>> y, x = np.mgrid[-10:11, -10:11]
    >>> images = [np.exp(-0.5 * (x**2 + y**2) / s**2) / (2 * np.pi * s**2) for s in (1.5, 2.0)]
    >>> psf = GriddedPSF(images, [(0, 50), (100, 50)], x_0=50.0, y_0=50.0)
    >>> print(np.round(psf(50.0, 50.0), 4))
    0.0553
    """

    def __init__(self, data, positions, oversampling=1, origin=None, **kwargs):
        images = read_images("data", data, 3)
        places, order = _read_grid(positions, len(images))
        grid = images[order].reshape(len(places[0]), len(places[1]), *images.shape[1:])
        self._keep(grid, places, oversampling, origin)
        super().__init__(**kwargs)

    @property
    def data(self) -> np.ndarray:
        """The images (n, ny, nx), row after row of the grid."""
        return self._images.reshape(-1, *self._images.shape[2:])

    @property
    def positions(self) -> np.ndarray:
        """The places (n, 2), x and y, of the images in ``data``."""
        y, x = np.meshgrid(*self._places, indexing="ij")
        return np.column_stack([x.ravel(), y.ravel()])


class PolynomialPSF(SampledPSF):
    """
    PSF that varies over the detector as a polynomial, each pixel of its image by itself.

    At a source's place, u = (x - middle_x) / scale_x and v alike, the image is the sum of the
    coefficient images times 1, u, v, u^2, u v, v^2, u^3 ...

    Parameters
    ----------
    data : (n, ny, nx) array
        Coefficients in this order: n is 1, 3, 6, 10 ... for degree 0, 1, 2, 3 ...; the first, the
        PSF in the middle, as for `ImagePSF`.
    middle, scale : (float, float)
        Place (x, y) on the detector, in pixels of the data, where u and v are 0, and their units.
    domain : ((float, float), (float, float)), optional
        From which to which x, and y, pixels, the polynomial holds: where the stars are that it is
        made from. Beyond, the PSF is that of the edge, and sources there are flagged. Default u and
        v from -1 to 1.
    oversampling, origin, **kwargs
        As for `ImagePSF`.

    Raises
    ------
    TypeError, ValueError
        As for `ImagePSF`, for a number of images that makes no polynomial, and for a domain that
        is no pair of rising pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import PolynomialPSF
    >>> y, x = np.mgrid[-10:11, -10:11]
    >>> bell = np.exp(-0.125 * (x**2 + y**2)) / (8 * np.pi)
    >>> psf = PolynomialPSF([bell, 0.01 * x * bell, 0 * bell], middle=(500, 500), scale=(500, 500))
    >>> psf.degree, psf.domain
    (1, ((0.0, 1000.0), (0.0, 1000.0)))
    """

    def __init__(self, data, *, middle, scale, domain=None, oversampling=1, origin=None, **kwargs):
        images = read_images("data", data, 3, n_positive=1)
        self.degree = _find_degree(len(images))
        self.middle = _read_pair("middle", middle)
        self.scale = _read_pair("scale", scale, above=0.0)
        self.domain = _read_domain(domain, self.middle, self.scale)
        places = tuple(
            np.array([middle, scale, *((np.array(ends) - middle) / scale)])
            for middle, scale, ends in zip(self.middle, self.scale, self.domain, strict=True)
        )
        if self.degree == 0:
            places = (np.zeros(1), np.zeros(1))
        self._keep(images[None], places[::-1], oversampling, origin)
        super().__init__(**kwargs)

    @property
    def data(self) -> np.ndarray:
        """The coefficient images (n, ny, nx), read-only."""
        return self._images[0]


def _find_degree(n: int) -> int:
    """Return the degree of a polynomial in two variables of n coefficients."""
    degree = 0
    while (degree + 1) * (degree + 2) // 2 < n:
        degree += 1
    if (degree + 1) * (degree + 2) // 2 != n:
        raise ValueError(
            f"data must be the 1, 3, 6, 10 ... coefficients of a polynomial, found {n} images"
        )
    return degree


def _read_pair(name: str, value, **limits) -> tuple[float, float]:
    """Return a pair of numbers (x, y)."""
    if np.shape(value) != (2,):
        raise TypeError(f"{name} must be a pair (x, y), found {value!r}")
    x, y = (check_number(name, item, **limits) for item in value)
    return x, y


def _read_domain(domain: Any, middle, scale) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ends of x and of y; None: one unit to either side of the middle."""
    if domain is None:
        x, y = ((float(m - s), float(m + s)) for m, s in zip(middle, scale, strict=True))
        return x, y
    try:
        x, y = domain
    except (TypeError, ValueError):
        raise TypeError(
            f"domain must be two pairs, (from x, to x) and (from y, to y), found {domain!r}"
        ) from None
    ends = _read_pair("domain", x), _read_pair("domain", y)
    if not all(low < high for low, high in ends):
        raise ValueError(f"domain must rise from low to high along x and y, found {domain!r}")
    return ends


def _read_grid(positions, n: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the coordinates y and x of a grid, and its images' order, row after row."""
    try:
        place = np.asarray(positions, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"positions must be pairs (x, y), found {positions!r}") from None
    if place.shape != (n, 2):
        raise ValueError(
            f"positions must be one pair (x, y) for each of {n} images, found shape {place.shape}"
        )
    if not np.isfinite(place).all():
        raise ValueError(f"positions must be finite, found {place[~np.isfinite(place)][0]}")
    x, column = np.unique(place[:, 0], return_inverse=True)
    y, row = np.unique(place[:, 1], return_inverse=True)
    order = np.lexsort((column, row))
    if x.size * y.size != n or np.unique(row * x.size + column).size != n:
        raise ValueError(
            f"positions must be all pairs of some x and some y, found {n} places with {x.size} "
            f"values of x and {y.size} of y"
        )
    return (y, x), order
