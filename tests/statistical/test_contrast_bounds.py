"""Contrast limits beside the Fisher matrix of the same pixels."""

from __future__ import annotations

import pytest
from companions import FWHM, SIDE, find_flux
from contrast_bounds import SEPARATIONS, compare_map, compare_pairs, find_bound, find_contrast

#: What was asked, mag: limits of companions whose peaks overlap those of their targets differ most.
MOST = {apart: 0.3 if apart < 0.75 else 0.15 for apart in SEPARATIONS}


@pytest.mark.parametrize(
    ("snr", "expected"),
    [(100.0, (1.31, 2.68, 3.52, 4.12, 4.17)), (1000.0, (4.39, 5.73, 6.71, 8.19, 8.87))],
)
def test_the_bound_is_that_of_the_planning(snr, expected) -> None:
    """Place free, sky 100, sigma 1.5: computed elsewhere, for boxes of 31 to 41 pixels."""
    flux, target = find_flux(snr), (0.5 * (SIDE - 1),) * 2
    for apart, magnitudes in zip(SEPARATIONS, expected, strict=True):
        bound = find_bound(target, flux, (apart * FWHM, 0.0), 0.0, place_free=True)
        # Directions, boxes and definitions of SNR differ by some percent.
        assert find_contrast(bound, flux) == pytest.approx(magnitudes, abs=0.1)


@pytest.mark.parametrize("snr", [100.0, 1000.0])
def test_limits_of_the_map_are_those_of_a_known_place(snr) -> None:
    for apart, (limit, bound) in compare_map(snr, 41).items():
        assert abs(limit - bound) < MOST[apart], (apart, limit, bound)


@pytest.mark.parametrize(
    ("separations", "n"), [((1.0,), 8), pytest.param(SEPARATIONS, 60, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("snr", [100.0, 1000.0])
def test_limits_of_recovered_pairs_are_those_of_a_free_place(snr, separations, n) -> None:
    """Means: the error that a single pair is given scatters by 0.15 mag, with where it is found."""
    for apart in separations:
        limit, bound = compare_pairs(snr, apart, n, 42)
        assert abs(limit - bound) < MOST[apart], (apart, limit, bound)
