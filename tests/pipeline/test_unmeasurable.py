"""Sources and images that cannot be measured: rows and flags, never the end of a run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import NDData
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import (
    configure,
    configure_loop,
    free_sigma,
    make_positions,
    make_trio,
    render_gaussians,
)

import bayesphot as bp

NOTHING = np.zeros((30, 34))


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


def make_wcs() -> WCS:
    """A tangent projection."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    return wcs


def measure_spoilt(trio, sampler=None):
    """The trio with a bad row of every kind among its rows."""
    image, error, good = trio
    mask = np.zeros(image.shape, dtype=bool)
    mask[0:13, 34:44] = True
    # A star in the corner whose box has two pixels left.
    mask[30:36, 0:6] = True
    mask[35, 0:2] = False
    x = [np.nan, 12.3, 200.0, 39.0, 0.0, 17.1, 12.3, 31.6]
    y = [5.0, 14.8, 10.0, 5.0, 35.0, 15.9, 14.8, 24.2]
    positions = make_positions(x, y, id=np.arange(11, 19))
    phot = configure(sampler=sampler, fitshape=(11, 11))
    return phot(image, error=error, mask=mask, positions=positions)


FATES = {
    11: "NO_POSITION",
    13: "OFF_IMAGE",
    14: "ALL_MASKED",
    15: "TOO_FEW_PIXELS",
    17: "DUPLICATE",
}


@pytest.mark.parametrize("sampler", [None, False])
def test_bad_rows_keep_their_place_and_are_flagged(trio, sampler):
    """NaN position, off the image, masked, two pixels, duplicate: a flag and NaN values."""
    result = measure_spoilt(trio, sampler)
    assert result["id"].tolist() == list(range(11, 19))
    for row in result.table:
        names = bp.decode_flags(row["flags"])
        if row["id"] not in FATES:
            assert names == [] or names == ["TRUNCATED"]
            assert np.isfinite(row["flux_fit"])
            continue
        assert names == [FATES[row["id"]]]
        for name in ("x", "y", "flux", "sigma", "background"):
            for kind in ("fit", "median", "err", "lo", "hi"):
                assert np.isnan(row[f"{name}_{kind}"]), f"{name}_{kind}"
        for name in ("flux_err_conditional", "r_hat", "ess_bulk", "pareto_k", "reduced_chi2"):
            assert np.isnan(row[name]), name
        assert row["engine"] == "none"
        assert row["group_size"] == 0


def test_start_positions_of_bad_rows_are_kept(trio):
    """As they were given."""
    result = measure_spoilt(trio, sampler=False)
    assert np.isnan(result["x_0"][0])
    assert result["x_0"].tolist()[1:4] == [12.3, 200.0, 39.0]


def test_bad_rows_do_not_change_the_good_ones(trio):
    """The same draws with and without them, group by group."""
    image, error, good = trio
    spoilt = measure_spoilt(trio)
    mask = np.isnan(spoilt.residual_image)
    plain = configure()(image, error=error, mask=mask, positions=good["x_0", "y_0"])
    rows = [1, 5, 7]
    assert_array_equal(spoilt["flux_fit"][rows], plain["flux_fit"])
    assert_array_equal(spoilt.posterior["flux"][..., rows], plain.posterior["flux"])


def test_results_with_bad_rows_can_be_written_plotted_and_given_to_arviz(trio, tmp_path):
    """NaN rows go everywhere."""
    import matplotlib.pyplot as plt

    result = measure_spoilt(trio)
    again = bp.PhotometryResult.read(result.write(tmp_path / "run"))
    assert_array_equal(again["flux_median"], result["flux_median"])
    assert_array_equal(again["flags"], result["flags"])
    assert "DUPLICATE" not in repr(result.to_arviz())
    plt.close(result.plot())
    assert "8 sources" in repr(result)
    assert result.source(11).row["flags"] == bp.Flag.NO_POSITION


def test_masked_positions_are_bad_rows(trio):
    """A masked x in a table is no position."""
    image, error, positions = trio
    table = Table(positions, masked=True)
    table["x_0"].mask[1] = True
    result = configure(sampler=False)(image, error=error, positions=table)
    found = bp.decode_flags(result["flags"])
    assert ["NO_POSITION" in names for names in found] == [False, True, False]


def test_bad_row_among_sky_positions(trio):
    """NaN coordinates, no exception."""
    image, error, positions = trio
    positions = positions.copy()
    positions["x_0"][1] = np.nan
    result = configure(sampler=False)(
        NDData(image, wcs=make_wcs()), error=error, positions=positions
    )
    assert np.isnan(result["ra"][1])
    assert np.isnan(result["sky_fit"].dec[1])
    assert np.isfinite(result["ra"][0])


def test_image_all_masked_gives_flagged_rows(trio):
    """With positions: every row, without an exception."""
    image, error, positions = trio
    for settings in ({}, {"psf_model": free_sigma(), "shape": "image"}, {"zero_point": 25.0}):
        result = configure(**settings)(
            image, error=error, mask=np.ones(image.shape, dtype=bool), positions=positions
        )
        assert bp.decode_flags(result["flags"]) == [["ALL_MASKED"]] * 3
        assert np.all(np.isnan(result["flux_fit"]))
        assert np.all(np.isnan(result.residual_image))


def test_image_all_masked_without_positions_gives_an_empty_table(trio):
    """And one warning."""
    image, _, _ = trio
    with pytest.warns(AstropyUserWarning, match="no source") as caught:
        result = configure_loop(niters=None)(image, mask=np.ones(image.shape, dtype=bool))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(result) == 0


def test_all_masked_by_nan_warns_of_the_nan_and_flags():
    """An image of NaN."""
    with pytest.warns(AstropyUserWarning, match="non-finite data") as caught:
        result = configure()(np.full((20, 20), np.nan), positions=make_positions([9.0], [9.0]))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert bp.decode_flags(result["flags"]) == [["ALL_MASKED"]]


SETTINGS = [
    {},
    {"psf_model": free_sigma()},
    {"zero_point": 25.0},
    {"sampler": False},
    {"psf_model": free_sigma(), "shape": "image", "niters": None},
    {"bkg_estimator": 20.0},
    {"fit_background": "plane"},
    {"noise": bp.CCDNoise(gain=2.0, read_noise=4.0)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_nothing_found_gives_an_empty_table_with_the_columns_of_a_full_one(trio, settings):
    """Same names, types and units; one warning; images there."""
    image, _, _ = trio
    unit = u.electron
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        full = configure_loop(**settings)(NDData(image, unit=unit, wcs=make_wcs()))
    blank = np.random.default_rng(1).normal(20.0, 3.0, NOTHING.shape)
    with pytest.warns(AstropyUserWarning, match="no source was found") as caught:
        result = configure_loop(**settings)(NDData(blank, unit=unit, wcs=make_wcs()))
    assert len(caught) == 1
    assert len(result) == 0
    assert result.colnames == full.colnames
    for name in full.colnames:
        column, like = result[name], full[name]
        assert type(column) is type(like), name
        assert getattr(column, "unit", None) == getattr(like, "unit", None), name
        if hasattr(like, "dtype"):
            assert column.dtype == like.dtype, name
    assert result.model_image.shape == blank.shape
    assert_allclose((result.model_image + result.residual_image).value, blank)


def test_empty_results_can_be_written_shown_and_read(tmp_path):
    """Nothing found is a result like any other."""
    import matplotlib.pyplot as plt

    blank = np.random.default_rng(1).normal(20.0, 3.0, NOTHING.shape)
    with pytest.warns(AstropyUserWarning, match="no source"):
        result = configure_loop()(blank)
    again = bp.PhotometryResult.read(result.write(tmp_path / "run"))
    assert again.colnames == result.colnames
    assert len(again) == 0
    assert len(result.posterior.data_vars) == 0
    assert "0 sources" in repr(result)
    assert result._repr_html_()
    plt.close(result.plot())


def test_no_positions_given_is_an_empty_table_too(trio):
    """A table of no rows."""
    image, error, positions = trio
    with pytest.warns(AstropyUserWarning, match="no source"):
        result = configure()(image, error=error, positions=positions[:0])
    assert len(result) == 0
    assert "flux_median" in result.colnames


def test_constant_image_has_no_sources():
    """Neither found nor failing, with sky, without, and where positions are given."""
    constant = np.full((24, 24), 7.0)
    with pytest.warns(AstropyUserWarning, match="no source"):
        assert len(configure_loop(niters=None)(constant)) == 0
    result = configure()(constant, positions=make_positions([12.0], [11.0]))
    assert len(result) == 1
    assert_allclose(result["flux_fit"], 0.0, atol=1e-4)
    assert np.all(np.isfinite(result.model_image))


def test_star_that_the_data_cannot_determine_is_degenerate(trio):
    """Its peak masked to the last column: never a tiny error."""
    image, error, _ = trio
    mask = np.ones(image.shape, dtype=bool)
    mask[:, 20] = False
    result = configure()(image, error=error, mask=mask, positions=make_positions([17.1], [15.9]))
    names = bp.decode_flags(result["flags"])[0]
    assert "TRUNCATED" in names
    # One column cannot tell x from flux: the relative error is of the order of one.
    assert result["flux_fit_err"][0] > 0.2 * abs(result["flux_fit"][0])


def test_star_at_the_edge_of_the_frame_is_measured_with_an_honest_error():
    """One column inside: the error covers the scatter of its flux."""
    random = np.random.default_rng(3)
    x_0, y_0, flux = 0.4, 15.0, 2000.0
    clean = render_gaussians((30, 30), x_0, y_0, flux, 1.8)
    fluxes, errors = [], []
    for _ in range(30):
        image = clean + random.normal(0.0, 3.0, clean.shape)
        result = configure(sampler=False, bkg_estimator=None)(
            image, error=3.0, positions=make_positions([x_0], [y_0])
        )
        fluxes.append(result["flux_fit"][0])
        errors.append(result["flux_fit_err"][0])
        assert bp.decode_flags(result["flags"])[0] == ["TRUNCATED"]
    ratio = np.std(fluxes, ddof=1) / np.mean(errors)
    # The standard deviation of 30 numbers is known to 13 %: four of its errors.
    assert 0.48 < ratio < 1.55
