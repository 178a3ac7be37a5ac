"""The stages of a run and its model, as the loop takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bayesphot.execute import Workers
from bayesphot.settings import ModelSettings

__all__ = ["LoopPlan"]


@dataclass(frozen=True, eq=False)
class LoopPlan:
    """The stages of a run and its model, and the unit of the image for finders that ask for it."""

    settings: ModelSettings
    finder: Callable | None
    group_maker: Callable | None
    bkg_estimator: Any
    noise: Any
    niters: int | None
    max_group_size: int | None
    aperture_radius: float | None
    workers: Workers
    unit: Any = None
