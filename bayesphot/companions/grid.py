"""The places where companions are tried: a square, and finer along the axes of the best peak."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.companions.weigh import Search, Weighed

__all__ = ["make_square", "search_grid"]

#: Times the target is expanded anew about where the best companion puts it.
N_ANCHOR = 3
#: Places to a side of a finer grid about the best place, its step half of that before ...
ZOOM = 5
#: ... until the Bayes factor falls by less from the best place to the next.
FALL = 0.7
N_ZOOM = 12
#: Places to a side of the last grid, and their distance in standard deviations of the peak: out to
#: five of them, where the sum of a normal is exact and a draw within a cell 1 % too wide.
FINE = 21
SPACING = 0.5
#: Standard deviation of a peak at most, in steps of the square.
WIDEST = 2.0


def make_square(
    center: tuple[float, float], radius: float, step: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return places (n, n), about a step apart, that fill a square, and their distance.

    Each place stands for a square about it: all together are the region of half side ``radius``.
    """
    n = max(round(radius / step - 0.5), 1)
    step = radius / (n + 0.5)
    side = step * np.arange(-n, n + 1)
    x, y = np.meshgrid(center[0] + side, center[1] + side)
    return x, y, step


def search_grid(
    search: Search, x: np.ndarray, y: np.ndarray, step: float
) -> tuple[Search, Weighed, Weighed]:
    """Return companions at the places of a square, and at those of a finer grid about the best.

    Parameters
    ----------
    search : Search
        The stamp.
    x, y : (M,) arrays
        Places of the square.
    step : float
        Their distance, pixels.

    Returns
    -------
    search : Search
        With another expansion where the target had to be followed.
    coarse, fine : Weighed
        Places of the finer grid take the place of those of the square that they cover: these have
        no cell.
    """
    region = _Region(x.min() - 0.5 * step, x.max() + 0.5 * step, y.min() - 0.5 * step,
                     y.max() + 0.5 * step)  # fmt: skip
    for move in range(N_ANCHOR):
        coarse = search.weigh(x, y, step * np.eye(2))
        best = coarse.select([int(np.argmax(coarse.log_bayes_factor))])
        peak, axes = _zoom(search, best, step, region)
        again = search.restart(peak) if move == 0 else None
        again = again or search.follow(peak.target[0, :2])
        if again is None:
            break
        search = again
    middle = np.array([peak.x[0], peak.y[0]])
    side = np.arange(FINE) - FINE // 2
    offset = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) @ axes.T
    place = middle + offset
    place = place[np.flatnonzero(region.holds(place[:, 0], place[:, 1]))]
    fine = search.weigh(place[:, 0], place[:, 1], axes)
    steps = np.linalg.solve(axes, np.stack([x, y]) - middle[:, None])
    covered = np.asarray((np.abs(steps) < 0.5 * FINE).all(axis=0))
    cell = np.where(covered[:, None, None], 0.0, coarse.cell)
    return search, replace(coarse, cell=cell), fine


@dataclass(frozen=True)
class _Region:
    """The square searched: ends along x and y, pixels."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which places lie in it."""
        inside_x = (x >= self.x_low) & (x <= self.x_high)
        return inside_x & (y >= self.y_low) & (y <= self.y_high)


def _zoom(
    search: Search, best: Weighed, step: float, region: _Region
) -> tuple[Weighed, np.ndarray]:
    """Return the best place, and the sides of cells that resolve the peak about it."""
    coarsest = step
    for _level in range(N_ZOOM):
        side = 0.5 * step * (np.arange(ZOOM) - ZOOM // 2)
        gx, gy = (grid.ravel() for grid in np.meshgrid(best.x[0] + side, best.y[0] + side))
        inside = region.holds(gx, gy)
        around = search.weigh(gx[inside], gy[inside], 0.5 * step * np.eye(2))
        n = int(np.argmax(around.log_bayes_factor))
        best = around.select([n])
        row, column = divmod(int(np.flatnonzero(inside)[n]), ZOOM)
        if 0 < row < ZOOM - 1 and 0 < column < ZOOM - 1:
            step *= 0.5
            level = np.full((ZOOM, ZOOM), -np.inf)
            level.flat[np.flatnonzero(inside)] = around.log_bayes_factor
            next_to = [level[row + i, column + j] for i, j in ((0, 1), (0, -1), (1, 0), (-1, 0))]
            if level[row, column] - np.mean(next_to) < FALL:
                break
        elif not inside.all():
            # At the end of the region there is nothing to follow.
            step *= 0.5
    return best, _find_axes(around, best, step, coarsest)


def _find_axes(around: Weighed, best: Weighed, step: float, coarsest: float) -> np.ndarray:
    """Return the sides (2, 2) of cells along the axes of a peak, from a parabola through places.

    Squares of the step where the places about it make no peak.
    """
    dx, dy = (around.x - best.x[0]) / step, (around.y - best.y[0]) / step
    design = np.stack([np.ones(dx.size), dx, dy, dx * dx, dx * dy, dy * dy], axis=1)
    if dx.size < design.shape[1]:
        return SPACING * step * np.eye(2)
    _, _, _, xx, xy, yy = np.linalg.lstsq(design, around.log_bayes_factor, rcond=None)[0]
    curvature, axes = np.linalg.eigh(-np.array([[2.0 * xx, xy], [xy, 2.0 * yy]]))
    least = (step / (WIDEST * coarsest)) ** 2
    return SPACING * step * axes / np.sqrt(np.maximum(curvature, least))
