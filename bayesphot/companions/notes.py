"""What is to be known of a search besides its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.companions.region import Region
from bayesphot.companions.weigh import Search, Weighed
from bayesphot.config.run import Fitted
from bayesphot.noise import ContaminatedGaussian, PoissonNoise, StudentTNoise

if TYPE_CHECKING:
    from bayesphot.psf import PSFConfig

__all__ = ["find_off", "find_saturated", "list_notes"]

#: Errors of its flux above which a target is seen.
SEEN = 5.0
#: ln of a Bayes factor from which on a best place is one.
CLEAR = 5.0
#: A best place this near to the target, in FWHM, looks like an error of the PSF.
ON_TARGET = 0.25
#: Pixels of a core with one value that look like saturation.
FLAT_TOP = 4
#: Chi^2 this many of its standard deviations above what is expected is a poor fit.
POOR = 5.0
#: Noise whose weights are those of a normal one: what the samplers know of it, the map does not.
AS_NORMAL = (StudentTNoise, ContaminatedGaussian, PoissonNoise)


def list_notes(
    search: Search, places: Weighed, *, fitted: Fitted, psf: PSFConfig, region: Region, noise
) -> tuple[str, ...]:
    """Return the notes of a map.

    Parameters
    ----------
    search : Search
        As it ended.
    places : Weighed
        The places it weighed.
    fitted : Fitted
        Fits of the target and its neighbours, and the image.
    psf : PSFConfig
        The PSF.
    region : Region
        Where was searched.
    noise : object or None
        The noise model given.
    """
    return (
        *_describe_target(search, fitted),
        *_describe_best(search, places),
        *_describe_places(places, fitted),
        *_describe_noise(search, places, fitted, noise),
        *_describe_region(psf, region),
    )


def find_saturated(fitted: Fitted, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which places lie on saturated pixels: of a companion there only wings are seen."""
    saturated = fitted.image.saturated
    return np.zeros(x.shape, dtype=bool) if saturated is None else _look_up(saturated, x, y)


def find_off(shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which places lie off an image."""
    return ~_look_up(np.ones(shape, dtype=bool), x, y)


def _look_up(plane: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the pixels of a plane at places, False off it."""
    n_y, n_x = plane.shape
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    inside = (row >= 0) & (row < n_y) & (column >= 0) & (column < n_x)
    return inside & plane[np.clip(row, 0, n_y - 1), np.clip(column, 0, n_x - 1)]


def _is_seen(search: Search) -> bool:
    """Whether there is a star at the target."""
    return search.alone.flux > SEEN * search.alone.flux_err


def _describe_target(search: Search, fitted: Fitted) -> Iterator[str]:
    """Whether a star is there, where, and what of it is seen."""
    alone, stamp = search.alone, search.stamp
    if not _is_seen(search):
        yield (
            f"no star is seen at the target: flux {alone.flux:.4g} +- {alone.flux_err:.2g}; ratios "
            "and magnitude differences mean nothing, nor does p_companion with a prior of ratios"
        )
    far = float(np.hypot(*(stamp.target[:2] - stamp.start)))
    if far > search.fwhm:
        yield f"the target is found {far:.3g} pixels from the place given, more than one FWHM"
    n_lost = len(fitted.looped.catalog) - len(fitted.looped.row)
    if n_lost:
        yield (
            f"{n_lost} of the neighbours cannot be measured, being off the image or without good "
            "pixels, and are left out"
        )
    at = np.array([stamp.start, stamp.target[:2]]).T
    if find_saturated(fitted, *at).any():
        yield "the target's core is saturated: it is measured from its wings"
    elif (n_equal := _count_equal(search, fitted)) >= FLAT_TOP:
        yield (
            f"{n_equal} pixels of the target's core have the same largest value: where that is "
            "saturation, saturation= masks them, and the wings are fitted"
        )
    elif _look_up(~fitted.image.good, *at).any():
        yield "the target's core is masked: it is measured from its wings, and its place less well"


def _count_equal(search: Search, fitted: Fitted) -> int:
    """Return how many pixels within a FWHM of the target have the largest value there."""
    image, (x, y) = fitted.image, search.stamp.target[:2]
    row, column = np.indices(image.shape)
    core = image.data[image.good & (np.hypot(column - x, row - y) < search.fwhm)]
    return int(np.sum(core == core.max())) if core.size else 0


def _describe_best(search: Search, places: Weighed) -> Iterator[str]:
    """Whether the best place is what it seems."""
    k = int(np.argmax(places.log_bayes_factor))
    if not (_is_seen(search) and places.log_bayes_factor[k] > CLEAR):
        return
    best, start = np.array([places.x[k], places.y[k]]), np.array(search.stamp.start)
    target = places.target[k, :2]
    if np.hypot(*(best - target)) < ON_TARGET * search.fwhm:
        yield (
            "the best place is on the target, within a quarter of a FWHM: an error of the PSF "
            "looks like this (psf_error= has it in the model)"
        )
    elif np.hypot(*(best - start)) < np.hypot(*(target - start)) - ON_TARGET * search.fwhm:
        yield (
            f"the star at the place given is the companion: the target is the one at "
            f"({target[0]:.2f}, {target[1]:.2f})"
        )


def _describe_places(places: Weighed, fitted: Fitted) -> Iterator[str]:
    """Where nothing can be said."""
    whole = places.area > 0.0
    x, y = places.x[whole], places.y[whole]
    n_saturated = int(find_saturated(fitted, x, y).sum())
    if n_saturated:
        yield f"no limits at {n_saturated} places on saturated pixels"
    n_off = int(find_off(fitted.image.shape, x, y).sum())
    if n_off:
        yield f"no limits at {n_off} of {x.size} places, which lie off the image"


def _describe_noise(search: Search, places: Weighed, fitted: Fitted, noise) -> Iterator[str]:
    """What is known of the noise, and whether the fit is as good as it says."""
    weight = search.stamp.weight[search.stamp.weight > 0.0]
    if noise is None and fitted.image.error is None:
        yield (
            f"the noise is estimated from the image, {np.median(weight) ** -0.5:.4g} per pixel: "
            "a small image that is mostly star has too much; error= or noise= say what it is"
        )
    if isinstance(noise, AS_NORMAL):
        yield (
            f"the map takes {type(noise).__name__} as normal noise: confirm() samples with the "
            "noise as it is"
        )
        return
    k = int(np.argmax(places.log_bayes_factor))
    chi2 = search.find_chi2(places.x[k], places.y[k])
    n_free = weight.size - search.alone.state.size - 1
    if n_free > 0 and chi2 > n_free + POOR * (2.0 * n_free) ** 0.5:
        yield (
            f"target and companion do not fit: reduced chi^2 {chi2 / n_free:.3g}; noise, PSF or "
            "neighbours are not what they are said to be, and evidence and limits are too good"
        )


def _describe_region(psf: PSFConfig, region: Region) -> Iterator[str]:
    """Whether the PSF ends it."""
    if region.cut:
        yield (
            f"the PSF's stamp ends {psf.stamp:g} pixels from its middle: radius "
            f"{region.radius:g}, fit box {region.box}"
        )
