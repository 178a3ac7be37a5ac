"""The table of a result: read-only, and shown with as many digits as say something."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from bayesphot import storage

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["freeze_table"]


def freeze_table(table: QTable) -> QTable:
    """Return the table with read-only columns that share the memory of the given ones."""
    from astropy.table import QTable

    frozen = QTable(table, copy=False)
    frozen.meta = {**copy.deepcopy(dict(table.meta)), "schema_version": storage.SCHEMA_VERSION}
    for name in frozen.colnames:
        if isinstance(frozen[name], np.ma.MaskedArray):
            # A view would share its mask, which cannot be made read-only.
            frozen.replace_column(name, frozen[name].copy())
        if isinstance(frozen[name], np.ndarray):
            frozen[name].flags.writeable = False
            if frozen[name].dtype.kind == "f" and frozen[name].info.format is None:
                frozen[name].info.format = _choose_format(name)
    return frozen


def _choose_format(name: str) -> str:
    """Return how a column is shown; its values, and what is written, keep every digit."""
    if name in ("ra", "dec"):
        return ".7f"
    if name.startswith("ess_"):
        return ".0f"
    return ".4f" if name.startswith(("x_", "y_", "mag_", "r_hat")) else ".6g"
