"""The one decorator of the kernels, and the folder where their machine code is kept.

numba's disk cache stamps only the file that defines a function, so an edited callee in another
file would leave stale code behind. The folder here is named by a hash over all kernel files, the
numba version and its flags: any edit starts a fresh one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings

import numba

from .linking import PartCompiler, WholeCompiler, has_hooks, keep_apart

#: Reductions may be reordered (so that they vectorise); NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
_FLAGS = ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK", "NUMBA_OPT", "NUMBA_CPU_NAME")


def _hash_sources() -> str:
    """Return a short hash over the kernel files and everything that changes their code."""
    digest = hashlib.sha256(numba.__version__.encode())
    folder = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), "rb") as handle:
                digest.update(handle.read())
    for flag in _FLAGS:
        digest.update(f"{flag}={os.environ.get(flag, '')}".encode())
    return digest.hexdigest()[:16]


def _candidate_folders() -> list[str]:
    """Return where caches may live: the user's choice, beside the package, the user's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [chosen]
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return [beside, os.path.join(home, "bayesphot")]


def _find_cache_folder() -> str | None:
    """Return the first candidate that can be written, or None."""
    name = f"kernels-{_hash_sources()}"
    for parent in _candidate_folders():
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


CACHE_FOLDER = _find_cache_folder()


def compiled(function):
    """Compile a kernel that Python calls: nogil, machine code kept on disk where possible."""
    return _compile(function, {}, whole=True)


def part(function):
    """Compile a kernel that only other kernels call."""
    return _compile(function, {}, whole=False)


def borrowing(function):
    """Compile a part that allocates nothing and returns no array.

    It borrows its arguments: leaving out the reference counts (an atomic operation for every
    argument, attribute and view) makes small kernels twice as fast and quicker to compile.
    """
    return _compile(function, {"_nrt": False}, whole=False)


def apart(function):
    """Compile a borrowing part that is called, not inlined: seldom needed, or long anyway.

    Inlined into each of its callers it would be compiled once for each.
    """
    keep_apart(function)
    return borrowing(function)


def _compile(function, extra, *, whole):
    """Compile with the options common to all kernels."""
    options = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": _FASTMATH,
        # Never called through a C pointer: skipping that wrapper saves a tenth of the compiling.
        "no_cfunc_wrapper": True,
        **extra,
    }
    hooked = has_hooks()
    if hooked:
        options["pipeline_class"] = WholeCompiler if whole else PartCompiler
        options["no_cpython_wrapper"] = not whole
    if CACHE_FOLDER is None or (hooked and not whole):
        return numba.njit(**options)(function)
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = CACHE_FOLDER
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = previous


if CACHE_FOLDER is None:
    warnings.warn(
        "no folder for compiled code can be written: bayesphot compiles anew in every process "
        "(set NUMBA_CACHE_DIR to a writable folder)",
        RuntimeWarning,
        stacklevel=2,
    )
