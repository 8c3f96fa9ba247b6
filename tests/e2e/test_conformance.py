"""The conformance scenarios, each a test named by its number: what Flyte's users see of FlytePropeller's behaviour.

Scenarios that somebody has to end or to kill are in test_conformance_endings.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import node_execution_pb2, task_pb2
from flyteidl.core import catalog_pb2, literals_pb2
from flyteidl.core.execution_pb2 import ExecutionError, NodeExecution, TaskExecution

CONSTANT = """
from flytekit import task, workflow
import time, os

@task
def constant(place: str) -> int:
    open(os.path.join(place, "{0}"), "w").close()
    deadline = time.monotonic() + 60
    while len(os.listdir(place)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return {0}

@workflow
def versioned(place: str) -> int:
    return constant(place=place)
"""


def phase(node: Any) -> str:
    return str(NodeExecution.Phase.Name(node.closure.phase))


def phases(client: Any, execution: Any) -> dict[str, str]:
    return {name: phase(node) for name, node in client.nodes(execution).items()}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def cache_status(node: Any) -> str:
    return str(catalog_pb2.CatalogCacheStatus.Name(node.closure.task_node_metadata.cache_status))


def node_data(client: Any, id: Any) -> Any:
    request = node_execution_pb2.NodeExecutionGetDataRequest(id=id)
    return client.remote.client.raw.get_node_execution_data(request)


def test_01_an_ordinary_exception_is_never_retried(client: Any) -> None:
    execution = client.run("conformance.rejected", n=1)
    assert client.phase(execution) == "FAILED"
    (attempt,) = client.attempts(execution)
    error = attempt.closure.error
    assert (error.code, error.kind) == ("USER:RuntimeError", ExecutionError.USER)
    assert "1 is not good enough" in execution.closure.error.message


def test_02_a_recoverable_exception_uses_up_the_retries(client: Any) -> None:
    execution = client.run("faults.retrying", value=7)
    attempts = client.attempts(execution)
    assert [attempt.id.retry_attempt for attempt in attempts] == [0, 1, 2]
    assert {attempt.closure.phase for attempt in attempts} == {TaskExecution.FAILED}
    assert {attempt.closure.error.code for attempt in attempts} == {"USER:Recoverable"}
    error = client.nodes(execution)["n0"].closure.error
    assert error.code == execution.closure.error.code == "RetriesExhausted|USER:Recoverable"
    assert "[3/3] currentAttempt done. Last Error: USER::" in execution.closure.error.message
    assert "not ready for 7 yet" in execution.closure.error.message


def test_03_a_process_that_leaves_is_tried_three_times_more(client: Any) -> None:
    execution = client.run("faults.leaving", value=3)
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "RetriesExhausted|Interrupted"
    attempts = client.attempts(execution)
    assert len(attempts) == 4
    assert "(3)" in attempts[0].closure.error.message


def test_04_a_cached_task_runs_once(client: Any, tmp_path: Path) -> None:
    inputs = {"n": 3, "ledger": str(tmp_path / "ledger")}
    first, second = (client.run("constructs.cached", sync_nodes=True, **inputs) for _ in range(2))
    assert [execution.outputs["o0"] for execution in (first, second)] == [16, 16]
    assert lines(tmp_path / "ledger") == ["ran"]
    made, hit = (client.nodes(execution)["n0"] for execution in (first, second))
    assert (cache_status(made), cache_status(hit)) == ("CACHE_POPULATED", "CACHE_HIT")
    source = hit.closure.task_node_metadata.catalog_key.source_task_execution.node_execution_id
    assert (source.execution_id.name, source.node_id) == (first.id.name, "n0")
    assert client.attempts(second) == []
    assert not hit.closure.HasField("started_at")  # SUCCEEDED is its only event
    assert phase(hit) == "SUCCEEDED"


def test_05_a_serialized_task_waits_for_the_run_that_computes(client: Any, wait_until: Any, tmp_path: Path) -> None:
    place = tmp_path / "ran"
    one = client.start("conformance.serialized", place=str(tmp_path), name="one")
    wait_until(lambda: lines(place), "the first run to begin")
    two = client.start("conformance.serialized", place=str(tmp_path), name="two")
    wait_until(lambda: phases(client, two).get("n0") == "QUEUED", "the second run to wait")
    assert client.attempts(two) == []
    (tmp_path / "go").touch()
    for execution in (one, two):
        assert client.wait(execution).outputs["o0"] == 5
    assert lines(place) == ["one"]
    assert cache_status(client.nodes(two)["n0"]) == "CACHE_HIT"
    assert client.attempts(two) == []


def test_06_a_branch_that_ends_in_fail(client: Any) -> None:
    execution = client.run("constructs.branch", n=0)
    assert client.phase(execution) == "FAILED"
    node = client.nodes(execution)["n0"]
    assert phase(node) == "FAILED"
    assert (node.closure.error.code, node.closure.error.kind) == ("UserProvidedError", ExecutionError.USER)
    assert "n is too small" in execution.closure.error.message


def test_07_sync_walks_every_level_and_finds_the_values(client: Any, wait_until: Any) -> None:
    """One workflow nests sub-workflow, branch, dynamic, map, launch plan and gate."""
    remote = client.remote
    execution = client.start("conformance.woven", n=3)
    wait_until(lambda: remote.list_signals(execution.id.name), "the execution to ask for the approval")
    remote.approve("fine", execution.id.name)
    execution = client.wait(execution, sync_nodes=True)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    assert execution.outputs["o0"] == 22

    found: dict[str, Any] = {}
    collect(client, execution, "", found)
    made = "n0/n0/n0-n0"  # the arm of the branch in the sub-workflow: a dynamic task
    assert found == {
        "n0": 10,
        "n0/n0": 5,
        made: 5,
        f"{made}/dn0": 0,
        f"{made}/dn1": 1,
        f"{made}/dn2": 1,
        f"{made}/dn3": 4,
        f"{made}/dn4": 5,
        "n0/n1": [0, 1, 2],
        "n0/n2": [0, 1, 4],
        "n0/n3": 5,
        "n0/n4": 5,
        "n0/n5": 10,
        "n1": 12,
        "n1/execution": 12,
        "n1/execution/n0": 9,
        "n1/execution/n1": 12,
        "n2": 22,
    }
    mapped = client.nodes(execution, "n0")["n2"]
    assert mapped.metadata.is_array
    (attempt,) = client.attempts(execution, mapped.id.node_id)
    resources = attempt.closure.metadata.external_resources
    assert [resource.phase for resource in resources] == [TaskExecution.SUCCEEDED] * 3


def collect(client: Any, execution: Any, prefix: str, found: dict[str, Any]) -> None:
    """What each node that flytekit synced gave, by the path of spec ids that leads to it."""
    for node in execution.node_executions.values():
        add_node(client, node, prefix, found)


def add_node(client: Any, node: Any, prefix: str, found: dict[str, Any]) -> None:
    id = node.metadata.spec_node_id
    if id in ("start-node", "end-node"):
        return
    value = plain(node_data(client, node.id.to_flyte_idl()).full_outputs.literals["o0"])
    if node.outputs is not None:  # of some kinds of nodes flytekit fetches none
        assert node.outputs.get("o0", as_type=list[int] if isinstance(value, list) else int) == value
    found[prefix + id] = value
    for below in (node.subworkflow_node_executions or {}).values():
        add_node(client, below, f"{prefix}{id}/", found)
    for child in node.workflow_executions or ():
        found[f"{prefix}{id}/execution"] = child.outputs["o0"]
        collect(client, child, f"{prefix}{id}/execution/", found)


def plain(literal: Any) -> Any:
    if literal.HasField("collection"):
        return [plain(item) for item in literal.collection.literals]
    return literal.scalar.primitive.integer


def test_08_a_failing_node_of_a_dynamic_task_fails_it_for_good(client: Any, tmp_path: Path) -> None:
    execution = client.run("conformance.hopeless", place=str(tmp_path))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert len(lines(tmp_path / "asked")) == 1
    assert len(client.attempts(execution)) == 1


def test_09_a_map_that_needs_only_some_successes(client: Any) -> None:
    outputs = client.outputs("conformance.mostly_even", values=[0, 1, 2, 3, 4])
    assert outputs == {"o0": [0, None, 2, None, 4]}


def test_10_a_map_runs_no_more_elements_than_it_may(client: Any, tmp_path: Path, wait_until: Any) -> None:
    execution = client.start("conformance.two_at_a_time", place=str(tmp_path), values=[0, 1, 2, 3])
    wait_until(lambda: len(lines(tmp_path / "begun")) == 2, "two elements to begin")
    (attempt,) = client.attempts(execution)
    running = [one.phase for one in attempt.closure.metadata.external_resources]
    assert sum(one in (TaskExecution.QUEUED, TaskExecution.RUNNING) for one in running) <= 2
    assert len(lines(tmp_path / "begun")) == 2
    (tmp_path / "go").touch()
    assert client.wait(execution).outputs["o0"] == [0, 1, 2, 3]


def test_11_a_map_over_an_empty_list(client: Any) -> None:
    execution = client.run("constructs.mapped", n=0)
    assert execution.outputs["o0"] == 0
    mapped = client.nodes(execution)["n1"]
    assert node_data(client, mapped.id).full_outputs.literals["o0"].collection == literals_pb2.LiteralCollection()
    (attempt,) = client.attempts(execution, "n1")
    assert attempt.closure.phase == TaskExecution.SUCCEEDED
    assert not attempt.closure.metadata.external_resources


def test_12_a_failure_node_hears_what_failed(client: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    execution = client.run("constructs.cleaned_up", n=0, ledger=str(ledger))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert "ZeroDivisionError" in execution.closure.error.message
    number, node, message = ledger.read_text().split(" ", 2)
    assert (number, node) == ("0", "fn0")
    assert "division" in message
    assert phases(client, execution)["fn0"] == "SUCCEEDED"


def test_13_under_the_lenient_policy_the_others_finish(client: Any) -> None:
    execution = client.run("conformance.lenient", n=1)
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert phases(client, execution) == {
        "start-node": "SUCCEEDED",
        "n0": "FAILED",
        "n1": "SKIPPED",
        "n2": "SUCCEEDED",
        "n3": "SUCCEEDED",
        "end-node": "SKIPPED",
    }


def test_14_gates(client: Any, wait_until: Any) -> None:
    remote = client.remote
    rejected = client.start("constructs.gated", n=2)
    late = client.start("conformance.asking_briefly")
    with pytest.raises(Exception, match=r"(?i)not.?found|does not exist"):
        remote.set_input("fine", rejected.id.name, True, python_type=bool)  # nobody has asked for it yet
    wait_until(lambda: remote.list_signals(rejected.id.name), "the execution to ask for its input")
    remote.set_input("extra", rejected.id.name, 1, python_type=int)
    wait_until(lambda: len(remote.list_signals(rejected.id.name)) == 2, "the execution to ask for the approval")
    remote.reject("fine", rejected.id.name)
    done = client.wait(rejected)
    assert client.phase(done) == "FAILED"
    assert done.closure.error.code == "ReceivedRejectSignal"
    # One attempt, and its execution deadline is the earlier of the two: so FlytePropeller's executor has it.
    done = client.wait(late)
    assert done.closure.error.code == "RetriesExhausted|TimeoutExpired"
    long = client.register("conformance.asking_for_long")
    gate = next(node for node in long.flyte_nodes if node.gate_node is not None)
    assert gate.metadata.timeout.total_seconds() == 3600


def test_16_a_task_that_takes_too_long(client: Any, tmp_path: Path, is_alive: Any) -> None:
    execution = client.run("conformance.oversleeping", place=str(tmp_path))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code in ("Timeout", "RetriesExhausted|TimeoutExpired")
    attempts = client.attempts(execution)
    assert len(attempts) <= 2
    assert {attempt.closure.phase for attempt in attempts} == {TaskExecution.ABORTED}
    node = client.nodes(execution)["n0"]
    assert phase(node) in ("TIMED_OUT", "FAILED")
    assert not [process for process in lines(tmp_path / "begun") if is_alive(int(process))]


def test_17_recovery_runs_only_what_had_not_finished(client: Any, server: Any, pyflyte: Any, tmp_path: Path) -> None:
    failed = client.run("faults.unprepared", place=str(tmp_path))
    assert client.phase(failed) == "FAILED"
    (tmp_path / "missing").write_text("3")
    target = ["-p", "flytesnacks", "-d", "development", "--execution-id", failed.id.name]
    printed = pyflyte("execution", *target, "recover", env=server.by_config_file).stdout
    (name,) = re.findall(r"development:(\w+)", printed)
    recovered = client.wait(client.remote.fetch_execution(name=name))
    assert recovered.outputs["o0"] == 23
    assert lines(tmp_path / "ledger") == ["prepared"]
    found = phases(client, recovered)
    assert (found["n0"], found["n1"]) == ("RECOVERED", "SUCCEEDED")
    assert client.attempts(recovered, "n0") == []


def test_19_the_second_attempt_sees_the_checkpoint_of_the_first(client: Any) -> None:
    """The first one sees none, which is why it writes one."""
    execution = client.run("conformance.resuming")
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    assert execution.outputs["o0"] == "half of it"
    assert len(client.attempts(execution)) == 2


def test_20_two_versions_at_the_same_time_each_run_their_own_code(
    client: Any, server: Any, pyflyte: Any, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    executions = []
    for number in (1, 2):
        project = tmp_path / str(number)
        project.mkdir()
        (project / "versions.py").write_text(CONSTANT.format(number))
        pyflyte("register", "--version", f"v{number}", "versions.py", env=server.by_config_file, cwd=project)
    for number in (1, 2):
        found = client.remote.fetch_workflow(name="versions.versioned", version=f"v{number}")
        executions.append(client.remote.execute(found, inputs={"place": str(place)}))
    assert [client.wait(execution).outputs["o0"] for execution in executions] == [1, 2]


def test_21_workflows_without_inputs_without_outputs_and_with_passed_through_ones(client: Any) -> None:
    assert client.outputs("conformance.without_anything") == {}
    assert client.outputs("conformance.passing_through", n=4) == {"o0": "as it came", "o1": 4}


def test_22_a_failing_task_keeps_its_deck(client: Any) -> None:
    execution = client.run("conformance.drawing", n=0)
    node = client.nodes(execution)["n0"]
    assert phase(node) == "FAILED"
    assert node.closure.error.code == "USER:RuntimeError"
    assert "half done" in Path(node.closure.deck_uri).read_text()


def test_23_a_cached_task_runs_again_when_the_cache_is_to_be_overwritten(client: Any, tmp_path: Path) -> None:
    inputs = {"n": 23, "ledger": str(tmp_path / "ledger")}
    client.run("constructs.cached", **inputs)
    workflow = client.register("constructs.cached")
    again = client.wait(client.remote.execute(workflow, inputs=inputs, overwrite_cache=True))
    assert lines(tmp_path / "ledger") == ["ran", "ran"]
    assert cache_status(client.nodes(again)["n0"]) == "CACHE_POPULATED"
    hit = client.nodes(client.run("constructs.cached", **inputs))["n0"]
    source = hit.closure.task_node_metadata.catalog_key.source_task_execution.node_execution_id.execution_id
    assert source.name == again.id.name


def test_24_a_definition_registered_again_and_changed(client: Any) -> None:
    from flytekit.exceptions.user import FlyteEntityAlreadyExistsException, FlyteInvalidInputException

    raw = client.remote.client.raw
    task = raw.get_task(task_request(client.register("constructs.pair")))
    spec = task_pb2.TaskSpec(template=task.closure.compiled_task.template)
    with pytest.raises(FlyteEntityAlreadyExistsException, match="identical structure already exists"):
        raw.create_task(task_pb2.TaskCreateRequest(id=task.id, spec=spec))
    spec.template.container.args.append("--changed")
    with pytest.raises(FlyteInvalidInputException):
        raw.create_task(task_pb2.TaskCreateRequest(id=task.id, spec=spec))


def task_request(workflow: Any) -> Any:
    from flyteidl.admin.common_pb2 import ObjectGetRequest

    node = next(node for node in workflow.flyte_nodes if node.task_node is not None)
    return ObjectGetRequest(id=node.task_node.reference_id.to_flyte_idl())
