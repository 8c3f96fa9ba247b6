"""The figures as a table in Markdown, with what it was measured on; and its place in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from comparison.figures import MEASURES, Figures, Measure

DOCUMENT = Path(__file__).parents[3] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def markdown(columns: Sequence[Figures], minutes: float) -> str:
    """The table: a median in each cell, and in brackets how many times flytelite's it is."""
    shown = [column for column in columns if not column.missing]
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} in one run of {minutes:.0f} minutes on {machine()}.",
        "Medians. In brackets: how many times better flytelite is (less than 1: worse).",
        "",
        f"| | {' | '.join(column.name for column in shown)} |",
        f"| --- |{' ---: |' * len(shown)}",
        f"| how tasks run | {' | '.join(column.note for column in shown)} |",
    ]
    lines += [_row(measure, shown) for measure in MEASURES]
    absent = [f"{column.name} ({column.missing})" for column in columns if column.missing]
    if absent:
        lines += ["", f"Without figures: {', '.join(absent)}. `make bench-peers` installs them."]
    return "\n".join(lines)


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = ""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = f" ({found[1]})" if found else ""
    except OSError:
        pass
    load = os.getloadavg()[1]
    return (
        f"{os.cpu_count()} cores{model}, {memory:.0f} GiB, {platform.system()},"
        f" Python {platform.python_version()}, flytekit {metadata.version('flytekit')}, load {load:.1f} at the end"
    )


def write(text: str) -> None:
    """Replace what is between the markers."""
    document = DOCUMENT.read_text()
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def _row(measure: Measure, columns: Sequence[Figures]) -> str:
    first = columns[0].median(measure.key)
    cells = []
    for column in columns:
        median = column.median(measure.key)
        if median is None:
            cells.append("–")
            continue
        text = f"{median * measure.scale:,.{measure.digits}f}"
        if first and column is not columns[0]:
            ratio = first / median if measure.more_is_better else median / first
            text += f" ({ratio:.2g}x)" if ratio < 100 else f" ({ratio:,.0f}x)"
        cells.append(text)
    return f"| {measure.title} | {' | '.join(cells)} |"
