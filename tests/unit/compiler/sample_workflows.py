"""Workflows of every kind of node, for the golden closures. Loaded as a module of this name by ``test_golden.py``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import timedelta

from flytekit import LaunchPlan, approve, conditional, dynamic, map_task, sleep, task, wait_for_input, workflow


@dataclass
class Point:
    x: int
    y: float


@task
def double(n: int) -> int:
    return 2 * n


@task(retries=2, timeout=timedelta(minutes=5))
def add(a: int, b: int) -> int:
    return a + b


@task
def greet(name: str) -> str:
    return f"hello {name}"


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def by_name(values: dict[str, int]) -> int:
    return sum(values.values())


@task
def maybe(n: int | None = None, either: int | str = "a") -> int:
    return n or 0


@task
def point(x: int) -> Point:
    return Point(x, float(x))


@task
def note() -> None:
    pass


@task
def scaled(n: int | None, factor: int) -> int:
    return (n or 0) * factor


@workflow
def linear(n: int = 3) -> int:
    return double(n=double(n=n))


@workflow
def fan(n: int) -> tuple[int, int]:
    first = double(n=n)
    parts = [double(n=first), double(n=n), add(a=first, b=1)]
    return total(values=parts), by_name(values={"a": parts[0], "b": n})


@workflow
def without_outputs(n: int) -> None:
    first = note()
    second = double(n=n)
    first >> second


@workflow
def parent(n: int) -> int:
    return add(a=linear(n=n), b=fan(n=n)[0])


@workflow
def branching(n: int, flag: bool) -> int:
    start = double(n=n)
    return (
        conditional("outer")
        .if_((start > 10) & (n < 100))
        .then(linear(n=start))
        .elif_(flag.is_true())
        .then(conditional("inner").if_(start == 4).then(double(n=start)).else_().then(add(a=start, b=n)))
        .else_()
        .fail("too small")
    )


@workflow
def two_branches(n: int, flag: bool) -> int:
    return add(a=branching(n=n, flag=flag), b=shared(n=n, flag=flag))


@workflow
def shared(n: int, flag: bool) -> int:
    return double(n=branching(n=n, flag=flag))


@workflow
def mapped(values: list[int], factor: int) -> list[int]:
    doubled = map_task(double, concurrency=2, min_success_ratio=0.9)(n=values)
    return map_task(functools.partial(scaled, factor=factor))(n=doubled)


@task
def clean_up(n: int, err: str | None = None) -> None:
    pass


@workflow(on_failure=clean_up)
def guarded(n: int) -> int:
    return double(n=n)


@workflow
def gated(n: int) -> int:
    first = double(n=n)
    signal = wait_for_input("number", timeout=timedelta(hours=2), expected_type=int)
    approved = approve(first, "sure", timeout=timedelta(hours=1))
    nap = sleep(timedelta(seconds=10))
    last = add(a=approved, b=signal)
    nap >> last
    return last


linear_plan = LaunchPlan.get_or_create(linear, "linear_plan", default_inputs={"n": 4})
fan_plan = LaunchPlan.get_or_create(fan, "fan_plan", fixed_inputs={"n": 4})
required_plan = LaunchPlan.get_or_create(fan, "required_plan")


@workflow
def planned(n: int) -> int:
    overridden = linear_plan(n=n)
    defaulted = linear_plan()
    fixed, _ = fan_plan()
    given, _ = required_plan(n=overridden)
    return total(values=[overridden, defaulted, fixed, given])


@workflow
def attributes(x: int) -> float:
    made = point(x=x)
    double(n=made.x)
    return made.y


@workflow
def optional(n: int) -> int:
    maybe(n=None, either=n)
    maybe(either="b")
    return maybe(n=n)


@dynamic
def spread(n: int) -> list[int]:
    results = [double(n=i) for i in range(n)]
    results.append(linear(n=results[0]))
    results.append(linear_plan(n=results[1]))
    return results


@workflow
def spreading(n: int) -> list[int]:
    return spread(n=n)
