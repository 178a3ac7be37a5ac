"""Sky level and pixel noise of an image.

Each sky estimator says how well it knows the level as well as the level itself: the fit uses that
error as the width of the prior on the background.
"""

from .estimators import (
    MADStdBackgroundRMS,
    MeanBackground,
    MedianBackground,
    MMMBackground,
    ModeEstimatorBackground,
    SkyEstimator,
    SkyLevel,
    StdBackgroundRMS,
)
from .mesh import MeshBackground
from .sky import (
    SkyMap,
    estimate_noise,
    estimate_sky,
)
from .tilt import measure_tilt

__all__ = [
    "MADStdBackgroundRMS",
    "MMMBackground",
    "MeanBackground",
    "MedianBackground",
    "MeshBackground",
    "ModeEstimatorBackground",
    "SkyEstimator",
    "SkyLevel",
    "SkyMap",
    "StdBackgroundRMS",
    "estimate_noise",
    "estimate_sky",
    "measure_tilt",
]
