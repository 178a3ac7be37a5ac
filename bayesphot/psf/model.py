"""What the package needs to know of a PSF: its data for the kernels, its shapes, what is fixed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bayesphot.kernels.psf import REACH
from bayesphot.kernels.structs import (
    AIRY,
    DEGREE,
    ELLIPTICAL,
    ENVELOPE,
    FLUX,
    GAUSSIAN,
    MOFFAT,
    N_PLACE,
    N_RING,
    PSF_FLOOR,
    PSF_REACH,
    PSF_TABLE,
    PSF_WIDTH,
    SAMPLED,
    SHAPE,
    PSFData,
)
from bayesphot.psf.tables import build_table, find_sigma
from bayesphot.psf.transforms import (
    LENGTHS,
    find_least,
    find_slope,
    is_angle,
    read_column,
    write_column,
)

__all__ = ["PSFConfig"]

#: Samples of a table to one sigma of the core: the spline is exact to 1e-6 of the peak.
FINENESS = 10.0
#: Sigma of a pixel.
PIXEL_SIGMA = 12.0**-0.5


@dataclass(frozen=True, eq=False)
class PSFConfig:
    """
    A PSF as the fits take it.

    Attributes
    ----------
    kind : int
        Which profile: see `bayesphot.kernels.structs`.
    shape_names : tuple of str
        Names of the shape parameters.
    shape_start : ndarray of float (J,)
        Their values; where a free one starts from.
    fixed : dict of str to bool
        True where ``flux``, ``x_0``, ``y_0`` or a shape parameter is held fixed.
    sigma : float
        Sigma of the Gaussian that is as noisy to fit, pixels: of light sum phi^2 = 1 / (4 pi s^2).
    fwhm : float
        Full width at half maximum, pixels.
    numbers : ndarray of float
        What the kernels need beside the shapes.
    enclosed_fraction : float
        Share of the flux on the PSF's own stamp, by its own normalisation; of an analytic one 1,
        and on the table of a fixed shape what that holds.
    core : float
        Least sigma of the core before the integration over the pixel, pixels.
    stamp : float
        Half side of the largest square about the source that a PSF given as images fills, pixels;
        infinite where its light ends before, and of one given by a formula.
    constants : dict of str to float
        Shapes of the model that a table holds at these values: shown, but in no state.
    """

    kind: int
    shape_names: tuple[str, ...]
    shape_start: np.ndarray
    fixed: dict[str, bool]
    sigma: float
    fwhm: float
    numbers: np.ndarray
    enclosed_fraction: float = 1.0
    core: float = 0.0
    stamp: float = math.inf
    constants: dict[str, float] = field(default_factory=dict)

    @cached_property
    def data(self) -> PSFData:
        """The PSF as the kernels take it."""
        zero = np.int64(0)
        return PSFData(np.int64(self.kind), zero, zero, self.numbers)

    @property
    def n_shape(self) -> int:
        """Number of shape parameters."""
        return len(self.shape_names)

    @property
    def n_column(self) -> int:
        """Number of columns of a source's state: x, y, flux, shapes."""
        return SHAPE + self.n_shape

    @cached_property
    def free_shapes(self) -> tuple[int, ...]:
        """Which of the shapes are free."""
        return tuple(j for j, name in enumerate(self.shape_names) if not self.fixed[name])

    @property
    def free_lengths(self) -> tuple[int, ...]:
        """Which of the free shapes are lengths."""
        return tuple(j for j in self.free_shapes if j in LENGTHS.get(self.kind, ()))

    @cached_property
    def columns_start(self) -> np.ndarray:
        """Columns (J,) of the state where the shapes start."""
        return np.array([self.write_column(j, value) for j, value in enumerate(self.shape_start)])

    def is_logarithm(self, j: int) -> bool:
        """Return whether the column of shape j is its logarithm."""
        return not is_angle(self.kind, j) and find_least(self.kind, j) == 0.0

    @property
    def shape_limits(self) -> dict[str, float]:
        """What each shape stays above; of an angle minus infinity."""
        limits = [
            -np.inf if is_angle(self.kind, j) else find_least(self.kind, j)
            for j in range(self.n_shape)
        ]
        return dict(zip(self.shape_names, limits, strict=True))

    def describe_default(self, j: int) -> str:
        """Return a text of the default prior of shape j: normal in its column about the start."""
        if is_angle(self.kind, j):
            return "normal about its start"
        least = find_least(self.kind, j)
        return f"{f'less {least:g} ' if least else ''}log-normal about its start"

    def read_column(self, j: int, column):
        """Return values of shape j from their columns of the state."""
        return read_column(self.kind, j, column)

    def write_column(self, j: int, value):
        """Return columns of the state from values of shape j."""
        return write_column(self.kind, j, value)

    def fold_shape(self, j: int, value: float) -> float:
        """Return a value of shape j that a fit without limits meant: a length has no sign."""
        if is_angle(self.kind, j):
            return value
        least = find_least(self.kind, j)
        return least + max(abs(value - least), 1e-6)

    def find_slope(self, j: int, column):
        """Return d shape / d column."""
        return find_slope(self.kind, j, column)

    def find_sigma(self, state: np.ndarray) -> np.ndarray:
        """Return the width (n,) of sources of the given state (n, C), as ``sigma``."""
        lengths = [SHAPE + j for j in LENGTHS.get(self.kind, ())]
        if self.kind == GAUSSIAN:
            return np.exp(state[:, SHAPE])
        if not lengths:
            return np.full(len(state), self.sigma)
        start = self.columns_start[[column - SHAPE for column in lengths]]
        return self.sigma * np.exp(np.mean(state[:, lengths] - start, axis=1))

    def find_scale(self, state: np.ndarray) -> np.ndarray:
        """Return widths (n,) in those of the PSF."""
        return self.find_sigma(state) / self.sigma

    def widen(self, state: np.ndarray, move) -> np.ndarray:
        """Return the state with all lengths times exp(move)."""
        moved = state.copy()
        for j in LENGTHS.get(self.kind, ()):
            moved[:, SHAPE + j] += move
        return moved

    def find_end(self, state: np.ndarray) -> np.ndarray:
        """Return how far (n,) sources of any flux are rendered, pixels."""
        if self.kind == GAUSSIAN:
            return REACH * self.find_sigma(state)
        return self.find_scale(state) * self.numbers[PSF_REACH]

    def find_limit(self, state: np.ndarray) -> np.ndarray:
        """Return how far (n,) sources of their flux are rendered at most, pixels."""
        if self.kind == GAUSSIAN:
            return REACH * np.exp(state[:, SHAPE])
        width = np.exp(state[:, SHAPE])
        if self.kind == ELLIPTICAL:
            width = np.maximum(width, np.exp(state[:, SHAPE + 1]))
        scale = width / self.numbers[PSF_WIDTH]
        light = np.abs(state[:, FLUX])[:, None] * self.numbers[ENVELOPE : ENVELOPE + N_RING]
        # The envelope only falls; one ring is always rendered. A ring whose light is that of the
        # floor to rounding counts.
        floor = (1.0 - 1e-9) * self.numbers[PSF_FLOOR] * scale**2
        ring = (light >= floor[:, None]).sum(axis=1)
        return scale * self.numbers[PSF_REACH] * np.maximum(ring, 1) / N_RING

    def find_reach(self, state: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Return where sources (n, C) fall under a level (n,), pixels; not before their core ends.

        A Gaussian is under it at r = s sqrt(2 ln(f / (2 pi s^2 level))).
        """
        sigma = self.find_sigma(state)
        flux = state[:, FLUX]
        if self.kind == GAUSSIAN:
            peak = np.abs(flux) / (2.0 * np.pi * sigma**2)
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = sigma * np.sqrt(2.0 * np.log(np.maximum(peak / level, 1.0)))
            # An unknown or vanishing flux says nothing: out to the end of the profile.
            known = np.isfinite(reach) & (flux > 0.0)
            # Within 5.5 sigma lies all but 3e-7 of the light: fits are exact to a millionth.
            reach = np.clip(1.2 * reach + 1.0, 5.5 * sigma, REACH * sigma)
            return np.where(known, reach, REACH * sigma)
        scale = self.find_scale(state)
        light = np.abs(flux) / scale**2
        envelope = self.numbers[ENVELOPE : ENVELOPE + N_RING]
        over = light[:, None] * envelope >= level[:, None]
        ring = np.where(flux > 0.0, np.maximum(over.sum(axis=1), 1), N_RING)
        reach = scale * self.numbers[PSF_REACH] * ring / N_RING
        return np.where(np.isfinite(reach), reach, scale * self.numbers[PSF_REACH]) + 1.0

    def render(self, half: int, step: int = 1) -> np.ndarray:
        """Return the unit source (side, side) out to ``half`` pixels, ``step`` values to one."""
        from bayesphot.kernels.columns import fill_places

        side = np.arange(-half * step, half * step + 1) / step
        x, y = (grid.ravel() for grid in np.meshgrid(side, side))
        out = np.empty((1, x.size))
        fill_places(self.data, np.concatenate([[0.0, 0.0, 1.0], self.columns_start]), x, y, out)
        return out.reshape(side.size, side.size)

    def measured(self) -> PSFConfig:
        """Return the PSF with its ``sigma`` as its image at the start says."""
        image = self.render(int(np.ceil(3.0 * self.fwhm)) + 2)
        return replace(self, sigma=find_sigma(image, (1, 1)))

    @cached_property
    def tabulated(self) -> PSFConfig:
        """An analytic PSF of fixed shape as a table: exact to two millionths, and faster.

        An interpolating cubic spline of step h errs by h^4 / 720 of the fourth derivative, for a
        Gaussian of sigma s by (h / s)^4 / 240 of the peak.
        """
        if self.kind not in (ELLIPTICAL, MOFFAT, AIRY) or self.free_shapes:
            return self
        # The pixel softens the core.
        step = int(np.clip(np.ceil(FINENESS / np.hypot(self.core, PIXEL_SIGMA)), 2, 24))
        half = int(np.ceil(self.numbers[PSF_REACH]))
        image = self.render(half, step)
        zero, middle = np.zeros(1), float(half * step)
        return PSFConfig(
            kind=SAMPLED,
            shape_names=("width",),
            shape_start=np.ones(1),
            fixed={name: self.fixed[name] for name in ("flux", "x_0", "y_0")} | {"width": True},
            sigma=self.sigma,
            fwhm=self.fwhm,
            numbers=build_table(image[None, None], (step, step), (middle, middle), (zero, zero)),
            enclosed_fraction=float(image.sum() / step**2),
            constants=dict(zip(self.shape_names, self.shape_start.tolist(), strict=True)),
        )

    def covers(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return whether the PSF is known at places (n,): on its grid, where its polynomial holds.

        True where it does not vary.
        """
        inside = np.ones(np.shape(x), dtype=bool)
        for ends, place in zip(self.domain, (x, y), strict=True):
            if ends is not None:
                inside &= (place >= ends[0]) & (place <= ends[1])
        return inside

    @property
    def domain(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """From which to which x, and y, the PSF is known: its grid, or where its polynomial holds.

        None along an axis along which it does not vary.
        """
        if self.kind != SAMPLED:
            return None, None
        first, found = PSF_TABLE, []
        for axis in (0, 1):
            n = int(self.numbers[N_PLACE + axis])
            knots = self.numbers[first : first + n]
            first += n
            if self.numbers[DEGREE] > 0:
                middle, scale, low, high = knots
                knots = middle + scale * np.array([low, high])
            found.append((float(knots[0]), float(knots[-1])) if n > 1 else None)
        return found[1], found[0]

    def with_floor(self, floor: float) -> PSFConfig:
        """Return the PSF rendered no further than where its light is under ``floor`` per pixel."""
        numbers = self.numbers.copy()
        numbers[PSF_FLOOR] = floor
        return replace(self, numbers=numbers)
