"""Fields for counting phantoms: stars on a flat or a tilted sky, one of them saturated.

Counts with photon noise, rendered with scipy's erf. A source of the result is spurious when no
star of the truth, each of which answers for one source, lies within a FWHM of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from many_groups import FWHM_PER_SIGMA, render_stars

import bayesphot as bp

SIDE, SIGMA, SKY, READ_NOISE = 100, 1.5, 100.0, 5.0
FWHM = FWHM_PER_SIGMA * SIGMA
N_STAR = 12
#: Full well in counts over the sky; the saturated star would reach three to thirty times as high.
FULL_WELL = 20_000.0
#: Sky at the bright end less that at the dark end, in counts: several times the noise of a pixel.
TILT = 60.0
#: Of a pixel of sky, and of a lone star of known place on it.
PIXEL_NOISE = math.sqrt(SKY + READ_NOISE**2)
FLUX_ERROR = 2.0 * math.sqrt(math.pi) * SIGMA * PIXEL_NOISE


@dataclass(frozen=True, eq=False)
class Field:
    """An image and its stars (n, 3): x, y, flux."""

    image: np.ndarray
    stars: np.ndarray


def place_apart(rng, fixed: np.ndarray, n: int, separation: float, side: int = SIDE) -> np.ndarray:
    """Return n places (n, 2) inside an image, a separation from each other and the fixed ones."""
    places = [*fixed]
    while len(places) < n + len(fixed):
        new = rng.uniform(2.0, side - 3.0, 2)
        if all(np.hypot(*(new - old)) > separation for old in places):
            places.append(new)
    return np.array(places[len(fixed) :]).reshape(-1, 2)


def make_field(rng, *, tilted: bool, saturated: bool, n_star: int = N_STAR) -> Field:
    """Return a field with stars of signal to noise 5 to 500."""
    bright = rng.uniform(0.2 * SIDE, 0.8 * SIDE, (int(saturated), 2))
    places = place_apart(rng, bright, n_star, 1.5 * FWHM)
    flux = FLUX_ERROR * 5.0 * 100.0 ** rng.random(n_star)
    peak = FULL_WELL * 3.0 * 10.0 ** rng.random(len(bright))
    stars = np.column_stack([places, flux])
    stars = np.vstack([np.column_stack([bright, peak * 2.0 * np.pi * SIGMA**2]), stars])
    expected = render_stars((SIDE, SIDE), *stars.T, SIGMA) + make_sky(rng, tilted)
    counts = rng.poisson(expected) + rng.normal(0.0, READ_NOISE, expected.shape)
    return Field(np.minimum(counts, FULL_WELL + SKY) if saturated else counts, stars)


def make_sky(rng, tilted: bool) -> np.ndarray:
    """Return a flat sky, or one that rises in a random direction."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    along = np.linspace(-0.5, 0.5, SIDE)
    slope = TILT * (math.cos(angle) * along + math.sin(angle) * along[:, None])
    return np.full((SIDE, SIDE), SKY) + (slope if tilted else 0.0)


def configure(**options) -> bp.IterativelySubtractedPSFPhotometry:
    """Return photometry that lets the finder go deep, so that the evidence decides."""
    settings = {
        "psf_model": bp.IntegratedGaussianPRF(sigma=SIGMA),
        "fitshape": 11,
        "finder": bp.DAOStarFinder(
            nsigma=4.0, fwhm=FWHM, sigma_radius=2.5, roundlo=-9, roundhi=9, sharplo=-9, sharphi=9
        ),
        "group_maker": bp.DAOGroup(1.5 * FWHM),
        "bkg_estimator": bp.MMMBackground(),
        "noise": bp.CCDNoise(gain=1.0, read_noise=READ_NOISE),
        "niters": None,
        "sampler": False,
    }
    return bp.IterativelySubtractedPSFPhotometry(**(settings | options))


def count_spurious(result, stars: np.ndarray) -> int:
    """Return the number of sources beyond those that stars answer for."""
    return len(result) - len(match_stars(result, stars))


def match_stars(result, stars: np.ndarray, reach: float = FWHM) -> dict[int, int]:
    """Return the row of each star that was found: the nearest pairs first, each once."""
    if len(result) == 0:
        return {}
    x, y = (np.asarray(result[name], dtype=float) for name in ("x_fit", "y_fit"))
    distance = np.hypot(stars[:, :1] - x, stars[:, 1:2] - y)
    found: dict[int, int] = {}
    for place in np.argsort(distance, axis=None, kind="stable"):
        star, row = np.unravel_index(place, distance.shape)
        if distance[star, row] > reach:
            break
        if int(star) not in found and int(row) not in found.values():
            found[int(star)] = int(row)
    return found


def count_phantom_fields(n: int, seed: int, *, tilted: bool, saturated: bool, **options):
    """Return in how many of n fields there is a spurious source, and the share of stars found."""
    rng = np.random.default_rng(seed)
    phot = configure(**options)
    spurious, found, total = 0, 0, 0
    for _ in range(n):
        field = make_field(rng, tilted=tilted, saturated=saturated)
        result = phot(field.image)
        spurious += count_spurious(result, field.stars) > 0
        found += len(match_stars(result, field.stars))
        total += len(field.stars)
    return spurious, found / total


def measure_completeness(
    snr: float, n: int, seed: int, *, separation: float | None = None, **options
) -> float:
    """Return the share of n stars of one signal to noise that are found, on a flat sky.

    Signal to noise is that of a lone star of known place. Stars stand alone, or ``separation``
    FWHM from one ten times as bright, in cells of 25 pixels of images of 400 x 400.
    """
    rng = np.random.default_rng(seed)
    phot = configure(noise=None, **options)
    found, done = 0, 0
    while done < n:
        cell = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 2)
        place = 25.0 * cell + 12.0 + rng.uniform(-0.5, 0.5, cell.shape)
        flux = np.full(len(place), snr * FLUX_ERROR)
        stars = np.column_stack([place, flux])
        if separation is not None:
            angle = rng.uniform(0.0, 2.0 * np.pi, len(place))
            offset = separation * FWHM * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            stars = np.vstack([stars, np.column_stack([place + offset, 10.0 * flux])])
        image = SKY + render_stars((400, 400), *stars.T, SIGMA)
        image += rng.normal(0.0, PIXEL_NOISE, image.shape)
        result = phot(image, error=np.full(image.shape, PIXEL_NOISE))
        matched = match_stars(result, stars, 0.6 * FWHM)
        found += sum(star < len(place) for star in matched)
        done += len(place)
    return found / done
