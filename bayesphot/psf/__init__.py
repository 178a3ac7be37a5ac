"""PSF models, and what the kernels need to know of them."""

from bayesphot.psf.gaussian import IntegratedGaussianPRF
from bayesphot.psf.model import PSFConfig, describe_psf

__all__ = ["IntegratedGaussianPRF", "PSFConfig", "describe_psf"]
