"""How many run at the same time, also after a restart."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

from flytelite.engine.events import TaskPhase
from flytelite.engine.places import Places

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
ABORTED = execution_pb2.WorkflowExecution.ABORTED

SOURCE = """
import functools, time
from datetime import timedelta
from pathlib import Path
from flytekit import LaunchPlan, dynamic, map_task, sleep, task, workflow

def note(directory, line):
    with open(directory + "/ran", "a") as file:
        file.write(line + "\\n")

@task
def quick(n: int) -> int:
    return n

@task
def hold(directory: str, n: int) -> int:
    note(directory, f"begin{n}")
    while not Path(directory, "go").exists():
        time.sleep(0.01)
    note(directory, f"end{n}")
    return n

@task(cache=True, cache_version="1", cache_ignore_input_vars=("directory",))
def keep(directory: str, n: int) -> int:
    note(directory, f"begin{n}")
    while not Path(directory, "go").exists():
        time.sleep(0.01)
    note(directory, f"end{n}")
    return n

@workflow
def wf(directory: str) -> tuple[int, int]:
    first = quick(n=1)
    second = quick(n=2)
    held = hold(directory=directory, n=first)
    other = hold(directory=directory, n=second)
    one = sleep(timedelta(milliseconds=1))
    second >> one
    for _ in range(3):
        another = sleep(timedelta(milliseconds=1))
        one >> another
        one = another
    return held, other

@workflow
def child(directory: str) -> int:
    return hold(directory=directory, n=1)

plan = LaunchPlan.get_or_create(child, "plan")

@workflow
def two(directory: str) -> tuple[int, int]:
    return plan(directory=directory), hold(directory=directory, n=2)

@workflow
def shared(directory: str) -> tuple[list[int], int]:
    return map_task(functools.partial(hold, directory=directory))(n=[1, 2]), hold(directory=directory, n=3)

@workflow
def only(directory: str, values: list[int]) -> list[int]:
    return map_task(functools.partial(keep, directory=directory), concurrency=1)(n=values)

@dynamic
def many(directory: str) -> list[int]:
    return [hold(directory=directory, n=1), hold(directory=directory, n=2)]

@workflow
def made(directory: str) -> tuple[list[int], int]:
    return many(directory=directory), hold(directory=directory, n=3)
"""


def begin(bench, name: str, **more) -> None:
    closure = bench.build(SOURCE, name)
    spec = {"max_parallelism": more.pop("max_parallelism", 25)}
    inputs = bench.literals(directory=str(bench.directory), **more)
    bench.id = bench.ledger.create("exec", closure, inputs, **spec)


def ran(bench) -> list[str]:
    path = bench.directory / "ran"
    return path.read_text().split() if path.exists() else []


def most(bench) -> int:
    """How many were under way at the same time."""
    under_way, most = set(), 0
    for line in ran(bench):
        if line.startswith("begin"):
            under_way.add(line[5:])
        else:
            under_way.discard(line[3:])
        most = max(most, len(under_way))
    return most


def test_who_runs_goes_on_before_another_begins(bench):
    """What it runs after is read back late: in the place of the file is a pipe."""
    begin(bench, "wf", max_parallelism=1)
    bench.crash("n2 TE0 RUNNING")
    path = bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec/n0/data/0/outputs.pb"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)

    async def main():
        propeller = bench.engine()
        await propeller.start()
        pipe = await asyncio.to_thread(path.open, "wb")  # returns when somebody reads
        await asyncio.wait_for(bench.ledger.until(lambda: "n7 SUCCEEDED" in bench.ledger.lines()), 60)
        with pipe:
            pipe.write(content)
        (bench.directory / "go").touch()
        found = await asyncio.wait_for(bench.ledger.ended(bench.id), 60)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == SUCCEEDED
    lines = bench.ledger.lines()
    assert lines.index("n2 SUCCEEDED") < lines.index("n3 QUEUED")


def test_an_element_that_runs_goes_on_before_another_begins(bench):
    """The first element began last, as its outputs were in the cache, but could not be read."""
    (bench.directory / "go").touch()
    begin(bench, "only", values=[7])
    assert bench.go(bench.id).phase == SUCCEEDED
    (bench.directory / "ran").unlink()
    (bench.directory / "go").unlink()
    for artifact in bench.ledger.artifacts.values():
        Path(artifact.outputs).unlink()
    inputs = bench.literals(directory=str(bench.directory), values=[7, 8])
    bench.id = bench.ledger.create("exec2", bench.closures["flow.only"], inputs)
    bench.crash(one_runs)
    asyncio.run(begun(bench, 1))
    assert ran(bench) == ["begin8"]
    bench.ledger.artifacts.clear()
    before = len(bench.ledger.events)

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await asyncio.wait_for(bench.ledger.until(lambda: len(bench.ledger.events) > before), 60)
        (bench.directory / "go").touch()
        found = await asyncio.wait_for(bench.ledger.ended(bench.id), 60)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == SUCCEEDED
    assert bench.outputs() == {"o0": "[7,8]"}
    told: dict[int, int] = {}
    for event in bench.ledger.of("n0"):
        if isinstance(event, event_pb2.TaskExecutionEvent):
            told |= {one.index: one.phase for one in event.metadata.external_resources}
            assert sum(phase in (TaskPhase.QUEUED, TaskPhase.RUNNING) for phase in told.values()) <= 1


def processes(bench) -> int:
    """How many attempts are told to run, with elements of arrays."""
    found = 0
    for task in bench.ledger.tasks.values():
        if task.closure.metadata.external_resources:
            found += sum(one.phase == TaskPhase.RUNNING for one in task.closure.metadata.external_resources)
        else:
            found += task.closure.phase == TaskPhase.RUNNING
    return found


async def begun(bench, number: int) -> None:
    async with asyncio.timeout(60):
        while len(ran(bench)) < number:  # noqa: ASYNC110  processes write it
            await asyncio.sleep(0.01)


def one_runs(bench) -> bool:
    return processes(bench) == 1


def two_run(bench) -> bool:
    return processes(bench) == 2


def two_run_that_were_made(bench) -> bool:
    return "n0 DYNAMIC_RUNNING" in bench.ledger.lines() and two_run(bench)


@pytest.mark.parametrize("name", ["shared", "made", "two"])
def test_an_execution_goes_on_though_all_its_places_are_taken(bench, name):
    """Of an array or a dynamic node what is inside of it has the places, and of a launch plan the node itself."""
    begin(bench, name, max_parallelism=2)
    bench.crash(two_run_that_were_made if name == "made" else two_run)
    asyncio.run(begun(bench, 2))
    (bench.directory / "go").touch()
    assert bench.go(bench.id).phase == SUCCEEDED
    assert most(bench) == 2
    assert ran(bench).count("begin1") == 1


def test_what_is_ended_leaves_its_place():
    async def main():
        places = Places(1, ["a", "b"])
        waiting = asyncio.ensure_future(places.take("c"))
        await places.take("a")
        places.forget("b")  # there was one too many
        await asyncio.sleep(0)
        assert not waiting.done()
        places.forget("b")
        places.release()
        await waiting

    asyncio.run(main())
