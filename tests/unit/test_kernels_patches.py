"""Cutting patches and rendering: which pixels enter, how often, and what lies beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from kernel_scene import SIGMA, make_scene, open_group

from bayesphot import fitting
from bayesphot.kernels import batches, structs
from bayesphot.kernels.patches import render_into
from bayesphot.kernels.psf import REACH
from bayesphot.psf import IntegratedGaussianPRF, describe_psf

PSF = describe_psf(IntegratedGaussianPRF(sigma=SIGMA))

#: A pixel of a unit source is the product of two profiles good to 2e-9.
PIXEL_ERROR = 4e-9


def cut_plane(data, g, values):
    """Return a flat pixel array of group g as its patch."""
    batch = data.batch
    rows, cols = batch.rows[g, :2]
    return values[batch.pixel_start[g] : batch.pixel_start[g + 1]].reshape(rows, cols)


def place_plane(data, g, values, shape):
    """Return a patch put into an image of zeros, and where it lies."""
    rows, cols, row, col = data.batch.rows[g]
    image = np.zeros(shape)
    image[row : row + rows, col : col + cols] = cut_plane(data, g, values)
    return image, (slice(row, row + rows), slice(col, col + cols))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fit_shape", [(9, 9), (5, 11)])
def test_each_good_pixel_of_the_united_boxes_has_its_weight_once(seed, fit_shape) -> None:
    sizes = np.random.default_rng(seed).integers(1, 5, 3)
    scene = make_scene(seed, sizes, masked=0.15, fit_shape=fit_shape)
    data = scene.batch()
    shape = scene.pixels.data.shape
    for g in range(scene.n_group):
        inside = np.zeros(shape, bool)
        for r0, r1, c0, c1 in scene.boxes(g):
            inside[r0:r1, c0:c1] = True
        weight, place = place_plane(data, g, data.batch.weight, shape)
        np.testing.assert_array_equal(weight, np.where(inside, scene.pixels.weight, 0.0))
        values = cut_plane(data, g, data.batch.data)
        np.testing.assert_array_equal(values, scene.pixels.data[place])
        assert data.n_pixel[g] == np.count_nonzero(inside & (scene.pixels.weight > 0))


def test_the_patch_bounds_the_boxes_of_its_members() -> None:
    scene = make_scene(5, (1, 3))
    data = scene.batch()
    for g in range(scene.n_group):
        low, high = scene.boxes(g).min(axis=0), scene.boxes(g).max(axis=0)
        expected = [high[1] - low[0], high[3] - low[2], low[0], low[2]]
        np.testing.assert_array_equal(data.batch.rows[g], expected)


def test_good_pixels_of_each_box_are_counted() -> None:
    scene = make_scene(6, (2, 3), masked=0.2)
    data = scene.batch()
    boxes = np.concatenate([scene.boxes(g) for g in range(scene.n_group)])
    good = scene.pixels.weight > 0
    expected = [np.count_nonzero(good[r0:r1, c0:c1]) for r0, r1, c0, c1 in boxes]
    np.testing.assert_array_equal(data.n_box_pixel, expected)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_are_the_model_less_the_groups_own(seed) -> None:
    scene = make_scene(seed, (2, 1, 2), pitch=7)
    data = scene.batch()
    shape = scene.pixels.data.shape
    for g in range(scene.n_group):
        mine = scene.members(g)
        others = np.delete(scene.in_model, np.arange(mine.start, mine.stop), axis=0)
        expected = oracle.render_image(shape, others)
        _, place = place_plane(data, g, data.batch.neighbours, shape)
        found = cut_plane(data, g, data.batch.neighbours)
        total = np.abs(scene.in_model[mine, 2]).sum()
        np.testing.assert_allclose(found, expected[place], atol=PIXEL_ERROR * total)
        assert found.max() > 1.0


def test_what_the_model_holds_of_a_member_is_taken_out_not_its_start() -> None:
    scene = make_scene(7, (1, 1), pitch=7)
    moved = scene.in_model + np.array([0.4, -0.2, 150.0, 0.05])
    model = oracle.render_image(scene.pixels.data.shape, moved)
    scene = replace(scene, in_model=moved, model=model)
    data = scene.batch()
    expected = oracle.render_image(model.shape, moved[1:])
    _, place = place_plane(data, 0, data.batch.neighbours, model.shape)
    found = cut_plane(data, 0, data.batch.neighbours)
    np.testing.assert_allclose(found, expected[place], atol=PIXEL_ERROR * moved[0, 2])


def test_inputs_are_not_changed() -> None:
    scene = make_scene(8, (2, 1))
    arrays = [scene.pixels.data, scene.pixels.weight, scene.model, scene.in_model]
    arrays += [scene.sources.value, scene.sources.prior]
    before = [a.copy() for a in arrays]
    scene.batch()
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "corner", [(0.0, 0.0), (-0.4, 7.0), (19.3, 19.4), (7.0, 19.49), (2.0, 1.0)]
)
def test_boxes_end_at_the_images_edges(corner) -> None:
    scene = make_scene(9, (1,), margin=8.0)
    value, prior = scene.sources.value.copy(), scene.sources.prior.copy()
    value[0, :2] = prior[0, :2] = corner
    scene = replace(scene, sources=replace(scene.sources, value=value, prior=prior))
    data = scene.batch()
    ny, nx = scene.pixels.data.shape
    x, y = np.floor(np.array(corner) + 0.5).astype(int)
    rows, cols, row, col = data.batch.rows[0]
    assert (row, row + rows) == (max(y - 4, 0), min(y + 5, ny))
    assert (col, col + cols) == (max(x - 4, 0), min(x + 5, nx))
    assert data.n_pixel[0] == rows * cols


def test_a_box_off_the_image_has_no_pixels() -> None:
    scene = make_scene(10, (1, 1))
    value, prior = scene.sources.value.copy(), scene.sources.prior.copy()
    value[0, :2] = prior[0, :2] = (-40.0, 5.0)
    scene = replace(scene, sources=replace(scene.sources, value=value, prior=prior))
    try:
        data = scene.batch()
    except ValueError:
        pytest.fail("a source off the image must not stop the others")
    assert data.n_pixel[0] == 0
    assert data.n_pixel[1] > 0


def test_sky_columns_are_a_level_and_slopes_about_the_middle() -> None:
    scene = make_scene(11, (2,), background="plane")
    data = scene.batch()
    group, _ = open_group(data, 0)
    weight = cut_plane(data, 0, data.batch.weight)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]].astype(float)
    columns = [np.ones_like(x), x - (weight.shape[1] - 1) / 2, y - (weight.shape[0] - 1) / 2]
    for e, column in enumerate(columns):
        # Weight times a column, whichever way it is summed.
        plane = group.planes[0, structs.SHARED_PLANE + e].reshape(weight.shape)
        np.testing.assert_allclose(plane, weight * column, atol=1e-14)


@pytest.mark.parametrize("sigma", [0.3, 1.3, 4.0])
def test_a_rendered_source_sums_to_its_flux(sigma) -> None:
    image = np.zeros((81, 81))
    render_into(image, np.array([[40.3, 39.6, 250.0, np.log(sigma)]]), PSF.data)
    assert image.sum() == pytest.approx(250.0, rel=1e-8)
    if sigma < 1.0:
        return
    # Pixels of well-sampled light keep its centroid: aliasing is exp(-2 pi^2 sigma^2).
    y, x = np.mgrid[:81, :81]
    assert (image * x).sum() / 250.0 == pytest.approx(40.3, abs=1e-6)
    assert (image * y).sum() / 250.0 == pytest.approx(39.6, abs=1e-6)


def test_rendering_equals_erf_and_adds() -> None:
    rng = np.random.default_rng(12)
    sources = np.column_stack(
        [rng.uniform(-3, 33, (12, 2)), rng.uniform(-50, 500, 12), np.log(rng.uniform(0.5, 2.5, 12))]
    )
    image = np.full((30, 31), 7.0)
    render_into(image, sources, PSF.data)
    expected = 7.0 + oracle.render_image(image.shape, sources)
    # Each source ends at 8 sigma, where 1e-15 of it is left.
    np.testing.assert_allclose(image, expected, atol=PIXEL_ERROR * np.abs(sources[:, 2]).sum())


@pytest.mark.parametrize("place", [(-500.0, 5.0), (5.0, 1e6), (-11.0, -11.0)])
def test_sources_out_of_reach_leave_the_image_alone(place) -> None:
    image = np.zeros((12, 12))
    render_into(image, np.array([[*place, 100.0, np.log(SIGMA)]]), PSF.data)
    assert np.abs(image).max() < PIXEL_ERROR * 100
    assert REACH * SIGMA < 11.5


def test_no_sources_change_nothing() -> None:
    image = np.zeros((5, 5))
    render_into(image, np.empty((0, 4)), PSF.data)
    np.testing.assert_array_equal(image, 0.0)


def test_the_kind_number_decides_what_a_source_looks_like() -> None:
    """Rendering, cutting and the density all ask the same switch; a kind that is none is dark."""
    none = 99
    image = np.zeros((9, 9))
    dark = PSF.data._replace(kind=np.int64(none))
    render_into(image, np.array([[4.0, 4.0, 100.0, np.log(SIGMA)]]), dark)
    assert not image.any()
    scene = make_scene(7, (1, 1), pitch=8)
    dark = replace(scene, settings=replace(scene.settings, psf=replace(PSF, kind=none))).batch()
    # The group's own light was not taken out of the model, and its columns are empty.
    np.testing.assert_array_equal(
        cut_plane(dark, 0, dark.batch.neighbours),
        scene.model[place_plane(dark, 0, dark.batch.data, scene.model.shape)[1]],
    )
    fit = fitting.fit_groups(dark)
    assert np.all(fit.group[:, batches.FIT_STATUS] == structs.DEGENERATE)
