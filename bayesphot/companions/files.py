"""A companion map on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

if TYPE_CHECKING:
    from astropy.table import QTable

    from bayesphot.companions.confirm import Confirmation
    from bayesphot.companions.injection import FalsePositives
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
    nulls: FalsePositives | None,
    *,
    overwrite: bool,
) -> Path:
    """Write map, limits, the pair's summary and the picture to a folder: all of them, or none."""
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{folder / there[0]} exists: overwrite=True replaces it")
    for name in there:
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{folder / name} is a folder, and cannot be replaced")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as made:
        new = Path(made)
        _write_images(found, new / NAMES[0])
        _describe_curve(found).write(new / NAMES[1], format="ascii.ecsv")
        _describe_pair(found, pair, confirmed, nulls).write(new / NAMES[2], format="ascii.ecsv")
        found.plot(path=new / NAMES[3])
        for name in NAMES:
            (new / name).replace(folder / name)
    return folder


def _describe_curve(found: CompanionMap) -> QTable:
    """Return the limits against separation with their units, and what they are of."""
    curve = found.contrast_curve()
    curve["separation"].unit, curve["delta_mag"].unit = u.pix, u.mag
    for name, text in (
        ("separation", "from the target, mean of the places"),
        ("contrast", "companion over target fitted alone, n_sigma errors, place known: median"),
        ("delta_mag", "the same in magnitudes"),
        ("upper_limit", "companion over target, below this with probability prob: median"),
        ("n_places", "independent places at this separation, the circle in FWHM"),
    ):
        curve[name].info.description = text
    curve.meta |= {"schema_version": SCHEMA, **_list_facts(found)}
    return curve


def _describe_pair(
    found: CompanionMap,
    pair: PairPosterior,
    confirmed: Confirmation | None,
    nulls: FalsePositives | None,
) -> QTable:
    """Return the row of the pair, and what is known of its being one."""
    table, best = pair.summary(), found.best
    table.meta |= {
        "schema_version": SCHEMA,
        **_list_facts(found),
        "best": {"x": best.x, "y": best.y, "flux": best.flux, "flux_err": best.flux_err},
    }
    if confirmed is not None:
        table.meta |= {
            "confirmed_p_companion": confirmed.p_companion,
            "confirmed_log_evidence_ratio": confirmed.log_evidence_ratio,
            "confirmed_log_evidence_ratio_err": confirmed.log_evidence_ratio_err,
        }
    if nulls is not None:
        table.meta["false_positives"] = {
            "n": int(nulls.log_evidence_ratio.size),
            "p_value": nulls.p_value,
            "observed": nulls.observed,
        }
    return table


def _list_facts(found: CompanionMap) -> dict:
    """Return what holds for the whole map."""
    x, y, flux = found.target
    return {
        "target": {"x": x, "y": y, "flux": flux},
        "flux_unit": None if found.flux_unit is None else found.flux_unit.to_string(),
        "p_companion": found.p_companion,
        "log_evidence_ratio": found.log_evidence_ratio,
        "prior": repr(found.prior),
        "notes": list(found.notes),
    }


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
    for line in (repr(found.prior), *found.notes):
        header.add_comment(line)
    return header
