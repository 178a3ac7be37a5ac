"""What the result hands over works with the ArviZ that is installed, 0.23 or 1.x."""

from __future__ import annotations

import warnings

import astropy.units as u
import numpy as np
import pytest
import synthetic_result as scene
import xarray

from bayesphot.arviz_bridge import build_posterior, build_tree, read_draws


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its own refactoring on the first import of the day.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
        return pytest.importorskip("arviz", reason="the bridge leads to ArviZ")


@pytest.fixture(scope="module")
def result():
    return scene.make_result(unit=u.electron)


def _get(data, name):
    """Return a group's Dataset from either form."""
    group = data[name]
    return group.dataset if hasattr(group, "dataset") else group


def test_the_tree_gives_the_draws_back():
    draws = scene.make_draws()
    posterior = build_posterior(draws, source_id=draws.source_id, group_id=draws.group_id)
    tree = build_tree(posterior, source_group=draws.source_group, stats=draws.stats)
    back = read_draws(tree)
    for name in ("source", "group", "stats"):
        before, after = getattr(draws, name), getattr(back, name)
        assert list(before) == list(after)
        for key in before:
            np.testing.assert_array_equal(before[key], after[key])
    for name in ("source_id", "source_group", "group_id"):
        np.testing.assert_array_equal(getattr(draws, name), getattr(back, name))


def test_the_tree_without_draws_gives_none_back():
    posterior = build_posterior(None, source_id=np.arange(3), group_id=np.arange(2))
    assert read_draws(build_tree(posterior, source_group=np.zeros(3))) is None


def test_the_form_is_that_of_the_installed_arviz(az, result):
    data = result.to_arviz()
    expected = xarray.DataTree if hasattr(az, "convert_to_datatree") else az.InferenceData
    assert isinstance(data, expected)


def test_the_groups_hold_posterior_statistics_and_the_image(result):
    data = result.to_arviz()
    flux = _get(data, "posterior")["flux"]
    assert flux.dims == ("chain", "draw", "source")
    np.testing.assert_array_equal(flux, result.draws.source["flux"])
    acceptance = _get(data, "sample_stats")["acceptance"]
    np.testing.assert_array_equal(acceptance.sel(group=2), 0.8)
    image = _get(data, "observed_data")["image"]
    np.testing.assert_array_equal(image, result.image.value)
    assert image.attrs["units"] == "electron"
    np.testing.assert_array_equal(_get(data, "constant_data")["group_id"], scene.GROUPS)


def test_the_draws_are_not_copied(result):
    flux = _get(result.to_arviz(), "posterior")["flux"].values
    assert np.shares_memory(flux, result.draws.source["flux"])


def test_changes_to_the_conversion_do_not_reach_the_result(result):
    posterior = _get(result.to_arviz(), "posterior").copy(deep=False)
    posterior["flux"] = 0.0 * posterior["flux"]
    assert float(result.posterior["flux"].sel(source=7).mean()) > 2000.0


@pytest.mark.parametrize("statistic", ["rhat", "ess"])
def test_statistics_are_finite_for_measured_sources_only(az, result, statistic):
    found = getattr(az, statistic)(result.to_arviz())
    found = found.dataset if hasattr(found, "dataset") else found
    np.testing.assert_array_equal(np.isfinite(found["flux"]), [True] * 4 + [False])
    assert found["background"].dims == ("group",)
    # Independent draws: R-hat within 0.02 of 1 and no fewer than a third of 1200 effective.
    good = found["flux"].values[:4]
    assert np.all(np.abs(good - 1.0) < 0.02) if statistic == "rhat" else np.all(good > 400.0)


def test_summary_has_one_row_for_each_variable_and_coordinate(az, result):
    table = az.summary(result.to_arviz(), round_to="none")
    assert len(table) == 4 * 5 + 2
    assert float(table.loc["flux[7]", "mean"]) == pytest.approx(
        result.draws.source["flux"][:, :, 3].mean(), rel=1e-12
    )


def test_summary_of_one_variable_and_source(az, result):
    table = az.summary(result.to_arviz(), var_names=["flux"], coords={"source": [7]})
    assert list(table.index) == ["flux[7]"]


# ArviZ 0.23 calls Matplotlib 3.11 in ways that are on their way out.
@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
def test_traces_are_drawn(az, result):
    from matplotlib import pyplot

    chosen = {"var_names": ["flux"], "coords": {"source": [7]}, "backend": "matplotlib"}
    draw = getattr(az, "plot_trace_dist", None) or az.plot_trace
    draw(result.to_arviz(), **chosen)
    assert any(axes.lines for axes in pyplot.gcf().axes)
    pyplot.close("all")


def test_the_conversion_can_be_saved_and_read_by_arviz(az, result, tmp_path):
    path = tmp_path / "arviz.nc"
    result.to_arviz().to_netcdf(path, engine="h5netcdf")
    back = az.from_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(_get(back, "posterior")["flux"], result.draws.source["flux"])


def test_the_posterior_file_of_a_written_result_is_read_by_arviz(az, result, tmp_path):
    result.write(tmp_path / "out")
    back = az.from_netcdf(tmp_path / "out" / "posterior.nc", engine="h5netcdf")
    np.testing.assert_array_equal(_get(back, "posterior")["x"], result.draws.source["x"])
    assert "acceptance" in _get(back, "sample_stats")
    rhat = az.rhat(back)
    assert np.isfinite(float(rhat["flux"].sel(source=7)))
