"""A companion map on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayesphot.companions.confirm import Confirmation
    from bayesphot.companions.map import CompanionMap
    from bayesphot.companions.pair import PairPosterior

__all__ = ["NAMES", "write_map"]

#: What a folder holds.
NAMES = ("map.fits", "contrast.ecsv", "companion.ecsv", "map.png")
#: Version of the files.
SCHEMA = 1


def write_map(
    found: CompanionMap,
    folder: Path,
    pair: PairPosterior,
    confirmed: Confirmation | None,
    *,
    overwrite: bool,
) -> Path:
    """Write map, limits, the pair's summary and the picture to a folder."""
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{folder / there[0]} exists: overwrite=True replaces it")
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(found, folder / NAMES[0])
    curve = found.contrast_curve()
    curve.meta["schema_version"] = SCHEMA
    curve.write(folder / NAMES[1], format="ascii.ecsv", overwrite=True)
    summary = pair.summary()
    summary.meta |= {
        "schema_version": SCHEMA,
        "p_companion": found.p_companion,
        "log_evidence_ratio": found.log_evidence_ratio,
        "prior": repr(found.prior),
    }
    if confirmed is not None:
        summary.meta |= {
            "confirmed_p_companion": confirmed.p_companion,
            "confirmed_log_evidence_ratio": confirmed.log_evidence_ratio,
            "confirmed_log_evidence_ratio_err": confirmed.log_evidence_ratio_err,
        }
    summary.write(folder / NAMES[2], format="ascii.ecsv", overwrite=True)
    found.plot(path=folder / NAMES[3])
    return folder


def _write_images(found: CompanionMap, path: Path) -> None:
    """Write the images of the map."""
    from astropy.io import fits

    images = {
        "LOG_BF": found.log_bayes_factor,
        "FLUX": found.flux,
        "FLUX_ERR": found.flux_err,
        "LIMIT_95": found.upper_limit(0.95),
    }
    extensions = [fits.PrimaryHDU(header=_make_header(found))]
    for name, image in images.items():
        extension = fits.ImageHDU(np.asarray(image, dtype=np.float64), name=name)
        # Pixels of the data, counted from 0 as everywhere here.
        extension.header["CTYPE1"], extension.header["CTYPE2"] = "X", "Y"
        extension.header["CRPIX1"], extension.header["CRPIX2"] = 1.0, 1.0
        extension.header["CRVAL1"], extension.header["CRVAL2"] = found.x[0, 0], found.y[0, 0]
        step = found.x[0, 1] - found.x[0, 0]
        extension.header["CDELT1"], extension.header["CDELT2"] = step, step
        if found.flux_unit is not None and name != "LOG_BF":
            extension.header["BUNIT"] = found.flux_unit.to_string()
        extensions.append(extension)
    fits.HDUList(extensions).writeto(path, overwrite=True)


def _make_header(found: CompanionMap):
    """Return what holds for the whole map."""
    from astropy.io import fits

    header = fits.Header()
    best = found.best
    unit = "" if found.flux_unit is None else f", {found.flux_unit}"
    for key, value, text in (
        ("SCHEMA", SCHEMA, "version of this file"),
        ("X_TARGET", found.target[0], "target fitted alone, pixels from 0"),
        ("Y_TARGET", found.target[1], "target fitted alone, pixels from 0"),
        ("F_TARGET", found.target[2], f"its flux{unit}"),
        ("FWHM", found.fwhm, "of the PSF, pixels"),
        ("P_COMP", found.p_companion, "probability of a companion"),
        ("LOG_EVID", found.log_evidence_ratio, "ln evidence with over without one"),
        ("X_BEST", best.x, "most likely companion"),
        ("Y_BEST", best.y, "most likely companion"),
        ("F_BEST", best.flux, f"its flux{unit}"),
    ):
        header[key] = (value, text)
    return header
