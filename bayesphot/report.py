"""What the command line says of a result, and the folder it leaves: text, files and one picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from .flags import UNMEASURED, Flag

if TYPE_CHECKING:
    from .result import PhotometryResult

__all__ = [
    "PICTURE",
    "TruthMatch",
    "describe_comparison",
    "describe_result",
    "match_truth",
    "write_report",
]

#: File name of the picture beside the catalogue, the draws and the images.
PICTURE = "photometry.png"

#: Parameters of a star, and their names in a table of the truth.
_PARAMETERS = {"x": "x_0", "y": "y_0", "flux": "flux"}
_EXAMPLE_ROWS = 8


def describe_result(result: PhotometryResult) -> str:
    """Return a few lines on a result: numbers of sources and groups, flags, engines, convergence.

    Parameters
    ----------
    result : PhotometryResult
        Of any run, also one that found nothing.

    Returns
    -------
    str
        Lines without a final newline.

    Examples
    --------
    >>> import bayesphot as bp
    >>> from bayesphot.report import describe_result
    >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, border=9, seed=1)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, sampler=False)
    >>> result = phot(scene.image, error=scene.error, positions=scene.truth)
    >>> print(describe_result(result))
    2 sources in 2 groups (largest: 1 source); 0 not measured, 0 flagged
    engines: none 2
    """
    if len(result) == 0:
        return "no sources found"
    flags = _read_column(result, "flags").astype(np.int64)
    sizes = _read_column(result, "group_size")
    in_groups = sizes > 0
    groups = np.unique(_read_column(result, "group_id")[in_groups]).size
    unmeasured = np.count_nonzero(flags & int(UNMEASURED))
    lines = [
        f"{_count(len(result), 'source')} in {_count(groups, 'group')} "
        f"(largest: {_count(int(sizes.max()), 'source')}); "
        f"{unmeasured} not measured, {np.count_nonzero(flags)} flagged"
    ]
    counts = {str(flag.name): int(np.count_nonzero(flags & flag)) for flag in Flag}
    lines += _list_counts("flags", counts)
    engines, times = np.unique(result["engine"].astype(str), return_counts=True)
    lines += _list_counts("engines", dict(zip(engines.tolist(), times.tolist(), strict=True)))
    lines += _describe_convergence(result, flags)
    return "\n".join(lines)


def _describe_convergence(result: PhotometryResult, flags: np.ndarray) -> list[str]:
    """Return a line with the worst diagnostics of the unflagged rows, none where not sampled."""
    r_hat = _read_column(result, "r_hat")
    clean = (flags == 0) & np.isfinite(r_hat)
    if not clean.any():
        return []
    ess = np.minimum(_read_column(result, "ess_bulk"), _read_column(result, "ess_tail"))
    worst, fewest = r_hat[clean].max(), ess[clean].min()
    return [f"worst unflagged row: R-hat {worst:.4f}, effective draws {fewest:.0f}"]


def _list_counts(title: str, counts: Mapping[str, int]) -> list[str]:
    """Return one line of the counts that are not zero, or no line."""
    parts = [f"{name or 'none'} {count}" for name, count in counts.items() if count]
    return [f"{title}: {', '.join(parts)}"] if parts else []


def _count(number: int, noun: str) -> str:
    """Return "1 source", "2 sources"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _read_column(table: Any, name: str) -> np.ndarray:
    """Return a column as a plain array: without unit, masked values as NaN."""
    column = table[name]
    values = np.asarray(getattr(column, "value", column))
    mask = getattr(column, "mask", None)
    if mask is None or not np.any(mask):
        return values
    return np.where(mask, np.nan, values.astype(float))


@dataclass(frozen=True, eq=False)
class TruthMatch:
    """Which row of a result is which true star.

    Parameters
    ----------
    row, star : ndarray of int, (n_found,)
        Rows of the result and the true stars that they are, in the order of the stars.
    missed : ndarray of int
        True stars without a row.
    false : ndarray of int
        Measured rows without a true star.
    resolved : ndarray of bool, (n_found,)
        False where a missed star lies within two matching radii: there the model has too few
        stars, and no error bar can know it.
    """

    row: np.ndarray
    star: np.ndarray
    missed: np.ndarray
    false: np.ndarray
    resolved: np.ndarray


def match_truth(result: PhotometryResult, truth: Any, *, radius: float) -> TruthMatch:
    """Match measured rows to true stars one to one: each is the other's nearest.

    Parameters
    ----------
    result : PhotometryResult
        Its ``x_fit`` and ``y_fit`` are compared; rows that were not measured are left out.
    truth : table with ``x_0``, ``y_0``
        True positions in pixels.
    radius : float
        Largest distance of a match, pixels; two radii for `TruthMatch.resolved`.

    Returns
    -------
    TruthMatch
    """
    from scipy.spatial import KDTree

    fitted = np.column_stack([_read_column(result, f"{axis}_fit") for axis in "xy"]).astype(float)
    true = np.column_stack([_read_column(truth, f"{axis}_0") for axis in "xy"]).astype(float)
    rows = np.flatnonzero(np.isfinite(fitted).all(axis=1))
    stars = np.arange(len(true))
    if rows.size == 0 or stars.size == 0:
        nothing = np.array([], dtype=np.int64)
        return TruthMatch(nothing, nothing, stars, rows, nothing.astype(bool))
    to_row, nearest_row = KDTree(fitted[rows]).query(true)
    _, nearest_star = KDTree(true).query(fitted[rows])
    found = (nearest_star[nearest_row] == stars) & (to_row < radius)
    row, star, missed = rows[nearest_row[found]], stars[found], stars[~found]
    resolved = np.ones(star.size, dtype=bool)
    if missed.size and star.size:
        resolved = KDTree(true[missed]).query(true[star])[0] > 2 * radius
    return TruthMatch(row, star, missed, np.setdiff1d(rows, row), resolved)


def describe_comparison(result: PhotometryResult, truth: Any, *, radius: float) -> str:
    """Return a compact table of truth against posterior.

    The share of the truths inside their central intervals should be the probability that the
    intervals claim, and the scatter of (median - truth)/error should be 1, each within the
    scatter that the number of stars allows.

    Parameters
    ----------
    result : PhotometryResult
        A sampled run.
    truth : table with ``x_0``, ``y_0`` and ``flux``
        The true stars; positions in pixels, flux in the unit of the result.
    radius : float
        See `match_truth`.

    Returns
    -------
    str
        Lines without a final newline.
    """
    match = match_truth(result, truth, radius=radius)
    lines = [
        f"{_count(len(truth), 'true star')}: {match.row.size} found, {match.missed.size} missed, "
        f"{_count(match.false.size, 'false source')}"
    ]
    if match.row.size == 0:
        return lines[0]
    lines += ["", f"{'':24}{'stars':>6}" + "".join(f"{name:>16}" for name in _PARAMETERS)]
    # A blend that hides a missed star is no test of the error bars, but it is not to be left out
    # unsaid either: so both.
    for title, chosen in (
        ("all found", np.ones(match.row.size, dtype=bool)),
        ("no missed star nearby", match.resolved),
    ):
        lines += _describe_calibration(result, truth, match, title=title, chosen=chosen)
    lines += ["", *_list_examples(result, truth, match)]
    return "\n".join(lines)


def _describe_calibration(
    result: PhotometryResult, truth: Any, match: TruthMatch, *, title: str, chosen: np.ndarray
) -> list[str]:
    """Return two lines: coverage and pull of the chosen matches, with their expected scatter."""
    inside: list[float] = []
    pulls: list[float] = []
    number = 0
    for name, true_name in _PARAMETERS.items():
        true = _read_column(truth, true_name)[match.star[chosen]]
        median, error, low, high = (
            _read_column(result, f"{name}_{kind}")[match.row[chosen]]
            for kind in ("median", "err", "lo", "hi")
        )
        sampled = np.isfinite(median) & (error > 0)
        number = int(np.count_nonzero(sampled))
        if number < 2:
            return [f"{title:24}{number:6d}   too few sampled stars"]
        inside.append(float(np.mean((low <= true)[sampled] & (true <= high)[sampled])))
        pulls.append(float(np.std((median - true)[sampled] / error[sampled], ddof=1)))
    claimed = result.ci_prob
    scatter = np.sqrt(claimed * (1 - claimed) / number)
    return [
        f"{title:24}{number:6d}"
        + "".join(f"{share:>16.1%}" for share in inside)
        + f"   in the {claimed:.0%} interval (expected scatter {scatter:.1%})",
        f"{'':30}"
        + "".join(f"{pull:>16.2f}" for pull in pulls)
        + f"   sd of pulls (expected 1 ± {1 / np.sqrt(2 * number):.2f})",
    ]


def _list_examples(result: PhotometryResult, truth: Any, match: TruthMatch) -> list[str]:
    """Return a few rows, spread evenly over the true fluxes from bright to faint."""
    brightness = np.argsort(-_read_column(truth, "flux")[match.star], kind="stable")
    spread = np.linspace(0, brightness.size - 1, min(_EXAMPLE_ROWS, brightness.size))
    heads = "".join(f"{'true ' + name:>10}{'posterior':>19}" for name in _PARAMETERS)
    lines = [f"{'id':>6}{heads}  group"]
    for index in brightness[np.unique(spread.round().astype(int))]:
        row, star = int(match.row[index]), int(match.star[index])
        cells = ""
        for (name, true_name), digits in zip(_PARAMETERS.items(), (2, 2, 0), strict=True):
            true = float(_read_column(truth, true_name)[star])
            median = float(_read_column(result, f"{name}_median")[row])
            error = float(_read_column(result, f"{name}_err")[row])
            posterior = f"{median:.{digits}f} ± {error:.{digits}f}"
            cells += f"{true:>10.{digits}f}{posterior:>19}"
        lines.append(f"{int(result['id'][row]):>6}{cells}{int(result['group_size'][row]):>7}")
    return lines


@contextmanager
def _make_partial(folder: Path) -> Iterator[Path]:
    """Give a folder beside the one to be, and remove what is left of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_report(
    result: PhotometryResult, folder: str | Path, *, overwrite: bool = False
) -> list[str]:
    """Write catalogue, draws, images and the picture, all of them or nothing.

    Parameters
    ----------
    result : PhotometryResult
        What to write.
    folder : str or Path
        Made with its parents.
    overwrite : bool
        Whether a result in a folder that exists may be replaced; other files in it stay.

    Returns
    -------
    list of str
        Names of the files in the folder.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is False.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists() and not overwrite:
        raise FileExistsError(f"folder exists: {target}")
    with _make_partial(target) as partial:
        if target.exists():
            # The picture first: if drawing fails, the older result is still whole.
            result.plot(path=partial / PICTURE)
            result.write(target, overwrite=True)
            (partial / PICTURE).replace(target / PICTURE)
        else:
            result.write(partial, overwrite=True)
            result.plot(path=partial / PICTURE)
            partial.rename(target)
    return sorted(path.name for path in target.iterdir() if not path.name.startswith("."))
