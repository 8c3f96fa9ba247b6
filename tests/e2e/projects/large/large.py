"""Outputs that are larger than a message that flytekit takes."""

from __future__ import annotations

from flytekit import LaunchPlan, map_task, task, workflow

SIZES = [7_000_000, 7_000_001, 7_000_002]


@task
def text(size: int) -> str:
    return "x" * size


@task
def lengths(texts: list[str]) -> list[int]:
    return [len(one) for one in texts]


@workflow
def texts() -> tuple[list[str], list[int]]:
    made = map_task(text)(size=SIZES)
    return made, lengths(texts=made)


texts_plan = LaunchPlan.get_or_create(texts, name="large.texts_plan")


@workflow
def handed_on() -> tuple[list[str], list[int]]:
    return texts_plan()
