"""Workflows that wait for a person, at every level at which a gate can be."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from flytekit import LaunchPlan, approve, conditional, dynamic, sleep, task, wait_for_input, workflow

LONG = timedelta(minutes=10)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    name: str


@task
def same(n: int) -> int:
    return n


@task
def told(points: list[int], point: Point, colour: Colour) -> str:
    return f"{points} {point.x} {point.name} {colour.value}"


@workflow
def approved(n: int) -> int:
    return same(n=approve(same(n=n), "all right", timeout=LONG))


plan = LaunchPlan.get_or_create(approved, "gates.plan")


@workflow
def nested(n: int) -> int:
    return approved(n=n)


@workflow
def branched(n: int) -> int:
    return conditional("size").if_(n > 1).then(approved(n=n)).else_().then(same(n=n))


@dynamic
def generate(n: int) -> int:
    return approved(n=n)


@workflow
def generated(n: int) -> int:
    return generate(n=n)


@workflow
def child(n: int) -> int:
    return plan(n=n)


@workflow
def asking() -> str:
    points = wait_for_input("points", timeout=LONG, expected_type=list[int])
    point = wait_for_input("point", timeout=LONG, expected_type=Point)
    colour = wait_for_input("colour", timeout=LONG, expected_type=Colour)
    return told(points=points, point=point, colour=colour)


@workflow
def resting() -> None:
    sleep(LONG)
