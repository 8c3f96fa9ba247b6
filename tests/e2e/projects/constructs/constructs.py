"""One workflow per construct of the language."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from flytekit import LaunchPlan, approve, conditional, dynamic, map_task, task, wait_for_input, workflow
from flytekit.types.error.error import FlyteError


@task
def square(n: int) -> int:
    return n * n


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def total(values: list[int]) -> int:
    return sum(values)


@workflow
def pair(n: int) -> int:
    return add(a=square(n=n), b=n)


@workflow
def sub_workflow(n: int) -> int:
    return add(a=pair(n=n), b=pair(n=2))


@workflow
def branch(n: int) -> int:
    chosen = (
        conditional("size").if_(n > 5).then(square(n=n)).elif_(n > 0).then(pair(n=n)).else_().fail("n is too small")
    )
    return add(a=chosen, b=1)


@workflow
def mapped(n: int) -> int:
    return total(values=map_task(square)(n=numbers(n=n)))


@dynamic
def sum_of_squares(n: int) -> int:
    result = square(n=0)
    for i in range(1, n):
        result = add(a=result, b=square(n=i))
    return result


@workflow
def dynamically(n: int) -> int:
    return add(a=sum_of_squares(n=n), b=0)


pair_plan = LaunchPlan.get_or_create(workflow=pair, name="constructs.pair_plan")


@workflow
def child(n: int) -> int:
    return add(a=pair_plan(n=n), b=1)


@task
def divide(n: int, ledger: str) -> int:
    return 1 // n


@task
def write_off(n: int, ledger: str, err: FlyteError | None = None) -> None:
    if err is None:
        raise ValueError("the clean-up was not told what failed")
    Path(ledger).write_text(f"{n} {err.failed_node_id} {err.message}")


@workflow(on_failure=write_off)
def cleaned_up(n: int, ledger: str) -> int:
    return divide(n=n, ledger=ledger)


@workflow
def gated(n: int) -> int:
    squared = square(n=n)
    extra = wait_for_input("extra", timeout=timedelta(minutes=5), expected_type=int)
    result = add(a=squared, b=extra)
    return square(n=approve(result, "fine", timeout=timedelta(minutes=5)))


@task(cache=True, cache_version="1")
def costly(n: int, ledger: str) -> int:
    with Path(ledger).open("a") as file:
        file.write("ran\n")
    return n + 1


@workflow
def cached(n: int, ledger: str) -> int:
    return square(n=costly(n=n, ledger=ledger))
