from __future__ import annotations

import asyncio

import pytest
from flyteidl.core import execution_pb2, literals_pb2, workflow_pb2
from flyteidl.event import event_pb2

from flytelite.engine.failures import NodeFailed
from flytelite.engine.nodes.array import minimum, size_of, summary

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED
Phase = execution_pb2.TaskExecution

HEAD = """
import functools, os, time
from pathlib import Path
from flytekit import map_task, task, workflow, current_context
from flytekit.exceptions.user import FlyteRecoverableException

"""
SQUARES = (
    HEAD
    + """
@task
def power(base: int, exponent: int) -> int:
    return base ** exponent

@workflow
def wf(values: list[int]) -> list[int]:
    return map_task(functools.partial(power, exponent=2))(base=values)
"""
)


def task_events(bench, node="n0"):
    return [event for event in bench.ledger.of(node) if isinstance(event, event_pb2.TaskExecutionEvent)]


def last_phases(bench):
    """The last phase of each element's attempt, as a client merges it."""
    phases = {}
    for event in task_events(bench):
        for resource in event.metadata.external_resources:
            phases[(resource.index, resource.retry_attempt)] = resource.phase
    return phases


def test_a_map_task(bench):
    closure = bench.run(SQUARES, inputs={"values": [1, 2, 3]})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[1,4,9]"}
    events = task_events(bench)
    assert {event.retry_attempt for event in events} == {0}
    assert {event.task_type for event in events} == {"container_array"}
    assert {event.metadata.plugin_identifier for event in events} == {"k8s-array"}
    assert events[0].phase == Phase.QUEUED
    assert [resource.phase for resource in events[0].metadata.external_resources] == [Phase.UNDEFINED] * 3
    versions = [event.phase_version for event in events if event.phase == Phase.RUNNING]
    assert versions == list(range(1, len(versions) + 1))
    assert versions
    assert events[-1].phase == Phase.SUCCEEDED
    assert events[-1].output_uri.endswith("n0/data/0/outputs.pb")
    assert last_phases(bench) == {(0, 0): Phase.SUCCEEDED, (1, 0): Phase.SUCCEEDED, (2, 0): Phase.SUCCEEDED}
    # In the order in which elements have changed.
    (resource,) = [one for one in events[-1].metadata.external_resources if one.index == 1]
    assert resource.external_id == "exec-n0-0-n1-0"
    assert [log.name for log in resource.logs] == ["task log-1", "log file-1"]
    assert resource.logs[0].uri == "http://localhost:30080/logs/flytesnacks/development/exec/n0-0-n1/0"
    node = [event for event in bench.ledger.of("n0") if isinstance(event, event_pb2.NodeExecutionEvent)]
    assert all(event.is_array for event in node)
    assert bench.ledger.phases("n0")[:3] == ["QUEUED", "TE0 QUEUED", "RUNNING"]
    assert bench.ledger.notes == {}
    base = bench.settings.bucket / "metadata/propeller/flytesnacks-development-exec/n0/data"
    assert (base / "0/2/0/outputs.pb").is_file()


def test_an_empty_list(bench):
    closure = bench.run(SQUARES, inputs={"values": []})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[]"}


TOLERANT = (
    HEAD
    + """
from typing import Optional

@task
def picky(a: int) -> Optional[int]:
    if a % 2:
        raise ValueError("odd")
    return a

@workflow
def wf(values: list[int]) -> list[Optional[int]]:
    return map_task(picky, min_success_ratio=0.5)(a=values)
"""
)


def test_some_elements_may_fail(bench):
    closure = bench.run(TOLERANT, inputs={"values": [0, 1, 2, 3]})
    assert closure.phase == SUCCEEDED, closure
    found = bench.ledger.execution_outputs(bench.id).literals["o0"].collection.literals
    assert [one.scalar.WhichOneof("value") for one in found] == ["union", "none_type", "union", "none_type"]
    assert last_phases(bench)[(1, 0)] == Phase.FAILED


def test_too_many_failures(bench):
    closure = bench.run(TOLERANT, inputs={"values": [0, 1, 3, 5]})
    assert closure.phase == FAILED
    assert (closure.error.code, closure.error.kind) == ("", execution_pb2.ExecutionError.UNKNOWN)
    assert "[1-3]: " in closure.error.message or "odd" in closure.error.message
    assert task_events(bench)[-1].phase == Phase.FAILED
    assert task_events(bench)[-1].error.message == closure.error.message


def test_elements_have_their_own_retries(bench):
    source = (
        HEAD
        + """
@task(retries=2)
def flaky(directory: str) -> str:
    path = Path(directory)
    tried = path / "tried"
    if directory.endswith("b") and not tried.exists():
        tried.touch()
        raise FlyteRecoverableException("again")
    return os.environ["FLYTE_ATTEMPT_NUMBER"]

@workflow
def wf(directories: list[str]) -> list[str]:
    return map_task(flaky)(directory=directories)
"""
    )
    directories = [str(bench.directory / name) for name in ("a", "b")]
    for directory in directories:
        (bench.directory / directory).mkdir()
    closure = bench.run(source, inputs={"directories": directories})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[0,1]"}
    assert last_phases(bench) == {(0, 0): Phase.SUCCEEDED, (1, 0): Phase.FAILED, (1, 1): Phase.SUCCEEDED}


SLOW = (
    HEAD
    + """
@task
def slow(directory: str, a: int) -> int:
    with open(directory + "/ran", "a") as file:
        file.write(f"{a}\\n")
    while a and not Path(directory + "/go").exists():
        time.sleep(0.01)
    return a

@workflow
def wf(directory: str, values: list[int]) -> list[int]:
    return map_task(functools.partial(slow, directory=directory), concurrency=%s)(a=values)
"""
)


def running(bench) -> int:
    return sum(phase == Phase.RUNNING for phase in last_phases(bench).values())


def test_concurrency_limits_the_elements(bench):
    (bench.directory / "go").touch()
    closure = bench.run(SLOW % 1, inputs={"directory": str(bench.directory), "values": [1, 2, 3]})
    assert closure.phase == SUCCEEDED, closure
    active = 0
    for event in task_events(bench):
        phases = {resource.index: resource.phase for resource in event.metadata.external_resources}
        active = max(active, sum(phase in (Phase.QUEUED, Phase.RUNNING) for phase in phases.values()))
    assert active == 1


def test_an_abort_ends_all_elements(bench):
    closure = bench.build(SLOW % "None")
    inputs = bench.literals(directory=str(bench.directory), values=[1, 2])
    id = bench.id = bench.ledger.create("exec", closure, inputs)

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await asyncio.wait_for(bench.ledger.until(lambda: running(bench) == 2), 60)
        bench.ledger.terminate(id)
        propeller.abort(id, "enough")
        found = await bench.ledger.ended(id)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == ABORTED
    assert last_phases(bench) == {(0, 0): Phase.ABORTED, (1, 0): Phase.ABORTED}
    assert bench.ledger.lines()[-3:] == ["n0 TE0 ABORTED", "n0 ABORTED", "WE ABORTED"]
    assert bench.ledger.notes == {}


def half_done(bench) -> bool:
    return last_phases(bench).get((0, 0)) == Phase.SUCCEEDED and running(bench) == 2


def test_a_crash_keeps_finished_and_running_elements(bench):
    closure = bench.build(SLOW % "None")
    inputs = bench.literals(directory=str(bench.directory), values=[0, 1, 2])
    bench.id = bench.ledger.create("exec", closure, inputs)
    bench.crash(half_done)
    (bench.directory / "go").touch()
    assert bench.go(bench.id).phase == SUCCEEDED
    assert bench.outputs() == {"o0": "[0,1,2]"}
    assert sorted((bench.directory / "ran").read_text().split()) == ["0", "1", "2"]
    versions = [event.phase_version for event in task_events(bench) if event.phase == Phase.RUNNING]
    assert versions == sorted(set(versions))


def test_sizes():
    def lists(**lengths):
        inputs = literals_pb2.LiteralMap()
        for name, length in lengths.items():
            inputs.literals[name].collection.literals.extend([literals_pb2.Literal()] * length)
        return inputs

    assert size_of(workflow_pb2.ArrayNode(), lists(a=3, b=3)) == 3
    assert size_of(workflow_pb2.ArrayNode(bound_inputs=["b"]), lists(a=3, b=2)) == 3
    assert size_of(workflow_pb2.ArrayNode(bound_inputs=["a"]), lists(a=3)) == 1
    with pytest.raises(NodeFailed, match=r"expecting '3' found '2'"):
        size_of(workflow_pb2.ArrayNode(), lists(a=3, b=2))
    with pytest.raises(NodeFailed, match="no input array provided"):
        size_of(workflow_pb2.ArrayNode(), literals_pb2.LiteralMap(literals={"a": literals_pb2.Literal()}))


def test_minimum():
    assert minimum(workflow_pb2.ArrayNode(), 5) == 5
    assert minimum(workflow_pb2.ArrayNode(min_successes=2), 5) == 2
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=0.5), 5) == 3
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=0.6), 5) == 3
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=0.6), 5000) == 3000
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=0.55), 100) == 55
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=0.551), 100) == 56
    assert minimum(workflow_pb2.ArrayNode(min_success_ratio=1.0), 7) == 7


def test_messages_are_grouped():
    def error(message):
        return execution_pb2.ExecutionError(message=message)

    errors = {0: error("b"), 2: error("b"), 3: error("b"), 4: error("b"), 1: error("a")}
    assert summary(errors) == "[1]: a\n[0][2-4]: b\n"
