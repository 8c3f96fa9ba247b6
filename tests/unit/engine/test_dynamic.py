from __future__ import annotations

import pytest
from flyteidl.core import dynamic_job_pb2, execution_pb2

from flytelite.engine import data

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
from flytekit import dynamic, task, workflow

@task
def square(a: int) -> int:
    return a * a

@workflow
def inner(a: int) -> int:
    return square(a=a)

@dynamic
def many(n: int) -> list[int]:
    return [inner(a=i) if i == 1 else square(a=i) for i in range(n)]

@workflow
def wf(n: int) -> list[int]:
    return many(n=n)
"""


def test_a_dynamic_task_runs_what_it_made(bench):
    closure = bench.run(SOURCE, inputs={"n": 3})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[0,1,4]"}
    own = bench.ledger.phases("n0")
    assert own == ["QUEUED", "TE0 QUEUED", "RUNNING", "TE0 RUNNING", "TE0 SUCCEEDED", "DYNAMIC_RUNNING", "SUCCEEDED"]
    event = bench.ledger.of("n0")[5]
    assert event.is_dynamic
    assert event.is_parent
    made = event.task_node_metadata.dynamic_workflow
    assert (made.id.name, made.id.project, len(made.id.version)) == ("dynamic_n0", "flytesnacks", 10)
    assert len(made.compiled_workflow.tasks) == 1
    assert made.dynamic_job_spec_uri.endswith("n0/data/0/futures.pb")
    child = bench.ledger.of("n0-0-dn0")[0]
    assert (child.spec_node_id, child.retry_group, child.is_in_dynamic_chain) == ("dn0", "0", True)
    assert bench.ledger.of("n0-0-dn1-0-dn0")[0].is_in_dynamic_chain
    assert (bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec/n0/data/0/outputs.pb").is_file()


def test_a_dynamic_task_without_nodes_is_an_ordinary_task(bench):
    source = """
from flytekit import dynamic, workflow

@dynamic
def none() -> int:
    return 3

@workflow
def wf() -> int:
    return none()
"""
    closure = bench.run(source)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "3"}


def test_a_failing_child_fails_the_parent_for_good(bench):
    source = SOURCE.replace("return a * a", "raise ValueError('no good')\n    return 0").replace(
        "@dynamic", "@dynamic(retries=2)"
    )
    closure = bench.run(source, inputs={"n": 2})
    assert closure.phase == FAILED
    assert "no good" in closure.error.message
    assert not [line for line in bench.ledger.lines() if line.startswith("n0 TE1")]


@pytest.mark.parametrize("line", ["n0 TE0 RUNNING", "n0 DYNAMIC_RUNNING", "n0-0-dn2 SUCCEEDED"])
def test_a_crash_keeps_the_graph_that_was_made(bench, line):
    closure = bench.build(SOURCE)
    bench.id = bench.ledger.create("exec", closure, bench.literals(n=3))
    bench.crash(line)
    closure = bench.go(bench.id)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[0,1,4]"}
    lines = bench.ledger.lines()
    assert len(lines) == len(set(lines))


LAUNCHING = """
from flytekit import LaunchPlan, dynamic, task, workflow

@task
def square(a: int) -> int:
    return a * a

@workflow
def child(a: int) -> int:
    return square(a=a)

plan = LaunchPlan.get_or_create(child, "plan")

@dynamic
def launch(a: int) -> int:
    return plan(a=a)

@workflow
def wf(a: int) -> int:
    return launch(a=a)
"""


def test_a_launch_plan_that_nobody_registered(bench):
    closure = bench.build(LAUNCHING)
    bench.ledger.plans.clear()
    bench.id = bench.ledger.create("exec", closure, bench.literals(a=2))
    error = bench.go(bench.id).error
    assert (error.code, error.kind) == ("DynamicWorkflowBuildFailed", execution_pb2.ExecutionError.USER)
    assert error.message == (
        "[User] incorrectly specified launchplan flytesnacks:development:plan:v1,"
        " caused by: [NotFound] No launch plan retrieved from Admin"
    )


def test_what_a_dynamic_task_left_is_no_workflow(bench, monkeypatch):
    spec = dynamic_job_pb2.DynamicJobSpec()
    spec.nodes.add(id="dn0").task_node.reference_id.name = "absent"
    read = data.read_message

    def misread(path, kind, *limit):
        return spec if path.name == data.FUTURES and path.exists() else read(path, kind, *limit)

    monkeypatch.setattr(data, "read_message", misread)
    error = bench.run(SOURCE, inputs={"n": 2}).error
    assert (error.code, error.kind) == ("DynamicWorkflowBuildFailed", execution_pb2.ExecutionError.USER)
    assert error.message.startswith("[User] malformed dynamic workflow, caused by: Collected Errors: 1\n\tError 0: ")
    assert "TaskReferenceNotFound" in error.message
