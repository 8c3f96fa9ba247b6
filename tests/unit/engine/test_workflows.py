from __future__ import annotations

from flyteidl.core import execution_pb2

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

CHAIN = """
from flytekit import task, workflow

@task
def add(a: int, b: int) -> int:
    return a + b

@workflow
def wf(a: int) -> int:
    return add(a=add(a=a, b=1), b=10)
"""


def test_a_chain_of_tasks(bench):
    closure = bench.run(CHAIN, inputs={"a": 5})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "16"}
    assert bench.ledger.lines() == [
        "WE RUNNING",
        "start-node SUCCEEDED",
        "n0 QUEUED",
        "n0 TE0 QUEUED",
        "n0 RUNNING",
        "n0 TE0 RUNNING",
        "n0 TE0 SUCCEEDED",
        "n0 SUCCEEDED",
        "n1 QUEUED",
        "n1 TE0 QUEUED",
        "n1 RUNNING",
        "n1 TE0 RUNNING",
        "n1 TE0 SUCCEEDED",
        "n1 SUCCEEDED",
        "end-node QUEUED",
        "end-node SUCCEEDED",
        "WE SUCCEEDING",
        "WE SUCCEEDED",
    ]
    assert bench.ledger.notes == {}


FAN = """
from flytekit import task, workflow

@task
def one(a: int) -> int:
    return a

@task
def total(values: list[int], named: dict[str, int]) -> int:
    return sum(values) + sum(named.values())

@workflow
def inner(a: int) -> int:
    return one(a=a)

@workflow
def wf(a: int) -> tuple[int, int]:
    x = inner(a=a)
    y = one(a=2)
    return total(values=[x, y, 3], named={"x": x, "k": 4}), a
"""


def test_fan_out_a_sub_workflow_and_a_pass_through(bench):
    closure = bench.run(FAN, inputs={"a": 1})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "11", "o1": "1"}
    lines = bench.ledger.lines()
    assert [line for line in lines if line.startswith("n0")] == [
        "n0 QUEUED",
        "n0 RUNNING",
        "n0-0-start-node SUCCEEDED",
        "n0-0-n0 QUEUED",
        "n0-0-n0 TE0 QUEUED",
        "n0-0-n0 RUNNING",
        "n0-0-n0 TE0 RUNNING",
        "n0-0-n0 TE0 SUCCEEDED",
        "n0-0-n0 SUCCEEDED",
        "n0-0-end-node QUEUED",
        "n0-0-end-node SUCCEEDED",
        "n0 SUCCEEDED",
    ]
    assert lines.index("n1 QUEUED") < lines.index("n0 SUCCEEDED")
    event = bench.ledger.of("n0-0-n0")[0]
    assert (event.spec_node_id, event.retry_group, event.parent_node_metadata.node_id) == ("n0", "0", "n0")
    assert all(event.is_parent for event in bench.ledger.of("n0"))
    base = bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec"
    assert bench.ledger.of("n0-0-n0")[-1].output_uri == str(base / "n0/data/0/n0/0/outputs.pb")
    assert (base / "n0/data/0/n0/inputs.pb").is_file()


BRANCH = """
from flytekit import conditional, task, workflow

@task
def double(a: int) -> int:
    return 2 * a

@task
def negate(a: int) -> int:
    return -a

@workflow
def wf(a: int) -> int:
    size = conditional("size").if_((a > 0) & (a < 10)).then(double(a=a))
    return size.elif_(a >= 10).then(negate(a=a)).else_().fail("small")
"""


def test_a_branch_runs_one_arm(bench):
    closure = bench.run(BRANCH, inputs={"a": 12})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "-12"}
    lines = [line for line in bench.ledger.lines() if line.startswith("n0")]
    arm = bench.ledger.of("n0-0-n0-n1")
    assert arm[0].spec_node_id == "n0-n1"
    assert lines[:3] == ["n0 QUEUED", "n0-0-n0-n1 QUEUED", "n0 RUNNING"]
    assert lines[-2:] == ["n0-0-n0-n1 SUCCEEDED", "n0 SUCCEEDED"]
    assert not bench.ledger.of("n0-0-n0-n0")


def test_a_branch_that_fails_on_purpose(bench):
    closure = bench.run(BRANCH, inputs={"a": -1})
    assert closure.phase == FAILED
    assert (closure.error.code, closure.error.message) == ("UserProvidedError", "[UserProvidedError] small")
    assert closure.error.kind == execution_pb2.ExecutionError.USER
    assert bench.ledger.phases("n0") == ["QUEUED", "FAILED"]


PARALLEL = """
import os, time
from flytekit import task, workflow

@task
def busy(a: int) -> float:
    begin = time.time()
    time.sleep(0.05)
    return begin

@workflow
def wf() -> list[float]:
    return [busy(a=1), busy(a=2), busy(a=3)]
"""


def test_max_parallelism_holds_nodes_back(bench):
    closure = bench.run(PARALLEL, max_parallelism=1)
    assert closure.phase == SUCCEEDED, closure
    running = 0
    for line in bench.ledger.lines():
        if line.startswith("n"):
            running += {"QUEUED": 1, "SUCCEEDED": -1}.get(line.split()[1], 0)
            assert running <= 1
