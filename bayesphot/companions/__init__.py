"""Is there a second source near a target, where, how bright? And if not, how faint would it be?"""

from bayesphot.companions.injection import Completeness, FalsePositives
from bayesphot.companions.map import CompanionMap, companion_map
from bayesphot.companions.prior import CompanionPrior

__all__ = ["CompanionMap", "CompanionPrior", "Completeness", "FalsePositives", "companion_map"]
