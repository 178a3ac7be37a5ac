"""The PSF of an image from its own stars. Not public yet: fluxes depend on the pixel phase.

Stars are chosen (`choose`), neighbours fitted and taken out (`frame`, `iterate`), the PSF solved for
(`solve`), and its differences from star to star measured (`modes`).
"""

from bayesphot.effective_psf.build import build_psf
from bayesphot.effective_psf.result import PSFBuild

__all__ = ["PSFBuild", "build_psf"]
