"""Quality flags: one bit for each thing that can be said against a row of the catalogue."""

from __future__ import annotations

from enum import IntFlag

import numpy as np

__all__ = ["Flag", "decode_flags"]


class Flag(IntFlag):
    """Bits of the ``flags`` column; a row without remarks has the value 0.

    Examples
    --------
    >>> from bayesphot import Flag
    >>> bool(3 & Flag.OFF_IMAGE)
    True
    """

    NO_POSITION = 1 << 0
    """The start position is NaN or infinite: nothing measured."""
    OFF_IMAGE = 1 << 1
    """The start position lies outside the image: nothing measured."""
    ALL_MASKED = 1 << 2
    """No good pixel in the source's fit box: nothing measured."""
    TOO_FEW_PIXELS = 1 << 3
    """Fewer good pixels than free parameters: nothing measured."""
    DUPLICATE = 1 << 4
    """Another row has the same start position: that row is measured, this one is not."""
    TRUNCATED = 1 << 5
    """Part of the fit box is masked or outside the image."""
    NOT_CONVERGED = 1 << 6
    """The least squares stopped at its iteration limit."""
    DEGENERATE = 1 << 7
    """The data do not determine this source: its formal error is infinite."""
    AT_BOUND = 1 << 8
    """The optimum lies on the boundary of the position prior."""
    HIGH_R_HAT = 1 << 9
    """The chains of the group disagree (R-hat above its limit)."""
    LOW_ESS = 1 << 10
    """Too few effective draws for some parameter of the group."""
    HIGH_PARETO_K = 1 << 11
    """The proposal does not cover the posterior of the group (Pareto k above its limit)."""
    FROZEN_NEIGHBOURS = 1 << 12
    """The group was split to keep its size; errors ignore the other part's uncertainty."""
    POOR_FIT = 1 << 13
    """The reduced chi-squared of the group is above 3: model or noise is wrong here."""
    NOT_SAMPLED = 1 << 14
    """The sampler could not start for this group: posterior columns are NaN."""
    INTERRUPTED = 1 << 15
    """The run was interrupted before this group was sampled: posterior columns are NaN."""
    OFF_PSF_GRID = 1 << 16
    """The source lies outside the places where the PSF is known: it has that of the edge."""
    SATURATED = 1 << 17
    """Its core is saturated and masked: measured from its wings, in a larger box."""
    COSMIC_RAY = 1 << 18
    """A pixel in its box is far brighter than the fit, and sharper than the PSF allows."""


#: Flags of rows that were not measured at all.
UNMEASURED = (
    Flag.NO_POSITION | Flag.OFF_IMAGE | Flag.ALL_MASKED | Flag.TOO_FEW_PIXELS | Flag.DUPLICATE
)


def decode_flags(value) -> list:
    """Return the names of the bits that are set.

    Parameters
    ----------
    value : int, `Flag` or array_like of int
        One value of the ``flags`` column, or several.

    Returns
    -------
    list
        Names, lowest bit first; for an array a list of such lists.

    Raises
    ------
    ValueError
        If a value has bits that no flag defines, or is negative.

    Examples
    --------
    >>> from bayesphot import decode_flags
    >>> decode_flags(6)
    ['OFF_IMAGE', 'ALL_MASKED']
    """
    if np.ndim(value) > 0:
        return [decode_flags(item) for item in np.asarray(value)]
    number = int(value)
    known = sum(int(flag) for flag in Flag)
    if number < 0 or number & ~known:
        raise ValueError(f"flags must be a sum of Flag bits, found {number}")
    return [flag.name for flag in Flag if number & flag]
