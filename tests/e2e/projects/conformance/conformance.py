"""The workflows of the conformance scenarios that the other projects do not have.

`place` is a directory of the test's own: tasks say there what they do, and wait for what the test puts there.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from datetime import timedelta
from pathlib import Path

from flytekit import (
    Deck,
    LaunchPlan,
    WorkflowFailurePolicy,
    approve,
    conditional,
    current_context,
    dynamic,
    eager,
    map_task,
    task,
    wait_for_input,
    workflow,
)
from flytekit.exceptions.user import FlyteRecoverableException

DEADLINE = 60.0


def note(place: str, name: str, line: str = "") -> None:
    with (Path(place) / name).open("a") as ledger:
        ledger.write(f"{line}\n")


def await_file(place: str, name: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not (Path(place) / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not appear in {DEADLINE} s")
        time.sleep(0.01)


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


# 1


@task(retries=3)
def reject(n: int) -> int:
    if n >= 0:
        raise ValueError(f"{n} is not good enough")
    return n


@workflow
def rejected(n: int) -> int:
    return reject(n=n)


# 5


@task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("name",))
def guarded(place: str, name: str) -> int:
    note(place, "ran", name)
    await_file(place, "go")
    return 5


@workflow
def serialized(place: str, name: str) -> int:
    return guarded(place=place, name=name)


# 7


@dynamic
def sum_of_squares(n: int) -> int:
    result = square(n=0)
    for i in range(1, n):
        result = add(a=result, b=square(n=i))
    return result


@workflow
def pair(n: int) -> int:
    return add(a=square(n=n), b=n)


pair_plan = LaunchPlan.get_or_create(workflow=pair, name="conformance.pair_plan")


@workflow
def inner(n: int) -> int:
    chosen = conditional("kind").if_(n == 3).then(sum_of_squares(n=n)).else_().then(square(n=n))
    mapped = total(values=map_task(square)(n=numbers(n=n)))
    return add(a=chosen, b=approve(mapped, "fine", timeout=timedelta(minutes=5)))


@workflow
def woven(n: int) -> int:
    return add(a=inner(n=n), b=pair_plan(n=n))


# 8


@dynamic(retries=2)
def ask_for_failure(place: str) -> int:
    note(place, "asked")
    return reject(n=1)


@workflow
def hopeless(place: str) -> int:
    return ask_for_failure(place=place)


# 9


@task
def even(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


@workflow
def mostly_even(values: list[int]) -> list[int | None]:
    return map_task(even, min_success_ratio=0.6)(n=values)


# 10, 15, 18


@task
def stay(n: int, place: str) -> int:
    note(place, "begun", f"{n} {os.getpid()}")
    await_file(place, "go")
    note(place, "ended", str(n))
    return n


@workflow
def two_at_a_time(place: str, values: list[int]) -> list[int]:
    return map_task(functools.partial(stay, place=place), concurrency=2)(n=values)


@workflow
def staying(place: str) -> int:
    return stay(n=1, place=place)


staying_plan = LaunchPlan.get_or_create(workflow=staying, name="conformance.staying_plan")


@workflow
def staying_below(place: str) -> int:
    return staying_plan(place=place)


# 13


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def lenient(n: int) -> tuple[int, int]:
    return square(n=reject(n=n)), add(a=square(n=n), b=1)


# 14


@workflow
def asking() -> int:
    return wait_for_input("number", timeout=timedelta(hours=1), expected_type=int)


@workflow
def asking_for_long() -> int:
    return approve(square(n=2), "sure", timeout=timedelta(0))


@workflow
def asking_briefly() -> int:
    return wait_for_input("number", timeout=timedelta(seconds=1), expected_type=int)


# 16


@task(timeout=timedelta(seconds=2), retries=1)
def oversleep(place: str) -> int:
    note(place, "begun", str(os.getpid()))
    time.sleep(DEADLINE)
    return 1


@workflow
def oversleeping(place: str) -> int:
    return oversleep(place=place)


# 19


@task(retries=1)
def resume() -> str:
    checkpoint = current_context().checkpoint
    seen = checkpoint.read()
    if seen is None:
        checkpoint.write(b"half of it")
        raise FlyteRecoverableException("only half of it")
    return seen.decode()


@workflow
def resuming() -> str:
    return resume()


# 21


@task
def do_nothing() -> None: ...


@workflow
def without_anything() -> None:
    do_nothing()


@workflow
def passing_through(n: int, text: str = "as it came") -> tuple[str, int]:
    do_nothing()
    return text, n


# 22


@task(enable_deck=True)
def draw_and_fail(n: int) -> int:
    Deck("drawing", "<b>half done</b>")
    return 1 // n


@workflow
def drawing(n: int) -> int:
    return draw_and_fail(n=n)


# Eager


@task
async def linger(place: str) -> int:
    note(place, "begun", f"1 {os.getpid()}")
    await asyncio.to_thread(await_file, place, "go")
    return 1


@eager
async def climb(n: int) -> int:
    return add(a=square(n=n), b=1)


@eager
async def wait_below(place: str) -> int:
    return await linger(place=place)


@eager
async def stumble(place: str) -> int:
    """Fails while a child of it runs, which the clean-up has to end."""
    waiting = asyncio.ensure_future(linger(place=place))
    await asyncio.to_thread(await_file, place, "begun")
    if not waiting.done():
        raise ValueError("stumbled")
    return 1


# User code that talks to the control plane it runs in


@task
def ask_control_plane(workflow_name: str, version: str, n: int) -> int:
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    here = current_context().execution_id
    remote = FlyteRemote(Config.auto(), default_project=here.project, default_domain=here.domain)
    found = remote.fetch_workflow(name=workflow_name, version=version)
    execution = remote.wait(remote.execute(found, inputs={"n": n}), poll_interval=timedelta(seconds=1))
    return int(execution.outputs["o0"])


@workflow
def asking_control_plane(workflow_name: str, version: str, n: int) -> int:
    return ask_control_plane(workflow_name=workflow_name, version=version, n=n)
