"""Sky level and pixel noise of an image.

Each sky estimator says how well it knows the level as well as the level itself: the fit uses that
error as the width of the prior on the background.
"""

from .annulus import AnnulusBackground
from .estimators import (
    MADStdBackgroundRMS,
    MeanBackground,
    MedianBackground,
    MMMBackground,
    ModeEstimatorBackground,
    SkyEstimator,
    SkyLevel,
    SkyMap,
    StdBackgroundRMS,
)
from .foreign import read_estimator
from .mesh import MeshBackground
from .sky import (
    estimate_mean_sky,
    estimate_noise,
    estimate_sky,
    follows_tilt,
    map_noise,
)
from .tilt import measure_tilt

__all__ = [
    "AnnulusBackground",
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
    "estimate_mean_sky",
    "estimate_noise",
    "estimate_sky",
    "follows_tilt",
    "map_noise",
    "measure_tilt",
    "read_estimator",
]
