"""Settings become layouts; images and sources become batches for the kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_scene import SIGMA, make_scene, make_settings

from bayesphot.boxes import make_boxes
from bayesphot.kernels.structs import N_DENSITY, N_SHAPE_PRIOR, SHAPE_MEAN
from bayesphot.priors import Normal, PriorSet


@pytest.mark.parametrize(
    ("background", "n_sky"), [("none", 0), ("prior", 1), ("flat", 1), ("plane", 3)]
)
def test_the_background_sets_the_sky_columns(background, n_sky) -> None:
    settings = make_settings(background=background)
    assert settings.n_sky == n_sky
    assert settings.layout(2, sampling=True).n_sky == n_sky


@pytest.mark.parametrize(
    ("shape", "fitted", "sampled"),
    [
        ("fixed", "fixed", "fixed"),
        ("group", "shared", "shared"),
        ("source", "own", "own"),
        ("image", "fixed", "shared"),
    ],
)
def test_the_shape_of_an_image_is_free_in_the_sampling_only(shape, fitted, sampled) -> None:
    settings = make_settings(shape=shape)
    assert settings.layout(3, sampling=False).shape == fitted
    assert settings.layout(3, sampling=True).shape == sampled


def test_free_flags_reach_the_layout() -> None:
    layout = make_settings(free_x=False, free_flux=False).layout(2, sampling=True)
    assert (layout.free_x, layout.free_y, layout.free_flux) == (False, True, False)


def test_unknown_background_and_shape_are_refused() -> None:
    with pytest.raises(KeyError):
        _ = make_settings(background="wavy").n_sky
    with pytest.raises(KeyError):
        make_settings(shape="galaxy").layout(1, sampling=True)


@pytest.mark.parametrize(
    ("x", "y", "box"),
    [
        (10.0, 10.0, [7, 14, 8, 13]),
        (10.49, 9.51, [7, 14, 8, 13]),
        (10.5, 10.5, [8, 15, 9, 14]),
        (0.2, 0.2, [0, 4, 0, 3]),
        (29.4, 19.4, [16, 20, 27, 30]),
        (-100.0, 10.0, [7, 14, 0, 0]),
    ],
)
def test_boxes_are_odd_centred_on_the_nearest_pixel_and_clipped(x, y, box) -> None:
    found = make_boxes([x], [y], (7, 5), (20, 30))
    np.testing.assert_array_equal(found, [box])
    assert found.dtype == np.int64


def test_arrays_of_a_batch_are_what_the_kernels_compile_for() -> None:
    data = make_scene(1, (2, 1, 3), shape="group", background="plane").batch(everywhere=False)
    batch = data.batch
    for name in ("data", "weight", "neighbours", "state", "prior", "shared_prior"):
        assert getattr(batch, name).dtype == np.float64, name
    for name in (
        "source_start",
        "pixel_start",
        "free_start",
        "rows",
        "window",
        "free",
        "noise_kind",
    ):
        assert getattr(batch, name).dtype == np.int64, name
    for name, value in batch._asdict().items():
        if isinstance(value, np.ndarray):
            assert value.flags.c_contiguous, name
            assert value.flags.writeable, name
            assert value.dtype.isnative, name
    assert batch.prior.shape == (6, SHAPE_MEAN + N_SHAPE_PRIOR)
    assert batch.shared_prior.shape == (3, 3, 2 + N_DENSITY)


@pytest.mark.parametrize("shape", ["fixed", "group", "source", "image"])
@pytest.mark.parametrize("sampling", [True, False])
def test_free_codes_are_those_of_each_groups_layout(shape, sampling) -> None:
    scene = make_scene(2, (2, 1, 3, 2), shape=shape)
    batch = scene.batch(sampling=sampling).batch
    for g, size in enumerate((2, 1, 3, 2)):
        found = batch.free[batch.free_start[g] : batch.free_start[g + 1]]
        expected = scene.settings.layout(size, sampling=sampling).codes
        np.testing.assert_array_equal(found, expected)
    assert batch.free_start[-1] == batch.free.size


def test_members_may_come_in_any_order() -> None:
    scene = make_scene(3, (2, 1, 3))
    whole, turned = scene.batch().batch, scene.batch(groups=[2, 0]).batch
    np.testing.assert_array_equal(turned.state[:3], whole.state[3:])
    np.testing.assert_array_equal(turned.state[3:], whole.state[:2])
    first, second = turned.pixel_start[:2]
    np.testing.assert_array_equal(
        turned.weight[first:second], whole.weight[whole.pixel_start[2] : whole.pixel_start[3]]
    )


def test_the_estimators_error_is_the_prior_of_the_sky() -> None:
    scene = make_scene(4, (1, 2), background="prior", noise=3.0)
    batch = scene.batch().batch
    np.testing.assert_array_equal(batch.shared_prior[:, 0, 0], 0.0)
    np.testing.assert_allclose(batch.shared_prior[:, 0, 1], 1 / scene.pixels.sky_error**2)
    unknown = replace(scene, pixels=replace(scene.pixels, sky_error=np.inf))
    np.testing.assert_array_equal(unknown.batch().batch.shared_prior[:, 0, 1], 0.0)


@pytest.mark.parametrize("background", ["flat", "plane"])
def test_a_free_sky_has_no_prior(background) -> None:
    batch = make_scene(5, (1,), background=background).batch().batch
    np.testing.assert_array_equal(batch.shared_prior, 0.0)


def test_a_given_prior_of_the_total_level_is_moved_by_the_reference() -> None:
    given = PriorSet(background=Normal(12.0, 0.5))
    scene = make_scene(6, (1,), background="prior", priors=given)
    scene = replace(scene, pixels=replace(scene.pixels, sky=np.full_like(scene.pixels.sky, 10.0)))
    prior = scene.batch().batch.shared_prior[0, 0]
    np.testing.assert_allclose(prior[:2], [2.0, 4.0])
    assert not prior[2:].any()


def test_windows_hold_the_box_and_end_in_the_patch() -> None:
    scene = make_scene(7, (1, 2, 4), flux=(1.0, 3000.0))
    batch = scene.batch(everywhere=False).batch
    for g in range(scene.n_group):
        rows, cols, row, col = batch.rows[g]
        window = batch.window[scene.members(g)]
        assert np.all(window[:, [0, 2]] >= 0)
        assert np.all(window[:, 1] <= rows)
        assert np.all(window[:, 3] <= cols)
        box = scene.boxes(g) - [row, row, col, col]
        assert np.all(window[:, [0, 2]] <= box[:, [0, 2]])
        assert np.all(window[:, [1, 3]] >= box[:, [1, 3]])


@pytest.mark.parametrize("flux", [10.0, 1e3, 1e6, 0.0, -50.0, np.nan])
def test_beyond_its_window_a_source_is_under_a_tenth_of_the_noise(flux) -> None:
    scene = make_scene(8, (2,), spread=24.0, separation=20.0, noise=3.0, margin=12.0)
    value = scene.sources.value.copy()
    value[0, 2] = flux
    scene = replace(scene, sources=replace(scene.sources, value=value))
    batch = scene.batch(everywhere=False).batch
    rows, cols, row, col = batch.rows[0]
    y, x = np.mgrid[:rows, :cols]
    r0, r1, c0, c1 = batch.window[0]
    outside = (y < r0) | (y >= r1) | (x < c0) | (x >= c1)
    assert outside.any()
    r2 = (x + col - value[0, 0]) ** 2 + (y + row - value[0, 1]) ** 2
    known = abs(flux) if np.isfinite(flux) and flux > 0 else 1000.0
    light = known / (2 * np.pi * SIGMA**2) * np.exp(-0.5 * r2 / SIGMA**2)
    noise = 1 / np.sqrt(batch.weight.max())
    assert light[outside].max() < 0.1 * noise


def test_windows_do_not_move_with_the_start() -> None:
    # They stand on the prior's centre: the density has no step where a start is moved.
    scene = make_scene(9, (3,))
    value = scene.sources.value + np.array([0.7, -0.6, 0.0, 0.0])
    moved = replace(scene, sources=replace(scene.sources, value=value))
    first, second = (s.batch(everywhere=False).batch for s in (scene, moved))
    np.testing.assert_array_equal(first.window, second.window)
    np.testing.assert_array_equal(first.rows, second.rows)


def test_boxes_may_be_given() -> None:
    from bayesphot.patch import cut_batch

    scene = make_scene(10, (2,))
    box = np.array([[3, 9, 2, 12]])
    data = cut_batch(
        scene.pixels,
        scene.model,
        scene.sources,
        np.arange(2),
        scene.start,
        scene.settings,
        box=box,
        box_start=np.array([0, 1]),
    )
    np.testing.assert_array_equal(data.batch.rows, [[6, 10, 3, 2]])
    assert data.n_pixel[0] == 60
    assert data.batches == (data.batch,)
