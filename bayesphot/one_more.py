"""What do the data say about one more source here, everything else integrated out?

With r the residuals of a group at its optimum, W the weights, J the columns of all its free
parameters (fluxes, sky and nuisances; derivatives by positions and shapes) and S the precisions of
their priors, M = J^T W J + S and g = J^T W r plus the priors' own slope, a source phi of flux f at
a place p has the log likelihood s f - a f^2 / 2 relative to no source, with

    a(p) = phi^T W phi - (J^T W phi)^T M^-1 (J^T W phi),
    s(p) = phi^T W r   - (J^T W phi)^T M^-1 g.

It is exact in the linear parameters, and Laplace's approximation in the others: Rao's score test
with everything else projected out. With a prior p(f), the Bayes factor of the source at that place
is the integral of p(f) exp(s f - a f^2 / 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesphot.checks import check_number
from bayesphot.kernels.columns import fill_unit_images
from bayesphot.kernels.structs import FLUX, SHAPE
from bayesphot.normal_priors import list_disc_precisions, list_normal_priors
from bayesphot.plane import list_shared_columns
from bayesphot.priors import Prior
from bayesphot.priors.expectation import log_integral
from bayesphot.target import Target

__all__ = ["OneMore", "make_grid", "weigh_one_more"]

#: Share of its own variance below which a place is not told apart from the members.
INSEPARABLE = 1e-9
#: Numbers that the images of one chunk of the grid hold.
CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class OneMore:
    """One more source at each place of a grid; arrays of the shape of the grid.

    Parameters
    ----------
    x, y : arrays
        Places, image pixels.
    score, information : arrays
        s and a of the log likelihood s f - a f^2 / 2 of its flux.
    log_bayes_factor : array
        ln of the evidence with it over that without it, for a source at this very place.
    """

    x: np.ndarray
    y: np.ndarray
    score: np.ndarray
    information: np.ndarray
    log_bayes_factor: np.ndarray

    @property
    def flux(self) -> np.ndarray:
        """Most likely flux, NaN where the place cannot be told apart from the members."""
        return self._divide(self.score, self.information)

    @property
    def flux_err(self) -> np.ndarray:
        """Standard error of that flux, all else free."""
        return self._divide(1.0, np.sqrt(self.information))

    @property
    def z(self) -> np.ndarray:
        """Flux over its error."""
        return self._divide(self.score, np.sqrt(self.information))

    @property
    def peak(self) -> tuple[int, ...]:
        """Index of the largest Bayes factor."""
        return tuple(
            int(i)
            for i in np.unravel_index(np.argmax(self.log_bayes_factor), self.log_bayes_factor.shape)
        )

    @staticmethod
    def _divide(above, below) -> np.ndarray:
        """Return a quotient, NaN where nothing is below."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(below > 0.0, above / below, np.nan)


def make_grid(target: Target, step: float, border: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return places (rows, columns) every ``step`` pixels over a group's patch.

    Parameters
    ----------
    target : Target
        The group.
    step : float
        Distance of the places, pixels; positive.
    border : float
        How far the grid stays inside the patch, pixels; not negative.

    Returns
    -------
    x, y : (rows, columns) arrays
        Places, image pixels; empty where the border leaves nothing.

    Raises
    ------
    TypeError
        If `step` or `border` is not a number.
    ValueError
        If `step` is not positive and finite, or `border` negative or not finite.
    """
    check_number("step", step, above=0.0)
    check_number("border", border, least=0.0)
    n_row, n_col, first_row, first_col = (int(n) for n in target.data.batch.rows[target.group])
    x, y = (
        first + border + step * np.arange(max(int((size - 1 - 2.0 * border) / step) + 1, 0))
        for first, size in ((first_col, n_col), (first_row, n_row))
    )
    grid = np.meshgrid(x, y)
    return grid[0], grid[1]


def weigh_one_more(
    target: Target,
    source: np.ndarray,
    shared: np.ndarray,
    x,
    y,
    flux_pdf: Prior,
    *,
    shape: np.ndarray | None = None,
) -> OneMore:
    """Weigh one more source at each place of a grid.

    Parameters
    ----------
    target : Target
        The group; its layout says what is free.
    source : (n, C) array
        Optimum of the members: x, y (image pixels), flux, shapes.
    shared : (E,) array
        Optimum of the shared columns: the sky, less the reference, then nuisances.
    x, y : array_like
        Places, image pixels, of one shape.
    flux_pdf : Prior
        A proper prior of its flux.
    shape : (J,) array, optional
        Shapes of the source, as in the state; default: those of the first member.

    Returns
    -------
    OneMore

    Raises
    ------
    ValueError
        If the prior is not proper, places have not one shape or are not finite, or the optimum
        does not fit the group.
    """
    x, y = _read_places(x, y)
    source, shared = np.asarray(source, dtype=float), np.asarray(shared, dtype=float)
    n_shared = target.data.batch.shared_prior.shape[1]
    n_column = target.data.batch.state.shape[1]
    if source.shape != (target.n_source, n_column) or shared.shape != (n_shared,):
        raise ValueError(
            f"source must be ({target.n_source}, {n_column}) and shared ({n_shared},) for this "
            f"group, found {source.shape} and {shared.shape}"
        )
    shape = source[0, SHAPE:] if shape is None else shape
    columns, residual, weight = _linearise(target, source, shared)
    batch, layout = target.data.batch, target.layout
    prior, common = batch.prior[target.sources], batch.shared_prior[target.group]
    precision, offset = list_normal_priors(prior, common, source, shared, layout)
    weighted = columns * weight
    # A disc has no slope: it keeps directions that the data do not hold from running away.
    gram = weighted @ columns.T + np.diag(precision + list_disc_precisions(prior, layout))
    slope = weighted @ residual - precision * offset
    inverse = _invert(gram)
    places = np.column_stack([x.ravel(), y.ravel()])
    information, score = np.empty(len(places)), np.empty(len(places))
    step = max(1, CHUNK // weight.size)
    for first in range(0, len(places), step):
        part = slice(first, first + step)
        light = _render_units(target, places[part], shape)
        cross = light @ weighted.T
        projected = cross @ inverse
        own = np.einsum("mp,p,mp->m", light, weight, light)
        left = own - np.einsum("mj,mj->m", projected, cross)
        score[part] = light @ (weight * residual) - projected @ slope
        information[part] = np.where(left > INSEPARABLE * own, left, 0.0)
    factor = log_integral(flux_pdf, score, information)
    return OneMore(
        x, y, score.reshape(x.shape), information.reshape(x.shape), factor.reshape(x.shape)
    )


def _invert(gram: np.ndarray) -> np.ndarray:
    """Return the pseudo-inverse of a normal matrix.

    It is cut where columns depend on each other, not where they are short: beside a star of 1e7
    the squares of two columns differ by 1e14. So the diagonal is made one before.
    """
    diagonal = np.diagonal(gram)
    scale = np.where(diagonal > 0.0, 1.0 / np.sqrt(np.maximum(diagonal, 1e-300)), 1.0)
    scaled = gram * scale * scale[:, None]
    return np.linalg.pinv(scaled, rcond=1e-13, hermitian=True) * scale * scale[:, None]


def _read_places(x, y) -> tuple[np.ndarray, np.ndarray]:
    """Return places as arrays of one shape, or say what is wrong with them."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.size == 0:
        raise ValueError(f"x and y must have one shape and places, found {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be finite")
    return x, y


def _render_units(target: Target, places: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return (m, pixel) unit sources at places over the group's patch."""
    batch = target.data.batch
    n_row, n_col, first_row, first_col = (int(n) for n in batch.rows[target.group])
    state = np.zeros((len(places), batch.state.shape[1]))
    state[:, :2] = places - [first_col, first_row]
    state[:, SHAPE:] = shape
    out = np.empty((len(places), 1, n_row, n_col))
    fill_unit_images(target.psf, state, out)
    return out.reshape(len(places), n_row * n_col)


def _linearise(target: Target, source: np.ndarray, shared: np.ndarray):
    """Return the columns (parameter, pixel) of all free parameters, the residuals, the weights."""
    batch, n = target.data.batch, target.n_source
    n_row, n_col, first_row, first_col = (int(k) for k in batch.rows[target.group])
    here = slice(batch.pixel_start[target.group], batch.pixel_start[target.group + 1])
    state = source.copy()
    state[:, :2] -= [first_col, first_row]
    images = np.empty((n, state.shape[1], n_row, n_col))
    fill_unit_images(target.psf, state, images)
    unit = images.reshape(n, state.shape[1], n_row * n_col)
    common = list_shared_columns(batch, target.group)
    flux = source[:, FLUX]
    columns = [unit[:, 0]] if target.layout.free_flux else []
    columns.append(common)
    for name, k, *j in target.layout.nonlinear:
        if name == "shape":
            which = slice(None) if k is None else slice(k, k + 1)
            columns.append((flux[which] @ unit[which, SHAPE + j[0]])[None])
        else:
            columns.append(flux[k] * unit[k : k + 1, 1 if name == "x" else 2])
    model = flux @ unit[:, 0] + shared @ common
    residual = batch.data[here] - batch.neighbours[here] - model
    return np.concatenate(columns), residual, batch.weight[here]
