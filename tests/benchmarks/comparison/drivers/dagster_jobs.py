"""Dagster's jobs: each op is a process, as its default executor has it, two at a time."""

from __future__ import annotations

import dagster


@dagster.op
def first() -> int:
    return 1


@dagster.op
def step(number: int) -> int:
    return number + 1


@dagster.op(out=dagster.DynamicOut(int))
def numbers():
    for number in range(100):
        yield dagster.DynamicOutput(number, mapping_key=str(number))


@dagster.job
def one():
    first()


@dagster.job
def chain():
    number = first()
    for index in range(9):
        number = step.alias(f"step{index}")(number)


@dagster.job
def spread():
    numbers().map(step)


definitions = dagster.Definitions(
    jobs=[one, chain, spread], executor=dagster.multiprocess_executor.configured({"max_concurrent": 2})
)
