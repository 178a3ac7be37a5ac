"""Calibrations as they run: what they return, write and say, and that nothing else matters."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from astropy.table import QTable

import bayesphot as bp
from bayesphot.calibration.bands import binomial_band, per_test
from bayesphot.calibration.files import FILES

FLUX = bp.PowerLaw(-2.0, 150.0, 5000.0)
PHOT = bp.BasicPSFPhotometry(
    psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
    fitshape=11,
    group_maker=bp.DAOGroup(5.0),
)


@pytest.fixture(scope="module")
def result() -> bp.CalibrationResult:
    """Return a calibration of blends with all that can be free."""
    psf = bp.IntegratedGaussianPRF(sigma=1.5)
    psf.sigma.fixed = False
    # Groups of six take the tempered engine a minute: blends of three have all that is asked here.
    phot = replace(PHOT, psf_model=psf, bkg_estimator=bp.MMMBackground(), max_group_size=3)
    return bp.calibrate(
        phot, n_simulations=120, flux=FLUX, background=bp.Normal(20.0, 0.5), error=3.0,
        density=0.012, seed=21,
    )  # fmt: skip


def test_a_result_has_a_row_a_source_and_a_rank_a_group(result) -> None:
    assert isinstance(result.table, QTable)
    assert result.n_groups == 120
    assert len(result) == len(result.table) > 120
    assert result.parameters == ("x", "y", "flux", "sigma", "background")
    assert [rank.size for rank in result.ranks.values()][:5] == [120] * 5
    blends = np.unique(result.table["group_id"][result.table["group_size"] > 1]).size
    assert result.ranks["flux_sum"].size == result.ranks["flux_difference"].size == blends
    counted = result.table["group_id"][result.table["counted"]]
    assert np.unique(counted).size == counted.size == 120


def test_ranks_are_the_place_of_the_truth_among_the_draws(result) -> None:
    table = result.table
    for name in result.parameters:
        pull = (table[f"{name}_mean"] - table[f"{name}_true"]) / table[f"{name}_err"]
        rank = np.sum(result.pulls[name] > np.asarray(pull)[:, None], axis=1)
        # The pulls of the draws are kept in single precision.
        assert np.mean(rank == table[f"{name}_rank"]) > 0.99
        assert np.all(table[f"{name}_lo_95"] <= table[f"{name}_lo_50"])
        assert np.all(table[f"{name}_hi_50"] <= table[f"{name}_hi_95"])
    assert np.allclose(table["snr"], table["flux_mean"] / table["flux_err"])


def test_tables_say_what_was_measured_and_its_band(result) -> None:
    coverage = result.coverage()
    assert sorted(set(coverage["level"])) == [0.5, 0.68, 0.9, 0.95]
    row = coverage[(coverage["parameter"] == "flux") & (coverage["level"] == 0.68)][0]
    flux_ranks = result.ranks["flux"]
    assert row["coverage"] == np.mean((flux_ranks >= 32) & (flux_ranks < 168))
    assert (row["low"], row["high"]) == binomial_band(120, 0.68, per_test(len(coverage)))
    assert set(result.scatter()["by"]) == {"snr", "blend_var_frac"}
    assert np.sum(result.bias()["n"][result.bias()["parameter"] == "x"]) == len(result)
    assert len(result.uniformity()) == 7


def test_a_result_cannot_be_changed(result) -> None:
    with pytest.raises(FrozenInstanceError):
        result.meta = {}
    with pytest.raises(ValueError, match="read-only"):
        result.table["flux_true"][0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        result.pulls["flux"][0] = 1.0


def test_groups_are_selected_whole(result) -> None:
    chosen = result.select(np.asarray(result.table["snr"]) > 8.0)
    assert 20 <= chosen.n_groups < result.n_groups
    assert np.all(chosen.table["snr"] > 8.0)
    assert len(chosen) == chosen.pulls["x"].shape[0]
    assert result.trusted().n_groups <= result.n_groups
    with pytest.raises(ValueError, match="rows must have the shape"):
        result.select([True])
    with pytest.raises(ValueError, match="at least 20 whole groups"):
        result.select(np.zeros(len(result), dtype=bool))


def test_a_group_that_was_not_sampled_is_outside_every_interval(result) -> None:
    table = result.table.copy()
    lost = np.asarray(table["group_id"]) <= 60
    pulls = {name: values.copy() for name, values in result.pulls.items()}
    for name in result.parameters:
        table[f"{name}_rank"][lost] = -1
        for what in ("mean", "err"):
            table[f"{name}_{what}"][lost] = np.nan
        pulls[name][lost] = np.nan
    table["snr"][lost] = np.nan
    table["flags"][lost] = int(bp.Flag.NOT_SAMPLED)
    broken = bp.CalibrationResult(table, pulls, result.meta)
    assert np.all(broken.coverage()["coverage"][:4] <= 0.5)
    assert not broken.passed()
    assert np.all(np.isfinite(broken.scatter()["scatter"]))
    assert broken.uniformity()["n"][0] == 60
    assert "without the 6" in broken.summary()
    assert broken.plot().axes


def test_it_is_written_as_table_picture_and_summary(result, tmp_path) -> None:
    folder = result.write(tmp_path / "deep" / "calibration")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    table = QTable.read(folder / "calibration.ecsv")
    np.testing.assert_array_equal(table["flux_rank"], result.table["flux_rank"])
    assert table.meta["seed"] == 21
    assert (folder / "calibration.txt").read_text() == f"{result.summary()}\n"
    assert (folder / "calibration.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileExistsError, match="not empty"):
        result.write(folder)
    (folder / "notes").touch()
    result.write(folder, overwrite=True)
    assert (folder / "notes").exists()
    with pytest.raises(FileExistsError, match="must be a directory"):
        result.write(folder / "notes")


def test_it_says_how_it_came_out(result) -> None:
    assert "120 groups" in repr(result)
    summary = result.summary()
    for word in (*result.ranks, "seed 21", "bands of coverage", "scatter over error", "bias"):
        assert word in summary
    titles = {axes.get_title() for axes in result.plot().axes}
    assert {"ranks", "coverage", "scatter by SNR", "scatter by blending", "bias by SNR"} <= titles
    assert {"flux, n = 120", "background, n = 120"} <= titles


def test_the_same_seed_gives_the_same_answer_for_any_number_of_jobs() -> None:
    options = {"n_simulations": 24, "flux": FLUX, "error": 3.0, "n_sources": 2, "separation": 3.5}
    first = bp.calibrate(PHOT, **options, seed=5)
    second = bp.calibrate(PHOT, **options, seed=5, n_jobs=2)
    assert np.all(first.table["flux_mean"] == second.table["flux_mean"])
    assert np.all(first.table["flux_rank"] == second.table["flux_rank"])
    assert np.any(first.table["flux_true"] != bp.calibrate(PHOT, **options).table["flux_true"])


def test_every_photometry_class_can_be_calibrated() -> None:
    psf = bp.IntegratedGaussianPRF(sigma=1.5)
    phot = bp.DAOPhotPSFPhotometry(5.0, 10.0, 3.5, psf, 11, fit_background=False)
    result = bp.calibrate(phot, n_simulations=20, flux=FLUX, error=3.0, seed=1)
    # Nothing is searched for: the groups are those that were simulated.
    assert len(result) == 20


def test_forced_positions_have_no_ranks() -> None:
    psf = bp.IntegratedGaussianPRF(sigma=1.5)
    psf.x_0.fixed = psf.y_0.fixed = True
    phot = replace(PHOT, psf_model=psf)
    result = bp.calibrate(phot, n_simulations=30, flux=FLUX, error=3.0, seed=1)
    assert list(result.ranks) == ["flux"]


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_levels_are_probabilities(result, level) -> None:
    with pytest.raises(ValueError, match=f"levels must lie between 0 and 1, found {level}"):
        result.coverage((level,))
    with pytest.raises(ValueError, match="false_alarm must lie between 0 and 1"):
        result.scatter(false_alarm=level)
