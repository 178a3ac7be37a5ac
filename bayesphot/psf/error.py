"""How far the PSF may be from the stars: a few coherent modes, and a white remainder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesphot.checks import check_integer, check_number

__all__ = ["PSFError"]


@dataclass(frozen=True, eq=False, repr=False)
class PSFError:
    """The error of the PSF: its modes are marginalised, what is left of it adds variance.

    The PSF is phi + sum_j a_j psi_j. A mode psi_j changes all pixels of a star together; its
    amplitude a_j ~ N(0, sd_j^2) is one number for each group, a linear parameter like the sky.
    The first mode is that of the width, d phi / d ln(sigma). The modes of a group's sources are
    taken at the fluxes and positions of the fit: what is left out is the product of two small
    numbers, the amplitude and the change of a flux.

    Parameters
    ----------
    width : float
        Standard deviation of the relative error of the PSF's width; 0: the width is known.
    white : float
        Error of each pixel of the PSF, independent of the others, relative to the PSF: adds
        ``(white * model)**2`` to the variance of a pixel, where the fitted sources have the light
        ``model``.
    modes : sequence of (image, sd)
        Further modes, e.g. principal components of a measured PSF: images (odd, odd) of the change
        of a source of unit flux at their middle pixel, and the standard deviations of their
        amplitudes.
    oversampling : int
        Pixels of these images to one pixel of the data, along an axis.

    Raises
    ------
    TypeError
        If a value is not a number, modes are not pairs, or an image holds no real numbers.
    ValueError
        If a value is out of its range, an image is ragged, has even sides or is zero everywhere,
        or there is no error at all.

    Examples
    --------
    >>> from bayesphot import PSFError
    >>> PSFError(width=0.02, white=0.005)
    PSFError(width=0.02, white=0.005)
    """

    width: float = 0.01
    white: float = 0.0
    modes: Any = ()
    oversampling: int = 1
    #: The images of the further modes, (ny, nx) each, and their sds.
    images: tuple[np.ndarray, ...] = field(init=False)
    sds: tuple[float, ...] = field(init=False)

    def __post_init__(self):
        check_number("width", self.width, least=0.0)
        check_number("white", self.white, least=0.0)
        check_integer("oversampling", self.oversampling, least=1)
        images, sds = _read_modes(self.modes)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "sds", sds)
        if not (self.width or self.white or images):
            raise ValueError("width, white or modes must say what the PSF's error is, found none")

    def __repr__(self) -> str:
        parts = [f"width={self.width!r}", f"white={self.white!r}"]
        pairs = zip(self.images, self.sds, strict=True)
        shown = [f"({image.shape[0]} x {image.shape[1]}, {sd!r})" for image, sd in pairs]
        if shown:
            parts.append(f"modes=[{', '.join(shown)}], oversampling={self.oversampling}")
        return f"PSFError({', '.join(parts)})"

    @property
    def amplitude_sd(self) -> tuple[float, ...]:
        """Standard deviations of all modes' amplitudes, the width's first."""
        return ((float(self.width),) if self.width else ()) + self.sds

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all modes' amplitudes."""
        further = tuple(f"psf_mode_{j + 1}" for j in range(len(self.sds)))
        return (("psf_width_error",) if self.width else ()) + further


def _read_modes(modes: Any) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
    """Return read-only images and standard deviations of the further modes."""
    try:
        pairs = [(image, sd) for image, sd in (() if modes is None else modes)]
    except (TypeError, ValueError):
        raise TypeError(f"modes must be pairs (image, sd), found {modes!r}") from None
    images, sds = [], []
    for j, (image, sd) in enumerate(pairs):
        array = _read_image(f"the image of modes[{j}]", image)
        if array.ndim != 2 or array.shape[0] % 2 == 0 or array.shape[1] % 2 == 0:
            raise ValueError(
                f"the image of modes[{j}] must be 2-D with odd sides, found shape {array.shape}"
            )
        if not np.isfinite(array).all():
            y, x = np.argwhere(~np.isfinite(array))[0]
            raise ValueError(
                f"the image of modes[{j}] must be finite, "
                f"found {array[y, x]} at (y, x) = ({y}, {x})"
            )
        if not array.any():
            raise ValueError(
                f"the image of modes[{j}] must not be zero everywhere, found zeros of shape "
                f"{array.shape}: a mode changes the PSF"
            )
        array.setflags(write=False)
        images.append(array)
        sds.append(check_number(f"the sd of modes[{j}]", sd, above=0.0))
    return tuple(images), tuple(sds)


def _read_image(name: str, image: Any) -> np.ndarray:
    """Return a new array of real numbers."""
    try:
        array = np.array(image)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must have rows of one length, found {image!r}") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, found dtype {array.dtype}")
    return array.astype(np.float64)
