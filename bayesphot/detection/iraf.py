"""IRAF's starfind: peaks of the density-enhanced image, judged by their moments."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from astropy import units as u

from bayesphot.detection.frame import Frame
from bayesphot.detection.peaks import cut_out, list_disc_offsets
from bayesphot.detection.settings import check_settings, is_inside
from bayesphot.detection.starfinder import Peaks, StarFinder
from bayesphot.detection.starkernel import StarKernel, build_star_kernel

# The smallest value of starfind's ``npixmin``: fewer pixels have no meaningful moments.
FEWEST_PIXELS = 5


@dataclass(frozen=True, repr=False)
class IRAFStarFinder(StarFinder):
    """
    Find stars as IRAF's starfind does.

    The image is convolved with the circular kernel of DAOFIND (Stetson 1987, PASP 99, 191);
    local maxima above the threshold are measured by the moments of the sky-subtracted positive
    pixels in the kernel's footprint, and kept when they look like stars. Limits are strict,
    except that ``roundlo=0`` admits the perfectly round star.

    Parameters
    ----------
    threshold : float or Quantity, optional
        Smallest height of a star above the local sky, in the unit of the data. It is compared
        with the convolved image as it is.
    fwhm : float
        Full width at half maximum of a star, in pixels.
    sigma_radius : float, optional
        Radius of the kernel in standard deviations.
    minsep_fwhm : float, optional
        A star must be the highest within so many fwhm (rounded to pixels, at least 2).
    sharplo, sharphi : float, optional
        Limits of the sharpness, the star's fwhm over ``fwhm``.
    roundlo, roundhi : float, optional
        Limits of the roundness, the ellipticity of the second moments.
    nsigma : float, optional
        The threshold in units of the noise, pixel by pixel, instead of ``threshold``.
    exclude_border : bool, optional
        Leave out peaks within half a kernel of the border.
    brightest : int, optional
        Keep only so many stars, those with the largest flux, in that order.
    peakmax : float or Quantity, optional
        Keep only stars whose sky-subtracted peak is below it.

    Raises
    ------
    ValueError
        If fwhm is missing, both or neither of threshold and nsigma are given, or a value is
        out of its range.
    TypeError
        If a value is not a number.

    Notes
    -----
    The table has the columns of photutils 3: ``id``, ``x_centroid``, ``y_centroid``,
    ``fwhm``, ``sharpness``, ``roundness``, ``orientation`` (of the major axis,
    counter-clockwise from x, in (-90, 90] degrees), ``n_pixels`` (positive ones), ``peak``,
    ``flux`` and ``mag``.

    The sky is the mean of the pixels of the kernel array outside the footprint. Stars of
    fewer than 5 positive pixels, or centred outside the image, are left out. Masked and
    non-finite pixels are taken as zero, and neither are peaks nor suppress any.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import IRAFStarFinder
    >>> y, x = np.mgrid[:21, :21]
    >>> image = 100.0 * np.exp(-0.5 * ((x - 10.0) ** 2 + (y - 9.0) ** 2) / 1.5**2)
    >>> found = IRAFStarFinder(threshold=10.0, fwhm=3.5).find(image)
    >>> [round(float(v), 1) for v in (found.x[0], found.y[0])]
    [10.0, 9.0]
    """

    threshold: Any = None
    fwhm: float = None  # type: ignore[assignment]  # required, checked below
    sigma_radius: float = 1.5
    minsep_fwhm: float = 2.5
    sharplo: float = 0.5
    sharphi: float = 2.0
    roundlo: float = 0.0
    roundhi: float = 0.2
    _: KW_ONLY
    nsigma: float | None = None
    exclude_border: bool = False
    brightest: int | None = None
    peakmax: Any = None

    def __post_init__(self) -> None:
        """Check the settings."""
        check_settings(self)

    def build_kernel(self) -> StarKernel:
        """The circular kernel."""
        return build_star_kernel(self.fwhm, sigma_radius=self.sigma_radius)

    def scale_threshold(self, threshold: float | np.ndarray, kernel: StarKernel) -> Any:
        """The threshold as it is."""
        return threshold

    def list_neighbours(self, kernel: StarKernel) -> np.ndarray:
        """A disc of the minimum separation."""
        return list_disc_offsets(max(2, int(self.fwhm * self.minsep_fwhm + 0.5)))

    def measure_stars(
        self, data: np.ndarray, convolved: np.ndarray, peaks: Peaks, kernel: StarKernel
    ) -> dict:
        """Moments of the positive sky-subtracted pixels in the footprint of each peak."""
        half_y, half_x = kernel.half_size
        stamps = cut_out(data, peaks.y, peaks.x, half_size=kernel.half_size)
        sky = measure_sky(stamps, peaks.height, kernel.footprint)
        stamps = np.where(kernel.footprint, stamps - sky[:, None, None], 0.0).clip(min=0.0)
        moments = measure_moments(stamps)
        spread = moments["xx"] + moments["yy"]
        stretch = moments["xx"] - moments["yy"]
        with np.errstate(divide="ignore", invalid="ignore"):
            fwhm = 2.0 * np.sqrt(np.log(2.0) * spread)
            return {
                "x_centroid": peaks.x - half_x + moments["x"],
                "y_centroid": peaks.y - half_y + moments["y"],
                "fwhm": fwhm,
                "sharpness": fwhm / self.fwhm,
                "roundness": np.hypot(stretch, 2.0 * moments["xy"]) / spread,
                "orientation": np.rad2deg(0.5 * np.arctan2(2.0 * moments["xy"], stretch)) * u.deg,
                "n_pixels": np.count_nonzero(stamps, axis=(1, 2)),
                "peak": stamps.max(axis=(1, 2), initial=0.0),
                "flux": moments["sum"],
                "mag": -2.5 * np.log10(moments["sum"]),
            }

    def select_stars(self, columns: dict, frame: Frame) -> np.ndarray:
        """Enough pixels, centred on the image and strictly inside all limits."""
        ny, nx = frame.data.shape
        perfectly_round = (columns["roundness"] == 0) & (self.roundlo == 0)
        return (
            is_inside(columns["sharpness"], self.sharplo, self.sharphi)
            & (is_inside(columns["roundness"], self.roundlo, self.roundhi) | perfectly_round)
            & self.is_below_peakmax(columns["peak"], frame)
            & (columns["n_pixels"] >= FEWEST_PIXELS)
            & is_inside(columns["x_centroid"], -0.5, nx - 0.5)
            & is_inside(columns["y_centroid"], -0.5, ny - 0.5)
        )


def measure_sky(stamps: np.ndarray, height: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Mean outside the footprint; what the fitted height leaves of the peak if none is."""
    if footprint.all():
        return stamps[:, stamps.shape[1] // 2, stamps.shape[2] // 2] - height
    return stamps[:, ~footprint].mean(axis=1)


def measure_moments(stamps: np.ndarray) -> dict[str, np.ndarray]:
    """Sum, mean position (from the first pixel) and central second moments of each stamp."""
    ny, nx = stamps.shape[1:]
    total = stamps.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = stamps / total[:, None, None]
    rows, columns = weights.sum(axis=2), weights.sum(axis=1)
    mean_y, mean_x = rows @ np.arange(ny), columns @ np.arange(nx)
    dy = np.arange(ny) - mean_y[:, None]
    dx = np.arange(nx) - mean_x[:, None]
    return {
        "sum": total,
        "x": mean_x,
        "y": mean_y,
        "xx": np.einsum("nx,nx->n", columns, dx**2),
        "yy": np.einsum("ny,ny->n", rows, dy**2),
        "xy": np.einsum("nyx,ny,nx->n", weights, dy, dx),
    }
