"""Where the answer of a command goes, and what it took."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from .refusals import UsageError

__all__ = ["check_output", "count_cores", "describe_memory", "name_output"]


def name_output(image: str, what: str = "bayesphot") -> str:
    """Return "m92_bayesphot" for "path/m92.fits.gz[SCI]"."""
    name = Path(image).name.partition("[")[0]
    for suffix in (".gz", ".fits", ".fit", ".fts"):
        name = name.removesuffix(suffix)
    return f"{name}_{what}"


def check_output(path: Path, *, overwrite: bool, kind: str, inputs: Iterable = ()) -> None:
    """Refuse, before the work, an output that exists, cannot be made, or is one of the inputs."""
    target = path.absolute()
    try:
        target.exists()
    except OSError as problem:
        raise UsageError(f"--out cannot be written: {problem.strerror}: {path}") from None
    for given in inputs:
        source = Path(str(given or "").partition("[")[0]).expanduser()
        if target.is_file() and source.is_file() and target.samefile(source):
            raise UsageError(f"--out would replace {source}, which is read: name another file")
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


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_memory() -> str:
    """Return the peak memory of the process, or nothing where the system does not tell."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return f", peak memory {peak / scale:.0f} MB"
