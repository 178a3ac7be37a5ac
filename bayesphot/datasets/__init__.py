"""Made-up images with known truth: simulated scenes, noise, and the two scenes of the tutorial."""

from .positions import draw_positions
from .scene import SimulatedScene, simulate_scene
from .tutorial import (
    make_bright_pair,
    make_four_stars,
    make_gaussian_sources,
    make_noise_image,
)

__all__ = [
    "SimulatedScene",
    "draw_positions",
    "make_bright_pair",
    "make_four_stars",
    "make_gaussian_sources",
    "make_noise_image",
    "simulate_scene",
]
