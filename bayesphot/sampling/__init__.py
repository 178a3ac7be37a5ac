"""Engines: ``(batch of groups, budget, seeds) -> draws``; each knows only its target."""

from .budget import LIMIT, BatchDraws, Budget, pareto_limit, pick_draws
from .ensemble import EnsembleOptions, sample_ensemble
from .independence import sample_independence
from .seeding import derive_seeds
from .tempered import SwarmOptions, sample_tempered

__all__ = [
    "LIMIT",
    "BatchDraws",
    "Budget",
    "EnsembleOptions",
    "SwarmOptions",
    "derive_seeds",
    "pareto_limit",
    "pick_draws",
    "sample_ensemble",
    "sample_independence",
    "sample_tempered",
]
