"""Every kernel is compiled once: a second signature costs seconds at each first run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_scene import INTERPRETED

import bayesphot
from bayesphot.kernels.cache import CACHE_FOLDER

PACKAGE = Path(bayesphot.__file__).parent

#: A run through the public door, then every kernel's signatures. A kernel read from the disk
#: cache brings its callees along without naming them: those are counted by their files.
SCRIPT = """
import collections, importlib, json, pathlib, pkgutil
import bayesphot
import bayesphot.kernels
from bayesphot.kernels import cache

bayesphot.warmup()
counts = {}
for module in pkgutil.iter_modules(bayesphot.kernels.__path__):
    found = importlib.import_module(f"bayesphot.kernels.{module.name}")
    for name, kernel in vars(found).items():
        if hasattr(kernel, "signatures") and kernel.__module__ == found.__name__:
            counts[f"{module.name}.{name}"] = len(kernel.signatures)
on_disk = collections.Counter(
    ".".join(path.name.split(".")[:2]).rsplit("-", 1)[0]
    for path in pathlib.Path(cache.CACHE_FOLDER).rglob("*.nbc")
)
print(json.dumps([counts, on_disk]))
"""


def run_script(folder: Path) -> tuple[dict, dict]:
    """Return (signatures in a fresh process, machine codes on disk) with a cache folder."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "MPLBACKEND": "Agg"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    in_process, on_disk = json.loads(run.stdout.splitlines()[-1])
    return in_process, on_disk


@pytest.fixture(scope="module")
def signatures(request) -> tuple[dict, dict]:
    """Signatures of every kernel after an end-to-end run.

    The folder is this test's own: other tests call kernels with types of their own. It is kept,
    so that only an edited kernel compiles again; what an older caller left there is no reproach:
    a second signature counts if it comes back in an empty folder.
    """
    if INTERPRETED:
        pytest.skip("interpreted kernels have no signatures")
    if CACHE_FOLDER is None:
        pytest.skip("no folder for compiled code")
    folder = request.config.cache.mkdir(f"kernel-signatures-{sys.implementation.cache_tag}")
    fresh = not any(folder.iterdir())
    counts = run_script(folder)
    if not fresh and any(n > 1 for n in counts[1].values()):
        shutil.rmtree(folder)
        folder.mkdir()
        counts = run_script(folder)
    return counts


def test_no_kernel_has_a_second_signature(signatures) -> None:
    in_process, on_disk = signatures
    assert {name: n for name, n in in_process.items() if n > 1} == {}
    assert {name: n for name, n in on_disk.items() if n > 1} == {}


def test_warming_up_compiles_every_kernel(signatures) -> None:
    # Called, or kept on disk beside a caller; what is neither waits for its first user, or is dead.
    in_process, on_disk = signatures
    used = {name for name, n in in_process.items() if n} | set(on_disk)
    assert set(in_process) - used == set()
