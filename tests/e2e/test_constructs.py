"""The constructs of the language give the results of plain Python, and clients can walk what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("name", "n", "result"),
    [
        ("sub_workflow", 3, 18),
        ("branch", 6, 37),
        ("branch", 2, 7),
        ("dynamically", 4, 14),
        ("child", 3, 13),
        ("mapped", 4, 14),
        ("mapped", 0, 0),
    ],
)
def test_a_construct_gives_the_result_of_plain_python(client: Any, name: str, n: int, result: int) -> None:
    assert getattr(client.load("constructs"), name)(n=n) == result
    assert client.outputs(f"constructs.{name}", n=n) == {"o0": result}


def test_a_branch_that_ends_in_fail_fails_with_its_text(client: Any) -> None:
    execution = client.run("constructs.branch", n=0)
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "UserProvidedError"
    assert "n is too small" in execution.closure.error.message


def test_a_failure_node_hears_what_failed(client: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    execution = client.run("constructs.cleaned_up", n=0, ledger=str(ledger))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert "ZeroDivisionError" in execution.closure.error.message
    number, node, message = ledger.read_text().split(" ", 2)
    assert (number, node) == ("0", "fn0")
    assert "division" in message


def test_gates_open_on_a_signal(client: Any, wait_until: Any) -> None:
    remote = client.remote
    execution = client.start("constructs.gated", n=2)
    name = execution.id.name

    def signals() -> set[str]:
        return {signal.id.signal_id for signal in remote.list_signals(name)}

    wait_until(lambda: "extra" in signals(), "the execution to ask for its input")
    remote.set_input("extra", name, 5, python_type=int)
    wait_until(lambda: "fine" in signals(), "the execution to ask for the approval")
    remote.approve("fine", name)
    done = client.wait(execution)
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 81


def test_a_rejected_gate_fails_the_execution(client: Any, wait_until: Any) -> None:
    remote = client.remote
    execution = client.start("constructs.gated", n=2)
    name = execution.id.name
    wait_until(lambda: remote.list_signals(name), "the execution to ask for its input")
    remote.set_input("extra", name, 1, python_type=int)
    wait_until(lambda: len(remote.list_signals(name)) == 2, "the execution to ask for the approval")
    remote.reject("fine", name)
    done = client.wait(execution)
    assert client.phase(done) == "FAILED"
    assert done.closure.error.code == "ReceivedRejectSignal"


def test_a_cached_task_runs_once(client: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    inputs = {"n": 3, "ledger": str(ledger)}
    first, second = (client.run("constructs.cached", sync_nodes=True, **inputs) for _ in range(2))
    assert [execution.outputs["o0"] for execution in (first, second)] == [16, 16]
    assert ledger.read_text() == "ran\n"
    assert cache_status(client, first) == "CACHE_POPULATED"
    assert cache_status(client, second) == "CACHE_HIT"
    assert client.attempts(second) == []


def test_sync_walks_every_level_of_nested_constructs(client: Any) -> None:
    module = client.load("constructs")
    execution = client.run("constructs.nested", sync_nodes=True, n=3)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    assert execution.outputs["o0"] == module.nested(n=3) == 22

    top = client.nodes(execution)
    inner = next(node for node in top.values() if node.metadata.is_parent_node)
    below = client.nodes(execution, inner.id.node_id)
    branch = next(node for node in below.values() if client.nodes(execution, node.id.node_id))
    (chosen,) = client.nodes(execution, branch.id.node_id).values()
    assert chosen.metadata.spec_node_id.startswith(f"{branch.metadata.spec_node_id}-")
    assert chosen.metadata.is_dynamic
    assert "dn0" in client.nodes(execution, chosen.id.node_id)
    mapped = next(node for node in below.values() if node.metadata.is_array)
    (attempt,) = client.attempts(execution, mapped.id.node_id)
    assert [resource.phase for resource in attempt.closure.metadata.external_resources] == [3, 3, 3]

    # flytekit found the same tree, and the values in it.
    walked = execution.node_executions[inner.id.node_id].subworkflow_node_executions
    assert walked[mapped.id.node_id].outputs["o0"] == [0, 1, 4]
    assert walked[branch.id.node_id].subworkflow_node_executions[chosen.id.node_id].outputs["o0"] == 5
    (child,) = next(node for node in execution.node_executions.values() if node.workflow_executions).workflow_executions
    assert child.outputs["o0"] == 12
    assert client.message(child).spec.metadata.parent_node_execution.execution_id.name == execution.id.name


def cache_status(client: Any, execution: Any) -> str:
    """The cache status of the first node."""
    from flyteidl.core.catalog_pb2 import CatalogCacheStatus

    node = client.nodes(execution)["n0"]
    return str(CatalogCacheStatus.Name(node.closure.task_node_metadata.cache_status))
