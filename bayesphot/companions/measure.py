"""From the draws of two sources to the posterior of the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesphot.companions.orientation import Orientation, read_orientation
from bayesphot.companions.pair import PairPosterior
from bayesphot.companions.verdict import has_flux, is_separated
from bayesphot.draws import Draws, view_readonly
from bayesphot.flags import decode_flags
from bayesphot.source_posterior import find_row, is_free

if TYPE_CHECKING:
    from bayesphot.result import PhotometryResult

__all__ = ["make_pair", "measure_pair"]


def measure_pair(
    result: PhotometryResult, primary: int, companion: int, **orientation
) -> PairPosterior:
    """Return the posterior of a pair; see `PhotometryResult.pair`.

    ``orientation`` as of `read_orientation`.
    """
    draws = result.require_draws("pair")
    first, second = (find_row(result["id"], one) for one in (primary, companion))
    if first == second:
        raise ValueError(
            f"companion must be another source than primary, found {companion!r} twice"
        )
    directions = read_orientation(result.image.shape, result.meta.get("wcs"), **orientation)
    one, two = _read_draws(draws, first), _read_draws(draws, second)
    remarks = (*_find_remarks(result, first, second), *_miss_sky(result, directions))
    return make_pair(
        one, two, directions, ids=(int(primary), int(companion)), remarks=remarks,
        ci_prob=result.ci_prob,
    )  # fmt: skip


def make_pair(
    one: dict[str, np.ndarray],
    two: dict[str, np.ndarray],
    orientation: Orientation,
    *,
    ids: tuple[int, int],
    remarks: tuple[str, ...],
    ci_prob: float,
) -> PairPosterior:
    """Return the posterior of a pair from joint draws (chain, draw) of x, y and flux of both."""
    dx, dy = two["x"] - one["x"], two["y"] - one["y"]
    arcsec, angle = orientation.measure(one["x"], one["y"], two["x"], two["y"])
    if not np.all(np.isfinite(0.0 if arcsec is None else arcsec)):
        raise ValueError(f"wcs has no sky under sources {ids[0]} and {ids[1]}")
    both = one["flux"] + two["flux"]
    ratio = two["flux"] / np.where(one["flux"] > 0.0, one["flux"], np.nan)
    return PairPosterior(
        primary=ids[0],
        companion=ids[1],
        dx=view_readonly(dx),
        dy=view_readonly(dy),
        separation=view_readonly(np.hypot(dx, dy)),
        separation_arcsec=None if arcsec is None else view_readonly(arcsec),
        position_angle=view_readonly(angle),
        angle_from=orientation.text,
        flux_ratio=view_readonly(ratio),
        flux_share=view_readonly(two["flux"] / np.where(both > 0.0, both, np.nan)),
        separated=is_separated(dx, dy),
        detected=has_flux(one["flux"]) and has_flux(two["flux"]),
        given=not any(is_free(source[name]) for source in (one, two) for name in ("x", "y")),
        remarks=remarks,
        ci_prob=ci_prob,
    )


def _read_draws(draws: Draws, row: int) -> dict[str, np.ndarray]:
    """Return x, y and flux of the source in a row; ValueError where it was not sampled."""
    chosen = {
        name: np.asarray(draws.source[name][:, :, row], dtype=np.float64)
        for name in ("x", "y", "flux")
    }
    if not all(values.size and np.all(np.isfinite(values)) for values in chosen.values()):
        raise ValueError(f"source {draws.source_id[row]} was not sampled: it has no draws")
    return chosen


def _find_remarks(result: PhotometryResult, first: int, second: int) -> tuple[str, ...]:
    """Return what the table has to say of two rows."""
    remarks = []
    if result["group_id"][first] != result["group_id"][second]:
        remarks.append("different groups: their draws are independent")
    if "flags" in result.colnames:
        for row in (first, second):
            names = decode_flags(int(result["flags"][row]))
            if names:
                remarks.append(f"source {result['id'][row]} has {', '.join(names)}")
    return tuple(remarks)


def _miss_sky(result: PhotometryResult, orientation: Orientation) -> tuple[str, ...]:
    """Return a remark where the image had a WCS that a result cannot keep."""
    if "sky_fit" not in result.colnames or orientation != Orientation():
        return ()
    return ("the image's WCS does not go into a header: give it as wcs for the sky",)
