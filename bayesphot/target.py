"""One group as a density: what an engine may ask, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesphot.kernels.many import fill_joint_densities, fill_log_densities
from bayesphot.kernels.structs import SHAPE, PSFData
from bayesphot.layout import Layout
from bayesphot.patch import GroupData, place_psf
from bayesphot.psf.transforms import find_slope, read_column

__all__ = ["Target"]


@dataclass(frozen=True, eq=False)
class Target:
    """The posterior of one group of a batch.

    Nonlinear parameters are in patch pixels (and ln of pixels for shapes); linear ones in the
    image's unit, the sky less the reference.

    Parameters
    ----------
    data : GroupData
        The batch.
    group : int
        Which of its groups.
    layout : Layout
        Where the group's parameters sit.
    functions : tuple of (key, callable)
        Log priors in Python, of "x", "y" (offsets), "flux" or the number of a shape, for the joint
        density.
    """

    data: GroupData
    group: int
    layout: Layout
    functions: tuple[tuple[str | int, Callable], ...] = ()

    @property
    def codes(self) -> np.ndarray:
        """Codes of the free nonlinear parameters."""
        batch = self.data.batch
        return batch.free[batch.free_start[self.group] : batch.free_start[self.group + 1]]

    @property
    def sources(self) -> slice:
        """The group's members in the batch's source arrays."""
        batch = self.data.batch
        return slice(int(batch.source_start[self.group]), int(batch.source_start[self.group + 1]))

    @property
    def psf(self) -> PSFData:
        """The PSF in the frame of the patch."""
        return place_psf(self.data.batch, self.group)

    @property
    def n_source(self) -> int:
        """Number of members."""
        return self.sources.stop - self.sources.start

    @property
    def n_nonlinear(self) -> int:
        """Number of free nonlinear parameters."""
        return self.codes.size

    @property
    def n_linear(self) -> int:
        """Number of free linear parameters."""
        batch = self.data.batch
        return int(batch.flux_free) * self.n_source + batch.shared_prior.shape[1]

    @property
    def origin(self) -> np.ndarray:
        """Offset of each nonlinear parameter from image to patch coordinates."""
        corner = self.data.batch.rows[self.group, [3, 2]].astype(float)
        codes = self.codes
        is_position = codes < 2 * self.n_source
        return np.where(is_position, corner[codes % 2], 0.0)

    def start(self) -> np.ndarray:
        """Return the batch's start of the nonlinear parameters."""
        state = self.data.batch.state[self.sources]
        column = {"x": 0, "y": 1}
        values = [
            state[k or 0, SHAPE + j[0] if name == "shape" else column[name]]
            for name, k, *j in self.layout.nonlinear
        ]
        return np.array(values, dtype=float) - self.origin

    def log_density(self, thetas: np.ndarray) -> np.ndarray:
        """Return the collapsed log density at each row of (m, n_nonlinear), no constants."""
        thetas = np.ascontiguousarray(np.atleast_2d(thetas), dtype=np.float64)
        out = np.empty(thetas.shape[0])
        fill_log_densities(self.data.batch, self.group, thetas, out)
        return out

    def log_joint(self, vectors: np.ndarray) -> np.ndarray:
        """Return the joint log density at each row of (m, n_nonlinear + n_linear)."""
        vectors = np.ascontiguousarray(np.atleast_2d(vectors), dtype=np.float64)
        out = np.empty(vectors.shape[0])
        fill_joint_densities(self.data.batch, self.group, vectors, out)
        for name, function in self.functions:
            out += self._log_function(name, function, vectors)
        return out

    def _log_function(self, name: str | int, function: Callable, vectors) -> np.ndarray:
        """Return the summed log prior of all parameters of one name, -inf where it is NaN."""
        total = np.zeros(vectors.shape[0])
        center = self.data.batch.prior[self.sources, :2]
        kind = self.data.batch.psf.kind
        for place, (key, k, *j) in enumerate((*self.layout.nonlinear, *self.layout.linear)):
            if (j[0] if key == "shape" else key) != name:
                continue
            value = vectors[:, place]
            if key in ("x", "y"):
                axis = 0 if key == "x" else 1
                value = value - (center[k, axis] - self.origin[place])
            elif key == "shape":
                # The density of the shape itself; the walkers move in the state's column.
                total += np.log(find_slope(kind, j[0], value))
                value = read_column(kind, j[0], value)
            with np.errstate(all="ignore"):
                term = np.asarray(function(value), dtype=float)
            if term.shape != value.shape:
                raise ValueError(
                    f"priors[{name!r}] must return one log density for each of {value.size} "
                    f"values, found an array of shape {term.shape}"
                )
            total += np.where(np.isnan(term), -np.inf, term)
        return total
