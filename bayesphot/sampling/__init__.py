"""Engines: ``(batch of groups, budget, seeds) -> draws``; each knows only its target."""

from .budget import BatchDraws, Budget, pareto_limit
from .ensemble import EnsembleOptions, sample_ensemble
from .independence import sample_independence
from .seeding import derive_seeds

__all__ = [
    "BatchDraws",
    "Budget",
    "EnsembleOptions",
    "derive_seeds",
    "pareto_limit",
    "sample_ensemble",
    "sample_independence",
]
