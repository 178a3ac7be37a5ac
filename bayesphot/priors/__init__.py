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
from bayesphot.priors.drawing import can_draw, draw_prior
from bayesphot.priors.scene_prior import ScenePrior

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
    "ScenePrior",
    "TruncatedNormal",
    "Uniform",
    "can_draw",
    "check_prior_columns",
    "draw_prior",
    "normalise_priors",
]
