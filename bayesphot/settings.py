"""What the stages need to know of a run: plain numbers, checked by the configuration classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bayesphot.layout import Layout, get_layout
from bayesphot.priors import Prior, PriorSet
from bayesphot.psf import FittedShapes, PSFConfig, PSFError

__all__ = ["ModelSettings"]


@dataclass(frozen=True)
class ModelSettings:
    """The model of every group of a run.

    Parameters
    ----------
    psf : PSFConfig
        The PSF.
    free_x, free_y, free_flux : bool
        Which parameters of a source are free.
    shape : {"fixed", "group", "image", "source"}
        Who shares the PSF's free shapes.
    fit_shape : tuple of int
        Rows and columns of a source's fit box, odd.
    background : {"none", "prior", "flat", "plane"}
        How the sky enters a group.
    priors : PriorSet
        Priors other than the defaults.
    fitter : callable or None
        An astropy fitter in place of the compiled least squares.
    nuisance_sd : tuple of float
        Nuisance images with an unknown amplitude in each group: sds of the amplitudes about 0.
    psf_error : PSFError or None
        The PSF's error; its modes are the first nuisances.
    inflation : Prior or None
        Prior of a factor on the noise of each group. Its logarithm has the last nuisance's place,
        an empty image.
    shapes : FittedShapes or None
        Shapes of a model that the kernels do not know: its table is ``psf``, the derivatives by
        them are the modes of ``psf_error``.
    """

    psf: PSFConfig
    free_x: bool = True
    free_y: bool = True
    free_flux: bool = True
    shape: str = "fixed"
    fit_shape: tuple[int, int] = (11, 11)
    background: str = "prior"
    priors: PriorSet = PriorSet()
    fitter: Any = None
    nuisance_sd: tuple[float, ...] = ()
    psf_error: PSFError | None = None
    inflation: Prior | None = None
    shapes: FittedShapes | None = None

    @property
    def n_shared(self) -> int:
        """Linear parameters that the sources of a group share: the sky's and the nuisances'."""
        return self.n_sky + len(self.nuisance_sd)

    @property
    def nuisance_names(self) -> tuple[str, ...]:
        """Names of the nuisances' amplitudes in the posterior."""
        names = () if self.psf_error is None else self.psf_error.names
        return names if self.inflation is None else (*names, "inflation")

    @property
    def n_sky(self) -> int:
        """Columns of the sky in each group."""
        return {"none": 0, "prior": 1, "flat": 1, "plane": 3}[self.background]

    def layout(self, n_source: int, *, sampling: bool) -> Layout:
        """Return the layout of a group; a shape of the image is free in the sampling only.

        The least squares alternates between the groups at a common shape and the shape itself.
        """
        shape = {"fixed": "fixed", "group": "shared", "source": "own", "image": "fixed"}[self.shape]
        if self.shape == "image" and sampling:
            shape = "shared"
        return get_layout(
            n_source,
            self.free_x,
            self.free_y,
            self.free_flux,
            shape,
            self.n_sky,
            len(self.nuisance_sd),
            self.psf.n_shape,
            () if shape == "fixed" else self.psf.free_shapes,
        )
