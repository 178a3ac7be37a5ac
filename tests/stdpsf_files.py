"""Files as the STDPSF library has them, written from images of ever wider Gaussians."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

__all__ = ["CAMERAS", "find_parts", "write_stdpsf"]

#: Columns x and rows y of the images of a file, pixels of a detector, and names of the detectors,
#: the lowest row first.
CAMERAS = {
    "ACS/WFC": (
        [0, 512, 1024, 1536, 2168, 2800, 3192, 3584, 4096],
        [0, 512, 1024, 1536, 2048, 2048, 2560, 3072, 3584, 4096],
        (4096, 2048),
        (("WFC2",), ("WFC1",)),
    ),
    "WFC3/UVIS": (
        [0, 682, 1365, 2048, 2731, 3413, 4096],
        [0, 682, 1365, 2048, 2049, 2731, 3413, 4096],
        (4096, 2048),
        (("UVIS2",), ("UVIS1",)),
    ),
    "WFPC2": (
        [50, 425, 800, 850, 1225, 1600],
        [50, 425, 800, 850, 1225, 1600],
        (800, 800),
        (("WF3", "WF4"), ("WF2", "PC")),
    ),
    "NIRCam SW": (
        [2048 * i + x for i in range(4) for x in (1, 512, 1024, 1536, 2048)],
        [2048 * j + y for j in range(2) for y in (1, 512, 1024, 1536, 2048)],
        (2048, 2048),
        (("A1", "A3", "B4", "B2"), ("A2", "A4", "B3", "B1")),
    ),
}


def find_parts(names) -> dict[str, tuple[int, int]]:
    """Return column and row of each detector of a mosaic."""
    return {name: (i, j) for j, row in enumerate(names) for i, name in enumerate(row)}


def write_stdpsf(path, camera, *, drop: str | None = None) -> np.ndarray:
    """Write a file of a camera, or of columns and rows; return its images.

    Up to ten columns and rows have a keyword each and 9999 in those left over; more have lists of
    five.
    """
    x, y = CAMERAS[camera][:2] if isinstance(camera, str) else camera
    side = np.arange(-18, 19) / 4
    r2 = side[:, None] ** 2 + side**2
    sigmas = np.linspace(0.7, 0.9, len(x) * len(y))
    cube = np.array([np.exp(-0.5 * r2 / s**2) / (2 * np.pi * s**2) for s in sigmas])
    header = fits.Header({"NXPSFS": len(x), "NYPSFS": len(y)})
    for start, places in (("IPSFX", x), ("JPSFY", y)):
        if max(len(x), len(y)) > 10:
            for letter, i in zip("ABCD", range(0, len(places), 5), strict=False):
                header[f"{start}{letter}5"] = "".join(f" {p:04d}" for p in places[i : i + 5])
        else:
            for i in range(10):
                header[f"{start}{i + 1:02d}"] = places[i] if i < len(places) else 9999
    if drop is not None:
        del header[drop]
    fits.writeto(path, cube.astype(">f4"), header, overwrite=True)
    return cube
