"""Large arrays that are filled row by row: in memory, or in a file that nobody has to delete."""

from __future__ import annotations

import shutil
import tempfile

import numpy as np

__all__ = ["DiskStore", "MemoryStore", "choose_store"]

#: Bytes of draws from which they lie on the disk.
DISK_BYTES = 2**30


def choose_store(size: int) -> type[MemoryStore] | type[DiskStore]:
    """Return where arrays of so many bytes in all belong.

    Parameters
    ----------
    size : int
        Bytes.

    Raises
    ------
    OSError
        If they belong on the disk and do not fit there.
    """
    if size < DISK_BYTES:
        return MemoryStore
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"the draws take {size / 1e9:.1f} GB and the temporary folder {folder} has "
            f"{free / 1e9:.1f} GB: keep fewer (Sampler(keep=100)), or set TMPDIR"
        )
    return DiskStore


class MemoryStore:
    """Rows in memory.

    Parameters
    ----------
    n_row, n_column : int
        Shape.
    """

    def __init__(self, n_row: int, n_column: int) -> None:
        self._array = np.empty((n_row, n_column))

    def fill(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Set some rows."""
        self._array[rows] = values

    def close(self, blank: np.ndarray) -> np.ndarray:
        """Return the array, NaN in the rows marked (n_row,)."""
        self._array[blank] = np.nan
        return self._array


class DiskStore:
    """Rows in a file without a name, which goes when the array, or the process, does.

    They are written, not assigned through a map: pages then count as the system's, which drops
    them when it needs the memory, and a full disk is an error instead of a crash.

    Parameters
    ----------
    n_row, n_column : int
        Shape.
    """

    def __init__(self, n_row: int, n_column: int) -> None:
        self._shape = n_row, n_column
        # The map outlives the file object: see `close`.
        self._file = tempfile.TemporaryFile(prefix="bayesphot-", buffering=0)  # noqa: SIM115

    def fill(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Set some rows."""
        for row, value in zip(rows.tolist(), np.asarray(values, dtype=np.float64), strict=True):
            self._file.seek(8 * row * self._shape[1])
            self._file.write(np.ascontiguousarray(value).data)

    def close(self, blank: np.ndarray) -> np.ndarray:
        """Return the array, read-only, NaN in the rows marked (n_row,)."""
        rows = np.flatnonzero(blank)
        self.fill(rows, np.broadcast_to(np.nan, (rows.size, self._shape[1])))
        array = np.memmap(self._file, dtype=np.float64, mode="r", shape=self._shape)
        self._file.close()
        return array.view(np.ndarray)
