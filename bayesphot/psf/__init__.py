"""PSF models, and what the kernels need to know of them."""

from bayesphot.psf.error import PSFError
from bayesphot.psf.gaussian import IntegratedGaussianPRF
from bayesphot.psf.model import PSFConfig, describe_psf

__all__ = ["IntegratedGaussianPRF", "PSFConfig", "PSFError", "describe_psf"]
