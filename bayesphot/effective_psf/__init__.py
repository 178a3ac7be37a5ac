"""The PSF of an image from its own stars.

Stars are chosen (`choose`), all sources about them fitted and the neighbours taken out (`frame`,
`iterate`), the PSF solved for (`moffat`, `solve`), and its differences from star to star measured
(`modes`).
"""

from bayesphot.effective_psf.build import build_psf
from bayesphot.effective_psf.result import PSFBuild

__all__ = ["PSFBuild", "build_psf"]
