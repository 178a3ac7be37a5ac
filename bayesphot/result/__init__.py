"""What a run returns."""

from .contents import IMAGE_NAMES, Contents
from .photometry import PhotometryResult

__all__ = ["IMAGE_NAMES", "Contents", "PhotometryResult"]
