"""False positives and completeness of a companion search: counted, repeatable, taken further."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u

import bayesphot as bp
from bayesphot.companions import Completeness, FalsePositives
from bayesphot.companions.trials import open_bench

SIGMA = 1.5
FWHM = 2.3548 * SIGMA


@pytest.fixture(scope="module")
def found():
    scene = bp.simulate_scene(
        (31, 31), sources={"x_0": [15.2], "y_0": [14.8], "flux": [12000.0]}, sigma=SIGMA,
        background=100.0, noise=10.0, seed=6,
    )  # fmt: skip
    return bp.companion_map(
        scene.image, bp.IntegratedGaussianPRF(sigma=SIGMA), (15.0, 15.0), error=scene.error,
        radius=2.0 * FWHM, box=23,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nulls(found):
    return found.calibrate_false_positives(400, seed=3)


def test_an_image_without_a_companion_looks_like_the_others(nulls):
    assert nulls.log_evidence_ratio.shape == (400,)
    # One image in 500 of a companion's absence would fall below.
    assert nulls.p_value > 0.002
    # Markov's inequality: the mean evidence ratio of noise is 1.
    assert np.mean(nulls.log_evidence_ratio > np.log(100.0)) <= 0.03


def test_the_same_seed_gives_the_same_images(found, nulls):
    again = found.calibrate_false_positives(60, seed=3, n_jobs=2)
    np.testing.assert_array_equal(again.log_evidence_ratio, nulls.log_evidence_ratio[:60])


def test_a_threshold_is_exceeded_as_often_as_it_says(nulls):
    threshold = nulls.threshold(0.05)
    assert np.mean(nulls.log_evidence_ratio > threshold) <= 0.05
    assert np.mean(nulls.log_evidence_ratio >= threshold) >= 0.05
    with pytest.raises(ValueError, match="at least 2000 images"):
        nulls.threshold(0.01)
    with pytest.raises(ValueError, match="rate"):
        nulls.threshold(1.0)


def test_bright_companions_are_found_and_faint_ones_not(found, nulls):
    done = found.recover([1.5 * FWHM], [1.0, 9.0], 20, false_positives=nulls, rate=0.05)
    assert done.n_found[0, 0] == 20
    # 20 images with a false positive in 20: more than 6 once in 30 000.
    assert done.n_found[0, 1] <= 6
    table = done.table
    assert table["fraction"][0] == 1.0
    assert (table["fraction_lo"] <= table["fraction"]).all()
    assert (table["fraction_hi"] >= table["fraction"]).all()


def test_the_limit_lies_between_the_contrasts():
    done = Completeness(
        np.array([2.0, 4.0, 6.0]),
        np.array([1.0, 2.0, 3.0]),
        np.array([[10, 5, 0], [4, 2, 0], [10, 10, 9]]),
        np.full((3, 3), 10),
        3.0,
        0.01,
    )
    np.testing.assert_allclose(done.limit(0.75), [1.5, np.nan, np.inf])
    with pytest.raises(ValueError, match="fraction"):
        done.limit(0.0)


def test_what_is_finished_is_not_done_again(found, nulls, tmp_path):
    file = tmp_path / "injections.jsonl"
    run = {"false_positives": nulls, "rate": 0.05, "file": file}
    first = found.recover([4.0], [2.0, 4.0], 6, **run)
    text = file.read_text()
    # Cut in the middle of its last line, as by a crash.
    file.write_text(text[:-20])
    again = found.recover([4.0], [2.0, 4.0], 6, **run)
    np.testing.assert_array_equal(first.n_found, again.n_found)
    assert file.read_text() == text
    # A mark of ours on a finished part: it is read, not done again.
    lines = [json.loads(line) for line in text.splitlines()]
    lines[1]["log_evidence_ratio"] = [1e6] * 6
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert found.recover([4.0], [2.0, 4.0], 6, **run).n_found[0, 0] == 6
    wider = found.recover([4.0, 5.0], [2.0, 4.0], 6, **run)
    assert wider.n_found.shape == (2, 2)
    with pytest.raises(ValueError, match="another"):
        found.recover([4.0], [2.0], 7, **run)


def test_bad_arguments_are_refused(found, nulls, tmp_path):
    with pytest.raises(ValueError, match="region searched"):
        found.recover([40.0], [2.0], 5, false_positives=nulls, rate=0.05)
    with pytest.raises(ValueError, match="separations"):
        found.recover([-1.0], [2.0], 5, false_positives=nulls, rate=0.05)
    with pytest.raises(ValueError, match="separations must be in pix, found .* arcsec"):
        found.recover([0.4] * u.arcsec, [2.0], 5, false_positives=nulls, rate=0.05)
    with pytest.raises(ValueError, match="delta_mags must be in mag, found"):
        found.recover([4.0], [2.0] * u.Jy, 5, false_positives=nulls, rate=0.05)
    with pytest.raises(ValueError, match="delta_mags"):
        found.recover([1.0], [np.nan], 5, false_positives=nulls, rate=0.05)
    with pytest.raises(TypeError, match="delta_mags"):
        found.recover([1.0], ["a"], 5, false_positives=nulls, rate=0.05)
    with pytest.raises(TypeError, match="false_positives"):
        found.recover([1.0], [2.0], 5, false_positives=None, rate=0.05)
    with pytest.raises(ValueError, match="n must"):
        found.calibrate_false_positives(0)
    others = FalsePositives(nulls.log_evidence_ratio, nulls.observed, {"target": [1.0]})
    with pytest.raises(ValueError, match="this map's own"):
        found.recover([4.0], [2.0], 5, false_positives=others, rate=0.05)
    for separations in ("a", [4.0 * u.pix], [[1.0, 2.0]]):
        with pytest.raises((TypeError, ValueError), match="separations must be"):
            found.recover(separations, [2.0], 5, false_positives=nulls, rate=0.05)
    for n_jobs in (0, -2, "a"):
        with pytest.raises((TypeError, ValueError), match="n_jobs must be"):
            found.calibrate_false_positives(2, n_jobs=n_jobs)
        with pytest.raises((TypeError, ValueError), match="n_jobs must be"):
            found.recover([4.0], [2.0], 5, false_positives=nulls, rate=0.05, n_jobs=n_jobs)


@pytest.mark.parametrize("text", ["no\nlines\n", "one line\n", "no end", "{}\n[1, 2]\n", "[3]\n"])
def test_files_of_others_are_left_as_they_are(found, nulls, tmp_path, text):
    file = tmp_path / "notes.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"no file of injections|injections of another"):
        found.recover([4.0], [2.0], 5, false_positives=nulls, rate=0.05, file=file)
    assert file.read_text() == text


def test_a_file_cut_anywhere_is_gone_on_with(found, nulls, tmp_path):
    file = tmp_path / "injections.jsonl"
    run = {"false_positives": nulls, "rate": 0.05, "file": file}
    found.recover([4.0], [2.0, 4.0], 2, **run)
    text = file.read_text()
    for end in (0, 10, text.index("\n"), text.index("\n") + 1, len(text) - 1):
        file.write_text(text[:end])
        found.recover([4.0], [2.0, 4.0], 2, **run)
        assert file.read_text() == text
    file.write_text(text + "\n\n")
    found.recover([4.0], [2.0, 4.0], 2, **run)
    for old, new in (("[", "[NaN, "), ("[", "[1.0, ")):
        head, first, rest = text.split("\n", 2)
        file.write_text("\n".join([head, first.replace(old, new), rest]))
        with pytest.raises(ValueError, match="no file of injections: line 2"):
            found.recover([4.0], [2.0, 4.0], 2, **run)
    file.write_text(text.replace('"log_evidence_ratio"', '"other"'))
    with pytest.raises(ValueError, match="no file of injections: line 2"):
        found.recover([4.0], [2.0, 4.0], 2, **run)


def test_they_show_themselves(nulls, tmp_path):
    assert "400 images" in repr(nulls)
    assert 0.0 < FalsePositives(np.zeros(3), 1.0).p_value <= 0.25
    done = Completeness(
        np.array([2.0, 4.0]),
        np.array([1.0, 2.0, 3.0]),
        np.array([[10, 5, 0], [10, 9, 3]]),
        np.full((2, 3), 10),
        3.0,
        0.01,
    )
    path = tmp_path / "completeness.png"
    done.plot(path=path)
    assert path.stat().st_size > 5_000


@pytest.mark.parametrize(
    ("noise", "per_light"),
    [
        (bp.CCDNoise(gain=0.5, read_noise=5.0), 2.0),
        (bp.CCDNoise(gain=0.5, read_noise=5.0, correlation=1.5), 4.5),
        (bp.PoissonNoise(), 1.0),
        (None, 0.0),
    ],
)
def test_a_companion_brings_its_own_photon_noise(noise, per_light):
    scene = bp.simulate_scene(
        (31, 31), sources={"x_0": [15.2], "y_0": [14.8], "flux": [3000.0]}, sigma=SIGMA,
        background=100.0, noise=10.0, seed=6,
    )  # fmt: skip
    error = scene.error if noise is None else None
    found = bp.companion_map(
        scene.image, bp.IntegratedGaussianPRF(sigma=SIGMA), (15.0, 15.0), error=error, noise=noise,
        radius=5.0, box=21, bkg_estimator=100.0,
    )  # fmt: skip
    bench = open_bench(found._search, (15.0, 15.0), 5.0)
    n, weight = 2000, found._search.stamp.weight
    companion = (18.0, 15.0, 20000.0)
    data = np.array([bench.simulate(np.random.default_rng([1, k]), companion) for k in range(n)])
    alone = np.array([bench.simulate(np.random.default_rng([2, k])) for k in range(n)])
    light = (data.mean(axis=0) - bench.model) / np.sqrt(weight)
    bright = light > 100.0
    assert bright.sum() > 10
    added = (data.var(axis=0) - alone.var(axis=0)) / weight
    # The sum of independent variances, each with the error sqrt(2 / n), 4 errors of both.
    error = np.sqrt(
        2.0 / n * np.sum(((data.var(axis=0) + alone.var(axis=0)) / weight)[bright] ** 2)
    )
    assert abs(added[bright].sum() - per_light * light[bright].sum()) < 4.0 * error
    assert error < 0.2 * 20000.0


def test_photon_noise_of_a_companion_scatters_its_evidence():
    scene = bp.simulate_scene(
        (31, 31), sources={"x_0": [15.2], "y_0": [14.8], "flux": [300.0]}, sigma=SIGMA,
        background=2.0, noise=2.0**0.5, seed=6,
    )  # fmt: skip
    found = bp.companion_map(
        scene.image, bp.IntegratedGaussianPRF(sigma=SIGMA), (15.0, 15.0), radius=5.0, box=21,
        noise=bp.CCDNoise(gain=1.0, read_noise=0.0), bkg_estimator=2.0,
    )  # fmt: skip
    search = found._search
    silent = replace(search, stamp=replace(search.stamp, light_variance=0.0))
    scatter = []
    for each in (search, silent):
        bench = open_bench(each, (15.0, 15.0), 5.0)
        rng, n = np.random.default_rng(1), 80
        logs = [bench.find_evidence(bench.simulate(rng, (20.0, 15.0, 150.0))) for _ in range(n)]
        scatter.append(np.std(logs))
    # At its peak the sky's variance is 2 and its own 10; each standard deviation is known to 8 %.
    assert scatter[0] > 1.4 * scatter[1]
