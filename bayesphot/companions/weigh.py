"""The Bayes factor of a companion at each of some places."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from bayesphot.companions.basis import Basis, make_basis
from bayesphot.companions.prior import CompanionPrior
from bayesphot.companions.profile import (
    PLACE,
    Alone,
    Joint,
    fit_alone,
    fit_places,
    spread_target,
)
from bayesphot.companions.stamp import Stamp
from bayesphot.kernels.structs import SHAPE
from bayesphot.priors import Prior
from bayesphot.priors.expectation import log_integral

__all__ = ["Search", "Weighed", "average_evidence", "open_search"]

#: Share of the flux of the target alone below which that of the pair's is not taken.
FAINTEST = 1e-3
#: Half side of the square on which the target's image is a polynomial, in FWHM.
HALF = 0.2
#: From so many half sides on the target is expanded anew about where the best companion puts it.
MOVED = 0.5
#: Over the target's flux: companions from here on may be what a star alone is fitted to.
BRIGHT = 0.5
#: Times that the target alone is followed to where it lies, a quarter of a FWHM each.
N_MOVE = 20


@dataclass(frozen=True, eq=False)
class Weighed:
    """Companions at places, arrays of one length.

    ``x``, ``y`` the places; ``cell`` (M, 2, 2) the part of the image that each stands for: its
    columns are the sides of a parallelogram about the place, pixels, or 0; ``target`` (M, 3) x, y
    and flux of the target; ``flux`` and ``information`` of the companion's flux: best value and
    inverse variance.
    """

    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray
    log_bayes_factor: np.ndarray
    target: np.ndarray
    flux: np.ndarray
    information: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """What each place stands for, square pixels."""
        return np.abs(np.linalg.det(self.cell))

    def join(self, other: Weighed) -> Weighed:
        """Return the places of both."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return Weighed(*(np.concatenate(pair) for pair in pairs))

    def select(self, which) -> Weighed:
        """Return some of the places."""
        return Weighed(*(getattr(self, field.name)[which] for field in fields(self)))


def average_evidence(log: np.ndarray, area: np.ndarray) -> float:
    """Return ln of the mean of Bayes factors over the places that they stand for."""
    level = float(log.max())
    return level + float(np.log(np.average(np.exp(log - level), weights=area)))


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

    def weigh(self, x: np.ndarray, y: np.ndarray, cell: np.ndarray) -> Weighed:
        """Weigh a companion at each of some places (M,), each of which stands for a cell (2, 2)."""
        joint = fit_places(self.basis, x, y, self.alone.state)
        far = self._find_far(joint.target)
        if self.moved is not None and far.any():
            joint = joint.put(far, fit_places(self.moved, x[far], y[far], self._start))
        cells = np.broadcast_to(cell, (x.size, 2, 2))
        log = self.compare(joint)
        return Weighed(x, y, cells, log, joint.target, joint.flux, joint.information)

    def compare(self, joint: Joint) -> np.ndarray:
        """Return ln of the Bayes factors (M,) of fits.

        Laplace's approximation (Tierney & Kadane 1986) but for the companion's flux, whose normal
        times its prior is integrated.
        """
        gain = 0.5 * (self.alone.chi2 - joint.chi2)
        gain -= 0.5 * joint.information * joint.flux**2
        gain += self.alone.half_log_det - joint.half_log_det
        pdf, unit = self.scale_prior(joint.target[:, 2])
        score, information = joint.information * joint.flux, joint.information
        return gain + log_integral(pdf, score * unit, information * unit**2)

    def scale_prior(self, target: np.ndarray) -> tuple[Prior, np.ndarray]:
        """Return a prior, and the fluxes (M,) in units of which it is, beside targets' fluxes."""
        if self.prior.flux is not None:
            return self.prior.flux, np.ones(target.size)
        return self.prior.flux_ratio, np.maximum(target, FAINTEST * abs(self.alone.flux))

    def spread(self, places: Weighed) -> tuple[np.ndarray, np.ndarray]:
        """Return how targets go with companions at some places; see `spread_target`."""
        slope, covariance = spread_target(self.basis, places.x, places.y, self.alone.state)
        far = self._find_far(places.target)
        if self.moved is not None and far.any():
            other = spread_target(self.moved, places.x[far], places.y[far], self._start)
            slope[far], covariance[far] = other
        return slope, covariance

    def find_chi2(self, x: float, y: float) -> float:
        """Return chi^2, with the priors' part, of the best fit with a companion at a place."""
        place = np.array([x]), np.array([y])
        joint = fit_places(self.basis, *place, self.alone.state)
        if self.moved is not None and self._find_far(joint.target).any():
            joint = fit_places(self.moved, *place, self._start)
        return float(joint.chi2[0])

    def follow(self, target: np.ndarray) -> Search | None:
        """Return the search with another expansion, where a target (x, y) is far from those known.

        None where one of them holds there.
        """
        known = [self.basis] if self.moved is None else [self.basis, self.moved]
        if min(np.abs(target - b.moving.anchor).max() / b.moving.half for b in known) <= MOVED:
            return None
        return replace(self, moved=make_basis(self.stamp, target, HALF * self.fwhm, self.fwhm))

    def restart(self, best: Weighed) -> Search | None:
        """Return the search with the target alone fitted at another star, where that fits better.

        None where it does not. ``best`` is a companion: of two stars as bright, wider apart than a
        FWHM, the target alone is either, and the fit began at one of them.
        """
        if not best.flux[0] > BRIGHT * best.target[0, 2]:
            return None
        alone = self.basis.moving.anchor + self.basis.moving.half * self.alone.state[PLACE]
        for place in (best.target[0, :2], np.array([best.x[0], best.y[0]])):
            if np.hypot(*(place - alone)) > HALF * self.fwhm:
                target = np.concatenate([place, [self.alone.flux], self.stamp.target[SHAPE:]])
                found = open_search(replace(self.stamp, target=target), self.fwhm, self.prior)
                if found.alone.chi2 < self.alone.chi2 - 1.0:
                    return found
        return None

    @property
    def _start(self) -> np.ndarray:
        """The state from which fits in the second expansion start."""
        state = self.alone.state.copy()
        state[PLACE] = 0.0
        return state

    def _find_far(self, target: np.ndarray) -> np.ndarray:
        """Return which targets (M, 3) the first expansion does not hold."""
        moving = self.basis.moving
        return np.abs(target[:, :2] - moving.anchor).max(axis=1) > MOVED * moving.half


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
    for move in range(N_MOVE):
        basis = make_basis(stamp, stamp.target[:2], HALF * fwhm, fwhm)
        alone = fit_alone(basis)
        near = np.abs(alone.state[PLACE]).max() <= MOVED
        if near and move == 0:
            break
        # The fit that left the target here looks no farther than its disc.
        place = basis.moving.anchor + basis.moving.half * alone.state[PLACE]
        target = np.concatenate([place, [alone.flux], stamp.target[SHAPE:]])
        stamp = replace(stamp, target=target)
        if near:
            break
    return Search(stamp, prior, fwhm, alone, basis)
