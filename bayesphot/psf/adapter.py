"""Any astropy model of fixed shape as a PSF: tabulated once, then as fast as an image."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from bayesphot.psf.model import PSFConfig
from bayesphot.psf.sampled import GriddedPSF, describe_images, read_images, read_oversampling

__all__ = [
    "describe_other",
    "describe_values",
    "find_roles",
    "is_sampled",
    "list_free",
    "make_light",
    "tabulate",
]

#: What a parameter is called, in simple models and with a number in compound ones.
_ROLES = {
    "flux": re.compile(r"(flux|amplitude)(_\d+)?"),
    "x_0": re.compile(r"(x_0|x_mean)(_\d+)?"),
    "y_0": re.compile(r"(y_0|y_mean)(_\d+)?"),
}
#: Tables are made finer until the spline between their points is this share of the peak off.
EXACT = 1e-5
FINEST = 16
#: A table reaches to where the model is under this share of its peak, at most so far, in pixels.
FAINTEST = 1e-6
FARTHEST = 60
LEAST_HALF = 8


def describe_other(model) -> PSFConfig:
    """
    Return what the fits need of a model that is none of this package's.

    Its value at a pixel is what the model's own ``evaluate`` gives there. A model with a ``flux``
    keeps its normalisation; one with an ``amplitude``, or of several components, is brought to a
    total of 1, so that its fluxes are total fluxes.

    Parameters
    ----------
    model : astropy model
        photutils' ``ImagePSF`` and ``GriddedPSFModel`` by their data; any other two-dimensional
        model, compound ones too, by its values.

    Raises
    ------
    TypeError
        If it has no position, or takes not two inputs.
    ValueError
        If a parameter beside flux and position is free, components have not one centre, or values
        are not finite or of no positive total.
    """
    if _is_grid(model):
        return _describe_grid(model)
    if _is_image(model):
        return _describe_image(model)
    return describe_values(model)


def make_light(model) -> Callable:
    """Return a function (x, y, x_0, y_0) -> light of a source of unit flux, as `describe_other`.

    By the model's own ``evaluate``; x and y are arrays of one shape.
    """
    roles = find_roles(model)
    unit = model.copy()
    scale = 1.0
    if roles["flux"] == ["flux"]:
        unit.flux = 1.0
    else:
        scale = _find_scale(roles, *_tabulate_model(model, roles))

    def light(x, y, x_0: float, y_0: float) -> np.ndarray:
        for role, value in (("x_0", x_0), ("y_0", y_0)):
            for name in roles[role]:
                setattr(unit, name, value)
        found = unit(x, y)
        return np.asarray(getattr(found, "value", found), dtype=float) / scale

    return light


def _is_grid(model) -> bool:
    """Return whether a model is photutils' grid of images."""
    return hasattr(model, "grid_xypos") and hasattr(model, "data")


def _is_image(model) -> bool:
    """Return whether a model is photutils' image."""
    return all(hasattr(model, name) for name in ("oversampling", "data", "origin"))


def find_roles(model) -> dict[str, list[str]]:
    """Return the names of flux, x and y among the parameters; TypeError without a position."""
    names = () if isinstance(model, type) else tuple(getattr(model, "param_names", ()))
    roles = {
        role: [name for name in names if pattern.fullmatch(name)]
        for role, pattern in _ROLES.items()
    }
    if getattr(model, "n_inputs", 0) != 2 or not roles["x_0"] or not roles["y_0"]:
        raise TypeError(
            "psf_model must be a PSF model such as IntegratedGaussianPRF, or a model of x and y "
            "with parameters for its centre, x_0 and y_0 (or x_mean, y_mean), found "
            f"{type(model).__name__} with parameters {', '.join(names) or 'none'}"
        )
    return roles


def is_sampled(model) -> bool:
    """Return whether a model is one of photutils' that have images."""
    return _is_grid(model) or _is_image(model)


def list_free(model, roles: dict[str, list[str]]) -> tuple[str, ...]:
    """Return the names of the free shapes of a model."""
    known = [name for names in roles.values() for name in names]
    return tuple(
        name
        for name in model.param_names
        if name not in known and not model.fixed[name] and not model.tied[name]
    )


def _read_fixed(model, roles: dict[str, list[str]]) -> dict[str, bool]:
    """Return what is held fixed; ValueError where a shape is free."""
    for name in list_free(model, roles):
        raise ValueError(
            f"psf_model.{name} of {type(model).__name__} is free: it can be fitted by a photometry "
            "with shape='image' alone; elsewhere only this package's own PSF models can be free in "
            "their shape (GaussianPRF, MoffatPRF, AiryDiskPRF, ImagePSF); set "
            f"psf_model.{name}.fixed = True"
        )
    return {
        role: bool(names) and all(model.fixed[name] for name in names)
        for role, names in roles.items()
    } | {"width": True}


def _describe_image(model) -> PSFConfig:
    """Return photutils' image with its oversampling and origin (x, y)."""
    image = read_images("psf_model.data", model.data, 2)
    zero = np.zeros(1)
    origin = float(model.origin[0]), float(model.origin[1])
    fixed = _read_fixed(model, find_roles(model))
    step = read_oversampling(model.oversampling)
    return describe_images(image[None, None], step, origin, (zero, zero), fixed)


def _describe_grid(model) -> PSFConfig:
    """Return photutils' grid of images."""
    grid = GriddedPSF(model.data, model.grid_xypos, oversampling=model.oversampling)
    fixed = _read_fixed(model, find_roles(model))
    for name in ("flux", "x_0", "y_0"):
        grid.fixed[name] = fixed[name]
    return grid.describe()


def describe_values(model) -> PSFConfig:
    """Return a model as a table of its own values about its centre."""
    fixed = _read_fixed(model, find_roles(model))
    step, image = tabulate(model)
    middle, zero = 0.5 * (len(image) - 1), np.zeros(1)
    return describe_images(image[None, None], (step, step), (middle, middle), (zero, zero), fixed)


def tabulate(model, *, like: tuple[int, int] | None = None) -> tuple[int, np.ndarray]:
    """Return (values to a pixel, table) of a model about its centre, at unit flux.

    As fine and as wide as the model asks for, or, ``like`` another table, of so many values to a
    pixel and values along a side. A model that has no flux is brought to a total of 1.
    """
    roles = find_roles(model)
    step, image = _tabulate_model(model, roles, like)
    return step, image / _find_scale(roles, step, image)


def _find_scale(roles: dict[str, list[str]], step: int, image: np.ndarray) -> float:
    """Return what a model's table is divided by: its total, unless it has a flux."""
    return 1.0 if roles["flux"] == ["flux"] else float(image.sum()) / step**2


def _tabulate_model(
    model, roles: dict[str, list[str]], like: tuple[int, int] | None = None
) -> tuple[int, np.ndarray]:
    """Return (values to a pixel, table) of a model about its centre, at flux 1 if it has one."""
    centre = {}
    for role in ("x_0", "y_0"):
        values = {float(np.ravel(getattr(model, name).value)[0]) for name in roles[role]}
        if len(values) != 1:
            raise ValueError(
                "the components of psf_model must have one centre, "
                f"found {role} of {sorted(values)}"
            )
        centre[role] = values.pop()
    unit = model.copy()
    if roles["flux"] == ["flux"]:
        unit.flux = 1.0

    def evaluate(dx, dy) -> np.ndarray:
        with np.errstate(all="ignore"):
            value = unit(centre["x_0"] + dx, centre["y_0"] + dy)
        return np.asarray(getattr(value, "value", value), dtype=float)

    if like is None:
        step, image = _tabulate(evaluate, _find_half(evaluate))
    else:
        step, side = like
        image = _fill_table(evaluate, step, side // (2 * step))
    return step, read_images(f"the values of {type(model).__name__}", image, 2)


def _fill_table(evaluate, step: int, half: int) -> np.ndarray:
    """Return the values out to so many whole pixels, so many to one."""
    side = np.arange(-half * step, half * step + 1) / step
    grid = np.meshgrid(side, side)
    return evaluate(grid[0], grid[1])


def _find_half(evaluate) -> int:
    """Return how far, in whole pixels, a profile is to be followed."""
    line = np.arange(FARTHEST + 1.0)
    zero = np.zeros_like(line)
    sides = [
        evaluate(line, zero),
        evaluate(-line, zero),
        evaluate(zero, line),
        evaluate(zero, -line),
    ]
    light = np.max(np.abs(np.nan_to_num(sides)), axis=0)
    bright = np.flatnonzero(light > FAINTEST * light.max())
    return int(np.clip(np.max(bright, initial=0) + 1, LEAST_HALF, FARTHEST))


def _tabulate(evaluate, half: int) -> tuple[int, np.ndarray]:
    """Return (values to a pixel, table), fine enough for the spline between them."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    dx, dy = rng.uniform(-4.0, 4.0, (2, 400))
    expected = evaluate(dx, dy)
    step = 2
    while True:
        image = _fill_table(evaluate, step, half)
        places = (dy * step + half * step, dx * step + half * step)
        off = np.abs(map_coordinates(image, places, order=3) - expected)
        if step >= FINEST or not off.max() > EXACT * np.abs(image).max():
            return step, image
        step *= 2
