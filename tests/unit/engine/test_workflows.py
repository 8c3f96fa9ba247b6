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
