"""Figures without pyplot, their colours, and the sources they show."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..source_posterior import find_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..result import Contents

BLUE, VERMILION, BLACK, WHITE, GREY = "#0072B2", "#D55E00", "#000000", "#ffffff", "#8a8a8a"
CHAIN_COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION, GREY)


def make_figure(size: tuple[float, float], *, layout: str = "constrained") -> Figure:
    """Return an empty figure that a notebook shows although pyplot does not know it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=layout)
    # IPython shows figures by itself only where pyplot has been imported.
    figure._repr_png_ = partial(_render_png, figure)
    return figure


def _render_png(figure: Figure) -> bytes:
    """Return the figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def save_figure(figure: Figure, path) -> Figure:
    """Save the figure where that was asked for."""
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def find_rows(result: Contents, ids: int | Iterable[int]) -> np.ndarray:
    """Return the rows of sources, each once, in the order asked for."""
    wanted = list(ids) if isinstance(ids, Iterable) else [ids]
    if not wanted:
        raise ValueError("ids must name at least one source, found none")
    rows = [find_row(result["id"], one) for one in wanted]
    return np.array(list(dict.fromkeys(rows)))
