"""What a run hands over to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from bayesphot.catalog import Catalog
from bayesphot.collect import Places, Sampled
from bayesphot.image import Image
from bayesphot.patch import GroupData
from bayesphot.scene import Scene
from bayesphot.settings import ModelSettings

__all__ = ["Report"]


@dataclass(frozen=True, eq=False)
class Report:
    """What a run hands over to be shown.

    Parameters
    ----------
    image : Image
        The prepared image.
    catalog : Catalog
        Every source, in the order of the rows.
    places : Places
        Rows of the scene's members, ids of its groups.
    scene : Scene
        The final scene.
    sampled : Sampled or None
        What the sampling left; None: least squares only.
    settings : ModelSettings
        The run's model.
    zero_point : float or None
        Magnitude of unit flux.
    meta : dict
        Versions, arguments, seed, timings.
    chosen : bool
        Whether the pixels were chosen by who asks: none are missing then.
    """

    image: Image
    catalog: Catalog
    places: Places
    scene: Scene
    sampled: Sampled | None
    settings: ModelSettings
    zero_point: float | None
    meta: dict
    chosen: bool = False

    def cut_patches(self) -> GroupData:
        """Return the final scene's patches."""
        return self.scene.cut(self.settings)
