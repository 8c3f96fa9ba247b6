"""Tasks over plain values, dataclasses, models, files and pickled objects."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from flytekit import current_context, task
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from everything.kinds import Grade, Limits, Memory, Position, Station


class Readings(NamedTuple):
    values: list[float]
    counts: dict[str, int]
    grid: list[dict[str, list[int]]]
    remark: str | None


class Verdict(NamedTuple):
    title: str
    mean: float
    passed: bool
    grade: Grade
    until: datetime
    span: timedelta


def fresh_directory(name: str) -> Path:
    directory = Path(current_context().working_directory) / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@task
def describe(name: str, floor: int, height: float, indoor: bool) -> Station:
    return Station(
        name=name,
        height=height,
        position=Position(city=name.title(), latitude=floor + 0.5),
        offsets=[0.25, height / 2],
        labels={"indoor": str(indoor), "floor": str(floor)},
    )


@task
def read(station: Station, limits: Limits, count: int = 4, note: str | None = None) -> Readings:
    values = [limits.low + station.height * step for step in range(count)]
    inside = [value for value in values if value <= limits.high]
    return Readings(
        values=values,
        counts={"inside": len(inside), "outside": len(values) - len(inside)},
        grid=[{tag: list(range(index + 1))} for index, tag in enumerate(limits.tags)],
        remark=note,
    )


@task
def scale(value: float, factor: float = 2.0) -> float:
    return value * factor


@task
def annotate(source: FlyteFile, values: list[float]) -> FlyteFile:
    lines = [Path(source).read_text().strip(), *(f"{value:.3f}" for value in values)]
    target = fresh_directory("annotated") / "annotated.txt"
    target.write_text("\n".join(lines) + "\n")
    return FlyteFile(str(target))


@task
def archive(grid: list[dict[str, list[int]]], document: FlyteFile) -> FlyteDirectory:
    directory = fresh_directory("archive")
    (directory / "parts").mkdir(exist_ok=True)
    (directory / "document.txt").write_text(Path(document).read_text())
    for row in grid:
        for tag, numbers in row.items():
            (directory / "parts" / f"{tag}.txt").write_text(",".join(map(str, numbers)))
    return FlyteDirectory(str(directory))


@task
def remember(station: Station, grade: Grade) -> Memory:
    return Memory(station.name, grade)


@task
def judge(
    memory: Memory,
    scaled: list[list[float]],
    totals: dict[str, float],
    limits: Limits,
    began: datetime,
    period: timedelta,
    directory: FlyteDirectory,
    remark: str | None = None,
) -> Verdict:
    numbers = [number for row in scaled for number in row]
    files = sorted(path.name for path in Path(directory).rglob("*") if path.is_file())
    mean = sum(numbers) / len(numbers) + sum(totals.values())
    return Verdict(
        title=f"{memory.station}: {remark or 'no remark'}, {', '.join(files)}",
        mean=mean,
        passed=limits.low <= mean <= limits.high,
        grade=memory.grade,
        until=began + period * len(numbers),
        span=period * 2,
    )
