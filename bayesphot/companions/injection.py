"""False positives and completeness of a search, counted on simulated images of its target."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from bayesphot.checks import check_integer, check_number
from bayesphot.companions.journal import Journal
from bayesphot.companions.trials import Bench
from bayesphot.execute import Workers, finish_batches, run_batches

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

__all__ = ["Completeness", "FalsePositives", "calibrate_false_positives", "recover_companions"]

#: Images of one batch.
BATCH = 25
#: The first entry of a seed's key: images without a companion, and with one.
NULLS, INJECTIONS = 0, 1
#: Version of the files of injections.
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class FalsePositives:
    """
    What the search finds in images of the target without a companion.

    Attributes
    ----------
    log_evidence_ratio : ndarray of float (n,)
        Of each image, in order.
    observed : float
        Of the image itself, found in the same way.
    search : dict
        Of which target, prior and places they are.
    """

    log_evidence_ratio: np.ndarray
    observed: float
    search: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"FalsePositives({self.log_evidence_ratio.size} images: the observed evidence ratio "
            f"or more in a share of {self.p_value:.2g})"
        )

    @property
    def p_value(self) -> float:
        """Share of images without a companion that look at least as much like having one.

        (k + 1) / (n + 1), the observed image among them: never 0 (Davison & Hinkley 1997).
        """
        n = self.log_evidence_ratio.size
        return float((np.sum(self.log_evidence_ratio >= self.observed) + 1) / (n + 1))

    def threshold(self, rate: float) -> float:
        """
        Return ln of the evidence ratio that a share of images without a companion exceeds.

        Parameters
        ----------
        rate : float
            The share.

        Raises
        ------
        ValueError
            If there are fewer than 20 / rate images, or the rate is not between 0 and 1.
        """
        if not 0.0 < check_number("rate", rate) < 1.0:
            raise ValueError(f"rate must lie between 0 and 1, without either, found {rate!r}")
        n = self.log_evidence_ratio.size
        if n < 20.0 / rate:
            raise ValueError(
                f"rate={rate:g} needs at least {int(np.ceil(20.0 / rate))} images without a "
                f"companion, found {n}"
            )
        return float(np.quantile(self.log_evidence_ratio, 1.0 - rate, method="higher"))


@dataclass(frozen=True, eq=False)
class Completeness:
    """
    Companions that were put into images of the target and found.

    Attributes
    ----------
    separation : ndarray of float (S,)
        Pixels.
    delta_mag : ndarray of float (C,)
        Companion less target, mag.
    n_found, n_tried : ndarrays of int (S, C)
        How many.
    threshold : float
        ln of the evidence ratio above which a companion counts as found.
    rate : float
        Rate of false positives of that threshold.
    """

    separation: np.ndarray
    delta_mag: np.ndarray
    n_found: np.ndarray
    n_tried: np.ndarray
    threshold: float
    rate: float

    @property
    def fraction(self) -> np.ndarray:
        """Share found (S, C); NaN where none was tried."""
        with np.errstate(invalid="ignore"):
            return self.n_found / self.n_tried

    @property
    def table(self) -> QTable:
        """One row for each separation and contrast: shares found, with 68 % intervals of Wilson."""
        from astropy.stats import binom_conf_interval
        from astropy.table import QTable

        grid = np.meshgrid(self.separation, self.delta_mag, indexing="ij")
        low, high = binom_conf_interval(
            self.n_found.ravel(), self.n_tried.ravel(), interval="wilson"
        )
        # The ends are computed apart from the share: 0 may become 3e-18.
        share = self.fraction.ravel()
        low, high = np.minimum(low, share), np.maximum(high, share)
        columns = (grid[0].ravel(), grid[1].ravel(), share, low, high)
        names = ("separation", "delta_mag", "fraction", "fraction_lo", "fraction_hi")
        return QTable(list(columns), names=names)

    def limit(self, fraction: float = 0.5) -> np.ndarray:
        """
        Return the faintest contrast (S,) of which a share is found, mag.

        Linear between the contrasts tried, from the bright end; NaN where already the brightest
        is found less often, infinite where the faintest still is more often.

        Parameters
        ----------
        fraction : float
            The share.

        Raises
        ------
        ValueError
            If it is not between 0 and 1.
        """
        if not 0.0 < check_number("fraction", fraction) < 1.0:
            raise ValueError(f"fraction must lie between 0 and 1, found {fraction!r}")
        order = np.argsort(self.delta_mag)
        mag = self.delta_mag[order]
        limits = []
        for share in self.fraction[:, order]:
            below = np.flatnonzero(share < fraction)
            if below.size == 0:
                limits.append(np.inf)
            elif below[0] == 0:
                limits.append(np.nan)
            else:
                k = below[0]
                part = (share[k - 1] - fraction) / (share[k - 1] - share[k])
                limits.append(mag[k - 1] + part * (mag[k] - mag[k - 1]))
        return np.array(limits)

    def plot(self, *, path=None) -> Figure:
        """
        Draw the shares with contours of 50 % and 90 %.

        Parameters
        ----------
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayesphot.companions.pictures import plot_completeness

        return plot_completeness(self, path)


def calibrate_false_positives(
    bench: Bench, n: int, observed: np.ndarray, *, seed: int, workers: Workers
) -> FalsePositives:
    """Search n images without a companion, and the observed data (P,), weighted."""
    check_integer("n", n, least=1)
    check_integer("seed", seed, least=0)
    starts = range(0, n, BATCH)
    batches = [(bench, seed, first, min(BATCH, n - first)) for first in starts]
    parts = run_batches(
        _search_nulls, batches, workers, label="images without a companion", unit="image",
        weights=[batch[3] for batch in batches],
    )  # fmt: skip
    return FalsePositives(np.concatenate(parts), bench.find_evidence(observed), _describe(bench))


def _search_nulls(bench: Bench, seed: int, first: int, n: int) -> np.ndarray:
    """Return ln of the evidence ratios of some images without a companion."""
    rngs = [np.random.default_rng([seed, NULLS, first + k]) for k in range(n)]
    return np.array([bench.find_evidence(bench.simulate(rng)) for rng in rngs])


def recover_companions(
    bench: Bench, separation, delta_mag, n: int, nulls: FalsePositives, rate: float,
    *, seed: int, workers: Workers, file: str | Path | None,
) -> Completeness:  # fmt: skip
    """Put n companions at each separation and contrast, at random angles, and search for them.

    What is finished stands in the file, a line for each separation and contrast, and is not done
    again.
    """
    separation, delta_mag = (
        _read_axis("separations", separation),
        _read_axis("delta_mags", delta_mag),
    )
    furthest = float(separation.max())
    if furthest > bench.radius:
        raise ValueError(
            f"separations must lie in the region searched, at most {bench.radius:.4g} pixels from "
            f"the target, found {furthest:g}"
        )
    if not bench.target[2] > 0.0:
        raise ValueError(
            f"the target has no flux ({bench.target[2]:g}): no magnitude difference to it is known"
        )
    check_integer("n", n, least=1)
    check_integer("seed", seed, least=0)
    threshold = nulls.threshold(rate)
    search = _describe(bench)
    if nulls.search != search:
        raise ValueError(
            "false_positives must be of this map's own calibrate_false_positives: target, prior or "
            "places differ"
        )
    journal = None
    if file is not None:
        journal = Journal(file, {"schema_version": SCHEMA, "n": n, "seed": seed, **search})
    done = {} if journal is None else journal.done
    cells = [(float(s), float(m)) for s in separation for m in delta_mag]
    left = [cell for cell in cells if cell not in done]
    finished = finish_batches(
        _search_injected,
        [(bench, seed, s, m, n) for s, m in left],
        workers,
        label="companions",
        unit="image",
        weights=[n] * len(left),
    )
    for place, logs in finished:
        done[left[place]] = logs
        if journal is not None:
            journal.add(left[place], logs)
    shape = (separation.size, delta_mag.size)
    found = np.array([np.sum(np.array(done[cell]) > threshold) for cell in cells]).reshape(shape)
    return Completeness(separation, delta_mag, found, np.full(shape, n), threshold, rate)


def _search_injected(bench: Bench, seed: int, separation: float, magnitude: float, n: int) -> list:
    """Return ln of the evidence ratios of images with companions of a separation and contrast."""
    x, y, flux = bench.target
    # The same images whatever else is on the axes.
    key = [seed, INJECTIONS, *np.array([separation, magnitude]).view(np.uint32).tolist()]
    rng = np.random.default_rng(key)
    logs = []
    for angle in rng.uniform(0.0, 2.0 * np.pi, n):
        place = (x + separation * np.cos(angle), y + separation * np.sin(angle))
        data = bench.simulate(rng, (*place, flux * 10.0 ** (-0.4 * magnitude)))
        logs.append(bench.find_evidence(data))
    return logs


def _read_axis(name: str, values: Any) -> np.ndarray:
    """Return separations, pixels, or contrasts, magnitudes, as an array."""
    unit = getattr(values, "unit", None)
    wanted = u.pix if name == "separations" else u.mag
    if unit is not None:
        if unit not in (wanted, u.dimensionless_unscaled):
            raise ValueError(f"{name} must be in {wanted}, found {values}")
        values = values.value
    try:
        array = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, found {values!r}") from None
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers in one row, found {values!r}")
    if name == "separations" and not (array > 0.0).all():
        raise ValueError(f"separations must be positive, found {float(array.min()):g}")
    return array


def _describe(bench: Bench) -> dict:
    """Return what tells one search from another."""
    search = bench.search
    numbers = [*search.stamp.target.tolist(), float(search.stamp.weight.sum())]
    return {
        # Other machines differ in the last digits.
        "target": [float(f"{number:.6g}") for number in numbers],
        "prior": repr(search.prior),
        "places": int(bench.x.size),
        "light_variance": float(f"{search.stamp.light_variance:.6g}"),
    }
