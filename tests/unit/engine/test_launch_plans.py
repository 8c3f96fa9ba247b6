from __future__ import annotations

import asyncio

import pytest
from flyteidl.admin import common_pb2
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

from flytelite.errors import AlreadyExists, Internal, InvalidArgument

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED

SOURCE = """
import time
from pathlib import Path
from flytekit import LaunchPlan, task, workflow

@task
def square(a: int) -> int:
    if a == 13:
        raise ValueError("unlucky")
    if a == 60:
        time.sleep(60)
    return a * a

@workflow
def child(a: int, b: int = 2) -> int:
    return square(a=a)

plan = LaunchPlan.get_or_create(child, "plan", default_inputs={"b": 3})

@workflow
def wf(a: int) -> int:
    return plan(a=a)
"""


def test_a_child_execution(bench):
    closure = bench.run(SOURCE, inputs={"a": 4}, max_parallelism=7)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "16"}
    assert bench.ledger.phases("n0")[:1] == ["QUEUED"]
    nodes = [event for event in bench.ledger.of("n0") if "id" in event.DESCRIPTOR.fields_by_name]
    parent = [event for event in nodes if event.id.execution_id.name == "exec"]
    assert [execution_pb2.NodeExecution.Phase.Name(event.phase) for event in parent] == [
        "QUEUED",
        "RUNNING",
        "SUCCEEDED",
    ]
    assert {event.workflow_node_metadata.execution_id.name for event in parent[1:]} == {"exec-n0-0"}
    child = next(one for one in bench.ledger.executions.values() if one.id.name == "exec-n0-0")
    assert child.spec.metadata.parent_node_execution.node_id == "n0"
    assert child.spec.max_parallelism == 7


def test_the_failure_of_a_child_is_the_nodes(bench):
    closure = bench.run(SOURCE, inputs={"a": 13})
    assert closure.phase == FAILED
    assert closure.error.code == "USER:RuntimeError"
    assert "unlucky" in closure.error.message


def test_an_abort_reaches_the_child(bench):
    closure = bench.build(SOURCE)
    id = bench.id = bench.ledger.create("exec", closure, bench.literals(a=60))

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await bench.ledger.until(lambda: bench.ledger.lines().count("n0 TE0 RUNNING") == 1)
        bench.ledger.terminate(id, "enough")
        propeller.abort(id, "enough")
        await bench.ledger.ended(id)
        child = next(one.id for one in bench.ledger.executions.values() if one.id.name == "exec-n0-0")
        found = await bench.ledger.ended(child)
        await propeller.stop()
        return found

    found = asyncio.run(main())
    assert found.phase == ABORTED
    assert found.abort_metadata.cause == "cascading abort as parent execution id [exec] aborted, reason [enough]"


def test_a_crash_while_a_child_runs(bench):
    closure = bench.build(SOURCE)
    bench.id = bench.ledger.create("exec", closure, bench.literals(a=4))
    bench.crash("n0 TE0 RUNNING")
    assert bench.go(bench.id).phase == SUCCEEDED
    assert bench.outputs() == {"o0": "16"}
    assert len(bench.ledger.executions) == 2


@pytest.mark.parametrize("how", ["abort", "failure"])
def test_the_end_of_an_execution_ends_what_its_eager_tasks_started(bench, how):
    """flytekit starts those executions itself, and marks them with a label."""
    closure = bench.build(SOURCE, "child")
    labels = common_pb2.Labels(values={"eager-exec": "exec"})

    async def main():
        propeller = bench.engine()
        await propeller.start()
        child = bench.ledger.create("child", closure, bench.literals(a=60, b=1), labels=labels)
        other = bench.ledger.create("other", closure, bench.literals(a=2, b=1))
        parent = bench.ledger.create("exec", closure, bench.literals(a=13 if how == "failure" else 60, b=1))
        for id in (child, other):
            propeller.launch(id)
        await bench.ledger.until(lambda: "n0 TE0 RUNNING" in bench.ledger.lines(child))
        propeller.launch(parent)
        if how == "abort":
            await bench.ledger.until(lambda: "n0 TE0 RUNNING" in bench.ledger.lines(parent))
            bench.ledger.terminate(parent, "enough")
            propeller.abort(parent, "enough")
        found = [await bench.ledger.ended(id) for id in (parent, child, other)]
        await propeller.stop()
        return found

    parent, child, other = asyncio.run(main())
    assert parent.phase == (ABORTED if how == "abort" else FAILED)
    assert child.phase == ABORTED
    assert child.abort_metadata.cause.startswith("cascading abort as parent execution id [exec] aborted, reason [")
    assert other.phase == SUCCEEDED


@pytest.mark.parametrize(
    ("refusal", "kind", "message"),
    [
        (
            InvalidArgument("invalid input c"),
            "USER",
            "[UserError] failed to launch workflow, caused by: invalid input c",
        ),
        (
            Internal("no memory"),
            "SYSTEM",
            "[SystemError] failed to launch workflow [plan], system error, caused by: no memory",
        ),
        (
            AlreadyExists("concurrency limit (1) reached for launch plan plan; skipping execution"),
            "USER",
            "[UserError] failed to launch workflow, caused by: "
            "concurrency limit (1) reached for launch plan plan; skipping execution",
        ),
    ],
)
def test_a_child_that_is_not_created(bench, refusal, kind, message):
    def refuse(*_):
        raise refusal

    bench.ledger.on_create = refuse
    closure = bench.run(SOURCE, inputs={"a": 4})
    assert closure.phase == FAILED
    assert closure.error.code == "RuntimeExecutionError"
    assert execution_pb2.ExecutionError.ErrorKind.Name(closure.error.kind) == kind
    assert closure.error.message == message


def while_a_child_runs(bench, then):
    """The closure of an execution to whose child something happens; ``then`` gets the child's id."""
    id = bench.ledger.create("exec", bench.build(SOURCE), bench.literals(a=60))

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await asyncio.wait_for(bench.ledger.until(lambda: "n0 TE0 RUNNING" in bench.ledger.lines()), 60)
        child = next(one.id for one in bench.ledger.executions.values() if one.id.name == "exec-n0-0")
        then(child)
        found = await asyncio.wait_for(bench.ledger.ended(id), 60)
        await propeller.stop()
        return found

    return asyncio.run(main())


def test_a_child_that_somebody_ends(bench):
    def terminate(child):
        bench.ledger.terminate(child, "enough")
        bench.propeller.abort(child, "enough")

    error = while_a_child_runs(bench, terminate).error
    assert (error.code, error.kind) == ("RemoteChildWorkflowExecutionFailed", execution_pb2.ExecutionError.USER)
    assert error.message == (
        "failed at Node[n0]. RemoteChildWorkflowExecutionFailed: launchplan [exec-n0-0] aborted,"
        " caused by: launchplan execution aborted"
    )


def test_a_child_that_is_gone(bench):
    executions = bench.ledger.executions

    def remove(child):
        for key, execution in list(executions.items()):
            if execution.id == child:
                bench.ledger.forgotten = executions.pop(key)
        bench.propeller.execution_ended(child)

    error = while_a_child_runs(bench, remove).error
    assert (error.code, error.kind) == ("NotFound", execution_pb2.ExecutionError.SYSTEM)
    assert error.message == (
        "failed at Node[n0]. NotFound: launch-plan not found, caused by: execution [exec-n0-0] does not exist any more"
    )


def test_a_child_that_fails_without_a_word(bench):
    failed = event_pb2.WorkflowExecutionEvent(phase=FAILED)

    def fail(child):
        failed.execution_id.CopyFrom(child)
        bench.ledger.emit(failed)

    error = while_a_child_runs(bench, fail).error
    assert (error.code, error.message) == ("LaunchPlanExecutionFailed", "Unknown Error")
