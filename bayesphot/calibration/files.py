"""A calibration as files: table, picture, summary."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesphot.calibration.result import CalibrationResult

__all__ = ["FILES", "write_calibration"]

#: Table, picture and summary.
FILES = ("calibration.ecsv", "calibration.png", "calibration.txt")


def write_calibration(
    result: CalibrationResult, folder: str | Path, *, overwrite: bool = False
) -> Path:
    """Write a calibration; see `CalibrationResult.write`."""
    target = Path(folder).expanduser()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"folder must be a directory, found a file: {target}")
    if target.is_dir() and not overwrite and any(target.iterdir()):
        raise FileExistsError(f"folder is not empty: {target} (overwrite=True replaces the result)")
    target.mkdir(parents=True, exist_ok=True)
    # Everything is made before anything is put into place.
    with TemporaryDirectory(dir=target, prefix=".calibration") as partial:
        table, picture, text = (Path(partial, name) for name in FILES)
        result.table.write(table, format="ascii.ecsv")
        result.plot(path=picture)
        text.write_text(f"{result.summary()}\n")
        for path in (table, picture, text):
            path.replace(target / path.name)
    return Path(folder)
