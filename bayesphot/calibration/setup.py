"""The set-up of a calibration: the user's photometry, with every prior proper and known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bayesphot.background import read_estimator
from bayesphot.checks import check_number
from bayesphot.config import BasicPSFPhotometry
from bayesphot.priors import SHAPE_WIDTH, LogNormal, Normal, Prior, can_draw
from bayesphot.psf import PSFConfig, describe_psf
from bayesphot.settings import ModelSettings

__all__ = ["DefaultShape", "Setup", "read_setup"]


@dataclass(frozen=True, eq=False)
class DefaultShape:
    """The default prior of shape j of a PSF: normal in the state's column about the start."""

    psf: PSFConfig
    j: int

    def draw(self, random: np.random.Generator, size: int) -> np.ndarray:
        """Return draws, (size,)."""
        column = self.psf.columns_start[self.j] + SHAPE_WIDTH * random.standard_normal(size)
        return self.psf.read_column(self.j, column)


@dataclass(frozen=True, eq=False)
class Setup:
    """What is simulated, and what fits it.

    Parameters
    ----------
    phot : BasicPSFPhotometry
        The fit: one pass over given positions and groups.
    settings : ModelSettings
        Its model.
    flux : distribution
        Prior of every flux.
    sky : distribution or float
        Prior of the level of each group; a number: known, and not fitted.
    shapes : dict of str to distribution or float
        Laws of the shapes of the data's PSF; a number: one value.
    shape_is_own : bool
        Whether each source has shapes of its own, not each group.
    psf_model : astropy model
        The data's PSF.
    noise : noise model or None
        How the data scatter.
    error, true_error : float or None
        Scale of the noise that the fit is told, and that the data have.
    """

    phot: BasicPSFPhotometry
    settings: ModelSettings
    flux: Any
    sky: Any
    shapes: dict[str, Any]
    shape_is_own: bool
    psf_model: Any
    noise: Any
    error: float | None
    true_error: float | None

    @property
    def has_sky(self) -> bool:
        """Whether the sky is fitted."""
        return not isinstance(self.sky, float)

    @property
    def is_inflated(self) -> bool:
        """Whether a factor on the noise is sampled, and drawn."""
        return self.phot.noise is not None and self.phot.noise.inflation is not None


def read_setup(
    phot: Any, *, flux: Any, background: Any, error: Any, truth: Any, true_error: Any
) -> Setup:
    """Return the set-up of the arguments of `bayesphot.calibrate`, which raises what this does."""
    _check_photometry("phot", phot)
    if truth is not None:
        _check_photometry("truth", truth)
    _check_model(phot)
    _check_inflation(phot, truth)
    source = phot if truth is None else truth
    flux = _read_flux(phot, flux)
    sky = _read_sky(phot, background)
    _check_drawable(phot)
    error, true_error = _read_errors(phot, source, error, true_error)
    # Truths and fits have as many sources as they are told: odds of sources do not enter.
    priors = {k: v for k, v in (phot.priors or {}).items() if k != "scene"} | {"flux": flux}
    if not isinstance(sky, float):
        priors["background"] = sky
    given = {
        item.name: getattr(phot, item.name) for item in fields(BasicPSFPhotometry) if item.init
    }
    fit = BasicPSFPhotometry(
        **given
        | {
            "finder": None,
            "group_maker": None,
            "bkg_estimator": sky if isinstance(sky, float) else _find_middle(sky),
            "fit_background": False if isinstance(sky, float) else "prior",
            "priors": priors,
            "sampler": replace(phot.sampler, keep="all"),
            "zero_point": None,
            "progress_bar": False,
        }
    )
    return Setup(
        phot=fit,
        settings=fit._make_settings(),
        flux=flux,
        sky=sky,
        shapes=_read_shapes(source),
        shape_is_own=source.shape == "source",
        psf_model=source.psf_model,
        noise=source.noise,
        error=error,
        true_error=true_error,
    )


def _check_photometry(name: str, value: Any) -> None:
    """Raise TypeError for what is no photometry."""
    if not isinstance(value, BasicPSFPhotometry):
        found = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
        raise TypeError(
            f"{name} must be a photometry object such as BasicPSFPhotometry(...), found {found}"
        )


def _check_model(phot: BasicPSFPhotometry) -> None:
    """Raise ValueError for what a calibration cannot be made of."""
    psf = describe_psf(phot.psf_model)
    if phot.sampler is False:
        raise ValueError("phot.sampler must not be False: a calibration needs posterior draws")
    if psf.fixed["flux"]:
        raise ValueError("phot.psf_model.flux must be free: its posterior is what is calibrated")
    if phot.shape == "image" and psf.free_shapes:
        shape = psf.shape_names[psf.free_shapes[0]]
        raise ValueError(
            f"phot.shape must be 'group' or 'source' where {shape} is free, found 'image': one "
            f"{shape} for the image has one rank, however many groups there are"
        )
    if phot.psf_error is not None:
        raise ValueError(
            "phot.psf_error must be None: data are drawn through the PSF as it is, "
            f"found {phot.psf_error!r}"
        )
    if phot.fit_background == "plane":
        raise ValueError(
            "phot.fit_background must be False, 'prior' or 'flat', found 'plane': its slopes have "
            "no proper prior to be drawn from"
        )


def _check_inflation(phot: BasicPSFPhotometry, truth: Any) -> None:
    """Raise ValueError where a factor on the noise cannot be drawn, or only the data have one."""
    own, true = (None if p is None or p.noise is None else p.noise.inflation for p in (phot, truth))
    if truth is not None and own != true:
        raise ValueError(
            "truth.noise.inflation must be that of phot.noise, for the factor is ranked, found "
            f"{true!r} and {own!r}"
        )
    if own is not None and not can_draw(own):
        raise ValueError(f"phot.noise.inflation cannot be drawn from, found {own!r}")


def _is_law(value: Any) -> bool:
    """Return whether a value is a distribution, proper or not."""
    return isinstance(value, Prior) or can_draw(value)


def _read_flux(phot: BasicPSFPhotometry, flux: Any) -> Any:
    """Return the proper prior of the fluxes."""
    own = (phot.priors or {}).get("flux")
    scene = (phot.priors or {}).get("scene")
    own = own if scene is None else scene.flux_pdf
    if flux is not None and own is not None and flux != own:
        raise ValueError(
            "flux and phot.priors['flux'] must be the same, for truths are drawn from the prior "
            f"of the fit; found {flux!r} and {own!r}: give one of them"
        )
    chosen = own if flux is None else flux
    if chosen is None or (isinstance(chosen, Prior) and not chosen.is_proper):
        raise ValueError(
            "flux must be a proper prior, e.g. PowerLaw(-2, 200, 20000), LogUniform(200, 20000), "
            "Uniform(0, 5000) or Normal(1000, 300): true fluxes are drawn from it and fitted under "
            "it, and nothing can be drawn from the flat prior that the photometry has by default; "
            f"found {chosen!r}"
        )
    if not can_draw(chosen):
        raise ValueError(
            "flux must be a distribution of bayesphot.priors or a frozen scipy distribution, "
            f"found {chosen!r}"
        )
    return chosen


def _read_sky(phot: BasicPSFPhotometry, background: Any) -> Any:
    """Return the proper prior of the sky, or its known level as a float."""
    own = (phot.priors or {}).get("background")
    if background is not None and own is not None and background != own:
        raise ValueError(
            "background and phot.priors['background'] must be the same, found "
            f"{background!r} and {own!r}: give one of them"
        )
    chosen = own if background is None else background
    fitted = phot.fit_background == "flat" or (
        phot.fit_background == "prior" and phot.bkg_estimator is not None
    )
    if _is_law(chosen):
        if not isinstance(chosen, Prior) or not chosen.is_proper:
            raise ValueError(
                "background must be a proper prior, Normal, TruncatedNormal or a bounded Uniform, "
                f"found {chosen!r}"
            )
        return chosen
    if fitted:
        raise ValueError(
            "background must be a proper prior of the sky level, e.g. Normal(20.0, 0.5), for phot "
            f"fits the sky (fit_background={phot.fit_background!r}): true levels are drawn from it "
            f"and fitted under it; found {chosen!r}"
        )
    if chosen is not None:
        return check_number("background", chosen)
    level = read_estimator(phot.bkg_estimator)
    return 0.0 if level is None or callable(level) else float(getattr(level, "value", level))


def _find_middle(sky: Prior) -> float:
    """Return a level about which the sky lies: what is taken out of the data before the fits."""
    if isinstance(sky, Normal):
        return float(sky.mean)
    low, high = sky.support()
    middle = 0.5 * (low + high)
    mean, precision = sky.normal()
    return float(min(max(mean, low), high) if precision > 0.0 else middle)


def _read_shapes(phot: BasicPSFPhotometry) -> dict[str, Any]:
    """Return the priors of free shapes, and the values of fixed ones."""
    psf = describe_psf(phot.psf_model)
    given = phot.priors or {}
    shapes: dict[str, Any] = {}
    for j, name in enumerate(psf.shape_names):
        start = float(psf.shape_start[j])
        if psf.fixed[name]:
            shapes[name] = start
        elif name in given:
            shapes[name] = given[name]
        elif psf.is_logarithm(j):
            shapes[name] = LogNormal(start, SHAPE_WIDTH)
        else:
            shapes[name] = DefaultShape(psf, j)
    return shapes


def _check_drawable(phot: BasicPSFPhotometry) -> None:
    """Raise ValueError for priors of positions and shape that nothing can be drawn from."""
    for name, prior in (phot.priors or {}).items():
        if name in ("position", "flux", "background", "scene"):
            continue
        # A flat prior of a coordinate is proper inside its disc.
        if not _is_law(prior):
            raise ValueError(
                f"phot.priors[{name!r}] must be a distribution that values can be drawn from, of "
                f"bayesphot.priors or a frozen one of scipy, found {prior!r}"
            )


def _read_errors(phot, source, error: Any, true_error: Any) -> tuple[float | None, float | None]:
    """Return the scale of the noise that the fit is told, and that of the data."""
    told = _read_error("error", error, "phot", phot.noise)
    if true_error is None and _takes_error(source.noise):
        true_error = error
    name = "true_error" if source is not phot or _takes_error(phot.noise) else "error"
    true = _read_error(name, true_error, "truth" if source is not phot else "phot", source.noise)
    return told, true


def _takes_error(noise: Any) -> bool:
    """Return whether the scale of a noise model is an error from outside."""
    return noise is None or noise.takes_error


def _read_error(name: str, value: Any, owner: str, noise: Any) -> float | None:
    """Return the scale of a noise model that takes one, None for one that knows its own."""
    if not _takes_error(noise):
        if value is not None:
            raise ValueError(
                f"{name} and {owner}.noise both say how large the noise is: leave {name} out, "
                f"found {value!r} and {noise!r}"
            )
        return None
    if value is None:
        raise ValueError(
            f"{name} must be given, the 1-sigma noise per pixel, where {owner}.noise is {noise!r}"
        )
    return check_number(name, value, above=0.0)
