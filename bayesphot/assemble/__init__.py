"""From the final scene and its draws to the result a user sees."""

from .build import assemble_result
from .report import Report

__all__ = ["Report", "assemble_result"]
