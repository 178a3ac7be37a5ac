"""Questions about one source beside another: is there one, where, how bright, how faint?"""

from bayesphot.companions.confirm import Confirmation
from bayesphot.companions.injection import Completeness, FalsePositives
from bayesphot.companions.map import CompanionMap
from bayesphot.companions.measure import measure_pair
from bayesphot.companions.pair import PairPosterior
from bayesphot.companions.prior import CompanionPrior
from bayesphot.companions.run import companion_map, map_result

__all__ = [
    "CompanionMap",
    "CompanionPrior",
    "Completeness",
    "Confirmation",
    "FalsePositives",
    "PairPosterior",
    "companion_map",
    "map_result",
    "measure_pair",
]
