"""How a pixel scatters about the light that is expected on it."""

from bayesphot.noise.model import LOG_SCALES
from bayesphot.noise.normal import NormalNoise
from bayesphot.noise.outliers import ContaminatedGaussian, StudentTNoise
from bayesphot.noise.photons import CCDNoise, PoissonNoise
from bayesphot.noise.pixels import PixelNoise

__all__ = [
    "LOG_SCALES",
    "NOISE_MODELS",
    "CCDNoise",
    "ContaminatedGaussian",
    "NormalNoise",
    "PixelNoise",
    "PoissonNoise",
    "StudentTNoise",
]

#: What may be given as noise.
NOISE_MODELS = (CCDNoise, PoissonNoise, StudentTNoise, ContaminatedGaussian, NormalNoise)
