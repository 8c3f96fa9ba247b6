"""Workflows that do next to nothing: what they take is what running them costs."""

from __future__ import annotations

from flytekit import map_task, task, workflow


@task
def step(number: int) -> int:
    return number + 1


@workflow
def one(number: int) -> int:
    return step(number=number)


@workflow
def chain(number: int) -> int:
    for _ in range(10):
        number = step(number=number)
    return number


@workflow
def spread(numbers: list[int]) -> list[int]:
    return map_task(step)(number=numbers)
