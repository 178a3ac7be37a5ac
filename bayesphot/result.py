"""What a run returns: the table, the joint posterior, the images and how they came about."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import arviz_bridge, storage
from .checks import check_number
from .draws import Draws, view_readonly
from .flux_density import convert_fluxes
from .source_posterior import SourcePosterior, find_row, select_source

if TYPE_CHECKING:
    import xarray
    from astropy.table import QTable
    from matplotlib.figure import Figure

    from .companions import PairPosterior
    from .growth import ApertureCorrection, CurveOfGrowth

__all__ = ["PhotometryResult"]

IMAGE_NAMES = ("image", "noise_image", "model_image", "residual_image", "background_image")
#: Rows of the table shown in a notebook.
HTML_ROWS = 20
#: Probability of the intervals where a result's meta does not say.
CI_PROB = 0.6827


@dataclass(frozen=True, eq=False, repr=False)
class PhotometryResult:
    """Catalogue, joint posterior and images of one run. Immutable.

    ``result["flux_fit"]``, ``len(result)`` and ``result.colnames`` pass through to the table.

    Parameters
    ----------
    table : QTable
        One row per source, with at least ``id`` and ``group_id``; its columns become read-only
        (``result.table.copy()`` is free to change).
    draws : Draws or None
        Posterior draws, sources in the order of the rows; None if nothing was sampled or kept.
    model_image, residual_image, background_image, image : ndarray or Quantity, (y, x)
        Sources plus background as fitted, data minus model, background, and the data, NaN where
        bad.
    noise_image : ndarray or Quantity, (y, x), optional
        The 1-sigma noise of each pixel.
    meta : mapping
        Versions, arguments, seed, timings, noise; kept in plain types (tuples become lists,
        objects their text), so that a written result reads back equal.

    Raises
    ------
    ValueError
        If ids repeat, images differ in shape, or the draws belong to another table.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import QTable
    >>> from bayesphot import PhotometryResult
    >>> blank = np.zeros((5, 5))
    >>> table = QTable({"id": [1, 2], "group_id": [1, 1], "flux_fit": [10.0, 20.0]})
    >>> result = PhotometryResult(table, None, blank, blank, blank, blank)
    >>> len(result), float(result["flux_fit"].sum())
    (2, 30.0)
    """

    table: QTable
    draws: Draws | None
    model_image: np.ndarray
    residual_image: np.ndarray
    background_image: np.ndarray
    image: np.ndarray
    noise_image: np.ndarray | None = None
    meta: dict = field(default_factory=dict)
    _lock: threading.Lock = field(init=False)
    _posterior: xarray.Dataset | None = field(init=False)

    def __post_init__(self) -> None:
        for name in IMAGE_NAMES:
            if (array := getattr(self, name)) is not None:
                frozen = view_readonly(np.asanyarray(array, dtype=np.float64))
                object.__setattr__(self, name, frozen)
        object.__setattr__(self, "table", _freeze_table(self.table))
        object.__setattr__(self, "meta", storage.make_plain(self.meta))
        self._check()
        self._reset_cache()

    def _check(self) -> None:
        """Raise ValueError where the parts contradict each other."""
        for name in IMAGE_NAMES:
            array = getattr(self, name)
            if array is not None and array.shape != self.image.shape:
                raise ValueError(
                    f"{name} must have the shape of image {self.image.shape}, found {array.shape}"
                )
        for name in ("id", "group_id"):
            if name not in self.table.colnames:
                raise ValueError(f"table must have the column {name!r}")
        ids, counts = np.unique(self.table["id"], return_counts=True)
        if np.any(counts > 1):
            raise ValueError(f"table must have unique ids, found {ids[counts > 1][0]} twice")
        if self.draws is not None and not np.array_equal(self.draws.source_id, self.table["id"]):
            raise ValueError("draws must have the sources of the table in the order of its rows")

    def _reset_cache(self) -> None:
        """Forget the labelled posterior."""
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_posterior", None)

    def __getstate__(self) -> dict:
        # A lock cannot be pickled, and the labelled posterior would double the draws.
        return {part.name: getattr(self, part.name) for part in fields(self) if part.init}

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, item):
        return self.table[item]

    @property
    def colnames(self) -> list[str]:
        """Names of the table's columns."""
        return self.table.colnames

    @property
    def posterior(self) -> xarray.Dataset:
        """The draws with labels, built at the first use.

        ``x, y, flux`` and shape parameters have the dimensions (chain, draw, source) with the
        ids as ``source``, ``background`` has (chain, draw, group). Without draws there are no
        variables.
        """
        with self._lock:
            if self._posterior is None:
                posterior = arviz_bridge.build_posterior(
                    self.draws,
                    source_id=np.asarray(self.table["id"]),
                    group_id=self._group_ids(),
                    units=self.units,
                )
                posterior.attrs["schema_version"] = storage.SCHEMA_VERSION
                object.__setattr__(self, "_posterior", posterior)
            return self._posterior

    @property
    def units(self) -> dict[str, str]:
        """Units of the parameters that have one, as text."""
        units = {}
        for name in self.table.colnames:
            unit = getattr(self.table[name], "unit", None)
            if name.endswith("_fit") and unit is not None:
                units[name.removesuffix("_fit")] = unit.to_string()
        if units.get("background"):
            # The slopes of a plane are levels per pixel.
            slope = f"{units['background']} / pix"
            units |= {"background_dx": slope, "background_dy": slope}
        return units

    def source(self, id: int) -> SourcePosterior:
        """Return the posterior of one source.

        Parameters
        ----------
        id : int
            As in the table's ``id``.

        Returns
        -------
        SourcePosterior
            Draws as arrays, summary, covariance with its group mates, and the table's row; the
            first three are empty if the result has no draws.

        Raises
        ------
        ValueError
            If no source has this id (also a KeyError).

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> star = result.source(2)
        >>> star.draws["flux"].shape, star.covariance.matrix.shape
        ((4, 500), (3, 3))
        >>> flux = star.summary["flux"]
        >>> bool(abs(flux.median - scene.truth["flux"][1]) < 5 * flux.sd)
        True
        """
        row = self.table[find_row(self.table["id"], id)]
        return select_source(self.draws, row=row, units=self.units, ci_prob=self.ci_prob)

    def pair(
        self,
        primary: int,
        companion: int,
        *,
        pixel_scale=None,
        north=None,
        flipped: bool = False,
        wcs=None,
    ) -> PairPosterior:
        """Return the posterior of a close pair: separation, position angle, magnitudes.

        Draw by draw: stars of one group by their joint states, stars of different groups by
        draws that are independent.

        Parameters
        ----------
        primary, companion : int
            Ids, as in the table. Angles are those of the companion as seen from the primary,
            magnitudes companion minus primary, ratios companion over primary, whichever of them
            is brighter.
        pixel_scale : float or Quantity, optional
            Arcsec per pixel.
        north : float or Quantity, optional
            Direction of north on the detector, degrees counterclockwise from +y (x to the right,
            y up). East is 90 degrees counterclockwise from north, as on the sky.
        flipped : bool
            Whether east is 90 degrees clockwise from `north` instead.
        wcs : WCS, optional
            Celestial coordinates of the image, in place of scale, north and parity; distortion
            included. Default where `pixel_scale` and `north` are not given: that of the image, as
            the result keeps it.

        Returns
        -------
        PairPosterior
            Draws, summary, covariance, limits and a corner plot. Without north or WCS the position
            angle is counterclockwise from +y; without scale or WCS the separation is in pixels
            only.

        Raises
        ------
        ValueError
            For an id that no source has (also a KeyError), the same id twice, a result without
            draws, a source that was not sampled, a WCS that cannot be used or stands beside
            `pixel_scale` or `north`.
        TypeError
            If `pixel_scale`, `north` or `flipped` is none.

        Notes
        -----
        A pair is `resolved` where separation zero lies outside the 3-sigma region of the draws and
        both fluxes are positive by as much; else its summary holds limits.

        Examples
        --------
        >>> import bayesphot as bp
        >>> stars = {"x_0": [20.0, 24.0], "y_0": [20.0, 20.0], "flux": [4000.0, 1000.0]}
        >>> scene = bp.simulate_scene((41, 41), sources=stars, sigma=1.5, noise=5.0, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11,
        ...     group_maker=bp.DAOGroup(6.0), seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> result.pair(1, 2, pixel_scale=0.1, north=30.0).resolved
        True
        """
        from .companions import measure_pair

        return measure_pair(
            self,
            primary,
            companion,
            pixel_scale=pixel_scale,
            north=north,
            flipped=flipped,
            wcs=wcs,
        )

    @property
    def ci_prob(self) -> float:
        """Probability of the central intervals."""
        arguments = self.meta.get("arguments")
        places = (self.meta, arguments if isinstance(arguments, Mapping) else {})
        found = [place["ci_prob"] for place in places if "ci_prob" in place]
        return float(found[0]) if found else CI_PROB

    def to_arviz(self):
        """Return posterior, sampler statistics and image as the installed ArviZ takes them.

        Returns
        -------
        xarray.DataTree or arviz.InferenceData
            For ArviZ 1.0 and later, or before. Groups ``posterior``, ``sample_stats`` (one value
            for each group), ``constant_data`` (``group_id`` of each source), ``observed_data``.

        Raises
        ------
        ValueError
            If the result has no draws.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> import arviz as az
        >>> len(az.summary(result.to_arviz(), var_names=["flux"]))
        2
        """
        self.require_draws("to_arviz")
        unit = getattr(self.image, "unit", None)
        tree = self._build_tree(
            image=np.asarray(self.image), image_unit=None if unit is None else unit.to_string()
        )
        return arviz_bridge.convert_tree(tree)

    def write(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write catalog.ecsv, posterior.nc and images.fits.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. A run that dies leaves no half-written result.
        overwrite : bool
            Whether to replace a result; other files in the folder stay.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        FileExistsError
            If the folder is not empty and `overwrite` is False, or is a file.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> sorted(path.name for path in result.write("m92").iterdir())
        ['catalog.ecsv', 'images.fits', 'posterior.nc']
        """
        images = {name.removesuffix("_image"): getattr(self, name) for name in IMAGE_NAMES}
        kept = {name: image for name, image in images.items() if image is not None}
        content = storage.StoredResult(self.table, self._build_tree(), kept, self.meta)
        return storage.write_folder(folder, content, overwrite=overwrite)

    @classmethod
    def read(cls, folder: str | Path) -> PhotometryResult:
        """Read a written result; the round trip is exact.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it holds no readable result of this package.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> again = bp.PhotometryResult.read(result.write("m92"))
        >>> bool((again["flux_fit"] == result["flux_fit"]).all())
        True
        """
        table, tree, images, meta = storage.read_folder(folder)
        try:
            parts: dict[str, Any] = {
                name: images.get(name.removesuffix("_image")) for name in IMAGE_NAMES
            }
            return cls(table, arviz_bridge.read_draws(tree), meta=meta, **parts)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"files in {folder} do not make one result: {error}") from error

    def to_flux_density(
        self, unit="Jy", *, pixel_area=None, beam=None, zero_point=None, equivalencies=()
    ) -> QTable:
        """Return the fluxes as flux densities, with AB magnitudes.

        Parameters
        ----------
        unit : str or `~astropy.units.Unit`
            Wanted unit: of flux density (Jy, mJy), or nanomaggies.
        pixel_area : Quantity, optional
            Solid angle of a pixel, one or one for each row, for images in surface brightness
            (MJy/sr, Jy/beam). None: that under each source by the WCS (column ``pixel_area``).
        beam : Quantity, optional
            Of an image in Jy/beam: the two widths (FWHM, BMAJ and BMIN) of a Gaussian, or a solid
            angle.
        zero_point : float, optional
            AB magnitude of unit flux, for images in counts. That of the run is not taken, for it
            may be of another system.
        equivalencies : list
            As for `~astropy.units.Quantity.to`, such as ``u.spectral_density(wavelength)``.

        Returns
        -------
        QTable
            ``id``, positions, ``flux_density_fit``, ``_fit_err``, ``_median``, ``_err``, ``_lo``,
            ``_hi`` as of the flux, and ``mag_ab_fit``, ``_median``, ``_lo``, ``_hi``, NaN where a
            flux (the lower end of its interval) is not positive. Errors of areas, beams and zero
            points are not in them.

        Raises
        ------
        TypeError, ValueError
            If the image's unit does not lead to `unit`, or the area of a pixel, the beam or the
            zero point is missing for that.

        Notes
        -----
        m_AB = -2.5 log10(f / (erg / s / cm2 / Hz)) - 48.60 (Oke & Gunn 1983): 0 at 3630.78 Jy,
        which is a maggy, too. A flux in MJy/sr is the sum over pixels times the area of one. That
        of a sampled PSF is in its own normalisation: see ``enclosed_fraction``.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=1, sigma=1.5, noise=1.0, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> result.to_flux_density("uJy", zero_point=23.9)["flux_density_fit"].unit
        Unit("uJy")
        """
        return convert_fluxes(
            self.table,
            unit=unit,
            pixel_area=pixel_area,
            beam=beam,
            zero_point=zero_point,
            equivalencies=equivalencies,
        )

    def curve_of_growth(
        self,
        psf_model,
        radii=None,
        *,
        ids: Iterable[int] | None = None,
        min_snr: float = 50.0,
        max_blend: float = 0.05,
    ) -> CurveOfGrowth:
        """Return how the light of the image's own stars grows with radius, over their PSF flux.

        Circles on the data about each star, less the sky and all *other* fitted sources; pixels
        count with the share of their area inside. The mean over bright isolated stars weighs each
        by its noise and the scatter between stars, which the error has in it.

        Parameters
        ----------
        psf_model : astropy.modeling.Fittable2DModel
            That of the run (a result keeps none); fitted shapes are taken from the table.
        radii : array_like of float, optional
            Radii, pixels; default: half to four FWHM.
        ids : iterable of int, optional
            These stars; default: all that are bright, isolated, on good pixels out to the largest
            radius and without a flag (but POOR_FIT and those of the sampling), less those far from
            the median at any radius.
        min_snr : float
            Least flux of a bright star, in its errors.
        max_blend : float
            Most light of other sources in the largest circle, over the star's flux.

        Returns
        -------
        CurveOfGrowth
            ``radius``, ``value``, ``err`` and its parts, ``model``, and each star's.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong, or fewer than 3 stars are left.

        Notes
        -----
        Of this kind is DAOGROW (Stetson 1990), which joins the frames of a night by a family of
        profiles; here no profile is assumed, and none extrapolated. Noise common to circle and PSF
        flux is counted once. The error of the sky is taken as common to all stars.

        Examples
        --------
        >>> import bayesphot as bp
        >>> psf_model = bp.IntegratedGaussianPRF(sigma=1.5)
        >>> scene = bp.simulate_scene((60, 60), n_sources=4, sigma=1.5, noise=1.0, seed=1,
        ...                           flux_range=(2e4, 3e4), border=14, min_separation=20)
        >>> phot = bp.BasicPSFPhotometry(psf_model=psf_model, fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> curve = result.curve_of_growth(psf_model, [2, 4, 8])
        >>> curve.value.round(1).tolist()
        [0.6, 1.0, 1.0]
        """
        # It compiles and renders, which reading a result does not.
        from .growth import measure_growth

        return measure_growth(self, psf_model, radii, ids=ids, min_snr=min_snr, max_blend=max_blend)

    def aperture_correction(self, radius: float, psf_model, **selection) -> ApertureCorrection:
        """Return the factor from PSF flux to flux in a circle, from the image's own stars.

        ``aperture flux = value * PSF flux``; `bayesphot.aperture_correction` is that of the PSF
        model alone.

        Parameters
        ----------
        radius : float
            Radius, pixels.
        psf_model, **selection
            As for `curve_of_growth`.

        Returns
        -------
        ApertureCorrection
            ``value`` and ``err``.

        Raises
        ------
        TypeError, ValueError
            As for `curve_of_growth`.

        Examples
        --------
        >>> import bayesphot as bp
        >>> psf_model = bp.IntegratedGaussianPRF(sigma=1.5)
        >>> scene = bp.simulate_scene((60, 60), n_sources=4, sigma=1.5, noise=1.0, seed=1,
        ...                           flux_range=(2e4, 3e4), border=14, min_separation=20)
        >>> phot = bp.BasicPSFPhotometry(psf_model=psf_model, fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> value, err = result.aperture_correction(2.0, psf_model)
        >>> round(value, 1), 0.0 < err < 0.01
        (0.6, True)
        """
        from .growth import ApertureCorrection

        radius = check_number("radius", radius, above=0.0)
        curve = self.curve_of_growth(psf_model, [radius], **selection)
        return ApertureCorrection(float(curve.value[0]), float(curve.err[0]))

    def diagnose(self, *, file=None) -> None:
        """Print what went wrong in the run, where, and what to do about it.

        Parameters
        ----------
        file : file, optional
            Where to print; default: the standard output.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=3, sigma=1.5, noise=1.0, border=6, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> phot(scene.image, error=scene.error, positions=scene.truth).diagnose()
        3 sources, none with a flag
        """
        from bayesphot.diagnosis import describe_run

        print(describe_run(self.table), file=file)

    def plot(self, *, ids: int | Iterable[int] | None = None, path=None) -> Figure:
        """Draw data, model and residual in units of the noise, with position error ellipses.

        Parameters
        ----------
        ids : int or iterable of int, optional
            Show only these sources and the image around them.
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> figure = result.plot(ids=1, path="star.png")
        """
        from . import plotting

        return plotting.plot_images(self, ids=ids, path=path)

    def plot_corner(
        self,
        ids: int | Iterable[int],
        *,
        names: str | Iterable[str] | None = None,
        truths: Mapping[str, float] | None = None,
        path=None,
    ) -> Figure:
        """Draw the marginal distributions of all free parameters of some sources, and of pairs.

        Parameters
        ----------
        ids : int or iterable of int
            At most 12 free parameters together.
        names : str or iterable of str, optional
            Only these parameters ("flux", "background", ...); default all free ones.
        truths : mapping of str to float, optional
            Known values, by the names of the covariance ("flux[3]"); for a single source also
            by the plain name ("flux").
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            For an unknown id, name or truth, no draws, no free parameter or too many.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> truth = {"flux": scene.truth["flux"][0]}
        >>> figure = result.plot_corner(1, names=["x", "flux"], truths=truth, path="corner.png")
        """
        from . import plotting

        return plotting.plot_corner(self, ids, names=names, truths=truths, path=path)

    def plot_trace(
        self, ids: int | Iterable[int], *, names: str | Iterable[str] | None = None, path=None
    ) -> Figure:
        """Draw the chains of all free parameters of some sources.

        Parameters
        ----------
        ids : int or iterable of int
            At most 12 free parameters together.
        names : str or iterable of str, optional
            Only these parameters ("flux", "background", ...); default all free ones.
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            For an unknown id or name, no draws, no free parameter or too many.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> figure = result.plot_trace([1, 2], names="flux", path="trace.png")
        """
        from . import plotting

        return plotting.plot_trace(self, ids, names=names, path=path)

    def plot_diagnostics(self, *, path=None) -> Figure:
        """Draw how well the run went: convergence, fit, p-values and flags of all sources.

        R-hat, the smallest effective number of draws and Pareto k, with the samplers' default
        gates (1.01, 400, 0.7); reduced chi-squared; posterior-predictive p-values of the groups;
        how often each flag occurs.

        Parameters
        ----------
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If the result was not sampled.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> figure = result.plot_diagnostics(path="diagnostics.png")
        """
        from . import plotting

        engine = np.asarray(self.table["engine"]).astype(str)
        if not np.any((engine != "none") & (engine != "")):
            raise ValueError("plot_diagnostics needs sampled sources and this result has none")
        return plotting.plot_diagnostics(self, path=path)

    def require_draws(self, asker: str) -> Draws:
        """Return the draws, or raise a ValueError that says what needs them.

        Examples
        --------
        >>> import bayesphot as bp
        >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
        >>> phot = bp.BasicPSFPhotometry(
        ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
        >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
        >>> result.require_draws("a picture of chains")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: a picture of chains needs posterior draws and this result has none: the run ...
        """
        if self.draws is None:
            raise ValueError(
                f"{asker} needs posterior draws and this result has none: "
                "the run did not sample (sampler=False) or did not keep them"
            )
        return self.draws

    def _group_ids(self) -> np.ndarray:
        """Return the ids of the groups; rows that were not measured may belong to none."""
        if self.draws is not None:
            return self.draws.group_id
        groups = np.unique(np.asarray(self.table["group_id"]))
        return groups[groups >= 0]

    def _build_tree(self, **observed) -> xarray.DataTree:
        """Return the tree of everything labelled."""
        return arviz_bridge.build_tree(
            self.posterior,
            source_group=self.draws.source_group if self.draws else self.table["group_id"],
            stats=self.draws.stats if self.draws else None,
            attrs={"schema_version": storage.SCHEMA_VERSION},
            **observed,
        )

    def _describe(self) -> str:
        """Return the numbers of sources, groups, flagged rows and draws in a line."""
        n_groups = self._group_ids().size
        text = (
            f"{len(self)} source{'s' * (len(self) != 1)} in {n_groups} group{'s' * (n_groups != 1)}"
        )
        if "flags" in self.colnames:
            text += f", {np.count_nonzero(self.table['flags'])} flagged"
        if self.draws is None:
            return f"{text}; no draws"
        text += f"; {self.draws.n_chains} chains x {self.draws.n_draws} draws"
        if "engine" in self.colnames:
            engines = sorted({str(engine) for engine in self.table["engine"]} - {"", "none"})
            text += f" ({', '.join(engines)})" if engines else ""
        return text

    def __repr__(self) -> str:
        return f"<PhotometryResult: {self._describe()}>"

    def _repr_html_(self) -> str:
        lines = self.table.pformat(max_lines=HTML_ROWS + 4, max_width=-1, html=True)
        return (
            f"<p><b>PhotometryResult</b>: {self._describe()}</p>"
            f'<div style="overflow-x:auto">{"".join(lines)}</div>'
        )


def _freeze_table(table: QTable) -> QTable:
    """Return the table with read-only columns that share the memory of the given ones."""
    from astropy.table import QTable

    frozen = QTable(table, copy=False)
    frozen.meta = {**copy.deepcopy(dict(table.meta)), "schema_version": storage.SCHEMA_VERSION}
    for name in frozen.colnames:
        if isinstance(frozen[name], np.ma.MaskedArray):
            # A view would share its mask, which cannot be made read-only.
            frozen.replace_column(name, frozen[name].copy())
        if isinstance(frozen[name], np.ndarray):
            frozen[name].flags.writeable = False
            if frozen[name].dtype.kind == "f" and frozen[name].info.format is None:
                frozen[name].info.format = _choose_format(name)
    return frozen


def _choose_format(name: str) -> str:
    """Return how a column is shown; its values, and what is written, keep every digit."""
    if name in ("ra", "dec"):
        return ".7f"
    if name.startswith("ess_"):
        return ".0f"
    return ".4f" if name.startswith(("x_", "y_", "mag_", "r_hat")) else ".6g"
