"""Ctrl-C: the run stops soon, and what is finished can be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pipeline_scenes import SIGMA, configure

import bayesphot as bp
from bayesphot import rowstore

POSTERIOR = ("x_median", "flux_lo", "background_err", "r_hat", "pareto_k", "ppp")


@pytest.fixture(scope="module")
def field():
    """A field of 40 stars, a row given that is off the image."""
    scene = bp.simulate_scene(
        (120, 120), n_sources=40, sigma=SIGMA, background=20.0, noise=3.0, border=4.0, seed=11
    )
    positions = scene.truth.copy()
    positions["x_0"][3] = -50.0
    return scene, positions


class Interrupting(Executor):
    """Runs at once; an interrupt arrives in a given batch of the sampling."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def submit(self, function, /, *arguments):
        future: Future = Future()
        if function.__name__ == "_sample_part":
            self.count += 1
            if self.count > self.at:
                future.set_exception(KeyboardInterrupt())
                return future
        future.set_result(function(*arguments))
        return future


def interrupt_run(field, at, **changes):
    scene, positions = field
    phot = configure(executor=Interrupting(at), **changes)
    with pytest.raises(bp.InterruptedRun) as caught:
        phot(scene.image, scene.error, None, positions)
    return caught.value.result


@pytest.mark.parametrize("on_disk", [False, True])
def test_finished_groups_are_those_of_a_whole_run_and_the_others_are_nan(
    field, on_disk, tmp_path, monkeypatch
) -> None:
    if on_disk:
        monkeypatch.setattr(rowstore, "DISK_BYTES", 1)
    scene, positions = field
    whole = configure()(scene.image, scene.error, None, positions)
    part = interrupt_run(field, at=3)
    assert part.meta["interrupted"] is True
    assert whole.meta["interrupted"] is False
    stopped = (part["flags"] & bp.Flag.INTERRUPTED) > 0
    assert 0 < stopped.sum() < len(part) - 1
    assert not stopped[3]
    assert set(part["engine"][stopped]) == {"none"}
    for name in POSTERIOR:
        assert_array_equal(part[name][~stopped], whole[name][~stopped], err_msg=name)
        assert np.isnan(part[name][stopped]).all(), name
    for name in ("x_fit", "flux_fit", "flux_fit_err", "reduced_chi2"):
        assert_array_equal(part[name], whole[name])
    done = ~np.isin(part.posterior["group"], part["group_id"][stopped])
    for name, mine in (("flux", ~stopped), ("background", done)):
        draws, expected = part.posterior[name].to_numpy(), whole.posterior[name].to_numpy()
        assert_array_equal(draws[..., mine], expected[..., mine])
        assert np.isnan(draws[..., ~mine]).all()
    read = bp.PhotometryResult.read(part.write(tmp_path / "part"))
    assert_array_equal(read["flux_median"], part["flux_median"])
    assert_array_equal(read.posterior["flux"], part.posterior["flux"])


def test_nothing_finished_is_a_result_of_the_least_squares(field, capsys) -> None:
    part = interrupt_run(field, at=0, zero_point=25.0)
    assert np.isfinite(part["flux_fit"]).sum() == 39
    assert np.isnan(part["flux_median"]).all()
    assert np.isnan(part["mag_median"]).all()
    part.diagnose()
    assert "INTERRUPTED: 39" in capsys.readouterr().out


SCRIPT = """
import json, os, signal, sys, threading, time
import bayesphot as bp
from bayesphot import refit, sample

# A shell's background jobs, and all that they start, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
where, n_jobs, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
scene = bp.simulate_scene(
    (900, 900), n_sources=2500, sigma=1.8, background=20.0, noise=3.0, border=4.0, seed=11
)
phot = bp.BasicPSFPhotometry(
    psf_model=bp.IntegratedGaussianPRF(sigma=1.8), fitshape=11, group_maker=bp.DAOGroup(6.0),
    bkg_estimator=bp.MMMBackground(), n_jobs=n_jobs, seed=1,
    # A clump on the second rung can take longer than the bound.
    sampler=bp.Sampler(engine="independence"),
)
phot(scene.image, scene.error, None, scene.truth[:20])
module, name = {"sampling": (sample, "_sample_part"), "fit": (refit, "_fit_part")}[where]
plain, calls, sent = getattr(module, name), [], []

def counted(*arguments):
    calls.append(1)
    if len(calls) == (4 if where == "fit" else 10):
        # The batch is under way when the signal comes.
        threading.Timer(0.05, send).start()
    return plain(*arguments)

def send():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

setattr(module, name, counted)
kind, finished = "none", -1
try:
    phot(scene.image, scene.error, None, scene.truth)
except KeyboardInterrupt as stop:
    seconds = time.perf_counter() - sent[0]
    kind = type(stop).__name__
    if kind == "InterruptedRun":
        finished = int((stop.result["engine"] != "none").sum())
        stop.result.write(folder)
print(json.dumps([kind, finished, seconds, threading.active_count()]))
"""


@pytest.mark.parametrize(
    ("where", "kind"), [("sampling", "InterruptedRun"), ("fit", "KeyboardInterrupt")]
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sigint_stops_a_run_soon_and_leaves_what_is_finished(tmp_path, where, kind, n_jobs) -> None:
    """Batches last half a second; the bound leaves room for a busy machine."""
    folder = tmp_path / "part"
    command = [sys.executable, "-c", SCRIPT, where, str(n_jobs), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(bp.__file__).parents[1])}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=True
    )
    found, finished, seconds, threads = json.loads(done.stdout.splitlines()[-1])
    assert found == kind
    assert seconds < 5.0
    assert threads == 1
    assert folder.exists() == (where == "sampling")
    if where == "sampling":
        assert 0 < finished < 1000
        assert (bp.PhotometryResult.read(folder)["engine"] != "none").sum() == finished


def test_the_command_line_writes_what_is_finished(tmp_path, monkeypatch, capsys) -> None:
    from bayesphot import sample
    from bayesphot.cli import main

    image = tmp_path / "field.fits"
    field = ["--size", "200", "200", "--sources", "100", "--seed", "4", "--quiet"]
    assert main(["simulate", "--out", str(image), *field]) == 0
    plain, calls = sample._sample_part, []

    def interrupt(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(sample, "_sample_part", interrupt)
    out = tmp_path / "out"
    options = ["--sigma", "2", "--error", f"{image}[ERROR]", "--seed", "1", "--jobs", "1"]
    assert main(["run", str(image), *options, "--quiet", "--out", str(out)]) == 130
    assert "interrupted" in capsys.readouterr().err
    result = bp.PhotometryResult.read(out)
    assert 0 < (result["engine"] != "none").sum() < len(result)
