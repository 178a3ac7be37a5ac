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
    from bayesphot.config import BasicPSFPhotometry, EmceeSampler, Sampler
    from bayesphot.datasets import simulate_scene
    from bayesphot.psf import IntegratedGaussianPRF

    start = time.perf_counter()
    scene = simulate_scene((25, 25), n_sources=2, sigma=1.5, noise=1.0, seed=1)
    model = IntegratedGaussianPRF(sigma=1.5)
    model.sigma.fixed = False
    for sampler in (Sampler(draws=100), EmceeSampler(draws=100, steps=100, max_steps=100)):
        BasicPSFPhotometry(
            psf_model=model, fitshape=(9, 9), shape="image", seed=1, sampler=sampler
        )(scene.image, error=scene.error, positions=scene.truth)
    return time.perf_counter() - start
