"""Where parameters sit: names, codes and places agree for every layout."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_scene import open_kernel

from bayesphot.kernels.group import gather_theta, scatter_theta
from bayesphot.layout import Layout, get_layout

LAYOUTS = [
    Layout(*options)
    for options in itertools.product(
        (1, 2, 4),
        (True, False),
        (True, False),
        (True, False),
        ("fixed", "shared", "own"),
        (0, 1, 3),
    )
]


def test_a_group_of_two_reads_as_expected() -> None:
    layout = Layout(2, shape="shared", n_sky=1)
    assert layout.linear == (("flux", 0, 0), ("flux", 1, 0), ("sky", 0, 0))
    assert layout.nonlinear == (("x", 0), ("y", 0), ("x", 1), ("y", 1), ("shape", None, 0))
    assert layout.names == (
        "flux[0]", "flux[1]", "sky[0]", "x[0]", "y[0]", "x[1]", "y[1]", "shape",
    )  # fmt: skip
    np.testing.assert_array_equal(layout.codes, [0, 1, 2, 3, 6])
    assert (layout.n_linear, layout.n_nonlinear, layout.size) == (3, 5, 8)


def test_own_shapes_have_codes_of_their_own() -> None:
    layout = Layout(3, free_x=False, shape="own", n_sky=0)
    np.testing.assert_array_equal(layout.codes, [1, 3, 5, 6, 7, 8])
    assert layout.names[-1] == "shape[2]"


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_key_has_one_place(layout) -> None:
    keys = layout.linear + layout.nonlinear
    assert [layout.index(key) for key in keys] == list(range(layout.size))
    assert len(layout.names) == layout.size == len(set(layout.names))
    assert layout.codes.dtype == np.int64
    assert len(set(layout.codes.tolist())) == layout.n_nonlinear


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_kernels_read_the_codes_as_the_layout_means_them(layout) -> None:
    n = layout.n_source
    state = np.arange(4.0 * n).reshape(n, 4)
    column = {"x": 0, "y": 1, "shape": 3}
    theta = 100.0 + np.arange(layout.n_nonlinear)
    expected = state.copy()
    for value, (name, k, *_) in zip(theta, layout.nonlinear, strict=True):
        expected[slice(None) if k is None else k, column[name]] = value
    open_kernel(scatter_theta)(theta, layout.codes, state)
    np.testing.assert_array_equal(state, expected)
    back = np.full(theta.size, np.nan)
    open_kernel(gather_theta)(layout.codes, state, back)
    np.testing.assert_array_equal(back, theta)


def test_images_have_fluxes_and_skies_of_their_own() -> None:
    layout = Layout(2, n_sky=1, n_image=2)
    assert layout.n_linear == 6
    assert layout.index(("flux", 1, 1)) != layout.index(("flux", 1, 0))
    assert layout.index(("sky", 0, 1)) != layout.index(("sky", 0, 0))


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Layout(1).index(("x", 7))


def test_the_same_layout_is_built_once() -> None:
    assert get_layout(2, True, True, True, "own", 1) is get_layout(2, True, True, True, "own", 1)
    assert get_layout(2, True, True, True, "own", 1) == Layout(2, shape="own")


def test_fluxes_of_several_images_are_parameters_of_their_own():
    layout = Layout(2, n_sky=1, n_image=2)
    assert layout.n_linear == 6
    assert len(set(layout.names)) == layout.size
    assert layout.index(("flux", 1, 1)) != layout.index(("flux", 1, 0))
