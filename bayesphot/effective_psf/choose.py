"""Which stars a PSF is built from, and why not the others."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bayesphot.detection import DAOStarFinder
from bayesphot.effective_psf.frame import Frame, Sources
from bayesphot.psf import IntegratedGaussianPRF

__all__ = ["choose_stars", "find_sources", "measure_fwhm"]

FWHM_PER_SIGMA = 2.354820045
#: First guesses of the FWHM, pixels, and the times it is measured again.
GUESSES = (2.0, 4.0, 8.0)
ROUNDS = 3
#: Stars the FWHM is measured on.
MEASURED = 100
#: Significance of the sources that are subtracted, and of those that make the PSF.
FAINTEST = 5.0
LEAST_SNR = 30.0
#: A neighbour within this distance, FWHM, spoils a star where it has more than this share of its
#: flux; so do all those in the stamp together with as much again.
NEAR = 2.0
SHARE = 0.1
CROWD = 1.0
#: Radius about a star, FWHM, in which each pixel must be good.
CORE = 1.0


def find_sources(frame: Frame, fwhm: float, nsigma: float = FAINTEST) -> Sources:
    """Return detections on a frame."""
    finder = DAOStarFinder(fwhm=fwhm, nsigma=nsigma, sharplo=0.0, sharphi=2.0)
    noise = np.where(frame.good, np.sqrt(frame.variance), 1.0)
    found = finder.find(frame.data, noise=noise, mask=~frame.good)
    return Sources(found.x, found.y, found.flux)


def measure_fwhm(frame: Frame) -> float:
    """Return the FWHM, pixels, of the brightest stars; NaN without any.

    A Gaussian of free width is fitted to each; the finder's width follows the median.
    """
    best, most = np.nan, 0
    for guess in GUESSES:
        fwhm, count = guess, 0
        for _round in range(ROUNDS):
            sources = find_sources(frame, fwhm, LEAST_SNR)
            order = np.argsort(-sources.flux, kind="stable")[:MEASURED]
            if order.size == 0:
                break
            widths = _fit_widths(frame, sources.select(order), fwhm)
            if widths.size == 0:
                break
            fwhm, count = float(np.median(widths)) * FWHM_PER_SIGMA, widths.size
        if count > most and 1.0 < fwhm < 0.2 * min(frame.data.shape):
            best, most = fwhm, count
        if most >= 20:
            break
    return best


def _fit_widths(frame: Frame, sources: Sources, fwhm: float) -> np.ndarray:
    """Return the widths, as sigma, of sources that are fitted each by itself."""
    from astropy.table import Table

    from bayesphot.config import BasicPSFPhotometry

    model = IntegratedGaussianPRF(sigma=fwhm / FWHM_PER_SIGMA)
    model.sigma.fixed = False
    photometry = BasicPSFPhotometry(
        psf_model=model, fitshape=2 * int(np.ceil(1.5 * fwhm)) + 1, bkg_estimator=None,
        fit_background="flat", shape="source", sampler=False,
    )  # fmt: skip
    error = np.where(frame.good, np.sqrt(frame.variance), 1.0)
    starts = Table({"x_0": sources.x, "y_0": sources.y, "flux_0": sources.flux})
    table = photometry(frame.data, error=error, mask=~frame.good, positions=starts).table
    width = np.array(table["sigma_fit"])
    return width[np.isfinite(width) & (np.array(table["flux_fit"]) > 0.0)]


def choose_stars(
    frame: Frame, sources: Sources, fwhm: float, half: int, n_star: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the stars to be used, brightest first, and a reason for each source.

    Parameters
    ----------
    frame : Frame
        The image.
    sources : Sources
        All sources, fitted.
    fwhm : float
        FWHM, pixels.
    half : int
        Half the side of a stamp, pixels.
    n_star : int
        Stars at most.

    Returns
    -------
    rows : (n,) int array
    reason : (n_source,) array of str
        Empty for the chosen.
    """
    reason = np.full(len(sources), "", dtype=object)
    ny, nx = frame.data.shape
    flux = np.nan_to_num(sources.flux)
    x, y = sources.x, sources.y

    def refuse(which: np.ndarray, why: str) -> None:
        reason[which & (reason == "")] = why

    refuse(~(np.isfinite(x) & np.isfinite(y) & (flux > 0.0)), "could not be fitted")
    x, y = np.nan_to_num(x, nan=-1e6), np.nan_to_num(y, nan=-1e6)
    reach = max(2.0 * fwhm, 0.5 * half)
    inside = (x > reach) & (x < nx - 1 - reach) & (y > reach) & (y < ny - 1 - reach)
    refuse(~inside, "at the edge of the image")
    column, row = (np.clip(np.rint(v).astype(int), 0, n - 1) for v, n in ((x, nx), (y, ny)))
    bad = _spread(~frame.good, CORE * fwhm)
    refuse(bad[row, column], "saturated or bad pixels in the core")
    # Of the noise-equivalent area of a Gaussian (King 1983).
    area = 4.0 * np.pi * (fwhm / FWHM_PER_SIGMA) ** 2
    snr = flux / np.sqrt(area * frame.variance[row, column])
    refuse(~(snr >= LEAST_SNR), f"signal to noise below {LEAST_SNR:g}")
    near, crowd = _weigh_neighbours(x, y, flux, NEAR * fwhm, float(half))
    refuse(near > SHARE, f"a neighbour within {NEAR:g} FWHM")
    refuse(crowd > CROWD, "too many neighbours")
    usable = np.flatnonzero(reason == "")
    order = usable[np.argsort(-flux[usable], kind="stable")]
    reason[order[n_star:]] = f"not among the {n_star} brightest"
    return order[:n_star], reason


def _spread(bad: np.ndarray, radius: float) -> np.ndarray:
    """Return which pixels have a bad one within a radius."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~bad) <= radius if bad.any() else bad


def _weigh_neighbours(x, y, flux, near: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the brightest neighbour within ``near`` and the light of all to ``far``, over flux."""
    tree = cKDTree(np.column_stack([x, y]))
    pairs = tree.query_pairs(far, output_type="ndarray")
    closest, crowd = np.zeros(x.size), np.zeros(x.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        for a, b in (pairs.T, pairs.T[::-1]):
            ratio = np.nan_to_num(flux[b] / flux[a], nan=np.inf)
            here = np.hypot(x[a] - x[b], y[a] - y[b]) < near
            np.maximum.at(closest, a[here], ratio[here])
            np.add.at(crowd, a, ratio)
    return closest, crowd
