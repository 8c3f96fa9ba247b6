"""What is measured, and the samples of one system."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """``more_is_better`` turns the ratio round; ``scale`` makes the unit of seconds, MiB or executions a second."""

    key: str
    title: str
    scale: float = 1.0
    digits: int = 1
    more_is_better: bool = False


MEASURES = (
    Measure("start", "start to the first answer, s", digits=2),
    Measure("memory", "idle memory (PSS of all processes), MiB", digits=0),
    Measure("one", "one task, ms", 1000),
    Measure("chain", "chain of 10, ms", 1000, digits=0),
    Measure("map", "map over 100, ms", 1000, digits=0),
    Measure("dag", "DAG of 1,000 tasks, s", digits=1),
    Measure("rate2", "one-task executions per second, 2 at once", more_is_better=True),
    Measure("rate8", "one-task executions per second, 8 at once", more_is_better=True),
    Measure("edit", "save a file to its new outputs (`run --watch`), ms", 1000, digits=0),
)


@dataclass
class Figures:
    """One column. ``note`` says how its tasks run; ``missing`` why there are no figures."""

    name: str
    note: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    def median(self, key: str) -> float | None:
        """None for what was not measured."""
        found = self.samples.get(key)
        return statistics.median(found) if found else None
