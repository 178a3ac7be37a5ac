"""The set-ups that are calibrated: stars and groups, widths and skies, noise models, priors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from many_groups import FWHM_PER_SIGMA

import bayesphot as bp

SIGMA, NOISE, FIT_SHAPE = 1.5, 3.0, 11
FWHM = SIGMA * FWHM_PER_SIGMA
SHAPE_WIDTH = 0.2
SKY, SKY_SD = 50.0, 1.0
#: Number of stars, separation of the starts in FWHM, radius of the discs in FWHM, flux prior in
#: units of the flux error of a lone star (mean, sd, or what `FLUX_PRIORS` makes of it).
DESIGNS = {
    "single": (1, None, 1.0, (12.0, 4.0)),
    "faint single": (1, None, 1.0, (3.0, 3.0)),
    "pair at 1.0 FWHM": (2, 1.0, 0.5, (25.0, 8.0)),
    "pair at 0.7 FWHM": (2, 0.7, 0.5, (25.0, 8.0)),
    "groups": ((1, 5), (0.4, 3.0), 0.5, (22.0, 15.0)),
}
#: Groups of 1 to 5 at 0.4 to 3 FWHM, most fluxes of an SNR of 5 to 100: each noise model with its
#: own flux prior.
MIXED = {
    "normal": "log-uniform",
    "ccd": "bounded power law",
    "poisson": "positive",
    "student": "log-normal",
    "contaminated": "half-normal",
}


@dataclass(frozen=True)
class Scatter:
    """A noise model, and the sky it stands on.

    ``noise`` is the scatter of a pixel of bare sky, or the scale of models that take an error.
    """

    model: object = None
    noise: float = NOISE
    sky: float = SKY
    sky_sd: float = SKY_SD

    @property
    def error(self) -> float | None:
        """What the photometry is told; None for models that know their own."""
        takes_error = self.model is None or self.model.takes_error
        return self.noise if takes_error else None


SCATTERS = {
    "normal": Scatter(),
    # (16/8)^2 + 50/8 = 3.2 squared.
    "ccd": Scatter(bp.CCDNoise(8.0, 16.0), 3.2),
    "poisson": Scatter(bp.PoissonNoise(), 1.73, 3.0, 0.2),
    "student": Scatter(bp.StudentTNoise(3.0)),
    "contaminated": Scatter(bp.ContaminatedGaussian(0.02, 15.0)),
}

#: Flux priors, from the unit, mean and sd of a design.
FLUX_PRIORS = {
    "normal": lambda unit, mean, sd: bp.Normal(unit * mean, unit * sd),
    # Counts cannot be expected to be negative.
    "positive": lambda unit, mean, sd: bp.TruncatedNormal(unit * mean, unit * sd, 0.0),
    "power law": lambda unit, mean, sd: bp.PowerLaw(-1.5, 0.3 * unit * mean, 3.0 * unit * mean),
    "log-uniform": lambda unit, mean, sd: bp.LogUniform(5.0 * unit, 100.0 * unit),
    "bounded power law": lambda unit, mean, sd: bp.PowerLaw(-1.5, 5.0 * unit, 100.0 * unit),
    "half-normal": lambda unit, mean, sd: bp.HalfNormal(unit * mean),
    "log-normal": lambda unit, mean, sd: bp.LogNormal(unit * mean, 0.5),
}


def calibrate(
    design: str,
    n_group: int,
    seed: int,
    *,
    sigma_free: bool,
    sky_free: bool,
    sampler=None,
    scatter: str = "normal",
    flux_prior: str = "normal",
    fitted_as: str | None = None,
    inflation: float = 0.0,
) -> bp.CalibrationResult:
    """Calibrate one of the set-ups.

    ``fitted_as`` names another noise model for the fit than the one that makes the data;
    ``inflation`` is the width of a log-normal factor on the noise of each group.
    """
    law = SCATTERS[scatter]
    fitted = SCATTERS[fitted_as or scatter]
    n_star, separation, radius, (mean, sd) = DESIGNS[design]
    noise = fitted.model
    if inflation:
        noise = replace(noise or bp.NormalNoise(), inflation=bp.LogNormal(1.0, inflation))
    psf = bp.IntegratedGaussianPRF(sigma=SIGMA)
    psf.sigma.fixed = not sigma_free
    priors = {"position": bp.Disc(radius * FWHM)}
    if sigma_free:
        priors["sigma"] = bp.LogNormal(SIGMA, SHAPE_WIDTH)
    phot = bp.BasicPSFPhotometry(
        psf_model=psf, fitshape=FIT_SHAPE, priors=priors, sampler=sampler, noise=noise
    )
    unit = 2.0 * np.sqrt(np.pi) * SIGMA * law.noise
    return bp.calibrate(
        phot,
        n_simulations=n_group,
        flux=FLUX_PRIORS[flux_prior](unit, mean, sd),
        background=bp.Normal(law.sky, law.sky_sd) if sky_free else law.sky,
        error=fitted.error,
        n_sources=n_star,
        separation=None if separation is None else np.multiply(separation, FWHM).tolist(),
        truth=replace(phot, noise=law.model) if fitted_as else None,
        seed=seed,
    )
