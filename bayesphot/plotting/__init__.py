"""Pictures of a result: images with error ellipses, corner plots, chains, diagnostics.

Figures are made without pyplot, so they need no display and leave no global state. Colours are
told apart with any colour vision (viridis, purple-orange, Okabe and Ito's set).
"""

from __future__ import annotations

from .corner import draw_corner, plot_corner
from .diagnostics import plot_diagnostics
from .images import plot_images
from .parameters import Parameter
from .trace import plot_trace

__all__ = [
    "Parameter",
    "draw_corner",
    "plot_corner",
    "plot_diagnostics",
    "plot_images",
    "plot_trace",
]
