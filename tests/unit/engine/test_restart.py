from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED

SOURCE = """
import os, time
from pathlib import Path
from flytekit import task, workflow

@task
def first(directory: str) -> int:
    with open(directory + "/ran", "a") as file:
        file.write("first\\n")
    return 1

@task
def slow(directory: str, a: int) -> int:
    with open(directory + "/ran", "a") as file:
        file.write("slow\\n")
    while not Path(directory + "/go").exists():
        time.sleep(0.01)
    return a + int(os.environ["FLYTE_ATTEMPT_NUMBER"]) * 100

@workflow
def wf(directory: str) -> int:
    return slow(directory=directory, a=first(directory=directory))
"""


def start(bench):
    closure = bench.build(SOURCE)
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))


def ran(bench) -> list[str]:
    path = bench.directory / "ran"
    return path.read_text().split() if path.exists() else []


def test_a_crash_leaves_tasks_running_and_the_next_engine_adopts_them(bench):
    start(bench)
    bench.crash("n1 TE0 RUNNING")
    (bench.directory / "go").touch()
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "1"}
    assert sorted(ran(bench)) == ["first", "slow"]
    lines = bench.ledger.lines()
    assert len(lines) == len(set(lines))
    assert bench.ledger.notes == {}


@pytest.mark.parametrize("line", ["n0 QUEUED", "n0 RUNNING", "n0 SUCCEEDED", "n1 TE0 QUEUED", "WE RUNNING"])
def test_a_crash_anywhere_gives_the_same_result(bench, line):
    (bench.directory / "go").touch()
    start(bench)
    bench.crash(line)
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs()["o0"] in ("1", "101")
    lines = bench.ledger.lines()
    assert len(lines) == len(set(lines))


def test_a_task_that_ended_while_no_engine_ran_is_settled_from_its_exit_record(bench):
    start(bench)
    bench.crash("n1 TE0 RUNNING")
    (bench.directory / "go").touch()
    record = bench.settings.data_dir / "attempts/flytesnacks/development/exec/n1/0/exit"

    async def ended():
        while not record.exists():  # noqa: ASYNC110  a process writes it
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(ended(), 60))
    assert bench.go(bench.id).phase == SUCCEEDED
    assert sorted(ran(bench)) == ["first", "slow"]
    assert bench.outputs() == {"o0": "1"}


def test_a_clean_stop_ends_attempts_and_costs_no_retry(bench):
    start(bench)
    for attempt in range(6):  # more often than system failures are allowed
        running = f"n1 TE{attempt} RUNNING"
        asyncio.run(bench.stop_when(bench.id, lambda line=running: line in bench.ledger.lines()))
    (bench.directory / "go").touch()
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "601"}
    assert bench.ledger.lines().count("n1 TE5 FAILED") == 1


def test_an_attempt_that_never_began_costs_no_retry(bench):
    """It is on record before its process, which a fork server that still imports flytekit keeps waiting for seconds."""
    start(bench)
    (bench.directory / "go").touch()
    for attempt in range(6):  # more often than system failures are allowed
        bench.crash(f"n1 TE{attempt} QUEUED")
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "601"}
    assert sorted(ran(bench)) == ["first", "slow"]


def test_an_abort_that_was_asked_for_before_a_crash(bench):
    start(bench)
    bench.crash("n1 TE0 RUNNING")
    bench.ledger.terminate(bench.id, "enough")
    closure = bench.go(bench.id)
    assert closure.phase == ABORTED
    assert bench.ledger.lines()[-3:] == ["n1 TE0 ABORTED", "n1 ABORTED", "WE ABORTED"]
    assert bench.ledger.notes == {}
    process = bench.settings.data_dir / "attempts/flytesnacks/development/exec/n1/0"
    assert (process / "exit").exists()
    assert not (process / "work").exists()


FAILING = """
import time
from pathlib import Path
from flytekit import task, workflow

@task
def bad() -> int:
    raise ValueError("no good")
    return 0

@task
def slow() -> int:
    time.sleep(60)
    return 1

@task
def clean(directory: str):
    with open(directory + "/ran", "a") as file:
        file.write("clean\\n")
    while not Path(directory + "/go").exists():
        time.sleep(0.01)

@workflow(on_failure=clean)
def wf(directory: str) -> tuple[int, int]:
    return slow(), bad()
"""


@pytest.mark.parametrize("line", ["n1 FAILED", "WE FAILING", "n0 ABORTED", "fn0 QUEUED", "fn0 TE0 RUNNING"])
def test_a_crash_while_failing(bench, line):
    closure = bench.build(FAILING)
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))
    bench.crash(line)
    (bench.directory / "go").touch()
    closure = bench.go(bench.id)
    assert closure.phase == FAILED
    assert "no good" in closure.error.message
    assert Path(bench.directory / "ran").read_text() == "clean\n"
    lines = bench.ledger.lines()
    assert len(lines) == len(set(lines))
    assert lines.count("n0 ABORTED") == 1
    assert lines[-2:] == ["fn0 SUCCEEDED", "WE FAILED"]
