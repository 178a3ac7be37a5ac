"""A result as a folder of three files: catalog.ecsv, posterior.nc and images.fits.

Values, units, masks and bits survive. A folder becomes a readable result in one step: by the
rename of a finished sibling, or, in a folder that exists already, when the catalogue arrives.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np

if TYPE_CHECKING:
    import xarray
    from astropy.table import QTable

__all__ = ["SCHEMA_VERSION", "StoredResult", "make_plain", "read_folder", "write_folder"]

#: Version of the files' layout, in every file; a reader refuses what is newer than itself.
SCHEMA_VERSION = 1

CATALOG, POSTERIOR, IMAGES = "catalog.ecsv", "posterior.nc", "images.fits"
#: Key of the catalogue's metadata for what ECSV itself does not keep of a column.
COLUMN_TYPES = "column_types"
#: Keywords of the images.
VERSION_KEY, UNIT_KEY = "SCHEMA_VERSION", "BPUNIT"


class StoredResult(NamedTuple):
    """What the folder holds."""

    table: QTable
    tree: xarray.DataTree
    images: dict[str, np.ndarray]
    meta: dict


def make_plain(value: Any) -> Any:
    """Return the value in types that JSON gives back unchanged: the form of ``result.meta``.

    Examples
    --------
    >>> from bayesphot.storage import make_plain
    >>> make_plain({"fitshape": (11, 11), "sampler": None})
    {'fitshape': [11, 11], 'sampler': None}
    """
    if isinstance(value, Mapping):
        return {str(key): make_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [make_plain(item) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return make_plain(value.item())
    if type(value) is np.ndarray:
        return make_plain(value.tolist())
    return str(value)


def write_folder(folder: str | Path, content: StoredResult, *, overwrite: bool = False) -> Path:
    """Write the three files so that a run that dies leaves no half-written result.

    ``content.meta`` in the form of `make_plain`; the rest, errors too, as of
    `bayesphot.PhotometryResult.write`.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"folder must be a directory, found a file: {target}")
    existed = target.is_dir()
    if existed and not overwrite and any(target.iterdir()):
        raise FileExistsError(f"folder is not empty: {target} (overwrite=True replaces the result)")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder that exists may be a mount point or the working directory: it stays, and takes
    # the finished files from a folder inside it.
    partial = (target if existed else target.parent) / f".{target.name}.{uuid4().hex[:8]}.partial"
    try:
        partial.mkdir()
        _write_posterior(partial / POSTERIOR, content)
        _write_images(partial / IMAGES, content.images)
        _write_catalog(partial / CATALOG, content.table)
        if existed:
            _move_files(partial, target)
        else:
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Path(folder)


def read_folder(folder: str | Path) -> StoredResult:
    """Read what `write_folder` wrote.

    Parameters
    ----------
    folder : str or Path
        A folder with the three files.

    Returns
    -------
    StoredResult
        Everything in memory; no file stays open.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a file is missing, cannot be read, was not written by this package or has a newer
        layout.
    """
    source = Path(folder).expanduser()
    if not source.is_dir():
        raise FileNotFoundError(f"folder does not exist: {source}")
    missing = [name for name in (CATALOG, POSTERIOR, IMAGES) if not (source / name).is_file()]
    if missing:
        raise ValueError(f"folder holds no complete result: {source} has no {', '.join(missing)}")
    table = _read_file(source / CATALOG, _read_catalog)
    tree = _read_file(source / POSTERIOR, _read_posterior)
    images = _read_file(source / IMAGES, _read_images)
    with _name_file(source / POSTERIOR):
        meta = json.loads(tree.attrs["meta"])
    return StoredResult(table, tree, images, meta)


def _move_files(partial: Path, target: Path) -> None:
    """Replace the files of an older result; between first and last step there is no catalogue."""
    (target / CATALOG).unlink(missing_ok=True)
    for name in (POSTERIOR, IMAGES, CATALOG):
        (partial / name).replace(target / name)


@contextmanager
def _name_file(path: Path):
    """Turn whatever a file's content makes its reader raise into a ValueError that names it."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} is not a readable file of a result: {error}") from error


def _read_file(path: Path, read: Callable[[Path], Any]) -> Any:
    """Read one file of a result."""
    with _name_file(path):
        return read(path)


def _check_version(version: Any) -> None:
    """Refuse files without our version, or with one from the future."""
    if isinstance(version, (bool, np.bool_)) or not isinstance(version, (int, np.integer)):
        raise ValueError(f"schema_version must be an integer, found {version!r}")
    if not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(
            f"schema_version {version} is not known here, the newest known is {SCHEMA_VERSION}"
        )


def _write_catalog(path: Path, table: QTable) -> None:
    """Write the table, with what ECSV forgets in its metadata."""
    from astropy.table import QTable

    copied = QTable(table, copy=False)
    copied.meta = {
        **table.meta,
        "schema_version": SCHEMA_VERSION,
        COLUMN_TYPES: _describe_columns(table),
    }
    copied.write(path, format="ascii.ecsv")


def _describe_columns(table: QTable) -> dict[str, dict]:
    """Return width, maskedness and masked rows of the columns where ECSV does not keep them.

    Read back, an empty text is masked, a column of texts is as wide as its longest value, and a
    masked column without masked values is a plain one.
    """
    types: dict[str, dict] = {}
    for name in table.colnames:
        column = table[name]
        masked = hasattr(column, "mask")
        kind = getattr(column, "dtype", None)
        if kind is not None and kind.kind in "SU":
            rows = np.flatnonzero(column.mask).tolist() if masked else []
            types[name] = {"dtype": kind.str, "masked": masked, "masked_rows": rows}
        elif masked:
            types[name] = {"masked": True}
    return types


def _read_catalog(path: Path) -> QTable:
    """Read the table and give its columns their types back."""
    from astropy.table import QTable

    table = QTable.read(path, format="ascii.ecsv")
    _check_version(table.meta.get("schema_version"))
    for name, description in table.meta.pop(COLUMN_TYPES, {}).items():
        table.replace_column(name, _restore_column(table[name], **description))
    return table


def _restore_column(
    column, *, masked: bool, dtype: str | None = None, masked_rows: Sequence[int] = ()
):
    """Undo what ECSV does to texts and to masked columns."""
    from astropy.table import Column, MaskedColumn
    from astropy.units import Quantity
    from astropy.utils.masked import Masked

    if isinstance(column, Quantity):
        return Masked(column) if masked and not hasattr(column, "mask") else column
    if not isinstance(column, Column):
        return column
    if dtype is None:
        return MaskedColumn(column)
    texts = Column(column.filled("") if hasattr(column, "mask") else column, dtype=dtype)
    if not masked:
        return texts
    return MaskedColumn(texts, mask=np.isin(np.arange(len(texts)), masked_rows))


def _write_posterior(path: Path, content: StoredResult) -> None:
    """Write the tree, every value as it is (xarray would rewrite NaN as a fill value)."""
    tree = content.tree.copy(deep=False)
    tree.attrs["schema_version"] = SCHEMA_VERSION
    tree.attrs["meta"] = json.dumps(content.meta)
    encoding = {
        node.path: {str(name): {"_FillValue": None} for name in node.dataset.data_vars}
        for node in tree.leaves
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _read_posterior(path: Path) -> xarray.DataTree:
    """Read the whole tree into memory."""
    import xarray

    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        loaded = tree.load()
    _check_version(loaded.attrs.get("schema_version"))
    return loaded


def _write_images(path: Path, images: Mapping[str, np.ndarray]) -> None:
    """Write each image as an extension of its name, in float64."""
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    primary.header[f"HIERARCH {VERSION_KEY}"] = SCHEMA_VERSION
    extensions = fits.HDUList([primary])
    for name, image in images.items():
        extension = fits.ImageHDU(np.asarray(image, dtype=np.float64), name=name)
        unit = getattr(image, "unit", None)
        if unit is not None:
            # BUNIT is for other programs; FITS cannot spell every unit, so ours is a second key.
            extension.header["BUNIT"] = unit.to_string()
            extension.header[UNIT_KEY] = (unit.to_string(), "unit as astropy spells it")
        extensions.append(extension)
    extensions.writeto(path)


def _read_images(path: Path) -> dict[str, np.ndarray]:
    """Read the images in the machine's byte order, as quantities where they have a unit."""
    from astropy.io import fits
    from astropy.units import Quantity

    images = {}
    with fits.open(path, memmap=False) as extensions:
        _check_version(extensions[0].header.get(VERSION_KEY))
        for extension in extensions[1:]:
            image = extension.data.astype(np.float64)
            unit = extension.header.get(UNIT_KEY)
            name = extension.name.lower()
            images[name] = image if unit is None else Quantity(image, unit, copy=False)
    return images
