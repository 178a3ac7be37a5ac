"""What a PSF is built from: an image without its sky, its noise, and the sources on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import Table

from bayesphot.background import MeshBackground, MMMBackground
from bayesphot.config import BasicPSFPhotometry
from bayesphot.config.run import fit_image
from bayesphot.execute import Workers
from bayesphot.grouping import DAOGroup
from bayesphot.image import Image
from bayesphot.observer import Observer
from bayesphot.plan import LoopPlan

__all__ = ["Frame", "Sources", "choose_estimator", "fit_sources", "open_frame", "renew_frame"]

#: Sides of a tile of the sky, in FWHM and pixels at least.
TILE = 15.0
LEAST_TILE = 48
#: Side of a fit box, FWHM.
BOX = 3.0
#: Groups are linked to this distance, FWHM.
LINK = 1.5


@dataclass(frozen=True, eq=False)
class Frame:
    """An image less its sky, and the variance of its pixels, infinite on bad ones."""

    data: np.ndarray
    variance: np.ndarray
    image: Image
    observer: Observer

    @property
    def good(self) -> np.ndarray:
        """True where a pixel counts."""
        return self.image.good


@dataclass(frozen=True, eq=False)
class Sources:
    """Places and fluxes of sources, arrays of one length."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray

    def __len__(self) -> int:
        """Number of sources."""
        return self.x.size

    def select(self, rows: np.ndarray) -> Sources:
        """Return some of them."""
        return Sources(self.x[rows], self.y[rows], self.flux[rows])


def choose_estimator(shape: tuple[int, int], fwhm: float) -> Any:
    """Return a sky that varies where the image is large enough for it, else one level."""
    box = max(LEAST_TILE, int(np.ceil(TILE * fwhm)))
    return MeshBackground(box) if min(shape) >= 3 * box else MMMBackground()


def open_frame(image: Image, estimator: Any, noise: Any, psf_model: Any) -> Frame:
    """Return the frame of an image, its noise that of the sky alone."""
    plan = LoopPlan(
        BasicPSFPhotometry(
            psf_model=psf_model, fitshape=5, bkg_estimator=estimator, noise=noise, sampler=False
        )._make_settings(),
        finder=None,
        group_maker=None,
        bkg_estimator=estimator,
        noise=noise,
        niters=1,
        max_group_size=None,
        aperture_radius=None,
        workers=Workers(1, None, False),
    )
    observer = Observer(image, plan)
    blank = Frame(np.empty(0), np.empty(0), image, observer)
    return renew_frame(blank, np.zeros(image.shape))


def renew_frame(frame: Frame, model: np.ndarray) -> Frame:
    """Return the frame with the noise of its sources, too, where the noise model knows it."""
    pixels = frame.observer.observe(model)
    with np.errstate(divide="ignore"):
        return replace(frame, data=pixels.data, variance=1.0 / pixels.weight)


def fit_sources(
    frame: Frame, sources: Sources, psf_model: Any, fwhm: float, *, white: float, model=None
) -> tuple[Sources, np.ndarray]:
    """Return sources fitted with a PSF, NaN where they cannot be, and their image.

    Parameters
    ----------
    frame : Frame
        The image.
    sources : Sources
        Starts.
    psf_model : astropy model
        The PSF.
    fwhm : float
        Its FWHM, pixels.
    white : float
        Error of the PSF in each pixel, relative to it.
    model : (ny, nx) array, optional
        Image of the sources as fitted before, for the error of the PSF.
    """
    side = 2 * int(np.ceil(0.5 * BOX * fwhm)) + 1
    photometry = BasicPSFPhotometry(
        psf_model=psf_model,
        fitshape=max(side, 5),
        group_maker=DAOGroup(LINK * fwhm),
        bkg_estimator=None,
        fit_background=False,
        sampler=False,
    )
    variance = frame.variance
    if model is not None:
        variance = variance + (white * model) ** 2
    error = np.where(frame.good, np.sqrt(variance), 1.0)
    starts = Table({"x_0": sources.x, "y_0": sources.y, "flux_0": sources.flux})
    looped = fit_image(photometry, frame.data, error, ~frame.good, starts).looped
    fitted = np.full((3, len(sources)), np.nan)
    fitted[:, looped.row] = looped.scene.sources.value[:, :3].T
    return Sources(*fitted), looped.scene.model
