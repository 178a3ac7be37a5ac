"""Scenes of isolated stars with cores of several kinds, and what `build_psf` makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.polynomial.legendre import leggauss
from scipy.special import j1

import bayesphot as bp

SKY, GAIN, SIDE, N_STAR = 50.0, 2.0, 400, 81
NODE, WEIGHT = leggauss(8)
KINDS = ("Gaussian", "Moffat", "double", "halo", "Airy")


def evaluate_core(kind: str, r2, fwhm: float) -> np.ndarray:
    """Return a round PSF of unit flux at squared distances, not integrated over pixels.

    ``double``: a Gaussian and a fifth of the light in one 2.4 times as wide; ``halo``: a Gaussian
    and half of the light in a Moffat function of the same FWHM.
    """
    variance = (fwhm / 2.3548) ** 2
    if kind == "Gaussian":
        return np.exp(-0.5 * r2 / variance) / (2 * np.pi * variance)
    if kind == "Moffat":
        alpha2 = (0.5 * fwhm) ** 2 / (2 ** (1 / 3) - 1)
        return 2.0 / (np.pi * alpha2) * (1.0 + r2 / alpha2) ** -3
    if kind == "double":
        core = evaluate_core("Gaussian", r2, fwhm * 0.93**0.5)
        return 0.8 * core + 0.2 * evaluate_core("Gaussian", r2, fwhm * (0.93 * 6.0) ** 0.5)
    if kind == "halo":
        alpha2 = (0.5 * fwhm) ** 2 / (2**0.5 - 1)
        wings = 1.0 / (np.pi * alpha2) * (1.0 + r2 / alpha2) ** -2
        return 0.5 * evaluate_core("Gaussian", r2, fwhm) + 0.5 * wings
    scale = fwhm / 1.029
    z = np.pi * np.sqrt(r2) / scale + 1e-9
    return 0.25 * np.pi * (2.0 * j1(z) / z) ** 2 / scale**2


def integrate(kind: str, dx, dy, fwhm: float = 1.3) -> np.ndarray:
    """Return a PSF, its mean over pixels."""
    total = np.zeros(np.broadcast(dx, dy).shape)
    for u, a in zip(0.5 * NODE, 0.5 * WEIGHT, strict=True):
        for v, b in zip(0.5 * NODE, 0.5 * WEIGHT, strict=True):
            total += a * b * evaluate_core(kind, (dx + u) ** 2 + (dy + v) ** 2, fwhm)
    return total


def simulate(kind: str, fwhm: float = 1.3, faintest: float = 4.0):
    """Return image, its error and its stars, of a decade of fluxes at all phases of the pixel."""
    rng = np.random.default_rng(1)
    row, column = np.divmod(np.arange(N_STAR), 9)
    x = (column + rng.uniform(0.25, 0.75, N_STAR)) * SIDE / 9
    y = (row + rng.uniform(0.25, 0.75, N_STAR)) * SIDE / 9
    flux = 10 ** rng.uniform(faintest, faintest + 1.0, N_STAR)
    image = np.full((SIDE, SIDE), SKY)
    for a, b, f in zip(x, y, flux, strict=True):
        i, j = np.arange(SIDE), np.arange(SIDE)
        i, j = i[np.abs(i - a) < 16], j[np.abs(j - b) < 16]
        image[np.ix_(j, i)] += f * integrate(kind, i - a, (j - b)[:, None], fwhm)
    error = np.sqrt(image / GAIN + 9.0)
    stars = Table({"x_0": x, "y_0": y, "flux_0": flux})
    return image + rng.normal(0.0, error), error, stars


@dataclass(frozen=True)
class Measured:
    """What became of a scene.

    ``off``: largest error of the PSF over its peak, as far as no flux makes up for it; ``quoted``:
    its quoted error at the peak; ``phase`` (x, y): amplitude with which places follow the phase of
    the pixel, and its error ``phase_error``; ``scatter`` of the places about it; ``flux_ratio`` to
    the truth, each star's.
    """

    off: float
    quoted: float
    phase: np.ndarray
    phase_error: np.ndarray
    scatter: np.ndarray
    flux_ratio: np.ndarray
    reduced_chi2: float


def find_truth(kind: str, fwhm: float, build: bp.PSFBuild) -> np.ndarray:
    """Return the true PSF at the nodes of one that was built."""
    n = build.image.shape[0]
    offset = (np.arange(n) - n // 2) / build.oversampling
    return integrate(kind, offset, offset[:, None], fwhm)


def measure_build(kind: str, fwhm: float, build: bp.PSFBuild, scene) -> Measured:
    """Return how far a PSF is from the truth, and what it does to the stars of its scene."""
    image, error, stars = scene
    truth = find_truth(kind, fwhm, build)
    # Of an Airy disk much lies beyond the stamp, in which the PSF's total is 1.
    scale = (build.image * truth).sum() / (truth**2).sum()
    off = float(np.abs(build.image / scale - truth).max() / truth.max())
    phot = bp.BasicPSFPhotometry(
        psf_model=build.psf, fitshape=7, bkg_estimator=bp.MMMBackground(), sampler=False
    )
    table = phot(image, error=error, positions=stars).table
    phase, phase_error, scatter = np.empty(2), np.empty(2), np.empty(2)
    for j, axis in enumerate("xy"):
        true = np.asarray(stars[f"{axis}_0"])
        turn = 2 * np.pi * true
        design = np.column_stack([np.ones(N_STAR), np.sin(turn), np.cos(turn)])
        away = np.asarray(table[f"{axis}_fit"]) - true
        found = np.linalg.lstsq(design, away, rcond=None)[0]
        scatter[j] = np.std(away - design @ found, ddof=3)
        phase[j] = np.hypot(found[1], found[2])
        phase_error[j] = scatter[j] * np.sqrt(2.0 / N_STAR)
    peak = np.unravel_index(np.argmax(build.image), build.image.shape)
    return Measured(
        off=off,
        quoted=float(build.error[peak] / build.image[peak]),
        phase=phase,
        phase_error=phase_error,
        scatter=scatter,
        flux_ratio=np.asarray(table["flux_fit"]) / np.asarray(stars["flux_0"]),
        reduced_chi2=float(np.median(np.asarray(table["reduced_chi2"]))),
    )
