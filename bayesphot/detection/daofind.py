"""DAOFIND: peaks of the density-enhanced image, judged by sharpness and two roundnesses."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from bayesphot.detection.frame import Frame
from bayesphot.detection.peaks import cut_out, list_disc_offsets, list_footprint_offsets
from bayesphot.detection.settings import check_settings, is_inside
from bayesphot.detection.starfinder import Peaks, StarFinder
from bayesphot.detection.starkernel import StarKernel, build_star_kernel


@dataclass(frozen=True, repr=False)
class DAOStarFinder(StarFinder):
    r"""
    Find stars as DAOFIND does (Stetson 1987, PASP 99, 191, sections III A and B).

    The image is convolved with a kernel that gives the height of the best-fitting Gaussian on
    a flat sky at every pixel. Local maxima above the threshold are measured and kept when
    they look like stars. All limits are strict.

    Parameters
    ----------
    threshold : float or Quantity, optional
        Smallest height of a star, in the unit of the data. As in DAOFIND it is multiplied by
        the relative error of the kernel, i.e. it is compared with the data's noise rather than
        with the convolved image's: ``5 * noise`` asks for a five-sigma detection.
    fwhm : float
        Full width at half maximum of the (major axis of the) Gaussian, in pixels.
    ratio : float, optional
        Minor over major axis, in (0, 1].
    theta : float, optional
        Angle of the major axis from the x axis, counter-clockwise, in degrees.
    sigma_radius : float, optional
        Radius of the kernel in standard deviations.
    sharplo, sharphi : float, optional
        Limits of the sharpness.
    roundlo, roundhi : float, optional
        Limits of both roundnesses.
    nsigma : float, optional
        The threshold in units of the noise, pixel by pixel, instead of ``threshold``.
    exclude_border : bool, optional
        Leave out peaks within half a kernel of the border.
    brightest : int, optional
        Keep only so many stars, those with the largest flux, in that order.
    peakmax : float or Quantity, optional
        Keep only stars whose peak pixel is below it.
    min_separation : float, optional
        A star must be the highest within so many pixels. None: within the kernel's footprint,
        and one of several equally high neighbours is kept. 0: the same with all of them kept.

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
    ``sharpness``, ``roundness1`` (two- against four-fold symmetry of the convolved image,
    DAOFIND's SROUND), ``roundness2`` (heights of the marginal Gaussians, GROUND),
    ``n_pixels`` (of the kernel array), ``peak`` (the data at the peak pixel), ``flux`` (sum of
    the data in the kernel's footprint), ``mag`` and ``daofind_mag``, the height over the
    threshold as a magnitude. Stars whose centroid is outside the image are left out.

    Two habits of DAOFIND are kept, so that its numbers come out: the centroid fit takes the
    major axis to lie along x whatever ``theta``, and where that fit leaves the kernel its
    substitute, the mean offset, has the wrong sign in x.

    Masked and non-finite pixels are taken as zero, i.e. sky, wherever a sum runs over them,
    and neither are peaks nor suppress any. photutils uses the values under its mask.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot import DAOStarFinder
    >>> y, x = np.mgrid[:21, :21]
    >>> image = 100.0 * np.exp(-0.5 * ((x - 10.2) ** 2 + (y - 9.0) ** 2) / 1.5**2)
    >>> found = DAOStarFinder(threshold=10.0, fwhm=3.5).find(image)
    >>> [round(float(v), 1) for v in (found.x[0], found.y[0])]
    [10.2, 9.0]
    """

    threshold: Any = None
    fwhm: float = None  # type: ignore[assignment]  # required, checked below
    ratio: float = 1.0
    theta: float = 0.0
    sigma_radius: float = 1.5
    sharplo: float = 0.2
    sharphi: float = 1.0
    roundlo: float = -1.0
    roundhi: float = 1.0
    _: KW_ONLY
    nsigma: float | None = None
    exclude_border: bool = False
    brightest: int | None = None
    peakmax: Any = None
    min_separation: float | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        check_settings(self)

    @property
    def keeps_ties(self) -> bool:
        """Only an explicit zero separation keeps all of several equally high pixels."""
        return self.min_separation == 0

    def build_kernel(self) -> StarKernel:
        """The elliptical kernel."""
        return build_star_kernel(
            self.fwhm, self.ratio, theta=self.theta, sigma_radius=self.sigma_radius
        )

    def scale_threshold(self, threshold: float | np.ndarray, kernel: StarKernel) -> Any:
        """The threshold times the kernel's relative error."""
        return threshold * kernel.relative_error

    def list_neighbours(self, kernel: StarKernel) -> np.ndarray:
        """The kernel's footprint or a disc."""
        if self.min_separation:
            return list_disc_offsets(self.min_separation)
        return list_footprint_offsets(kernel.footprint)

    def measure_stars(
        self, data: np.ndarray, convolved: np.ndarray, peaks: Peaks, kernel: StarKernel
    ) -> dict:
        """Centroids, sharpness and roundnesses of the peaks; NaN where a fit fails."""
        stamps = cut_out(data, peaks.y, peaks.x, half_size=kernel.half_size)
        inner = min(kernel.half_size)
        squares = cut_out(convolved, peaks.y, peaks.x, half_size=(inner, inner))
        # As DAOFIND: major axis along x and minor along y, whatever theta.
        shift_x, height_x = fit_marginal(
            stamps, kernel.gaussian, sigma=kernel.sigma, fallback_sign=-1.0
        )
        shift_y, height_y = fit_marginal(
            stamps.swapaxes(1, 2), kernel.gaussian.T, sigma=kernel.sigma * kernel.ratio
        )
        flux = stamps[:, kernel.footprint].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "x_centroid": peaks.x + shift_x,
                "y_centroid": peaks.y + shift_y,
                "sharpness": measure_sharpness(stamps, peaks.height, kernel.footprint),
                "roundness1": measure_symmetry(squares),
                "roundness2": 2.0 * (height_x - height_y) / (height_x + height_y),
                "n_pixels": np.full(flux.size, kernel.weights.size),
                "peak": data[peaks.y, peaks.x],
                "flux": flux,
                "mag": -2.5 * np.log10(flux),
                "daofind_mag": -2.5 * np.log10(peaks.height / peaks.threshold),
            }

    def select_stars(self, columns: dict, frame: Frame) -> np.ndarray:
        """Centred on the image and strictly inside all limits."""
        ny, nx = frame.data.shape
        return (
            is_inside(columns["sharpness"], self.sharplo, self.sharphi)
            & is_inside(columns["roundness1"], self.roundlo, self.roundhi)
            & is_inside(columns["roundness2"], self.roundlo, self.roundhi)
            & self.is_below_peakmax(columns["peak"], frame)
            & is_inside(columns["x_centroid"], -0.5, nx - 0.5)
            & is_inside(columns["y_centroid"], -0.5, ny - 0.5)
        )


def fit_marginal(
    stamps: np.ndarray, gaussian: np.ndarray, *, sigma: float, fallback_sign: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""
    Fit the x marginal of the Gaussian to that of each stamp.

    Across and along the axis the pixels have triangular weights, rising to the centre. With
    the weighted marginals d of the data and g of the Gaussian, and the weights w along, the
    height h is that of the linear least squares ``d = h g + s`` and the shift the first-order
    one,

    .. math:: \delta = \sigma^2 \sum w g x d \, / \, (h \sum w g^2 x^2),

    in which the sky s drops out, g being symmetric. A shift to outside the kernel array is
    replaced by the weighted mean offset, and by 0 when that lies outside too.

    Parameters
    ----------
    stamps : ndarray (n, ky, kx)
    gaussian : ndarray (ky, kx)
        Unit peak, point-symmetric.
    sigma : float
        Standard deviation along x, in pixels.
    fallback_sign : float
        Factor on the weighted mean offset: DAOFIND takes it with the wrong sign in x.

    Returns
    -------
    shift, height : ndarray (n,)
        NaN where the height is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.detection.daofind import fit_marginal
    >>> x = np.arange(-2, 3)
    >>> row = np.exp(-0.5 * x**2)
    >>> shift, height = fit_marginal(7.0 * np.outer(row, row)[None], np.outer(row, row), sigma=1.0)
    >>> float(height[0].round(6))
    7.0
    """
    ny, nx = gaussian.shape
    across, along = _list_triangle_weights(ny), _list_triangle_weights(nx)
    offset = np.arange(nx) - nx // 2
    total = along.sum()
    model = across @ gaussian
    marginal = np.einsum("nyx,y->nx", stamps, across)

    sum_model, sum_data = along @ model, marginal @ along
    height = marginal @ (along * model) - sum_model * sum_data / total
    height /= along @ model**2 - sum_model**2 / total
    height = np.where(height > 0, height, np.nan)
    slope = model * offset
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = sigma**2 * (marginal @ (along * slope)) / (height * (along @ slope**2))
        mean_offset = marginal @ (along * offset) / sum_data
    mean_offset = np.where(np.abs(mean_offset) <= nx / 2, mean_offset, 0.0)
    return np.where(np.abs(shift) > nx / 2, fallback_sign * mean_offset, shift), height


def _list_triangle_weights(size: int) -> np.ndarray:
    """1, 2, ..., half + 1, ..., 2, 1."""
    half = size // 2
    return half - np.abs(np.arange(size) - half) + 1.0


def measure_sharpness(stamps: np.ndarray, height: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Peak pixel minus the mean of the others in the footprint, over the fitted height."""
    peak = stamps[:, stamps.shape[1] // 2, stamps.shape[2] // 2]
    others = (stamps[:, footprint].sum(axis=1) - peak) / (footprint.sum() - 1)
    return (peak - others) / height


def measure_symmetry(stamps: np.ndarray) -> np.ndarray:
    """
    Two-fold over four-fold symmetry of square stamps of the convolved image.

    Each of the four sectors is a quadrant with one of the half axes that bound it, so that
    a quarter turn maps them onto each other: opposite sectors count with the same sign.
    """
    half = stamps.shape[1] // 2
    offset = np.arange(-half, half + 1)
    y, x = offset[:, None], offset
    # A star extended along x is stronger in the sectors with the x half axes: negative.
    along_x = ((x > 0) & (y <= 0)) | ((x < 0) & (y >= 0))
    sign = np.where(along_x, -1.0, 1.0)
    sign[half, half] = 0.0
    two_fold = np.einsum("nyx,yx->n", stamps, sign)
    four_fold = np.einsum("nyx,yx->n", np.abs(stamps), np.abs(sign))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2.0 * two_fold / four_fold
