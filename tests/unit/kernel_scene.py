"""Random scenes as batches for the kernels, and the same groups for the oracle."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache

import numba
import numpy as np
import oracle
from scipy.special import ndtri

from bayesphot.kernels import batches, group, structs
from bayesphot.patch import GroupData, Pixels, SourceState, cut_batch
from bayesphot.psf import IntegratedGaussianPRF, describe_psf
from bayesphot.settings import ModelSettings

#: Interpreted kernels are a hundred times slower: heavy tests do less there, or nothing.
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

SIGMA = 1.3


@cache
def open_kernel(kernel):
    """Return a door from Python to a kernel that only kernels call."""
    if INTERPRETED:
        return kernel

    @numba.njit(error_model="numpy")
    def call(*arguments):
        return kernel(*arguments)

    return call


@dataclass(frozen=True, eq=False)
class Scene:
    """An image of groups; the sources' state is what was rendered, moved by the start's error."""

    pixels: Pixels
    model: np.ndarray
    in_model: np.ndarray
    sources: SourceState
    start: np.ndarray
    settings: ModelSettings

    @property
    def n_group(self) -> int:
        """Number of groups."""
        return self.start.size - 1

    def members(self, g: int) -> slice:
        """Return the sources of a group."""
        return slice(self.start[g], self.start[g + 1])

    def boxes(self, g: int) -> np.ndarray:
        """Return the members' fit boxes clipped to the image."""
        rows, cols = self.settings.fit_shape
        boxes = []
        for x, y in self.sources.center[self.members(g)]:
            row, col = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
            box = [row - rows // 2, row + rows // 2 + 1, col - cols // 2, col + cols // 2 + 1]
            shape = self.pixels.data.shape
            boxes.append([min(max(v, 0), shape[i // 2]) for i, v in enumerate(box)])
        return np.array(boxes)

    def oracle_group(self, g: int, *, sampling: bool = True) -> oracle.OracleGroup:
        """Return group g for the oracle, cut from the image by the oracle itself."""
        mine = self.members(g)
        others = np.delete(self.in_model, np.arange(mine.start, mine.stop), axis=0)
        settings = self.settings
        layout = settings.layout(mine.stop - mine.start, sampling=sampling)
        shared_prior = np.zeros((settings.n_sky, 2))
        if settings.background == "prior":
            shared_prior[0, 1] = 1.0 / self.pixels.sky_error**2
        return oracle.cut_group(
            self.pixels.data - oracle.render_image(self.pixels.data.shape, others),
            self.pixels.weight,
            self.boxes(g),
            settings.n_sky,
            shared_prior=shared_prior,
            state=self.sources.value[mine],
            prior=self.sources.prior[mine],
            free=layout.nonlinear,
            free_flux=settings.free_flux,
        )

    def batch(self, *, sampling: bool = True, everywhere: bool = True, groups=None) -> GroupData:
        """Return groups as a batch (default: all); ``everywhere``: windows cover their patch."""
        groups = range(self.n_group) if groups is None else groups
        member = np.concatenate([np.r_[self.members(g)] for g in groups])
        start = np.concatenate([[0], np.cumsum([np.diff(self.start)[g] for g in groups])])
        data = cut_batch(
            self.pixels,
            self.model,
            self.sources,
            member,
            start,
            self.settings,
            sampling=sampling,
            in_model=self.in_model.copy(),
        )
        if not everywhere:
            return data
        window = np.zeros_like(data.batch.window)
        window[:, [1, 3]] = np.repeat(data.batch.rows[:, :2], np.diff(start), axis=0)
        return replace(data, batches=(data.batch._replace(window=window),))


def make_settings(**changes) -> ModelSettings:
    """Return settings of a Gaussian of sigma 1.3 px."""
    model = IntegratedGaussianPRF(sigma=SIGMA)
    model.sigma.fixed = changes.get("shape", "fixed") == "fixed"
    start = {"psf": describe_psf(model)}
    return ModelSettings(**(start | {"fit_shape": (9, 9), "background": "flat"} | changes))


def make_scene(
    seed,
    sizes,
    *,
    flux=(300.0, 3000.0),
    noise=3.0,
    radius=3.0,
    spread=4.0,
    masked=0.0,
    start_error=0.1,
    prior=None,
    separation=2.0,
    pitch=14,
    margin=8.0,
    **settings,
) -> Scene:
    """Return a scene of groups of the given sizes along a row, neighbours' wings included.

    ``spread`` is the side of the square the members of a group fall into, ``separation`` their
    least distance; ``prior`` maps columns of the prior to values.
    """
    rng = np.random.default_rng(seed)
    shape = (int(2 * margin + spread), int(2 * margin + spread + pitch * (len(sizes) - 1)))
    truth = []
    for g, size in enumerate(sizes):
        placed: list[np.ndarray] = []
        while len(placed) < size:
            place = margin + rng.uniform(0.0, spread, 2) + [pitch * g, 0.0]
            if all(np.hypot(*(place - other)) >= separation for other in placed):
                placed.append(place)
        truth += [[*place, rng.uniform(*flux), np.log(SIGMA)] for place in placed]
    truth = np.array(truth)
    n = len(truth)
    error = noise * rng.uniform(0.8, 1.25, shape)
    data = oracle.render_image(shape, truth) + rng.normal(0.0, 1.0, shape) * error
    bad = rng.random(shape) < masked
    value = truth.copy()
    value[:, :2] += rng.normal(0.0, start_error, (n, 2))
    value[:, 2] *= rng.uniform(0.9, 1.1, n)
    table = np.zeros((n, structs.SHAPE_MEAN + structs.N_SHAPE_PRIOR))
    table[:, :2] = value[:, :2]
    table[:, structs.RADIUS] = radius
    table[:, structs.FLUX_FLOOR] = -np.inf
    table[:, structs.SHAPE_MEAN] = np.log(SIGMA)
    table[:, structs.SHAPE_PRECISION] = 25.0
    for column, entry in (prior or {}).items():
        table[:, column] = entry
    pixels = Pixels(
        np.where(bad, 0.0, data), np.where(bad, 0.0, error**-2), np.zeros(shape), 0.3 * noise
    )
    return Scene(
        pixels,
        oracle.render_image(shape, value),
        value,
        SourceState(value, table),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        make_settings(**settings),
    )


def open_group(data: GroupData, g: int):
    """Return (group, scratch) of a batch as the kernels see them."""
    unpacked = open_kernel(group.unpack_group)(data.batch, g)
    return unpacked, open_kernel(group.allocate_work)(data.batch, g, unpacked)


def move_to_patch(data: GroupData, g: int, theta, free) -> np.ndarray:
    """Return nonlinear parameters with positions in patch pixels."""
    _, _, row, col = data.batch.rows[g]
    origin = {"x": col, "y": row, "shape": 0}
    return np.array([v - origin[name] for v, (name, *_) in zip(theta, free, strict=True)])


def normal_scores(total: int) -> np.ndarray:
    """Return Blom's normal scores of the average of two 0-based ranks, by their sum."""
    return ndtri((np.arange(2 * total - 1) / 2 + 1 - 0.375) / (total + 0.25))


def sample(
    data: GroupData,
    seeds,
    *,
    n_chain=4,
    n_draw=500,
    max_thin=16,
    n_burn=25,
    min_ess=400.0,
    max_r_hat=1.01,
    tail=0.15865,
) -> structs.Kept:
    """Run the sampler over a batch with its usual settings."""
    batch = data.batch
    n_source, n_group = batch.state.shape[0], batch.rows.shape[0]
    n_sky, total = batch.shared_prior.shape[1], n_chain * n_draw
    # Codes 2n and above are shapes.
    owner = np.repeat(np.diff(batch.source_start), np.diff(batch.free_start))
    has_shape = bool(np.any(batch.free >= 2 * owner))
    chains = structs.Kept(
        source=np.full((3, n_source, total), np.nan),
        shape=np.full((int(has_shape), n_source, total), np.nan),
        shared=np.full((n_sky, n_group, total), np.nan),
        source_summary=np.full((n_source, 4, 7), np.nan),
        shared_summary=np.full((n_sky, n_group, 7), np.nan),
        stats=np.full((n_group, batches.N_SAMPLING), np.nan),
    )
    # Streams wrap around 64 bits, which plain numpy scalars warn of.
    with np.errstate(over="ignore"):
        batches.sample_batch(
            batch,
            np.asarray(seeds, dtype=np.uint64),
            n_chain,
            n_draw,
            max_thin,
            n_burn,
            5.0,
            1.1,
            min_ess,
            max_r_hat,
            tail,
            normal_scores(total),
            batch.free_start[:-1],
            np.full(batch.free.size, 100.0),
            chains,
        )
    return chains
