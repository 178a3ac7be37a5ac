"""The posterior of a close pair: separation, position angle, magnitude difference, flux ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.checks import check_number
from bayesphot.companions.describe import describe_pair, tabulate_pair
from bayesphot.companions.limits import (
    LIMIT,
    PairLimit,
    count_dark_bright,
    find_magnitude,
    find_quantile,
    limit_jointly,
    order_fluxes,
)
from bayesphot.companions.summary import UNITS, turn_angles
from bayesphot.draws import view_readonly
from bayesphot.source_posterior import Covariance, is_free

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

__all__ = ["PairPosterior"]

#: Length of the mean vector under which angles point more than one way: 60 degrees of scatter.
SCATTERED = 0.6


@dataclass(frozen=True, eq=False, repr=False)
class PairPosterior:
    """What ``result.pair(primary, companion)`` returns.

    The primary is the source that was named first: nothing is assumed of which is brighter.

    Attributes
    ----------
    primary, companion : int
        Ids, as in the table.
    dx, dy : ndarray, (chain, draw)
        Companion minus primary, pixels.
    separation : ndarray, (chain, draw)
        Pixels.
    separation_arcsec : ndarray, (chain, draw), or None
        Arcsec; None without a scale.
    position_angle : ndarray, (chain, draw)
        Direction of the companion as seen from the primary, 0 to 360 degrees, as `angle_from`
        says; NaN where both are at one place.
    angle_from : str
        "from north through east", or "from +y, counterclockwise" where north is not known.
    flux_ratio : ndarray, (chain, draw)
        Flux of the companion over that of the primary; NaN where the primary's is not positive.
    flux_share : ndarray, (chain, draw)
        Flux of the companion over that of both; below 0 or above 1 where one is negative, NaN
        where both together are not positive.
    separated : bool
        Whether separation zero lies outside the 3-sigma region of ``(dx, dy)``.
    detected : bool
        Whether both fluxes are above zero by 3 sigma.
    given : bool
        Whether both positions are fixed, so that separation and angle are not measured.
    remarks : tuple of str
        What else to know: flags of the sources, draws of different groups.
    ci_prob : float
        Probability of the intervals.

    Examples
    --------
    >>> import bayesphot as bp
    >>> stars = {"x_0": [20.0, 24.0], "y_0": [20.0, 20.0], "flux": [4000.0, 1000.0]}
    >>> scene = bp.simulate_scene((41, 41), sources=stars, sigma=1.5, noise=2.0, seed=1)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11,
    ...     group_maker=bp.DAOGroup(8.0), seed=1)
    >>> pair = phot(scene.image, error=scene.error, positions=scene.truth).pair(1, 2)
    >>> isinstance(pair, bp.PairPosterior), pair.resolved
    (True, True)
    >>> pair.summary()["separation_median"].round(1)
    <Quantity [4.] pix>
    """

    primary: int
    companion: int
    dx: np.ndarray
    dy: np.ndarray
    separation: np.ndarray
    separation_arcsec: np.ndarray | None
    position_angle: np.ndarray
    angle_from: str
    flux_ratio: np.ndarray
    flux_share: np.ndarray
    separated: bool
    detected: bool
    given: bool
    remarks: tuple[str, ...]
    ci_prob: float

    @property
    def resolved(self) -> bool:
        """Whether two stars at two places are measured, each by 3 sigma."""
        return self.separated and self.detected

    @property
    def delta_mag(self) -> np.ndarray:
        """Magnitude of the companion minus that of the primary; NaN where a flux is <= 0."""
        return find_magnitude(self.flux_ratio)

    @property
    def n_without_mag(self) -> int:
        """Number of draws where a flux is not positive, which have no magnitude."""
        return int(np.count_nonzero(np.isnan(self.delta_mag)))

    @property
    def draws(self) -> dict[str, np.ndarray]:
        """All draws (chain, draw) by name."""
        draws = {"separation": self.separation}
        if self.separation_arcsec is not None:
            draws["separation_arcsec"] = self.separation_arcsec
        return draws | {
            "position_angle": self.position_angle,
            "delta_mag": self.delta_mag,
            "flux_ratio": self.flux_ratio,
            "flux_share": self.flux_share,
            "dx": self.dx,
            "dy": self.dy,
        }

    @property
    def note(self) -> str:
        """What is not measured, or to be known; empty where all is well."""
        notes = []
        if not self.separated:
            notes.append("not resolved: separation zero lies inside 3 sigma")
        if not self.detected:
            notes.append("not resolved: a flux is consistent with none")
        if self.given:
            notes.append("positions are fixed: separation and angle are given, not measured")
        elif self.resolved and turn_angles(self.position_angle).length < SCATTERED:
            notes.append("position angles point more than one way")
        return "; ".join([*notes, *self.remarks])

    @property
    def covariance(self) -> Covariance:
        """Covariance of separation (arcsec if known), position angle, delta_mag and flux ratio.

        Names and matrix, degrees about the mean direction. Of a pair that is not resolved: of
        ``dx``, ``dy`` and ``flux_share``. What is fixed, or not finite in all draws, is left out.
        """
        columns = {
            name: values.ravel() for name, values in self._choose().items() if is_free(values)
        }
        if not columns:
            return Covariance((), view_readonly(np.zeros((0, 0))))
        matrix = np.atleast_2d(np.cov(np.stack(list(columns.values()))))
        return Covariance(tuple(columns), view_readonly(matrix))

    def _choose(self) -> dict[str, np.ndarray]:
        """Draws that say what was measured, angles without a jump at north."""
        if not self.resolved:
            return {"dx": self.dx, "dy": self.dy, "flux_share": self.flux_share}
        name, separation = self._find_separation()
        turned = turn_angles(self.position_angle)
        return {
            name: separation,
            "position_angle": turned.direction + turned.offset,
            "delta_mag": self.delta_mag,
            "flux_ratio": self.flux_ratio,
        }

    def _find_separation(self) -> tuple[str, np.ndarray]:
        """Name and draws of the separation, on the sky where that is known."""
        if self.separation_arcsec is None:
            return "separation", self.separation
        return "separation_arcsec", self.separation_arcsec

    def limit(self, prob: float = LIMIT) -> PairLimit:
        """Return upper limits of separation and flux ratio, each and both together.

        Parameters
        ----------
        prob : float
            Probability of each limit, between 0 and 1.

        Returns
        -------
        PairLimit
            ``separation`` (pixels), ``separation_arcsec``, ``flux_ratio`` and ``delta_mag`` (the
            companion is fainter), ``faint_ratio`` (of the fainter to the brighter), and the table
            ``joint``, the limit of the ratios in bins of separation.

        Raises
        ------
        TypeError, ValueError
            If `prob` is not a number between 0 and 1.

        See Also
        --------
        PhotometryResult.pair
        """
        prob = check_number("prob", prob, above=0.0)
        if prob >= 1.0:
            raise ValueError(f"prob must be below 1, found {prob}")
        name, separation = self._find_separation()
        arcsec = self.separation_arcsec
        bright, faint = count_dark_bright(self.flux_ratio), order_fluxes(self.flux_share)
        ratio = find_quantile(bright, prob)
        return PairLimit(
            prob=prob,
            separation=find_quantile(self.separation, prob),
            separation_arcsec=None if arcsec is None else find_quantile(arcsec, prob),
            flux_ratio=ratio,
            delta_mag=float(find_magnitude(ratio)),
            faint_ratio=find_quantile(faint, prob),
            joint=limit_jointly(separation, bright, faint, prob, name=name, unit=UNITS[name]),
        )

    def summary(self) -> QTable:
        """Return medians, errors and intervals as one row; rows of pairs can be stacked.

        Returns
        -------
        QTable
            ``primary``, ``companion``, ``resolved``; ``_median``, ``_err`` (standard deviation),
            ``_lo`` and ``_hi`` (the interval of `ci_prob`) of each of the draws, in their units.
            The median of the position angle lies in 0 to 360 degrees and its interval goes on
            from there. A pair that is not resolved has no median of separation, angle and
            magnitudes: its separation runs from 0, its angle round the circle, and
            ``separation_limit``, ``separation_arcsec_limit``, ``flux_ratio_limit``,
            ``faint_ratio_limit`` (above 95 % of the draws) and ``delta_mag_limit`` (below them)
            are there instead. ``note`` says why.
        """
        return tabulate_pair(self)

    def plot_corner(self, *, truths: Mapping[str, float] | None = None, path=None) -> Figure:
        """Draw marginal and joint distributions of what the covariance names.

        Parameters
        ----------
        truths : mapping of str to float, optional
            Known values by name ("separation", "position_angle", ...).
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            For an unknown name of a truth, or where all is fixed.
        """
        from bayesphot.plotting import Parameter, draw_corner

        chosen = {name: values for name, values in self._choose().items() if is_free(values)}
        if not chosen:
            raise ValueError("plot_corner needs draws that differ, and all of this pair are fixed")
        parameters = [
            Parameter((name,), f"{name} ({UNITS[name]})" if name in UNITS else name, values)
            for name, values in chosen.items()
        ]
        return draw_corner(parameters, ci_prob=self.ci_prob, truths=truths, path=path)

    def __repr__(self) -> str:
        return f"<PairPosterior: {describe_pair(self)}>"
