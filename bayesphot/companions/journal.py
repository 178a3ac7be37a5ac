"""The file of a long run of injections: what is finished is never lost, nor done again."""

from __future__ import annotations

import json
import math
from pathlib import Path

__all__ = ["Journal"]

#: What a line must hold: a place on the axes, and what the search found in its images.
PLACE, FOUND = ("separation", "delta_mag"), "log_evidence_ratio"


class Journal:
    """Finished parts, one a line after a first line that says of which run they are.

    Parameters
    ----------
    path : path
        The file; a new one is begun.
    key : dict
        What the run is made with; ``n`` images each part.

    Raises
    ------
    ValueError
        If the file is no such file, or of another run.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, path: str | Path, key: dict) -> None:
        self.path = Path(path)
        self.done: dict[tuple[float, float], list[float]] = {}
        first = json.dumps(key)
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        # A run that was stopped while it wrote leaves a part of a line, which is done again.
        whole, cut = text[: text.rfind("\n") + 1], text[text.rfind("\n") + 1 :]
        lines = whole.rstrip("\n").splitlines()
        if not lines and not first.startswith(cut):
            raise ValueError(f"{path} is no file of injections: line 1")
        for number, line in enumerate(lines, start=1):
            self._read(line, number, key)
        if cut or not lines:
            self.path.write_text(whole or first + "\n", encoding="utf-8")

    def add(self, place: tuple[float, float], found: list[float]) -> None:
        """Keep a finished part."""
        self.done[place] = found
        entry = dict(zip(PLACE, place, strict=True)) | {FOUND: found}
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")

    def _read(self, line: str, number: int, key: dict) -> None:
        """Take one line."""
        try:
            entry = json.loads(line)
            if number > 1:
                separation, delta_mag = (float(entry[name]) for name in PLACE)
                found = [float(log) for log in entry[FOUND]]
                if len(found) != key["n"] or not all(map(math.isfinite, found)):
                    raise ValueError
                self.done[separation, delta_mag] = found
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"{self.path} is no file of injections: line {number}") from None
        if number == 1 and entry != key:
            raise ValueError(
                f"{self.path} holds injections of another target, prior, number or seed: name "
                "another file"
            )
