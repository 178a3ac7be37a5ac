"""PSFs given as a table: what the pixels see of a star, for each part of the pixel it may lie in.

Cell (j, i) of s x s holds the stamp of a star at (p_i, p_j) from the centre of the stamp's middle
pixel, p_k = (k + 1/2) / s - 1/2. Pixel a of a stamp of half-width h is then at a - h - p_i from the
star, which is

    (a s + s - 1 - i - m) / s,    m = (n s - 1) / 2,    n = 2 h + 1:

all cells, each with its order of k turned round, make one image s times oversampled, whose middle m
is the star.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesphot.checks import check_integer
from bayesphot.psf.sampled import SampledPSF, read_images
from bayesphot.psf.stamps import (
    ROUNDS,
    combine_stamps,
    cut_stamps,
    find_cells,
    read_places,
)

__all__ = ["DiscretePRF"]

#: Least side of a stamp, pixels: odd, and what one cubic spline spans.
LEAST_SIZE = 5


class DiscretePRF(SampledPSF):
    """
    PSF given as a table of stamps, one for each of the parts into which a pixel is divided.

    A star in the middle of a part has the stamp of the table. Between the middles the stamps, one
    image in truth, are interpolated by cubic B-splines, as an `ImagePSF` is; photutils' model of
    this name took the nearest stamp. Outside there is no light.

    Parameters
    ----------
    prf_array : (s, s, ny, nx) or (ny, nx) array
        Axes: part of the pixel along y and along x, row and column of the stamp, whose sides are
        odd. Part k of s is the one centred on (k + 1/2) / s - 1/2 from the pixel's centre. Two axes
        will do where ``subsampling`` is 1.
    normalization : bool
        Whether each stamp is divided by its sum: no light falls outside, and the flux is the total.
        False: the flux is in the table's own normalisation, as that of an `ImagePSF`.
    subsampling : int
        Parts s along each side of a pixel.
    **kwargs
        As for `ImagePSF`: ``flux``, ``x_0``, ``y_0``, ``width``.

    Raises
    ------
    TypeError, ValueError
        If the table has another shape, values that are not finite, even sides, sides under 5
        pixels, or a stamp without light.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import DiscretePRF
    >>> y, x = np.mgrid[-5:6, -5:6]
    >>> part = (-0.25, 0.25)
    >>> table = [[np.exp(-((x - p) ** 2 + (y - q) ** 2) / 4) for p in part] for q in part]
    >>> psf = DiscretePRF(table, subsampling=2, flux=100.0, x_0=20.25, y_0=29.75)
    >>> print(np.round(psf(20.0, 30.0), 3), np.round(100 * psf.prf_array[0, 1, 5, 5], 3))
    7.714 7.714
    """

    def __init__(self, prf_array, normalization=True, subsampling=1, **kwargs):
        step = check_integer("subsampling", subsampling, least=1)
        table = _read_table(prf_array, step)
        if normalization:
            table = table / table.sum(axis=(2, 3), keepdims=True)
        table.setflags(write=False)
        self.prf_array = table
        self.subsampling = step
        places = np.zeros(1), np.zeros(1)
        self._keep(_interleave(table)[None, None], places, step, None)
        super().__init__(**kwargs)

    @classmethod
    def create_from_image(
        cls,
        image,
        positions,
        size,
        fluxes=None,
        mask=None,
        mode="mean",
        subsampling=1,
        fix_nan=False,
    ):
        """
        Make the table from the stars of an image.

        Stamps about the pixels of the stars are sorted by the part of the pixel in which the star
        lies, divided by its flux, and combined. All stars of a part count as if they lay in its
        middle: the PSF is smeared by a square of 1 / ``subsampling`` pixels. For a Gaussian of
        variance v that makes fluxes too large by 1 / (24 subsampling^2 v).

        Parameters
        ----------
        image : (ny, nx) array or Quantity
            The image, its sky subtracted, of stars that are well apart.
        positions : table or (n, 2) array
            Places of the stars: columns ``x_0`` and ``y_0`` or another spelling of a place, or
            pairs (x, y); pixels.
        size : int
            Side of the stamps, pixels, odd.
        fluxes : (n,) array, optional
            Fluxes of the stars. The flux of the model is in their normalisation: light that falls
            outside the stamps is still theirs. None: that on the stamps is all there is.
        mask : (ny, nx) array of bool, optional
            True = bad. Bad pixels, and those that are not finite, do not count.
        mode : {"mean", "median"}
            What is taken of the stamps in each part.
        subsampling : int
            Parts along each side of a pixel.
        fix_nan : bool
            Whether a pixel that is bad in all stamps of its part gets the value of the one opposite
            the star, as if the PSF were symmetric.

        Returns
        -------
        DiscretePRF

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or value; without stars; for a star too near
            the edge of the image, or without light; for parts in which no star lies, and pixels
            that are bad in all stamps of a part.

        Examples
        --------
        >>> import numpy as np
        >>> from bayesphot import DiscretePRF, IntegratedGaussianPRF
        >>> y, x = np.mgrid[:40, :60]
        >>> stars = [(14.1, 20.0), (44.9, 19.8)]
        >>> image = sum(IntegratedGaussianPRF(sigma=2.0, flux=f, x_0=p, y_0=q)(x, y)
        ...             for f, (p, q) in zip((500, 900), stars))
        >>> psf = DiscretePRF.create_from_image(image, stars, size=21)
        >>> psf.prf_array.shape
        (1, 1, 21, 21)
        """
        if mode not in ("mean", "median"):
            raise ValueError(f"mode must be 'mean' or 'median', found {mode!r}")
        step = check_integer("subsampling", subsampling, least=1)
        if check_integer("size", size, least=LEAST_SIZE) % 2 == 0:
            raise ValueError(f"size must be odd, found {size}")
        values, bad = _read_image(image, mask)
        x, y = read_places(positions)
        fluxes = _read_fluxes(fluxes, x.size)
        (column, i), (row, j) = find_cells(x, step), find_cells(y, step)
        _refuse_empty_cells(j * step + i, step)
        light = cut_stamps(values, column, row, size)
        good = ~cut_stamps(bad, column, row, size)
        _refuse_dark_stars(np.where(good, light, 0.0).sum(axis=(1, 2)), fluxes)
        table = np.empty((step, step, size, size))
        for cell in np.ndindex(step, step):
            here = (j == cell[0]) & (i == cell[1])
            some = None if fluxes is None else fluxes[here]
            table[cell] = combine_stamps(light[here], good[here], some, median=mode == "median")
        if fix_nan:
            table = _fill_holes(table, whole=fluxes is None)
        _refuse_holes(table, fix_nan)
        return cls(table, normalization=fluxes is None, subsampling=step)


def _interleave(table: np.ndarray) -> np.ndarray:
    """Return a table (s, s, ny, nx) as one image, s times oversampled."""
    s, _, n_y, n_x = table.shape
    return table[::-1, ::-1].transpose(2, 0, 3, 1).reshape(n_y * s, n_x * s)


def _fill_holes(table: np.ndarray, *, whole: bool) -> np.ndarray:
    """Return a table whose NaN have the values opposite the star, in the opposite part's stamp.

    Where a stamp is ``whole`` with a sum of 1, what it knows shrinks to make room for them.
    """
    hole = np.isnan(table)
    known = np.nansum(table, axis=(2, 3), keepdims=True)
    scale = np.ones_like(known)
    for _ in range(ROUNDS if whole else 0):
        opposite = (table * scale)[::-1, ::-1, ::-1, ::-1]
        scale = (1.0 - np.nansum(np.where(hole, opposite, 0.0), axis=(2, 3), keepdims=True)) / known
    filled = table * scale
    return np.where(hole, filled[::-1, ::-1, ::-1, ::-1], filled)


def _read_table(prf_array: Any, step: int) -> np.ndarray:
    """Return a checked table (s, s, ny, nx), a copy."""
    n_axis = 2 if step == 1 and np.ndim(prf_array) == 2 else 4
    table = read_images("prf_array", prf_array, n_axis)
    if n_axis == 2:
        table = table[None, None]
    if table.shape[:2] != (step, step):
        raise ValueError(
            f"prf_array must have a stamp for each of {step} x {step} parts of a pixel, as "
            f"subsampling={step} says, found shape {table.shape}"
        )
    if table.shape[2] % 2 == 0 or table.shape[3] % 2 == 0:
        raise ValueError(f"prf_array must have stamps of odd sides, found shape {table.shape}")
    return table.copy()


def _read_image(image: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of an image and which of its pixels are bad."""
    values = np.ma.getdata(getattr(image, "value", image))
    if np.asarray(values).dtype.kind not in "iuf":
        raise TypeError(f"image must hold real numbers, found dtype {np.asarray(values).dtype}")
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"image must be 2-D, found shape {values.shape}")
    bad = ~np.isfinite(values) | np.ma.getmaskarray(image).astype(bool)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype.kind not in "biu":
            raise TypeError(f"mask must be boolean, found dtype {mask.dtype}")
        if mask.shape != values.shape:
            raise ValueError(
                f"mask must have the shape of image {values.shape}, found {mask.shape}"
            )
        bad |= mask.astype(bool)
    return values, bad


def _read_fluxes(fluxes: Any, n: int) -> np.ndarray | None:
    """Return positive fluxes (n,), or None."""
    if fluxes is None:
        return None
    values = np.asarray(getattr(fluxes, "value", fluxes))
    if values.dtype.kind not in "iuf":
        raise TypeError(f"fluxes must be real numbers, found dtype {values.dtype}")
    if values.shape != (n,):
        raise ValueError(f"fluxes must be one for each of {n} stars, found shape {values.shape}")
    wrong = np.flatnonzero(~((values > 0.0) & np.isfinite(values)))
    if wrong.size:
        i = wrong[0]
        raise ValueError(f"fluxes must be positive and finite, found {values[i]} in row {i}")
    return values.astype(float)


def _refuse_empty_cells(cell: np.ndarray, step: int) -> None:
    """Raise ValueError, with the number of stars in each part, if a part has none."""
    counts = np.bincount(cell, minlength=step * step).reshape(step, step)
    if counts.all():
        return
    empty = ", ".join(f"({j}, {i})" for j, i in np.argwhere(counts == 0))
    raise ValueError(
        f"positions must have a star in each of {step} x {step} parts of the pixel, found none in "
        f"part (y, x) {empty}; stars in each part, rows along y: {counts.tolist()}. Give more "
        "stars or a smaller subsampling"
    )


def _refuse_dark_stars(total: np.ndarray, fluxes: np.ndarray | None) -> None:
    """Raise ValueError if stars whose own light is the measure have none."""
    dark = np.flatnonzero(~(total > 0.0))
    if fluxes is None and dark.size:
        i = dark[0]
        raise ValueError(
            f"each star must have light on the good pixels of its stamp, found {total[i]:g} in all "
            f"for row {i} of positions"
        )


def _refuse_holes(table: np.ndarray, fix_nan: bool) -> None:
    """Raise ValueError if pixels of a table are not known."""
    holes = np.argwhere(~np.isfinite(table))
    if holes.size:
        j, i, row, column = holes[0].tolist()
        hint = "nor is the opposite one" if fix_nan else "fix_nan=True takes the opposite ones"
        raise ValueError(
            f"each pixel must be good in some stamp of each part, found none for pixel (y, x) = "
            f"({row}, {column}) in part (y, x) = ({j}, {i}), and {len(holes)} in all: {hint}"
        )
