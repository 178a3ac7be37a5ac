"""PSF grids of the STDPSF library, of one detector or of several that lie side by side.

A file holds NXPSFS x NYPSFS images, row after row from the bottom, four times oversampled, and in
its header the columns x and the rows y where they belong (Anderson 2016; Bellini et al. 2018). Of
some cameras one file holds all detectors, each with as many columns and rows, and x and y run on
over a mosaic without gaps. In it, top row first:

    ACS/WFC      9 x 10    WFC1               WFC3/UVIS    7 x 8    UVIS1
                           WFC2                                     UVIS2
    WFPC2        6 x 6     WF2  PC            NIRCam SW    20 x 10  A2  A4  B3  B1
                           WF3  WF4                                 A1  A3  B4  B2
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayesphot.psf.cubes import make_grid, read_cube, read_number
from bayesphot.psf.sampled import GriddedPSF, ImagePSF
from bayesphot.readers import ReadError

__all__ = ["read_stdpsf"]

#: Of files that leave it open.
_OVERSAMPLING = 4


@dataclass(frozen=True)
class _Mosaic:
    """
    How the detectors of a camera lie in its files.

    Attributes
    ----------
    n_x, n_y : int
        Columns and rows of images in all.
    size : (int, int)
        Columns and rows of pixels of a detector.
    names : tuple of tuple of str
        Rows of detectors, the lowest first.
    note : str
        What else is to be said where one is to be chosen.
    """

    n_x: int
    n_y: int
    size: tuple[int, int]
    names: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Column and row of each detector."""
        return {name: (i, j) for j, row in enumerate(self.names) for i, name in enumerate(row)}

    def split(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return places (detectors, images) along x and y, each in its detector's own pixels."""
        by_column, by_row = x.reshape(len(self.names[0]), -1), y.reshape(len(self.names), -1)
        return (
            by_column - self.size[0] * np.arange(len(by_column))[:, None],
            by_row - self.size[1] * np.arange(len(by_row))[:, None],
        )

    def fits(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Return whether places of that many images lie on the detectors; rims count from 0."""
        if (x.size, y.size) != (self.n_x, self.n_y):
            return False
        return all(
            bool(np.all((places >= 0) & (places <= size)))
            for places, size in zip(self.split(x, y), self.size, strict=True)
        )


_MOSAICS = (
    _Mosaic(9, 10, (4096, 2048), (("WFC2",), ("WFC1",)), "WFC1 above, SCI 2; WFC2 below, SCI 1"),
    _Mosaic(7, 8, (4096, 2048), (("UVIS2",), ("UVIS1",)), "UVIS1 above, SCI 2; UVIS2 below, SCI 1"),
    _Mosaic(6, 6, (800, 800), (("WF3", "WF4"), ("WF2", "PC"))),
    _Mosaic(20, 10, (2048, 2048), (("A1", "A3", "B4", "B2"), ("A2", "A4", "B3", "B1"))),
)


def read_stdpsf(path: Path, header, data, detector: str | None) -> ImagePSF | GriddedPSF:
    """
    Return the grid of one detector.

    Parameters
    ----------
    path : Path
        The file, for messages.
    header, data
        Of its first extension.
    detector : str or None
        Which, where the file has several, in upper or lower case; of NIRCam with NRC before it or
        not.

    Raises
    ------
    ReadError
        If the file is none, or it has not the detector, or several and none is named.
    """
    cube = read_cube(path, data)
    n_x, n_y = (int(read_number(path, key, header[key])) for key in ("NXPSFS", "NYPSFS"))
    if n_x * n_y != len(cube):
        raise ReadError(
            f"{path}: NXPSFS x NYPSFS = {n_x} x {n_y} images should be there, found {len(cube)}"
        )
    x, y = _read_places(path, header, "IPSFX", n_x), _read_places(path, header, "JPSFY", n_y)
    mosaic = next((each for each in _MOSAICS if each.fits(x, y)), None)
    if mosaic is not None:
        column, row = _choose_detector(path, mosaic, detector)
        by_column, by_row = mosaic.split(x, y)
        x, y = by_column[column], by_row[row]
        grid = cube.reshape(len(by_row), y.size, len(by_column), x.size, *cube.shape[1:])
        cube = grid[row, :, column].reshape(-1, *cube.shape[1:])
    elif detector is not None:
        raise ReadError(f"{path}: detector must be None for a file of one, found {detector!r}")
    if np.unique(x).size != x.size or np.unique(y).size != y.size:
        raise ReadError(
            f"{path}: places must be {x.size} different x and {y.size} different y, found "
            f"{x.tolist()} and {y.tolist()}"
        )
    # Counted from 1.
    places = [(u - 1.0, v - 1.0) for v in y for u in x]
    return make_grid(cube, places, _OVERSAMPLING)


def _choose_detector(path: Path, mosaic: _Mosaic, detector: str | None) -> tuple[int, int]:
    """Return column and row of the detector of a name."""
    parts = mosaic.parts
    if detector is not None:
        name = detector.strip().upper()
        name = name if name in parts else name.removeprefix("NRC")
        if name in parts:
            return parts[name]
    note = f" ({mosaic.note})" if mosaic.note else ""
    raise ReadError(
        f"{path}: detector must be one of {', '.join(sorted(parts))}{note}, found {detector!r}"
    )


def _read_places(path: Path, header, start: str, n: int) -> np.ndarray:
    """Return n columns or rows: keywords like IPSFX01, or lists of them like IPSFXA5."""
    if f"{start}01" in header:
        keys = [f"{start}{i:02d}" for i in range(1, n + 1)]
        return np.array([read_number(path, key, header[key]) for key in keys])
    keys = [f"{start}{letter}5" for letter in "ABCD"]
    words = [(key, word) for key in keys for word in str(header.get(key, "")).split()]
    if len(words) != n:
        raise ReadError(
            f"{path}: places must be {n} numbers in {start}01 ... or {start}A5 ..., found "
            f"{len(words)}"
        )
    return np.array([read_number(path, key, word) for key, word in words])
