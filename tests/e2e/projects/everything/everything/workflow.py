"""One workflow over every type: fans out, takes values out of structures, fans in, and names its outputs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from flytekit import workflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from everything.frames import tabulate, total
from everything.kinds import Grade, Limits, Memory, Station
from everything.stations import annotate, archive, describe, judge, read, remember, scale


class Report(NamedTuple):
    title: str
    count: int
    mean: float
    passed: bool
    grade: Grade
    until: datetime
    span: timedelta
    values: list[float]
    counts: dict[str, int]
    grid: list[dict[str, list[int]]]
    scaled: list[list[float]]
    station: Station
    limits: Limits
    remark: str | None
    document: FlyteFile
    directory: FlyteDirectory
    frame: pd.DataFrame
    memory: Memory


@workflow
def report(
    source: FlyteFile,
    limits: Limits,
    name: str,
    floor: int,
    began: datetime,
    grade: Grade = Grade.GOOD,
    height: float = 1.5,
    indoor: bool = False,
    count: int = 4,
    period: timedelta = timedelta(hours=1, milliseconds=250),
    note: str | None = None,
) -> Report:
    station = describe(name=name, floor=floor, height=height, indoor=indoor)
    readings = read(station=station, limits=limits, count=count, note=note)
    latitude = scale(value=station.position.latitude)
    offset = scale(value=station.offsets[1], factor=10.0)
    first = scale(value=readings.values[0], factor=0.5)
    document = annotate(source=source, values=readings.values)
    directory = archive(grid=readings.grid, document=document)
    frame = tabulate(values=readings.values, counts=readings.counts)
    memory = remember(station=station, grade=grade)
    verdict = judge(
        memory=memory,
        scaled=[[latitude, offset], [first]],
        totals={"frame": total(frame=frame), "fixed": 0.25},
        limits=limits,
        began=began,
        period=period,
        directory=directory,
        remark=readings.remark,
    )
    return Report(
        title=verdict.title,
        count=count,
        mean=verdict.mean,
        passed=verdict.passed,
        grade=verdict.grade,
        until=verdict.until,
        span=verdict.span,
        values=readings.values,
        counts=readings.counts,
        grid=readings.grid,
        scaled=[[latitude, offset], [first]],
        station=station,
        limits=limits,
        remark=readings.remark,
        document=document,
        directory=directory,
        frame=frame,
        memory=memory,
    )


def arguments(source: Path) -> dict[str, Any]:
    """The inputs of the run; ``source`` is written, as an input that a client has to upload."""
    source.write_text("first line\n")
    return {
        "source": FlyteFile(str(source)),
        "limits": Limits(low=1.0, high=60.0, tags=["north", "south"]),
        "name": "alpine hut",
        "floor": 3,
        "began": datetime(2024, 2, 29, 23, 30, 15, tzinfo=UTC),
        "grade": Grade.POOR,
        "note": 'äöü\n"quoted"',
    }


def expected(source: Path) -> dict[str, Any]:
    """What the workflow returns when it is called as a plain Python function."""
    result = report(**arguments(source))
    return comparable({name: getattr(result, name) for name in Report._fields})


def comparable(outputs: dict[str, Any]) -> dict[str, Any]:
    """Values that say what files, directories, frames and pickled objects hold, so that == compares content."""
    memory, directory = outputs["memory"], Path(outputs["directory"])
    return outputs | {
        "document": Path(outputs["document"]).read_text(),
        "directory": {
            str(path.relative_to(directory)): path.read_text()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        },
        "frame": outputs["frame"].to_dict(orient="list"),
        "memory": (type(memory), vars(memory)),
    }
