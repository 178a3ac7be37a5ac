"""Where each parameter of a group sits: the one place that knows.

A group's nonlinear parameters are ``x, y`` of each source and the PSF's shapes; its linear ones the
fluxes, keyed by (source, image), and the sky's columns, each with a normal prior. Kernels know a
free nonlinear parameter by its code: 2k for x of source k, 2k + 1 for y, (2 + j) n + k for shape
j < J of source k, (2 + J) n + j for one shared by all n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

__all__ = ["Layout", "get_layout"]


@dataclass(frozen=True)
class Layout:
    """Names and places of the parameters of a group of ``n_source`` sources.

    Parameters
    ----------
    n_source : int
        Number of sources.
    free_x, free_y, free_flux : bool
        Which of the sources' own parameters are free.
    shape : {"fixed", "shared", "own"}
        The PSF's free shapes: none, one each for the group, or for each source.
    n_sky : int
        Columns of the sky: 0 (known), 1 (a level) or 3 (a plane).
    n_nuisance : int
        Further linear columns with normal priors: amplitudes of known images.
    n_image : int
        Images whose fluxes are separate linear parameters.
    n_shape : int
        Shapes of the PSF.
    free_shapes : tuple of int
        Those that are free.
    """

    n_source: int
    free_x: bool = True
    free_y: bool = True
    free_flux: bool = True
    shape: str = "fixed"
    n_sky: int = 1
    n_nuisance: int = 0
    n_image: int = 1
    n_shape: int = 1
    free_shapes: tuple[int, ...] = (0,)

    @cached_property
    def nonlinear(self) -> tuple[tuple, ...]:
        """Keys of the free nonlinear parameters: ("x", k), ("y", k), ("shape", k or None, j)."""
        keys: list[tuple] = []
        for k in range(self.n_source):
            if self.free_x:
                keys.append(("x", k))
            if self.free_y:
                keys.append(("y", k))
        if self.shape == "shared":
            keys.extend(("shape", None, j) for j in self.free_shapes)
        elif self.shape == "own":
            keys.extend(("shape", k, j) for j in self.free_shapes for k in range(self.n_source))
        return tuple(keys)

    @cached_property
    def linear(self) -> tuple[tuple, ...]:
        """Keys of the free linear parameters: ("flux", k, image), ("sky", column, image), ...

        Nuisances, ("nuisance", column, image), come last.
        """
        images = range(self.n_image)
        fluxes = [("flux", k, m) for m in images for k in range(self.n_source)]
        sky = [("sky", e, m) for m in images for e in range(self.n_sky)]
        nuisance = [("nuisance", j, m) for m in images for j in range(self.n_nuisance)]
        return tuple((fluxes if self.free_flux else []) + sky + nuisance)

    def places(self, name: str) -> np.ndarray:
        """Return the places in the joint vector of all parameters of one name, in their order."""
        keys = (*self.linear, *self.nonlinear)
        return np.array([i for i, key in enumerate(keys) if key[0] == name], dtype=np.int64)

    @cached_property
    def nonlinear_first(self) -> np.ndarray:
        """Places in the joint vector in the order of the samplers': nonlinear, then linear."""
        return np.r_[self.n_linear : self.size, : self.n_linear]

    @cached_property
    def codes(self) -> np.ndarray:
        """Kernel codes of the free nonlinear parameters, int64."""
        n = self.n_source
        codes = []
        for name, k, *j in self.nonlinear:
            if name != "shape":
                codes.append(2 * k + (name == "y"))
            elif k is None:
                codes.append((2 + self.n_shape) * n + j[0])
            else:
                codes.append((2 + j[0]) * n + k)
        return np.array(codes, dtype=np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Readable names in the order of the joint vector: linear first, then nonlinear."""
        names = []
        for name, k, image in self.linear:
            names.append(f"{name}[{k}]" if self.n_image == 1 else f"{name}[{k},{image}]")
        for name, k, *j in self.nonlinear:
            name = f"{name}_{j[0]}" if j and self.n_shape > 1 else name
            names.append(name if k is None else f"{name}[{k}]")
        return tuple(names)

    @property
    def n_nonlinear(self) -> int:
        """Number of free nonlinear parameters."""
        return len(self.nonlinear)

    @property
    def n_linear(self) -> int:
        """Number of free linear parameters."""
        return len(self.linear)

    @property
    def size(self) -> int:
        """Number of free parameters."""
        return self.n_linear + self.n_nonlinear

    def index(self, key: tuple) -> int:
        """Return the place of a key in the joint vector (linear, nonlinear)."""
        if key in self.linear:
            return self.linear.index(key)
        return self.n_linear + self.nonlinear.index(key)


@lru_cache(maxsize=1024)
def get_layout(
    n_source, free_x, free_y, free_flux, shape, n_sky, n_nuisance=0, n_shape=1, free_shapes=(0,)
) -> Layout:
    """Return the layout of a group, the same object for the same arguments."""
    return Layout(
        n_source,
        free_x,
        free_y,
        free_flux,
        shape,
        n_sky,
        n_nuisance,
        n_shape=n_shape,
        free_shapes=free_shapes,
    )
