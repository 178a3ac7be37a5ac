"""The state of a run between two steps of its loop. Immutable: every step returns a new one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.catalog import Catalog
from bayesphot.fitting import GroupFit
from bayesphot.kernels.structs import FLUX
from bayesphot.patch import GroupData, Pixels, SourceState, cut_batch
from bayesphot.plane import list_sky_columns
from bayesphot.psf import PSFError
from bayesphot.render import render_mode
from bayesphot.settings import ModelSettings

__all__ = [
    "Grouped",
    "Scene",
    "render_fitted_modes",
    "render_modes",
    "render_offset",
    "render_sky_offset",
]


@dataclass(frozen=True, eq=False)
class Grouped:
    """Who belongs to whom.

    Parameters
    ----------
    labels : (n,) int array
        Group of each source, 1-based in order of first member.
    was_split : (n,) bool array
        Whether the source's group is a part of a larger one.
    member, start : int arrays
        Members of group g (0-based): ``member[start[g]:start[g + 1]]``, in canonical order.
    """

    labels: np.ndarray
    was_split: np.ndarray
    member: np.ndarray
    start: np.ndarray

    @classmethod
    def from_labels(cls, labels: np.ndarray, was_split: np.ndarray) -> Grouped:
        """Sort sources by group; the order within a group is kept."""
        _, compact = np.unique(labels, return_inverse=True)
        member = np.argsort(compact, kind="stable").astype(np.int64)
        counts = np.bincount(compact) if compact.size else np.zeros(0, dtype=np.int64)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(np.asarray(labels, dtype=np.int64), was_split, member, start)

    @property
    def n_group(self) -> int:
        """Number of groups."""
        return self.start.size - 1

    def group_of_member(self) -> np.ndarray:
        """Return the group number of each entry of ``member``."""
        return np.repeat(np.arange(self.n_group), np.diff(self.start))

    def select(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (member, start) of some groups."""
        sizes = self.start[groups + 1] - self.start[groups]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        place = np.arange(start[-1]) + np.repeat(self.start[groups] - start[:-1], sizes)
        return self.member[place], start


@dataclass(frozen=True, eq=False)
class Scene:
    """Sources of an image, their groups and fits.

    Parameters
    ----------
    pixels : Pixels
        The image as the fits see it.
    catalog : Catalog
        The measurable sources, in canonical order.
    sources : SourceState
        Their values and priors.
    grouped : Grouped
        Their groups.
    fit : GroupFit or None
        Optimum of each group, members in the order of ``grouped.member``.
    model : (ny, nx) array
        Image of all sources as they stand in ``sources.value``.
    shape_cavity : ((G, m), (G, m, m)) arrays or None
        For m free shapes, shared by the image: means and precision matrix of their columns from
        everything but the group itself.
    settled : (ny, nx) array or None
        The model under which fits that were carried over from an earlier round were made.
    scales : (G, 2) array or None
        For a sampled scale of the noise: mean and precision of the normal that proposes ln(scale).
    modes : (G, J, 2) array or None
        For shapes known by the modes of the PSF: mean and precision of the modes' amplitudes from
        everything but the group itself, their priors in the last fits and the sampling.
    """

    pixels: Pixels
    catalog: Catalog
    sources: SourceState
    grouped: Grouped
    fit: GroupFit | None
    model: np.ndarray
    shape_cavity: tuple[np.ndarray, np.ndarray] | None = None
    settled: np.ndarray | None = None
    scales: np.ndarray | None = None
    modes: np.ndarray | None = None

    @property
    def fitted(self) -> GroupFit:
        """The fits of a scene that must have some."""
        if self.fit is None:
            raise RuntimeError("the scene has no fits yet")
        return self.fit

    def cut(
        self, settings: ModelSettings, groups: np.ndarray | None = None, *, sampling: bool = False
    ) -> GroupData:
        """Return the patches of some groups, by default of all.

        Parameters
        ----------
        settings : ModelSettings
            The run's model.
        groups : int array, optional
            Their numbers.
        sampling : bool
            Whether the layout is that of the sampling.
        """
        groups = np.arange(self.grouped.n_group) if groups is None else groups
        member, start = self.grouped.select(groups)
        data = cut_batch(
            self.pixels, self.model, self.sources, member, start, settings, sampling=sampling
        )
        if self.modes is None:
            return data
        return data.expect_modes(self.modes[groups], settings.n_sky)


def render_sky_offset(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return the image of what the groups fitted on top of the reference sky, each in its patch.

    Where patches meet it is their mean; outside them 0.
    """
    shape = scene.pixels.data.shape
    if settings.n_sky == 0 or scene.grouped.n_group == 0 or scene.fit is None:
        return np.zeros(shape)
    batch = scene.cut(settings).batch
    size = np.diff(batch.pixel_start)
    n_row, n_col, first_row, first_col = np.repeat(batch.rows, size, axis=0).T
    row, col = np.divmod(np.arange(size.sum()) - np.repeat(batch.pixel_start[:-1], size), n_col)
    fitted = np.repeat(scene.fit.shared[:, : settings.n_sky], size, axis=0)
    columns = list_sky_columns(row, col, n_row, n_col, settings.n_sky)
    level = np.einsum("ps,sp->p", fitted, columns)
    used = batch.weight > 0.0
    place = ((first_row + row) * shape[1] + first_col + col)[used]
    n_pixel = scene.pixels.data.size
    count = np.bincount(place, minlength=n_pixel)
    total = np.bincount(place, weights=level[used], minlength=n_pixel)
    return (total / np.maximum(count, 1)).reshape(shape)


def render_modes(scene: Scene, settings: ModelSettings) -> np.ndarray | None:
    """Return the images (J, ny, nx) of the PSF's modes, flux times mode; None without any.

    They are taken at the positions, fluxes and amplitudes of the fits.
    """
    modes = _list_modes(scene, settings)
    if modes is None:
        return None
    error, amplitude = modes
    shape, state = scene.pixels.data.shape, scene.sources.value
    images = [
        render_mode(shape, state, settings.psf, error, j, amplitude[:, j])
        for j in range(amplitude.shape[1])
    ]
    return np.stack(images)


def render_fitted_modes(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return the image of the PSF's error as the groups fitted it, wings included.

    Each source has the modes at the amplitudes of its group.
    """
    shape = scene.pixels.data.shape
    total = np.zeros(shape)
    modes = _list_modes(scene, settings)
    if modes is None:
        return total
    error, amplitude = modes
    for j in range(amplitude.shape[1]):
        dimmed = scene.sources.value.copy()
        dimmed[:, FLUX] *= amplitude[:, j]
        total += render_mode(shape, dimmed, settings.psf, error, j, amplitude[:, j])
    return total


def _list_modes(scene: Scene, settings: ModelSettings) -> tuple[PSFError, np.ndarray] | None:
    """Return the PSF's error and its amplitudes (n, J) at each source; None without modes."""
    error = settings.psf_error
    if error is None or not error.amplitude_sd or scene.grouped.n_group == 0:
        return None
    grouped = scene.grouped
    amplitude = np.zeros((grouped.member.size, len(error.amplitude_sd)))
    if scene.fit is not None:
        mine = slice(settings.n_sky, settings.n_sky + amplitude.shape[1])
        amplitude[grouped.member] = scene.fit.shared[grouped.group_of_member(), mine]
    return error, amplitude


def render_offset(scene: Scene, settings: ModelSettings) -> np.ndarray:
    """Return the image of what the groups fitted beside their sources and the reference sky."""
    return render_sky_offset(scene, settings) + render_fitted_modes(scene, settings)
