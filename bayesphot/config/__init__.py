"""The public configuration: check, normalise, show. Objects are immutable; results are returned."""

from bayesphot.config.basic import BasicPSFPhotometry
from bayesphot.config.iterative import (
    DAOPhotPSFPhotometry,
    IterativelySubtractedPSFPhotometry,
)
from bayesphot.config.samplers import EmceeSampler, Sampler

__all__ = [
    "BasicPSFPhotometry",
    "DAOPhotPSFPhotometry",
    "EmceeSampler",
    "IterativelySubtractedPSFPhotometry",
    "Sampler",
]
