"""What all tests share: pictures are drawn without a screen, real images may be absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real images (BAYESPHOT_TEST_DATA, or ../shared/data), or skip."""
    folder = Path(os.environ.get("BAYESPHOT_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder of real images at {folder}: set BAYESPHOT_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    """Compile all kernels in a process of their own, so that every test loads the same code.

    Where a kernel is inlined depends on what its process had compiled before: results of a
    process that compiles can differ from those of one that loads in their last bit.
    """
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return
    command = [sys.executable, "-c", "import bayesphot; bayesphot.warmup()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, timeout=1200, env=environment)
