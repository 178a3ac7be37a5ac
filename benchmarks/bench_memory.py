"""Memory, files, CPU per source and threads of large runs, each measured in a process of its own.

    python benchmarks/bench_memory.py [--large] [--skip-threads]

One field of 100 stars (FWHM 4.7, two of five in groups) is repeated, so that runs of any size are
of the same stars. Peak memory is that of the process, packages and compiled code included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

import bayesphot as bp

SIGMA = 2.0
#: Pixels and stars of the field that is repeated.
SIDE, STARS = 170, 100
#: How often along y and x, by the number of stars.
TILES = {100: (1, 1), 1_000: (2, 5), 10_000: (10, 10), 100_000: (25, 40)}


def make_field(n_star: int):
    """Return image, error and positions."""
    scene = bp.simulate_scene(
        (SIDE, SIDE), n_sources=STARS, sigma=SIGMA, background=20.0, noise=5.0, border=10, seed=1
    )
    n_y, n_x = TILES[n_star]
    parts = []
    for j in range(n_y):
        for i in range(n_x):
            part = Table({"x_0": scene.truth["x_0"] + i * SIDE})
            part["y_0"] = scene.truth["y_0"] + j * SIDE
            parts.append(part)
    rng = np.random.default_rng(n_star)
    image = np.tile(np.asarray(scene.image), (n_y, n_x))
    # Other noise in each copy, of the same size in all.
    image = image + rng.normal(0.0, 5.0, image.shape)
    error = np.hypot(np.tile(scene.error, (n_y, n_x)), 5.0)
    return image, error, vstack(parts)


def peak_memory() -> float:
    """Return the peak memory of this process in MB."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def measure_run(n_star: int, draws: int, n_jobs: int, keep: str, folder: str) -> dict:
    """Run a field, write it if a folder is given; return seconds and megabytes."""
    bp.warmup()
    image, error, positions = make_field(n_star)
    before = peak_memory()
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=11,
        group_maker=bp.DAOGroup(7.0),
        bkg_estimator=bp.MMMBackground(),
        sampler=bp.Sampler(draws=draws // 4, keep=keep),
        n_jobs=n_jobs,
        seed=1,
    )
    load = os.getloadavg()[0]
    cpu, wall = time.process_time(), time.perf_counter()
    result = phot(image, error=error, positions=positions)
    numbers = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "load": load,
        "before": before,
        "peak": peak_memory(),
        **{f"seconds_{name}": value for name, value in result.meta["seconds"].items()},
    }
    if folder:
        wall = time.perf_counter()
        result.write(folder)
        numbers |= {"write": time.perf_counter() - wall, "peak_write": peak_memory()}
    return numbers


def measure_read(folder: str) -> dict:
    """Read a result; return seconds and megabytes."""
    wall = time.perf_counter()
    bp.PhotometryResult.read(folder)
    return {"read": time.perf_counter() - wall, "peak_read": peak_memory()}


def measure_apart(**arguments) -> dict:
    """Return the numbers of a run or of a reading in a new process."""
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report_files(n_star: int, draws: int) -> None:
    """Print peak memory of run, writing and reading, and how long these take."""
    with tempfile.TemporaryDirectory() as root:
        folder = str(Path(root) / "result")
        run = measure_apart(n_star=n_star, draws=draws, n_jobs=1, keep="all", folder=folder)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        read = measure_apart(read=folder)
    print(
        f"{n_star} stars x {draws} draws, all kept: peak {run['peak']:.0f} MB "
        f"({run['before']:.0f} before), write {run['write']:.1f} s ({size:.0f} MB, peak "
        f"{run['peak_write']:.0f} MB), read {read['read']:.1f} s (peak {read['peak_read']:.0f} MB)"
    )


def report_sizes(sizes: list[int]) -> None:
    """Print CPU per source of fields of the same stars."""
    print("stars, CPU ms per star: all, least squares, sampling; peak MB (summaries kept); load")
    for n_star in sizes:
        run = measure_apart(n_star=n_star, draws=2000, n_jobs=1, keep="summary", folder="")
        # The parts' wall seconds, scaled to the CPU of the whole.
        scale = 1e3 / n_star * run["cpu"] / run["wall"]
        print(
            f"{n_star:7d} {1e3 * run['cpu'] / n_star:8.2f} "
            f"{scale * run['seconds_least_squares']:8.2f} {scale * run['seconds_sampling']:8.2f} "
            f"{run['peak']:8.0f} {run['load']:6.1f}"
        )


def report_threads(n_star: int) -> None:
    """Print wall seconds with one and two threads, in turn."""
    print("threads, wall s: all, least squares, sampling; load")
    for n_jobs in (1, 2, 1, 2):
        run = measure_apart(n_star=n_star, draws=2000, n_jobs=n_jobs, keep="all", folder="")
        print(
            f"{n_jobs} {run['wall']:8.2f} {run['seconds_least_squares']:8.2f} "
            f"{run['seconds_sampling']:8.2f} {run['load']:6.1f}"
        )


def main() -> None:
    """Run everything, or, asked by itself, one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="100 000 stars, too (20 minutes)")
    parser.add_argument("--skip-threads", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        asked = json.loads(arguments.one)
        numbers = measure_read(asked["read"]) if "read" in asked else measure_run(**asked)
        print(json.dumps(numbers))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )
    report_files(10_000, 2000)
    report_sizes([100, 1_000, 10_000] + [100_000] * arguments.large)
    if not arguments.skip_threads:
        report_threads(1_000)


if __name__ == "__main__":
    main()
