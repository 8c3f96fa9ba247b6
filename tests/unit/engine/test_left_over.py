"""What an earlier engine left running and this one ends before it has taken it up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2

from flytelite.engine.events import TASK_TERMINAL, TaskPhase

FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED

SOURCE = """
import functools, time
from pathlib import Path
from flytekit import dynamic, map_task, task, workflow

def stay(directory: str, what: str) -> None:
    Path(directory, what).touch()
    while not Path(directory, "go").exists():
        time.sleep(0.01)

@task
def slow(directory: str, a: int) -> int:
    stay(directory, f"slow{a}")
    return a

@task(cache=True, cache_version="1", cache_serialize=True)
def one_by_one(directory: str, a: int) -> int:
    stay(directory, f"element{a}")
    return a

@task
def bad(directory: str, a: int) -> int:
    if a == 1:
        while not Path(directory, "element0").exists():
            time.sleep(0.01)
        raise ValueError("no good")
    stay(directory, f"element{a}")
    return a

@workflow
def serialized(directory: str) -> int:
    return one_by_one(directory=directory, a=1)

@workflow
def elements(directory: str) -> list[int]:
    return map_task(functools.partial(one_by_one, directory=directory))(a=[1])

@workflow
def inner(directory: str) -> int:
    return slow(directory=directory, a=1)

@dynamic
def asked(directory: str) -> int:
    return slow(directory=directory, a=2)

@workflow
def wf(directory: str) -> tuple[int, int, list[int]]:
    elements = map_task(functools.partial(one_by_one, directory=directory))(a=[1, 2])
    return inner(directory=directory), asked(directory=directory), elements

@task
def after(directory: str) -> int:
    while not Path(directory, "slow1").exists():
        time.sleep(0.01)
    raise ValueError("no good")
    return 1

@workflow
def failing(directory: str) -> tuple[int, int]:
    return inner(directory=directory), after(directory=directory)

@workflow
def around(directory: str) -> tuple[int, int]:
    return failing(directory=directory)

@workflow
def array(directory: str) -> list[int]:
    return map_task(functools.partial(bad, directory=directory))(a=[0, 1])
"""


def begin(bench, name: str) -> None:
    closure = bench.build(SOURCE, name)
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))


def elements_in(bench, phase: int) -> int:
    return sum(note.get("phase") == phase for note in bench.ledger.notes.values())


def everything_runs(bench) -> bool:
    running = {"n1-0-n0 TE0 RUNNING", "n2-0-dn0 TE0 RUNNING"} <= set(bench.ledger.lines())
    return running and elements_in(bench, TaskPhase.RUNNING) == 2


def an_element_failed(bench) -> bool:
    return elements_in(bench, TaskPhase.FAILED) == 1


def has_a_reservation(bench) -> bool:
    return bool(bench.ledger.reservations)


def attempts_without_end(bench) -> list[Path]:
    begun = (bench.settings.data_dir / "attempts").rglob("process")
    return [path.parent for path in begun if not (path.parent / "exit").exists()]


def assert_nothing_is_left(bench) -> None:
    unfinished = {
        task.id.node_execution_id.node_id: [element.phase for element in task.closure.metadata.external_resources]
        for task in bench.ledger.tasks.values()
        if task.closure.phase not in TASK_TERMINAL
        or any(element.phase not in TASK_TERMINAL for element in task.closure.metadata.external_resources)
    }
    assert unfinished == {}
    assert attempts_without_end(bench) == []
    assert bench.ledger.reservations == {}
    assert bench.ledger.notes == {}


@pytest.mark.parametrize(
    "file", ["n0/data/inputs.pb", "n1/data/inputs.pb", "n2/data/inputs.pb", "n2/data/0/dynamic_compiled.pb"]
)
def test_an_abort_right_after_a_restart(bench, file):
    """It comes while a node reads back what it has: in the place of its file is a pipe."""
    begin(bench, "wf")
    bench.crash(everything_runs)
    assert len(attempts_without_end(bench)) == 4
    path = bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec" / file
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)

    async def main():
        propeller = bench.engine()
        await propeller.start()
        pipe = await asyncio.to_thread(path.open, "wb")  # returns when somebody reads
        bench.ledger.terminate(bench.id, "enough")
        propeller.abort(bench.id, "enough")
        with pipe:
            pipe.write(content)
        found = await asyncio.wait_for(bench.ledger.ended(bench.id), 60)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == ABORTED
    assert_nothing_is_left(bench)


@pytest.mark.parametrize(
    ("name", "condition"),
    [("failing", "n1 FAILED"), ("around", "n0-0-n1 FAILED"), ("array", an_element_failed)],
)
def test_a_failure_that_an_earlier_engine_saw(bench, name, condition):
    begin(bench, name)
    bench.crash(condition)
    closure = bench.go(bench.id)
    assert closure.phase == FAILED
    assert "no good" in closure.error.message
    assert_nothing_is_left(bench)


@pytest.mark.parametrize("name", ["serialized", "elements"])
def test_a_reservation_that_was_taken_just_before_a_crash(bench, name):
    begin(bench, name)
    bench.crash(has_a_reservation)
    assert bench.ledger.reservations
    bench.ledger.terminate(bench.id, "enough")
    assert bench.go(bench.id).phase == ABORTED
    assert bench.ledger.reservations == {}
