"""What the fits see of an image: the sky taken out, the variance of each pixel."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from bayesphot.background import (
    SkyMap,
    estimate_mean_sky,
    estimate_sky,
    follows_tilt,
    map_noise,
    measure_tilt,
)
from bayesphot.image import Image
from bayesphot.noise import PixelNoise
from bayesphot.patch import Pixels
from bayesphot.plan import LoopPlan

__all__ = ["Observer"]

log = logging.getLogger("bayesphot")

#: The sky is measured again outside all fit boxes where at least this many pixels remain.
SKY_PIXELS = 400
SKY_SHARE = 0.1
#: Error of a plane over that of its level alone, typical of the places in an image.
PLANE_ERROR = float(np.sqrt(3.0))


class Observer:
    """Turns an image and a model into the pixels of the fits: the sky and the variance."""

    def __init__(self, image: Image, plan: LoopPlan):
        self.image = image
        self.plan = plan
        self.bad = ~image.good
        self._measure_sky(image.data, self.bad, _measure_level)
        self.origin = "error"
        if plan.noise is not None:
            self.origin = repr(plan.noise)
        elif image.error is None:
            self.origin = "estimated"

    def _find_tilt(self, data: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return how the sky of some data is tilted; not at all where the user knows the sky."""
        estimator = self.plan.bkg_estimator
        if not callable(estimator) or follows_tilt(estimator):
            return np.zeros(data.shape)
        return measure_tilt(data, bad)

    def _measure_sky(self, data: np.ndarray, bad: np.ndarray, measure: Callable) -> None:
        """Take what ``measure`` finds in some data for the sky: a level rides on their tilt."""
        estimator = self.plan.bkg_estimator
        tilt = self._find_tilt(data, bad)
        unit = self.image.unit
        sky, bias2 = measure(estimator, data - tilt, bad, unit=unit)
        if tilt.any() and np.ndim(sky.level) > 0:
            # A map knows the tilt itself, also one that does not come from the data.
            tilt = np.zeros(data.shape)
            sky, bias2 = measure(estimator, data, bad, unit=unit)
        self.sky = np.asarray(sky.level, dtype=float) + tilt
        error = np.sqrt(sky.error**2 + bias2)
        self.sky_error = error * (PLANE_ERROR if tilt.any() else 1.0)

    def observe(
        self,
        model: np.ndarray,
        offset: np.ndarray | float = 0.0,
        modes: np.ndarray | None = None,
    ) -> Pixels:
        """Return the pixels, their variance that of the given model of the sources.

        ``offset`` is what fits found beside the sources and the reference sky, ``modes`` (J, ny,
        nx) the images of the PSF's modes for the sources of the model.
        """
        data = np.where(self.image.good, self.image.data - self.sky, 0.0)
        noise = self.plan.noise
        # Before there is a model every star would be an outlier.
        begun = model.any()
        extra = self._doubt(model)
        model = model + offset
        scale2 = self._scale2(data - model) + extra
        variance, known = scale2, None
        if noise is not None:
            known = noise.known(self.sky, scale2)
            if begun or not noise.takes_error:
                variance = noise.variance(data - model, model + self.sky, scale2)
        weight = np.where(self.image.good, 1.0 / variance, 0.0)
        nuisance = self._blank_modes()
        if nuisance is not None and modes is not None:
            nuisance[: len(modes)] = modes
        noises = PixelNoise(noise, known)
        cores, saturated = self.image.cores, self.image.saturated
        return Pixels(data, weight, self.sky, self.sky_error, noises, nuisance, cores, saturated)

    def _doubt(self, model: np.ndarray) -> np.ndarray | float:
        """Return the variance of the PSF's white error, from light that fits have found.

        The fit that follows does not see it move, so that it cannot run away to where all is
        uncertain.
        """
        error = self.plan.settings.psf_error
        return 0.0 if error is None else (error.white * np.maximum(model, 0.0)) ** 2

    def _blank_modes(self) -> np.ndarray | None:
        """Return the images of the nuisances where there is no source; None without any."""
        n = len(self.plan.settings.nuisance_sd)
        return np.zeros((n, *self.image.shape)) if n else None

    def _scale2(self, residual: np.ndarray) -> np.ndarray:
        """Return the squared error of each pixel: as given, or one estimated from the image.

        Zero for noise that says itself how large it is.
        """
        if self.image.error is not None:
            return (self._correlation * self.image.error) ** 2
        if self.plan.noise is not None and not self.plan.noise.takes_error:
            return np.zeros(self.image.shape)
        if not self.image.good.any():
            return np.ones(self.image.shape)
        noise = self._correlation * map_noise(self.plan.bkg_estimator, residual, self.bad)
        where = " in the median tile" if np.ndim(noise) else ""
        estimated = f"estimated: {float(np.median(noise)):.6g} per pixel{where}"
        log.info("no error given: noise %s", estimated)
        self.origin = estimated if self.plan.noise is None else f"{self.plan.noise!r}, {estimated}"
        return np.full(self.image.shape, np.square(noise))

    @property
    def _correlation(self) -> float:
        """Factor on the noise of the pixels."""
        return 1.0 if self.plan.noise is None else self.plan.noise.correlation

    def renew_sky(self, model: np.ndarray, boxes: np.ndarray) -> None:
        """Measure the sky again, sources subtracted, outside all fit boxes where it can be.

        Pixels inside the boxes speak for themselves in the fits: they must not count twice.
        """
        estimator = self.plan.bkg_estimator
        if not callable(estimator):
            # None or a number: the user knows the sky.
            return
        inside = np.zeros(self.image.shape, dtype=bool)
        for r0, r1, c0, c1 in boxes:
            inside[r0:r1, c0:c1] = True
        outside = self.image.good & ~inside
        if outside.sum() >= max(SKY_PIXELS, SKY_SHARE * self.image.good.sum()):
            self._measure_sky(self.image.data - model, ~outside, estimate_mean_sky)
        elif self.plan.settings.background == "prior":
            # No pixel outside: the level stays as a reference, the fits find their own.
            self.sky_error = np.inf


def _measure_level(estimator, data: np.ndarray, bad: np.ndarray, *, unit) -> tuple[SkyMap, float]:
    """Return the sky of data whose sources are still there: no mean can be had of their pixels."""
    return estimate_sky(estimator, data, bad, unit=unit), 0.0
