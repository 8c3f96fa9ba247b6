"""What the golden sequences of sub-workflows, launch plans and branches run."""

import sys
import time
from pathlib import Path

from flytekit import LaunchPlan, conditional, task, workflow


@task
def square(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n * n


@task
def hold(place: str) -> int:
    while not Path(place, "go").exists():
        time.sleep(0.01)
    return 1


@workflow
def inner(n: int) -> int:
    return square(n=n)


@workflow
def outer(n: int) -> int:
    return inner(n=n)


@task
def note(n: int) -> None: ...


@workflow
def empty(n: int) -> None:
    note(n=n)


@workflow
def silent(n: int) -> None:
    empty(n=n)


@task
def wait_then_fail(place: str) -> int:
    while not Path(place, "fail").exists():
        time.sleep(0.01)
    if sys:
        raise ValueError("at last")
    return 1


@workflow
def pair(place: str) -> tuple[int, int]:
    return hold(place=place), wait_then_fail(place=place)


@workflow
def pair_wf(place: str) -> tuple[int, int]:
    return pair(place=place)


plan = LaunchPlan.get_or_create(inner, "plan")


@workflow
def planned(n: int) -> int:
    return plan(n=n)


@workflow
def held(place: str) -> int:
    return hold(place=place)


held_plan = LaunchPlan.get_or_create(held, "held_plan")


@workflow
def held_wf(place: str) -> int:
    return held_plan(place=place)


@workflow
def chosen(n: int) -> int:
    return conditional("size").if_(n > 10).then(inner(n=n)).elif_(n > 0).then(square(n=n)).else_().fail("too small")


@workflow
def deep(n: int) -> int:
    return (
        conditional("outer")
        .if_(n < 10)
        .then(conditional("inner").if_(n < 5).then(square(n=n)).else_().fail("odd"))
        .else_()
        .fail("big")
    )


@workflow
def negative(n: int) -> int:
    return conditional("sign").if_(n < 0).then(square(n=n)).else_().fail("positive")
