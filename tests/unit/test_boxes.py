"""Fit boxes of stars with saturated cores: larger, and no other box changes."""

from __future__ import annotations

import numpy as np
import pytest

from bayesphot.boxes import find_cored, list_half_sides, make_boxes


def make_core(radius: float, shape=(60, 70), x: int = 35, y: int = 30) -> np.ndarray:
    """Return a round core."""
    row, col = np.indices(shape)
    return np.hypot(row - y, col - x) <= radius


@pytest.mark.parametrize("fit_shape", [(5, 5), (11, 11), (7, 13)])
@pytest.mark.parametrize("radius", [0.5, 2.0, 5.0, 9.0])
def test_a_core_has_the_smallest_box_of_enough_wings(radius, fit_shape) -> None:
    core = make_core(radius)
    half = list_half_sides([35.2], [29.7], fit_shape, core)[0]

    def holds_enough(half) -> bool:
        down, across = half
        cut = core[30 - down : 31 + down, 35 - across : 36 + across]
        area, good = cut.size, np.sum(~cut)
        return good >= fit_shape[0] * fit_shape[1] and good >= 0.5 * area

    assert holds_enough(half)
    assert half[0] - half[1] == fit_shape[0] // 2 - fit_shape[1] // 2
    assert not holds_enough(half - 1)


def test_a_trail_makes_a_box_little_larger() -> None:
    trail = np.zeros((60, 70), dtype=bool)
    trail[5:55, 34:37] = True
    assert list_half_sides([35.0], [30.0], (11, 11), trail)[0, 0] == 6


def test_stars_without_a_core_keep_their_boxes() -> None:
    core = make_core(4.0)
    x, y = np.array([35.0, 41.0, 10.0, -3.0]), np.array([30.0, 30.0, 20.0, 90.0])
    assert find_cored(x, y, core).tolist() == [True, False, False, False]
    plain = make_boxes(x, y, (9, 9), core.shape)
    cored = make_boxes(x, y, (9, 9), core.shape, core)
    np.testing.assert_array_equal(cored[1:], plain[1:])
    assert np.all(cored[0, ::2] < plain[0, ::2])
    assert np.all(cored[0, 1::2] > plain[0, 1::2])
    assert not find_cored(x, y, None).any()


def test_a_core_at_the_border_has_a_box_that_is_cut() -> None:
    core = make_core(4.0, x=0, y=0)
    (box,) = make_boxes([0.0], [0.0], (5, 5), core.shape, core)
    half = list_half_sides([0.0], [0.0], (5, 5), core)[0]
    np.testing.assert_array_equal(box, [0, half[0] + 1, 0, half[1] + 1])


def test_an_image_of_nothing_but_saturated_pixels_ends_the_growth() -> None:
    core = np.ones((9, 9), dtype=bool)
    assert list_half_sides([4.0], [4.0], (3, 3), core)[0, 0] <= 10
