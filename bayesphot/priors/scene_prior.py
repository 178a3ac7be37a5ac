"""What is known of a whole scene: how many sources there are, and how bright they are."""

from __future__ import annotations

from dataclasses import dataclass

from bayesphot.checks import check_number
from bayesphot.priors.distributions import DISTRIBUTIONS, Prior

__all__ = ["ScenePrior"]


@dataclass(frozen=True)
class ScenePrior:
    """Sources as a Poisson process: their density on the image, and the prior of their fluxes.

    With it a new source stays where the posterior odds of its group with it against without it
    exceed one, every flux but those with prior columns of their own has the prior ``flux_pdf``,
    and ``log_z`` counts the density, so that evidences of different numbers of sources on the same
    pixels can be compared.

    The intensity of sources is ``density`` all over the disc of a position. A coordinate with a
    prior of its own (``"x"``, ``"y"``, ``x_prior_sd``, ...) multiplies it by that normalised prior
    times one pixel; a fixed coordinate, the limit of a narrow prior, by one pixel.

    Parameters
    ----------
    density : float
        Expected number of sources in a pixel, positive: those of all fluxes of ``flux_pdf``.
    flux_pdf : Prior
        `Uniform` with bounds, `Normal`, `LogNormal`, `LogUniform`, `PowerLaw`, `HalfNormal` or
        `TruncatedNormal`: proper.

    Raises
    ------
    TypeError
        If ``density`` is no number or ``flux_pdf`` none of these distributions.
    ValueError
        If ``density`` is not positive, or ``flux_pdf`` not proper or nowhere above 0.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.ScenePrior(density=1e-3, flux_pdf=bp.PowerLaw(-2.0, low=100.0))
    ScenePrior(density=0.001, flux_pdf=PowerLaw(index=-2.0, low=100.0, high=inf))
    """

    density: float
    flux_pdf: Prior

    def __post_init__(self):
        check_number("density", self.density, above=0.0)
        if not isinstance(self.flux_pdf, DISTRIBUTIONS):
            kinds = ", ".join(kind.__name__ for kind in DISTRIBUTIONS)
            hint = (
                f": write {self.flux_pdf.__name__}(...)" if isinstance(self.flux_pdf, type) else ""
            )
            raise TypeError(f"flux_pdf must be one of {kinds}, found {self.flux_pdf!r}{hint}")
        if not self.flux_pdf.is_proper:
            raise ValueError(
                f"flux_pdf must be proper, for odds depend on its norm: found {self.flux_pdf!r}"
            )
        if not self.flux_pdf.support()[1] > 0.0:
            raise ValueError(
                f"flux_pdf must reach above 0, for sources shine: found {self.flux_pdf!r}"
            )
