"""DAOPHOT's PSF files: an analytic profile, and tables of corrections that vary over the frame.

At a star the PSF is bright * profile + sum_k P_k(u, v) table_k, with u = x / x_middle - 1 and v
alike, P_k = 1, u, v, (3 u^2 - 1) / 2, u v, (3 v^2 - 1) / 2, and for cubic variation
(5 u^3 - 3 u) / 2, P_4 v, u P_6, (5 v^3 - 3 v) / 2 (Stetson 1987, 1992; DAOPHOT II, ``usepsf``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayesphot.psf.sampled import ImagePSF, PolynomialPSF
from bayesphot.readers import ReadError

__all__ = ["is_daophot", "read_daophot"]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][-+]?\d+)?|NaN|\*+", re.IGNORECASE)
_PROFILES = {
    "GAUSSIAN": 2,
    "MOFFAT15": 3,
    "MOFFAT25": 3,
    "MOFFAT35": 3,
    "LORENTZ": 3,
    "PENNY1": 4,
    "PENNY2": 5,
}
_POWERS = {"MOFFAT15": 1.5, "MOFFAT25": 2.5, "MOFFAT35": 3.5}
#: Tables and degrees of their variation.
_DEGREES = {0: 0, 1: 0, 3: 1, 6: 2, 10: 3}
#: Points of a pixel's side over which profiles are summed.
_N_NODE = 5
#: Samples to one sigma of a star's core, which a pixel softens: splines are exact to 1e-5 of it.
_FINENESS = 6.0
#: DAOPHOT's magnitude of unit flux.
ZERO_POINT = 25.0
#: Beyond this magnitude a flux would be no number.
FAINTEST = 200.0


@dataclass(frozen=True)
class _Header:
    """First line of a file: profile, side and number of tables, scale, middle of the frame."""

    profile: str
    side: int
    n_table: int
    magnitude: float
    bright: float
    middle: tuple[float, float]


def is_daophot(path: Path) -> bool:
    """Return whether a file begins like a PSF of DAOPHOT."""
    with open(path, "rb") as handle:
        start = handle.read(200).split()
    return bool(start) and start[0].decode("ascii", "replace").upper() in _PROFILES


def read_daophot(path: Path) -> ImagePSF | PolynomialPSF:
    """Return the PSF of a file of DAOPHOT II, fluxes in its own scale: mag = 25 - 2.5 log10(flux).

    Raises
    ------
    ReadError
        If the file is cut short, holds no numbers, or varies in a way that is not understood.
    """
    whole = path.read_text(encoding="ascii", errors="replace")
    text = whole.splitlines()
    header = _read_header(path, text[0] if text else "")
    _check_end(path, whole)
    rest = _read_numbers(path, text[1:])
    n_parameter = _PROFILES[header.profile]
    needed = n_parameter + header.n_table * header.side**2
    if rest.size != needed:
        how = "cut short" if rest.size < needed else "damaged"
        raise ReadError(
            f"{path}: {how}: {needed} numbers should follow the first line, found {rest.size}"
        )
    parameters = rest[:n_parameter]
    wrong = np.flatnonzero(~np.isfinite(rest[:needed]))
    if wrong.size:
        raise ReadError(
            f"{path}: values must be finite, found {rest[wrong[0]]} as number {wrong[0] + 1} after "
            f"the first line, and {wrong.size} in all"
        )
    if not np.all(parameters[:2] > 0.0):
        raise ReadError(
            f"{path}: the profile's widths must be positive, found {parameters[0]:g} and "
            f"{parameters[1]:g}"
        )
    tables = rest[n_parameter:needed].reshape(header.n_table, header.side, header.side)
    core = math.hypot(float(parameters[:2].min()) / math.sqrt(2.0 * math.log(2.0)), 0.3)
    step = 2 * min(max(math.ceil(0.5 * _FINENESS / core), 2), 6)
    half = (header.side - 1) // 4
    offset = np.arange(-half * step, half * step + 1) / step
    image = header.bright * _integrate(_find_profile(header.profile, parameters), offset)
    images = _combine(image, [_sample_table(table, offset) for table in tables])
    images = images / 10.0 ** (0.4 * (ZERO_POINT - header.magnitude))
    if len(images) == 1:
        return ImagePSF(images[0], oversampling=step)
    # u and v are -1 at the first pixel and 1 at the last, and a pixel reaches half of one further.
    domain = tuple((-0.5, 2.0 * middle + 0.5) for middle in header.middle)
    return PolynomialPSF(
        images, middle=header.middle, scale=header.middle, domain=domain, oversampling=step
    )


def _read_header(path: Path, line: str) -> _Header:
    """Return the numbers of the first line."""
    words = line.split()
    try:
        profile = words[0].upper()
        side, n_parameter, n_table, n_fraction = (int(word) for word in words[1:5])
        magnitude, bright, x, y = (float(word) for word in words[5:9])
    except (IndexError, ValueError):
        raise ReadError(
            f"{path}: the first line must be profile, side, parameters, tables, fractional terms, "
            f"magnitude, height, x and y of the middle, found {line.strip()!r}"
        ) from None
    if n_parameter != _PROFILES[profile]:
        raise ReadError(
            f"{path}: {profile} has {_PROFILES[profile]} parameters, found {n_parameter}"
        )
    if n_fraction:
        raise ReadError(
            f"{path}: tables that hang on the fraction of the pixel are not understood, found "
            f"{n_fraction} of them: make the PSF with no fractional-pixel expansion"
        )
    if n_table not in _DEGREES:
        raise ReadError(f"{path}: tables must be {sorted(_DEGREES)} in number, found {n_table}")
    if not (abs(magnitude) < FAINTEST and math.isfinite(bright) and math.isfinite(x + y)):
        raise ReadError(
            f"{path}: magnitude, height and middle must be finite numbers, found {magnitude:g}, "
            f"{bright:g} and ({x:g}, {y:g})"
        )
    if side < 5 or side % 2 == 0 or not bright > 0.0 or not (x > 0.0 and y > 0.0):
        raise ReadError(
            f"{path}: the side must be odd, height and middle positive, found {side}, {bright:g} "
            f"and ({x:g}, {y:g})"
        )
    return _Header(profile, side, n_table, magnitude, bright, (x, y))


def _read_numbers(path: Path, lines: list[str]) -> np.ndarray:
    """Return all numbers, which may stand against each other."""
    text = " ".join(lines)
    found = _NUMBER.findall(text)
    left = _NUMBER.sub(" ", text).split()
    if left:
        raise ReadError(f"{path}: damaged: {left[0]!r} among the numbers")
    try:
        return np.array([float(word.upper().replace("D", "E")) for word in found])
    except ValueError:
        raise ReadError(f"{path}: holds fields of stars, which are numbers too wide") from None


def _check_end(path: Path, text: str) -> None:
    """Raise ReadError for a file whose last number has fewer digits than any other of its line."""
    words = _NUMBER.findall(text.splitlines()[-1])
    if text.endswith("\n") or len(words) < 2:
        return
    digits = [sum(character.isdigit() for character in word) for word in words]
    if digits[-1] < min(digits[:-1]):
        raise ReadError(f"{path}: cut short: its last number is {words[-1]!r}, without a line end")


def _find_profile(name: str, p: np.ndarray) -> Callable:
    """Return a profile of DAOPHOT, its parameters half widths at half maximum and tilts."""
    log2 = math.log(2.0)

    def square(x, y):
        return (x / p[0]) ** 2 + (y / p[1]) ** 2

    if name == "GAUSSIAN":
        return lambda x, y: np.exp(-log2 * square(x, y)) / (p[0] * p[1])
    if name in _POWERS:
        power = _POWERS[name]
        alpha = 2.0 ** (1.0 / power) - 1.0
        scale = (power - 1.0) / (p[0] * p[1])
        return lambda x, y: scale * (1.0 + alpha * (square(x, y) + p[2] * x * y)) ** -power
    if name == "LORENTZ":
        return lambda x, y: 1.0 / (1.0 + square(x, y) + p[2] * x * y)
    tilt = p[4] if name == "PENNY2" else 0.0
    return lambda x, y: (
        p[2] * np.exp(-log2 * (square(x, y) + p[3] * x * y))
        + (1.0 - p[2]) / (1.0 + square(x, y) + tilt * x * y)
    )


def _integrate(profile: Callable, offset: np.ndarray) -> np.ndarray:
    """Return a profile summed over the pixels about all pairs of offsets, [y, x]."""
    node, weight = np.polynomial.legendre.leggauss(_N_NODE)
    total = np.zeros((offset.size, offset.size))
    for b in range(_N_NODE):
        for a in range(_N_NODE):
            x, y = offset + 0.5 * node[a], offset[:, None] + 0.5 * node[b]
            total += 0.25 * weight[a] * weight[b] * profile(x, y)
    return total


def _sample_table(table: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return a table of half pixels at all pairs of offsets, by a cubic spline."""
    from scipy.ndimage import map_coordinates

    place = 2.0 * offset + (table.shape[0] - 1) / 2
    grid = np.meshgrid(place, place, indexing="ij")
    return map_coordinates(table, grid, order=3, mode="grid-constant")


def _combine(image: np.ndarray, tables: list[np.ndarray]) -> np.ndarray:
    """Return the coefficient images of 1, u, v, u^2, u v, v^2, u^3, u^2 v, u v^2, v^3."""
    degree = _DEGREES[len(tables)]
    out = np.zeros(((degree + 1) * (degree + 2) // 2, *image.shape))
    out[0] = image
    if tables:
        out[0] += tables[0]
    if degree > 0:
        out[1:3] += tables[1:3]
    if degree > 1:
        out[0] -= 0.5 * (tables[3] + tables[5])
        out[3], out[4], out[5] = 1.5 * tables[3], tables[4], 1.5 * tables[5]
    if degree > 2:
        out[1] -= 1.5 * tables[6] + 0.5 * tables[8]
        out[2] -= 0.5 * tables[7] + 1.5 * tables[9]
        out[6], out[7] = 2.5 * tables[6], 1.5 * tables[7]
        out[8], out[9] = 1.5 * tables[8], 2.5 * tables[9]
    return out
