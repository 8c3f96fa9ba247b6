from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import replace

from flyteidl.core import execution_pb2

from flytelite.engine import commands
from flytelite.engine.failures import ERROR_LIMIT, SYSTEM, USER, execution_error, exhausted, shortened

FAILED = execution_pb2.WorkflowExecution.FAILED
SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
ABORTED = execution_pb2.WorkflowExecution.ABORTED

HEAD = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
from flytekit import task, workflow, WorkflowFailurePolicy, current_context
from flytekit.exceptions.user import FlyteRecoverableException

"""


def test_budgets():
    user = execution_error(USER, "USER:Recoverable", "again")
    assert exhausted(user, 0, 0, 2) is None
    final = exhausted(user, 1, 0, 2)
    assert (final.error.code, final.error.message) == (
        "RetriesExhausted|USER:Recoverable",
        "[2/2] currentAttempt done. Last Error: USER::again",
    )
    # A system failure in between costs the user nothing.
    assert exhausted(user, 1, 1, 2) is None
    system = execution_error(SYSTEM, "Interrupted", "gone")
    assert exhausted(system, 2, 2, 1) is None
    assert exhausted(system, 3, 3, 1).error.message.startswith("[3/3]")
    assert exhausted(system, 3, 3, 1).error.kind == USER


def test_long_messages_keep_both_ends():
    text = shortened("a" * ERROR_LIMIT + "z" * 10)
    assert len(text) <= ERROR_LIMIT
    assert text.startswith("aaa")
    assert text.endswith("zzz")


def test_an_exception_is_not_retried(bench):
    source = (
        HEAD
        + """
@task(retries=3)
def bad() -> int:
    raise ValueError("no good")
    return 0

@workflow
def wf() -> int:
    return bad()
"""
    )
    closure = bench.run(source)
    assert closure.phase == FAILED
    assert (closure.error.code, closure.error.kind) == ("USER:RuntimeError", USER)
    assert "ValueError: no good" in closure.error.message
    assert "flow.py" in closure.error.message
    lines = bench.ledger.lines()
    assert lines[-4:] == ["n0 TE0 FAILED", "n0 FAILED", "WE FAILING", "WE FAILED"]
    assert bench.ledger.notes == {}
    log = bench.settings.data_dir / "attempts/flytesnacks/development/exec/n0/0/task.log"
    assert "no good" in log.read_text()


def test_recoverable_exceptions_use_up_the_retries(bench):
    source = (
        HEAD
        + """
@task(retries=2)
def bad() -> int:
    raise FlyteRecoverableException("again")
    return 0

@workflow
def wf() -> int:
    return bad()
"""
    )
    closure = bench.run(source)
    assert closure.error.code == "RetriesExhausted|USER:Recoverable"
    assert closure.error.message.startswith("[3/3] currentAttempt done. Last Error: USER::")
    assert bench.ledger.phases("n0") == [
        "QUEUED",
        "TE0 QUEUED",
        "RUNNING",
        "TE0 RUNNING",
        "TE0 FAILED",
        "TE1 QUEUED",
        "TE1 RUNNING",
        "TE1 FAILED",
        "TE2 QUEUED",
        "TE2 RUNNING",
        "TE2 FAILED",
        "FAILED",
    ]


def test_a_checkpoint_reaches_the_next_attempt(bench):
    source = (
        HEAD
        + """
@task(retries=1)
def resume() -> str:
    checkpoint = current_context().checkpoint
    before = checkpoint.read()
    if before is None:
        checkpoint.write(b"half")
        raise FlyteRecoverableException("again")
    return f"{before.decode()} {os.environ['FLYTE_ATTEMPT_NUMBER']}"

@workflow
def wf() -> str:
    return resume()
"""
    )
    closure = bench.run(source)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "half 1"}


def test_a_nonzero_exit_is_a_system_failure(bench):
    source = (
        HEAD
        + """
@task
def bad() -> int:
    print("last words")
    sys.stdout.flush()
    os._exit(3)
    return 0

@workflow
def wf() -> int:
    return bad()
"""
    )
    closure = bench.run(source)
    assert closure.error.code == "RetriesExhausted|Interrupted"
    assert "terminated with exit code (3). Reason [Error]" in closure.error.message
    assert "last words" in closure.error.message
    assert bench.ledger.lines().count("n0 TE3 FAILED") == 1
    assert bench.ledger.lines()[-4] == "n0 TE3 FAILED"


def test_a_process_that_cannot_even_begin_uses_up_the_retries(bench, monkeypatch):
    """Nobody has ended flytelite, so it is no accident that costs nothing: there would be attempts without end."""
    source = (
        HEAD
        + """
@task
def fine() -> int:
    return 1

@workflow
def wf() -> int:
    return fine()
"""
    )
    bench.settings = replace(bench.settings, executor="subprocess")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # whose upgrade has broken it, for example
    closure = bench.run(source)
    assert closure.error.code == "RetriesExhausted|ResourceDeletedExternally"


def test_a_task_without_results(bench):
    source = (
        HEAD
        + """
from flytekit.core.base_task import IgnoreOutputs

@task
def silent():
    raise IgnoreOutputs("nothing to say")

@task
def mute() -> int:
    raise IgnoreOutputs("nothing to say")
    return 0

@workflow
def wf() -> int:
    quiet = silent()
    loud = mute()
    quiet >> loud
    return loud
"""
    )
    closure = bench.run(source)
    assert closure.error.code == "RetriesExhausted|OutputsNotFound"
    assert "SUCCEEDED" in bench.ledger.phases("n0")


def test_siblings_are_aborted_and_dependents_never_start(bench):
    source = (
        HEAD
        + """
@task
def bad(marker: str) -> int:
    while not Path(marker).exists():
        time.sleep(0.01)
    raise ValueError("no good")
    return 0

@task
def slow(marker: str) -> int:
    Path(marker).touch()
    time.sleep(60)
    return 1

@task
def after(a: int) -> int:
    return a

@workflow
def wf(marker: str) -> int:
    bad(marker=marker)
    return after(a=slow(marker=marker))
"""
    )
    closure = bench.run(source, inputs={"marker": str(bench.directory / "marker")})
    assert closure.phase == FAILED
    assert "no good" in closure.error.message
    lines = bench.ledger.lines()
    assert (
        lines.index("WE FAILING") < lines.index("n1 TE0 ABORTED") < lines.index("n1 ABORTED") < lines.index("WE FAILED")
    )
    aborted = bench.ledger.of("n1")[-1]
    assert (aborted.error.code, aborted.error.message) == ("NodeAborted", "Some node execution failed, auto-abort.")
    assert not bench.ledger.of("n2")
    assert not bench.ledger.of("end-node")


LENIENT = (
    HEAD
    + """
@task
def bad() -> int:
    raise ValueError("no good")
    return 0

@task
def good() -> int:
    return 1

@task
def after(a: int) -> int:
    return a

@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def wf() -> tuple[int, int]:
    return after(a=bad()), after(a=good())
"""
)


def test_the_lenient_policy_lets_others_finish(bench):
    closure = bench.run(LENIENT)
    assert closure.phase == FAILED
    assert "no good" in closure.error.message
    assert bench.ledger.phases("n1") == ["SKIPPED"]
    assert bench.ledger.phases("n3")[-1] == "SUCCEEDED"
    assert bench.ledger.phases("end-node") == ["SKIPPED"]
    assert bench.ledger.lines()[-2:] == ["WE FAILING", "WE FAILED"]


FAILURE_NODE = (
    HEAD
    + """
from typing import Optional
from flytekit.types.error import FlyteError

@task
def bad(a: int) -> int:
    raise ValueError("no good")
    return 0

@task
def clean(a: int, path: str, err: Optional[FlyteError] = None):
    Path(path).write_text(f"{a} {err.failed_node_id} {'no good' in err.message}")

@workflow(on_failure=clean)
def wf(a: int, path: str) -> int:
    return bad(a=a)
"""
)


def test_a_failure_node_gets_the_error(bench):
    path = bench.directory / "cleaned"
    closure = bench.run(FAILURE_NODE, inputs={"a": 7, "path": str(path)})
    assert closure.phase == FAILED
    assert closure.error.code == "USER:RuntimeError"
    assert path.read_text() == "7 fn0 True"
    lines = bench.ledger.lines()
    assert (
        lines.index("WE FAILING") < lines.index("fn0 QUEUED") < lines.index("fn0 SUCCEEDED") < lines.index("WE FAILED")
    )


def test_a_failing_failure_node_replaces_the_error(bench):
    closure = bench.run(FAILURE_NODE, inputs={"a": 7, "path": "/nowhere/at/all"})
    assert "FileNotFoundError" in closure.error.message


def test_a_timeout_without_retries(bench):
    source = (
        HEAD
        + """
@task(timeout=timedelta(seconds=1))
def slow() -> int:
    time.sleep(60)
    return 1

@workflow
def wf() -> int:
    return slow()
"""
    )
    closure = bench.run(source)
    assert closure.error.code == "RetriesExhausted|TimeoutExpired"
    assert "task execution timeout [1s] expired" in closure.error.message
    assert bench.ledger.phases("n0")[-2:] == ["TE0 ABORTED", "FAILED"]


SLOW = (
    HEAD
    + """
@task
def slow(marker: str) -> int:
    Path(marker).write_text(str(os.getpid()))
    while not Path(marker + ".go").exists():
        time.sleep(0.01)
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])

@workflow
def inner(marker: str) -> int:
    return slow(marker=marker)

@workflow
def wf(marker: str) -> int:
    return inner(marker=marker)
"""
)


def test_abort_ends_the_processes_first(bench):
    marker = bench.directory / "marker"
    closure = bench.build(SLOW)
    id = bench.id = bench.ledger.create("exec", closure, bench.literals(marker=str(marker)))

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await bench.ledger.until(lambda: "n0-0-n0 TE0 RUNNING" in bench.ledger.lines())
        bench.ledger.terminate(id, "enough")
        propeller.abort(id, "enough")
        found = await bench.ledger.ended(id)
        await propeller.stop()
        return found

    found = asyncio.run(main())
    assert found.phase == ABORTED
    assert found.abort_metadata.cause == "enough"
    assert bench.ledger.lines()[-4:] == ["n0-0-n0 TE0 ABORTED", "n0-0-n0 ABORTED", "n0 ABORTED", "WE ABORTED"]
    assert bench.ledger.of("n0")[-1].error.message == "enough"
    assert bench.ledger.notes == {}


def test_the_engine_tells_of_its_own_bugs(bench, monkeypatch):
    from flytelite.engine.nodes.lifecycle import END_NODE, HANDLERS

    async def bug(node):
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(HANDLERS, END_NODE, bug)
    source = (
        HEAD
        + """
@task
def good() -> int:
    return 1

@workflow
def wf() -> int:
    return good()
"""
    )
    closure = bench.run(source)
    assert closure.phase == FAILED
    assert (closure.error.kind, closure.error.message) == (SYSTEM, "ZeroDivisionError: a bug")
    assert bench.ledger.phases("end-node") == ["QUEUED", "ABORTED"]


def test_a_bug_leaves_no_node_that_is_not_told_of(bench, monkeypatch):
    def bug(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(commands, "installs", bug)
    closure = bench.run(SLOW, inputs={"marker": str(bench.directory / "marker")})
    assert (closure.error.kind, closure.error.message) == (SYSTEM, "ZeroDivisionError: a bug")
    assert bench.ledger.phases("n0-0-n0") == ["QUEUED", "ABORTED"]
    assert bench.ledger.lines()[-1] == "WE FAILED"


def test_what_runs_inside_of_a_late_node_is_told_why(bench):
    closure = bench.build(SLOW)
    inner = next(node for node in closure.primary.template.nodes if node.id == "n0")
    inner.metadata.timeout.seconds = 1
    inner.metadata.retries.retries = 1
    bench.id = bench.ledger.create("exec", closure, bench.literals(marker=str(bench.directory / "marker")))
    assert bench.go(bench.id).phase == FAILED
    assert bench.node("n0-0-n0").closure.error.message == "task execution timeout [1s] expired"
