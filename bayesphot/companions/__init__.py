"""Close pairs and companions: questions about one source beside another."""

from bayesphot.companions.measure import measure_pair
from bayesphot.companions.pair import PairPosterior

__all__ = ["PairPosterior", "measure_pair"]
