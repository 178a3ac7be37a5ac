"""Prior distributions, and which of them each parameter takes."""

from bayesphot.priors.choice import (
    SHAPE_WIDTH,
    PriorSet,
    check_prior_columns,
    normalise_priors,
)
from bayesphot.priors.distributions import (
    Disc,
    HalfNormal,
    LogNormal,
    LogUniform,
    Normal,
    PowerLaw,
    Prior,
    TruncatedNormal,
    Uniform,
)

__all__ = [
    "SHAPE_WIDTH",
    "Disc",
    "HalfNormal",
    "LogNormal",
    "LogUniform",
    "Normal",
    "PowerLaw",
    "Prior",
    "PriorSet",
    "TruncatedNormal",
    "Uniform",
    "check_prior_columns",
    "normalise_priors",
]
