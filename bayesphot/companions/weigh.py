"""The Bayes factor of a companion at every place, and finer about the best one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.priors import Prior
from bayesphot.priors.expectation import log_integral, log_within

from .prior import CompanionPrior
from .profile import Alone, Basis, Joint, fit_alone, fit_places, make_basis, spread_target
from .stamp import Stamp

__all__ = ["Search", "Weighed", "make_square", "open_search", "search_grid"]

#: Share of the flux of the target alone below which that of the pair's is not taken.
FAINTEST = 1e-3
#: Candidates for the flux of a draw.
N_TRY = 30
#: Half side of the square on which the target's image is a polynomial, in FWHM.
HALF = 0.2
#: From so many half sides on the target is expanded anew about where the best companion puts it.
MOVED = 0.5
#: Times it is.
N_ANCHOR = 3
#: Places to a side of a finer grid about the best place, its step half of that before ...
ZOOM = 5
#: ... until the Bayes factor falls by less from the best place to the next.
FALL = 0.7
N_ZOOM = 12
#: Places to a side of the last grid, half as far apart: out to six standard deviations.
FINE = 27


@dataclass(frozen=True, eq=False)
class Weighed:
    """Companions at places, arrays of one shape.

    ``x``, ``y`` the places, ``area`` of the image that each stands for, pixels; ``target`` (M, 3)
    x, y and flux of the target; ``flux`` and ``information`` of the companion's flux: best value
    and inverse variance.
    """

    x: np.ndarray
    y: np.ndarray
    area: np.ndarray
    log_bayes_factor: np.ndarray
    target: np.ndarray
    flux: np.ndarray
    information: np.ndarray

    def join(self, other: Weighed) -> Weighed:
        """Return the places of both."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Weighed(*(np.concatenate(pair) for pair in pairs))

    def select(self, which) -> Weighed:
        """Return some of the places."""
        return Weighed(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Search:
    """A stamp with its target fitted alone, and where companions are tried.

    ``basis`` is expanded about the target alone; ``moved``, where there is one, about the place
    that a bright companion leaves it.
    """

    stamp: Stamp
    prior: CompanionPrior
    fwhm: float
    alone: Alone
    basis: Basis
    moved: Basis | None = None

    def weigh(self, x: np.ndarray, y: np.ndarray, area: float) -> Weighed:
        """Weigh a companion at each of some places (M,), each of which stands for an area."""
        joint = fit_places(self.basis, x, y, self.alone.state)
        far = self._find_far(joint.target)
        if self.moved is not None and far.any():
            other = fit_places(self.moved, x[far], y[far], self._start)
            for name in _NAMES:
                getattr(joint, name)[far] = getattr(other, name)
        areas = np.full(x.size, area)
        log = self.compare(joint)
        return Weighed(x, y, areas, log, joint.target, joint.flux, joint.information)

    def draw(self, weighed: Weighed, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return draws (n,) of companion and target, given that there is a companion.

        The companion's flux from its normal by its prior, the best of N_TRY candidates by weight;
        the target from its normal given that flux.
        """
        from scipy.special import ndtr, ndtri

        level = weighed.area * np.exp(weighed.log_bayes_factor - weighed.log_bayes_factor.max())
        chosen = rng.choice(level.size, size=n, p=level / level.sum())
        kept, which = np.unique(chosen, return_inverse=True)
        places = weighed.select(kept)
        slope, covariance = self._spread(places)
        drawn = places.select(which)
        error = 1.0 / np.sqrt(np.maximum(drawn.information, 1e-300))
        pdf, unit = self._scale_prior(drawn.target[:, 2])
        low, high = (ndtr((end * unit - drawn.flux) / error) for end in pdf.support())
        tries = drawn.flux + error * ndtri(low + (high - low) * rng.uniform(size=(N_TRY, n)))
        # Beyond 38 errors nothing is left of a normal: the nearest value that the prior allows.
        ends = [end * unit for end in pdf.support()]
        tries = np.clip(tries, *ends)
        weight = np.exp(log_within(pdf, tries / unit))
        weight /= weight.sum(axis=0)
        below = np.cumsum(weight, axis=0)
        flux = tries[(below < rng.uniform(size=n)).sum(axis=0), np.arange(n)]
        root = np.linalg.cholesky(covariance)[which]
        target = drawn.target + slope[which] * (flux - drawn.flux)[:, None]
        target = target + np.einsum("nij,nj->ni", root, rng.standard_normal((n, 3)))
        side = 0.5 * np.sqrt(drawn.area)
        return {
            "x": drawn.x + side * rng.uniform(-1.0, 1.0, n),
            "y": drawn.y + side * rng.uniform(-1.0, 1.0, n),
            "flux": flux,
            "x_target": target[:, 0],
            "y_target": target[:, 1],
            "flux_target": target[:, 2],
        }

    def _scale_prior(self, target: np.ndarray) -> tuple[Prior, np.ndarray]:
        """Return a prior, and the fluxes (M,) in units of which it is, beside targets' fluxes."""
        if self.prior.flux is not None:
            return self.prior.flux, np.ones(target.size)
        return self.prior.flux_ratio, np.maximum(target, FAINTEST * abs(float(self.alone.state[0])))

    def _spread(self, places: Weighed) -> tuple[np.ndarray, np.ndarray]:
        """Return how targets go with companions at some places, by the expansion that holds."""
        slope, covariance = spread_target(self.basis, places.x, places.y, self.alone.state)
        far = self._find_far(places.target)
        if self.moved is not None and far.any():
            other = spread_target(self.moved, places.x[far], places.y[far], self._start)
            slope[far], covariance[far] = other
        return slope, covariance

    def follow(self, target: np.ndarray) -> Search | None:
        """Return the search with another expansion, where a target (x, y) is far from those known.

        None where one of them holds there.
        """
        known = [self.basis] if self.moved is None else [self.basis, self.moved]
        if min(np.abs(target - b.moving.anchor).max() / b.moving.half for b in known) <= MOVED:
            return None
        moved = make_basis(self.stamp, target, HALF * self.fwhm, self.fwhm)
        return replace(self, moved=moved)

    @property
    def _start(self) -> np.ndarray:
        """The state from which fits in the second expansion start."""
        state = self.alone.state.copy()
        state[1:3] = 0.0
        return state

    def _find_far(self, target: np.ndarray) -> np.ndarray:
        """Return which targets (M, 3) the first expansion does not hold."""
        moving = self.basis.moving
        return np.abs(target[:, :2] - moving.anchor).max(axis=1) > MOVED * moving.half

    def compare(self, joint: Joint) -> np.ndarray:
        """Return ln of the Bayes factors (M,) of fits."""
        gain = 0.5 * (self.alone.chi2 - joint.chi2)
        gain -= 0.5 * joint.information * joint.flux**2
        gain += self.alone.half_log_det - joint.half_log_det
        pdf, unit = self._scale_prior(joint.target[:, 2])
        score, information = joint.information * joint.flux, joint.information
        return gain + log_integral(pdf, score * unit, information * unit**2)


_NAMES = ("chi2", "target", "flux", "information", "half_log_det")


def open_search(stamp: Stamp, fwhm: float, prior: CompanionPrior) -> Search:
    """Return the search of a stamp before any place was weighed.

    Parameters
    ----------
    stamp : Stamp
        The pixels.
    fwhm : float
        Of the PSF, pixels; the target's place has a normal prior of this sd about its start.
    prior : CompanionPrior
        Of companions.
    """
    basis = make_basis(stamp, stamp.target[:2], HALF * fwhm, fwhm)
    return Search(stamp, prior, fwhm, fit_alone(basis), basis)


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


def search_grid(search: Search, x, y, step: float) -> tuple[Search, Weighed, Weighed]:
    """Return companions at the places of a grid, and at those of a finer one about the best.

    Parameters
    ----------
    search : Search
        The stamp.
    x, y : (M,) arrays
        Places.
    step : float
        Their distance, pixels.

    Returns
    -------
    search : Search
        With another expansion where the target had to be followed.
    coarse, fine : Weighed
        Places of the finer grid take the place of those of the coarse one that they cover: these
        have no area.
    """
    for _move in range(N_ANCHOR):
        coarse = search.weigh(x, y, step**2)
        peak, spacing = _zoom(search, coarse, step)
        again = search.follow(peak.target[0, :2])
        if again is None:
            break
        search = again
    spacing *= 0.5
    side = spacing * (np.arange(FINE) - FINE // 2)
    gx, gy = (grid.ravel() for grid in np.meshgrid(peak.x[0] + side, peak.y[0] + side))
    inside = _is_inside(gx, x, step) & _is_inside(gy, y, step)
    fine = search.weigh(gx[inside], gy[inside], spacing**2)
    half = 0.5 * FINE * spacing
    covered = (np.abs(x - peak.x[0]) < half) & (np.abs(y - peak.y[0]) < half)
    return search, replace(coarse, area=np.where(covered, 0.0, coarse.area)), fine


def _is_inside(line: np.ndarray, places: np.ndarray, step: float) -> np.ndarray:
    """Return what of a coordinate lies in the region that places stand for."""
    return (line >= places.min() - 0.5 * step) & (line <= places.max() + 0.5 * step)


def _zoom(search: Search, coarse: Weighed, step: float) -> tuple[Weighed, float]:
    """Return the best place, and a distance of places that resolves the peak about it."""
    best = coarse.select([int(np.argmax(coarse.log_bayes_factor))])
    half = ZOOM // 2
    ends = [(line.min() - 0.5 * step, line.max() + 0.5 * step) for line in (coarse.x, coarse.y)]
    for _level in range(N_ZOOM):
        side = 0.5 * step * (np.arange(ZOOM) - half)
        lines = [
            np.clip(middle + side, *end)
            for middle, end in zip((best.x[0], best.y[0]), ends, strict=True)
        ]
        gx, gy = (grid.ravel() for grid in np.meshgrid(*lines))
        around = search.weigh(gx, gy, (0.5 * step) ** 2)
        n = int(np.argmax(around.log_bayes_factor))
        best = around.select([n])
        row, column = divmod(n, ZOOM)
        at_edge = min(row, column) == 0 or max(row, column) == ZOOM - 1
        if at_edge and not _is_cut(lines, row, column):
            # The peak lies further off: follow it before looking closer.
            continue
        step *= 0.5
        if at_edge:
            continue
        level = around.log_bayes_factor.reshape(ZOOM, ZOOM)
        next_to = [level[row + i, column + j] for i, j in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        if level[row, column] - np.mean(next_to) < FALL:
            break
    return best, step


def _is_cut(lines: list[np.ndarray], row: int, column: int) -> bool:
    """Return whether a place of a grid lies where the region searched ends."""
    return any(
        np.count_nonzero(line == line[place]) > 1
        for line, place in zip(lines, (column, row), strict=True)
    )
