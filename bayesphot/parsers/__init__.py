"""The options of each command, and what their values may be. Nothing but argparse is imported."""

from .companions import add_companions
from .photometry import add_demo, add_run
from .psf import add_build
from .shared import add_quiet
from .simulated import add_calibrate, add_simulate

__all__ = [
    "add_build",
    "add_calibrate",
    "add_companions",
    "add_demo",
    "add_quiet",
    "add_run",
    "add_simulate",
]
