"""One stream a group, from the run's seed and where the group stands."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["derive_seeds"]


def derive_seeds(seed: int, center: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return a 64-bit seed for each group.

    It depends on the run's seed and the bit patterns of the members' sorted starts alone: not
    on ids, row order, the order of groups or who computes it.

    Parameters
    ----------
    seed : int
        Seed of the run.
    center : (S, 2) array
        Starts of the members, group after group.
    start : (G + 1,) array
        Where each group begins.
    """
    prefix = int(seed).to_bytes(16, "little", signed=False)
    seeds = np.empty(start.size - 1, dtype=np.uint64)
    for g in range(seeds.size):
        points = center[start[g] : start[g + 1]]
        points = points[np.lexsort((points[:, 1], points[:, 0]))]
        digest = hashlib.blake2b(prefix + (points + 0.0).tobytes(), digest_size=8).digest()
        seeds[g] = np.frombuffer(digest, dtype=np.uint64)[0]
    return seeds
