"""The floor: the same workflows called in this process by flytekit alone, as `pyflyte run` does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from comparison.figures import Figures

FLOWS = Path(__file__).parents[1] / "flows"


def measure(rounds: int) -> Figures:
    """One column."""
    sys.path.insert(0, str(FLOWS))
    import dag
    import latency

    figures = Figures("pyflyte run", "in the client's process, nothing is kept")
    runs = {
        "one": lambda: latency.one(number=1),
        "chain": lambda: latency.chain(number=1),
        "map": lambda: latency.spread(numbers=[1] * 100),
        "dag": lambda: dag.dag(number=1),
    }
    for key, run in runs.items():
        if key != "dag":
            run()
        figures.samples[key] = []
        for _ in range(rounds if key != "dag" else 1):
            begin = time.perf_counter()
            run()
            figures.samples[key].append(time.perf_counter() - begin)
    return figures
