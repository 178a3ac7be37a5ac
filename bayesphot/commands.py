"""What the commands of the command line do, given their parsed arguments."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bayesphot as bp

if TYPE_CHECKING:
    from argparse import Namespace

    from .readers import FitsImage

__all__ = [
    "UsageError",
    "build_psf",
    "map_companions",
    "run_calibration",
    "run_demo",
    "run_image",
    "warm_up",
    "write_simulation",
]

FWHM_PER_SIGMA = 2.354820045
#: Names of --noise: the class that takes the numbers, and how those read.
NOISES = {
    "normal": (None, ""),
    "ccd": (None, ""),
    "poisson": ("PoissonNoise", ""),
    "student": ("StudentTNoise", "DOF"),
    "contaminated": ("ContaminatedGaussian", "FRACTION,WIDTH"),
}
#: A wider kernel than DAOFIND's: its shape measurements lose fewer faint stars (4 % at S/N 14-30).
SIGMA_RADIUS = 2.5


class UsageError(Exception):
    """Bad use or unreadable input: one line, exit code 2, no traceback."""


@contextmanager
def _refuse_bad_use(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of the given kinds, which name the argument and the value, into one line."""
    try:
        yield
    except kinds as problem:
        raise UsageError(str(problem)) from problem


def run_image(arguments: Namespace) -> None:
    """Photometry of one FITS image."""
    from .readers import ReadError

    name = arguments.out or _name_output(arguments.image)
    folder = Path(name).expanduser()
    _check_output(folder, overwrite=arguments.overwrite, kind="folder")
    notes: list[str] = []
    with _refuse_bad_use(ReadError, ValueError):
        image, error, mask = _read_images(arguments)
        noise = _choose_noise(arguments, image.header, image.unit, notes=notes)
        noise = _scale_noise(noise, arguments)
        saturation = _choose_saturation(arguments, image.header, notes)
    data = image.to_nddata()
    with _refuse_bad_use(ValueError):
        photometry = _configure_run(arguments, noise=noise, saturation=saturation)
        _check_images(data, error, mask)
    for text in image.warnings:
        warnings.warn(text, UserWarning, stacklevel=2)
    if not arguments.quiet:
        print(
            "\n".join(
                [f"image: {image.extension} of {arguments.image}", *image.planes.notes, *notes]
            )
        )
    _measure(photometry, data, folder, arguments, error=error, mask=mask)


def build_psf(arguments: Namespace) -> None:
    """Build the PSF of one FITS image."""
    from .readers import ReadError

    path = Path(arguments.out or f"{_name_output(arguments.image, 'psf')}.fits").expanduser()
    if path.suffix not in (".fits", ".fit"):
        raise UsageError(f"--out must be a FITS file, FILE.fits, found {path}")
    _check_output(path, overwrite=arguments.overwrite, kind="file")
    notes: list[str] = []
    # ReadError is a ValueError.
    with _refuse_bad_use(ReadError):
        image, error, mask = _read_images(arguments)
        noise = _choose_noise(arguments, image.header, image.unit, notes=notes)
        saturation = _choose_saturation(arguments, image.header, notes)
    begin = time.perf_counter()
    with _refuse_bad_use(ValueError):
        build = bp.build_psf(
            image.to_nddata(),
            error=error,
            mask=mask,
            fwhm=arguments.fwhm,
            n_stars=arguments.stars,
            oversampling=arguments.oversampling,
            size=arguments.size,
            degree=arguments.degree,
            saturation=saturation,
            noise=noise,
            bkg_estimator=_choose_varying_sky(arguments),
        )
    with _refuse_bad_use(FileExistsError, PermissionError):
        path.parent.mkdir(parents=True, exist_ok=True)
        build.write(path, overwrite=arguments.overwrite)
        picture = path.with_suffix(".png")
        build.plot(path=picture)
    if not arguments.quiet:
        print(
            "\n".join(
                [f"image: {image.extension} of {arguments.image}", *image.planes.notes, *notes]
            )
        )
        print(build.summary())
        print(f"time {time.perf_counter() - begin:.1f} s{_describe_memory()}")
        print(f"written to {path} and {picture}")


def map_companions(arguments: Namespace) -> None:
    """Map the companions of a target in one FITS image."""
    from .readers import ReadError

    folder = Path(arguments.out or _name_output(arguments.image, "companions")).expanduser()
    _check_output(folder, overwrite=arguments.overwrite, kind="folder")
    notes: list[str] = []
    # ReadError is a ValueError.
    with _refuse_bad_use(ReadError):
        image, error, mask = _read_images(arguments)
        noise = _choose_noise(arguments, image.header, image.unit, notes=notes)
        saturation = _choose_saturation(arguments, image.header, notes)
    begin = time.perf_counter()
    width = arguments.psf_error
    with _refuse_bad_use(ValueError):
        prior = bp.CompanionPrior(arguments.probability, bp.LogUniform(*arguments.flux_ratio))
        found = bp.companion_map(
            image.to_nddata(),
            _choose_psf(arguments),
            tuple(arguments.target),
            error=error,
            mask=mask,
            noise=noise,
            psf_error=None if width is None else bp.PSFError(width=width),
            saturation=saturation,
            radius=arguments.radius,
            step=arguments.step,
            prior=prior,
        )
        pair = found.pair(
            seed=arguments.seed, pixel_scale=arguments.pixel_scale, north=arguments.north
        )
    lines = [f"image: {image.extension} of {arguments.image}", *image.planes.notes, *notes]
    lines += [found.summary(), str(pair)]
    if arguments.false_positives is not None:
        nulls = found.calibrate_false_positives(
            arguments.false_positives, seed=arguments.seed,
            n_jobs=arguments.jobs or _count_cores(), progress_bar=not arguments.quiet,
        )  # fmt: skip
        lines.append(repr(nulls))
    with _refuse_bad_use(FileExistsError, PermissionError):
        found.write(folder, pair=pair, overwrite=arguments.overwrite)
    if not arguments.quiet:
        print("\n".join(lines))
        print(f"time {time.perf_counter() - begin:.1f} s{_describe_memory()}")
        print(f"written to {folder}")


def _name_output(image: str, what: str = "bayesphot") -> str:
    """Return "m92_bayesphot" for "path/m92.fits.gz[SCI]"."""
    name = Path(image).name.partition("[")[0]
    for suffix in (".gz", ".fits", ".fit", ".fts"):
        name = name.removesuffix(suffix)
    return f"{name}_{what}"


def _check_output(path: Path, *, overwrite: bool, kind: str) -> None:
    """Refuse, before the work, an output that exists or cannot be made."""
    target = path.absolute()
    if target.exists():
        if target.is_dir() != (kind == "folder"):
            found = "folder" if target.is_dir() else "file"
            raise UsageError(f"--out must be a {kind}, found a {found}: {path}")
        if not overwrite:
            raise UsageError(f"output {kind} exists: {path} (--overwrite replaces the result)")
    ancestor = next(folder for folder in (target, *target.parents) if folder.exists())
    if ancestor != target and not ancestor.is_dir():
        raise UsageError(f"--out lies below a file: {ancestor}")
    if not os.access(ancestor, os.W_OK):
        raise UsageError(f"--out cannot be written: no permission for {ancestor}")


def _read_images(arguments: Namespace) -> tuple[FitsImage, Any, Any]:
    """Return image, error (array, number or None) and mask (bool array or None)."""
    from .readers import read_fits_image, read_fits_mask, read_fits_plane

    bits = {"dq_bits": arguments.dq_bits, "dq_ignore": arguments.dq_ignore or 0}
    image = read_fits_image(
        arguments.image,
        ext=arguments.ext,
        error=arguments.error is None and not _knows_noise(arguments),
        mask=arguments.mask is None,
        **bits,
    )
    error: Any = None
    if arguments.error not in (None, "none"):
        try:
            error = float(arguments.error)
        except ValueError:
            error = read_fits_plane(arguments.error)
    mask = None
    if arguments.mask not in (None, "none"):
        mask = read_fits_mask(arguments.mask, **bits)
    option = "--dq-ignore" if arguments.dq_bits is None else "--dq-bits"
    if (arguments.dq_bits or arguments.dq_ignore) and mask is None and image.planes.mask is None:
        raise UsageError(f"{option} chooses quality bits and there are none: no DQ, MASK or --mask")
    return image, error, mask


def _knows_noise(arguments: Namespace) -> bool:
    """Whether the noise is that of a CCD or of counts, which needs no plane of errors."""
    name = (arguments.noise or "").partition(":")[0]
    return name in ("ccd", "poisson") or (not name and arguments.gain is not None)


def _check_images(image: Any, error: Any, mask: Any) -> None:
    """Raise now what would be wrong with the images; warnings come with the run."""
    from .image import prepare_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepare_image(image, error=error, mask=mask)


def _choose_noise(
    arguments: Namespace, header: Any, unit: Any = None, *, notes: list[str] | None = None
) -> Any:
    """Return the noise that is named, or the CCD's if a gain is given, else None.

    What is to be said of numbers from the header is added to the notes.
    """
    name, _, numbers = (arguments.noise or "").partition(":")
    if not name:
        name = "normal" if arguments.gain is None else "ccd"
    if name not in NOISES:
        forms = [f"{kind}:{form}" if form else kind for kind, (_, form) in NOISES.items()]
        raise UsageError(f"--noise must be one of {', '.join(forms)}, found {arguments.noise!r}")
    if name != "ccd" and (arguments.gain is not None or arguments.read_noise is not None):
        if arguments.noise is None:
            raise UsageError("--read-noise is in electrons and needs --gain")
        option = "--read-noise" if arguments.gain is None else "--gain"
        raise UsageError(f"{option} is a CCD's and --noise says {name}: give one of them")
    if name in ("ccd", "poisson") and arguments.error not in (None, "none"):
        option = "--gain" if arguments.noise is None else f"--noise {name}"
        raise UsageError(f"{option} and --error both say what the noise is: give one of them")
    if name == "normal" and not numbers:
        return None
    if name == "ccd" and not numbers:
        noise, note = _read_ccd(arguments, header, unit)
        if notes is not None:
            notes.append(note)
        return noise
    model, form = NOISES[name]
    try:
        values = [float(part) for part in numbers.split(",")] if numbers else []
    except ValueError:
        values = []
    wanted = form.count(",") + 1 if form else 0
    if model is None or len(values) != wanted:
        raise UsageError(
            f"--noise must read {name}{':' + form if form else ''}, found {arguments.noise!r}"
        )
    with _refuse_bad_use(ValueError):
        return getattr(bp, model)(*values)


def _scale_noise(noise: Any, arguments: Namespace) -> Any:
    """Return the noise with the factors of the options; None without noise and factors."""
    factors: dict[str, Any] = {}
    if arguments.correlation != 1.0:
        factors["correlation"] = arguments.correlation
    if arguments.inflation is not None:
        factors["inflation"] = bp.LogNormal(1.0, arguments.inflation)
    if not factors:
        return noise
    if isinstance(noise, bp.PoissonNoise):
        option = next(iter(factors))
        raise UsageError(
            f"--{option} is a factor on the noise, which counts do not have: give --gain 1 instead "
            "of --noise poisson"
        )
    return replace(bp.NormalNoise() if noise is None else noise, **factors)


def _read_ccd(arguments: Namespace, header: Any, unit: Any) -> tuple[Any, str]:
    """Return the noise of a CCD, its numbers given or from the header, and where they are from."""
    from .readers import read_ccd

    gain, read_noise = arguments.gain, arguments.read_noise
    if gain is None and not header:
        raise UsageError("--noise ccd needs --gain")
    if read_noise is None and gain not in (None, "header"):
        read_noise = 0.0
    with _refuse_argument("--gain"):
        read_ccd(header, unit, gain=gain, read_noise=0.0)
    with _refuse_argument("--read-noise"):
        numbers = read_ccd(header, unit, gain=gain, read_noise=read_noise)
    with _refuse_bad_use(ValueError):
        noise = bp.CCDNoise(gain=numbers.gain, read_noise=numbers.read_noise)
    return noise, f"noise: CCD, {numbers.origin}"


@contextmanager
def _refuse_argument(option: str) -> Iterator[None]:
    """Turn a ValueError into one line that names an option."""
    try:
        yield
    except ValueError as problem:
        raise UsageError(f"argument {option}: {problem}") from problem


def _choose_saturation(arguments: Namespace, header: Any, notes: list[str]) -> float | None:
    """Return the saturation level, given or from the header; None where nothing is said of it."""
    from .readers import SATURATION_KEYWORDS, header_value

    if arguments.saturation is None:
        return None
    given = None if arguments.saturation == "header" else arguments.saturation
    with _refuse_argument("--saturation"):
        level = header_value(header, SATURATION_KEYWORDS, given)
    if level is None:
        raise UsageError(
            f"--saturation header needs {' or '.join(SATURATION_KEYWORDS)} in the header: give the "
            "level as a number"
        )
    notes.append(f"saturation: pixels at {level:g} and above are masked")
    return level


def _configure_run(arguments: Namespace, *, noise: Any, saturation: float | None = None) -> Any:
    """Return the photometry that the options describe."""
    if arguments.psf_error is not None and arguments.fit_sigma:
        raise UsageError(
            "--psf-error is the error of a known width and --fit-sigma fits it: give one"
        )
    psf_model = _choose_psf(arguments)
    level: dict[str, Any] = {"nsigma": arguments.nsigma}
    if arguments.threshold is not None:
        level = {"threshold": arguments.threshold}
    has_sky, varying = arguments.background != "none", _choose_varying_sky(arguments)
    separation = arguments.crit_separation
    return _configure(
        psf_model=psf_model,
        fitshape=arguments.fitshape,
        finder=bp.DAOStarFinder(fwhm=psf_model.fwhm, sigma_radius=SIGMA_RADIUS, **level),
        crit_separation=separation,
        bkg_estimator=(varying or bp.MMMBackground()) if has_sky else None,
        fit_background=arguments.background if has_sky else False,
        sampler=_choose_sampler(arguments),
        noise=noise,
        psf_error=None if arguments.psf_error is None else bp.PSFError(width=arguments.psf_error),
        saturation=saturation,
        shape=arguments.shape,
        niters=arguments.niters,
        max_group_size=arguments.max_group_size,
        zero_point=arguments.zero_point,
        n_jobs=arguments.jobs,
        progress_bar=not arguments.quiet,
        seed=arguments.seed,
    )


def _configure(
    *,
    psf_model: Any,
    fitshape: int | None = None,
    crit_separation: float | None = None,
    n_jobs: int | None = None,
    **settings: Any,
) -> Any:
    """Return the photometry, with the defaults that hang on the width of the PSF."""
    fwhm = float(psf_model.fwhm)
    if fitshape is None:
        fitshape = max(11, 2 * int(1.25 * fwhm) + 1)
    if crit_separation is None:
        crit_separation = 1.5 * fwhm
    return bp.IterativelySubtractedPSFPhotometry(
        psf_model=psf_model,
        fitshape=(fitshape, fitshape),
        group_maker=bp.DAOGroup(crit_separation=crit_separation),
        n_jobs=n_jobs or _count_cores(),
        **settings,
    )


def _count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _choose_sampler(arguments: Namespace) -> Any:
    """Return the sampler of the options; False: least squares only."""
    if arguments.sampler == "none":
        return False
    kind = bp.Sampler if arguments.sampler == "independence" else bp.EmceeSampler
    return kind(draws=arguments.draws, chains=arguments.chains)


def _measure(photometry: Any, image: Any, folder: Path, arguments: Namespace, **planes: Any) -> Any:
    """Run, write and summarise; return the result. An interrupted run is written, then ends."""
    begin = time.perf_counter()
    try:
        result = photometry(image, **planes)
    except bp.InterruptedRun as stop:
        _write(stop.result, time.perf_counter() - begin, folder, arguments)
        raise
    _write(result, time.perf_counter() - begin, folder, arguments)
    return result


def _write(result: Any, seconds: float, folder: Path, arguments: Namespace) -> None:
    """Write and summarise a result."""
    from .report import describe_result, write_report

    with _refuse_bad_use(FileExistsError, PermissionError):
        files = write_report(result, folder, overwrite=arguments.overwrite)
    if not arguments.quiet:
        print(describe_result(result))
        print(f"time {seconds:.1f} s{_describe_memory()}")
        print(f"written to {folder}: {', '.join(files)}")


def _describe_memory() -> str:
    """Return the peak memory of the process, or nothing where the system does not tell."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return f", peak memory {peak / scale:.0f} MB"


def run_demo(arguments: Namespace) -> None:
    """Simulate a crowded field, run it and compare."""
    folder = Path(arguments.out).expanduser()
    _check_output(folder, overwrite=arguments.overwrite, kind="folder")
    sigma = 2.0
    # 0.13 stars per FWHM squared: two of three are fitted together with a neighbour.
    scene = bp.simulate_scene(
        (160, 160), n_sources=150, sigma=sigma, background=20.0, noise=5.0, border=6.0,
        seed=arguments.seed,
    )  # fmt: skip
    if not arguments.quiet:
        print(f"simulated {len(scene.truth)} stars on 160 x 160 pixels, PSF sigma {sigma}")
    photometry = _configure(
        psf_model=bp.IntegratedGaussianPRF(sigma=sigma),
        finder=bp.DAOStarFinder(fwhm=sigma * FWHM_PER_SIGMA, sigma_radius=SIGMA_RADIUS, nsigma=5.0),
        bkg_estimator=bp.MMMBackground(),
        n_jobs=arguments.jobs,
        progress_bar=not arguments.quiet,
        seed=arguments.seed,
    )
    result = _measure(photometry, scene.image, folder, arguments, error=scene.error)
    from .report import describe_comparison

    # The comparison is what the demo is for: --quiet leaves it.
    print(describe_comparison(result, scene.truth, radius=0.5 * sigma * FWHM_PER_SIGMA))


def run_calibration(arguments: Namespace) -> None:
    """Test the uncertainties of a set-up on simulations from its priors."""
    folder = Path(arguments.out).expanduser()
    _check_output(folder, overwrite=arguments.overwrite, kind="folder")
    if len(arguments.background) > 2:
        raise UsageError(f"--background is LEVEL or LEVEL SD, found {len(arguments.background)}")
    noise = _choose_noise(arguments, {})
    begin = time.perf_counter()
    with _refuse_bad_use(ValueError):
        photometry = _configure_calibration(arguments, noise=noise)
        level, *spread = arguments.background
        result = bp.calibrate(
            photometry,
            n_simulations=arguments.simulations,
            flux=bp.PowerLaw(arguments.flux_index, *arguments.flux),
            background=bp.Normal(level, *spread) if spread else level,
            error=arguments.error,
            n_sources=arguments.sources,
            separation=arguments.separation,
            density=arguments.density,
            min_separation=arguments.min_separation,
            truth=_choose_truth(photometry, arguments),
            true_error=arguments.true_error,
            seed=arguments.seed,
            n_jobs=arguments.jobs or _count_cores(),
        )
    seconds = time.perf_counter() - begin
    with _refuse_bad_use(FileExistsError, PermissionError):
        result.write(folder, overwrite=arguments.overwrite)
    if not arguments.quiet:
        print(result.summary())
        print(f"time {seconds:.1f} s{_describe_memory()}")
        print(f"written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _configure_calibration(arguments: Namespace, *, noise: Any) -> Any:
    """Return the photometry whose uncertainties are tested."""
    return _configure(
        psf_model=_choose_psf(arguments),
        fitshape=arguments.fitshape,
        finder=bp.DAOStarFinder(fwhm=3.0, nsigma=5.0),
        crit_separation=arguments.crit_separation,
        sampler=_choose_sampler(arguments),
        noise=noise,
        max_group_size=arguments.max_group_size,
    )


def _choose_varying_sky(arguments: Namespace) -> Any:
    """Return the estimator of a sky that varies, None where no option asks for one."""
    if arguments.annulus is not None:
        with _refuse_argument("--annulus"):
            return bp.AnnulusBackground(*arguments.annulus)
    if arguments.mesh is not None:
        with _refuse_argument("--mesh"):
            return bp.MeshBackground(arguments.mesh)
    return None


def _choose_psf(arguments: Namespace) -> Any:
    """Return the PSF of the options."""
    if arguments.psf is None:
        if arguments.psf_oversampling is not None:
            raise UsageError("--psf-oversampling is of the image in --psf, which is not given")
        sigma = arguments.sigma or arguments.fwhm / FWHM_PER_SIGMA
        psf_model: Any = bp.IntegratedGaussianPRF(sigma=sigma)
    else:
        try:
            psf_model = bp.read_psf(arguments.psf, oversampling=arguments.psf_oversampling)
        except (OSError, ValueError) as problem:
            raise UsageError(f"argument --psf: {problem}") from problem
    psf_model.fixed[psf_model.param_names[-1]] = not arguments.fit_sigma
    return psf_model


def _choose_truth(photometry: Any, arguments: Namespace) -> Any:
    """Return the set-up of the data where it is another than that of the fit, else None."""
    from argparse import Namespace
    from dataclasses import replace

    changed: dict[str, Any] = {}
    if arguments.true_fwhm is not None:
        sigma = arguments.true_fwhm / FWHM_PER_SIGMA
        changed["psf_model"] = bp.IntegratedGaussianPRF(sigma=sigma)
    if arguments.true_noise is not None:
        if arguments.true_noise.startswith("ccd"):
            raise UsageError("--true-noise must not be ccd: give the CCD as --noise")
        named = Namespace(noise=arguments.true_noise, gain=None, read_noise=None, error=None)
        try:
            changed["noise"] = _choose_noise(named, {})
        except UsageError as problem:
            raise UsageError(str(problem).replace("--noise", "--true-noise")) from problem
    return replace(photometry, **changed) if changed else None


def write_simulation(arguments: Namespace) -> None:
    """Write a simulated field to a FITS file."""
    path = Path(arguments.out).expanduser()
    _check_output(path, overwrite=arguments.overwrite, kind="file")
    sigma = arguments.sigma or (arguments.fwhm / FWHM_PER_SIGMA if arguments.fwhm else 2.0)
    with _refuse_bad_use(ValueError):
        scene = bp.simulate_scene(
            tuple(arguments.size),
            n_sources=arguments.sources,
            sigma=sigma,
            flux_range=tuple(arguments.flux),
            background=arguments.background,
            noise=arguments.noise,
            gain=arguments.gain,
            min_separation=arguments.min_separation,
            seed=arguments.seed,
        )
    _write_scene(scene, path, sigma=sigma)
    if not arguments.quiet:
        print(f"written to {path}: {len(scene.truth)} stars, PSF sigma {sigma:g} pixels")


def _write_scene(scene: Any, path: Path, *, sigma: float) -> None:
    """Write image, error and truth, whole or not at all."""
    from astropy.io import fits

    primary = fits.PrimaryHDU(scene.image)
    primary.header["PSFSIGMA"] = (sigma, "standard deviation of the Gaussian PSF, pixels")
    columns = [
        fits.Column(name, "K" if name == "id" else "D", array=scene.truth[name])
        for name in ("id", "x_0", "y_0", "flux")
    ]
    extensions = [
        primary,
        fits.ImageHDU(scene.error, name="ERROR"),
        fits.BinTableHDU.from_columns(columns, name="TRUTH"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        fits.HDUList(extensions).writeto(partial, overwrite=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def warm_up(arguments: Namespace) -> None:
    """Compile everything once."""
    begin = time.perf_counter()
    bp.warmup()
    if not arguments.quiet:
        print(f"compiled in {time.perf_counter() - begin:.1f} s")
