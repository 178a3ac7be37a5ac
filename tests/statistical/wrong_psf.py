"""Isolated stars through a PSF that is not theirs, with and without its error in the model.

Either every star has the same wrong width, or the width errors are drawn from the prior that the
fit has of them. The signal to noise is that of a star of known place and PSF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from many_groups import FWHM_PER_SIGMA, list_starts, make_field

import bayesphot as bp
from bayesphot.calibration.designs import place_cells
from bayesphot.calibration.truths import draw_in_disc

SIGMA, NOISE, FIT_SHAPE, PITCH = 1.5, 3.0, 13, 26


@dataclass(frozen=True, eq=False)
class WrongOutcome:
    """Relative errors of the flux, their quoted errors, and whether two intervals hold, (star,)."""

    off: np.ndarray
    error: np.ndarray
    inside68: np.ndarray
    inside95: np.ndarray


def measure_wrong_psf(
    snr: float, n: int, seed: int, *, too_wide: float, drawn: bool, psf_error
) -> WrongOutcome:
    """Simulate stars of one signal to noise and measure them.

    Parameters
    ----------
    too_wide : float
        By how much the PSF of the fit is wider than the stars' own; of ``drawn`` widths, the sd
        of their logarithm.
    psf_error : PSFError or None
        What the fit knows of it.
    """
    rng = np.random.default_rng(seed)
    xy = place_cells(rng, n, PITCH)[:, None]
    start = xy + draw_in_disc(rng, (n, 1), 0.5 * SIGMA * FWHM_PER_SIGMA)
    flux = np.full((n, 1), snr * 2.0 * np.sqrt(np.pi) * SIGMA * NOISE)
    width = SIGMA / (1.0 + too_wide)
    if drawn:
        width = SIGMA * np.exp(too_wide * rng.standard_normal((n, 1)))
    field = make_field(rng, xy, flux, sigma=width, noise=NOISE, pitch=PITCH)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=FIT_SHAPE,
        psf_error=psf_error,
        seed=seed,
    )
    result = phot(field.image, field.error, positions=list_starts(start))
    draws = result.posterior["flux"].values.reshape(-1, n)
    place = (draws < flux[:, 0]).mean(axis=0)
    return WrongOutcome(
        off=np.asarray(result["flux_median"]) / flux[:, 0] - 1.0,
        error=np.asarray(result["flux_err"]) / flux[:, 0],
        inside68=np.abs(place - 0.5) <= 0.5 * 0.6827,
        inside95=np.abs(place - 0.5) <= 0.5 * 0.95,
    )
