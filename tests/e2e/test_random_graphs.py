"""Random workflows end the same whether or not the server is killed meanwhile, and no finished attempt runs twice."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flyteidl.admin.node_execution_pb2 import NodeExecutionGetDataRequest, NodeExecutionListRequest
from flyteidl.core.execution_pb2 import NodeExecution

GRAPHS = 6
NODES = 7
KILLED_ROUNDS = 2


def generator() -> Any:
    path = Path(__file__).with_name("random_graphs.py")
    spec = importlib.util.spec_from_file_location("random_graphs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.soak
def test_random_graphs_end_the_same_when_the_server_is_killed(
    launch: Any, connect: Any, pyflyte: Any, tmp_path: Path
) -> None:
    seed = int(os.environ.get("FLYTELITE_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"FLYTELITE_TEST_SEED={seed}")
    random = Random(seed)
    project = tmp_path / "project"
    project.mkdir()
    names = [f"graph{i}" for i in range(GRAPHS)]
    made = generator()
    for name in names:
        (project / f"{name}.py").write_text(made.source(random, NODES))
    server = launch(tmp_path / "data")
    files = [f"{name}.py" for name in names]
    pyflyte("register", "--version", "v1", *files, env=server.by_config_file, cwd=project, timeout=180)

    client = connect(server)
    undisturbed = begin(client, names, tmp_path / "undisturbed")
    expected = {name: ending(client, execution) for name, execution in undisturbed.items()}
    for name in names:
        check_ledger(tmp_path / "undisturbed" / name)
    for number in range(KILLED_ROUNDS):
        places = tmp_path / f"killed{number}"
        executions = begin(client, names, places)
        for _ in range(random.randrange(1, 3)):
            threading.Event().wait(random.uniform(0.05, 2.5))  # any moment will do
            server.stop(signal.SIGKILL)
            server = launch(tmp_path / "data")
        client = connect(server)
        found = {name: ending(client, execution) for name, execution in executions.items()}
        assert found == expected, f"seed {seed}, round {number}"
        for name in names:
            check_ledger(places / name)


def begin(client: Any, names: list[str], places: Path) -> dict[str, Any]:
    started = {}
    for name in names:
        (places / name).mkdir(parents=True)
        workflow = client.remote.fetch_workflow(name=f"{name}.graph", version="v1")
        started[name] = client.remote.execute(workflow, inputs={"place": str(places / name)})
    return started


def ending(client: Any, execution: Any) -> dict[str, Any]:
    """The end of an execution and of each node in it, with the outputs, by the path of spec ids that leads there."""
    done = client.wait(client.remote.fetch_execution(name=execution.id.name), seconds=180)
    found: dict[str, Any] = {"": client.phase(done)}
    walk(client, execution.id.to_flyte_idl(), "", "", found)
    return found


def walk(client: Any, id: Any, parent: str, path: str, found: dict[str, Any]) -> None:
    raw = client.remote.client.raw
    request = NodeExecutionListRequest(workflow_execution_id=id, unique_parent_id=parent, limit=100)
    for node in raw.list_node_executions_paginated(request).node_executions:
        own = f"{path}/{node.metadata.spec_node_id}"
        data = raw.get_node_execution_data(NodeExecutionGetDataRequest(id=node.id))
        outputs = {name: str(literal) for name, literal in data.full_outputs.literals.items() if name != "place"}
        code = node.closure.error.code
        if node.metadata.spec_node_id != "start-node":
            found[own] = (NodeExecution.Phase.Name(node.closure.phase), code, outputs)
        walk(client, id, node.id.node_id, own, found)
        child = node.closure.workflow_node_metadata.executionId
        if child.name:
            walk(client, child, "", f"{own}/execution", found)


def check_ledger(place: Path) -> None:
    """Each attempt begins and ends at most once, and after one that succeeded there is none."""
    told = [line.split() for line in (place / "ledger").read_text().splitlines()]
    counts = Counter(map(tuple, told))
    assert max(counts.values()) == 1, counts.most_common(3)
    succeeded: set[str] = set()
    for word, name, _ in told:
        assert not (word == "begin" and name in succeeded), f"{name} ran again after it had succeeded"
        if word == "succeed":
            succeeded.add(name)
