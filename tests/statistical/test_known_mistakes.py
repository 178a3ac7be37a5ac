"""Mistakes that scripts for close pairs are known for, none of which is made here.

A chain that leaves out rejected moves, a total flux or a sky held where it started, noise that does
not know the gain, priors that are part of the compiled code.
"""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest
from astropy.table import Table
from bands import mean_band, per_test, sd_band
from many_groups import FWHM_PER_SIGMA, render_stars

import bayesphot as bp
import bayesphot.kernels

SIGMA, SKY, NOISE = 1.5, 30.0, 3.0
FWHM = FWHM_PER_SIGMA * SIGMA
PSF = bp.IntegratedGaussianPRF(sigma=SIGMA)
#: Groups to a side of the field, and their distance.
SIDE, PITCH = 14, 30
#: Numbers that the pulls below are compared by.
RATE = per_test(12)


def draw_faint_star():
    """Return an image of a star that is hardly seen, without a sky, and its start."""
    rng = np.random.default_rng(5)
    image = render_stars((21, 21), np.array([10.4]), np.array([9.8]), np.array([60.0]), SIGMA)
    return image + rng.normal(0.0, NOISE, image.shape), (10.0, 10.0)


def integrate_disc(image, start, box: int = 13):
    """Return mean and sd of x over the disc of one FWHM, the flux of a flat prior integrated."""
    half = box // 2
    here = np.s_[int(start[1]) - half : int(start[1]) + half + 1,
                 int(start[0]) - half : int(start[0]) + half + 1]  # fmt: skip
    step = np.linspace(-FWHM, FWHM, 161)
    places = [(a, b) for a in step for b in step if np.hypot(a, b) < FWHM]
    log_p = []
    for a, b in places:
        place = np.array([start[0] + a]), np.array([start[1] + b])
        unit = render_stars(image.shape, *place, np.ones(1), SIGMA)[here]
        precision = np.sum(unit**2) / NOISE**2
        best = np.sum(unit * image[here]) / NOISE**2 / precision
        log_p.append(0.5 * best**2 * precision - 0.5 * np.log(precision))
    weight = np.exp(np.array(log_p) - np.max(log_p))
    x = start[0] + np.array(places)[:, 0]
    mean = np.average(x, weights=weight)
    return mean, np.sqrt(np.average((x - mean) ** 2, weights=weight))


def test_rejected_moves_are_counted() -> None:
    image, start = draw_faint_star()
    phot = bp.BasicPSFPhotometry(
        psf_model=PSF, fitshape=13, sampler=bp.Sampler(draws=4000, engine="independence"), seed=1
    )
    result = phot(image, error=NOISE, positions=Table([[start[0]], [start[1]]], names=("x", "y")))
    x = result.posterior["x"].values[..., 0]
    stays = np.diff(x, axis=1) == 0.0
    # Some moves are refused, and the states they leave are drawn again.
    assert 0.01 < stays.mean() < 0.9
    mean, sd = integrate_disc(image, start)
    ess = float(result["ess_bulk"][0])
    limit = 4.4 / np.sqrt(ess)
    assert abs(x.mean() - mean) < limit * sd
    # The variance of x^2 of a distribution that is flatter than a normal.
    assert abs(np.log(x.std() / sd)) < limit
    # Without the states that were drawn again the chain has another width.
    moved = np.concatenate([each[1:][~same] for each, same in zip(x, stays, strict=True)])
    assert abs(np.log(moved.std() / sd)) > abs(np.log(x.std() / sd))


def draw_pairs(gain: float, seed: int):
    """Return an image of pairs at 0.8 FWHM with photon noise, DN, and their truth (G, 2)."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(SIDE**2), SIDE)
    middle = np.stack([column, row], axis=1) * PITCH + PITCH / 2
    middle = middle + rng.uniform(-0.5, 0.5, middle.shape)
    angle = rng.uniform(0.0, 2.0 * np.pi, SIDE**2)
    half = 0.4 * FWHM * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    place = np.stack([middle - half, middle + half], axis=1)
    flux = np.tile([20_000.0, 10_000.0], (SIDE**2, 1)) / gain
    shape = (SIDE * PITCH, SIDE * PITCH)
    light = render_stars(shape, place[..., 0].ravel(), place[..., 1].ravel(), flux.ravel(), SIGMA)
    electrons = rng.poisson((light + SKY / gain) * gain) + rng.normal(0.0, NOISE, shape)
    return electrons / gain, place, flux


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_total_flux_and_sky_are_sampled_and_the_noise_knows_the_gain(gain) -> None:
    image, place, flux = draw_pairs(gain, 17)
    phot = bp.BasicPSFPhotometry(
        psf_model=PSF,
        fitshape=15,
        group_maker=bp.DAOGroup(1.5 * FWHM),
        bkg_estimator=SKY / gain,
        fit_background="flat",
        noise=bp.CCDNoise(gain=gain, read_noise=NOISE),
        seed=2,
    )
    columns = {"x_0": place[..., 0].ravel(), "y_0": place[..., 1].ravel(), "flux_0": flux.ravel()}
    result = phot(image, positions=Table(columns))
    draws = result.posterior["flux"].values.reshape(-1, SIDE**2, 2)
    total, sky = draws.sum(axis=2), result.posterior["background"].values.reshape(-1, SIDE**2)
    # Photons of pairs and sky: a fixed total or sky would have no scatter, or much less.
    least = np.sqrt(flux.sum(axis=1)[0] / gain)
    assert (total.std(axis=0) > least).all()
    for values, truth in ((total, flux.sum(axis=1)), (sky, SKY / gain)):
        pull = (values.mean(axis=0) - truth) / values.std(axis=0)
        low, high = sd_band(SIDE**2, RATE)
        assert abs(pull.mean()) < mean_band(SIDE**2, 1.0, RATE)
        assert low < np.sqrt(np.mean(pull**2)) < high
    # The pair's members are known worse than their sum, as one takes from the other.
    assert (draws.std(axis=0).min(axis=1) > total.std(axis=0)).mean() > 0.99


def count_signatures() -> dict[str, int]:
    """Return the compiled signatures of every kernel."""
    counts = {}
    for module in pkgutil.iter_modules(bayesphot.kernels.__path__):
        found = importlib.import_module(f"bayesphot.kernels.{module.name}")
        for name, kernel in vars(found).items():
            if hasattr(kernel, "signatures"):
                counts[f"{module.name}.{name}"] = len(kernel.signatures)
    return counts


def test_other_priors_compile_nothing() -> None:
    image, start = draw_faint_star()
    table = Table([[start[0]], [start[1]]], names=("x_0", "y_0"))
    counts = []
    for priors in (
        None,
        {"flux": bp.Normal(50.0, 30.0), "position": bp.Disc(1.0)},
        {"flux": bp.LogUniform(1.0, 500.0), "x": bp.Normal(0.0, 0.3)},
        {"flux": bp.PowerLaw(-2.0, 5.0, 1e4), "y": bp.Uniform(-1.0, 1.0)},
        {"flux": bp.LogNormal(60.0, 0.5), "background": bp.Normal(0.0, 1.0)},
        bp.ScenePrior(1e-3, bp.HalfNormal(100.0)),
    ):
        phot = bp.BasicPSFPhotometry(psf_model=PSF, fitshape=13, priors=priors, seed=1)
        phot(image, error=NOISE, positions=table)
        counts.append(count_signatures())
    assert all(each == counts[0] for each in counts)
