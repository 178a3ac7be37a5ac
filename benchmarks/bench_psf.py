"""Time of one evaluation of the collapsed density, each kind of PSF over the circular Gaussian.

    python benchmarks/bench_psf.py [--repeat N]

Groups of one and two stars in boxes of 11 x 11 pixels, a free flat sky, positions free; kinds whose
shapes are free are summed over the pixel at each evaluation, the others are tables.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time

import numpy as np

import bayesphot as bp
from bayesphot.kernels.many import fill_log_densities
from bayesphot.kernels.structs import N_SHAPE_PRIOR, RADIUS, SHAPE_MEAN, SHAPE_PRECISION
from bayesphot.patch import Pixels, SourceState, cut_batch
from bayesphot.psf import PSFConfig, describe_psf
from bayesphot.render import render_sources
from bayesphot.settings import ModelSettings
from bayesphot.target import Target

SIDE = 40


def list_psfs() -> dict[str, PSFConfig]:
    """Return the kinds, the circular Gaussian first."""
    offset = np.arange(-40, 41) / 4
    bell = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 1.4**2) / (2 * np.pi * 1.4**2)
    places = [(x, y) for y in (0, 50, 100) for x in (0, 50, 100)]
    grid = bp.GriddedPSF([bell * (1 + 0.01 * k) for k in range(9)], places, oversampling=4)
    tilts = np.array([bell, *[0.01 * bell] * 5])
    models = {
        "circular Gaussian": bp.IntegratedGaussianPRF(sigma=1.4),
        "image, 4 times oversampled": bp.ImagePSF(bell, oversampling=4),
        "image, native": bp.ImagePSF(bell[::4, ::4]),
        "grid of 3 x 3": grid,
        "quadratic polynomial": bp.PolynomialPSF(
            tilts, middle=(50, 50), scale=(50, 50), oversampling=4
        ),
        "Moffat, fixed": bp.MoffatPRF(alpha=2.2, beta=3.0),
        "Airy, fixed": bp.AiryDiskPRF(radius=3.5),
        "image, width free": bp.ImagePSF(bell, oversampling=4),
        "elliptical Gaussian, free": bp.GaussianPRF(x_fwhm=3.4, y_fwhm=3.1, theta=20.0),
        "Moffat, free": bp.MoffatPRF(alpha=2.2, beta=3.0),
        "Airy, free": bp.AiryDiskPRF(radius=3.5),
    }
    for name, model in models.items():
        for shape in model.param_names[3:]:
            model.fixed[shape] = "free" not in name
    return {name: describe_psf(model).tabulated for name, model in models.items()}


def make_target(psf: PSFConfig, n: int) -> Target:
    """Return a group of n stars in a row."""
    value = np.zeros((n, psf.n_column))
    value[:, 0] = 20.3 + 3.0 * np.arange(n)
    value[:, 1], value[:, 2], value[:, 3:] = 20.2, 500.0, psf.columns_start
    n_pair = psf.n_shape * (psf.n_shape - 1) // 2
    prior = np.zeros((n, SHAPE_MEAN + N_SHAPE_PRIOR * psf.n_shape + n_pair))
    prior[:, :2], prior[:, RADIUS] = value[:, :2], 1.5
    for j in psf.free_shapes:
        prior[:, SHAPE_MEAN + N_SHAPE_PRIOR * j] = psf.columns_start[j]
        prior[:, SHAPE_PRECISION + N_SHAPE_PRIOR * j] = 25.0
    blank = np.zeros((SIDE, SIDE))
    image = np.random.default_rng(1).normal(0.0, 1.0, blank.shape)
    pixels = Pixels(image, np.ones_like(blank), blank, 1.0)
    shape = "group" if psf.free_shapes else "fixed"
    settings = ModelSettings(psf, fit_shape=(11, 11), background="flat", shape=shape)
    data = cut_batch(
        pixels,
        render_sources(blank.shape, value, psf),
        SourceState(value, prior),
        np.arange(n),
        np.array([0, n]),
        settings,
        sampling=True,
    )
    return Target(data, 0, settings.layout(n, sampling=True))


def time_density(target: Target, repeat: int) -> float:
    """Return the least CPU time of an evaluation, in nanoseconds."""
    start = target.start()
    thetas = start + np.random.default_rng(2).normal(0.0, 0.05, (2000, start.size))
    out = np.empty(len(thetas))
    batch = target.data.batch
    fill_log_densities(batch, 0, thetas, out)
    best = np.inf
    for _ in range(repeat):
        begin = time.process_time()
        fill_log_densities(batch, 0, thetas, out)
        best = min(best, time.process_time() - begin)
    return best / len(thetas) * 1e9


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args(arguments).repeat
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("| PSF | one star, ns | over Gaussian | two stars, ns | over Gaussian |")
    print("|---|---|---|---|---|")
    base: dict[int, float] = {}
    for name, psf in list_psfs().items():
        cells = []
        for n in (1, 2):
            spent = time_density(make_target(psf, n), repeat)
            base.setdefault(n, spent)
            cells += [f"{spent:.0f}", f"{spent / base[n]:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
