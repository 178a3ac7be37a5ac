"""Other images of a target: without a companion, for false positives, and with one, for limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesphot.companions.basis import Crossed, cross_places
from bayesphot.companions.grid import make_square
from bayesphot.companions.moving import render_units
from bayesphot.companions.profile import fit_alone, fit_crossed
from bayesphot.companions.weigh import Search, average_evidence
from bayesphot.kernels.structs import SHAPE

__all__ = ["Bench", "open_bench"]

#: Distance of the places, in FWHM: 0.6 sigma of the PSF. A peak of evidence that is just seen is
#: half as wide; the same for all images, and thresholds are measured, not computed.
STEP = 0.25


@dataclass(frozen=True, eq=False)
class Bench:
    """A stamp on which images are simulated and searched, the same way each.

    ``radius`` is how far from the target companions may be, pixels, ``x``, ``y`` (M,) the places
    searched, ``crossed`` companions there, ``model`` (P,) the target alone with sky and neighbours,
    weighted by the square root of W.
    """

    search: Search
    radius: float
    x: np.ndarray
    y: np.ndarray
    crossed: Crossed
    model: np.ndarray

    def find_evidence(self, data: np.ndarray) -> float:
        """Return ln of the evidence ratio of weighted data (P,)."""
        basis = self.search.basis.change_data(data)
        search = replace(self.search, basis=basis, alone=fit_alone(basis), moved=None)
        joint = fit_crossed(basis, self.crossed.change_data(data), search.alone.state)
        log = search.compare(joint)
        return average_evidence(log, np.ones(log.size))

    def simulate(self, rng: np.random.Generator, companion=None) -> np.ndarray:
        """Return weighted data (P,) of the target, with a companion (x, y, flux) or without."""
        stamp = self.search.stamp
        noise = np.where(stamp.weight > 0.0, rng.standard_normal(stamp.weight.size), 0.0)
        if companion is None:
            return self.model + noise
        light = self._render(*companion)
        # Its own photons: the weights are those of the target alone.
        added = stamp.light_variance * np.sqrt(stamp.weight) * light
        return self.model + light + noise * np.sqrt(1.0 + np.maximum(added, 0.0))

    @property
    def target(self) -> tuple[float, float, float]:
        """x, y and flux of the target."""
        x, y, flux = self.search.stamp.target[:3].tolist()
        return x, y, flux

    def _render(self, x: float, y: float, flux: float) -> np.ndarray:
        """Return the weighted light (P,) of a companion."""
        stamp = self.search.stamp
        shape = stamp.target[SHAPE:]
        light = render_units(stamp.psf.data, np.array([[x, y]]), stamp.window, shape)[0]
        return flux * light * np.sqrt(stamp.weight)


def open_bench(search: Search, center: tuple[float, float], radius: float) -> Bench:
    """Return the bench of a search of a square about a place, of half side ``radius``, pixels."""
    x, y, _ = make_square(center, radius, STEP * search.fwhm)
    x, y = x.ravel(), y.ravel()
    crossed = cross_places(search.basis, x, y)
    model = search.alone.render(search.basis)
    # The target is not quite in the middle; a companion within a step of the border is seen there.
    off = float(np.abs(search.stamp.target[:2] - center).max())
    reach = min(radius, radius - off + STEP * search.fwhm)
    return Bench(search, reach, x, y, crossed, model)
