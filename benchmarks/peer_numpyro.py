"""numpyro's NUTS on the pixels of one group: the same likelihood and sky prior, in JAX."""

from __future__ import annotations

import time

import numpy as np

#: Steps of adaptation, not counted, and of sampling.
WARMUP, STEPS = 500, 2000


def measure_nuts(data, sigma: float) -> tuple[float, float, float]:
    """Return effective draws of the worst parameter, and what they cost in CPU seconds, twice.

    First what the call of a user costs: compiling for this group, adaptation and sampling. Then
    the sampling alone, compiled before and adapted before. The metric is dense and adapted; the
    joint density of x, y, flux and sky is in units of about its errors.

    Parameters
    ----------
    data : GroupData
        A batch of one group with normal noise, a fixed PSF and one sky.
    sigma : float
        Width of the PSF, pixels.
    """
    import jax
    import numpyro
    from jax import numpy as jnp
    from jax.scipy.special import erf

    from bayesphot.kernels.structs import FLUX

    jax.config.update("jax_enable_x64", True)
    batch = data.batch
    n_row, n_col, first_row, first_col = (int(v) for v in batch.rows[0])
    shape = (n_row, n_col)
    pixels = jnp.asarray((batch.data - batch.neighbours).reshape(shape))
    weight = jnp.asarray(batch.weight.reshape(shape))
    sky_mean, sky_precision = (float(v) for v in batch.shared_prior[0, 0, :2])
    n = batch.state.shape[0]
    flux_0 = jnp.asarray(batch.state[:, FLUX])
    place_0 = jnp.asarray(batch.state[:, :2])
    unit = 2.0 * np.sqrt(np.pi) * sigma / np.sqrt(float(batch.weight.max()))
    step = jnp.sqrt(2.0) * sigma * unit / flux_0

    def profile(pixel, center):
        """Return the shares of unit sources, (n, pixels), along one axis."""
        edge = (pixel[None, :] - center[:, None]) / (np.sqrt(2.0) * sigma)
        half = 0.5 / (np.sqrt(2.0) * sigma)
        return 0.5 * (erf(edge + half) - erf(edge - half))

    def potential(z):
        """Return minus the log density."""
        place = place_0 + z["place"] * step[:, None]
        flux = flux_0 + z["flux"] * unit
        across = profile(first_col + jnp.arange(n_col), place[:, 0])
        down = profile(first_row + jnp.arange(n_row), place[:, 1])
        residual = pixels - z["sky"] - jnp.einsum("ky,kx,k->yx", down, across, flux)
        prior = 0.5 * sky_precision * (z["sky"] - sky_mean) ** 2
        return 0.5 * jnp.sum(weight * residual**2) + prior

    start = {"place": jnp.zeros((n, 2)), "flux": jnp.zeros(n), "sky": jnp.asarray(sky_mean)}
    begin = time.process_time()
    kernel = numpyro.infer.NUTS(potential_fn=potential, dense_mass=True)
    mcmc = numpyro.infer.MCMC(
        kernel, num_warmup=WARMUP, num_samples=STEPS, num_chains=1, progress_bar=False
    )
    mcmc.run(jax.random.PRNGKey(0), init_params=start)
    samples = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
    whole = time.process_time() - begin
    effective = min(
        float(np.min(numpyro.diagnostics.effective_sample_size(np.asarray(value))))
        for value in samples.values()
    )

    @jax.jit
    def walk(state):
        """Return the samples of a chain."""
        return jax.lax.scan(
            lambda s, _: (kernel.sample(s, (), {}), s.z), state, None, length=STEPS
        )[1]

    jax.block_until_ready(walk(mcmc.last_state))
    begin = time.process_time()
    jax.block_until_ready(walk(mcmc.last_state))
    return effective, whole, time.process_time() - begin
