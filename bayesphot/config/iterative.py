"""The iterative photometry classes: find, group, fit, subtract, find again."""

from __future__ import annotations

from dataclasses import dataclass

from bayesphot.background import MMMBackground
from bayesphot.checks import check_integer
from bayesphot.config.basic import BasicPSFPhotometry
from bayesphot.detection import DAOStarFinder
from bayesphot.grouping import DAOGroup

__all__ = ["DAOPhotPSFPhotometry", "IterativelySubtractedPSFPhotometry"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IterativelySubtractedPSFPhotometry(BasicPSFPhotometry):
    """PSF photometry that finds again in the residual until nothing new is accepted.

    New detections join their neighbours' group; the whole group is refitted from the
    unsubtracted image. A detection stays only if the odds are for it: by default noise brings less
    than 0.01 sources in an image; ``priors=ScenePrior(density, flux_pdf)`` sets them. The posterior
    is sampled once, when the scene is final.

    Parameters
    ----------
    niters : int or None
        Rounds of finding, given positions being the first; None: until nothing is found.
    **others
        As for `BasicPSFPhotometry`; ``finder`` is required.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.IterativelySubtractedPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=2.0), fitshape=(11, 11),
    ...     finder=bp.DAOStarFinder(threshold=10.0, fwhm=4.7), niters=3)
    >>> phot.niters
    3
    """

    niters: int | None = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finder is None:
            raise ValueError("finder must be given: the iteration finds in the residual")
        if self.niters is not None:
            check_integer("niters", self.niters, least=1)

    @property
    def _rounds(self) -> int | None:
        """Rounds of finding."""
        return self.niters


class DAOPhotPSFPhotometry(IterativelySubtractedPSFPhotometry):
    """The iteration with DAOPHOT's stages (Stetson 1987): DAOFIND, GROUP and the MMM sky.

    Parameters
    ----------
    crit_separation : float
        Sources nearer than this, in pixels, are in one group.
    threshold : float
        Detection threshold in data units.
    fwhm : float
        FWHM of the finder's kernel, pixels.
    psf_model, fitshape
        As for `BasicPSFPhotometry`.
    sigma : float
        Clipping of the sky estimate, in standard deviations.
    ratio, theta, sigma_radius, sharplo, sharphi, roundlo, roundhi
        As for `DAOStarFinder`.
    niters : int or None
        Rounds of finding.
    **others
        As for `BasicPSFPhotometry`.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.DAOPhotPSFPhotometry(8.0, 10.0, 4.7, bp.IntegratedGaussianPRF(sigma=2.0), 11)
    >>> phot.group_maker.crit_separation
    8.0
    """

    def __init__(
        self,
        crit_separation,
        threshold,
        fwhm,
        psf_model,
        fitshape,
        sigma=3.0,
        ratio=1.0,
        theta=0.0,
        sigma_radius=1.5,
        sharplo=0.2,
        sharphi=1.0,
        roundlo=-1.0,
        roundhi=1.0,
        niters=3,
        **others,
    ):
        for name in ("finder", "group_maker", "bkg_estimator"):
            if name in others:
                raise TypeError(f"{name} is what this class sets; use the class it derives from")
        super().__init__(
            psf_model=psf_model,
            fitshape=fitshape,
            finder=DAOStarFinder(
                threshold=threshold,
                fwhm=fwhm,
                ratio=ratio,
                theta=theta,
                sigma_radius=sigma_radius,
                sharplo=sharplo,
                sharphi=sharphi,
                roundlo=roundlo,
                roundhi=roundhi,
            ),
            group_maker=DAOGroup(crit_separation),
            bkg_estimator=MMMBackground(sigma=sigma),
            niters=niters,
            **others,
        )
