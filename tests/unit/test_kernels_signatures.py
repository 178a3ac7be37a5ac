"""Every kernel is compiled once: a second signature costs seconds at each first run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_scene import INTERPRETED

import bayesphot
from bayesphot.kernels.cache import CACHE_FOLDER

PACKAGE = Path(bayesphot.__file__).parent

#: A run through the public door, then every kernel's signatures in this process. One that comes
#: from the disk brings its parts along without naming them.
SCRIPT = """
import importlib, json, pkgutil
from numba import types
import bayesphot
import bayesphot.kernels

bayesphot.warmup()

def simplify(kind):
    # A constant counts as its type, a view as the array: such a part is inlined anyway.
    kind = types.unliteral(kind)
    if isinstance(kind, types.Array):
        return types.Array(kind.dtype, kind.ndim, "C")
    return kind

counts = {}
for module in pkgutil.iter_modules(bayesphot.kernels.__path__):
    home = importlib.import_module(f"bayesphot.kernels.{module.name}")
    for name, kernel in vars(home).items():
        if hasattr(kernel, "signatures") and kernel.__module__ == home.__name__:
            whole = not kernel.targetoptions.get("no_cpython_wrapper")
            found = {tuple(map(simplify, s)) for s in kernel.signatures}
            counts[f"{module.name}.{name}"] = (len(kernel.signatures if whole else found), whole)
print(json.dumps(counts))
"""

pytestmark = [
    pytest.mark.skipif(INTERPRETED, reason="interpreted kernels have no signatures"),
    pytest.mark.skipif(CACHE_FOLDER is None, reason="no folder for compiled code"),
]


def count_signatures(**environment: str) -> dict[str, tuple[int, bool]]:
    """Return (signatures, is it a whole) of each kernel in a fresh process."""
    environment = {**os.environ, "MPLBACKEND": "Agg", **environment}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_every_whole_is_called_with_one_signature() -> None:
    """Called by warming up, and with the types of one signature."""
    counts = count_signatures()
    assert {name: n for name, (n, whole) in counts.items() if whole and n != 1} == {}


@pytest.mark.slow
def test_every_part_is_compiled_once(tmp_path) -> None:
    """In a process that compiles everything, for one set of types; one that is not is dead."""
    counts = count_signatures(NUMBA_CACHE_DIR=str(tmp_path))
    assert {name: n for name, (n, _) in counts.items() if n != 1} == {}
