"""Images of many groups, each in a cell of its own, as their fit believes them to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesphot.calibration.designs import Starts, place_cells
from bayesphot.calibration.pixel_noise import scatter_pixels
from bayesphot.calibration.setup import Setup
from bayesphot.calibration.truths import draw_places, draw_shapes, draw_sky
from bayesphot.priors import draw_prior
from bayesphot.psf import describe_psf, is_other, make_light
from bayesphot.starts import ALONE

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Simulation", "simulate_groups"]

#: Share of the reach of a PSF beyond which cells do not see each other: of a Gaussian's 8 sigma 6,
#: beyond which lies 1.5e-8 of its light. At most so many FWHM, for those with long wings.
SEEN = 0.75
FARTHEST = 10.0
#: Pixels of one image, at most: 0.8 GB.
MOST_PIXELS = 100_000_000


@dataclass(frozen=True, eq=False)
class Simulation:
    """One image and its truth.

    Parameters
    ----------
    image : ndarray, (ny, nx)
        Sources, sky and noise.
    starts : Starts
        In the image.
    truth : dict of str to ndarray, (n,)
        ``x``, ``y``, ``flux``, the name of the shape, ``background``, and where it is sampled
        ``inflation``: one value a source.
    """

    image: np.ndarray
    starts: Starts
    truth: dict[str, np.ndarray]

    def list_positions(self) -> Table:
        """Return the positions that the fit is given: starts and groups, nothing of the truth."""
        from astropy.table import Table

        return Table(
            {
                "x_0": self.starts.place[:, 0],
                "y_0": self.starts.place[:, 1],
                "group_id": self.starts.group + 1,
            }
        )


def simulate_groups(random: np.random.Generator, starts: Starts, setup: Setup) -> Simulation:
    """Draw truths from the priors and data from the likelihood.

    Parameters
    ----------
    random : Generator
        Where the randomness comes from.
    starts : Starts
        Groups, each about its middle.
    setup : Setup
        Priors, PSF and noise.

    Raises
    ------
    ValueError
        If no place lies inside the priors, counts would be negative, or groups are so wide that
        their image is too large.
    """
    shapes = draw_shapes(random, starts, setup)
    pitch = _choose_pitch(starts, shapes, setup)
    _check_size(starts, pitch)
    starts = starts.move(place_cells(random, starts.n_group, pitch))
    place = draw_places(random, starts, setup)
    flux = draw_prior(setup.flux, random, starts.group.size)
    sky = draw_sky(random, starts.n_group, setup)
    mean = _lay_cells(sky, pitch)
    _add_sources(mean, place, flux, shapes, setup.psf_model, reach=pitch)
    image = scatter_pixels(mean, setup.noise, setup.true_error, random)
    truth = {}
    if setup.is_inflated:
        factor = draw_prior(setup.noise.inflation, random, starts.n_group)
        image = mean + _lay_cells(factor, pitch) * (image - mean)
        truth["inflation"] = factor[starts.group]
    truth |= {
        "x": place[:, 0],
        "y": place[:, 1],
        "flux": flux,
        **shapes,
        "background": sky[starts.group],
    }
    return Simulation(image, starts, truth)


def _choose_pitch(starts: Starts, shapes: dict[str, np.ndarray], setup: Setup) -> int:
    """Return the side of a cell: the boxes of its group, and the light of the next one."""
    given = setup.settings.priors.radius
    radius = ALONE * setup.settings.psf.fwhm if given is None else given
    box = max(setup.settings.fit_shape)
    psf = describe_psf(setup.psf_model)
    columns = [psf.write_column(j, shapes[name]) for j, name in enumerate(psf.shape_names)]
    zero = np.zeros(starts.group.size)
    end = psf.find_end(np.stack([zero, zero, zero, *columns], axis=1))
    light = radius + min(SEEN * float(end.max()), FARTHEST * psf.fwhm)
    return int(np.ceil(2.0 * starts.extent + 0.5 * box + max(light, 0.5 * box) + 3.0))


def _check_size(starts: Starts, pitch: int) -> None:
    """Raise ValueError where an image of all cells would not fit into memory."""
    n_pixel = starts.n_group * pitch**2
    if n_pixel > MOST_PIXELS:
        raise ValueError(
            f"separation (or density and the group maker) must leave images of at most "
            f"{MOST_PIXELS} pixels, found {n_pixel}: {starts.n_group} groups up to "
            f"{2.0 * starts.extent:.0f} pixels wide, each in a cell of {pitch} x {pitch}"
        )


def _lay_cells(value: np.ndarray, pitch: int) -> np.ndarray:
    """Return an image of one value a cell; cells as in `place_cells`."""
    n_col = int(np.ceil(np.sqrt(value.size)))
    level = np.full((int(np.ceil(value.size / n_col)), n_col), value.mean())
    level.flat[: value.size] = value
    return np.repeat(np.repeat(level, pitch, axis=0), pitch, axis=1)


def _add_sources(image: np.ndarray, place, flux, shapes, psf_model, *, reach: int) -> None:
    """Add sources by the model's own ``evaluate``: nothing of the fits' kernels enters."""
    light = _render_other(psf_model) if is_other(psf_model) else _render_own(psf_model, shapes)
    ny, nx = image.shape
    for i, ((x, y), amount) in enumerate(zip(place, flux, strict=True)):
        columns = np.arange(max(int(x) - reach, 0), min(int(x) + reach + 1, nx))
        rows = np.arange(max(int(y) - reach, 0), min(int(y) + reach + 1, ny))
        here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        image[here] += light(i, *np.meshgrid(columns, rows), x, y, amount)


def _render_own(psf_model, shapes: dict[str, np.ndarray]) -> Callable:
    """Return a function (i, x, y, x_0, y_0, flux) -> light of source i, its shapes given."""
    psf = describe_psf(psf_model)
    names = psf_model.param_names
    # A model may know the same shape by another number (a FWHM for a sigma).
    own_names = [name for name in names if name not in ("flux", "x_0", "y_0")]
    units = [
        float(getattr(psf_model, own).value) / start if start else 1.0
        for own, start in zip(own_names, psf.shape_start, strict=True)
    ]
    own_shapes = {
        own: shapes[name] * unit
        for own, name, unit in zip(own_names, psf.shape_names, units, strict=True)
    }

    def light(i: int, x, y, x_0: float, y_0: float, flux: float) -> np.ndarray:
        own = {"flux": flux, "x_0": x_0, "y_0": y_0} | {k: v[i] for k, v in own_shapes.items()}
        return psf_model.evaluate(x, y, *(own[name] for name in names))

    return light


def _render_other(psf_model) -> Callable:
    """Return the same function of a model of fixed shape that is none of this package's."""
    unit = make_light(psf_model)

    def light(i: int, x, y, x_0: float, y_0: float, flux: float) -> np.ndarray:
        return flux * unit(x, y, x_0, y_0)

    return light
