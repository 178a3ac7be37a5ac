"""What every finder returns to the loop: equally long arrays of what was found."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """
    Detected sources, one element per source; empty arrays when nothing was found.

    Attributes
    ----------
    x, y : ndarray of float (n,)
        Centroids, 0-based, pixel centres on integers.
    flux : ndarray of float (n,)
        A start for the total flux in the unit of the data. From our own finders: the height of
        the best-fitting Gaussian at the peak pixel (the convolved image of Stetson 1987) times
        the area of that Gaussian, ``2 pi sigma^2 ratio``. It is good to some ten per cent for
        an isolated star of the finder's width, and does not depend on a constant sky. From
        foreign finders: their flux column, NaN where there is none.
    peak : ndarray of float (n,)
        Value of the data at the peak; NaN if the finder does not say.
    sharpness, roundness : ndarray of float (n,)
        As in the finder's table (DAOFIND's marginal roundness ``roundness2``); NaN if the
        finder does not say.

    Raises
    ------
    ValueError
        If the arrays differ in length.

    Examples
    --------
    >>> from bayesphot.detection import Detections
    >>> len(Detections.empty())
    0
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    peak: np.ndarray
    sharpness: np.ndarray
    roundness: np.ndarray

    def __post_init__(self) -> None:
        """Freeze the arrays as float64."""
        for field in fields(self):
            values = np.array(getattr(self, field.name), dtype=np.float64).reshape(-1)
            values.flags.writeable = False
            object.__setattr__(self, field.name, values)
        lengths = {field.name: getattr(self, field.name).size for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"detections must be equally long, found {lengths}")

    def __len__(self) -> int:
        """Number of sources."""
        return self.x.size

    @classmethod
    def empty(cls) -> Detections:
        """No detection at all."""
        return cls(*(np.empty(0) for _ in fields(cls)))

    def select(self, chosen: np.ndarray) -> Detections:
        """The sources at the given indices or true elements, as a new object."""
        return Detections(*(getattr(self, field.name)[chosen] for field in fields(self)))
