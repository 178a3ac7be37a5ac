"""Rows in memory and on the disk: the same array, and nothing left behind."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bayesphot import rowstore
from bayesphot.rowstore import DiskStore, MemoryStore, choose_store


@pytest.mark.parametrize("kind", [MemoryStore, DiskStore])
def test_rows_come_back_where_they_were_put(kind) -> None:
    store = kind(5, 3)
    store.fill(np.array([4, 0]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    store.fill(np.array([2]), np.arange(6.0).reshape(1, 6)[:, ::2])
    blank = np.array([False, True, False, True, False])
    nan = [np.nan] * 3
    expected = [[4.0, 5.0, 6.0], nan, [0.0, 2.0, 4.0], nan, [1.0, 2.0, 3.0]]
    array = store.close(blank)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)), expected)


def test_files_have_no_name(tmp_path, monkeypatch) -> None:
    """Nothing to delete, even after a crash."""
    monkeypatch.setattr(rowstore.tempfile, "tempdir", str(tmp_path))
    store = DiskStore(2, 2)
    store.fill(np.arange(2), np.ones((2, 2)))
    array = store.close(np.zeros(2, dtype=bool))
    del store
    assert array.sum() == 4.0
    assert list(tmp_path.iterdir()) == []


def test_large_draws_lie_on_the_disk_or_are_refused() -> None:
    assert choose_store(2**30 - 1) is MemoryStore
    assert choose_store(2**30) is DiskStore
    with pytest.raises(OSError, match=r"the draws take 1000000.0 GB and .* keep fewer"):
        choose_store(10**15)
