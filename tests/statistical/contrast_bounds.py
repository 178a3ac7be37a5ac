"""How well a companion's flux can be known at best: the Fisher matrix of the pixels, in numpy."""

from __future__ import annotations

import numpy as np
from companions import FWHM, MODEL, SIDE, SIGMA, SKY, find_flux, simulate

import bayesphot as bp

#: Separations, FWHM.
SEPARATIONS = (0.5, 0.75, 1.0, 1.5, 3.0)
#: Down to companions that nobody could see.
FAINT = bp.CompanionPrior(flux_ratio=bp.LogUniform(1e-6, 1.0))
#: Half step of the derivatives by places, pixels.
STEP = 1e-3
_ROW, _COLUMN = np.mgrid[:SIDE, :SIDE].astype(float)


def render(x: float, y: float) -> np.ndarray:
    """Return a star of unit flux, flat."""
    return MODEL.evaluate(_COLUMN, _ROW, 1.0, x, y, SIGMA).ravel()


def list_columns(x: float, y: float, flux: float) -> list[np.ndarray]:
    """Return the derivatives of a star by its flux, x and y."""
    by_x = (render(x + STEP, y) - render(x - STEP, y)) / (2.0 * STEP)
    by_y = (render(x, y + STEP) - render(x, y - STEP)) / (2.0 * STEP)
    return [render(x, y), flux * by_x, flux * by_y]


def find_bound(target, flux: float, move, ratio: float, *, place_free: bool) -> float:
    """Return the least standard error of a companion's flux; target and a flat sky are free.

    Photon noise of both stars and the sky; 0 as ratio is a companion too faint to add any.
    """
    place = np.add(target, move)
    variance = SKY + flux * (render(*target) + ratio * render(*place))
    columns = [np.ones(SIDE**2), *list_columns(*target, flux)]
    # A companion's place is as free whatever its flux: its columns span the same.
    columns += list_columns(*place, max(ratio, 1e-6) * flux)[: 3 if place_free else 1]
    design = np.array(columns)
    scale = np.sqrt(np.sum(design**2 / variance, axis=1))
    fisher = (design / variance) @ design.T / scale / scale[:, None]
    return float(np.sqrt(np.linalg.inv(fisher)[4, 4]) / scale[4])


def find_contrast(error: float, flux: float) -> float:
    """Return the magnitudes under its target of a companion of five errors."""
    return float(-2.5 * np.log10(5.0 * error / flux))


def compare_map(snr: float, seed: int) -> dict[float, tuple[float, float]]:
    """Return the contrast limits of a map, and the bounds, at each separation."""
    rng = np.random.default_rng(seed)
    flux, target = find_flux(snr), 0.5 * (SIDE - 1) + rng.uniform(-0.5, 0.5, 2)
    image, error = simulate(target, flux, (0.0, 0.0), 0.0, rng)
    found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, radius=3.2 * FWHM)
    curve = found.contrast_curve()
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    compared = {}
    for apart in SEPARATIONS:
        limit = np.interp(apart * FWHM, np.asarray(curve["separation"]), curve["delta_mag"])
        moves = apart * FWHM * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        bounds = [find_bound(target, flux, move, 0.0, place_free=False) for move in moves]
        compared[apart] = float(limit), find_contrast(float(np.median(bounds)), flux)
    return compared


def compare_pairs(snr: float, apart: float, n: int, seed: int) -> tuple[float, float]:
    """Return the mean contrast limit of recovered pairs of ten errors, and of their bounds."""
    rng = np.random.default_rng(seed)
    limits, bounds = [], []
    for k in range(n):
        flux, target = find_flux(snr), 0.5 * (SIDE - 1) + rng.uniform(-0.5, 0.5, 2)
        angle = rng.uniform(0.0, 2.0 * np.pi)
        move = apart * FWHM * np.array([np.cos(angle), np.sin(angle)])
        ratio = 0.0
        # Its own photons count: ten errors are found in a few steps.
        for _step in range(20):
            ratio = 10.0 * find_bound(target, flux, move, ratio, place_free=True) / flux
        image, error = simulate(target, flux, move, ratio, rng)
        found = bp.companion_map(image, MODEL, (20.0, 20.0), error=error, prior=FAINT)
        table = found.confirm(seed=k).result.table
        limits.append(find_contrast(float(table["flux_err"][-1]), flux))
        bound = find_bound(target, flux, move, ratio, place_free=True)
        bounds.append(find_contrast(bound, flux))
    return float(np.mean(limits)), float(np.mean(bounds))
