"""The conformance scenarios that somebody ends or kills, eager workflows, and tasks that use the control plane.

Scenario 18 is at the end: it has a server of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution

VERSION = "eager-1"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def processes(place: Path) -> list[int]:
    """The processes of the elements and tasks that have begun there."""
    return [int(line.split()[1]) for line in lines(place / "begun")]


def phases(client: Any, execution: Any) -> dict[str, str]:
    return {name: NodeExecution.Phase.Name(node.closure.phase) for name, node in client.nodes(execution).items()}


@pytest.fixture(scope="module")
def eager(client: Any, server: Any, pyflyte: Any, projects: Path) -> Callable[..., Any]:
    """``eager(name, **inputs)`` starts an eager workflow of the conformance project."""
    folder = projects / "conformance"
    pyflyte("register", "--version", VERSION, "conformance.py", env=server.by_config_file, cwd=folder)

    def start(name: str, **inputs: Any) -> Any:
        workflow = client.remote.fetch_workflow(name=f"conformance.{name}", version=VERSION)
        return client.remote.execute(workflow, inputs=inputs)

    return start


def terminate(client: Any, execution: Any) -> Any:
    client.remote.terminate(execution, "seen enough")
    done = client.wait(execution)
    assert client.phase(done) == "ABORTED"
    assert client.message(done).closure.abort_metadata.cause == "seen enough"
    return done


def test_15_the_end_of_an_execution_ends_a_map(client: Any, tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    execution = client.start("conformance.two_at_a_time", place=str(tmp_path), values=[0, 1, 2])
    wait_until(lambda: len(processes(tmp_path)) == 2, "two elements to begin")
    done = terminate(client, execution)
    assert not [process for process in processes(tmp_path) if is_alive(process)]
    assert phases(client, done)["n0"] == "ABORTED"
    (attempt,) = client.attempts(done)
    found = sorted(resource.phase for resource in attempt.closure.metadata.external_resources)
    assert found == [TaskExecution.UNDEFINED, TaskExecution.ABORTED, TaskExecution.ABORTED]


def test_15_the_end_of_an_execution_ends_its_child(client: Any, tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    execution = client.start("conformance.staying_below", place=str(tmp_path))
    wait_until(lambda: processes(tmp_path), "the task of the child to begin")
    done = terminate(client, execution)
    child_id = client.nodes(done)["n0"].closure.workflow_node_metadata.executionId
    child = client.wait(client.remote.fetch_execution(name=child_id.name))
    assert client.phase(child) == "ABORTED"
    cause = client.message(child).closure.abort_metadata.cause
    assert cause == f"cascading abort as parent execution id [{done.id.name}] aborted, reason [seen enough]"
    assert not [process for process in processes(tmp_path) if is_alive(process)]


def children(client: Any, execution: Any) -> list[Any]:
    """The executions that an eager one has started, by the label that flytekit gives them."""
    from flyteidl.admin.common_pb2 import NamedEntityIdentifier, ResourceListRequest

    scope = NamedEntityIdentifier(project="flytesnacks", domain="development")
    request = ResourceListRequest(
        id=scope, limit=100, filters=f"eq(execution_tag.key,eager-exec)+eq(execution_tag.value,{execution.id.name})"
    )
    return list(client.remote.client.raw.list_executions_paginated(request).executions)


def test_an_eager_workflow_runs_its_steps_as_executions(client: Any, eager: Any) -> None:
    done = client.wait(eager("climb", n=3))
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 10
    assert len(children(client, done)) == 2
    node = client.nodes(done)["n0"]
    assert "Eager Executions" in Path(node.closure.deck_uri).read_text()


def test_15_the_end_of_an_eager_workflow_ends_its_children(
    client: Any, eager: Any, tmp_path: Path, wait_until: Any, is_alive: Any
) -> None:
    execution = eager("wait_below", place=str(tmp_path))
    wait_until(lambda: processes(tmp_path), "the child's task to begin")
    terminate(client, execution)
    (child,) = children(client, execution)
    done = client.wait(client.remote.fetch_execution(name=child.id.name))
    assert client.phase(done) == "ABORTED"
    assert not [process for process in processes(tmp_path) if is_alive(process)]


def test_a_failed_eager_workflow_is_cleaned_up(
    client: Any, eager: Any, tmp_path: Path, wait_until: Any, is_alive: Any
) -> None:
    done = client.wait(eager("stumble", place=str(tmp_path)))
    assert client.phase(done) == "FAILED"
    assert "stumbled" in done.closure.error.message
    assert phases(client, done)["efn"] == "SUCCEEDED"
    (child,) = children(client, done)
    ended = client.wait(client.remote.fetch_execution(name=child.id.name))
    assert client.phase(ended) == "ABORTED"
    wait_until(lambda: not [one for one in processes(tmp_path) if is_alive(one)], "the child's process to end")


def test_a_task_uses_the_control_plane_that_runs_it(client: Any, eager: Any) -> None:
    inputs = {"workflow_name": "conformance.pair", "version": VERSION, "n": 4}
    done = client.wait(eager("asking_control_plane", **inputs))
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 20


def test_18_what_runs_in_a_map_survives_a_killed_server(
    launch: Any, connect: Any, wait_until: Any, is_alive: Any, tmp_path: Path
) -> None:
    """One element ends while there is no server, others under the next one; none of them runs twice."""
    place = tmp_path / "place"
    place.mkdir()
    first = launch(tmp_path / "data")
    execution = connect(first).start("conformance.two_at_a_time", place=str(place), values=[0, 1, 2])
    wait_until(lambda: len(processes(place)) == 2, "two elements to begin")
    running = processes(place)
    first.stop(signal.SIGKILL)
    (place / "go").touch()
    wait_until(lambda: not [process for process in running if is_alive(process)], "the elements to end")
    client = connect(launch(tmp_path / "data"))
    done = client.wait(client.remote.fetch_execution(name=execution.id.name))
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == [0, 1, 2]
    assert sorted(line.split()[0] for line in lines(place / "begun")) == ["0", "1", "2"]
