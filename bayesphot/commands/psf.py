"""``bayesphot psf``: the PSF of an image from its own stars."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import bayesphot as bp

from .inputs import check_images, open_image
from .options import choose_varying_sky
from .outputs import check_output, describe_memory, name_output
from .refusals import UsageError, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["build_psf"]


def _refuse_other(path: Path) -> None:
    """Refuse to replace a file that is no PSF of an image."""
    from astropy.io import fits

    if not path.exists():
        return
    try:
        known = "NSTARS" in fits.getheader(path)
    except OSError:
        known = False
    if not known:
        raise UsageError(f"--out is no PSF that this command made, and is not replaced: {path}")


def build_psf(arguments: Namespace) -> None:
    """Build the PSF of one FITS image."""
    path = Path(arguments.out or f"{name_output(arguments.image, 'psf')}.fits").expanduser()
    if path.suffix not in (".fits", ".fit"):
        raise UsageError(f"--out must be a FITS file, FILE.fits, found {path}")
    picture = path.with_suffix(".png")
    inputs = [arguments.image, arguments.error, arguments.mask]
    for made in (path, picture):
        check_output(made, overwrite=arguments.overwrite, kind="file", inputs=inputs)
    _refuse_other(path)
    image, error, mask, noise, saturation, notes = open_image(arguments)
    begin = time.perf_counter()
    data = image.to_nddata()
    with refuse_bad_use(ValueError):
        check_images(data, error, mask)
        build = bp.build_psf(
            data,
            error=error,
            mask=mask,
            fwhm=arguments.fwhm,
            n_stars=arguments.stars,
            oversampling=arguments.oversampling,
            size=arguments.size,
            degree=arguments.degree,
            saturation=saturation,
            noise=noise,
            bkg_estimator=choose_varying_sky(arguments),
        )
    with refuse_bad_use(FileExistsError, PermissionError):
        path.parent.mkdir(parents=True, exist_ok=True)
        build.write(path, overwrite=arguments.overwrite)
        build.plot(path=picture)
    if not arguments.quiet:
        print("\n".join(notes))
        print(build.summary())
        print(f"time {time.perf_counter() - begin:.1f} s{describe_memory()}")
        print(f"written to {path} and {picture}")
