"""A workflow of a thousand task nodes: ten layers of a hundred, each node of a layer needs two of the one before."""

from __future__ import annotations

from flytekit import task, workflow

LAYERS, WIDTH = 10, 100


@task
def add(left: int, right: int) -> int:
    return left + right


@workflow
def dag(number: int) -> int:
    row = [number] * WIDTH
    for _ in range(LAYERS):
        row = [add(left=row[i], right=row[(i + 1) % WIDTH]) for i in range(WIDTH)]
    return row[0]
