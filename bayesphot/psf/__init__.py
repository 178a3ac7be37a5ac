"""PSF models, and what the kernels need to know of them."""

from bayesphot.psf.adapter import make_light
from bayesphot.psf.analytic import AiryDiskPRF, GaussianPRF, MoffatPRF
from bayesphot.psf.describe import describe_psf, is_other
from bayesphot.psf.discrete import DiscretePRF
from bayesphot.psf.error import PSFError
from bayesphot.psf.error_files import make_error_hdu, read_psf_error
from bayesphot.psf.family import FittedShapes, ShapeFamily, list_foreign, read_family
from bayesphot.psf.files import read_psf
from bayesphot.psf.gaussian import IntegratedGaussianPRF
from bayesphot.psf.model import PSFConfig
from bayesphot.psf.reference import combine_psfs
from bayesphot.psf.sampled import GriddedPSF, ImagePSF, PolynomialPSF

__all__ = [
    "AiryDiskPRF",
    "DiscretePRF",
    "FittedShapes",
    "GaussianPRF",
    "GriddedPSF",
    "ImagePSF",
    "IntegratedGaussianPRF",
    "MoffatPRF",
    "PSFConfig",
    "PSFError",
    "PolynomialPSF",
    "ShapeFamily",
    "combine_psfs",
    "describe_psf",
    "is_other",
    "list_foreign",
    "make_error_hdu",
    "make_light",
    "read_family",
    "read_psf",
    "read_psf_error",
]
