"""The types of the report: one of each kind that flytekit can move between tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pydantic import BaseModel


class Grade(Enum):
    GOOD = "good"
    POOR = "poor"


@dataclass
class Position:
    city: str
    latitude: float


@dataclass
class Station:
    name: str
    height: float
    position: Position
    offsets: list[float] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    note: str | None = None


class Limits(BaseModel):
    low: float
    high: float
    tags: list[str]


class Memory:
    """A class that flytekit knows nothing about, so its values travel pickled."""

    def __init__(self, station: str, grade: Grade) -> None:
        self.station = station
        self.grade = grade
        self.pairs = {(1, 2): {"a", "b"}}
