"""Deadlines of attempts when the engine was down: they count from when they counted before, and once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from flyteidl.core import execution_pb2

from flytelite.engine.executors import shim
from flytelite.engine.executors.attempt import read_record

from .test_left_over import assert_nothing_is_left

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
HOUR = 3600

SOURCE = """
import functools, os, time
from datetime import timedelta
from pathlib import Path
from flytekit import dynamic, map_task, sleep, task, workflow

def hold(directory):
    with open(directory + "/ran", "a") as file:
        file.write(os.environ["FLYTE_ATTEMPT_NUMBER"] + "\\n")
    while not Path(directory, "go").exists():
        time.sleep(0.01)

@task(timeout=timedelta(hours=1))
def slow(directory: str) -> int:
    hold(directory)
    return 1

@task(timeout=timedelta(hours=1), cache=True, cache_version="1", cache_serialize=True)
def kept(directory: str) -> int:
    hold(directory)
    return 1

@workflow
def serialized(directory: str) -> int:
    return kept(directory=directory)

@workflow
def serialized_map(directory: str) -> list[int]:
    return map_task(kept)(directory=[directory])

@task
def plain(directory: str) -> int:
    hold(directory)
    return 1

@workflow
def wf(directory: str) -> int:
    return slow(directory=directory)

@workflow
def mapped(directory: str) -> list[int]:
    return map_task(slow)(directory=[directory])

@workflow
def inner(directory: str) -> int:
    return plain(directory=directory)

@workflow
def outer(directory: str) -> int:
    return inner(directory=directory).with_overrides(timeout=timedelta(hours=1))

@dynamic(timeout=timedelta(hours=1))
def many(directory: str) -> int:
    return plain(directory=directory)

@workflow
def made(directory: str) -> int:
    return many(directory=directory)

@workflow
def waiting(directory: str):
    sleep(timedelta(minutes=30)).with_overrides(timeout=timedelta(hours=1))
"""


def begin(bench, name: str) -> None:
    closure = bench.build(SOURCE, name)
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))


def ran(bench) -> list[str]:
    path = bench.directory / "ran"
    return path.read_text().split() if path.exists() else []


def runs(bench) -> bool:
    notes = bench.ledger.notes.values()
    if any("size" in note for note in notes):  # of an array, whose task execution runs before its elements
        return any(note.get("phase") == execution_pb2.TaskExecution.RUNNING for note in notes)
    return bool({"n0 TE0 RUNNING", "n0-0-n0 TE0 RUNNING"} & set(bench.ledger.lines()))


def crash_while_it_runs(bench, name: str) -> None:
    begin(bench, name)
    bench.crash("n0-0-dn0 TE0 RUNNING" if name == "made" else runs)
    asyncio.run(until(lambda: ran(bench)))


def is_late(bench) -> bool:
    return any("late" in note for note in bench.ledger.notes.values())


def pass_time(bench, seconds: float) -> None:
    """The engine was down for so long."""
    for note in bench.ledger.notes.values():
        for name in ("queued_at", "started_at", "at"):
            if name in note:
                note[name] -= seconds


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  another process does it
            await asyncio.sleep(0.01)


def attempts(bench) -> list:
    return sorted((bench.settings.data_dir / "attempts").rglob("lock"))


@pytest.mark.parametrize("name", ["wf", "mapped", "outer", "made"])
def test_what_has_ended_while_no_engine_ran_has_ended_in_time(bench, name):
    crash_while_it_runs(bench, name)
    (bench.directory / "go").touch()
    asyncio.run(until(lambda: all((one.parent / "exit").exists() for one in attempts(bench))))
    pass_time(bench, 5 * HOUR)
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert ran(bench) == ["0"]
    assert_nothing_is_left(bench)


@pytest.mark.parametrize("name", ["wf", "mapped", "outer", "made"])
@pytest.mark.parametrize("hours", [1.5, 5])
def test_what_still_runs_is_late(bench, name, hours):
    crash_while_it_runs(bench, name)
    pass_time(bench, hours * HOUR)
    closure = bench.go(bench.id)
    assert closure.phase == FAILED
    assert "timeout" in closure.error.message.lower()
    assert ran(bench) == ["0"]
    lines = [line for line in bench.ledger.lines() if line != "n0 TE0 RUNNING"]  # of an array there are several
    assert len(lines) == len(set(lines))
    assert_nothing_is_left(bench)


@pytest.mark.parametrize("name", ["serialized", "serialized_map"])
def test_what_was_ended_as_late_just_before_the_engine_was_killed_is_late(bench, name):
    crash_while_it_runs(bench, name)
    pass_time(bench, 1.5 * HOUR)
    bench.crash(is_late)
    (lock,) = attempts(bench)
    os.killpg(int(read_record(lock.parent / shim.PROCESS)["task_pid"]), signal.SIGTERM)  # the engine's last deed
    asyncio.run(until((lock.parent / "exit").exists))
    closure = bench.go(bench.id)
    assert closure.phase == FAILED
    assert "task execution timeout [1h0m0s] expired" in closure.error.message
    assert len(attempts(bench)) == 1
    assert_nothing_is_left(bench)


def test_a_gate_that_was_to_open_while_no_engine_ran(bench):
    begin(bench, "waiting")
    bench.crash("n0 RUNNING")
    pass_time(bench, 5 * HOUR)
    assert bench.go(bench.id).phase == SUCCEEDED


def test_what_a_late_dynamic_node_made_ends_with_it(bench):
    """It is late while its closure is read back: in the place of the file is a pipe."""
    begin(bench, "made")
    bench.crash("n0-0-dn0 TE0 RUNNING")
    path = bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec/n0/data/0/dynamic_compiled.pb"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    (note,) = [note for note in bench.ledger.notes.values() if note.get("dynamic")]
    note["started_at"] = time.time() - HOUR + 0.5

    async def main():
        propeller = bench.engine()
        await propeller.start()
        pipe = await asyncio.to_thread(path.open, "wb")  # returns when somebody reads
        found = await asyncio.wait_for(bench.ledger.ended(bench.id), 60)
        with pipe:
            pipe.write(content)
        await propeller.stop()
        return found

    closure = asyncio.run(main())
    assert closure.phase == FAILED
    assert closure.error.code == "RetriesExhausted|TimeoutExpired"
    assert bench.ledger.phases("n0-0-dn0")[-2:] == ["TE0 ABORTED", "ABORTED"]
    assert bench.ledger.of("n0-0-dn0")[-1].error.message == "task execution timeout [1h0m0s] expired"
    assert_nothing_is_left(bench)
