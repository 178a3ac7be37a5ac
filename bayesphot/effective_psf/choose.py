"""Which stars a PSF is built from, and why not the others."""

from __future__ import annotations

import numpy as np
from astropy.stats import gaussian_sigma_to_fwhm
from scipy.spatial import cKDTree

from bayesphot.detection import DAOStarFinder
from bayesphot.effective_psf.frame import Frame, Sources

__all__ = ["choose_stars", "explain_no_width", "find_sources", "measure_fwhm"]

#: First guesses of the FWHM, pixels, and the times it is measured again.
GUESSES = (2.0, 4.0, 8.0)
ROUNDS = 3
#: Stars the FWHM is measured on, and the widest, in units of the guess.
MEASURED = 100
FARTHEST = 4.0
#: Significance of the sources that are subtracted, and of those that make the PSF.
FAINTEST = 5.0
LEAST_SNR = 30.0
#: A neighbour within this distance, FWHM, spoils a star where it has more than this share of its
#: flux; so do all those in the stamp together with as much again.
NEAR = 2.0
SHARE = 0.1
CROWD = 1.0
#: Widths are compared among so many candidates at least; a star's differs from the mode by so many
#: standard deviations at most, and may in any case by this in ln(width).
FEW = 8
UNLIKE = 4.0
LEAST_UNLIKE = 0.06
#: Radii of a saturated core to which its wings spoil others.
WINGS = 3.0
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

    The finder's width and the window they are measured in follow the mode: stars have one width,
    galaxies and blends have many.
    """
    best, most = np.nan, 0
    for guess in GUESSES:
        fwhm, count = guess, 0
        for _round in range(ROUNDS):
            sources = find_sources(frame, fwhm, LEAST_SNR)
            whole = np.flatnonzero(~_find_spoilt(frame, sources.x, sources.y, CORE * fwhm))
            # Of all brightnesses: the brightest may be saturated, and the peaks about them none.
            step = max(whole.size // MEASURED, 1)
            order = whole[np.argsort(-sources.flux[whole], kind="stable")][::step]
            if order.size == 0:
                break
            width = _measure_widths(frame, sources.x[order], sources.y[order], fwhm)
            width = width[width < FARTHEST * fwhm / gaussian_sigma_to_fwhm]
            if width.size == 0:
                break
            middle, _ = find_mode(np.log(width))
            fwhm, count = float(np.exp(middle)) * gaussian_sigma_to_fwhm, width.size
        if count > most and 1.0 < fwhm < 0.2 * min(frame.data.shape):
            best, most = fwhm, count
        if most >= 20:
            break
    return best


def explain_no_width(frame: Frame) -> str:
    """Return why there is no star whose width could be measured."""
    tried = [(guess, find_sources(frame, guess, LEAST_SNR)) for guess in GUESSES]
    guess, sources = max(tried, key=lambda pair: len(pair[1]))
    if len(sources) == 0:
        n_core = 0 if frame.image.cores is None else len(frame.image.cores)
        masked = f"; {n_core} saturated cores are masked" if n_core else ""
        return (
            f"image must have stars: none stands out of the noise by {LEAST_SNR:g} standard "
            f"deviations{masked}"
        )
    n_spoilt = np.count_nonzero(_find_spoilt(frame, sources.x, sources.y, CORE * guess))
    n_odd = len(sources) - n_spoilt
    parts = [
        f"{n} {what}"
        for n, what in (
            (n_spoilt, "saturated or bad pixels in the core"),
            (n_odd, "without the width of a star"),
        )
        if n
    ]
    return f"image must have a usable star: of {len(sources)} sources none is ({'; '.join(parts)})"


def _measure_widths(frame: Frame, x, y, fwhm: float) -> np.ndarray:
    """Return the width of each source, as sigma, pixels; NaN where there is none.

    From the second moment m of the light under a Gaussian window of the guessed width s, by what
    they would be of a Gaussian: 1/m = 1/sigma^2 + 1/s^2 (Kaiser, Squires & Broadhurst 1995).
    """
    sigma = fwhm / gaussian_sigma_to_fwhm
    half = int(np.ceil(3.0 * sigma))
    step = np.arange(-half, half + 1)
    column, row = _find_pixels(frame, x, y)
    data = np.pad(np.where(frame.good, frame.data, 0.0), half)
    rows = row[:, None, None] + half + step[:, None]
    columns = column[:, None, None] + half + step
    stamp = data[rows, columns]
    r2 = (columns - half - x[:, None, None]) ** 2 + (rows - half - y[:, None, None]) ** 2
    light = stamp * np.exp(-0.5 * r2 / sigma**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        moment = (light * r2).sum(axis=(1, 2)) / (2.0 * light.sum(axis=(1, 2)))
        width2 = 1.0 / (1.0 / moment - 1.0 / sigma**2)
        return np.where((moment > 0.0) & (width2 > 0.0), np.sqrt(width2), np.nan)


def find_mode(values: np.ndarray) -> tuple[float, float]:
    """Return the half-sample mode of numbers (Robertson & Cryer 1974), and their scatter there.

    The scatter, as a standard deviation, is that of the half that is nearest to the mode, as if
    the other half were no stars.
    """
    part = np.sort(values)
    while part.size > 3:
        half = -(-part.size // 2)
        width = part[half - 1 :] - part[: part.size - half + 1]
        first = int(np.argmin(width))
        part = part[first : first + half]
    middle = float(np.mean(part))
    nearest = np.sort(np.abs(values - middle))[: max(-(-values.size // 2), 1)]
    return middle, 1.4826 * float(np.median(nearest))


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
    refuse(_find_spoilt(frame, x, y, CORE * fwhm), "saturated or bad pixels in the core")
    refuse(_find_beside_cores(frame, x, y, float(half)), "beside a saturated star")
    column, row = _find_pixels(frame, x, y)
    # Of the noise-equivalent area of a Gaussian (King 1983).
    area = 4.0 * np.pi * (fwhm / gaussian_sigma_to_fwhm) ** 2
    snr = flux / np.sqrt(area * frame.variance[row, column])
    refuse(~(snr >= LEAST_SNR), f"signal to noise below {LEAST_SNR:g}")
    near, crowd = _weigh_neighbours(x, y, flux, NEAR * fwhm, float(half))
    refuse(near > SHARE, f"a neighbour within {NEAR:g} FWHM")
    refuse(crowd > CROWD, "too many neighbours")
    usable = np.flatnonzero(reason == "")
    if usable.size >= FEW:
        width = np.full(len(sources), np.nan)
        width[usable] = np.log(_measure_widths(frame, x[usable], y[usable], fwhm))
        measured = width[np.isfinite(width)]
        # Where no star has a width, all are refused by the comparisons with NaN.
        middle, scatter = find_mode(measured) if measured.size else (np.nan, np.nan)
        limit = max(UNLIKE * scatter, LEAST_UNLIKE)
        refuse((reason == "") & ~(width > middle - limit), "narrower than the stars")
        refuse((reason == "") & ~(width < middle + limit), "wider than the stars")
    usable = np.flatnonzero(reason == "")
    order = usable[np.argsort(-flux[usable], kind="stable")]
    reason[order[n_star:]] = f"not among the {n_star} brightest"
    return order[:n_star], reason


def _find_pixels(frame: Frame, x, y) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows of the nearest pixels of the image."""
    ny, nx = frame.data.shape
    column = np.clip(np.rint(x).astype(int), 0, nx - 1)
    return column, np.clip(np.rint(y).astype(int), 0, ny - 1)


def _find_spoilt(frame: Frame, x, y, radius: float) -> np.ndarray:
    """Return which places have a bad pixel within a radius."""
    from scipy.ndimage import distance_transform_edt

    if frame.good.all():
        return np.zeros(np.shape(x), dtype=bool)
    column, row = _find_pixels(frame, x, y)
    return distance_transform_edt(frame.good)[row, column] <= radius


def _find_beside_cores(frame: Frame, x, y, far: float) -> np.ndarray:
    """Return which places have a saturated core, whose wings nobody takes out, within a stamp."""
    cores = frame.image.cores
    if cores is None or len(cores) == 0:
        return np.zeros(x.size, dtype=bool)
    distance = np.hypot(x[:, None] - cores[:, 0], y[:, None] - cores[:, 1])
    return (distance < far + WINGS * cores[:, 2]).any(axis=1)


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
