"""The blend experiment with many groups: python benchmarks/experiments/blends_in_full.py"""

from __future__ import annotations

import sys
import time

from report_rows import Row, print_table

N_GROUP = 2000
SEEDS = {"single": 1101, "pair at 4 px": 1102, "pair at 2 px": 1103, "triple, side 4 px": 1104}
ASKED = {"pull sd, flux": "1", "pull sd, position": "1", "95 % coverage": "0.95"}


def main() -> int:
    """Run all layouts, starts drawn from the prior and starts of the finder."""
    from blends import run_blends

    out = 0
    for starts in ("prior", "finder"):
        began = time.perf_counter()
        rows = []
        for layout, seed in SEEDS.items():
            outcome = run_blends(layout, N_GROUP, seed, starts=starts)
            n = len(outcome.pull)
            if starts == "finder":
                share = n / N_GROUP
                rows.append(
                    Row(f"{layout}: right number", "(reported)", share, 0.0, 1.0, N_GROUP, seed)
                )
            for name, (value, (low, high)) in outcome.summarise().items():
                asked = ASKED.get(name, "0.683")
                rows.append(Row(f"{layout}: {name}", asked, value, low, high, n, seed))
            rows.append(Row(f"{layout}: flagged", "(reported)", outcome.flagged, 0.0, 1.0, n, seed))
        out += print_table(f"Blends, starts from the {starts}", rows, began=began)
    return out


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
