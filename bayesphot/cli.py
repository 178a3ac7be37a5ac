"""The command line: ``bayesphot run``, ``psf``, ``companions``, ``calibrate``, ``demo`` ...

Only argparse and the options are imported at the top, so that ``bayesphot --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from . import __version__
from .parsers import (
    add_build,
    add_calibrate,
    add_companions,
    add_demo,
    add_quiet,
    add_run,
    add_simulate,
)

__all__ = ["main"]

EXIT_BAD_USE = 2
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2 and one line on stderr."""
        self.exit(EXIT_BAD_USE, f"bayesphot: error: {_join_lines(message)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        0 after success, 2 after bad use or unreadable input, 130 after an interrupt.

    Raises
    ------
    SystemExit
        By argparse, for ``--help``, ``--version`` (code 0) and unknown arguments (code 2).

    Examples
    --------
    >>> from bayesphot.cli import main
    >>> main(["run", "missing.fits", "--fwhm", "3"])  # complains on stderr
    2
    """
    arguments = _build_parser().parse_args(argv)
    from . import commands

    try:
        with _show_short_warnings():
            getattr(commands, arguments.command)(arguments)
    except commands.UsageError as problem:
        print(f"bayesphot: error: {_join_lines(str(problem))}", file=sys.stderr)
        return EXIT_BAD_USE
    except KeyboardInterrupt:
        print("bayesphot: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _join_lines(text: str) -> str:
    """Return the text as one line."""
    return " ".join(text.split())


@contextmanager
def _show_short_warnings() -> Iterator[None]:
    """Show each warning as one line without the place in the code."""
    import warnings

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        print(f"bayesphot: warning: {_join_lines(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="bayesphot",
        description="Probabilistic PSF photometry: joint posteriors for blended stars.",
    )
    parser.add_argument("--version", action="version", version=f"bayesphot {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_run(commands)
    add_build(commands)
    add_companions(commands)
    add_calibrate(commands)
    add_demo(commands)
    add_simulate(commands)
    warm = commands.add_parser(
        "warmup",
        help="compile everything once, so that later runs start at once",
        description="Compile everything once and keep it on disk.",
    )
    add_quiet(warm)
    warm.set_defaults(command="warm_up")
    return parser
