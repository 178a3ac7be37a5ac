"""What the commands of the command line do, given their parsed arguments."""

from .calibration import run_calibration
from .companions import map_companions
from .psf import build_psf
from .refusals import UsageError
from .run import run_demo, run_image
from .simulation import warm_up, write_simulation

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
