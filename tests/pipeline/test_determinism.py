"""Same seed, same answer to the last bit; inputs of any kind, unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import SIGMA, configure, configure_loop, free_sigma, make_positions

import bayesphot as bp

COLUMNS = ("x_fit", "y_fit", "flux_fit", "flux_fit_err", "flux_median", "sigma_median", "r_hat")


@pytest.fixture(scope="module")
def field():
    """A field of 24 stars in groups of several sizes."""
    return bp.simulate_scene(
        (90, 80), n_sources=24, sigma=SIGMA, background=20.0, noise=3.0, border=4.0, seed=11
    )


@pytest.fixture(scope="module")
def reference(field):
    """One thread."""
    return run_field(field)


def run_field(field, **changes):
    """Measure the field from its true positions."""
    phot = configure(psf_model=free_sigma(), **changes)
    return phot(field.image, error=field.error, positions=field.truth)


def assert_same(result, reference, rows=None):
    """Table and draws equal to the last bit; row i of the result is row rows[i] there."""
    rows = np.arange(len(reference)) if rows is None else np.asarray(rows)
    assert len(result) == rows.size
    for name in (*COLUMNS, "background_median", "ess_bulk", "pareto_k", "flags", "group_size"):
        assert_array_equal(result[name], reference[name][rows], err_msg=name)
    for name in sorted({"x", "y", "flux", "sigma"} & set(reference.posterior.data_vars)):
        theirs = reference.posterior[name].to_numpy()[..., rows]
        assert_array_equal(result.posterior[name].to_numpy(), theirs, err_msg=name)
    assert_array_equal(result.model_image, reference.model_image)


@pytest.mark.parametrize("n_jobs", [1, 2, 3, -1])
def test_answer_does_not_depend_on_the_number_of_threads(field, reference, n_jobs):
    """Draws, summaries and images."""
    assert_same(run_field(field, n_jobs=n_jobs), reference)


def test_answer_does_not_depend_on_the_executor(field, reference):
    """A pool of threads."""
    with ThreadPoolExecutor(3) as pool:
        assert_same(run_field(field, executor=pool), reference)


def test_answer_does_not_depend_on_processes(field, reference):
    """A pool of processes that were started anew: jobs can be pickled."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert_same(run_field(field, executor=pool), reference)


RUN_ONCE = """
import sys
import bayesphot as bp
scene = bp.simulate_scene(
    (90, 80), n_sources=24, sigma=1.8, background=20.0, noise=3.0, border=4.0, seed=11
)
model = bp.IntegratedGaussianPRF(sigma=1.8)
model.sigma.fixed = False
phot = bp.BasicPSFPhotometry(
    psf_model=model, fitshape=11, group_maker=bp.DAOGroup(8.0), bkg_estimator=bp.MMMBackground(),
    seed=1,
)
phot(scene.image, scene.error, None, scene.truth).write(sys.argv[1])
"""


@pytest.mark.slow
def test_first_run_that_compiles_gives_the_answer_of_later_runs(tmp_path):
    """Code compiled in a process and code that it loads from the disk are the same."""
    root = Path(bp.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(tmp_path / "code")}
    results = []
    for name in ("first", "second"):
        command = [sys.executable, "-c", RUN_ONCE, str(tmp_path / name)]
        subprocess.run(command, check=True, timeout=600, env=environment)
        results.append(bp.PhotometryResult.read(tmp_path / name))
    assert_same(*results)


@pytest.mark.parametrize("shape", ["image", "source"])
def test_threads_do_not_matter_for_other_ways_to_share_the_shape(field, shape):
    """A shape of the whole image couples all groups."""
    assert_same(run_field(field, shape=shape, n_jobs=2), run_field(field, shape=shape, n_jobs=1))


def test_iteration_gives_the_same_with_threads(field):
    """Finding, testing and refitting too."""
    runs = [
        configure_loop(n_jobs=n_jobs, niters=None)(field.image, error=field.error)
        for n_jobs in (1, 2)
    ]
    assert_same(runs[1], runs[0])
    assert_array_equal(runs[0]["id"], runs[1]["id"])
    assert_array_equal(runs[0]["iter_detected"], runs[1]["iter_detected"])


def test_emcee_gives_the_same_with_threads(field):
    """Few stars, few steps: good or not, the same."""
    sampler = bp.EmceeSampler(draws=20, steps=20, max_steps=20)
    positions = field.truth[:3]
    runs = [
        configure(sampler=sampler, n_jobs=n_jobs)(field.image, field.error, None, positions)
        for n_jobs in (1, 2)
    ]
    assert_array_equal(runs[0].posterior["flux"], runs[1].posterior["flux"])


def test_seeds_matter(field, reference):
    """Another seed: the same fits, other draws that agree."""
    other = run_field(field, seed=2)
    assert_array_equal(other["flux_fit"], reference["flux_fit"])
    assert not np.array_equal(other["flux_median"], reference["flux_median"])
    difference = (other["flux_median"] - reference["flux_median"]) / reference["flux_err"]
    # Two medians of ESS 400: 0.09 errors; 24 rows at five standard deviations.
    assert np.all(np.abs(difference) < 0.45)


def test_another_seed_is_not_the_same_stream_shifted(field):
    """Draws of two groups are not copies of each other either."""
    first, second = (run_field(field, seed=seed).posterior["flux"].to_numpy() for seed in (1, 2))
    scaled = [
        ((draws - draws.mean((0, 1))) / draws.std((0, 1))).reshape(-1, draws.shape[-1])
        for draws in (first, second)
    ]
    correlation = scaled[0].T @ scaled[1] / scaled[0].shape[0]
    # 576 correlations of at least 400 effective pairs each: five standard deviations.
    assert np.abs(correlation).max() < 5.0 / np.sqrt(400.0)


ORDERS = {"reversed": slice(None, None, -1), "shuffled": np.random.default_rng(1).permutation(24)}
IDS = {"in a row": np.arange(1, 25), "with gaps": np.arange(24) * 7 + 100}
GROUPS = {"made": None, "given": 1, "with gaps": 50, "falling": -3}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("groups", GROUPS)
def test_order_ids_and_group_ids_never_change_results(field, reference, order, ids, groups):
    """Sixteen combinations."""
    rows = np.arange(24)[ORDERS[order]]
    table = Table(field.truth["x_0", "y_0", "flux"])
    table["id"] = IDS[ids]
    if GROUPS[groups] is not None:
        table["group_id"] = 1000 + GROUPS[groups] * np.asarray(reference["group_id"])
    table = table[rows]
    result = configure(psf_model=free_sigma())(field.image, field.error, None, table)
    assert_same(result, reference, rows)
    assert_array_equal(result["id"], IDS[ids][rows])


def test_rows_that_are_left_out_change_no_other_group(field, reference):
    """A run of one group alone has the draws it has in the whole run."""
    largest = reference["group_id"][np.argmax(reference["group_size"])]
    rows = np.flatnonzero(reference["group_id"] == largest)
    alone = configure(psf_model=free_sigma(), bkg_estimator=20.0, fit_background="flat")
    whole = alone(field.image, field.error, None, field.truth)
    part = alone(field.image, field.error, None, field.truth[rows])
    # The neighbours' wings are missing: close, not equal.
    difference = part["flux_fit"] - whole["flux_fit"][rows]
    assert np.all(np.abs(difference) < 6.0 * whole["flux_fit_err"][rows])


def spoil(array, kind):
    """The array in another make-up that holds the same numbers."""
    if kind == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if kind == "Fortran":
        return np.asfortranarray(array)
    if kind == "strided":
        padded = np.zeros((2 * array.shape[0], 3 * array.shape[1]), dtype=array.dtype)
        padded[::2, ::3] = array
        return padded[::2, ::3]
    if kind == "masked":
        return np.ma.MaskedArray(array)
    if kind == "list":
        return array.tolist()
    return array.astype(kind)


KINDS = ["read-only", "Fortran", "strided", "masked", "list", ">f8", "<f8", "f4", ">f4"]
KINDS += ["i4", ">i4", "i2", ">i2", "u2", "i8", "u4"]


@pytest.fixture(scope="module")
def whole_numbers(field):
    """The field rounded to whole numbers, which every type can hold, and its result."""
    image, error = np.round(field.image), np.full(field.image.shape, 3.0)
    return image, error, run_whole_numbers(image, error, None, field)


def run_whole_numbers(image, error, mask, field):
    """Iterate on the field."""
    return configure_loop()(image, error=error, mask=mask)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_array_does_not_matter(field, whole_numbers, kind):
    """Types, byte orders, strides, masked arrays and lists."""
    image, error, reference = whole_numbers
    result = run_whole_numbers(spoil(image, kind), spoil(error, kind), None, field)
    for name in ("x_fit", "flux_fit", "flux_median", "r_hat"):
        assert_array_equal(result[name], reference[name])
    assert_array_equal(result.residual_image, reference.residual_image)


def test_kind_of_mask_does_not_matter(field, whole_numbers):
    """Booleans, integers, masked arrays, NDData, NaN."""
    image, error, _ = whole_numbers
    bad = np.zeros(image.shape, dtype=bool)
    bad[20:26, 30:33] = True
    reference = run_whole_numbers(image, error, bad, field)
    hidden = np.ma.MaskedArray(np.where(bad, 1e6, image), mask=bad)
    for data, mask in (
        (image, bad.astype(int)),
        (image, bad.astype(np.uint8)),
        (image, np.asfortranarray(bad)),
        (hidden, None),
        (CCDData(image, mask=bad, unit=""), None),
        (np.where(bad, -1e9, image), bad),
        (np.where(bad, np.nan, image), bad),
    ):
        result = run_whole_numbers(data, error, mask, field)
        for name in ("x_fit", "flux_fit", "flux_median"):
            assert_array_equal(np.asarray(result[name]), reference[name])


def test_inputs_are_unchanged(field):
    """Image, error, mask, positions, with NaN among them."""
    image, error = field.image.copy(), field.error.copy()
    image[3, 4] = np.nan
    error[5, 6] = 0.0
    mask = np.zeros(image.shape, dtype=bool)
    mask[50:53, 40:44] = True
    table = make_positions(field.truth["x_0"], field.truth["y_0"])
    table["x_0"][0] = np.nan
    copies = image.copy(), error.copy(), mask.copy(), table.copy()
    with pytest.warns(match="masked 2 pixels"):
        configure_loop(psf_model=free_sigma())(image, error=error, mask=mask, positions=table)
    assert_array_equal(image, copies[0])
    assert_array_equal(error, copies[1])
    assert_array_equal(mask, copies[2])
    assert table.colnames == copies[3].colnames
    for name in table.colnames:
        assert_array_equal(table[name], copies[3][name])


def test_results_do_not_share_memory_with_the_inputs(field):
    """What the user does to the image afterwards changes no result."""
    image = field.image.copy()
    result = configure(sampler=False)(image, field.error, None, field.truth)
    before = result.residual_image.copy()
    image[:] = 0.0
    assert_array_equal(result.residual_image, before)


@pytest.mark.parametrize("factor", [1e-3, 10.0, 1e3])
@pytest.mark.parametrize("background", [False, "flat"])
@pytest.mark.parametrize(("separation", "tolerance"), [(100.0, 2e-3), (8.0, 0.03)])
def test_scaling_the_error_leaves_the_fit_unchanged(
    field, factor, background, separation, tolerance
):
    """Errors scale, chi-squared scales, the optimum stays.

    One group of all stars: to the steps of 1e-4 errors at which the least squares ends. Several:
    to the fiftieth of the noise at which the wings of neighbours count as settled.
    """
    phot = configure(
        sampler=False,
        bkg_estimator=20.0,
        fit_background=background,
        group_maker=bp.DAOGroup(separation),
        max_group_size=None,
    )
    plain = phot(field.image, field.error, None, field.truth)
    scaled = phot(field.image, field.error * factor, None, field.truth)
    for name in ("x", "y", "flux"):
        difference = scaled[f"{name}_fit"] - plain[f"{name}_fit"]
        unit = plain[f"{name}_fit_err"] * (max(factor, 1.0) if separation < 100.0 else 1.0)
        assert np.all(np.abs(difference) < tolerance * unit), name
        assert_allclose(scaled[f"{name}_fit_err"], factor * plain[f"{name}_fit_err"], rtol=1e-2)
    assert_allclose(scaled["reduced_chi2"], plain["reduced_chi2"] / factor**2, rtol=2e-2)


def test_scaling_the_image_scales_the_fluxes(field):
    """Image and error in other units: positions stay."""
    phot = configure()
    plain = phot(field.image, field.error, None, field.truth)
    table = field.truth.copy()
    table["flux"] *= 1024.0
    scaled = phot(field.image * 1024.0, field.error * 1024.0, None, table)
    # A power of two: the same numbers but for the exponent.
    assert_allclose(scaled["x_median"], plain["x_median"], rtol=1e-9)
    assert_allclose(scaled["flux_median"], 1024.0 * plain["flux_median"], rtol=1e-9)
