"""The posterior draws of a run, as plain arrays: what the sampler leaves and the result shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["CI_PROB", "Draws", "view_readonly"]

#: Probability of central intervals where nothing else is asked for: one sigma of a normal.
CI_PROB = 0.6827


def view_readonly(array) -> np.ndarray:
    """Return a view of the array that refuses assignment; no copy, the owner may still write."""
    view = np.asanyarray(array).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Draws:
    """Equally weighted joint draws of all groups.

    One chain and draw index is one joint state of a group: covariances between its sources,
    and with its background, are those of the draws. Different groups are independent.

    Parameters
    ----------
    source : mapping of str to ndarray, (chain, draw, source)
        One array for each parameter that belongs to a source ("x", "y", "flux", "sigma", ...),
        sources in the order of the table's rows, NaN where a source was not sampled. A fixed
        parameter has the same value in all draws. A further last axis counts images.
    group : mapping of str to ndarray, (chain, draw, group)
        One array for each parameter of a group: "background" (the level at the group's
        centre), for planes also "background_dx" and "background_dy".
    source_id : ndarray, (source,)
        The table's ``id``.
    source_group : ndarray, (source,)
        The table's ``group_id``; a value that is not in `group_id` means no group.
    group_id : ndarray, (group,)
        Ids of the groups, in the order of the arrays in `group`.
    stats : mapping of str to ndarray, (group,)
        What the sampler says of each group, e.g. "acceptance", "n_evaluations", "pareto_k".

    Raises
    ------
    ValueError
        If shapes do not fit each other or ids are not unique.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.draws import Draws
    >>> flux = np.random.default_rng(1).normal(100, 5, (4, 500, 2))
    >>> draws = Draws({"flux": flux}, {}, np.array([1, 2]), np.array([1, 1]), np.array([1]))
    >>> draws.n_chains, draws.n_draws
    (4, 500)
    """

    source: Mapping[str, np.ndarray]
    group: Mapping[str, np.ndarray]
    source_id: np.ndarray
    source_group: np.ndarray
    group_id: np.ndarray
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("source_id", "source_group", "group_id"):
            ids = np.asarray(getattr(self, name), dtype=np.int64)
            object.__setattr__(self, name, view_readonly(ids))
        for name in ("source", "group", "stats"):
            arrays = {key: view_readonly(value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, arrays)
        self._check_ids()
        self._check_shapes()

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self._count_states()[0]

    @property
    def n_draws(self) -> int:
        """Number of draws in a chain."""
        return self._count_states()[1]

    def _count_states(self) -> tuple[int, int]:
        """Return (chains, draws), read off any array; (0, 0) if there is none."""
        for array in (*self.source.values(), *self.group.values()):
            return array.shape[0], array.shape[1]
        return 0, 0

    def _check_ids(self) -> None:
        if self.source_group.shape != self.source_id.shape:
            raise ValueError(
                "source_group must have one value for each source_id, found shapes "
                f"{self.source_group.shape} and {self.source_id.shape}"
            )
        for name in ("source_id", "group_id"):
            ids = getattr(self, name)
            if ids.ndim != 1 or np.unique(ids).size != ids.size:
                raise ValueError(f"{name} must be one-dimensional and unique, found {ids}")

    def _check_shapes(self) -> None:
        for what, arrays, ids in (
            ("source", self.source, self.source_id),
            ("group", self.group, self.group_id),
        ):
            for name, array in arrays.items():
                if array.ndim < 3:
                    raise ValueError(f"{what}[{name!r}] must have 3 axes, found {array.ndim}")
                expected = (*self._count_states(), ids.size)
                if array.shape[:3] != expected:
                    raise ValueError(
                        f"{what}[{name!r}] must have shape (chain, draw, {what}) = {expected}, "
                        f"found {array.shape}"
                    )
        for name, array in self.stats.items():
            if array.shape != self.group_id.shape:
                raise ValueError(
                    f"stats[{name!r}] must have one value for each group, "
                    f"{self.group_id.shape}, found shape {array.shape}"
                )
