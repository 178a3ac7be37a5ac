"""Engines: ``(batch of groups, budget, seeds) -> draws``; each knows only its target."""

from .budget import LIMIT, BatchDraws, Budget, normal_scores, pareto_limit, pick_draws
from .ensemble import EnsembleOptions, sample_ensemble
from .independence import sample_independence
from .predictive import predict_p_values
from .seeding import derive_seeds
from .tempered import HOPELESS, SwarmOptions, sample_tempered

__all__ = [
    "HOPELESS",
    "LIMIT",
    "BatchDraws",
    "Budget",
    "EnsembleOptions",
    "SwarmOptions",
    "derive_seeds",
    "normal_scores",
    "pareto_limit",
    "pick_draws",
    "predict_p_values",
    "sample_ensemble",
    "sample_independence",
    "sample_tempered",
]
