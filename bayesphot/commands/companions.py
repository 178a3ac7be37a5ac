"""``bayesphot companions``: is there a second source near a target?"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bayesphot as bp

from .inputs import check_images, open_image
from .options import choose_psf, choose_psf_error
from .outputs import check_output, count_cores, describe_memory, name_output
from .refusals import refuse_argument, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["map_companions"]


def map_companions(arguments: Namespace) -> None:
    """Map the companions of a target in one FITS image."""
    folder = Path(arguments.out or name_output(arguments.image, "companions")).expanduser()
    check_output(folder, overwrite=arguments.overwrite, kind="folder")
    image, error, mask, noise, saturation, notes = open_image(arguments)
    begin = time.perf_counter()
    data = image.to_nddata()
    with refuse_bad_use(ValueError):
        check_images(data, error, mask)
        with refuse_argument("--flux-ratio"):
            ratios = bp.LogUniform(*arguments.flux_ratio)
        prior = bp.CompanionPrior(arguments.probability, ratios)
        found = bp.companion_map(
            data,
            choose_psf(arguments),
            _choose_target(arguments),
            error=error,
            mask=mask,
            noise=noise,
            psf_error=choose_psf_error(arguments),
            saturation=saturation,
            radius=arguments.radius,
            step=arguments.step,
            box=arguments.box,
            prior=prior,
        )
        orientation = {"pixel_scale": arguments.pixel_scale, "north": arguments.north}
        pair = found.pair(seed=arguments.seed, **orientation)
    lines, confirmed, nulls = [*notes, found.summary()], None, None
    if arguments.confirm:
        try:
            confirmed = found.confirm(seed=arguments.seed)
            pair = confirmed.pair(**orientation)
        except ValueError as problem:
            # The map is good without.
            confirmed = None
            warnings.warn(f"not confirmed by sampling: {problem}", UserWarning, stacklevel=2)
    if confirmed is not None:
        lines.append(confirmed.summary())
    lines.append(str(pair))
    if arguments.false_positives is not None:
        nulls = found.calibrate_false_positives(
            arguments.false_positives, seed=arguments.seed,
            n_jobs=arguments.jobs or count_cores(), progress_bar=not arguments.quiet,
        )  # fmt: skip
        lines.append(repr(nulls))
    with refuse_bad_use(OSError):
        found.write(
            folder, pair=pair, confirmed=confirmed, false_positives=nulls,
            overwrite=arguments.overwrite,
        )  # fmt: skip
    if not arguments.quiet:
        print("\n".join(lines))
        print(f"time {time.perf_counter() - begin:.1f} s{describe_memory()}")
        print(f"written to {folder}")


def _choose_target(arguments: Namespace) -> Any:
    """Return the target in pixels, or on the sky."""
    if arguments.target is not None:
        return tuple(arguments.target)
    from astropy.coordinates import SkyCoord

    with refuse_argument("--target-sky"):
        return SkyCoord(*arguments.target_sky, unit="deg")
