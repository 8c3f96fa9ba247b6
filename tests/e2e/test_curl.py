"""The documented curl lines, as written: only the port differs."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

VERSION = "curl http://localhost:30080/api/v1/version"
PROJECTS = "curl http://localhost:30080/api/v1/projects"
WORKFLOW = "curl http://localhost:30080/api/v1/workflows/flytesnacks/development/greetings.greeting/{version}"
EXECUTE = """\
curl -X POST http://localhost:30080/api/v1/executions -H 'Content-Type: application/json' -d '{
  "project": "flytesnacks",
  "domain": "development",
  "spec": {"launch_plan": {
    "resource_type": "LAUNCH_PLAN",
    "project": "flytesnacks",
    "domain": "development",
    "name": "greetings.greeting",
    "version": "%(version)s"
  }},
  "inputs": {"literals": {"name": {"scalar": {"primitive": {"string_value": "curl"}}}}}
}'"""
EXECUTION = "curl http://localhost:30080/api/v1/executions/flytesnacks/development/{name}"
DATA = "curl http://localhost:30080/api/v1/data/executions/flytesnacks/development/{name}"


@pytest.fixture
def curl(server: Any) -> Any:
    """Run one line against the shared server; the JSON that came back."""

    def run(line: str) -> Any:
        words = shlex.split(line.replace("localhost:30080", server.endpoint))
        assert words[0] == "curl"
        answer = through_curl(words) if shutil.which("curl") else through_http(words)
        return json.loads(answer)

    return run


@pytest.fixture(scope="module")
def version(client: Any) -> str:
    return str(client.register("greetings.greeting").id.version)


def test_the_lines_of_the_readme(curl: Any, client: Any) -> None:
    client.register("greetings.greeting")
    readme = Path(__file__).parents[2] / "README.md"
    lines = re.findall(r"^\$ (curl .*)$", readme.read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        answer = curl(line)
        assert "code" not in answer, (line, answer)


def test_version(curl: Any) -> None:
    answer = curl(VERSION)
    assert set(answer) == {"controlPlaneVersion"}
    assert set(answer["controlPlaneVersion"]) == {"Build", "Version", "BuildTime"}
    assert answer["controlPlaneVersion"]["Version"].startswith("v")


def test_projects(curl: Any) -> None:
    answer = curl(PROJECTS)
    assert answer["token"] == ""
    project = next(project for project in answer["projects"] if project["id"] == "flytesnacks")
    assert project["state"] == "ACTIVE"
    assert [domain["id"] for domain in project["domains"]] == ["development", "staging", "production"]


def test_a_workflow(curl: Any, version: str) -> None:
    answer = curl(WORKFLOW.format(version=version))
    assert answer["id"] == {
        "resourceType": "WORKFLOW",
        "project": "flytesnacks",
        "domain": "development",
        "name": "greetings.greeting",
        "version": version,
        "org": "",
    }
    template = answer["closure"]["compiledWorkflow"]["primary"]["template"]
    assert {node["id"] for node in template["nodes"]} == {"start-node", "n0", "end-node"}
    assert set(template["interface"]["inputs"]["variables"]) == {"name", "times"}
    assert template["failureNode"] is None


def test_an_execution_with_a_launch_plan_and_inputs(curl: Any, client: Any, version: str) -> None:
    answer = curl(EXECUTE % {"version": version})
    assert answer["id"]["project"] == "flytesnacks"
    name = answer["id"]["name"]
    assert name.isalnum()

    client.wait(client.remote.fetch_execution(name=name))
    execution = curl(EXECUTION.format(name=name))
    assert execution["closure"]["phase"] == "SUCCEEDED", execution["closure"]
    assert execution["spec"]["launchPlan"]["name"] == "greetings.greeting"
    data = curl(DATA.format(name=name))
    assert data["fullInputs"]["literals"]["times"]["scalar"]["primitive"] == {"integer": "2"}
    assert data["fullOutputs"]["literals"]["o0"]["scalar"]["primitive"] == {"stringValue": "hello curl hello curl"}


def test_what_does_not_exist_is_a_404_with_a_message(curl: Any) -> None:
    answer = curl(WORKFLOW.format(version="absent"))
    assert answer["code"] == 5
    assert "absent" in answer["message"]
    assert "details" in answer


def through_curl(words: list[str]) -> str:
    command = [*words, "--silent", "--max-time", "20", "--noproxy", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def through_http(words: list[str]) -> str:
    """The same request where curl is not installed."""
    address = next(word for word in words if re.match(r"(http://)?localhost:", word))
    url = urlsplit(address if "//" in address else f"//{address}")
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    body = words[words.index("-d") + 1] if "-d" in words else None
    headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
    connection = http.client.HTTPConnection(url.netloc, timeout=20)
    try:
        connection.request(method, f"{url.path}?{url.query}", body, headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
