"""A map of companions about a target: the Bayes factor of one at every place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayesphot.checks import check_integer, check_number
from bayesphot.companions.confirm import Confirmation, confirm_companion
from bayesphot.companions.draws import draw_companions
from bayesphot.companions.injection import (
    Completeness,
    FalsePositives,
    calibrate_false_positives,
    recover_companions,
)
from bayesphot.companions.measure import make_pair
from bayesphot.companions.notes import find_off
from bayesphot.companions.orientation import read_orientation
from bayesphot.companions.pair import PairPosterior
from bayesphot.companions.prior import CompanionPrior
from bayesphot.companions.trials import open_bench
from bayesphot.companions.weigh import Search, Weighed, average_evidence
from bayesphot.config import BasicPSFPhotometry, Sampler
from bayesphot.config.run import Fitted
from bayesphot.draws import CI_PROB
from bayesphot.execute import Workers, count_jobs

if TYPE_CHECKING:
    from astropy.table import QTable
    from astropy.units import UnitBase
    from matplotlib.figure import Figure

__all__ = ["Companion", "CompanionMap"]


class Companion(NamedTuple):
    """
    One companion, all else free.

    Attributes
    ----------
    x, y : float
        Place, image pixels.
    flux, flux_err : float
        Most likely flux there, and its standard error, numbers in `CompanionMap.flux_unit`.
    flux_ratio : float
        Over the flux that the target then has.
    separation : float
        From where the target then is, pixels.
    log_bayes_factor : float
        ln of the evidence with a companion at this very place over that without one.
    """

    x: float
    y: float
    flux: float
    flux_err: float
    flux_ratio: float
    separation: float
    log_bayes_factor: float


@dataclass(frozen=True, eq=False)
class CompanionMap:
    """
    A second source at each place about a target, everything else integrated out.

    Attributes
    ----------
    x, y : ndarrays of float (ny, nx)
        Places, image pixels.
    log_bayes_factor : ndarray of float (ny, nx)
        ln of the evidence with a companion at this very place over that without one.
    flux, flux_err : ndarrays of float (ny, nx)
        Most likely flux of a companion there, and its standard error, numbers in `flux_unit`: place
        known, all else free.
    target : tuple of float
        x, y and flux (in `flux_unit`) of the target as fitted alone.
    prior : CompanionPrior
        Of the companion.
    fwhm : float
        Of the PSF, pixels.
    notes : tuple of str
        What else to know: a saturated core, a PSF whose stamp is small.

    Examples
    --------
    >>> import bayesphot as bp
    >>> star = bp.simulate_scene(
    ...     (31, 31), sources={"x_0": [15.2], "y_0": [14.8], "flux": [8000.0]},
    ...     sigma=1.5, background=50.0, noise=7.0, seed=3)
    >>> psf = bp.IntegratedGaussianPRF(sigma=1.5)
    >>> found = bp.companion_map(star.image, psf, (15.0, 15.0), error=star.error, radius=6.0)
    >>> isinstance(found, bp.CompanionMap), found.p_companion < 0.5
    (True, True)
    >>> round(float(found.contrast_curve()["delta_mag"][-1]), 1)
    4.0
    """

    x: np.ndarray
    y: np.ndarray
    log_bayes_factor: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    target: tuple[float, float, float]
    prior: CompanionPrior
    fwhm: float
    notes: tuple[str, ...]
    _places: Weighed
    _search: Search
    _phot: BasicPSFPhotometry
    _fitted: Fitted

    def __repr__(self) -> str:
        best = self.best
        return (
            f"CompanionMap({self.x.shape[1]} x {self.x.shape[0]} places about "
            f"({self.target[0]:.2f}, {self.target[1]:.2f}): p_companion {self.p_companion:.3g}, "
            f"best at ({best.x:.2f}, {best.y:.2f}), flux ratio {best.flux_ratio:.3g})"
        )

    @property
    def flux_unit(self) -> UnitBase | None:
        """Unit of all fluxes: that of the image times pixel; None for an image without one.

        Arrays are numbers in it (``found.flux * found.flux_unit``); tables and files carry it.
        """
        from astropy import units as u

        unit = self._fitted.image.unit
        return None if unit is None else unit * u.pix

    @property
    def separation(self) -> np.ndarray:
        """Distance (ny, nx) of the places from the target as fitted alone, pixels."""
        return np.hypot(self.x - self.target[0], self.y - self.target[1])

    @property
    def z(self) -> np.ndarray:
        """Flux over its error (ny, nx)."""
        return self.flux / self.flux_err

    @property
    def log_evidence_ratio(self) -> float:
        """ln of the evidence with a companion anywhere in the region over that without one."""
        return average_evidence(self._places.log_bayes_factor, self._places.area)

    @property
    def p_companion(self) -> float:
        """Posterior probability that there is a companion in the region searched."""
        from scipy.special import expit, logit

        return float(expit(self.log_evidence_ratio + logit(self.prior.probability)))

    @property
    def best(self) -> Companion:
        """The companion of the largest Bayes factor."""
        places = self._places
        k = int(np.argmax(places.log_bayes_factor))
        x, y, flux = places.target[k]
        return Companion(
            float(places.x[k]),
            float(places.y[k]),
            float(places.flux[k]),
            float(places.information[k] ** -0.5) if places.information[k] > 0.0 else math.inf,
            float(places.flux[k] / flux) if flux > 0.0 else math.nan,
            float(np.hypot(places.x[k] - x, places.y[k] - y)),
            float(places.log_bayes_factor[k]),
        )

    def upper_limit(self, prob: float = 0.95) -> np.ndarray:
        """
        Return the flux below which a companion at each place lies with a probability.

        Under a flat prior of positive fluxes: a truncated normal.

        Parameters
        ----------
        prob : float
            The probability.

        Returns
        -------
        ndarray of float (ny, nx)
            Numbers in `flux_unit`; infinite where a place cannot be told apart from the
            target, on saturated pixels and off the image.

        Raises
        ------
        ValueError
            If the probability is not between 0 and 1.
        """
        from scipy.special import ndtr, ndtri

        if not 0.0 < check_number("prob", prob) < 1.0:
            raise ValueError(f"prob must lie between 0 and 1, found {prob!r}")
        with np.errstate(invalid="ignore"):
            z = np.where(np.isfinite(self.flux_err), self.z, 0.0)
            # From the upper end, where little is left for z far below 0.
            above = (1.0 - prob) * ndtr(z)
            limit = self.flux + self.flux_err * -ndtri(above)
        return np.where(np.isfinite(self.flux_err), np.maximum(limit, 0.0), np.inf)

    def contrast(self, n_sigma: float = 5.0) -> np.ndarray:
        """
        Return the flux ratio of a companion of so many errors at each place, which is known.

        Parameters
        ----------
        n_sigma : float
            How many.

        Returns
        -------
        ndarray of float (ny, nx)
            Over the flux of the target as fitted alone; infinite as `upper_limit` is, NaN where the
            target has no flux.

        Raises
        ------
        ValueError
            If the number is not positive.
        """
        check_number("n_sigma", n_sigma, above=0.0)
        return n_sigma * self.flux_err / self._divisor

    def contrast_curve(self, n_sigma: float = 5.0, prob: float = 0.95) -> QTable:
        """
        Return limits of the flux ratio against separation.

        Parameters
        ----------
        n_sigma : float
            Errors of a companion that counts as seen, its place known.
        prob : float
            Probability of the upper limit.

        Returns
        -------
        QTable
            ``separation`` (pixels), the medians over all angles of ``contrast`` and of
            ``upper_limit``, as flux ratios, ``delta_mag`` of the first, and ``n_places``, how many
            places at this separation are independent: the circle in widths of the PSF. What lies
            off the image does not count.

        Raises
        ------
        ValueError
            As of `contrast` and `upper_limit`.

        Notes
        -----
        The errors are those of the noise of the pixels, which is known; they are not measured from
        the scatter between few places, and need no Student t (Mawet et al. 2014) near the target.
        """
        from astropy.table import QTable

        step = float(self.x[0, 1] - self.x[0, 0])
        ring = np.round(self.separation / step).astype(int)
        largest = int(0.5 * (min(self.x.shape) - 1))
        on = ~find_off(self._fitted.image.shape, self.x, self.y)
        limit, contrast = self.upper_limit(prob) / self._divisor, self.contrast(n_sigma)
        rings = [ring == k for k in range(1, largest + 1)]
        share = [float(on[here].mean()) for here in rings if (here & on).any()]
        rings = [here & on for here in rings if (here & on).any()]
        table = QTable()
        table["separation"] = [float(self.separation[here].mean()) for here in rings]
        table["contrast"] = [float(np.median(contrast[here])) for here in rings]
        table["delta_mag"] = -2.5 * np.log10(table["contrast"])
        table["upper_limit"] = [float(np.median(limit[here])) for here in rings]
        around = 2.0 * np.pi * np.asarray(table["separation"]) / self.fwhm * share
        table["n_places"] = np.maximum(np.round(around), 1).astype(int)
        table.meta |= {"n_sigma": n_sigma, "prob": prob, "fwhm": self.fwhm}
        return table

    def draw(self, n: int, seed: int = 0) -> QTable:
        """
        Return draws from the posterior of a companion, given that there is one.

        Parameters
        ----------
        n : int
            How many.
        seed : int
            Of the random numbers.

        Returns
        -------
        QTable
            ``x``, ``y``, ``flux``, ``x_target``, ``y_target`` and ``flux_target``: joint draws,
            fluxes in `flux_unit`.

        Raises
        ------
        TypeError, ValueError
            If an argument is no integer, or less than 1 or 0.
        """
        from astropy.table import QTable

        check_integer("n", n, least=1)
        rng = np.random.default_rng(check_integer("seed", seed, least=0))
        table = QTable(draw_companions(self._search, self._places, n, rng))
        if self.flux_unit is not None:
            for name in ("flux", "flux_target"):
                table[name] = table[name] * self.flux_unit
        return table

    def calibrate_false_positives(
        self, n: int = 2000, *, seed: int = 0, n_jobs: int = 1, progress_bar: bool = False
    ) -> FalsePositives:
        """
        Search images of the target without a companion: how often would one be found in them?

        Images are the fit of the target alone with the noise of its pixels. They are searched on a
        coarser grid, a quarter of the FWHM, as the image itself is for the comparison.

        Parameters
        ----------
        n : int
            Images; a rate of false positives needs 20 over it.
        seed : int
            Of the random numbers; the same images for any ``n_jobs``.
        n_jobs : int
            Threads; -1 for as many as there are cores.
        progress_bar : bool
            Whether to show one.

        Returns
        -------
        FalsePositives

        Raises
        ------
        TypeError, ValueError
            If an argument is no integer, or too small.
        """
        bench = open_bench(self._search, self._center, self._radius)
        workers = Workers(count_jobs(n_jobs), None, progress_bar)
        data = self._search.basis.data
        return calibrate_false_positives(bench, n, data, seed=seed, workers=workers)

    def recover(
        self,
        separations,
        delta_mags,
        n: int = 100,
        *,
        false_positives: FalsePositives,
        rate: float = 0.01,
        seed: int = 0,
        n_jobs: int = 1,
        progress_bar: bool = False,
        file: str | Path | None = None,
    ) -> Completeness:
        """
        Put companions into images of the target and count those found.

        Where the noise model has a gain (`CCDNoise`, `PoissonNoise`) a companion's light brings its
        own photon noise; with an ``error`` alone it does not.

        Parameters
        ----------
        separations : array_like of float (S,)
            Pixels.
        delta_mags : array_like of float (C,)
            Companion less target, mag.
        n : int
            Companions at each separation and contrast, at random angles.
        false_positives : FalsePositives
            What the search finds without one.
        rate : float
            Rate of false positives of the threshold above which one counts as found.
        seed, n_jobs, progress_bar
            As for `calibrate_false_positives`.
        file : path, optional
            Where finished parts are kept; what stands in it already is not done again.

        Returns
        -------
        Completeness

        Raises
        ------
        ValueError
            If there are too few images without a companion for the rate, a separation lies outside
            the region searched, the target has no flux, or the file is of another search.
        """
        if not isinstance(false_positives, FalsePositives):
            raise TypeError(
                "false_positives must be what calibrate_false_positives returned, found "
                f"{false_positives!r}"
            )
        bench = open_bench(self._search, self._center, self._radius)
        workers = Workers(count_jobs(n_jobs), None, progress_bar)
        return recover_companions(
            bench, separations, delta_mags, n, false_positives, rate,
            seed=seed, workers=workers, file=file,
        )  # fmt: skip

    def confirm(self, *, draws: int = 500, chains: int = 4, seed: int = 0) -> Confirmation:
        """
        Sample target and companion together, and the target alone.

        The ladder of engines runs on the pixels of the map's stamp, with the noise as it was
        given, for N and for N + 1 sources. The companion starts at `best`, and its place keeps
        within one FWHM of there: where it could as well be elsewhere, the map's evidence ratio,
        which counts all places, is the larger one. The target's place keeps within one FWHM of its
        start, or, if it is found more than half a FWHM away, of where it is found.

        Parameters
        ----------
        draws : int
            Draws of each chain.
        chains : int
            Chains.
        seed : int
            Of the random numbers.

        Returns
        -------
        Confirmation
            Evidence ratio with its error, joint posterior.

        Raises
        ------
        TypeError, ValueError
            As of `Sampler`, and if the seed is no integer, or negative; if the prior is one of flux
            ratios, and the target has no flux.
        """
        return confirm_companion(
            self._phot,
            self._fitted,
            self.best,
            self.prior,
            target=tuple(self._places.target[np.argmax(self._places.log_bayes_factor)].tolist()),
            alone=self.target,
            area=float(self._places.area.sum()),
            fwhm=self.fwhm,
            sampler=Sampler(draws=draws, chains=chains),
            seed=check_integer("seed", seed, least=0),
        )

    @property
    def _divisor(self) -> float:
        """The target's flux, that ratios are over; NaN where it is none."""
        return self.target[2] if self.target[2] > 0.0 else math.nan

    @property
    def _center(self) -> tuple[float, float]:
        """Middle of the region searched."""
        return float(self.x.mean()), float(self.y.mean())

    @property
    def _radius(self) -> float:
        """Half side of the region searched, pixels."""
        n = self.x.shape[1]
        return 0.5 * float(self.x[0, -1] - self.x[0, 0]) * n / (n - 1)

    def pair(
        self, n: int = 2000, *, seed: int = 0, pixel_scale=None, north=None,
        flipped: bool = False, wcs=None,
    ) -> PairPosterior:  # fmt: skip
        """
        Return the posterior of target (1) and companion (2), given that there is one.

        Parameters
        ----------
        n, seed : int
            As for `draw`.
        pixel_scale, north, flipped, wcs
            As for `PhotometryResult.pair`; by default the WCS of the image.

        Returns
        -------
        PairPosterior
            Separation, position angle, magnitude difference, flux ratio, and what they hold of
            limits where the pair is not resolved.
        """
        shape, kept = self._fitted.image.shape, self._fitted.about.get("wcs")
        orientation = read_orientation(
            shape, kept, pixel_scale=pixel_scale, north=north, flipped=flipped, wcs=wcs
        )
        draws = self.draw(n, seed)
        one = {name: np.asarray(draws[f"{name}_target"])[None] for name in ("x", "y", "flux")}
        two = {name: np.asarray(draws[name])[None] for name in ("x", "y", "flux")}
        given = f"given that there is a companion: p_companion {self.p_companion:.3g}"
        remarks = (given, *self.notes)
        return make_pair(one, two, orientation, ids=(1, 2), remarks=remarks, ci_prob=CI_PROB)

    def summary(self) -> str:
        """Return what the map says, a few lines of text."""
        best, curve = self.best, self.contrast_curve()
        unit = "" if self.flux_unit is None else f" {self.flux_unit}"
        x, y, flux = self.target
        chosen = curve["separation"] >= 0.99 * self.fwhm
        limit = float(curve["delta_mag"][chosen][0]) if chosen.any() else math.nan
        faintest = f"{limit:.2f} mag" if math.isfinite(limit) else "none"
        return "\n".join(
            [
                f"target: x {x:.3f}, y {y:.3f}, flux {flux:.6g}{unit}",
                f"p_companion {self.p_companion:.4g} (before: {self.prior.probability:g}), "
                f"ln(evidence ratio) {self.log_evidence_ratio:.2f}",
                f"most likely: x {best.x:.3f}, y {best.y:.3f}, flux {best.flux:.6g} +- "
                f"{best.flux_err:.3g}{unit}, flux ratio {best.flux_ratio:.4g}",
                f"limit of five errors at one FWHM, place known: {faintest}",
                *self.notes,
            ]
        )

    def write(
        self,
        folder: str | Path,
        *,
        pair: PairPosterior | None = None,
        confirmed: Confirmation | None = None,
        false_positives: FalsePositives | None = None,
        overwrite: bool = False,
    ) -> Path:
        """
        Write map, limits and the pair's table.

        Parameters
        ----------
        folder : path
            ``map.fits`` holds the images of ln(Bayes factor), flux, its error and the 95 % upper
            limit, on the pixels of the data by a linear WCS; ``contrast.ecsv`` the limits against
            separation; ``companion.ecsv`` the summary of the pair; ``map.png`` the picture.
        pair : PairPosterior, optional
            Written in place of ``pair()``.
        confirmed : Confirmation, optional
            Its evidence stands beside that of the map in the header of ``companion.ecsv``, and its
            pair is written where none is given.
        false_positives : FalsePositives, optional
            Their number, and the share that looks like the image, stand there too.
        overwrite : bool
            Whether files of these names may be replaced: all at once, at the end.

        Raises
        ------
        FileExistsError
            If one exists and may not be replaced.
        OSError
            If the folder or a file cannot be written.
        """
        from bayesphot.companions.files import write_map

        if pair is None:
            pair = self.pair() if confirmed is None else confirmed.pair()
        return write_map(self, Path(folder), pair, confirmed, false_positives, overwrite=overwrite)

    def plot(self, *, path=None) -> Figure:
        """
        Draw Bayes factors and upper limits at each place, and limits against separation.

        Parameters
        ----------
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayesphot.companions.pictures import plot_map

        return plot_map(self, path)
