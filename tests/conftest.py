"""What all tests share: pictures are drawn without a screen, real images may be absent."""

from __future__ import annotations

import os
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
