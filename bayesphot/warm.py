"""Compiling ahead of time."""

from __future__ import annotations

import time

__all__ = ["warmup"]


def warmup() -> float:
    """Compile every kernel and leave the machine code on disk for later processes.

    Returns
    -------
    float
        Seconds it took.

    Examples
    --------
    >>> import bayesphot as bp
    >>> seconds = bp.warmup()
    """
    from bayesphot.companions import companion_map
    from bayesphot.config import BasicPSFPhotometry, EmceeSampler, Sampler
    from bayesphot.datasets import simulate_scene
    from bayesphot.psf import IntegratedGaussianPRF, MoffatPRF, describe_psf

    start = time.perf_counter()
    scene = simulate_scene((25, 25), n_sources=2, sigma=1.5, noise=1.0, seed=1)
    model = IntegratedGaussianPRF(sigma=1.5)
    model.sigma.fixed = False
    for sampler in (
        Sampler(draws=100),
        Sampler(draws=100, engine="tempered"),
        EmceeSampler(draws=100, steps=100, max_steps=100),
    ):
        BasicPSFPhotometry(
            psf_model=model, fitshape=(9, 9), shape="image", seed=1, sampler=sampler
        )(scene.image, error=scene.error, positions=scene.truth)
    _evaluate_target(scene, model)
    describe_psf(MoffatPRF())
    model.sigma.fixed = True
    companion_map(scene.image, model, (12.0, 12.0), error=scene.error, step=2.0)
    return time.perf_counter() - start


def _evaluate_target(scene, model) -> None:
    """Evaluate the collapsed density of one group, and one more source in it."""
    import numpy as np

    from bayesphot.kernels.structs import N_SHAPE_PRIOR, SHAPE_MEAN
    from bayesphot.one_more import weigh_one_more
    from bayesphot.patch import Pixels, SourceState, cut_batch
    from bayesphot.priors import Normal
    from bayesphot.psf import describe_psf
    from bayesphot.settings import ModelSettings
    from bayesphot.target import Target

    sigma = float(model.sigma.value)
    settings = ModelSettings(describe_psf(model))
    blank = np.zeros(scene.image.shape)
    pixels = Pixels(scene.image, np.ones(blank.shape), blank, 1.0)
    value = np.array([[12.0, 12.0, 100.0, np.log(sigma)]])
    prior = np.zeros((1, SHAPE_MEAN + N_SHAPE_PRIOR))
    prior[0, :3] = 12.0, 12.0, 3.0
    data = cut_batch(
        pixels,
        blank,
        SourceState(value, prior),
        np.array([0]),
        np.array([0, 1]),
        settings,
        sampling=True,
    )
    target = Target(data, 0, settings.layout(1, sampling=True))
    target.log_density(target.start())
    weigh_one_more(target, value, np.zeros(1), 14.0, 12.0, Normal(0.0, 1.0))
