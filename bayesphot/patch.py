"""The good pixels of groups, each once, as the kernels take them.

A patch is the bounding cut-out of the union of its members' fit boxes, with weight 0 outside the
union and on bad pixels. Data are unsubtracted but for the reference sky; the model of sources
outside the group lies beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from bayesphot.boxes import list_half_sides, make_boxes
from bayesphot.kernels.patches import cut_patches_into
from bayesphot.kernels.structs import N_DENSITY, NORMAL_NOISE, Batch, PSFData
from bayesphot.noise import PixelNoise
from bayesphot.settings import ModelSettings

__all__ = [
    "GroupData",
    "Pixels",
    "SourceState",
    "cut_batch",
    "make_shared_priors",
    "place_psf",
]


@dataclass(frozen=True, eq=False)
class Pixels:
    """The image as the fits see it.

    Parameters
    ----------
    data : (ny, nx) array
        Data less the reference sky, 0 on bad pixels.
    weight : (ny, nx) array
        One over the variance, 0 on bad pixels.
    sky : (ny, nx) array
        The reference sky that was subtracted.
    sky_error : float or (ny, nx) array
        Standard error of its level, inf where it is not known.
    noise : PixelNoise
        What the sampling knows of the noise beyond the weights.
    nuisance : (J, ny, nx) array or None
        Images of unknown amplitude, one each in every group: linear parameters nobody asked for,
        with the priors of the run's ``nuisance_sd``.
    cores : (k, 4) array or None
        x, y, radius and level of saturated cores, which no finder can see.
    saturated : (ny, nx) bool array or None
        Their pixels: sources with their centres there have larger boxes.
    """

    data: np.ndarray
    weight: np.ndarray
    sky: np.ndarray
    sky_error: float | np.ndarray
    noise: PixelNoise = field(default_factory=PixelNoise)
    nuisance: np.ndarray | None = None
    cores: np.ndarray | None = None
    saturated: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SourceState:
    """Every measurable source of a scene, in canonical order: one row a source.

    Parameters
    ----------
    value : (n, C) array
        Current x, y, flux, shapes: the start, or the optimum of the last fit.
    prior : (n, 26 + 8 J) array
        Priors, columns as in `bayesphot.kernels.structs`; the first two are ``center``.
    """

    value: np.ndarray
    prior: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """Centres of the position priors, (n, 2)."""
        return self.prior[:, :2]


@dataclass(frozen=True, eq=False)
class GroupData:
    """A batch for the kernels, and what its patches hold.

    ``member`` lists the sources, group after group; ``n_pixel`` counts each group's good
    pixels, ``n_box_pixel`` those of each box. ``batches`` is the tuple of one batch per image.
    """

    batches: tuple[Batch, ...]
    member: np.ndarray
    n_pixel: np.ndarray
    n_box_pixel: np.ndarray

    @property
    def batch(self) -> Batch:
        """The batch of the first image."""
        return self.batches[0]

    def condition(self, neighbours: np.ndarray) -> GroupData:
        """Return the batch with another model of the sources outside its groups.

        Parameters
        ----------
        neighbours : (P,) array
            Their light on the patches' pixels, e.g. in one draw of their posterior.
        """
        batch = self.batch._replace(neighbours=np.ascontiguousarray(neighbours, dtype=float))
        return replace(self, batches=(batch, *self.batches[1:]))

    def hold_variance(self, held: np.ndarray) -> GroupData:
        """Return the batch with normal noise of the fit's own variance in some groups.

        Parameters
        ----------
        held : (G,) bool array
            These groups.
        """
        batch = self.batch
        here = np.repeat(held, np.diff(batch.pixel_start))
        _, data, weight = batch.known
        batch = batch._replace(
            noise_kind=np.where(held, NORMAL_NOISE, batch.noise_kind),
            data=np.where(here, data, batch.data),
            weight=np.where(here & (batch.weight > 0.0), weight, batch.weight),
        )
        return replace(self, batches=(batch, *self.batches[1:]))

    def expect_modes(self, normals: np.ndarray, first: int) -> GroupData:
        """Return the batch with other priors of the modes' amplitudes.

        Parameters
        ----------
        normals : (G, J, 2) array
            Means and precisions.
        first : int
            Place of the first mode among the shared parameters.
        """
        shared_prior = self.batch.shared_prior.copy()
        shared_prior[:, first : first + normals.shape[1], :2] = normals
        batch = self.batch._replace(shared_prior=shared_prior)
        return replace(self, batches=(batch, *self.batches[1:]))

    def propose_scales(self, normals: np.ndarray, density: np.ndarray) -> GroupData:
        """Return the batch with the last shared parameter of each group as ln(scale) of its noise.

        Parameters
        ----------
        normals : (G, 2) array
            Mean and precision of the normals it is proposed from.
        density : (6,) array
            Numbers of the prior of the scale.
        """
        shared_prior = self.batch.shared_prior.copy()
        shared_prior[:, -1, :2] = normals
        shared_prior[:, -1, 2:] = density
        batch = self.batch._replace(shared_prior=shared_prior)
        return replace(self, batches=(batch, *self.batches[1:]))


def place_psf(batch: Batch, g: int) -> PSFData:
    """Return a batch's PSF with positions counted from the corner of a group's patch."""
    first_row, first_col = batch.rows[g, 2:]
    return PSFData(batch.psf.kind, first_row, first_col, batch.psf.numbers)


def cut_batch(
    pixels: Pixels,
    model: np.ndarray,
    sources: SourceState,
    member: np.ndarray,
    source_start: np.ndarray,
    settings: ModelSettings,
    *,
    sampling: bool = False,
    in_model: np.ndarray | None = None,
    box: np.ndarray | None = None,
    box_start: np.ndarray | None = None,
) -> GroupData:
    """Cut the patches of groups.

    Parameters
    ----------
    pixels : Pixels
        The image.
    model : (ny, nx) array
        Model of all sources in the scene.
    sources : SourceState
        All sources.
    member, source_start : int arrays
        Members of each group: ``member[source_start[g]:source_start[g + 1]]``.
    settings : ModelSettings
        The run's model.
    sampling : bool
        Whether the layout is that of the sampling.
    in_model : (n, C) array, optional
        The members' x, y, flux, shapes as they stand in ``model``; default: ``value``.
    box, box_start : arrays, optional
        Fit boxes of each group; default: one around each member's prior centre.
    """
    if box is None:
        center = sources.center[member]
        box = make_boxes(
            center[:, 0], center[:, 1], settings.fit_shape, pixels.data.shape, pixels.saturated
        )
        box_start = source_start
    elif box_start is None:
        raise ValueError("box_start must be given with box")
    rows, pixel_start = _bound_boxes(box, box_start)
    n_group = rows.shape[0]
    total = int(pixel_start[-1])
    data = np.empty(total)
    weight = np.empty(total)
    neighbours = np.empty(total)
    n_pixel = np.zeros(n_group, dtype=np.int64)
    n_box_pixel = np.zeros(box.shape[0], dtype=np.int64)
    value = sources.value[member]
    own = value.copy() if in_model is None else in_model[member]
    cut_patches_into(
        pixels.data,
        pixels.weight,
        model,
        box,
        box_start,
        source_start,
        own,
        pixel_start,
        rows,
        data,
        weight,
        neighbours,
        n_pixel,
        n_box_pixel,
        settings.psf.data,
    )
    free, free_start = _free_codes(source_start, settings, sampling)
    noise = _noise_in_patches(weight, pixel_start)
    flat = _flat_places(rows, pixels.data.shape) if _needs_places(pixels) else None
    batch = Batch(
        psf=settings.psf.data,
        noise_kind=np.full(n_group, pixels.noise.kind, dtype=np.int64),
        flux_free=np.int64(settings.free_flux),
        source_start=source_start,
        pixel_start=pixel_start,
        free_start=free_start,
        rows=rows,
        data=data,
        weight=weight,
        neighbours=neighbours,
        window=_make_windows(pixels, sources, member, value, source_start, rows, noise, settings),
        free=free,
        state=value,
        prior=sources.prior[member],
        shared_prior=make_shared_priors(pixels, rows, settings),
        nuisance=_cut_nuisances(pixels, flat),
        noise=np.ascontiguousarray(pixels.noise.numbers, dtype=float),
        known=_cut_known(pixels, flat),
    )
    return GroupData((batch,), member, n_pixel, n_box_pixel)


def _bound_boxes(box: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (G, 4) rows, columns, first row and column of the patches, and pixel offsets."""
    first_row = np.minimum.reduceat(box[:, 0], start[:-1])
    end_row = np.maximum.reduceat(box[:, 1], start[:-1])
    first_col = np.minimum.reduceat(box[:, 2], start[:-1])
    end_col = np.maximum.reduceat(box[:, 3], start[:-1])
    rows = np.stack([end_row - first_row, end_col - first_col, first_row, first_col], axis=1)
    pixel_start = np.concatenate([[0], np.cumsum(rows[:, 0] * rows[:, 1])])
    return rows, pixel_start


def _noise_in_patches(weight: np.ndarray, pixel_start: np.ndarray) -> np.ndarray:
    """Return the smallest 1-sigma noise in each patch."""
    largest = np.maximum.reduceat(weight, pixel_start[:-1])
    return 1.0 / np.sqrt(np.maximum(largest, 1e-300))


def _make_windows(
    pixels, sources, member, value, source_start, rows, noise, settings
) -> np.ndarray:
    """Return each source's window in its patch: its box, or further where its wings count.

    Windows are placed on the prior's centre, so that the density is continuous.
    """
    group = np.repeat(np.arange(rows.shape[0]), np.diff(source_start))
    reach = settings.psf.find_reach(value, 0.1 * noise[group])
    reach = np.minimum(np.ceil(reach), 1e6).astype(np.int64)
    center = sources.center[member]
    row = np.floor(center[:, 1] + 0.5).astype(np.int64) - rows[group, 2]
    col = np.floor(center[:, 0] + 0.5).astype(np.int64) - rows[group, 3]
    half = list_half_sides(center[:, 0], center[:, 1], settings.fit_shape, pixels.saturated)
    half_row = np.maximum(reach, half[:, 0] + 3)
    half_col = np.maximum(reach, half[:, 1] + 3)
    window = np.empty((member.size, 4), dtype=np.int64)
    window[:, 0] = np.clip(row - half_row, 0, rows[group, 0])
    window[:, 1] = np.clip(row + half_row + 1, 0, rows[group, 0])
    window[:, 2] = np.clip(col - half_col, 0, rows[group, 1])
    window[:, 3] = np.clip(col + half_col + 1, 0, rows[group, 1])
    return window


def _free_codes(source_start, settings: ModelSettings, sampling: bool):
    """Return the codes of all groups' free nonlinear parameters, and where each group begins."""
    sizes = np.diff(source_start)
    known = {int(n): settings.layout(int(n), sampling=sampling).codes for n in np.unique(sizes)}
    lengths = np.zeros(int(sizes.max(initial=0)) + 1, dtype=np.int64)
    for n, codes in known.items():
        lengths[n] = codes.size
    start = np.concatenate([[0], np.cumsum(lengths[sizes])]).astype(np.int64)
    free = np.empty(int(start[-1]), dtype=np.int64)
    for n, codes in known.items():
        free[start[:-1][sizes == n][:, None] + np.arange(codes.size)] = codes
    return free, start


def _needs_places(pixels: Pixels) -> bool:
    """Return whether more than data, weight and model is cut out of the image."""
    return pixels.noise.kind != NORMAL_NOISE or pixels.nuisance is not None


def _flat_places(rows: np.ndarray, shape) -> np.ndarray:
    """Return the place in the flattened image of each pixel of all patches."""
    n_row, n_col, first_row, first_col = rows.T
    # Lines of pixels: their numbers in their patches, and where each begins, in image and patches.
    number = np.arange(n_row.sum()) - np.repeat(np.cumsum(n_row) - n_row, n_row)
    place = np.repeat(first_row * shape[1] + first_col, n_row) + number * shape[1]
    length = np.repeat(n_col, n_row)
    start = np.cumsum(length) - length
    return np.repeat(place - start, length) + np.arange(length.sum())


def _cut_known(pixels: Pixels, flat: np.ndarray | None) -> np.ndarray:
    """Return (3, P) what is known of each pixel, data and weight; (3, 0) for normal noise."""
    noise = pixels.noise
    if noise.known is None or flat is None:
        return np.empty((3, 0))
    data = pixels.data if noise.data is None else noise.data
    weight = pixels.weight if noise.weight is None else noise.weight
    return np.stack([plane.ravel()[flat] for plane in (noise.known, data, weight)])


def _cut_nuisances(pixels: Pixels, flat: np.ndarray | None) -> np.ndarray:
    """Return (J, P) the nuisance images on the pixels of all patches."""
    if pixels.nuisance is None or flat is None:
        return np.empty((0, 0))
    return np.ascontiguousarray(pixels.nuisance.reshape(pixels.nuisance.shape[0], -1)[:, flat])


def make_shared_priors(pixels: Pixels, rows: np.ndarray, settings: ModelSettings) -> np.ndarray:
    """Return (G, E, 2 + 6): means, less the reference sky, precisions, and other densities.

    Those of the sky's columns come first, then those of the nuisances.
    """
    prior = np.zeros((rows.shape[0], settings.n_shared, 2 + N_DENSITY))
    prior[:, settings.n_sky :, 1] = 1.0 / np.array(settings.nuisance_sd) ** 2
    given = settings.priors.background
    if settings.background == "none":
        return prior
    middle_row = rows[:, 2] + rows[:, 0] // 2
    middle_col = rows[:, 3] + rows[:, 1] // 2
    if given is not None:
        reference = pixels.sky[middle_row, middle_col]
        mean, precision = given.normal()
        prior[:, 0, 0] = mean - reference if precision > 0.0 else 0.0
        prior[:, 0, 1] = precision
        prior[:, 0, 2:] = given.shift(reference)
    elif settings.background == "prior":
        error = np.broadcast_to(pixels.sky_error, pixels.data.shape)[middle_row, middle_col]
        prior[:, 0, 1] = np.where(np.isfinite(error), 1.0 / np.maximum(error, 1e-150) ** 2, 0.0)
    return prior
