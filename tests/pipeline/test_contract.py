"""The result of a run, name by name: columns, draws, images, units, sky positions, files."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from pipeline_scenes import (
    configure,
    configure_loop,
    free_sigma,
    make_trio,
    render_gaussians,
)
from scipy import stats

import bayesphot as bp

PARAMETERS = ("x", "y", "flux", "sigma", "background")
KINDS = ("0", "fit", "median", "err", "lo", "hi")
OTHER_COLUMNS = (
    "id",
    "group_id",
    "group_size",
    "iter_detected",
    "flux_err_conditional",
    "blend_var_frac",
    "engine",
    "r_hat",
    "ess_bulk",
    "ess_tail",
    "pareto_k",
    "n_pixels",
    "reduced_chi2",
    "flags",
)
POSTERIOR_KINDS = ("median", "err", "lo", "hi")


@pytest.fixture(scope="module")
def trio():
    """Image, error and starts."""
    return make_trio()


@pytest.fixture(scope="module")
def result(trio):
    """A run with a free sigma."""
    image, error, positions = trio
    return configure(psf_model=free_sigma())(image, error=error, positions=positions)


@pytest.fixture(scope="module")
def wcs():
    """A tangent projection of 0.2 arcsec per pixel."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [20.0, 18.0]
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    return wcs


def test_table_has_every_column_of_the_contract(result):
    """Six columns a parameter, and the columns about the row."""
    wanted = [f"{name}_{kind}" for name in PARAMETERS for kind in KINDS]
    assert [name for name in (*wanted, *OTHER_COLUMNS) if name not in result.colnames] == []
    assert result.table["id"].dtype == np.int64
    assert not any(name.startswith("mag") for name in result.colnames)


def test_result_passes_through_to_its_table(result):
    """Length, names and columns."""
    assert len(result) == 3
    assert result.colnames == result.table.colnames
    assert_array_equal(result["flux_fit"], result.table["flux_fit"])


def test_intervals_are_ordered_and_hold_the_median(result):
    """lo < median < hi, and half their distance is about the standard deviation."""
    for name in PARAMETERS:
        low, mid, high = (result[f"{name}_{kind}"] for kind in ("lo", "median", "hi"))
        assert np.all((low < mid) & (mid < high)), name
        # Close to normal posteriors, 2000 draws: the ratio scatters by 3 %.
        assert_allclose((high - low) / 2, result[f"{name}_err"], rtol=0.15, err_msg=name)


def test_summaries_are_those_of_the_draws(result):
    """Median, standard deviation and interval of each source's draws."""
    tail = 0.5 * (1.0 - 0.6827)
    for name in ("x", "y", "flux", "sigma"):
        draws = result.posterior[name].to_numpy().reshape(-1, 3)
        # The width is summarised as its logarithm: the mean of the two middle draws differs.
        assert_allclose(np.median(draws, axis=0), result[f"{name}_median"], rtol=1e-6)
        assert_allclose(draws.std(axis=0, ddof=1), result[f"{name}_err"], rtol=1e-3)
        spread = result[f"{name}_err"]
        for kind, place in (("lo", tail), ("hi", 1.0 - tail)):
            # Any rule of interpolating quantiles will do: a tenth of an error at most.
            difference = np.quantile(draws, place, axis=0) - result[f"{name}_{kind}"]
            assert np.all(np.abs(difference) < 0.1 * spread)


def test_posterior_has_the_dimensions_of_the_contract(result):
    """(chain, draw, source), background (chain, draw, group); ids as coordinates."""
    posterior = result.posterior
    for name in ("x", "y", "flux", "sigma"):
        assert posterior[name].dims == ("chain", "draw", "source")
    assert posterior["background"].dims == ("chain", "draw", "group")
    assert dict(posterior.sizes) == {"chain": 4, "draw": 500, "source": 3, "group": 2}
    assert_array_equal(posterior["source"], result["id"])
    assert_array_equal(posterior["group"], np.unique(result["group_id"]))


def test_sigma_shared_by_a_group_has_the_same_draws_for_its_members(result):
    """One shape parameter a group by default."""
    sigma = result.posterior["sigma"].to_numpy()
    assert_array_equal(sigma[..., 0], sigma[..., 1])
    assert not np.array_equal(sigma[..., 0], sigma[..., 2])


def test_blended_stars_say_so(result):
    """Fluxes of the pair hang on each other, that of the star alone on nobody."""
    first, second, alone = result["blend_var_frac"]
    assert first > 0.01
    assert second > 0.01
    assert_allclose(alone, 0.0, atol=1e-9)
    assert np.all(result["flux_err_conditional"] <= result["flux_fit_err"] * (1 + 1e-9))
    assert_array_equal(result["group_size"], [2, 2, 1])


def test_diagnostics_pass_their_gates(result):
    """Unflagged rows have converged chains."""
    assert_array_equal(result["flags"], 0)
    assert np.all(result["r_hat"] <= 1.01)
    assert np.all(result["ess_bulk"] >= 400)
    assert np.all(result["ess_tail"] >= 400)
    assert np.all(result["pareto_k"] < 0.7)
    assert set(result["engine"]) <= {"independence", "independence+"}
    assert_array_equal(result["n_pixels"], 121)
    # 121 and about 190 pixels: 5 standard deviations of a reduced chi-squared.
    assert np.all(np.abs(result["reduced_chi2"] - 1.0) < 5 * np.sqrt(2 / 110))


def test_source_gives_draws_summary_and_covariance_with_its_mates(result):
    """A pair's covariance names both members; an unknown id is an error."""
    source = result.source(1)
    assert_array_equal(source.draws["flux"], result.posterior["flux"].sel(source=1))
    assert_allclose(source.summary["flux"].median, result["flux_median"][0])
    names = list(source.covariance.names)
    assert {"flux[1]", "flux[2]"} <= set(names)
    i, j = names.index("flux[1]"), names.index("flux[2]")
    flux = result.posterior["flux"].to_numpy().reshape(-1, 3)
    expected = np.cov(flux[:, 0], flux[:, 1])[0, 1]
    assert_allclose(source.covariance.matrix[i, j], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="99"):
        result.source(99)


def test_images_add_up_and_hold_the_fitted_parameters_wings_included(trio, result):
    """Model minus sky is the sum of the fitted stars to a tenth of the noise, everywhere."""
    image, _, _ = trio
    assert_allclose(result.model_image + result.residual_image, image, rtol=1e-12)
    x, y, flux, sigma = (np.asarray(result[f"{n}_fit"]) for n in ("x", "y", "flux", "sigma"))
    stars = render_gaussians(image.shape, x, y, flux, sigma)
    difference = result.model_image - result.background_image - stars
    assert np.abs(difference).max() < 0.1 * 3.0
    assert_allclose(np.median(result.background_image), 20.0, atol=0.5)


def test_background_is_the_total_level_under_the_source(result):
    """Not an offset; constant within a group."""
    assert_allclose(result["background_fit"], 20.0, atol=2.0)
    assert result["background_fit"][0] == result["background_fit"][1]


def test_meta_says_how_the_run_was_made(result):
    """Versions, arguments, seed, timings, noise."""
    meta = result.meta
    assert meta["versions"]["bayesphot"] == bp.__version__
    assert meta["seed"] == 1
    assert "fitshape" in meta["arguments"]
    assert all(value >= 0.0 for value in meta["seconds"].values())
    assert meta["noise"] == "error"


def test_meta_says_when_the_noise_was_estimated(trio):
    """And how large it was."""
    image, _, positions = trio
    result = configure(sampler=False)(image, positions=positions)
    assert "estimated" in result.meta["noise"]


def test_drawn_seed_is_recorded_and_repeats_the_run(trio):
    """Without a seed one is drawn; it reproduces the draws."""
    image, error, positions = trio
    first = configure(seed=None)(image, error=error, positions=positions)
    again = configure(seed=first.meta["seed"])(image, error=error, positions=positions)
    assert_array_equal(first.posterior["flux"], again.posterior["flux"])
    other = configure(seed=None)(image, error=error, positions=positions)
    assert other.meta["seed"] != first.meta["seed"]


def test_result_is_immutable(result):
    """Attributes, columns and images refuse assignment."""
    with pytest.raises(AttributeError):
        result.table = None
    with pytest.raises(ValueError, match="read-only"):
        result["flux_fit"][0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        result.model_image[0, 0] = 0.0


def test_representations_say_what_was_found(result):
    """One line as text, the table in a notebook."""
    assert "3 sources in 2 groups" in repr(result)
    assert "flux_fit" in result._repr_html_()


def test_arviz_works_on_what_to_arviz_returns(result):
    """R-hat, ESS and the groups of the contract."""
    import arviz

    data = result.to_arviz()
    children = data.children if hasattr(data, "children") else data.groups()
    assert {"posterior", "sample_stats", "observed_data"} <= set(children)
    r_hat = arviz.rhat(data)
    flux = r_hat["posterior/flux"] if "posterior" in r_hat else r_hat["flux"]
    assert np.all(np.asarray(flux) < 1.02)


def test_result_survives_writing_and_reading(tmp_path, result):
    """Table, draws, images and meta come back equal; an existing folder is refused."""
    folder = result.write(tmp_path / "run")
    assert {"catalog.ecsv", "posterior.nc", "images.fits"} <= {p.name for p in folder.iterdir()}
    again = bp.PhotometryResult.read(folder)
    assert again.colnames == result.colnames
    for name in result.colnames:
        assert_array_equal(again[name], result[name])
    for name in result.posterior:
        assert_array_equal(again.posterior[name], result.posterior[name])
    for name in ("model_image", "residual_image", "background_image"):
        assert_array_equal(getattr(again, name), getattr(result, name))
    assert again.meta == result.meta
    assert "schema_version" in again.table.meta
    with pytest.raises(FileExistsError):
        result.write(folder)


def test_plots_can_be_drawn(result):
    """Images, corner and trace of a pair."""
    import matplotlib.pyplot as plt

    for figure in (result.plot(), result.plot_corner([1, 2]), result.plot_trace([1])):
        assert figure.axes
        plt.close(figure)


def test_least_squares_only_leaves_posterior_columns_nan(trio):
    """No draws, no engine; optimum and its formal error are there."""
    image, error, positions = trio
    phot = configure(psf_model=free_sigma(), sampler=False)
    result = phot(image, error=error, positions=positions)
    for name in PARAMETERS:
        for kind in POSTERIOR_KINDS:
            assert np.all(np.isnan(result[f"{name}_{kind}"])), f"{name}_{kind}"
        assert np.all(np.isfinite(result[f"{name}_fit"]))
    assert np.all(np.isnan(result["r_hat"]))
    assert set(result["engine"]) == {"none"}
    assert len(result.posterior.data_vars) == 0
    assert np.all(result["flux_fit_err"] > 0.0)
    assert_array_equal(result["flags"], 0)


@pytest.mark.parametrize(("keep", "n_draw"), [("all", 500), (100, 100), (500, 500), (9999, 500)])
def test_keep_bounds_the_draws_and_not_the_summaries(trio, result, keep, n_draw):
    """So many of each chain, the table as with all of them."""
    image, error, positions = trio
    phot = configure(psf_model=free_sigma(), sampler=bp.Sampler(keep=keep))
    kept = phot(image, error=error, positions=positions)
    assert kept.posterior.sizes["draw"] == n_draw
    for name in ("flux_median", "x_lo", "r_hat"):
        assert_array_equal(kept[name], result[name])


def test_keeping_the_summary_keeps_no_draws(tmp_path, trio, result):
    """The table is complete, the posterior empty, and it can be written."""
    image, error, positions = trio
    phot = configure(psf_model=free_sigma(), sampler=bp.Sampler(keep="summary"))
    kept = phot(image, error=error, positions=positions)
    assert_array_equal(kept["flux_median"], result["flux_median"])
    assert len(kept.posterior.data_vars) == 0
    with pytest.raises(ValueError, match="draws"):
        kept.to_arviz()
    assert len(bp.PhotometryResult.read(kept.write(tmp_path / "run"))) == 3


def test_interval_has_the_probability_asked_for(trio):
    """A 95 % interval is twice as wide as a 68 % one."""
    image, error, positions = trio
    wide = configure(ci_prob=0.9545)(image, error=error, positions=positions)
    width = (wide["flux_hi"] - wide["flux_lo"]) / wide["flux_err"]
    # Close to normal posteriors; the tails of 2000 draws are known to 4 %.
    assert_allclose(width, 4.0, rtol=0.15)
    assert wide.ci_prob == 0.9545


def test_units_are_those_of_the_image(trio):
    """Flux: unit times pixel; background: unit; positions: none."""
    image, error, positions = trio
    unit = u.electron
    plain = configure(zero_point=25.0)(image, error=error, positions=positions)
    result = configure(zero_point=25.0)(image * unit, error=error * unit, positions=positions)
    for kind in KINDS:
        assert result[f"flux_{kind}"].unit == unit * u.pix
        assert result[f"background_{kind}"].unit == unit
        for name in ("x", "y", "sigma"):
            assert getattr(result[f"{name}_{kind}"], "unit", None) is None
        assert_array_equal(result[f"flux_{kind}"].value, plain[f"flux_{kind}"])
    assert result["flux_err_conditional"].unit == unit * u.pix
    for name in ("model_image", "residual_image", "background_image"):
        assert getattr(result, name).unit == unit
    assert_array_equal(result["mag_median"], plain["mag_median"])


def test_error_in_another_unit_is_converted(trio):
    """Milli-electrons per electron."""
    image, error, positions = trio
    plain = configure(sampler=False)(image, error=error, positions=positions)
    milli = (error * u.electron).to(1e-3 * u.electron)
    result = configure(sampler=False)(image * u.electron, error=milli, positions=positions)
    assert_allclose(result["flux_fit"].value, plain["flux_fit"], rtol=1e-12)


def test_wcs_adds_sky_positions(trio, wcs):
    """sky_fit, ra and dec of the fitted position; nothing of the kind without one."""
    image, error, positions = trio
    data = NDData(image, uncertainty=StdDevUncertainty(error), wcs=wcs)
    result = configure(sampler=False)(data, positions=positions)
    expected = wcs.pixel_to_world(result["x_fit"], result["y_fit"])
    assert result["sky_fit"].separation(expected).max() < 1e-9 * u.arcsec
    assert_allclose(result["ra"], expected.ra.deg)
    assert_allclose(result["dec"], expected.dec.deg)
    assert type(result["ra"]).__name__ == "Column"
    assert "sky_fit" not in configure(sampler=False)(image, positions=positions).colnames


@pytest.mark.parametrize("kind", [NDData, CCDData])
def test_nddata_bring_error_mask_and_unit(trio, kind):
    """The same as the arrays given one by one."""
    image, error, positions = trio
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:14, 30:33] = True
    uncertainty = StdDevUncertainty(error)
    data = kind(image, uncertainty=uncertainty, mask=mask, unit="adu")
    result = configure(sampler=False)(data, positions=positions)
    plain = configure(sampler=False)(image, error=error, mask=mask, positions=positions)
    assert_array_equal(result["flux_fit"].value, plain["flux_fit"])
    assert result["flux_fit"].unit == u.adu * u.pix
    assert result.meta["noise"] == "error"
    assert np.all(np.isnan(result.residual_image.value[mask]))


def test_a_sky_with_a_unit_is_brought_to_that_of_the_image(trio):
    image, error, positions = trio
    known = configure(sampler=False, bkg_estimator=5.0, fit_background=False)
    plain = known(image, error=error, positions=positions)
    for sky in (
        0.005 * u.Jy,
        lambda data: 0.005 * u.Jy,
        lambda data: np.full(data.shape, 5) * u.mJy,
    ):
        phot = configure(sampler=False, bkg_estimator=sky, fit_background=False)
        result = phot(image * u.mJy, error=error * u.mJy, positions=positions)
        assert_allclose(result["background_fit"].value, 5.0, rtol=1e-12)
        assert_allclose(result["flux_fit"].value, plain["flux_fit"], rtol=1e-6)
    with pytest.raises(ValueError, match="has unit Jy, but the data have no unit"):
        configure(sampler=False, bkg_estimator=0.005 * u.Jy)(image, positions=positions)


def test_magnitudes_are_those_of_the_fluxes_draws(trio):
    """zero_point - 2.5 log10(flux); bright end is the low end."""
    image, error, positions = trio
    result = configure(zero_point=25.0)(image, error=error, positions=positions)
    for kind, flux_kind in (("median", "median"), ("lo", "hi"), ("hi", "lo")):
        expected = 25.0 - 2.5 * np.log10(result[f"flux_{flux_kind}"])
        assert_allclose(result[f"mag_{kind}"], expected)


def test_flux_that_may_be_zero_has_a_limit_and_no_magnitude(trio):
    """At an empty place: NaN magnitudes, a finite limit fainter than the stars."""
    image, error, _ = trio
    result = configure(zero_point=25.0)(
        image, error=error, positions={"x_0": [12.3, 36.0], "y_0": [14.8, 6.0]}
    )
    assert np.isfinite(result["mag_median"][0])
    assert np.isnan(result["mag_limit"][0])
    assert np.isnan(result["mag_median"][1])
    assert np.isnan(result["mag_lo"][1])
    assert result["mag_limit"][1] > result["mag_median"][0] + 2.0


def test_ids_are_kept_and_new_sources_continue_after_the_largest(trio):
    """Two stars given, one found."""
    image, error, positions = trio
    given = positions[:2]
    given["id"] = [70, 7]
    result = configure_loop(sampler=False)(image, error=error, positions=given)
    assert result["id"].tolist() == [70, 7, 71]
    assert result["iter_detected"].tolist()[:2] == [1, 1]
    assert_allclose(result["x_fit"][2], 31.6, atol=0.2)


def test_found_ids_are_unique_and_count_from_one(trio):
    """Over the whole run."""
    image, error, _ = trio
    result = configure_loop(sampler=False, niters=None)(image, error=error)
    assert sorted(result["id"]) == [1, 2, 3]


def test_prior_columns_are_priors_of_single_sources(trio):
    """NaN: none; the fit and the draws heed them."""
    image, error, positions = trio
    plain = configure()(image, error=error, positions=positions)
    positions = positions.copy()
    positions["flux_prior_mean"] = [5000.0, np.nan, np.nan]
    positions["flux_prior_sd"] = [1.0, np.nan, np.nan]
    positions["x_prior_mean"] = [np.nan, np.nan, positions["x_0"][2] + 0.4]
    positions["x_prior_sd"] = [np.nan, np.nan, 0.001]
    result = configure()(image, error=error, positions=positions)
    # The weighted mean of what the data and the prior say; the flux of the mate moves it a bit.
    weight = np.array([plain["flux_fit_err"][0] ** -2, 1.0])
    expected = weight @ [plain["flux_fit"][0], 5000.0] / weight.sum()
    assert result["flux_fit"][0] == pytest.approx(expected, abs=4.0)
    assert result["flux_median"][0] == pytest.approx(expected, abs=4.0)
    assert result["x_median"][2] == pytest.approx(positions["x_0"][2] + 0.4, abs=0.01)
    assert result["x_err"][2] == pytest.approx(0.001, rel=0.1)
    assert result["y_err"][2] == pytest.approx(plain["y_err"][2], rel=0.2)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"flux_prior_mean": 1.0}, "flux_prior_mean needs flux_prior_sd"),
        ({"sigma_prior_sd": 1.0}, "sigma_prior_sd needs sigma_prior_mean"),
        ({"x_prior_sd": 0.0}, r"x_prior_sd must be positive, .* found 0\.0 in row 0"),
        ({"sigma_prior_mean": -1.0, "sigma_prior_sd": 1.0}, "sigma_prior_mean must be positive"),
        ({"z_prior_mean": 1.0}, "z_prior_mean"),
        ({"sigma_prior_mean": 2.0, "sigma_prior_sd": 0.1}, "needs a free sigma for each of them"),
        ({"flux_prior_mean": [9.0, np.nan, 9.0], "flux_prior_sd": 1.0}, "NaN together.* in row 1"),
    ],
)
def test_wrong_prior_columns_are_refused(trio, columns, message):
    image, error, positions = trio
    positions = positions.copy()
    for name, value in columns.items():
        positions[name] = value
    with pytest.raises(ValueError, match=message):
        configure(sampler=False)(image, error=error, positions=positions)


@pytest.mark.parametrize(
    "prior", [stats.norm(700.0, 2.0), lambda flux: -0.5 * ((flux - 700.0) / 2.0) ** 2]
)
def test_a_prior_in_python_is_sampled_by_emcee(trio, prior, caplog):
    """And the log says so."""
    image, error, positions = trio
    with caplog.at_level("INFO", logger="bayesphot"):
        result = configure(priors={"flux": prior})(image, error=error, positions=positions[:1])
    assert "emcee" in caplog.text
    assert list(result["engine"]) == ["emcee"]
    plain = configure()(image, error=error, positions=positions[:1])
    weight = np.array([plain["flux_err"][0] ** -2, 0.25])
    expected = weight @ [plain["flux_median"][0], 700.0] / weight.sum()
    # Narrower than the data by far: four Monte-Carlo errors of a few hundred draws.
    assert result["flux_median"][0] == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("keep", [7, "summary"])
def test_draws_that_are_not_kept_change_no_number(trio, keep):
    """They leave their batch as soon as it is summarised."""
    image, error, positions = trio
    runs = [
        configure(sampler=bp.Sampler(keep=k), zero_point=25.0, fit_background="plane")(
            image, error=error, positions=positions
        )
        for k in ("all", keep)
    ]
    for name in runs[0].colnames:
        np.testing.assert_array_equal(runs[0][name], runs[1][name], err_msg=name)
    if keep == 7:
        pick = np.linspace(0, 499, 7).round().astype(int)
        np.testing.assert_array_equal(
            runs[1].posterior["flux"], runs[0].posterior["flux"].values[:, pick]
        )
