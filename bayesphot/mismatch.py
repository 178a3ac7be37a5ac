"""How far the PSF is from the stars: the scatter of residuals about bright stars.

Where the PSF is wrong, every bright star leaves the same halo of residuals, which a finder takes
for faint stars. Their typical size at a distance r from a star of flux f is f e(r); the profile e
is measured on the brightest lonely stars, in excess of the noise. Finding and accepting new
sources count (f e(r))^2 as variance; the likelihood of the fits does not. A PSF that describes
its stars has e = 0 and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Mismatch", "measure_mismatch"]

#: Stars that are measured: this bright over the noise, at most and at least so many.
BRIGHT = 50.0
MOST = 300
LEAST = 10
#: Distance, in sigma of the PSF, out to which residuals are measured.
REACH = 8.0
#: Excess over the noise that counts, in standard errors of the measurement.
SIGNIFICANT = 3.0
#: Median of |normal deviate|.
_MAD = 0.6744897501960817


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Profile e of residuals relative to flux, at whole-pixel distances from a star."""

    profile: np.ndarray

    def variance(self, shape: tuple[int, int], x, y, flux) -> np.ndarray:
        """Return the sum over sources of (flux e(r))^2, (ny, nx)."""
        total = np.zeros(shape)
        if not self.profile.any():
            return total
        reach = self.profile.size - 1
        step = np.arange(-reach, reach + 1)
        dy, dx = np.meshgrid(step, step, indexing="ij")
        r = np.hypot(dx, dy)
        squared = np.interp(r, np.arange(reach + 1), self.profile, right=0.0) ** 2
        flux = np.asarray(flux)
        for k in np.flatnonzero(flux > 0.0):
            row, col = int(np.floor(y[k] + 0.5)), int(np.floor(x[k] + 0.5))
            r0, r1 = max(row - reach, 0), min(row + reach + 1, shape[0])
            c0, c1 = max(col - reach, 0), min(col + reach + 1, shape[1])
            if r0 < r1 and c0 < c1:
                part = squared[
                    r0 - row + reach : r1 - row + reach, c0 - col + reach : c1 - col + reach
                ]
                total[r0:r1, c0:c1] += flux[k] ** 2 * part
        return total


def measure_mismatch(residual, weight, x, y, flux, *, sigma: float) -> Mismatch:
    """Measure the profile of residuals about bright stars that stand alone.

    Parameters
    ----------
    residual, weight : (ny, nx) arrays
        Data minus sky minus model; weight 1 / variance, 0 on bad pixels.
    x, y, flux : (n,) arrays
        Fitted sources.
    sigma : float
        Sigma of the PSF, pixels.
    """
    reach = int(np.ceil(REACH * sigma))
    nothing = Mismatch(np.zeros(reach + 1))
    chosen = _choose_stars(weight, x, y, flux, sigma, reach)
    if chosen.size < LEAST:
        return nothing
    step = np.arange(-reach, reach + 1)
    dy, dx = (g.ravel() for g in np.meshgrid(step, step, indexing="ij"))
    row = np.floor(y[chosen] + 0.5).astype(int)[:, None] + dy
    col = np.floor(x[chosen] + 0.5).astype(int)[:, None] + dx
    r = np.hypot(col - x[chosen][:, None], row - y[chosen][:, None])
    w = weight[row, col]
    relative = residual[row, col] / flux[chosen][:, None]
    with np.errstate(divide="ignore"):
        noise = np.where(w > 0.0, 1.0 / np.sqrt(w), np.inf) / flux[chosen][:, None]
    profile = np.zeros(reach + 1)
    # Sixteen bits are sorted by counting: a tenth of the time of a mask for each ring.
    used = w > 0.0
    ring = np.floor(r[used] + 0.5).astype(np.uint16)
    order = np.argsort(ring, kind="stable")
    relative, noise = relative[used][order], noise[used][order]
    edge = np.searchsorted(ring[order], np.arange(reach + 2))
    for d in range(reach + 1):
        here = slice(edge[d], edge[d + 1])
        if edge[d] == edge[d + 1]:
            continue
        spread = np.median(np.abs(relative[here])) / _MAD
        expected = np.median(noise[here])
        # Pixels of one star at one distance move together: stars are what is counted.
        excess = spread**2 - expected**2 * (1.0 + SIGNIFICANT * np.sqrt(2.0 / chosen.size))
        profile[d] = np.sqrt(max(excess, 0.0))
    return Mismatch(profile)


def _choose_stars(weight, x, y, flux, sigma, reach) -> np.ndarray:
    """Return the brightest stars that stand alone, whole inside the image."""
    from scipy.spatial import cKDTree

    ny, nx = weight.shape
    row, col = np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)
    whole = (row >= reach) & (row < ny - reach) & (col >= reach) & (col < nx - reach)
    rows, cols = np.clip(row, 0, ny - 1), np.clip(col, 0, nx - 1)
    error = 2.0 * np.sqrt(np.pi) * sigma
    bright = whole & (flux * np.sqrt(weight[rows, cols]) > BRIGHT * error)
    candidates = np.flatnonzero(bright)
    if candidates.size == 0:
        return candidates
    order = candidates[np.argsort(-flux[candidates], kind="stable")]
    tree = cKDTree(np.column_stack([x, y]))
    alone = []
    for k in order:
        mates = tree.query_ball_point([x[k], y[k]], reach)
        if all(j == k or flux[j] < 0.02 * flux[k] for j in mates):
            alone.append(k)
        if len(alone) == MOST:
            break
    return np.array(alone, dtype=int)
