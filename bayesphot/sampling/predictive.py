"""Posterior-predictive p-values: would data drawn from the fitted model look like the data?"""

from __future__ import annotations

import numpy as np

from bayesphot.kernels.discrepancy import EXPECTED, OBSERVED, SPREAD, fill_discrepancies
from bayesphot.kernels.structs import CONTAMINATED_NOISE, STUDENT_NOISE
from bayesphot.noise import PixelNoise
from bayesphot.patch import GroupData
from bayesphot.sampling.budget import BatchDraws

__all__ = ["find_moments", "predict_p_values"]

#: Draws that are looked at. The p-value moves little from draw to draw: 50 give it to 0.01.
LOOKED = 50


def predict_p_values(data: GroupData, draws: BatchDraws, noise: PixelNoise) -> np.ndarray:
    """Return the posterior-predictive p-value of each group (Gelman, Meng & Stern 1996).

    The mean over draws of P(D(replicated) >= D(data)), with the discrepancy D at the draw itself:
    chi-squared about its model for normal noise, photon noise and counts, -2 log likelihood for
    noise with outliers. For a normal of known variance, and a CCD, D of replicated data is
    exactly a chi-squared variate; for the others it is taken as a scaled one of the right mean
    and variance (Satterthwaite 1946). Pixels scatter by their own noise, without the factor for
    its correlation and with the sampled one.

    Parameters
    ----------
    data : GroupData
        The batch.
    draws : BatchDraws
        All its draws, the shared columns less the reference.
    noise : PixelNoise
        The run's noise.

    Returns
    -------
    (G,) array
        NaN where a group was not sampled.
    """
    from scipy.special import gammaincc

    total = draws.source.shape[-1]
    pick = np.unique(np.linspace(0, total - 1, LOOKED).round().astype(np.int64))
    out = np.full((3, draws.stats.shape[0], pick.size), np.nan)
    moments = np.array(find_moments(noise.kind, noise.numbers))
    fill_discrepancies(
        data.batch,
        draws.source,
        draws.shape,
        draws.shared,
        pick,
        moments,
        float(noise.correlation),
        out,
    )
    observed, mean, variance = out[OBSERVED], out[EXPECTED], out[SPREAD]
    with np.errstate(invalid="ignore", divide="ignore"):
        p = gammaincc(mean**2 / variance, observed * mean / variance)
    return p.mean(axis=1)


def find_moments(kind: int, numbers: np.ndarray) -> tuple[float, float]:
    """Return mean and variance of -2 log likelihood of a pixel, the kernels' constants left out.

    Of Student t noise of n degrees of freedom it is (n + 1) log(1 + z^2 / n), where
    n / (n + z^2) is a Beta(n/2, 1/2) variate. Zeros for kinds that need none.
    """
    if kind == STUDENT_NOISE:
        from scipy.special import digamma, polygamma

        half = 0.5 * numbers[0]
        mean = (numbers[0] + 1.0) * (digamma(half + 0.5) - digamma(half))
        variance = (numbers[0] + 1.0) ** 2 * (polygamma(1, half) - polygamma(1, half + 0.5))
        return float(mean), float(variance)
    if kind == CONTAMINATED_NOISE:
        return _integrate_contaminated(float(numbers[0]), float(numbers[1]))
    return 0.0, 0.0


def _integrate_contaminated(fraction: float, width: float) -> tuple[float, float]:
    """Return the moments for a normal of which a share is wider, by sums over its two parts."""
    # The trapezium rule converges beyond all orders for a normal.
    u = np.linspace(-10.0, 10.0, 4001)
    normal = np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi) * (u[1] - u[0])
    first = second = 0.0
    for share, scale in ((1.0 - fraction, 1.0), (fraction, width)):
        z2 = (scale * u) ** 2
        core = np.log1p(-fraction) - 0.5 * z2
        tail = np.log(fraction / width) - 0.5 * z2 / width**2
        d = -2.0 * np.logaddexp(core, tail)
        first += share * np.sum(normal * d)
        second += share * np.sum(normal * d**2)
    return first, second - first**2
