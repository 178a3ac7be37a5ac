"""What is expected of a companion before the image is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesphot.checks import check_number
from bayesphot.priors import LogUniform, Prior
from bayesphot.priors.distributions import DISTRIBUTIONS

__all__ = ["CompanionPrior"]


@dataclass(frozen=True)
class CompanionPrior:
    """The probability that there is a companion in the region searched, and of its brightness.

    Places in the region are equally likely. A companion is either bound to its target, and
    `flux_ratio` says how bright it is beside it, or a star of the field, of some flux.

    Parameters
    ----------
    probability : float
        That there is one in the region searched, between 0 and 1.
    flux_ratio : Prior
        Of companion over target, proper: ``LogUniform(1e-3, 1)`` is flat in magnitudes.
    flux : Prior, optional
        Of the companion's flux itself, numbers in the image's unit times pixel; ``flux_ratio`` then
        does not count.

    Raises
    ------
    TypeError
        If a value is no number, or no prior of this package.
    ValueError
        If the probability is not between 0 and 1, or a prior is not proper.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.CompanionPrior(probability=0.1, flux_ratio=bp.LogUniform(1e-2, 1.0)).probability
    0.1
    """

    probability: float = 0.5
    flux_ratio: Prior = field(default_factory=lambda: LogUniform(1e-3, 1.0))
    flux: Prior | None = None

    def __post_init__(self):
        if not 0.0 < check_number("probability", self.probability) < 1.0:
            raise ValueError(
                f"probability must lie between 0 and 1, without either, found {self.probability!r}"
            )
        for name in ("flux_ratio", "flux"):
            value = getattr(self, name)
            if value is None and name == "flux":
                continue
            if not isinstance(value, DISTRIBUTIONS):
                kinds = ", ".join(kind.__name__ for kind in DISTRIBUTIONS)
                raise TypeError(f"{name} must be one of {kinds}, found {value!r}")
            if not value.is_proper:
                raise ValueError(f"{name} must be a proper prior, found {value!r}")
