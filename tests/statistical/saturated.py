"""Scenes of one saturated star among moderate ones, with a PSF that is known.

Counts with photon noise. The PSF is Moffat's, or an oversampled image of it that ends; both are
rendered here by numpy and scipy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy.ndimage import map_coordinates, spline_filter

import bayesphot as bp

SIDE, SKY, READ_NOISE, LEVEL = 81, 100.0, 5.0, 20_000.0
ALPHA, BETA = 2.5, 3.0
FWHM = 2.0 * ALPHA * math.sqrt(2.0 ** (1.0 / BETA) - 1.0)
#: Height of the saturated star over the level; distances and fluxes of its neighbours.
HEIGHT, DISTANCE, FLUX = (10.0, 100.0), (3.0, 12.0), (5e3, 5e4)
N_NEIGHBOUR = 3
#: The image of the PSF: samples to a pixel, and pixels on each side of its middle.
STEP, HALF = 4, 15
#: How far starts are from the stars, pixels.
JITTER = 0.3
#: Rows of a trail of bled charge, on each side of the star.
TRAIL = (8, 25)


def make_image() -> np.ndarray:
    """Return the oversampled image of the PSF, its sum that of a PSF that ends."""
    side = np.arange(-HALF * STEP, HALF * STEP + 1) / STEP
    image = (1.0 + (side**2 + side[:, None] ** 2) / (1.1 * ALPHA) ** 2) ** -BETA
    return image * STEP**2 / image.sum()


class MoffatTruth:
    """Moffat's profile on pixels, by Gauss-Legendre nodes."""

    model = bp.MoffatPRF(alpha=ALPHA, beta=BETA)

    def render(self, x: float, y: float) -> np.ndarray:
        """Return a star of unit flux (SIDE, SIDE)."""
        node, weight = np.polynomial.legendre.leggauss(6)
        place = (np.arange(SIDE)[:, None] + 0.5 * node).ravel()
        across, down = place - x, place - y
        light = (1.0 + (across**2 + down[:, None] ** 2) / ALPHA**2) ** -BETA
        light *= (BETA - 1.0) / (np.pi * ALPHA**2)
        light = light.reshape(SIDE, 6, SIDE, 6)
        return np.einsum("jaib,a,b->ji", light, 0.5 * weight, 0.5 * weight)


class ImageTruth:
    """An oversampled image between whose samples the cubic spline holds."""

    def __init__(self) -> None:
        self.model = bp.ImagePSF(make_image(), oversampling=STEP)
        # The spline rings beyond the edge of an image, and the PSF rings with it.
        self._room = 8 * STEP
        self._spline = spline_filter(np.pad(make_image(), self._room), mode="mirror")

    def render(self, x: float, y: float) -> np.ndarray:
        """Return a star of unit flux (SIDE, SIDE)."""
        middle = HALF * STEP + self._room
        row, col = np.indices((SIDE, SIDE))
        place = [(row - y) * STEP + middle, (col - x) * STEP + middle]
        return map_coordinates(self._spline, place, mode="constant", prefilter=False)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its stars (n, 3): x, y, flux; the first is saturated."""

    image: np.ndarray
    stars: np.ndarray


@dataclass(frozen=True, eq=False)
class Outcome:
    """Pulls of fluxes: of saturated stars, of neighbours, and of those under a masked core."""

    saturated: np.ndarray
    neighbour: np.ndarray
    hidden: np.ndarray
    error: np.ndarray
    n_flagged: int


def make_scene(rng: np.random.Generator, truth, *, bleeds: bool) -> Scene:
    """Return a scene: one star cut off at the level, neighbours about it, one column bled."""
    x, y = SIDE // 2 + rng.uniform(-0.5, 0.5, 2)
    unit = truth.render(x, y)
    flux = LEVEL * HEIGHT[0] * (HEIGHT[1] / HEIGHT[0]) ** rng.random() / unit.max()
    stars = [(x, y, flux)]
    while len(stars) <= N_NEIGHBOUR:
        r, angle = rng.uniform(*DISTANCE), rng.uniform(0.0, 2.0 * np.pi)
        new = x + r * math.cos(angle), y + r * math.sin(angle)
        if all(math.hypot(new[0] - s[0], new[1] - s[1]) > FWHM for s in stars):
            stars.append((*new, FLUX[0] * (FLUX[1] / FLUX[0]) ** rng.random()))
    expected = SKY + sum(f * truth.render(a, b) for a, b, f in stars)
    counts = rng.poisson(expected) + rng.normal(0.0, READ_NOISE, expected.shape)
    if bleeds:
        up, down = rng.integers(*TRAIL, 2)
        row, col = round(y), round(x)
        counts[row - down : row + up + 1, col] = 2.0 * LEVEL
    return Scene(np.minimum(counts, LEVEL), np.array(stars))


def configure(truth, **options) -> bp.BasicPSFPhotometry:
    """Return photometry that knows the PSF and the level."""
    settings = {
        "psf_model": truth.model,
        "fitshape": 11,
        "group_maker": bp.DAOGroup(15.0),
        "bkg_estimator": bp.MMMBackground(),
        "noise": bp.CCDNoise(gain=1.0, read_noise=READ_NOISE),
        "saturation": LEVEL,
        "seed": 1,
    }
    return bp.BasicPSFPhotometry(**(settings | options))


def measure_scenes(n: int, seed: int, truth, *, bleeds: bool, **options) -> Outcome:
    """Measure n scenes, starts a little off; without a sampler by the least squares' errors."""
    rng = np.random.default_rng(seed)
    phot = configure(truth, **options)
    value, sd = ("fit", "fit_err") if phot.sampler is False else ("median", "err")
    pulls, errors, flags = [], [], []
    for _ in range(n):
        scene = make_scene(rng, truth, bleeds=bleeds)
        start = scene.stars[:, :2] + rng.uniform(-JITTER, JITTER, (len(scene.stars), 2))
        result = phot(scene.image, positions=Table(start, names=["x_0", "y_0"]))
        error = np.asarray(result[f"flux_{sd}"])
        pulls.append((np.asarray(result[f"flux_{value}"]) - scene.stars[:, 2]) / error)
        errors.append(error / scene.stars[:, 2])
        flags.append(np.asarray(result["flags"]) & int(bp.Flag.SATURATED) > 0)
    pull, error, flag = np.array(pulls), np.array(errors), np.array(flags)
    near = pull[:, 1:]
    return Outcome(
        pull[:, 0], near[~flag[:, 1:]], near[flag[:, 1:]], error[:, 0], int(flag[:, 0].sum())
    )


@dataclass(frozen=True, eq=False)
class Search:
    """Of saturated stars that nobody gave: found or not, how far their starts are, and in flux."""

    found: np.ndarray
    offset: np.ndarray
    ratio: np.ndarray


def search_scenes(n: int, seed: int, truth, *, bleeds: bool) -> Search:
    """Look for the saturated stars of n scenes: least squares only, the level given."""
    rng = np.random.default_rng(seed)
    finder = bp.DAOStarFinder(nsigma=5.0, fwhm=FWHM, sigma_radius=2.5)
    phot = configure(truth, finder=finder, sampler=False)
    found, offset, ratio = [], [], []
    for _ in range(n):
        scene = make_scene(rng, truth, bleeds=bleeds)
        result = phot(scene.image)
        x, y, flux = scene.stars[0]
        cored = np.asarray(result["flags"]) & int(bp.Flag.SATURATED) > 0
        away = np.hypot(np.asarray(result["x_0"]) - x, np.asarray(result["y_0"]) - y)
        k = int(np.argmin(np.where(cored, away, np.inf)))
        found.append(bool(cored[k]) and bool(away[k] < 0.5 * FWHM))
        offset.append(away[k])
        ratio.append(result["flux_0"][k] / flux)
    return Search(np.array(found), np.array(offset), np.array(ratio))
