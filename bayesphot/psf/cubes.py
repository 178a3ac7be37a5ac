"""What the readers of PSF files have in common: cubes of images, numbers of headers, grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bayesphot.psf.sampled import GriddedPSF, ImagePSF
from bayesphot.readers import ReadError

__all__ = ["make_grid", "read_cube", "read_number"]


def read_cube(path: Path, data: Any) -> np.ndarray:
    """Return a cube (n, ny, nx) of numbers."""
    if data is None or getattr(data, "dtype", np.dtype(object)).kind not in "iuf":
        raise ReadError(f"{path}: holds no images where they should be")
    cube = np.asarray(data, dtype=float)
    if cube.ndim == 2:
        cube = cube[None]
    if cube.ndim != 3:
        raise ReadError(f"{path}: images must be 2-D or a cube, found shape {cube.shape}")
    return cube


def read_number(path: Path, key: str, value) -> float:
    """Return a finite number of a header, which may be a text."""
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ReadError(f"{path}: {key} must be a number, found {value!r}")
    return number


def make_grid(images, positions, oversampling, origin=None):
    """Return one image, or a grid of them."""
    if len(images) == 1:
        return ImagePSF(images[0], oversampling=oversampling, origin=origin)
    return GriddedPSF(images, positions, oversampling=oversampling, origin=origin)
