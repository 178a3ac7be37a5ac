"""What DAOFIND and starfind share: the settings, the search for peaks and the two calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesphot.detection.detections import Detections
from bayesphot.detection.frame import Frame, read_frame, read_noise, strip_unit
from bayesphot.detection.peaks import find_peaks
from bayesphot.detection.starkernel import StarKernel, convolve_image

if TYPE_CHECKING:
    from astropy.table import QTable

# Pixels of stamps measured at a time: 16 MB for each array of intermediate results.
STAMP_PIXELS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Peaks:
    """Peaks of the convolved image: pixel, height there, and the threshold they passed."""

    y: np.ndarray
    x: np.ndarray
    height: np.ndarray
    threshold: np.ndarray

    def select(self, chosen: slice) -> Peaks:
        """Some of the peaks."""
        return Peaks(self.y[chosen], self.x[chosen], self.height[chosen], self.threshold[chosen])


class StarFinder(ABC):
    """A finder that convolves, takes local maxima, measures each and keeps the star-like ones."""

    threshold: Any
    nsigma: float | None
    exclude_border: bool
    brightest: int | None
    peakmax: Any

    @abstractmethod
    def build_kernel(self) -> StarKernel:
        """The convolution kernel of these settings."""

    @abstractmethod
    def scale_threshold(self, threshold: float | np.ndarray, kernel: StarKernel) -> Any:
        """The threshold for the convolved image that stands for one in data units."""

    @abstractmethod
    def list_neighbours(self, kernel: StarKernel) -> np.ndarray:
        """Offsets (dy, dx) of the pixels that a peak must not fall below."""

    @abstractmethod
    def measure_stars(
        self, data: np.ndarray, convolved: np.ndarray, peaks: Peaks, kernel: StarKernel
    ) -> dict:
        """Table columns of the peaks, in table order and without units."""

    @abstractmethod
    def select_stars(self, columns: dict, frame: Frame) -> np.ndarray:
        """True for the peaks inside the limits."""

    def __call__(self, data: Any, mask: Any = None) -> QTable | None:
        """
        Find stars.

        Parameters
        ----------
        data : array-like or Quantity (ny, nx)
            Sky-subtracted image. Non-finite pixels count as masked.
        mask : array-like of bool (ny, nx), optional
            True where the pixel is bad.

        Returns
        -------
        QTable or None
            One row per star with the columns of the class; None when nothing is found. With
            ``nsigma`` the noise is the sigma-clipped MAD standard deviation of the data.

        Raises
        ------
        ValueError, TypeError
            On data, a mask or a threshold of the wrong shape, kind or unit.
        """
        from astropy.table import QTable

        frame = read_frame(data, mask)
        columns = self._find_columns(frame, noise=None)
        if columns["x_centroid"].size == 0:
            return None
        del columns["height"]
        if frame.unit is not None:
            for name in ("peak", "flux"):
                columns[name] = columns[name] * frame.unit
        table = QTable({"id": np.arange(1, len(columns["mag"]) + 1)} | columns)
        table.meta["finder"] = repr(self)
        return table

    def find(
        self, data: Any, *, noise: Any = None, mask: Any = None, model: Any = None
    ) -> Detections:
        """
        Find stars in the residual of a scene.

        Parameters
        ----------
        data : array-like or Quantity (ny, nx)
            Image minus sky minus the model of the stars known so far.
        noise : float or ndarray (ny, nx), optional
            Standard deviation of each pixel, used with ``nsigma``: a map that contains the
            photon noise of the known stars raises the threshold over their residuals. None:
            the sigma-clipped MAD standard deviation of the data.
        mask : array-like of bool (ny, nx), optional
            True where the pixel is bad.
        model : ndarray (ny, nx), optional
            The model already subtracted. Part of the call that every finder understands; this
            one needs only the noise.

        Returns
        -------
        Detections
            Empty when nothing is found; no warning.

        Raises
        ------
        ValueError, TypeError
            As for the call.
        """
        columns = self._find_columns(read_frame(data, mask), noise=noise)
        return Detections(
            x=columns["x_centroid"],
            y=columns["y_centroid"],
            flux=columns["height"] * self.build_kernel().effective_area,
            peak=columns["peak"],
            sharpness=columns["sharpness"],
            roundness=columns["roundness" if "roundness" in columns else "roundness2"],
        )

    def _find_columns(self, frame: Frame, *, noise: Any) -> dict:
        """Columns of the stars, brightest selection made, plus the height of each peak."""
        kernel = self.build_kernel()
        convolved = convolve_image(frame.data, kernel)
        peaks = self._find_peaks(frame, convolved, kernel, noise=noise)
        columns = self._measure_in_batches(frame.data, convolved, peaks, kernel)
        kept = np.flatnonzero(self.select_stars(columns, frame))
        if self.brightest is not None:
            order = np.argsort(-columns["flux"][kept], kind="stable")
            kept = kept[order[: self.brightest]]
        return {name: values[kept] for name, values in columns.items()}

    def _find_peaks(
        self, frame: Frame, convolved: np.ndarray, kernel: StarKernel, *, noise: Any
    ) -> Peaks:
        """Peaks of the convolved image above the threshold."""
        if self.nsigma is None:
            threshold, good = strip_unit(self.threshold, "threshold", frame.unit), frame.good
        else:
            level, good = read_noise(noise, frame)
            threshold = self.nsigma * level
        threshold = np.broadcast_to(self.scale_threshold(threshold, kernel), good.shape)
        y, x = find_peaks(
            convolved,
            threshold,
            offsets=self.list_neighbours(kernel),
            good=good,
            border=kernel.half_size if self.exclude_border else (0, 0),
            keep_ties=self.keeps_ties,
        )
        return Peaks(y, x, convolved[y, x], threshold[y, x])

    def _measure_in_batches(
        self, data: np.ndarray, convolved: np.ndarray, peaks: Peaks, kernel: StarKernel
    ) -> dict:
        """Measured columns and the peak heights, a bounded number of stamps at a time."""
        step = max(1, STAMP_PIXELS_AT_ONCE // kernel.weights.size)
        parts = [
            self.measure_stars(data, convolved, peaks.select(slice(start, start + step)), kernel)
            for start in range(0, max(1, peaks.y.size), step)
        ]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return columns | {"height": peaks.height}

    def is_below_peakmax(self, peak: np.ndarray, frame: Frame) -> np.ndarray:
        """True where the peak is strictly below ``peakmax``."""
        if self.peakmax is None:
            return np.ones(peak.shape, dtype=bool)
        return peak < strip_unit(self.peakmax, "peakmax", frame.unit)

    @property
    def keeps_ties(self) -> bool:
        """Whether equally high neighbouring pixels all count as peaks."""
        return False

    def __repr__(self) -> str:
        """The call that builds this finder, without the arguments left at their defaults."""
        given = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
            if getattr(self, field.name) is not field.default
            and getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"
