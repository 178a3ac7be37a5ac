"""The pictures of a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .contents import Contents

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pictured"]


class Pictured(Contents):
    """A result with its pictures, which show themselves in a notebook, and are saved."""

    def plot(self, *, ids: int | Iterable[int] | None = None, path=None) -> Figure:
        """Draw data, model and residual in units of the noise, with position error ellipses.

        Parameters
        ----------
        ids : int or iterable of int, optional
            Show only these sources and the image around them.
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> figure = result.plot(ids=1, path="star.png")
        """
        from bayesphot import plotting

        return plotting.plot_images(self, ids=ids, path=path)

    def plot_corner(
        self,
        ids: int | Iterable[int],
        *,
        names: str | Iterable[str] | None = None,
        truths: Mapping[str, float] | None = None,
        path=None,
    ) -> Figure:
        """Draw the marginal distributions of all free parameters of some sources, and of pairs.

        Parameters
        ----------
        ids : int or iterable of int
            At most 12 free parameters together.
        names : str or iterable of str, optional
            Only these parameters ("flux", "background", ...); default all free ones.
        truths : mapping of str to float, optional
            Known values, by the names of the covariance ("flux[3]"); for a single source also
            by the plain name ("flux").
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            For an unknown id, name or truth, no draws, no free parameter or too many.

        Examples
        --------
        >>> truth = {"flux": scene.truth["flux"][0]}
        >>> figure = result.plot_corner(1, names=["x", "flux"], truths=truth, path="corner.png")
        """
        from bayesphot import plotting

        return plotting.plot_corner(self, ids, names=names, truths=truths, path=path)

    def plot_trace(
        self, ids: int | Iterable[int], *, names: str | Iterable[str] | None = None, path=None
    ) -> Figure:
        """Draw the chains of all free parameters of some sources.

        Parameters
        ----------
        ids : int or iterable of int
            At most 12 free parameters together.
        names : str or iterable of str, optional
            Only these parameters ("flux", "background", ...); default all free ones.
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            For an unknown id or name, no draws, no free parameter or too many.

        Examples
        --------
        >>> figure = result.plot_trace([1, 2], names="flux", path="trace.png")
        """
        from bayesphot import plotting

        return plotting.plot_trace(self, ids, names=names, path=path)

    def plot_diagnostics(self, *, path=None) -> Figure:
        """Draw how well the run went: convergence, fit, p-values and flags of all sources.

        R-hat, the smallest effective number of draws and Pareto k, with the samplers' default
        gates (1.01, 400, 0.7); reduced chi-squared; posterior-predictive p-values of the groups;
        how often each flag occurs.

        Parameters
        ----------
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If the result was not sampled.

        Examples
        --------
        >>> figure = result.plot_diagnostics(path="diagnostics.png")
        """
        from bayesphot import plotting

        engine = np.asarray(self.table["engine"]).astype(str)
        if not np.any((engine != "none") & (engine != "")):
            raise ValueError("plot_diagnostics needs sampled sources and this result has none")
        return plotting.plot_diagnostics(self, path=path)
