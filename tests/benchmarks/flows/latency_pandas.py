"""A workflow like ``one`` of latency.py in a module that imports pandas."""

from __future__ import annotations

import pandas
from flytekit import task, workflow


@task
def framed(number: int) -> int:
    return number + len(pandas.__name__) - 5


@workflow
def frame(number: int) -> int:
    return framed(number=number)
