"""Map tasks as flytekit made them before there were array nodes."""

from __future__ import annotations

import pytest
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
from functools import partial
from flytekit import task, workflow
from flytekit.core.legacy_map_task import map_task

@task
def times(n: int, by: int) -> int:
    if n == 13:
        raise ValueError("unlucky")
    return n * by

@task
def total(values: list[int]) -> int:
    return sum(values)

@workflow
def wf(ns: list[int], by: int) -> int:
    return total(values=map_task(partial(times, by=by), concurrency=2)(n=ns))
"""


def test_elements_run_and_their_results_are_gathered(bench):
    closure = bench.run(SOURCE, inputs={"ns": [1, 2, 3], "by": 10})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "60"}
    tasks = [one for one in bench.ledger.of("n0") if isinstance(one, event_pb2.TaskExecutionEvent)]
    assert {event.task_type for event in tasks} == {"container_array"}
    assert len(tasks[-1].metadata.external_resources) == 3
    nodes = [one for one in bench.ledger.of("n0") if isinstance(one, event_pb2.NodeExecutionEvent)]
    assert not any(node.is_array for node in nodes)


@pytest.mark.parametrize("ns", [[1, 13]])
def test_one_that_fails_fails_the_node(bench, ns):
    closure = bench.run(SOURCE, inputs={"ns": ns, "by": 10})
    assert closure.phase == FAILED
    assert "unlucky" in closure.error.message
