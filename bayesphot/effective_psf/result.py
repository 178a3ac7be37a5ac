"""What `build_psf` returns: the PSF, how well it is known, and the stars it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from bayesphot.psf import PSFError, make_error_hdu
from bayesphot.psf.error_files import FEWEST
from bayesphot.psf.hdus import make_card

__all__ = ["PSFBuild"]

#: FWHM, pixels, below which some cores cannot be told from one image: an Airy disk is found to
#: 0.6 % of its peak at 1.43 pixels, pixel included, to 6 % at 1.2, where places follow the phase by
#: 0.04.
UNDERSAMPLED = 1.35


@dataclass(frozen=True, eq=False)
class PSFBuild:
    """A PSF built from an image, with its diagnostics.

    Attributes
    ----------
    psf : ImagePSF or PolynomialPSF
        The PSF, of total flux 1 within its stamp; a polynomial where it varies over the image.
    psf_error : PSFError or None
        How stars differ from it and how well it is known: the main modes, and a white remainder.
        None where there are too few stars to tell.
    error : (ny, nx) ndarray
        Standard deviation of the PSF's image in the middle of the detector: of the noise, and of
        the places and fluxes of the stars.
    stars : QTable
        All candidates: ``x``, ``y``, ``flux``, ``used``, ``reason`` (why not used), ``scatter`` (of
        the residuals over their error).
    oversampling : int
        Pixels of the images to one of the data.
    fwhm : float
        FWHM, pixels of the data.
    n_round : int
        Rounds of the iteration.
    change : float
        Change in the last one, over the peak.

    Examples
    --------
    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((120, 120), n_sources=16, sigma=1.5, flux_range=(5e3, 5e4),
    ...                           noise=3.0, border=10, min_separation=12, seed=3)
    >>> build = bp.build_psf(scene.image, error=scene.error, size=17)
    >>> isinstance(build, bp.PSFBuild), round(build.fwhm, 1), build.image.shape
    (True, 3.6, (33, 33))
    >>> build.summary().splitlines()[1]
    'the same over the image'
    >>> figure = build.plot(path="psf.png")
    >>> build.write("psf.fits")
    >>> bp.read_psf("psf.fits").oversampling, len(bp.read_psf_error("psf.fits").sds)
    ((2, 2), 4)
    """

    psf: Any
    psf_error: PSFError | None
    error: np.ndarray
    stars: QTable
    oversampling: int
    fwhm: float
    n_round: int
    change: float
    #: Pixels of the stars for the picture: distance, value over flux, residual.
    pixels: dict[str, np.ndarray] = field(repr=False, default_factory=dict)

    @property
    def image(self) -> np.ndarray:
        """The PSF in the middle of the detector, (ny, nx)."""
        data = np.asarray(self.psf.data)
        return data if data.ndim == 2 else data[0]

    @property
    def modes(self) -> np.ndarray:
        """The main modes (n, ny, nx), each times the standard deviation of its amplitude."""
        if self.psf_error is None or not self.psf_error.images:
            return np.zeros((0, *self.image.shape))
        return np.stack(self.psf_error.images) * np.array(self.psf_error.sds)[:, None, None]

    @property
    def n_used(self) -> int:
        """Stars that make the PSF."""
        return int(np.count_nonzero(self.stars["used"]))

    def __repr__(self) -> str:
        degree = getattr(self.psf, "degree", 0)
        varies = f", varies with degree {degree} over the image" if degree else ""
        return f"<PSFBuild: {self.n_used} stars, FWHM {self.fwhm:.2f} pixels{varies}>"

    def summary(self) -> str:
        """Return what was done, in a few lines."""
        reason = np.array(self.stars["reason"], dtype=str)
        kinds, count = np.unique(reason[reason != ""], return_counts=True)
        order = np.argsort(-count, kind="stable")
        degree = getattr(self.psf, "degree", 0)
        peak = int(np.argmax(self.image))
        relative = float(self.error.ravel()[peak] / self.image.ravel()[peak])
        lines = [
            f"PSF of {self.n_used} stars, FWHM {self.fwhm:.3f} pixels, in an image of "
            f"{self.image.shape[1]} x {self.image.shape[0]}, {self.oversampling} to a pixel",
            "the same over the image"
            if degree == 0
            else f"varies over the image as a polynomial of degree {degree}; known where stars "
            f"are: {self._describe_domain()}",
            f"error of the peak {100.0 * relative:.2f} %; changed by {100.0 * self.change:.2f} % "
            f"of the peak in round {self.n_round}, the last",
        ]
        if self.fwhm < UNDERSAMPLED:
            lines.append(
                "undersampled: the sharper features of its core are not known, whatever the errors "
                "above and below; places may follow the phase of the pixel"
            )
        if self.psf_error is None:
            lines.append(
                f"too few stars ({self.n_used} of {FEWEST}) to tell how they differ: no psf_error"
            )
        else:
            sds = ", ".join(f"{100.0 * sd:.2f} %" for sd in self.psf_error.sds)
            lines.append(
                f"stars differ from it by {len(self.psf_error.sds)} modes of {sds or 'nothing'} of "
                f"the flux, and {100.0 * self.psf_error.white:.2f} % in each pixel"
            )
        lines += [f"{count[k]:6d} {kinds[k]}" for k in order]
        return "\n".join(lines)

    def _describe_domain(self) -> str:
        """Return where the polynomial holds."""
        (left, right), (low, high) = self.psf.domain
        return f"x {left:.0f} to {right:.0f}, y {low:.0f} to {high:.0f}"

    def plot(self, *, path=None):
        """Draw the PSF, its error, its modes and the stars' pixels.

        Parameters
        ----------
        path : str or Path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayesphot.effective_psf.pictures import plot_build

        return plot_build(self, path=path)

    def write(self, path, *, overwrite: bool = False) -> None:
        """Write the PSF to a FITS file that `read_psf` reads, and `read_psf_error` its error.

        Beside it are the extensions ``ERROR``, ``MODES`` (``psf_error``) and ``STARS``.

        Parameters
        ----------
        path : str or Path
            The file.
        overwrite : bool
            Whether to replace one that is there.

        Raises
        ------
        FileExistsError
            If there is one.
        """
        from astropy.io import fits

        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} is there already: overwrite=True replaces it")
        primary = fits.PrimaryHDU(np.asarray(self.psf.data))
        primary.header["OVERSAMP"] = (self.oversampling, "pixels of this image to one of the data")
        primary.header.append(make_card("FWHM", self.fwhm, "pixels of the data"))
        primary.header["NSTARS"] = (self.n_used, "stars it is made from")
        degree = getattr(self.psf, "degree", 0)
        if degree:
            primary.header["POLYDEG"] = (degree, "degree of the variation over the detector")
            places = zip("XY", self.psf.middle, self.psf.scale, self.psf.domain, strict=True)
            for axis, middle, scale, (low, high) in places:
                primary.header.extend(
                    [
                        make_card(f"POLYMID{axis}", middle, "place of u or v = 0, 0-based pixel"),
                        make_card(f"POLYSCL{axis}", scale, "unit of u or v, pixels"),
                        make_card(f"POLYLOW{axis}", low, "from here on the polynomial holds"),
                        make_card(f"POLYHI{axis}", high, "up to here"),
                    ]
                )
        extensions = [primary, fits.ImageHDU(self.error, name="ERROR")]
        if self.psf_error is not None:
            extensions.append(make_error_hdu(self.psf_error))
        stars = fits.table_to_hdu(self.stars)
        stars.name = "STARS"
        fits.HDUList([*extensions, stars]).writeto(path, overwrite=overwrite)
