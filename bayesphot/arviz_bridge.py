"""Draws as labelled xarray objects, and those as what the installed ArviZ works on.

The package keeps one form of its own on every ArviZ: an `xarray.DataTree`. Only `convert_tree`
knows that ArviZ before 1.0 wants an ``InferenceData`` instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .draws import Draws

if TYPE_CHECKING:
    import xarray

__all__ = ["build_posterior", "build_tree", "convert_tree", "read_draws"]


def build_posterior(
    draws: Draws | None,
    *,
    source_id: np.ndarray,
    group_id: np.ndarray,
    units: Mapping[str, str] | None = None,
) -> xarray.Dataset:
    """Label the draws: the Dataset behind ``result.posterior``.

    Parameters
    ----------
    draws : Draws or None
        None makes a Dataset without variables and without chains or draws.
    source_id, group_id : ndarray of int
        Coordinates of the dimensions ``source`` and ``group``.
    units : mapping of str to str, optional
        Units of the variables that have one, written to their attributes.

    Returns
    -------
    xarray.Dataset
        Variables with dimensions (chain, draw, source) and (chain, draw, group); they share the
        memory of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesphot.arviz_bridge import build_posterior
    >>> dict(build_posterior(None, source_id=np.arange(3), group_id=np.arange(2)).sizes)
    {'chain': 0, 'draw': 0, 'source': 3, 'group': 2}
    """
    import xarray

    # No further coordinate lies along "source" (the group of each source, say): the summary of
    # ArviZ 1.3 refuses variables that do not all have it.
    coords = {
        "chain": np.arange(draws.n_chains if draws else 0),
        "draw": np.arange(draws.n_draws if draws else 0),
        "source": np.array(source_id),
        "group": np.array(group_id),
    }
    variables = {}
    if draws is not None:
        for dimension, arrays in (("source", draws.source), ("group", draws.group)):
            for name, array in arrays.items():
                dims = ("chain", "draw", dimension, "image")[: array.ndim]
                attrs = {"units": units[name]} if units and name in units else {}
                variables[name] = (dims, array, attrs)
    settings = {"inference_library": "bayesphot", "sampled": int(draws is not None)}
    return xarray.Dataset(variables, coords, settings)


def build_tree(
    posterior: xarray.Dataset,
    *,
    source_group: np.ndarray,
    stats: Mapping[str, np.ndarray] | None = None,
    image: np.ndarray | None = None,
    image_unit: str | None = None,
    attrs: Mapping[str, str | int] | None = None,
) -> xarray.DataTree:
    """Gather posterior, sampler statistics and observed data in one tree of ArviZ's groups.

    Parameters
    ----------
    posterior : xarray.Dataset
        From `build_posterior`.
    source_group : ndarray of int, (source,)
        Group of each source, kept in the tree's ``constant_data``.
    stats : mapping of str to ndarray, (group,), optional
        Kept in ``sample_stats``, one value for each group rather than for each draw.
    image : ndarray, (y, x), optional
        The data that were fitted, kept in ``observed_data``.
    image_unit : str, optional
        Written to the attributes of the image.
    attrs : mapping, optional
        Attributes of every group; only str and numbers, as NetCDF takes nothing else.

    Returns
    -------
    xarray.DataTree
        The arrays are shared with the arguments.
    """
    import xarray

    groups = {
        "posterior": posterior.copy(deep=False),
        "sample_stats": xarray.Dataset(
            {name: ("group", values) for name, values in (stats or {}).items()},
            {"group": posterior["group"].values},
        ),
        "constant_data": xarray.Dataset(
            {"group_id": ("source", np.asarray(source_group))},
            {"source": posterior["source"].values},
        ),
    }
    if image is not None:
        unit = {"units": image_unit} if image_unit else {}
        groups["observed_data"] = xarray.Dataset({"image": (("y", "x"), image, unit)})
    for dataset in groups.values():
        dataset.attrs.update(attrs or {})
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attrs), **groups})


def read_draws(tree: xarray.DataTree) -> Draws | None:
    """Return the draws in a tree made by `build_tree`, or None where nothing was sampled.

    Raises
    ------
    KeyError
        If the tree is not one of ours.
    ValueError
        If its shapes contradict each other.
    """
    posterior = tree["posterior"].dataset
    if not posterior.attrs["sampled"]:
        return None
    arrays = {
        dimension: {
            str(name): variable.values
            for name, variable in posterior.data_vars.items()
            if dimension in variable.dims
        }
        for dimension in ("source", "group")
    }
    stats = tree["sample_stats"].dataset.data_vars
    return Draws(
        source=arrays["source"],
        group=arrays["group"],
        source_id=posterior["source"].values,
        source_group=tree["constant_data"]["group_id"].values,
        group_id=posterior["group"].values,
        stats={str(name): variable.values for name, variable in stats.items()},
    )


def convert_tree(tree: xarray.DataTree):
    """Return the tree in the form of the installed ArviZ.

    Parameters
    ----------
    tree : xarray.DataTree
        From `build_tree`.

    Returns
    -------
    xarray.DataTree or arviz.InferenceData
        The tree itself on ArviZ 1.0 and later, an ``InferenceData`` before.
    """
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its own reorganisation once a day when it is imported.
        warnings.simplefilter("ignore", FutureWarning)
        import arviz

    if hasattr(arviz, "convert_to_datatree"):
        return tree
    return arviz.InferenceData.from_datatree(tree)
