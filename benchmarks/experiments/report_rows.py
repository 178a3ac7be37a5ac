"""What the experiments share: the path to their modules, and tables of asked and measured."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

#: The experiments themselves live beside the tests, which run them with smaller numbers.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "statistical"))


@dataclass(frozen=True)
class Row:
    """One number: what it should be, what it is, and the band a correct program stays in."""

    what: str
    asked: str
    measured: float
    low: float
    high: float
    n: int
    seed: int

    @property
    def holds(self) -> bool:
        """Whether the number is in its band; not a number is not."""
        return self.low <= self.measured <= self.high


def print_table(title: str, rows: list[Row], *, began: float) -> int:
    """Print a Markdown table; return the number of rows out of their bands."""
    print(f"### {title}\n")
    print("| | asked | measured | band | n | seed |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        mark = "" if row.holds else " **out**"
        band = f"{row.low:.4g} to {row.high:.4g}"
        if row.high == float("inf"):
            band = f"at least {row.low:.4g}"
        numbers = f"{row.measured:.4g}{mark} | {band} | {row.n} | {row.seed}"
        print(f"| {row.what} | {row.asked} | {numbers} |")
    print(f"\n{time.perf_counter() - began:.0f} s\n", flush=True)
    return sum(not row.holds for row in rows)
