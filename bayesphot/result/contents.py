"""What a result holds: the table, the joint posterior, the images and how they came about."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayesphot import arviz_bridge, storage
from bayesphot.draws import CI_PROB, Draws, view_readonly

from .freeze import freeze_table

if TYPE_CHECKING:
    import xarray
    from astropy.table import QTable

__all__ = ["IMAGE_NAMES", "Contents"]

IMAGE_NAMES = ("image", "noise_image", "model_image", "residual_image", "background_image")
#: Rows of the table shown in a notebook.
HTML_ROWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Contents:
    """All that a result holds, its parts as they are kept, written and read.

    See `bayesphot.PhotometryResult`.
    """

    table: QTable
    draws: Draws | None
    model_image: np.ndarray
    residual_image: np.ndarray
    background_image: np.ndarray
    image: np.ndarray
    noise_image: np.ndarray | None = None
    meta: dict = field(default_factory=dict)
    _lock: threading.Lock = field(init=False)
    _posterior: xarray.Dataset | None = field(init=False)

    def __post_init__(self) -> None:
        for name in IMAGE_NAMES:
            if (array := getattr(self, name)) is not None:
                frozen = view_readonly(np.asanyarray(array, dtype=np.float64))
                object.__setattr__(self, name, frozen)
        object.__setattr__(self, "table", freeze_table(self.table))
        object.__setattr__(self, "meta", storage.make_plain(self.meta))
        self._check()
        self._reset_cache()

    def _check(self) -> None:
        """Raise ValueError where the parts contradict each other."""
        for name in IMAGE_NAMES:
            array = getattr(self, name)
            if array is not None and array.shape != self.image.shape:
                raise ValueError(
                    f"{name} must have the shape of image {self.image.shape}, found {array.shape}"
                )
        for name in ("id", "group_id"):
            if name not in self.table.colnames:
                raise ValueError(f"table must have the column {name!r}")
        ids, counts = np.unique(self.table["id"], return_counts=True)
        if np.any(counts > 1):
            raise ValueError(f"table must have unique ids, found {ids[counts > 1][0]} twice")
        if self.draws is not None and not np.array_equal(self.draws.source_id, self.table["id"]):
            raise ValueError("draws must have the sources of the table in the order of its rows")

    def _reset_cache(self) -> None:
        """Forget the labelled posterior."""
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_posterior", None)

    def __getstate__(self) -> dict:
        # A lock cannot be pickled, and the labelled posterior would double the draws.
        return {part.name: getattr(self, part.name) for part in fields(self) if part.init}

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, item):
        return self.table[item]

    @property
    def colnames(self) -> list[str]:
        """Names of the table's columns."""
        return self.table.colnames

    @property
    def posterior(self) -> xarray.Dataset:
        """The draws with labels, built at the first use.

        ``x, y, flux`` and shape parameters have the dimensions (chain, draw, source) with the
        ids as ``source``, ``background`` has (chain, draw, group). Without draws there are no
        variables.
        """
        with self._lock:
            if self._posterior is None:
                posterior = arviz_bridge.build_posterior(
                    self.draws,
                    source_id=np.asarray(self.table["id"]),
                    group_id=self._group_ids(),
                    units=self.units,
                )
                posterior.attrs["schema_version"] = storage.SCHEMA_VERSION
                object.__setattr__(self, "_posterior", posterior)
            return self._posterior

    @property
    def units(self) -> dict[str, str]:
        """Units of the parameters that have one, as text."""
        units = {}
        for name in self.table.colnames:
            unit = getattr(self.table[name], "unit", None)
            if name.endswith("_fit") and unit is not None:
                units[name.removesuffix("_fit")] = unit.to_string()
        if units.get("background"):
            # The slopes of a plane are levels per pixel.
            slope = f"{units['background']} / pix"
            units |= {"background_dx": slope, "background_dy": slope}
        return units

    @property
    def ci_prob(self) -> float:
        """Probability of the central intervals."""
        arguments = self.meta.get("arguments")
        places = (self.meta, arguments if isinstance(arguments, Mapping) else {})
        found = [place["ci_prob"] for place in places if "ci_prob" in place]
        return float(found[0]) if found else CI_PROB

    def to_arviz(self):
        """Return posterior, sampler statistics and image as the installed ArviZ takes them.

        Returns
        -------
        xarray.DataTree or arviz.InferenceData
            For ArviZ 1.0 and later, or before. Groups ``posterior``, ``sample_stats`` (one value
            for each group), ``constant_data`` (``group_id`` of each source), ``observed_data``.

        Raises
        ------
        ValueError
            If the result has no draws.

        Examples
        --------
        >>> import arviz as az
        >>> len(az.summary(result.to_arviz(), var_names=["flux"]))
        2
        """
        self.require_draws("to_arviz")
        unit = getattr(self.image, "unit", None)
        tree = self._build_tree(
            image=np.asarray(self.image), image_unit=None if unit is None else unit.to_string()
        )
        return arviz_bridge.convert_tree(tree)

    def write(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write catalog.ecsv, posterior.nc and images.fits.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. A run that dies leaves no half-written result.
        overwrite : bool
            Whether to replace a result; other files in the folder stay.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        FileExistsError
            If the folder is not empty and `overwrite` is False, or is a file.

        Examples
        --------
        >>> sorted(path.name for path in result.write("m92").iterdir())
        ['catalog.ecsv', 'images.fits', 'posterior.nc']
        """
        images = {name.removesuffix("_image"): getattr(self, name) for name in IMAGE_NAMES}
        kept = {name: image for name, image in images.items() if image is not None}
        content = storage.StoredResult(self.table, self._build_tree(), kept, self.meta)
        return storage.write_folder(folder, content, overwrite=overwrite)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a written result; the round trip is exact.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it holds no readable result of this package.

        Examples
        --------
        >>> again = bp.PhotometryResult.read(result.write("m92"))
        >>> bool((again["flux_fit"] == result["flux_fit"]).all())
        True
        """
        table, tree, images, meta = storage.read_folder(folder)
        try:
            parts: dict[str, Any] = {
                name: images.get(name.removesuffix("_image")) for name in IMAGE_NAMES
            }
            return cls(table, arviz_bridge.read_draws(tree), meta=meta, **parts)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"files in {folder} do not make one result: {error}") from error

    def require_draws(self, asker: str) -> Draws:
        """Return the draws, or raise a ValueError that says what needs them.

        Parameters
        ----------
        asker : str
            What needs them.

        Raises
        ------
        ValueError
            If the run did not sample, or did not keep its draws.

        Examples
        --------
        >>> result.require_draws("a picture of chains").source["flux"].shape
        (4, 500, 2)
        """
        if self.draws is None:
            raise ValueError(
                f"{asker} needs posterior draws and this result has none: "
                "the run did not sample (sampler=False) or did not keep them"
            )
        return self.draws

    def _group_ids(self) -> np.ndarray:
        """Return the ids of the groups; rows that were not measured may belong to none."""
        if self.draws is not None:
            return self.draws.group_id
        groups = np.unique(np.asarray(self.table["group_id"]))
        return groups[groups >= 0]

    def _build_tree(self, **observed) -> xarray.DataTree:
        """Return the tree of everything labelled."""
        return arviz_bridge.build_tree(
            self.posterior,
            source_group=self.draws.source_group if self.draws else self.table["group_id"],
            stats=self.draws.stats if self.draws else None,
            attrs={"schema_version": storage.SCHEMA_VERSION},
            **observed,
        )

    def _describe(self) -> str:
        """Return the numbers of sources, groups, flagged rows and draws in a line."""
        n_groups = self._group_ids().size
        text = (
            f"{len(self)} source{'s' * (len(self) != 1)} in {n_groups} group{'s' * (n_groups != 1)}"
        )
        if "flags" in self.colnames:
            text += f", {np.count_nonzero(self.table['flags'])} flagged"
        if self.draws is None:
            return f"{text}; no draws"
        text += f"; {self.draws.n_chains} chains x {self.draws.n_draws} draws"
        if "engine" in self.colnames:
            engines = sorted({str(engine) for engine in self.table["engine"]} - {"", "none"})
            text += f" ({', '.join(engines)})" if engines else ""
        return text

    def __repr__(self) -> str:
        return f"<PhotometryResult: {self._describe()}>"

    def _repr_html_(self) -> str:
        lines = self.table.pformat(max_lines=HTML_ROWS + 4, max_width=-1, html=True)
        return (
            f"<p><b>PhotometryResult</b>: {self._describe()}</p>"
            f'<div style="overflow-x:auto">{"".join(lines)}</div>'
        )
