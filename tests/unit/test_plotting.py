"""The pictures: what is in them, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
import synthetic_result as scene
from astropy.table import QTable
from matplotlib.collections import EllipseCollection

import bayesphot as bp

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def result():
    return scene.make_result(unit=u.electron)


def _images(figure):
    """Return the three panels."""
    return [axes for axes in figure.axes if axes.images]


def _ellipses(panel):
    return [one for one in panel.collections if isinstance(one, EllipseCollection)]


def test_plot_shows_data_model_and_residual_over_noise(result):
    data, model, residual = _images(result.plot())
    assert data.get_title().startswith("data")
    assert [panel.get_title() for panel in (model, residual)] == ["model", "residual"]
    shown = [panel.images[0].get_array() for panel in (data, model, residual)]
    np.testing.assert_array_equal(shown[0].filled(np.nan), result.image.value)
    np.testing.assert_array_equal(shown[1].filled(np.nan), result.model_image.value)
    np.testing.assert_array_equal(
        shown[2].filled(np.nan), (result.residual_image / result.noise_image).value
    )


def test_data_and_model_share_a_scale_and_residuals_run_from_minus_5_to_5(result):
    data, model, residual = _images(result.plot())
    assert data.images[0].norm is model.images[0].norm
    assert residual.images[0].get_clim() == (-5.0, 5.0)


def test_axes_and_colour_bars_are_labelled(result):
    figure = result.plot()
    labels = {axes.get_xlabel() for axes in figure.axes} | {figure.axes[0].get_ylabel()}
    assert labels == {
        "x (pixel)",
        "y (pixel)",
        "data and model (electron)",
        "residual / noise",
    }


def test_ellipses_are_the_covariance_of_the_draws_enlarged_as_stated(result):
    figure = result.plot()
    factor = float(figure.axes[0].get_title().split("drawn ")[1].split(" times")[0])
    panel = _images(figure)[0]
    (collection,) = _ellipses(panel)
    np.testing.assert_allclose(
        collection.get_offsets()[0],
        [result.draws.source[name][:, :, 0].mean() for name in "xy"],
    )
    pair = [result.draws.source[name][:, :, 0].ravel() for name in "xy"]
    semiaxes = factor * np.sqrt(np.linalg.eigvalsh(np.cov(pair, ddof=0)))
    np.testing.assert_allclose(collection.get_widths()[0], 2.0 * semiaxes[1], rtol=1e-9)
    np.testing.assert_allclose(collection.get_heights()[0], 2.0 * semiaxes[0], rtol=1e-9)
    # y follows 0.8 x: the major axis points up and right.
    assert 20.0 < collection.get_angles()[0] % 180.0 < 70.0


def test_large_errors_are_drawn_true_to_scale():
    draws = scene.make_draws()
    for name in "xy":
        array = draws.source[name]
        draws.source[name] = array + 60.0 * (array - array.mean(axis=(0, 1)))
    title = scene.make_result(draws=draws).plot().axes[0].get_title()
    assert title == "data; ellipses: 1-sigma position errors"


def test_without_draws_sources_are_marked_where_they_were_fitted():
    panel = _images(scene.make_result(sampled=False).plot())[0]
    assert not _ellipses(panel)
    (crosses,) = panel.collections
    np.testing.assert_array_equal(crosses.get_offsets()[:4, 0], scene.X[:4])


def test_without_noise_the_residual_is_in_units_of_its_own_scatter():
    figure = scene.make_result(noise_image=None).plot()
    shown = _images(figure)[2].images[0].get_array().compressed()
    assert 1.4826 * np.median(np.abs(shown - np.median(shown))) == pytest.approx(1.0, rel=1e-12)
    assert "residual / its robust standard deviation" in [axes.get_xlabel() for axes in figure.axes]


def test_chosen_ids_are_named_and_the_view_is_around_them(result):
    figure = result.plot(ids=[7])
    data = _images(figure)[0]
    assert [text.get_text() for text in data.texts] == ["7"]
    assert len(_ellipses(data)[0].get_widths()) == 1
    x_lo, x_hi = data.get_xlim()
    assert 20.0 < x_lo < scene.X[3] < x_hi
    np.testing.assert_array_equal(
        data.images[0].get_array()[0, 0], result.image.value[1, int(x_lo + 0.5)]
    )


def test_an_image_of_nothing_is_drawn():
    blank = np.full((6, 8), np.nan)
    names = ("image", "noise_image", "model_image", "residual_image", "background_image")
    empty = scene.make_result(
        table=scene.make_table()[:0], draws=None, **dict.fromkeys(names, blank)
    )
    assert len(_images(empty.plot())) == 3
    flat = dict.fromkeys(names, np.zeros((6, 8)))
    assert empty.__class__(scene.make_table()[:0], None, **flat).plot()._repr_png_()[:4] == PNG


@pytest.mark.parametrize("name", ["plot", "plot_corner", "plot_trace"])
def test_figures_are_saved_and_shown_in_notebooks_without_pyplot(result, tmp_path, name):
    arguments = () if name == "plot" else (7,)
    figure = getattr(result, name)(*arguments, path=tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == PNG
    assert figure._repr_png_()[:4] == PNG


def test_pyplot_is_not_imported():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import synthetic_result as scene\n"
        "scene.make_result().plot_trace(7); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    folder = str(__file__).rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code, folder], check=False, timeout=60)
    assert done.returncode == 0


def test_corner_has_a_triangle_of_the_free_parameters(result):
    figure = result.plot_corner(7)
    assert len(figure.axes) == 15
    labels = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes[-5:]]
    assert labels == [
        "x[7] (pixel)",
        "y[7] (pixel)",
        "flux[7] (electron pix)",
        "sigma[7] (pixel)",
        "background (electron)",
    ]


def test_corner_draws_a_shared_shape_once(result):
    figure = result.plot_corner([1, 2])
    names = [axes.get_xlabel().split("\n")[0] for axes in figure.axes[-8:]]
    assert names.count("sigma[1, 2]") == 1
    assert len(figure.axes) == 8 * 9 // 2


def test_corner_leaves_fixed_parameters_out():
    fixed = scene.make_result(draws=scene.make_draws(free_sigma=False))
    assert len(fixed.plot_corner(7).axes) == 4 * 5 // 2


def test_corner_names_the_groups_when_there_are_several():
    fixed = scene.make_result(draws=scene.make_draws(free_sigma=False))
    names = [axes.get_xlabel().split("\n")[0] for axes in fixed.plot_corner([1, 7]).axes[-8:]]
    assert names[-2:] == ["background of group 1", "background of group 2"]


def test_corner_titles_give_median_and_interval(result):
    title = result.plot_corner(7).axes[0].get_title()
    median, rest = title.strip("$").split("^")
    lo, mid, hi = np.quantile(result.draws.source["x"][:, :, 3], [0.05, 0.5, 0.95])
    assert float(median) == pytest.approx(mid, abs=5e-4)
    up, down = (float(part.strip("{}+-")) for part in rest.split("_"))
    assert (up, down) == pytest.approx((hi - mid, mid - lo), abs=5e-4)


def test_contours_hold_39_and_86_percent_of_a_normal_distribution():
    from bayesphot.plotting.corner import _find_levels

    y, x = np.indices((201, 201)) - 100.0
    density = np.exp(-0.5 * (x**2 + y**2) / 20.0**2)
    # The densities at radii of 2 and 1 standard deviations, where 1 - exp(-r²/2) is inside.
    np.testing.assert_allclose(_find_levels(density), np.exp([-2.0, -0.5]), rtol=0.01)


@pytest.mark.parametrize("truths", [{"x": 40.35}, {"x[7]": 40.35}])
def test_truths_are_drawn(result, truths):
    before = len(result.plot_corner(7).axes[0].lines)
    panel = result.plot_corner(7, truths=truths).axes[0]
    assert len(panel.lines) == before + 1
    assert panel.lines[-1].get_xdata()[0] == 40.35


@pytest.mark.parametrize("truths", [{"x[8]": 1.0}, {"flux": 1.0}])
def test_truths_that_name_no_single_parameter_are_refused(result, truths):
    with pytest.raises(ValueError, match="truths must name one of"):
        result.plot_corner([1, 2], truths=truths)


def test_a_truth_far_from_the_draws_is_inside_the_panel(result):
    panel = result.plot_corner(7, truths={"x": 45.0}).axes[0]
    assert panel.get_xlim()[1] > 45.0


def test_trace_has_one_line_for_each_chain_of_each_parameter(result):
    figure = result.plot_trace([7])
    traces = figure.axes[::2]
    assert [axes.get_ylabel().split("\n")[0] for axes in traces] == [
        "x[7]",
        "y[7]",
        "flux[7]",
        "sigma[7]",
        "background",
    ]
    assert all(len(axes.lines) == 4 for axes in traces)
    np.testing.assert_array_equal(
        traces[2].lines[1].get_ydata(), result.draws.source["flux"][1, :, 3]
    )


@pytest.mark.parametrize("name", ["plot_corner", "plot_trace"])
def test_too_many_parameters_are_refused(result, name):
    message = r"draws 1 to 12 parameters, but ids \[1, 2, 5, 7\] have 16.*choose fewer ids"
    with pytest.raises(ValueError, match=message):
        getattr(result, name)([1, 2, 5, 7])


def test_chosen_names_are_the_only_parameters(result):
    fluxes = result.plot_corner([1, 2], names="flux")
    assert len(fluxes.axes) == 3
    both = result.plot_trace(1, names=["flux", "background"])
    labels = [axes.get_ylabel() for axes in both.axes if axes.get_ylabel()]
    assert [label.partition("\n")[0] for label in labels] == ["flux[1]", "background"]
    with pytest.raises(ValueError, match=r"names must be among \['x'.*found 'mag'"):
        result.plot_corner(1, names="mag")


@pytest.mark.parametrize("name", ["plot_corner", "plot_trace"])
def test_sources_without_draws_unknown_or_none_are_refused(result, name):
    with pytest.raises(ValueError, match="not sampled, or all fixed"):
        getattr(result, name)(9)
    with pytest.raises(ValueError, match="no source with id 4"):
        getattr(result, name)([7, 4])
    with pytest.raises(ValueError, match="ids must name at least one source"):
        getattr(result, name)([])
    with pytest.raises(ValueError, match=f"{name} needs posterior draws"):
        getattr(scene.make_result(sampled=False), name)(7)


def test_a_repeated_id_is_drawn_once(result):
    assert len(result.plot_trace([7, 7]).axes) == len(result.plot_trace(7).axes)


def test_thousands_of_sources_are_drawn():
    n = 3000
    rng = np.random.default_rng(3)
    ids = np.arange(n)
    table = QTable({"id": ids, "group_id": ids, "x_fit": rng.uniform(0, 56, n)})
    table["y_fit"] = rng.uniform(0, 36, n)
    assert scene.make_result(table=table, draws=None).plot()._repr_png_()[:4] == PNG


def test_diagnostics_show_every_sampled_source_and_every_flag(tmp_path):
    field = bp.simulate_scene((90, 60), n_sources=12, sigma=1.5, noise=2.0, seed=3)
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
        fitshape=11,
        group_maker=bp.DAOGroup(6.0),
        sampler=bp.Sampler(draws=100),
        seed=1,
    )
    positions = field.truth["x_0", "y_0"].copy()
    positions["x_0"][0] = -40.0
    run = phot(field.image, field.error, positions=positions)
    figure = run.plot_diagnostics(path=tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 0
    panels = figure.axes
    assert sum(line.get_xdata().size for line in panels[0].lines if line.get_marker() == "o") == 11
    assert all(panel.get_xlabel() for panel in panels)
    flags = [label.get_text() for label in panels[5].get_yticklabels()]
    assert "OFF_IMAGE" in flags
    assert set(flags) == {name for row in run["flags"] for name in bp.decode_flags(row)}


def test_diagnostics_need_a_sampled_result(result):
    table = result.table.copy()
    table["engine"] = "none"
    with pytest.raises(ValueError, match="plot_diagnostics needs sampled sources"):
        scene.make_result(table=table).plot_diagnostics()
