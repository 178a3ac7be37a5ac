"""The noise that the options name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bayesphot as bp

from .refusals import UsageError, refuse_argument, refuse_bad_use

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["choose_noise", "knows_noise", "scale_noise"]

#: Names of --noise: the class that takes the numbers, and how those read.
NOISES = {
    "normal": (None, ""),
    "ccd": (None, ""),
    "poisson": ("PoissonNoise", ""),
    "student": ("StudentTNoise", "DOF"),
    "contaminated": ("ContaminatedGaussian", "FRACTION,WIDTH"),
}


def choose_noise(
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
    with refuse_bad_use(ValueError):
        return getattr(bp, model)(*values)


def scale_noise(noise: Any, arguments: Namespace) -> Any:
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
    from ..readers import read_ccd

    gain, read_noise = arguments.gain, arguments.read_noise
    if gain is None and not header:
        raise UsageError("--noise ccd needs --gain")
    if read_noise is None and gain not in (None, "header"):
        read_noise = 0.0
    with refuse_argument("--gain"):
        read_ccd(header, unit, gain=gain, read_noise=0.0)
    with refuse_argument("--read-noise"):
        numbers = read_ccd(header, unit, gain=gain, read_noise=read_noise)
    with refuse_bad_use(ValueError):
        noise = bp.CCDNoise(gain=numbers.gain, read_noise=numbers.read_noise)
    return noise, f"noise: CCD, {numbers.origin}"


def knows_noise(arguments: Namespace) -> bool:
    """Whether the noise is that of a CCD or of counts, which needs no plane of errors."""
    name = (arguments.noise or "").partition(":")[0]
    return name in ("ccd", "poisson") or (not name and arguments.gain is not None)
