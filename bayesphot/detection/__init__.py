"""Finding stars: our own finders and an adapter for everybody else's."""

from __future__ import annotations

from bayesphot.detection.adapter import find_sources
from bayesphot.detection.daofind import DAOStarFinder
from bayesphot.detection.detections import Detections
from bayesphot.detection.iraf import IRAFStarFinder

__all__ = ["DAOStarFinder", "Detections", "IRAFStarFinder", "find_sources"]
