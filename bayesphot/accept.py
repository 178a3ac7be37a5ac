"""Whether the data prefer a group with one more source."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["ALPHA", "Decision", "accept_threshold", "decide"]

#: False detections allowed per image.
ALPHA = 0.01


@dataclass(frozen=True, eq=False)
class Decision:
    """Which candidates stay, and the gain in chi-squared each brought (scaled as tested)."""

    keep: np.ndarray
    gain: np.ndarray


def accept_threshold(n_good_pixel: int, sigma: float) -> float:
    """Return the gain in chi-squared that a new source must exceed.

    ``2 ln(N_beams / alpha) + 3`` with ``N_beams = good pixels / (4 pi sigma^2)``: the chance
    that any of N_beams independent places passes by noise is about alpha; 3 pays for its
    parameters.
    """
    n_beams = max(n_good_pixel / (4.0 * math.pi * sigma**2), 1.0)
    return 2.0 * math.log(n_beams / ALPHA) + 3.0


def decide(without, with_one, *, n_pixel, n_parameter, flux, threshold: float) -> Decision:
    """Compare groups refitted with and without one more source, on the same pixels.

    Parameters
    ----------
    without, with_one : (G,) arrays
        Chi-squared of each group without and with its candidate.
    n_pixel, n_parameter : (G,) arrays
        Pixels and free parameters of the group with the candidate.
    flux : (G,) array
        Fitted flux of the candidate: a phantom of negative flux is no source.
    threshold : float
        From `accept_threshold`.
    """
    reduced = np.asarray(with_one) / np.maximum(np.asarray(n_pixel) - n_parameter, 1)
    gain = (np.asarray(without) - with_one) / np.maximum(reduced, 1.0)
    keep = (gain > threshold) & (np.asarray(flux) > 0.0)
    return Decision(keep, gain)
