"""What a run returns, and what it can be asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayesphot.flux_density import convert_fluxes
from bayesphot.source_posterior import SourcePosterior, find_row, select_source

from .pictures import Pictured

if TYPE_CHECKING:
    from astropy.table import QTable

    from bayesphot.companions import CompanionMap, PairPosterior
    from bayesphot.growth import ApertureCorrection, CurveOfGrowth

__all__ = ["PhotometryResult"]


class PhotometryResult(Pictured):
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
    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
    >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
    >>> isinstance(result, bp.PhotometryResult), len(result), result.colnames[:2]
    (True, 2, ['id', 'group_id'])

    The examples of the methods go on from here.
    """

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
        >>> result.pair(1, 2, pixel_scale=0.1, north=30.0).resolved
        True
        """
        from bayesphot.companions import measure_pair

        return measure_pair(
            self,
            primary,
            companion,
            pixel_scale=pixel_scale,
            north=north,
            flipped=flipped,
            wcs=wcs,
        )

    def companion_map(self, id: int, psf_model, **settings) -> CompanionMap:
        """Return the evidence of a second source at every place about one of the result's.

        On the result's own image and noise, with its WCS; all its other sources are the neighbours.

        Parameters
        ----------
        id : int
            The target.
        psf_model : model
            The PSF, of fixed shape: a result does not keep it.
        **settings
            As for `bayesphot.companion_map`: ``prior``, ``psf_error``, ``radius``, ``noise`` ...

        Returns
        -------
        CompanionMap

        Raises
        ------
        ValueError
            For an id that no source has (also a KeyError), and as of `bayesphot.companion_map`.
        TypeError
            For settings that are the result's own: ``target``, ``neighbours``, ``mask``.

        Examples
        --------
        >>> result.companion_map(1, phot.psf_model).p_companion < 0.9
        True
        """
        from bayesphot.companions import map_result

        return map_result(self, id, psf_model, **settings)

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
        >>> curve = result.curve_of_growth(phot.psf_model, [2, 4], ids=[1, 2])
        >>> curve.value.round(1).tolist()
        [0.6, 1.0]
        """
        # It compiles and renders, which reading a result does not.
        from bayesphot.growth import measure_growth

        return measure_growth(self, psf_model, radii, ids=ids, min_snr=min_snr, max_blend=max_blend)

    def aperture_correction(self, radius, psf_model, **selection) -> ApertureCorrection:
        """Return the factor from PSF flux to flux in a circle, from the image's own stars.

        ``aperture flux = value * PSF flux``; `bayesphot.aperture_correction` is that of the PSF
        model alone.

        Parameters
        ----------
        radius : float or array_like of float (m,)
            Radius, pixels.
        psf_model, **selection
            As for `curve_of_growth`.

        Returns
        -------
        ApertureCorrection
            ``value`` and ``err``, numbers or arrays (m,).

        Raises
        ------
        TypeError, ValueError
            As for `curve_of_growth`.

        Examples
        --------
        >>> value, err = result.aperture_correction(2.0, phot.psf_model, ids=[1, 2])
        >>> round(value, 1), 0.0 < err < 0.01
        (0.6, True)
        """
        from bayesphot.growth import ApertureCorrection, is_list

        curve = self.curve_of_growth(psf_model, radius, **selection)
        if is_list(radius):
            return ApertureCorrection(curve.value, curve.err)
        return ApertureCorrection(float(curve.value[0]), float(curve.err[0]))

    def diagnose(self, *, file=None) -> None:
        """Print what went wrong in the run, where, and what to do about it.

        Parameters
        ----------
        file : file, optional
            Where to print; default: the standard output.

        Examples
        --------
        >>> result.diagnose()  # doctest: +ELLIPSIS
        2 sources, none with a flag; largest R-hat 1.00..., least bulk ESS ...
        """
        from bayesphot.diagnosis import describe_run

        print(describe_run(self.table), file=file)
