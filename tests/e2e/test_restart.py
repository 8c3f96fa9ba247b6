"""A server that was stopped or killed comes back with its history, and with the attempts that went on without it."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

LISTS = (
    "projects",
    "tasks/flytesnacks/development?limit=100",
    "workflows/flytesnacks/development?limit=100",
    "launch_plans/flytesnacks/development?limit=100",
    "executions/flytesnacks/development?limit=100",
)
OF_EXECUTION = ("executions/{}", "data/executions/{}", "node_executions/{}?limit=100")


def get(server: Any, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)


def history(server: Any, executions: list[str]) -> dict[str, Any]:
    """Every answer a client can get about those executions and what they ran."""
    paths = [*LISTS, *(path.format(f"flytesnacks/development/{name}") for name in executions for path in OF_EXECUTION)]
    for name in executions:
        nodes = get(server, f"node_executions/flytesnacks/development/{name}?limit=100")["nodeExecutions"]
        ids = [f"flytesnacks/development/{name}/{node['id']['nodeId']}" for node in nodes]
        paths += [
            path for node in ids for path in (f"data/node_executions/{node}", f"task_executions/{node}?limit=100")
        ]
    return {path: get(server, path) for path in paths}


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().splitlines() if ledger.exists() else []


def test_a_restart_shows_the_same_history(launch: Any, connect: Any, tmp_path: Path) -> None:
    first = launch(tmp_path / "data")
    client = connect(first)
    executions = [client.run("greetings.greeting", name="ada"), client.run("faults.dividing", value=0)]
    names = [execution.id.name for execution in executions]
    before = history(first, names)
    assert [client.phase(execution) for execution in executions] == ["SUCCEEDED", "FAILED"]
    assert len(before["executions/flytesnacks/development?limit=100"]["executions"]) == 2

    assert first.stop() == 0
    second = launch(tmp_path / "data")
    assert history(second, names) == before
    again = connect(second)
    assert again.outputs("greetings.greeting", name="eve") == {"o0": "hello eve hello eve"}


def test_attempts_that_survive_a_killed_server_are_not_run_twice(
    launch: Any, connect: Any, wait_until: Any, is_alive: Any, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    first = launch(tmp_path / "data")
    execution = connect(first).start("waiting.lingering", place=str(place))
    wait_until(lambda: lines(place / "one.begun") and lines(place / "two.begun"), "both tasks to begin")
    first.stop(signal.SIGKILL)

    (place / "one.go").touch()  # ends while there is no server
    process = int(lines(place / "one.begun")[0])
    wait_until(lambda: not is_alive(process), "the first task to end")
    second = launch(tmp_path / "data")
    (place / "two.go").touch()  # ends under the new server

    client = connect(second)
    done = client.wait(client.remote.fetch_execution(name=execution.id.name))
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 2
    assert len(lines(place / "one.begun")) == 1
    assert len(lines(place / "two.begun")) == 1
    assert [len(client.attempts(done, node)) for node in ("n0", "n1", "n2")] == [1, 1, 1]


def test_a_lost_attempt_is_run_again(launch: Any, connect: Any, wait_until: Any, is_alive: Any, tmp_path: Path) -> None:
    """An attempt that died with the server costs the user no retry: it is run again as a system retry."""
    place = tmp_path / "place"
    place.mkdir()
    first = launch(tmp_path / "data")
    execution = connect(first).start("waiting.lingering_once", place=str(place))
    wait_until(lambda: lines(place / "one.begun"), "the task to begin")
    assert first.stop() == 0  # in order: ends the running attempts, and keeps the execution
    process = int(lines(place / "one.begun")[0])
    wait_until(lambda: not is_alive(process), "the task to end with its server")

    second = launch(tmp_path / "data")
    wait_until(lambda: len(lines(place / "one.begun")) == 2, "the task to begin again")
    (place / "one.go").touch()
    client = connect(second)
    done = client.wait(client.remote.fetch_execution(name=execution.id.name))
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 2
    assert len(client.attempts(done)) == 2
