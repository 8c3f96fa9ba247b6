"""Executions that travel: exported from one data directory, looked at and repeated in another, and removed."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ID = "flytesnacks/development/{}"


def get(server: Any, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)


def told(server: Any, name: str) -> str:
    """Every answer about an execution and what it ran, as text."""
    id = ID.format(name)
    nodes = get(server, f"node_executions/{id}?limit=100")["nodeExecutions"]
    answers = [get(server, f"executions/{id}"), get(server, f"data/executions/{id}"), nodes]
    for node in nodes:
        of_node = f"{id}/{node['id']['nodeId']}"
        answers += [get(server, f"data/node_executions/{of_node}"), get(server, f"task_executions/{of_node}?limit=100")]
    plan = answers[0]["spec"]["launchPlan"]
    answers.append(get(server, f"launch_plans/{plan['project']}/{plan['domain']}/{plan['name']}/{plan['version']}"))
    return json.dumps(answers, sort_keys=True)


def post(server: Any, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture
def relaunched(wait_until: Any) -> Callable[[Any, str], Any]:
    """Relaunch an execution and wait for its end; the new Execution."""

    def relaunched(server: Any, name: str) -> Any:
        id = {"project": "flytesnacks", "domain": "development", "name": name}
        path = "executions/" + ID.format(post(server, "executions/relaunch", {"id": id})["id"]["name"])
        wait_until(lambda: get(server, path)["closure"]["phase"] in ("SUCCEEDED", "FAILED"), "the execution to end")
        return get(server, path)

    return relaunched


@pytest.fixture
def ran(flytelite: Any, projects: Path) -> Callable[..., str]:
    """Run a workflow of the projects on a server, whatever comes of it; the execution's name."""

    def ran(server: Any, module: str, workflow: str, *inputs: str | Path) -> str:
        at = {"FLYTELITE_ENDPOINT": server.endpoint}
        flytelite("run", projects / module, workflow, *inputs, env=at, code=None)
        name = str(flytelite("ls", "executions", "--limit", "1", "-o", "name", env=at).stdout.strip())
        assert name, f"{workflow} of {module} was not executed"
        return name

    return ran


def files_named_in(answer: Any) -> dict[str, bytes]:
    """What the files of the outputs of an execution hold, by the names of the outputs."""
    outputs = answer["fullOutputs"]["literals"]
    blobs = {
        name: Path(value["scalar"]["blob"]["uri"])
        for name, value in outputs.items()
        if "blob" in value.get("scalar", {})
    }
    return {
        f"{name}/{file.relative_to(path)}": file.read_bytes()
        for name, path in blobs.items()
        for file in ([path] if path.is_file() else sorted(path.rglob("*")))
        if file.is_file()
    }


def test_a_failing_run_is_repeated_on_another_machine(
    server: Any, ran: Any, relaunched: Any, launch: Any, flytelite: Any, tmp_path: Path
) -> None:
    name, archive = ran(server, "faults/faults.py", "dividing", "--value", "0"), tmp_path / "failed.tar.gz"
    assert "1 execution" in flytelite("export", name, archive, "--data-dir", server.data_dir).stdout

    there = tmp_path / "there"
    assert name in flytelite("import", archive, "--data-dir", there).stdout  # no server runs there yet
    second = launch(there)
    moved = told(second, name)
    expected = told(server, name).replace(str(server.data_dir), str(there))
    assert moved == expected.replace(f"localhost:{server.port}", "localhost:30080")  # the port is not known yet
    assert str(server.data_dir) not in moved
    assert "dividing by 0" in (there / f"attempts/{ID.format(name)}/n1/0/task.log").read_text()

    again = relaunched(second, name)
    assert again["closure"]["error"]["code"] == "USER:RuntimeError"
    assert "ZeroDivisionError" in again["closure"]["error"]["message"]
    assert str(there) in again["closure"]["error"]["message"]


def test_files_dataclasses_and_code_travel_with_their_execution(
    server: Any, ran: Any, relaunched: Any, launch: Any, flytelite: Any, tmp_path: Path
) -> None:
    (tmp_path / "source.txt").write_text("first line\n")
    inputs = {"source": tmp_path / "source.txt", "limits": '{"low": 1.0, "high": 60.0, "tags": ["north"]}'}
    inputs |= {"name": "alpine hut", "floor": "3", "began": "2024-02-29T23:30:15Z"}
    arguments = [part for name, value in inputs.items() for part in (f"--{name}", value)]
    name = ran(server, "everything/everything/workflow.py", "report", *arguments)
    assert get(server, f"executions/{ID.format(name)}")["closure"]["phase"] == "SUCCEEDED"

    archive, second = tmp_path / "report.tar.gz", launch(tmp_path / "second")
    flytelite("export", ID.format(name), archive, "--data-dir", server.data_dir)
    assert "added 1 execution" in flytelite("import", archive, "--data-dir", second.data_dir).stdout
    printed = flytelite("import", archive, "--data-dir", second.data_dir).stdout
    assert "added 0 executions, 0 documents, 0 files\nhere before: 1 execution of the archive\n" in printed
    assert str(server.data_dir) not in told(second, name)
    # Neither in what is packed inside dataclasses, which told() shows as base64.
    assert not [
        path
        for path in (second.data_dir / "my-s3-bucket" / "metadata").rglob("*.pb")
        if str(server.data_dir).encode() in path.read_bytes()
    ]
    there = {"FLYTELITE_ENDPOINT": second.endpoint}
    again = relaunched(second, name)
    assert again["closure"]["phase"] == "SUCCEEDED", flytelite("ls", "nodes", again["id"]["name"], env=there).stdout
    was = files_named_in(get(server, f"data/executions/{ID.format(name)}"))
    assert len(was) > 2
    for one in (name, again["id"]["name"]):
        data = get(second, f"data/executions/{ID.format(one)}")
        assert files_named_in(data)["document/."] == was["document/."]
        assert str(second.data_dir) in json.dumps(data)
    assert files_named_in(get(second, f"data/executions/{ID.format(name)}")) == was


def test_what_children_and_dynamic_tasks_ran_travels_too(
    launch: Any, ran: Any, relaunched: Any, flytelite: Any, tmp_path: Path
) -> None:
    first = launch(tmp_path / "first")
    workflows = ("child", "sub_workflow", "dynamically", "mapped")
    names = [ran(first, "constructs/constructs.py", workflow, "--n", "3") for workflow in workflows]
    flytelite("export", tmp_path / "all.tar.gz", "--data-dir", first.data_dir)
    before = get(first, "executions/flytesnacks/development?limit=100")["executions"]
    assert len(before) > len(names)  # `child` has one
    first.stop()
    shutil.rmtree(first.data_dir)

    second = launch(tmp_path / "second")
    flytelite("import", tmp_path / "all.tar.gz", "--data-dir", second.data_dir)
    after = get(second, "executions/flytesnacks/development?limit=100")["executions"]
    assert {one["id"]["name"] for one in after} == {one["id"]["name"] for one in before}
    for name in names:
        again = relaunched(second, name)["id"]["name"]
        outputs = [get(second, f"data/executions/{ID.format(one)}")["fullOutputs"] for one in (name, again)]
        assert outputs[0] == outputs[1]
        assert outputs[0]["literals"]


def test_cleaning_leaves_what_is_running_and_what_others_use(
    launch: Any, ran: Any, flytelite: Any, wait_until: Any, projects: Path, tmp_path: Path
) -> None:
    server = launch(tmp_path / "data")
    old = [ran(server, "greetings/greetings.py", "greeting", "--name", name) for name in ("ada", "eve")]
    running = ran(server, "waiting/waiting.py", "lingering", "--place", tmp_path, "--no-wait")
    path = f"executions/{ID.format(running)}"
    wait_until(lambda: get(server, path)["closure"]["phase"] == "RUNNING", "the execution to run")
    age = ("--older-than", "0s", "--data-dir", server.data_dir)

    printed = flytelite("clean", *age, "--keep-last", "1").stdout
    assert (old[0] in printed, old[1] in printed, running in printed) == (True, False, False)
    assert "nothing was removed" in printed
    assert len(get(server, "executions/flytesnacks/development?limit=10")["executions"]) == 3

    assert "removed 2 executions" in flytelite("clean", *age, "--yes").stdout
    left = get(server, "executions/flytesnacks/development?limit=10")["executions"]
    assert [one["id"]["name"] for one in left] == [running]
    assert not [path for name in old for path in server.data_dir.rglob(f"*{name}*")]
    rest = flytelite("export", tmp_path / "rest.tar.gz", "--data-dir", server.data_dir).stdout
    assert "left out: 1 execution that had not ended" in rest
    refused = flytelite("export", running, tmp_path / "it.tar.gz", "--data-dir", server.data_dir, code=1).stdout
    assert "has not ended" in refused
    assert not (tmp_path / "it.tar.gz").exists()


def test_pages_of_others_cannot_export_or_remove(server: Any) -> None:
    for path in ("export", "import", "clean", "clean/preview"):
        request = urllib.request.Request(
            f"{server.url}/flytelite/v1/{path}",
            data=b"{}",
            headers={"Origin": "http://evil.example", "Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 403
