"""The truth of simulated groups, from exactly the priors of their fit."""

from __future__ import annotations

import numpy as np

from bayesphot.calibration.designs import Starts
from bayesphot.calibration.setup import DefaultShape, Setup
from bayesphot.priors import can_draw, draw_prior
from bayesphot.psf import describe_psf
from bayesphot.scene import Grouped
from bayesphot.starts import find_radii

__all__ = ["draw_in_disc", "draw_places", "draw_shapes", "draw_sky"]

#: Times a place, or a group's places, are drawn again before the prior counts as empty.
MAX_TRIES = 100_000


def draw_shapes(random: np.random.Generator, starts: Starts, setup: Setup) -> dict[str, np.ndarray]:
    """Return the shapes of each source's PSF, (n,) each: fixed, of its group, or its own."""
    n = starts.group.size
    limits = describe_psf(setup.psf_model).shape_limits
    drawn = {}
    for name, law in setup.shapes.items():
        if isinstance(law, float):
            drawn[name] = np.full(n, law)
            continue
        size = n if setup.shape_is_own else starts.n_group
        if isinstance(law, DefaultShape):
            values = law.draw(random, size)
        else:
            values = _draw_above(random, law, size, limits[name])
        drawn[name] = values if setup.shape_is_own else values[starts.group]
    return drawn


def _draw_above(random: np.random.Generator, prior, size: int, limit: float) -> np.ndarray:
    """Return draws of a prior cut at what a shape stays above."""
    values = draw_prior(prior, random, size)
    for _try in range(MAX_TRIES):
        wrong = np.flatnonzero(values <= limit)
        if not wrong.size:
            return values
        values[wrong] = draw_prior(prior, random, wrong.size)
    raise ValueError(f"the prior of a shape must allow values above {limit:g}, found {prior!r}")


def draw_sky(random: np.random.Generator, n_group: int, setup: Setup) -> np.ndarray:
    """Return the sky level of each group."""
    if isinstance(setup.sky, float):
        return np.full(n_group, setup.sky)
    return draw_prior(setup.sky, random, n_group)


def draw_places(random: np.random.Generator, starts: Starts, setup: Setup) -> np.ndarray:
    """Return places from the prior of the positions, (n, 2).

    Uniform in the disc about each start, of the radius that the fit will use, times the priors
    of the offsets; a group is drawn again until all its pairs whose discs meet stand in the order
    of their starts.

    Parameters
    ----------
    random : Generator
        Where the randomness comes from.
    starts : Starts
        In the image.
    setup : Setup
        Priors.

    Raises
    ------
    ValueError
        If no place is found inside the prior.
    """
    grouped = Grouped.from_labels(starts.group, np.zeros(starts.group.size, dtype=bool))
    radius, _ = find_radii(starts.place, grouped, setup.settings)
    first, second = _list_pairs(starts, radius)
    between = starts.place[first] - starts.place[second]
    place = np.empty_like(starts.place)
    pending = np.ones(starts.n_group, dtype=bool)
    for _try in range(MAX_TRIES):
        here = np.flatnonzero(pending[starts.group])
        place[here] = starts.place[here] + _draw_offsets(random, radius[here], setup)
        order = np.einsum("pc,pc->p", place[first] - place[second], between)
        pending[:] = False
        pending[starts.group[first[order < 0.0]]] = True
        if not pending.any():
            return place
    raise ValueError(
        "the starts must leave room for sources that stand in their order: give a larger "
        f"separation or smaller groups, found {np.count_nonzero(pending)} groups without any"
    )


def _list_pairs(starts: Starts, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of group mates whose discs meet."""
    ends = np.searchsorted(starts.group, np.arange(starts.n_group + 1))
    first, second = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for begin, end in zip(ends[:-1], ends[1:], strict=True):
        if end - begin < 2:
            continue
        i, j = np.triu_indices(end - begin, k=1)
        i, j = i + begin, j + begin
        apart = np.hypot(*(starts.place[i] - starts.place[j]).T)
        meets = apart < radius[i] + radius[j]
        first.append(i[meets])
        second.append(j[meets])
    return np.concatenate(first), np.concatenate(second)


def _draw_offsets(random: np.random.Generator, radius: np.ndarray, setup: Setup) -> np.ndarray:
    """Return offsets from the starts inside the discs, (n, 2)."""
    given = [(setup.phot.priors or {}).get(name) for name in "xy"]
    free = (setup.settings.free_x, setup.settings.free_y)
    if all(free) and given == [None, None]:
        return draw_in_disc(random, radius.shape, radius)
    offset = np.zeros((radius.size, 2))
    pending = np.arange(radius.size)
    for _try in range(MAX_TRIES):
        inside = np.ones(pending.size, dtype=bool)
        for axis in range(2):
            if free[axis]:
                drawn, allowed = _draw_offset(random, radius[pending], given[axis])
                offset[pending, axis] = drawn
                inside &= allowed
        inside &= np.hypot(*offset[pending].T) <= radius[pending]
        pending = pending[~inside]
        if not pending.size:
            return offset
    raise ValueError(
        "phot.priors['x'] and ['y'] must reach into the disc about the start, found "
        f"{given[0]!r} and {given[1]!r} for a radius of {radius[pending[0]]:g} pixels"
    )


def _draw_offset(random: np.random.Generator, radius: np.ndarray, prior):
    """Return offsets of one coordinate, and which its prior allows."""
    if can_draw(prior):
        drawn = draw_prior(prior, random, radius.size)
        return drawn, np.ones(radius.size, dtype=bool)
    drawn = random.uniform(-radius, radius)
    low, high = (-np.inf, np.inf) if prior is None else prior.support()
    return drawn, (drawn >= low) & (drawn <= high)


def draw_in_disc(random: np.random.Generator, shape: tuple[int, ...], radius) -> np.ndarray:
    """Return offsets (*shape, 2) uniform in a disc."""
    r = np.asarray(radius) * np.sqrt(random.random(shape))
    angle = random.uniform(0.0, 2.0 * np.pi, shape)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)
